//! The POP3 session, as tables and as dialogues.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use bytes::Bytes;
use mailmirror_smtp_proto::pop3::command::{Command, CommandError, parse};
use mailmirror_smtp_proto::pop3::session::{
    Action, Event, FetchOutcome, Listed, LoginOutcome, RemoveOutcome, Session, SessionConfig, Uidl,
};
use mailmirror_smtp_proto::session::Security;
use proptest::prelude::*;

const MESSAGES: [&[u8]; 3] = [b"Subject: 1\r\n\r\none\r\n", b"Subject: 2\r\n\r\n.dot\r\ntwo\r\n", b"gone"];

struct Drive {
    session: Session,
    removed: Vec<usize>,
    remove_outcome: RemoveOutcome,
    fetch_unavailable: bool,
    closed: bool,
}

impl Drive {
    fn new(security: Security) -> Self {
        let session = Session::new(Arc::new(SessionConfig::new("mx.a.example")), security);
        let mut drive = Self {
            session,
            removed: vec![],
            remove_outcome: RemoveOutcome::Done,
            fetch_unavailable: false,
            closed: false,
        };
        assert_eq!(drive.say(""), "+OK mx.a.example POP3 ready\r\n");
        drive
    }

    fn logged_in() -> Self {
        let mut drive = Self::new(Security::Tls);
        assert_eq!(drive.say("USER ann\r\nPASS p w\r\n"), "+OK send PASS\r\n+OK 3 messages\r\n");
        drive
    }

    fn say(&mut self, octets: impl AsRef<[u8]>) -> String {
        self.session.feed(octets.as_ref());
        let mut output = String::new();
        while let Some(action) = self.session.next_action() {
            assert!(!self.closed, "an action after Close: {action:?}");
            let event = match action {
                Action::Send(octets) => {
                    output += std::str::from_utf8(&octets).unwrap();
                    continue;
                }
                Action::Close => {
                    self.closed = true;
                    continue;
                }
                Action::StartTls => Event::TlsStarted,
                Action::LogIn(who) => Event::LoggedIn(match (who.user.as_str(), who.password.reveal()) {
                    ("ann", "p w" | "pw") => LoginOutcome::Opened(listed()),
                    ("busy", _) => LoginOutcome::InUse,
                    ("hold", _) => LoginOutcome::Unavailable,
                    _ => LoginOutcome::Rejected,
                }),
                Action::Fetch(_) if self.fetch_unavailable => Event::Fetched(FetchOutcome::Unavailable),
                Action::Fetch(2) => Event::Fetched(FetchOutcome::Gone),
                Action::Fetch(index) => Event::Fetched(FetchOutcome::Message(Bytes::from_static(MESSAGES[index]))),
                Action::Remove(indexes) => {
                    self.removed = indexes;
                    Event::Removed(self.remove_outcome)
                }
            };
            self.session.on(event).unwrap();
        }
        output
    }
}

fn listed() -> Vec<Listed> {
    let one = |(uid, message): (u32, &&[u8])| Listed { size: message.len() as u64, uidl: Uidl::new(77, uid) };
    (1..).zip(&MESSAGES).map(one).collect()
}

#[test]
fn grammar() {
    for (line, ok) in [
        ("STAT", true),
        ("stat", true),
        ("STAT 1", false),
        ("LIST", true),
        ("LIST 1", true),
        ("LIST 1 2", false),
        ("RETR 1", true),
        ("RETR", false),
        ("RETR 0", false),
        ("RETR -1", false),
        ("RETR +1", false),
        ("RETR 4294967296", false),
        ("TOP 1 0", true),
        ("TOP 1", false),
        ("TOP 1 x", false),
        ("DELE 9", true),
        ("UIDL", true),
        ("NOOP", true),
        ("RSET", true),
        ("QUIT", true),
        ("CAPA", true),
        ("STLS", true),
        ("APOP ann 0123", true),
        ("AUTH", true),
        ("AUTH PLAIN", true),
        ("AUTH PLAIN x", true),
        ("AUTH LOGIN", false),
        ("AUTH PLAIN x y", false),
        ("USER ann", true),
        ("USER", false),
        ("XTND", false),
        ("", false),
    ] {
        assert_eq!(parse(line.as_bytes()).is_ok(), ok, "{line}");
    }
    let Ok(Command::Pass(password)) = parse(b"PASS  a b ") else { panic!("not PASS") };
    assert_eq!(password.reveal(), " a b ");
    assert_eq!(parse(b"\xff"), Err(CommandError::Unknown));
}

#[test]
fn nothing_about_passwords_in_plain_text() {
    let mut drive = Drive::new(Security::Plain);
    let capabilities = drive.say("CAPA\r\n");
    assert!(capabilities.contains("STLS") && !capabilities.contains("USER") && !capabilities.contains("SASL"));
    for line in ["USER ann\r\n", "PASS x\r\n", "AUTH PLAIN\r\n"] {
        assert!(drive.say(line).starts_with("-ERR [AUTH] encryption required"), "{line}");
    }
    assert!(drive.say("STLS\r\nUSER ann\r\n").starts_with("+OK ready"), "and what came along is dropped");
    let capabilities = drive.say("CAPA\r\n");
    assert!(!capabilities.contains("STLS") && capabilities.ends_with("USER\r\nSASL PLAIN\r\n.\r\n"));
    assert!(drive.say("STLS\r\n").starts_with("-ERR"));
    assert!(drive.say("PASS x\r\n").starts_with("-ERR send USER first"));
    assert!(drive.say("APOP ann 00\r\n").starts_with("-ERR APOP is not offered"));
    assert_eq!(drive.say("AUTH\r\n"), "+OK mechanisms\r\nPLAIN\r\n.\r\n");
    assert_eq!(drive.say("AUTH PLAIN\r\nAGFubgBwdw==\r\n"), "+ \r\n+OK 3 messages\r\n");
}

#[test]
fn logins_that_fail() {
    let mut drive = Drive::new(Security::Tls);
    assert!(drive.say("STAT\r\n").starts_with("-ERR log in first"));
    assert!(drive.say("USER busy\r\nPASS x\r\n").contains("-ERR [IN-USE]"));
    let wrong = "USER ann\r\nPASS x\r\n".repeat(3);
    assert_eq!(drive.say(wrong).matches("-ERR [AUTH]").count(), 3);
    assert!(drive.closed);
    let mut drive = Drive::new(Security::Tls);
    assert!(drive.say("USER hold\r\nPASS x\r\n").contains("-ERR [SYS/TEMP]"));
    assert!(drive.closed, "n5: the session ends");
}

#[test]
fn reading() {
    let mut drive = Drive::logged_in();
    assert_eq!(drive.say("STAT\r\n"), "+OK 3 48\r\n");
    assert_eq!(drive.say("LIST\r\n"), "+OK listing follows\r\n1 19\r\n2 25\r\n3 4\r\n.\r\n");
    assert_eq!(drive.say("LIST 2\r\nLIST 4\r\n"), "+OK 2 25\r\n-ERR no such message\r\n");
    assert_eq!(drive.say("UIDL\r\n"), "+OK listing follows\r\n1 77.1\r\n2 77.2\r\n3 77.3\r\n.\r\n");
    assert_eq!(drive.say("UIDL 3\r\n"), "+OK 3 77.3\r\n");
    assert_eq!(drive.say("RETR 2\r\n"), "+OK message 2\r\nSubject: 2\r\n\r\n..dot\r\ntwo\r\n.\r\n");
    assert_eq!(drive.say("TOP 2 1\r\n"), "+OK message 2\r\nSubject: 2\r\n\r\n..dot\r\n.\r\n");
    assert_eq!(drive.say("TOP 1 0\r\n"), "+OK message 1\r\nSubject: 1\r\n\r\n.\r\n");
    assert!(drive.say("RETR 3\r\n").starts_with("-ERR message was removed"));
    assert!(drive.say("RETR 4\r\n").starts_with("-ERR no such message"));
    assert!(drive.say("USER x\r\n").starts_with("-ERR already logged in"));
    assert!(drive.say("QUIT\r\n").starts_with("+OK"));
    assert!(drive.closed && drive.removed.is_empty());
}

#[test]
fn deleting() {
    let mut drive = Drive::logged_in();
    assert_eq!(drive.say("DELE 1\r\nDELE 1\r\nRETR 1\r\n").matches("-ERR no such message").count(), 2);
    assert_eq!(drive.say("STAT\r\nLIST\r\n"), "+OK 2 29\r\n+OK listing follows\r\n2 25\r\n3 4\r\n.\r\n");
    drive.say("RSET\r\nDELE 2\r\nDELE 3\r\n");
    assert_eq!(drive.say("STAT\r\n"), "+OK 1 19\r\n");
    assert!(drive.say("QUIT\r\n").starts_with("+OK messages removed"));
    assert_eq!(drive.removed, [1, 2]);
    assert!(drive.closed);
}

#[test]
fn a_removal_that_is_not_known_to_be_committed() {
    for (outcome, want) in [(RemoveOutcome::Unavailable, "-ERR [SYS/TEMP] "), (RemoveOutcome::Unknown, "")] {
        let mut drive = Drive::logged_in();
        drive.remove_outcome = outcome;
        drive.say("DELE 1\r\n");
        let said = drive.say("QUIT\r\n");
        assert!(said.starts_with(want) && said.is_empty() == want.is_empty(), "{outcome:?}: {said}");
        assert!(drive.closed);
    }
}

#[test]
fn ends_of_a_session_without_quit_remove_nothing() {
    let mut drive = Drive::logged_in();
    drive.say("DELE 1\r\n");
    drive.session.on(Event::IdleTimeout).unwrap();
    assert!(drive.say("QUIT\r\n").starts_with("-ERR idle"));
    assert!(drive.closed && drive.removed.is_empty());
    let mut drive = Drive::logged_in();
    drive.fetch_unavailable = true;
    assert!(drive.say("DELE 1\r\nRETR 2\r\nQUIT\r\n").contains("-ERR [SYS/TEMP]"));
    assert!(drive.closed && drive.removed.is_empty());
    let mut drive = Drive::logged_in();
    drive.session.on(Event::Shutdown).unwrap();
    assert!(drive.say("").starts_with("-ERR [SYS/TEMP]"));
}

#[test]
fn bad_lines() {
    let mut drive = Drive::logged_in();
    assert!(drive.say("NOOP\n").starts_with("-ERR bare LF"));
    assert!(drive.closed);
    let mut drive = Drive::logged_in();
    assert_eq!(drive.say("FOO\r\n".repeat(25)).lines().count(), 21);
    assert!(drive.closed);
    let mut drive = Drive::logged_in();
    assert_eq!(drive.say("x".repeat(9000) + "\r\nNOOP\r\n"), "-ERR line too long\r\n+OK ok\r\n");
}

proptest! {
    #[test]
    fn any_dialogue_is_answered_the_same_however_it_is_cut(
        lines in proptest::collection::vec(prop_oneof![
            Just("USER ann\r\n"), Just("PASS pw\r\n"), Just("STAT\r\n"), Just("LIST\r\n"), Just("RETR 1\r\n"),
            Just("RETR 3\r\n"), Just("DELE 2\r\n"), Just("RSET\r\n"), Just("TOP 2 1\r\n"), Just("UIDL 1\r\n"),
            Just("AUTH PLAIN\r\n"), Just("AGFubgBwdw==\r\n"), Just("QUIT\r\n"), Just("BAD\r\n"), Just("x\n"),
        ], 0..40),
        cuts in proptest::collection::vec(1_usize..12, 0..60),
    ) {
        let octets = lines.concat();
        let mut whole = Drive::new(Security::Tls);
        let want = whole.say(&octets);
        let mut cut = Drive::new(Security::Tls);
        let mut got = String::new();
        let mut rest = octets.as_bytes();
        for size in cuts.into_iter().chain([octets.len()]) {
            let (now, later) = rest.split_at(size.min(rest.len()));
            got += &cut.say(now);
            rest = later;
        }
        prop_assert_eq!(want, got);
        prop_assert_eq!(whole.removed, cut.removed);
        prop_assert_eq!(whole.closed, cut.closed);
    }
}
