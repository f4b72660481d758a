//! mailmirror-operator
