//! mailmirror-operator
fn main() {}
