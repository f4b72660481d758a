use super::*;

#[test]
fn empty_message() {
    let view = MessageView::new(b"");
    assert_eq!(view.envelope(), Envelope::default());
}
