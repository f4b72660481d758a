//! The command grammar, as tables of lines.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use mailmirror_smtp_proto::address::{AddressError, Domain};
use mailmirror_smtp_proto::command::{BodyKind, Command, CommandError, MailCommand, parse};
use mailmirror_smtp_proto::sasl::Mechanism;
use mailmirror_smtp_proto::{Address, ForwardPath, ReversePath};

fn rcpt(line: &str) -> Result<ForwardPath, CommandError> {
    match parse(line.as_bytes())? {
        Command::Rcpt(path) => Ok(path),
        other => panic!("{line} is {other:?}"),
    }
}

fn mail(line: &str) -> Result<MailCommand, CommandError> {
    match parse(line.as_bytes())? {
        Command::Mail(mail) => Ok(mail),
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn recipients_that_are_understood() {
    let table = [
        ("RCPT TO:<ann@a.example>", "<ann@a.example>"),
        ("rcpt to:<Ann@A.EXAMPLE>", "<Ann@a.example>"),
        ("RCPT TO: <ann@a.example> ", "<ann@a.example>"),
        ("RCPT TO:<postmaster>", "<postmaster>"),
        ("RCPT TO:<PostMaster>", "<postmaster>"),
        ("RCPT TO:<Postmaster@a.example>", "<Postmaster@a.example>"),
        ("RCPT TO:<\"a b\"@a.example>", "<\"a b\"@a.example>"),
        ("RCPT TO:<\"a\\\"b\\\\\"@a.example>", "<\"a\\\"b\\\\\"@a.example>"),
        ("RCPT TO:<\"a@b\"@a.example>", "<\"a@b\"@a.example>"),
        ("RCPT TO:<\"ann\"@a.example>", "<ann@a.example>"),
        ("RCPT TO:<\"\"@a.example>", "<\"\"@a.example>"),
        ("RCPT TO:<a@[192.0.2.1]>", "<a@[192.0.2.1]>"),
        ("RCPT TO:<a@[ipv6:2001:DB8::1]>", "<a@[IPv6:2001:db8::1]>"),
        ("RCPT TO:<@x.example,@[192.0.2.1]:ann@a.example>", "<ann@a.example>"),
        ("RCPT TO:<o'neil+tag/x=y@a.example>", "<o'neil+tag/x=y@a.example>"),
        ("RCPT TO:<a.b.c@xn--mnchen-3ya.example>", "<a.b.c@xn--mnchen-3ya.example>"),
    ];
    for (line, want) in table {
        assert_eq!(rcpt(line).unwrap().to_string(), want, "{line}");
    }
}

#[test]
fn recipients_that_are_refused() {
    let syntax = CommandError::Recipient(AddressError::Syntax);
    let table = [
        ("RCPT TO:<>", syntax),
        ("RCPT TO:<ann>", syntax),
        ("RCPT TO:ann@a.example", syntax),
        ("RCPT TO:<ann@a.example", syntax),
        ("RCPT TO:<ann@>", syntax),
        ("RCPT TO:<@a.example>", syntax),
        ("RCPT TO:<a..b@a.example>", syntax),
        ("RCPT TO:<.a@a.example>", syntax),
        ("RCPT TO:<a b@a.example>", syntax),
        ("RCPT TO:<a@b@a.example>", syntax),
        ("RCPT TO:<a@-a.example>", syntax),
        ("RCPT TO:<a@a..example>", syntax),
        ("RCPT TO:<a@a.example.>", syntax),
        ("RCPT TO:<a@[192.0.2.256]>", syntax),
        ("RCPT TO:<a@[tag:x]>", syntax),
        ("RCPT TO:<a@[192.0.2.1>", syntax),
        ("RCPT TO:<\"a@a.example>", syntax),
        ("RCPT TO:<@x.example ann@a.example>", syntax),
        ("RCPT TO:<b\u{fc}ro@a.example>", CommandError::Recipient(AddressError::NonAscii)),
        ("RCPT TO:<ann@a.example>x", CommandError::Argument),
        ("RCPT TO:<ann@a.example> NOTIFY=NEVER", CommandError::UnknownParameter),
        ("RCPT", CommandError::Argument),
        ("RCPT FROM:<a@a.example>", CommandError::Argument),
    ];
    for (line, want) in table {
        assert_eq!(rcpt(line).unwrap_err(), want, "{line}");
    }
}

#[test]
fn lengths_of_rfc_5321_section_4_5_3_1() {
    let local = |length| "l".repeat(length);
    let domain = |length: usize| {
        let labels = format!("{}.", "d".repeat(62)).repeat((length - 1) / 63);
        format!("{labels}{}", "e".repeat(length - labels.len()))
    };
    let try_one = |local: String, domain: String| rcpt(&format!("RCPT TO:<{local}@{domain}>"));
    assert!(try_one(local(64), "a.example".into()).is_ok());
    assert_eq!(
        try_one(local(65), "a.example".into()).unwrap_err(),
        CommandError::Recipient(AddressError::LocalPartTooLong)
    );
    assert!(try_one(local(1), domain(252)).is_ok());
    assert_eq!(try_one(local(2), domain(252)).unwrap_err(), CommandError::Recipient(AddressError::PathTooLong));
    for too_long in [domain(256), "d".repeat(64)] {
        assert_eq!(try_one(local(1), too_long).unwrap_err(), CommandError::Recipient(AddressError::DomainTooLong));
    }
}

#[test]
fn senders_and_their_parameters() {
    let plain = mail("MAIL FROM:<ann@a.example>").unwrap();
    assert_eq!((plain.size, plain.body), (None, BodyKind::SevenBit));
    assert_eq!(mail("MAIL FROM:<>").unwrap().reverse_path, ReversePath::Null);
    let full = mail("mail from:<ann@a.example> size=1000 Body=8BitMime AUTH=<>").unwrap();
    assert_eq!((full.size, full.body), (Some(1000), BodyKind::EightBitMime));
    assert!(mail("MAIL FROM:<a@a.example> AUTH=e+3Dmc2@example.com").is_ok());
    let huge = mail("MAIL FROM:<> SIZE=99999999999999999999").unwrap();
    assert_eq!(huge.size, Some(u64::MAX));

    let table = [
        ("MAIL FROM:<postmaster>", CommandError::Sender(AddressError::Syntax)),
        ("MAIL FROM:<ann>", CommandError::Sender(AddressError::Syntax)),
        ("MAIL FROM:<\u{e9}@a.example>", CommandError::Sender(AddressError::NonAscii)),
        ("MAIL TO:<a@a.example>", CommandError::Argument),
        ("MAIL FROM:<> SMTPUTF8", CommandError::UnknownParameter),
        ("MAIL FROM:<> RET=HDRS", CommandError::UnknownParameter),
        ("MAIL FROM:<> SIZE=", CommandError::BadParameter),
        ("MAIL FROM:<> SIZE", CommandError::BadParameter),
        ("MAIL FROM:<> SIZE=-1", CommandError::BadParameter),
        ("MAIL FROM:<> SIZE=123456789012345678901", CommandError::BadParameter),
        ("MAIL FROM:<> SIZE=1 SIZE=1", CommandError::BadParameter),
        ("MAIL FROM:<> BODY=BINARYMIME", CommandError::BadParameter),
        ("MAIL FROM:<> AUTH=a+2", CommandError::BadParameter),
        ("MAIL FROM:<> =x", CommandError::Argument),
    ];
    for (line, want) in table {
        assert_eq!(mail(line).unwrap_err(), want, "{line}");
    }
}

#[test]
fn the_other_verbs() {
    for (line, want) in [
        ("DATA", Command::Data),
        ("data ", Command::Data),
        ("rset", Command::Rset),
        ("NOOP anything at all", Command::Noop),
        ("QUIT", Command::Quit),
        ("VRFY ann", Command::Vrfy),
        ("EXPN list", Command::Expn),
        ("HELP", Command::Help),
        ("HELP MAIL", Command::Help),
        ("starttls", Command::StartTls),
        ("AUTH LOGIN", Command::Auth { mechanism: Mechanism::Login, initial: None }),
        ("auth plain =", Command::Auth { mechanism: Mechanism::Plain, initial: Some("=".into()) }),
    ] {
        assert_eq!(parse(line.as_bytes()), Ok(want), "{line}");
    }
    for line in ["HELO my_host.example", "EHLO [192.0.2.1]", "LHLO [IPv6:2001:db8::1]", "EHLO x"] {
        assert!(parse(line.as_bytes()).is_ok(), "{line}");
    }
    let table: [(&[u8], CommandError); 13] = [
        (b"", CommandError::Unknown),
        (b" NOOP", CommandError::Unknown),
        (b"BDAT 3 LAST", CommandError::Unknown),
        (b"GET / HTTP/1.1", CommandError::Unknown),
        (b"DATA now", CommandError::Argument),
        (b"EHLO", CommandError::Argument),
        (b"EHLO a b", CommandError::Argument),
        (b"VRFY", CommandError::Argument),
        (b"AUTH", CommandError::Argument),
        (b"AUTH PLAIN a b", CommandError::Argument),
        (b"AUTH CRAM-MD5", CommandError::UnknownMechanism),
        (b"NOOP \x00", CommandError::NotPrintable),
        (b"NOOP \xff", CommandError::NotPrintable),
    ];
    for (line, want) in table {
        assert_eq!(parse(line), Err(want), "{line:?}");
    }
    assert_eq!(parse(b"RCPT TO:<b\xfcro@a.example>"), Err(CommandError::Recipient(AddressError::NonAscii)));
}

#[test]
fn errors_carry_their_codes() {
    let table: [(&[u8], &str); 9] = [
        (b"FOO", "500 5.5.1 "),
        (b"NOOP \x07", "500 5.5.2 "),
        (b"MAIL", "501 5.5.4 "),
        (b"MAIL FROM:<x>", "501 5.1.7 "),
        (b"RCPT TO:<x>", "501 5.1.3 "),
        (b"RCPT TO:<\xc3\xa9@a.example>", "553 5.6.7 "),
        (b"MAIL FROM:<> SMTPUTF8", "555 5.5.4 "),
        (b"MAIL FROM:<> BODY=X", "501 5.5.4 "),
        (b"AUTH X", "504 5.5.4 "),
    ];
    for (line, want) in table {
        let reply = parse(line).unwrap_err().reply().to_bytes();
        assert!(reply.starts_with(want.as_bytes()), "{line:?}: {}", String::from_utf8_lossy(&reply));
    }
}

#[test]
fn addresses_are_equal_when_they_mean_the_same() {
    let read = |text: &str| text.parse::<Address>().unwrap();
    assert_eq!(read("\"ann\"@A.example"), read("ann@a.EXAMPLE"));
    assert_ne!(read("Ann@a.example"), read("ann@a.example"));
    assert_eq!(read("\"a b\"@a.example").local(), "a b");
    assert_eq!(read("a@[192.0.2.1]").domain().literal(), Some("192.0.2.1".parse().unwrap()));
    assert_eq!("A.Example".parse::<Domain>().unwrap().name(), Some("a.example"));
    assert!("<a@a.example>".parse::<Address>().is_err());
    assert!("a@a.example x".parse::<Address>().is_err());
}
