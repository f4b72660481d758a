//! The SMTP and LMTP session: order, limits, and what is answered.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use mailmirror_smtp_proto::ReversePath;
use mailmirror_smtp_proto::session::{
    Action, AuthOffer, DeliveryOutcome, Event, Protocol, RecipientOutcome, Security, Session, TlsOffer,
};
use mailmirror_smtp_proto::trace::UnixSeconds;
use support::{Drive, codes, config};

const MAIL: &str = "MAIL FROM:<a@x.example>\r\n";
const RCPT: &str = "RCPT TO:<ann@a.example>\r\n";

fn smtp() -> Drive {
    let mut drive = Drive::new(config(Protocol::Smtp));
    drive.say("EHLO c.example\r\n");
    drive
}

/// base64 of "\0user\0password".
const ANN_PW: &str = "AGFubgBwdw==";
const ANN_WRONG: &str = "AGFubgB4";

#[test]
fn the_greeting_and_what_is_offered() {
    let mut drive = Drive::new(config(Protocol::Smtp));
    let said = drive.say("EHLO c.example\r\n");
    assert_eq!(
        said,
        "250-mx.a.example greets c.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n\
         250-SIZE 67108864\r\n250 STARTTLS\r\n"
    );
    drive.say("STARTTLS\r\n");
    let said = drive.say("EHLO c.example\r\n");
    assert!(said.contains("AUTH PLAIN LOGIN") && !said.contains("STARTTLS") && !said.contains("SMTPUTF8"));
    assert_eq!(drive.say("HELO c.example\r\n"), "250 mx.a.example greets c.example\r\n");
}

#[test]
fn a_message_sent_in_one_pipeline() {
    let mut drive = Drive::new(config(Protocol::Smtp));
    let said = drive.say(format!(
        "EHLO c.example\r\n{MAIL}{RCPT}RCPT TO:<none@a.example>\r\nRCPT TO:<bob@a.example>\r\nDATA\r\n\
         Subject: hi\r\n\r\nhello\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n"
    ));
    assert_eq!(codes(&said)[6..], ["250", "250", "550", "250", "354", "250", "250", "221"]);
    assert!(said.contains("250 2.0.0 message id1 is stored\r\n"), "{said}");
    assert!(drive.closed);
    let transaction = &drive.delivered[0];
    assert_eq!(transaction.body, b"Subject: hi\r\n\r\nhello\r\n");
    assert_eq!(transaction.envelope.reverse_path.to_string(), "<a@x.example>");
    let recipients: Vec<String> =
        transaction.envelope.recipients.iter().map(|recipient| recipient.path.to_string()).collect();
    assert_eq!(recipients, ["<ann@a.example>", "<bob@a.example>"]);
    let trace = transaction.envelope.trace_fields("mx.a.example", "id1", UnixSeconds(0));
    assert_eq!(
        trace,
        "Return-Path: <a@x.example>\r\nReceived: from c.example ([192.0.2.9])\r\n\tby mx.a.example with ESMTP \
         id id1;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
    );
}

#[test]
fn commands_out_of_order() {
    let table: [(&str, &[&str]); 10] = [
        ("MAIL FROM:<a@x.example>\r\n", &["503"]),
        ("RCPT TO:<ann@a.example>\r\n", &["503"]),
        ("DATA\r\n", &["503"]),
        ("AUTH PLAIN\r\n", &["538"]),
        ("STARTTLS\r\n", &["503"]),
        ("LHLO c.example\r\n", &["500"]),
        ("EHLO c\r\nRCPT TO:<ann@a.example>\r\n", &["250", "250", "250", "250", "250", "250", "503"]),
        ("HELO c\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\n", &["250", "250", "503"]),
        ("HELO c\r\nMAIL FROM:<>\r\nDATA\r\n", &["250", "250", "503"]),
        ("HELO c\r\nMAIL FROM:<>\r\nSTARTTLS\r\n", &["250", "250", "503"]),
    ];
    for (lines, want) in table {
        let mut drive = Drive::new(config(Protocol::Smtp));
        assert_eq!(codes(&drive.say(lines)), want, "{lines:?}");
    }
}

#[test]
fn rset_and_ehlo_abandon_the_transaction() {
    for verb in ["RSET\r\n", "EHLO c.example\r\n", "HELO c.example\r\n"] {
        let mut drive = smtp();
        drive.say(format!("{MAIL}{RCPT}{verb}"));
        assert_eq!(codes(&drive.say("DATA\r\n")), ["503"], "{verb}");
        assert_eq!(codes(&drive.say(MAIL)), ["250"], "{verb}");
    }
}

#[test]
fn recipients_and_their_replies() {
    let mut drive = smtp();
    drive.say(MAIL);
    for (address, want) in [
        ("ann@a.example", "250 2.1.5 "),
        ("none@a.example", "550 5.1.1 "),
        ("off@a.example", "550 5.2.1 "),
        ("full@a.example", "452 4.2.2 "),
        ("hold@a.example", "451 4.3.2 "),
        ("x@b.example", "550 5.7.1 "),
        ("postmaster", "250 2.1.5 "),
        ("ANN@A.EXAMPLE", "250 2.1.5 "),
        ("ann@a.example", "250 2.1.5 "),
    ] {
        let said = drive.say(format!("RCPT TO:<{address}>\r\n"));
        assert!(said.starts_with(want), "{address}: {said}");
    }
    drive.say("DATA\r\n.\r\n");
    assert_eq!(drive.delivered[0].envelope.recipients.len(), 2, "a mailbox is taken once");
}

#[test]
fn data_needs_a_recipient_that_was_taken() {
    let mut drive = smtp();
    assert_eq!(codes(&drive.say(format!("{MAIL}RCPT TO:<none@a.example>\r\nDATA\r\n"))), ["250", "550", "554"]);
    let mut drive = Drive::new(config(Protocol::Lmtp));
    drive.say("LHLO c.example\r\n");
    assert_eq!(codes(&drive.say(format!("{MAIL}RCPT TO:<none@a.example>\r\nDATA\r\n"))), ["250", "550", "503"]);
}

#[test]
fn too_many_recipients() {
    let mut config = config(Protocol::Smtp);
    config.limits.rcpt_max = 2;
    let mut drive = Drive::new(config);
    drive.say(format!("EHLO c\r\n{MAIL}"));
    let said = drive.say("RCPT TO:<a@a.example>\r\nRCPT TO:<b@a.example>\r\nRCPT TO:<c@a.example>\r\n");
    assert_eq!(codes(&said), ["250", "250", "452"]);
    assert!(said.contains("452 4.5.3 "));
}

#[test]
fn sizes() {
    let mut config = config(Protocol::Smtp);
    config.limits.data.message_max_bytes = 100;
    config.limits.data.line_max_bytes = 50;
    config.limits.data.discard_max_bytes = 400;
    let mut drive = Drive::new(config.clone());
    drive.say("EHLO c\r\n");
    let said = drive.say("MAIL FROM:<> SIZE=101\r\nMAIL FROM:<> SIZE=100\r\n");
    assert_eq!(codes(&said), ["552", "250"]);
    assert!(said.starts_with("552 5.3.4 "));
    drive.say(format!("{RCPT}DATA\r\n"));
    let line = "x".repeat(23) + "\r\n";
    assert_eq!(codes(&drive.say(line.repeat(4) + ".\r\n")), ["250"], "exactly 100 octets");

    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    let said = drive.say(line.repeat(4) + "x\r\n.\r\nNOOP\r\n");
    assert_eq!(codes(&said), ["552", "250"], "read to its end, refused, and in step again");

    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    assert!(drive.say("x".repeat(49) + "\r\n.\r\n").starts_with("550 5.6.0 message holds a line longer"));

    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    assert_eq!(codes(&drive.say(line.repeat(17))), ["552"]);
    assert!(drive.closed, "a message without an end is not read for ever");
    assert_eq!(drive.delivered.len(), 1);
}

#[test]
fn too_many_messages_in_memory() {
    let mut drive = smtp();
    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    drive.say("x".repeat(1000));
    assert!(drive.session.is_receiving_message());
    assert!(drive.session.held_bytes() >= 1000);
    drive.session.refuse_message_for_room();
    assert_eq!(drive.session.held_bytes(), 0);
    let said = drive.say("more\r\n.\r\nNOOP\r\n");
    assert!(said.starts_with("452 4.3.1 "), "{said}");
    assert_eq!(codes(&said), ["452", "250"]);
}

#[test]
fn a_loop_is_cut() {
    let mut drive = smtp();
    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    let said = drive.say("Received: x\r\n".repeat(101) + "\r\n.\r\n");
    assert!(said.starts_with("554 5.4.6 "), "{said}");
    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    assert_eq!(codes(&drive.say("Received: x\r\n".repeat(100) + "\r\n.\r\n")), ["250"]);
}

#[test]
fn outcomes_of_a_delivery() {
    let committed = || DeliveryOutcome::Committed { id: "7".into() };
    let table: [(Vec<DeliveryOutcome>, &str); 10] = [
        (vec![committed(), committed()], "250 2.0.0 "),
        (vec![committed(), DeliveryOutcome::NoSuchUser], "550 5.1.1 "),
        (vec![DeliveryOutcome::OverQuota, committed()], "452 4.2.2 "),
        (vec![committed(), DeliveryOutcome::DiskFull], "452 4.3.1 "),
        (vec![DeliveryOutcome::Disabled, committed()], "550 5.2.1 "),
        (vec![DeliveryOutcome::Disabled, DeliveryOutcome::TooLarge], "552 5.3.4 "),
        (vec![DeliveryOutcome::Unavailable, DeliveryOutcome::NoSuchUser], "451 4.3.2 "),
        (vec![DeliveryOutcome::Unknown, committed()], ""),
        (vec![committed()], ""),
        (vec![committed(), committed(), DeliveryOutcome::Unknown], "250 2.0.0 "),
    ];
    for (outcomes, want) in table {
        let mut drive = smtp();
        drive.outcomes.clone_from(&outcomes);
        drive.say(format!("{MAIL}{RCPT}RCPT TO:<bob@a.example>\r\nDATA\r\n"));
        let said = drive.say("x\r\n.\r\n");
        assert!(said.starts_with(want), "{outcomes:?}: {said}");
        assert_eq!(drive.closed, want.is_empty(), "n6: an unknown outcome closes without a reply");
        assert_eq!(said.is_empty(), want.is_empty());
    }
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let mut drive = Drive::new(config(Protocol::Lmtp));
    drive.outcomes =
        vec![DeliveryOutcome::Committed { id: "7".into() }, DeliveryOutcome::OverQuota, DeliveryOutcome::NoSuchUser];
    drive.say(format!(
        "LHLO c.example\r\n{MAIL}{RCPT}RCPT TO:<none@a.example>\r\nRCPT TO:<b@a.example>\r\n{RCPT}DATA\r\n"
    ));
    assert_eq!(codes(&drive.say("x\r\n.\r\n")), ["250", "452", "550"]);

    drive.outcomes = vec![DeliveryOutcome::Committed { id: "8".into() }, DeliveryOutcome::Unknown];
    drive.say(format!("{MAIL}{RCPT}{RCPT}DATA\r\n"));
    assert_eq!(codes(&drive.say("x\r\n.\r\n")), ["250"], "what is known is said, then it is closed");
    assert!(drive.closed);
}

#[test]
fn lmtp_refuses_a_bad_message_for_each_recipient() {
    let mut drive = Drive::new(config(Protocol::Lmtp));
    drive.say(format!("LHLO c.example\r\n{MAIL}{RCPT}RCPT TO:<b@a.example>\r\nDATA\r\n"));
    assert_eq!(codes(&drive.say("x\ny\r\n.\r\nNOOP\r\n")), ["550", "550", "250"]);
    assert_eq!(codes(&drive.say("EHLO c.example\r\nHELO c.example\r\n")), ["500", "500"]);
}

#[test]
fn auth_needs_tls_and_works_once() {
    let mut drive = smtp();
    assert_eq!(codes(&drive.say(format!("AUTH PLAIN {ANN_PW}\r\n"))), ["538"]);
    drive.say("STARTTLS\r\n");
    drive.say("EHLO c.example\r\n");
    assert_eq!(drive.say("AUTH PLAIN\r\n"), "334 \r\n");
    assert!(drive.say(format!("{ANN_PW}\r\n")).starts_with("235 2.7.0 "));
    assert_eq!(codes(&drive.say(format!("AUTH PLAIN {ANN_PW}\r\n"))), ["503"]);
    assert_eq!(
        codes(&drive.say(format!("{MAIL}RCPT TO:<x@b.example>\r\nDATA\r\nx\r\n.\r\n"))),
        ["250", "250", "354", "250"]
    );
    assert_eq!(drive.delivered[0].envelope.user.as_deref(), Some("ann@a.example"));
    assert_eq!(drive.delivered[0].envelope.security, Security::Tls);
}

#[test]
fn auth_failures() {
    let mut config = config(Protocol::Smtp);
    config.plaintext_login = true;
    let mut drive = Drive::new(config.clone());
    drive.say("EHLO c.example\r\n");
    assert_eq!(drive.say("AUTH LOGIN YW5u\r\n"), "334 UGFzc3dvcmQ6\r\n");
    assert!(drive.say("*\r\n").starts_with("501 5.7.0 "));
    assert!(drive.say("AUTH LOGIN\r\n!\r\n").ends_with("501 5.5.2 authentication data cannot be decoded\r\n"));
    assert!(drive.say("AUTH PLAIN bGF0ZXIAbGF0ZXIAeA==\r\n").starts_with("454 4.7.0 "));
    assert!(drive.say("AUTH PLAIN Ym9iAGFubgBwdw==\r\n").starts_with("535 5.7.8 "));
    assert_eq!(codes(&drive.say("AUTH LOGIN\r\nYW5u\r\ncHc=\r\n")), ["334", "334", "235"]);

    let mut drive = Drive::new(config);
    drive.say("EHLO c.example\r\n");
    let guess = format!("AUTH PLAIN {ANN_WRONG}\r\n");
    assert_eq!(codes(&drive.say(guess.repeat(4))), ["535", "535", "535", "421"]);
    assert!(drive.closed);
}

#[test]
fn submission_and_required_tls() {
    let mut config = config(Protocol::Smtp);
    config.auth = AuthOffer::Required;
    config.tls = TlsOffer::Required;
    let mut drive = Drive::new(config);
    drive.say("EHLO c.example\r\n");
    assert_eq!(drive.say(MAIL), "530 5.7.0 send STARTTLS first\r\n");
    drive.say("STARTTLS\r\n");
    drive.say("EHLO c.example\r\n");
    assert_eq!(drive.say(MAIL), "530 5.7.0 authentication required\r\n");
    drive.say(format!("AUTH PLAIN {ANN_PW}\r\n"));
    assert_eq!(codes(&drive.say(MAIL)), ["250"]);
    assert_eq!(codes(&drive.say("RSET\r\nSTARTTLS\r\n")), ["250", "502"], "no TLS inside TLS");
}

#[test]
fn bad_commands_end_the_session() {
    let mut config = config(Protocol::Smtp);
    config.limits.bad_commands_max = 3;
    config.limits.line_max_bytes = 20;
    let mut drive = Drive::new(config);
    let said = drive.say(format!("FOO\r\n{}\r\nDATA\r\nNOOP\r\n", "x".repeat(50)));
    assert_eq!(codes(&said), ["500", "500", "503", "421"]);
    assert!(said.contains("421 4.7.0 ") && said.contains("500 5.5.2 line too long"));
    assert!(drive.closed);
}

#[test]
fn timeout_and_shutdown() {
    let mut drive = smtp();
    assert!(drive.event(Event::IdleTimeout).starts_with("421 4.4.2 "));
    assert!(drive.closed && !drive.session.wants_input());
    let mut drive = smtp();
    assert!(drive.event(Event::Shutdown).starts_with("421 4.3.2 "));
    assert!(drive.closed);
}

#[test]
fn a_shutdown_lets_a_delivery_be_answered() {
    let mut drive = smtp();
    drive.say(format!("{MAIL}{RCPT}DATA\r\n"));
    drive.session.feed(b"x\r\n.\r\nNOOP\r\n");
    let Some(Action::Deliver(_)) = drive.session.next_action() else { panic!("no delivery") };
    assert!(drive.session.next_action().is_none() && !drive.session.wants_input());
    drive.session.on(Event::Shutdown).unwrap();
    assert!(drive.session.on(Event::RecipientResolved(RecipientOutcome::NoSuchUser)).is_err());
    let committed = DeliveryOutcome::Committed { id: "7".into() };
    assert_eq!(codes(&drive.event(Event::Delivered(vec![committed]))), ["250", "421"]);
    assert!(drive.closed);
}

#[test]
fn an_event_nobody_waits_for_changes_nothing() {
    let mut session =
        Session::new(std::sync::Arc::new(config(Protocol::Smtp)), "192.0.2.9".parse().unwrap(), Security::Plain);
    assert!(session.on(Event::TlsStarted).is_err());
    assert!(
        matches!(session.next_action(), Some(Action::Send(greeting)) if greeting.starts_with(b"220 mx.a.example "))
    );
}

#[test]
fn the_null_sender_is_a_sender() {
    let mut drive = smtp();
    drive.say(format!("MAIL FROM:<> BODY=8BITMIME SIZE=10\r\n{RCPT}DATA\r\n\u{e9}\r\n.\r\n"));
    assert_eq!(drive.delivered[0].envelope.reverse_path, ReversePath::Null);
    assert_eq!(drive.delivered[0].body, "\u{e9}\r\n".as_bytes());
}
