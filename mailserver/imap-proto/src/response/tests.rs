use super::*;

#[test]
fn exists() {
    let mut out = ResponseBuffer::new();
    out.exists(3);
    assert_eq!(out.take(), "* 3 EXISTS\r\n");
}
