//! mailmirror-control
