//! A session with the outside played by a table of answers.

// Each test binary compiles its own copy and uses a part of it.
#![allow(dead_code)]

use std::sync::Arc;

use mailmirror_smtp_proto::session::{
    Action, AuthOffer, AuthOutcome, DeliveryOutcome, Event, Limits, Protocol, RecipientKey, RecipientOutcome, Security,
    Session, SessionConfig, TlsOffer, Transaction,
};

/// Drives a session and keeps what it did.
pub struct Drive {
    pub session: Session,
    pub output: String,
    pub delivered: Vec<Transaction>,
    pub outcomes: Vec<DeliveryOutcome>,
    pub tls_started: usize,
    pub closed: bool,
}

pub fn config(protocol: Protocol) -> SessionConfig {
    SessionConfig {
        hostname: "mx.a.example".into(),
        protocol,
        tls: TlsOffer::Offered,
        auth: AuthOffer::Offered,
        plaintext_login: false,
        limits: Limits::default(),
    }
}

impl Drive {
    pub fn new(config: SessionConfig) -> Self {
        let mut drive = Self {
            session: Session::new(Arc::new(config), "192.0.2.9".parse().unwrap(), Security::Plain),
            output: String::new(),
            delivered: Vec::new(),
            outcomes: Vec::new(),
            tls_started: 0,
            closed: false,
        };
        drive.run();
        drive.output.clear();
        drive
    }

    /// Feeds octets, plays the outside and returns the replies.
    pub fn say(&mut self, octets: impl AsRef<[u8]>) -> String {
        self.session.feed(octets.as_ref());
        self.run();
        std::mem::take(&mut self.output)
    }

    pub fn event(&mut self, event: Event) -> String {
        self.session.on(event).unwrap();
        self.run();
        std::mem::take(&mut self.output)
    }

    pub fn run(&mut self) {
        while let Some(action) = self.session.next_action() {
            assert!(!self.closed, "an action after Close: {action:?}");
            match action {
                Action::Send(octets) => self.output += std::str::from_utf8(&octets).unwrap(),
                Action::Close => self.closed = true,
                Action::StartTls => {
                    self.tls_started += 1;
                    self.session.on(Event::TlsStarted).unwrap();
                }
                Action::Authenticate(credentials) => {
                    let outcome = match (credentials.user.as_str(), credentials.password.reveal()) {
                        ("ann", "pw") => AuthOutcome::Accepted { account: "ann@a.example".into() },
                        ("later", _) => AuthOutcome::Unavailable,
                        _ => AuthOutcome::Rejected,
                    };
                    self.session.on(Event::Authenticated(outcome)).unwrap();
                }
                Action::ResolveRecipient(query) => {
                    let outcome = match query.recipient.to_string().as_str() {
                        "<none@a.example>" => RecipientOutcome::NoSuchUser,
                        "<off@a.example>" => RecipientOutcome::Disabled,
                        "<full@a.example>" => RecipientOutcome::OverQuota,
                        "<hold@a.example>" => RecipientOutcome::Unavailable,
                        other if other.ends_with("@b.example>") && query.user.is_none() => {
                            RecipientOutcome::RelayDenied
                        }
                        other => RecipientOutcome::Accepted(key_of(other)),
                    };
                    self.session.on(Event::RecipientResolved(outcome)).unwrap();
                }
                Action::Deliver(transaction) => {
                    let count = transaction.envelope.recipients.len();
                    self.delivered.push(*transaction);
                    let committed = DeliveryOutcome::Committed { id: "id1".into() };
                    let outcomes =
                        if self.outcomes.is_empty() { vec![committed; count] } else { self.outcomes.clone() };
                    self.session.on(Event::Delivered(outcomes)).unwrap();
                }
            }
        }
    }

    /// The bodies delivered so far.
    pub fn bodies(&self) -> Vec<&[u8]> {
        self.delivered.iter().map(|transaction| transaction.body.as_slice()).collect()
    }
}

/// One key for all ways to write one mailbox.
fn key_of(path: &str) -> RecipientKey {
    let folded = path.to_ascii_lowercase();
    RecipientKey(folded.bytes().fold(7, |key: u128, octet| key.wrapping_mul(0x0100_0000_01b3) ^ u128::from(octet)))
}

/// The first three octets of each reply line.
pub fn codes(output: &str) -> Vec<&str> {
    output.lines().filter_map(|line| line.get(..3)).collect()
}
