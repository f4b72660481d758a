//! mailserver
