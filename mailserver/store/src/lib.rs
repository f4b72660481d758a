//! mailmirror-store
