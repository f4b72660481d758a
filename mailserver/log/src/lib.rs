//! mailmirror-log
