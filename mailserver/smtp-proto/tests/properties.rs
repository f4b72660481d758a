//! Properties: nothing panics, the cut of the reads does not matter, and messages come out as they
//! went in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use bytes::BytesMut;
use mailmirror_smtp_proto::Address;
use mailmirror_smtp_proto::command;
use mailmirror_smtp_proto::data::{DataEnd, DataLimits, DataReceiver, write_stuffed};
use mailmirror_smtp_proto::pop3;
use mailmirror_smtp_proto::session::Protocol;
use proptest::prelude::*;
use support::{Drive, config};

const LIMITS: DataLimits = DataLimits { message_max_bytes: 60, line_max_bytes: 30, discard_max_bytes: 200 };

fn receive(octets: &[u8], cuts: &[usize], limits: DataLimits) -> (Option<DataEnd>, Vec<u8>) {
    let mut receiver = DataReceiver::new(limits);
    let mut input = BytesMut::new();
    let mut rest = octets;
    for &cut in cuts.iter().chain([&octets.len()]) {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
        if let Some(end) = receiver.receive(&mut input) {
            input.extend_from_slice(rest);
            return (Some(end), input.to_vec());
        }
    }
    (None, input.to_vec())
}

/// Octets that make ends of data and of lines likely.
fn spicy_octets(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![4 => Just(b'\r'), 4 => Just(b'\n'), 4 => Just(b'.'), 4 => Just(b'x'), 1 => any::<u8>()];
    let piece = prop_oneof![octet.prop_map(|octet| vec![octet]), Just(b"\r\n".to_vec()), Just(b"\r\n.\r\n".to_vec())];
    proptest::collection::vec(piece, 0..max).prop_map(|pieces| pieces.concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1_usize..9, 0..60)
}

/// Lines of a dialogue, right and wrong.
fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("EHLO c.example\r\n"),
        Just("LHLO c\r\n"),
        Just("HELO c\r\n"),
        Just("MAIL FROM:<a@x.example>\r\n"),
        Just("MAIL FROM:<> SIZE=10\r\n"),
        Just("RCPT TO:<ann@a.example>\r\n"),
        Just("RCPT TO:<none@a.example>\r\n"),
        Just("RCPT TO:<postmaster>\r\n"),
        Just("DATA\r\n"),
        Just("DATA\r\nSubject: x\r\n\r\nhello\r\n.\r\n"),
        Just("x\r\n.\r\n"),
        Just(".\r\n"),
        Just("a\nb\r\n.\r\n"),
        Just("RSET\r\n"),
        Just("NOOP\r\n"),
        Just("QUIT\r\n"),
        Just("STARTTLS\r\n"),
        Just("AUTH PLAIN\r\n"),
        Just("AUTH PLAIN AGFubgBwdw==\r\n"),
        Just("*\r\n"),
        Just("AUTH LOGIN YW5u\r\n"),
        Just("cHc=\r\n"),
        Just("FOO\r\n"),
        Just("\r\n"),
        Just("VRFY x\r\n"),
        Just("NOOP xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"),
    ];
    proptest::collection::vec(line, 0..40).prop_map(|lines| lines.concat().into_bytes())
}

fn converse(octets: &[u8], cuts: &[usize], protocol: Protocol) -> (String, usize, bool) {
    let mut config = config(protocol);
    config.limits.line_max_bytes = 40;
    config.limits.data = LIMITS;
    // What follows STARTTLS in the same read is dropped, so the cut of the reads does matter for it.
    config.tls = mailmirror_smtp_proto::session::TlsOffer::None;
    config.plaintext_login = true;
    let mut drive = Drive::new(config);
    let mut output = String::new();
    let mut rest = octets;
    for &cut in cuts.iter().chain([&octets.len()]) {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        output += &drive.say(now);
        rest = later;
    }
    (output, drive.delivered.len(), drive.closed)
}

proptest! {
    #[test]
    fn parsers_never_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = command::parse(&line);
        let _ = pop3::command::parse(&line);
    }

    #[test]
    fn near_misses_never_panic(
        verb in prop_oneof![Just("MAIL FROM:"), Just("RCPT TO:"), Just("AUTH "), Just("EHLO "), Just("TOP "), Just("PASS ")],
        rest in "\\PC{0,80}",
    ) {
        let line = format!("{verb}{rest}");
        let _ = command::parse(line.as_bytes());
        let _ = pop3::command::parse(line.as_bytes());
    }

    #[test]
    fn addresses_survive_being_written(local in "[ -~]{0,64}", domain in "[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,4}") {
        let quoted: String = local.chars().flat_map(|letter| ['\\', letter]).collect();
        let address: Address = format!("\"{quoted}\"@{domain}").parse().unwrap();
        prop_assert_eq!(address.local(), local);
        prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }

    #[test]
    fn any_message_comes_out_as_it_went_in(
        lines in proptest::collection::vec(proptest::collection::vec(
            any::<u8>().prop_filter("text", |octet| !matches!(octet, 0 | b'\r' | b'\n')), 0..20), 0..20),
        dots in proptest::collection::vec(any::<bool>(), 20),
        cuts in cuts(),
    ) {
        let mut message = Vec::new();
        for (line, dot) in lines.iter().zip(dots) {
            if dot { message.push(b'.'); }
            message.extend_from_slice(line);
            message.extend_from_slice(b"\r\n");
        }
        let mut wire = Vec::new();
        write_stuffed(&message, &mut wire);
        wire.extend_from_slice(b"NOOP\r\n");
        let roomy = DataLimits { message_max_bytes: 1 << 20, line_max_bytes: 1000, discard_max_bytes: 1 << 20 };
        let (end, rest) = receive(&wire, &cuts, roomy);
        prop_assert_eq!(end, Some(DataEnd::Message(message)));
        prop_assert_eq!(rest, b"NOOP\r\n");
    }

    #[test]
    fn the_cut_of_the_reads_does_not_change_a_message(octets in spicy_octets(80), cuts in cuts()) {
        let (whole, rest) = receive(&octets, &[], LIMITS);
        let (cut, rest_cut) = receive(&octets, &cuts, LIMITS);
        prop_assert_eq!(&whole, &cut);
        if whole != Some(DataEnd::Endless) {
            prop_assert_eq!(rest, rest_cut);
        }
    }

    /// An accepted message has nothing that anybody could take for another end of line or of data.
    #[test]
    fn what_is_accepted_is_unambiguous(octets in spicy_octets(40), cuts in cuts()) {
        let mut wire = octets;
        wire.extend_from_slice(b"\r\n.\r\n");
        let (end, rest) = receive(&wire, &cuts, LIMITS);
        if let Some(DataEnd::Message(message)) = end {
            let text = message.iter().map(|&octet| char::from(octet)).collect::<String>();
            prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
            prop_assert!(text.is_empty() || text.ends_with("\r\n"));
            let consumed = &wire[..wire.len() - rest.len()];
            let first = consumed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5);
            let at_start = consumed.starts_with(b".\r\n").then_some(3);
            prop_assert_eq!(at_start.or(first), Some(consumed.len()));
        }
    }

    #[test]
    fn the_cut_of_the_reads_does_not_change_a_session(
        octets in prop_oneof![3 => dialogue(), 1 => spicy_octets(60)],
        cuts in cuts(),
        protocol in prop_oneof![Just(Protocol::Smtp), Just(Protocol::Lmtp)],
    ) {
        prop_assert_eq!(converse(&octets, &[], protocol), converse(&octets, &cuts, protocol));
    }

    /// Every reply is well formed, whatever was said.
    #[test]
    fn replies_are_well_formed(octets in prop_oneof![3 => dialogue(), 1 => spicy_octets(60)]) {
        let (output, _, _) = converse(&octets, &[], Protocol::Smtp);
        for line in output.split_terminator("\r\n") {
            prop_assert!(line.len() >= 4 && line.len() <= 510, "{line:?}");
            prop_assert!(line.as_bytes()[..3].iter().all(u8::is_ascii_digit), "{line:?}");
            prop_assert!(matches!(line.as_bytes()[3], b' ' | b'-'), "{line:?}");
            prop_assert!(line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{line:?}");
        }
    }
}
