//! SMTP smuggling: nothing but CRLF `.` CRLF ends a message, nothing but CRLF ends a command, and
//! nothing sent in plain text is read under TLS.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mailmirror_smtp_proto::session::Protocol;
use support::{Drive, codes, config};

const OPEN: &str = "EHLO c.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<ann@a.example>\r\nDATA\r\n";
const SMUGGLED: &str = "MAIL FROM:<evil@x.example>\r\nRCPT TO:<ann@a.example>\r\nDATA\r\nsmuggled";

fn attempt(end: &str) -> (Vec<String>, usize) {
    let mut drive = Drive::new(config(Protocol::Smtp));
    drive.say(OPEN);
    let said = drive.say(format!("Subject: x\r\n\r\nbody{end}{SMUGGLED}\r\n.\r\nNOOP\r\n"));
    assert!(!drive.closed);
    (said.lines().map(str::to_owned).collect(), drive.delivered.len())
}

#[test]
fn no_false_end_of_data_ends_a_message() {
    let ends = [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r\n.\r",
        "\r.\n",
        "\r.\r\n",
        "\n.\r",
        "\r\n.\r\r\n",
        "\r\n\n.\r\n",
        "\r\n\r.\r\n",
        "\r\r\n.\n",
        "\r\n.\n\r\n",
        "\n\r.\n\r",
    ];
    for end in ends {
        let (said, delivered) = attempt(end);
        assert_eq!(delivered, 0, "{end:?} delivered something");
        assert_eq!(said.len(), 2, "{end:?}: {said:?}");
        assert!(said[0].starts_with("550 5.6.0 message holds a bare"), "{end:?}: {said:?}");
        assert!(said[1].starts_with("250 2.0.0"), "the session is in step after {end:?}: {said:?}");
    }
}

#[test]
fn a_nul_does_not_hide_an_end_and_is_refused() {
    let (said, delivered) = attempt("\r\n.\0\r\n");
    assert_eq!(delivered, 0);
    assert!(said[0].starts_with("550 5.6.0 message holds a NUL"), "{said:?}");
}

#[test]
fn the_true_end_ends_it() {
    let (said, delivered) = attempt("\r\n.\r\n");
    assert_eq!(delivered, 2);
    assert_eq!(codes(&said.join("\n")), ["250", "250", "250", "354", "250", "250"]);
}

#[test]
fn dots_that_are_text_are_text() {
    let mut drive = Drive::new(config(Protocol::Smtp));
    drive.say(OPEN);
    drive.say("..\r\n...\r\n.x\r\na.\r\n.\r\n");
    assert_eq!(drive.bodies(), [b".\r\n..\r\nx\r\na.\r\n"]);
}

#[test]
fn a_message_may_be_empty() {
    let mut drive = Drive::new(config(Protocol::Smtp));
    drive.say(OPEN);
    assert_eq!(codes(&drive.say(".\r\n")), ["250"]);
    assert_eq!(drive.bodies(), [b""]);
}

#[test]
fn a_command_line_without_crlf_ends_the_session() {
    for line in ["NOOP\n", "NOOP\rRSET\r\n", "EHLO x\nMAIL FROM:<a@x.example>\r\n"] {
        let mut drive = Drive::new(config(Protocol::Smtp));
        let said = drive.say(format!("{line}NOOP\r\n"));
        assert_eq!(codes(&said), ["521"], "{line:?}: {said}");
        assert!(drive.closed);
    }
}

#[test]
fn commands_sent_along_with_starttls_are_dropped() {
    let mut drive = Drive::new(config(Protocol::Smtp));
    drive.say("EHLO c.example\r\n");
    let said = drive.say("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@x.example>\r\nRSE");
    assert_eq!(codes(&said), ["220"]);
    assert_eq!(drive.tls_started, 1);
    assert_eq!(codes(&drive.say("T\r\n")), ["500"], "not the end of a line begun in plain text");
    assert_eq!(codes(&drive.say("MAIL FROM:<a@x.example>\r\n")), ["503"], "EHLO is needed again");
}
