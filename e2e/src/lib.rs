//! mailmirror-e2e
