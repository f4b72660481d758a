#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const LIMITS: FrameLimits =
    FrameLimits { line_max_bytes: 64, literal_max_bytes: 16, append_max_bytes: 1000, literals_max: 3 };

/// All that happens when the input comes in these pieces, up to an error or the end; `NeedMore` left out.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<FrameEvent>, Option<FrameError>) {
    let mut framer = Framer::new(LIMITS);
    let mut events = Vec::new();
    for piece in pieces {
        framer.feed(piece);
        loop {
            match framer.next_event() {
                Ok(FrameEvent::NeedMore) => break,
                Ok(event) => events.push(event),
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn whole(input: &[u8]) -> (Vec<FrameEvent>, Option<FrameError>) {
    run([input])
}

fn text(s: &str) -> Part {
    Part::Text(Bytes::copy_from_slice(s.as_bytes()))
}

fn literal(s: &[u8], binary: bool) -> Part {
    Part::Literal { data: Bytes::copy_from_slice(s), binary }
}

fn command(parts: Vec<Part>) -> FrameEvent {
    FrameEvent::Command(Frame { parts })
}

#[test]
fn lines_end_in_crlf_or_lf() {
    let expected = vec![command(vec![text("a NOOP")]), command(vec![text("b NOOP")])];
    assert_eq!(whole(b"a NOOP\r\nb NOOP\n"), (expected, None));
}

#[test]
fn synchronizing_literal_asks_first() {
    let (events, error) = whole(b"a LOGIN {3}\r\nbob {2}\r\npw\r\n");
    assert_eq!(error, None);
    let parts = vec![text("a LOGIN "), literal(b"bob", false), text(" "), literal(b"pw", false), text("")];
    assert_eq!(events, [FrameEvent::Continue, FrameEvent::Continue, command(parts)]);
}

#[test]
fn non_synchronizing_and_binary_literals() {
    let (events, _) = whole(b"a X {3+}\r\nb\r\n ~{2+}\r\n\0\n)\r\n");
    let parts = vec![text("a X "), literal(b"b\r\n", false), text(" "), literal(b"\0\n", true), text(")")];
    assert_eq!(events, [command(parts)]);
}

#[test]
fn empty_literal() {
    let (events, _) = whole(b"a X {0+}\r\n\r\n");
    assert_eq!(events, [command(vec![text("a X "), literal(b"", false), text("")])]);
}

#[test]
fn not_literals() {
    for line in ["a {x}", "a {}", "a {+}", "a 3}", "a {3", "a {3}x", "a {-3}", "}"] {
        assert_eq!(whole(format!("{line}\r\n").as_bytes()).0, [command(vec![text(line)])], "{line}");
    }
}

#[test]
fn large_literals_are_for_append_messages_only() {
    let refused = |limit_bytes, size_bytes, tag: &str| FrameEvent::Refused {
        tag: Tag::new(tag.to_owned()),
        size_bytes,
        limit_bytes,
    };
    assert_eq!(whole(b"a LOGIN {17}\r\n").0, [refused(16, 17, "a")]);
    assert_eq!(whole(b"a APPEND {17}\r\n").0, [refused(16, 17, "a")]);
    assert_eq!(whole(b"a APPEND x {17}\r\n").0, [FrameEvent::Continue]);
    assert_eq!(whole(b"a append x (\\Seen) {1000}\r\n").0, [FrameEvent::Continue]);
    assert_eq!(whole(b"a APPEND x {1001}\r\n").0, [refused(1000, 1001, "a")]);
    assert_eq!(whole(b"a APPEND {1+}\r\nx {1000}\r\n").0, [FrameEvent::Continue]);
    let huge = whole(b"a APPEND x {99999999999999999999999}\r\n").0;
    assert_eq!(huge, [refused(1000, u64::MAX, "a")]);
}

#[test]
fn after_a_refusal_the_next_command_is_read() {
    let (events, error) = whole(b"a LOGIN bob {17}\r\nb NOOP\r\n");
    assert_eq!(error, None);
    assert_eq!(events.len(), 2);
    assert_eq!(events[1], command(vec![text("b NOOP")]));
}

#[test]
fn literals_count_together() {
    assert!(matches!(whole(b"a X {9+}\r\n123456789{8}\r\n").0[..], [FrameEvent::Refused { .. }]));
    let (_, error) = whole(b"a X {1+}\r\n1{1+}\r\n1{1+}\r\n1{1+}\r\n1\r\n");
    assert_eq!(error, Some(FrameError::TooManyLiterals { limit: 3 }));
}

#[test]
fn what_cannot_be_refused_ends_the_stream() {
    let (events, error) = whole(b"a X {17+}\r\n12345678901234567\r\nb NOOP\r\n");
    assert!(events.is_empty());
    assert_eq!(error, Some(FrameError::LiteralTooLarge { size_bytes: 17, limit_bytes: 16 }));
    let mut framer = Framer::new(LIMITS);
    framer.feed(&[b'x'; 65]);
    assert!(framer.next_event().is_err());
    framer.feed(b"\r\nb NOOP\r\n");
    assert!(framer.next_event().is_err(), "it stays at its error");
    assert!(framer.next_line().is_err());
}

#[test]
fn the_line_limit_holds_over_all_lines_of_a_command() {
    assert_eq!(whole(&[&[b'x'; 64][..], b"\n"].concat()).1, None);
    assert!(whole(&[b'x'; 65]).1.is_some());
    let continued = [b"a X {1+}\r\n1", &[b'x'; 56][..], b"\r\n"].concat();
    assert!(whole(&continued).1.is_some());
}

#[test]
fn a_message_is_not_copied() {
    let mut framer = Framer::new(FrameLimits::authenticated(1 << 20));
    framer.feed(b"a APPEND x {300000}\r\n");
    assert_eq!(framer.next_event(), Ok(FrameEvent::Continue));
    assert_eq!(framer.next_event(), Ok(FrameEvent::NeedMore));
    assert!(framer.buffer_mut().capacity() >= 300_000);
    framer.feed(&vec![b'm'; 300_000]);
    let address = framer.buffer_mut().as_ptr();
    framer.feed(b"\r\n");
    let Ok(FrameEvent::Command(frame)) = framer.next_event() else { panic!("a command") };
    let Part::Literal { data, .. } = &frame.parts()[1] else { panic!("a literal") };
    assert_eq!(data.len(), 300_000);
    assert!(std::ptr::eq(data.as_ptr(), address) || data.iter().all(|&b| b == b'm'));
}

#[test]
fn lines_for_idle_and_sasl() {
    let mut framer = Framer::new(LIMITS);
    framer.feed(b"DO");
    assert_eq!(framer.next_line(), Ok(None));
    assert!(framer.is_mid_command());
    framer.feed(b"NE\r\nAGJ{3}\n");
    assert_eq!(framer.next_line().unwrap().unwrap(), "DONE");
    assert_eq!(framer.next_line().unwrap().unwrap(), "AGJ{3}");
    assert!(!framer.is_mid_command());
}

#[test]
fn discarded_after_starttls() {
    let mut framer = Framer::new(LIMITS);
    framer.feed(b"a STARTTLS\r\nb LOGIN x y\r\n");
    assert!(matches!(framer.next_event(), Ok(FrameEvent::Command(_))));
    assert!(framer.buffered_bytes() > 0);
    framer.discard_buffered();
    assert_eq!(framer.next_event(), Ok(FrameEvent::NeedMore));
}

/// Pieces of what clients send, so that random input meets every branch.
fn token() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"a APPEND x ".to_vec()),
        Just(b"a LOGIN ".to_vec()),
        Just(b"{3}\r\n".to_vec()),
        Just(b"{5+}\r\n".to_vec()),
        Just(b"~{2+}\r\n".to_vec()),
        Just(b"{17}\r\n".to_vec()),
        Just(b"{2000+}\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"{".to_vec()),
        Just(b"}".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #[test]
    fn framing_does_not_depend_on_how_input_is_split(
        tokens in proptest::collection::vec(token(), 0..24), cuts in proptest::collection::vec(1usize..9, 1..8),
    ) {
        let input = tokens.concat();
        let mut pieces = Vec::new();
        let mut rest = &input[..];
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(run(pieces), whole(&input));
    }
}
