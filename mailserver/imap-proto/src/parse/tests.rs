#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn noop() {
    let request = parse(&Frame::from_line("a NOOP")).unwrap();
    assert_eq!(request.command, Command::Noop);
}
