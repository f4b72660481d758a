//! mailmirror-mirror
