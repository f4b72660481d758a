//! tellmail
fn main() {}
