//! What the tests of the index share.

#![allow(dead_code, reason = "each test file uses a part of it")]

use mailmirror_log::{Location, SegmentId};
use mailmirror_model::entry::{Entry, Header, Kind};
use mailmirror_model::flags::{Flag, When};
use mailmirror_model::ids::{
    AccountId, BodyId, ChainHash, Epoch, Hlc, Incarnation, MailboxId, MessageId, NodeId, Origin, Position, Seq, Uid,
};
use mailmirror_model::operation::{Add, BodyMeta, Change, MessageRef, NewMailbox, Operation, encode};
use mailmirror_store::{AppliedEntry, Store, Writer};

pub const ACCOUNT: AccountId = AccountId(1);
pub const INBOX: MailboxId = MailboxId(10);
pub const WORK: MailboxId = MailboxId(11);

/// A location that can be told from others; these tests read no log.
pub fn location(seq: u64) -> Location {
    Location { segment: SegmentId(Seq(seq / 10 * 10)), offset_bytes: seq * 1000, length_bytes: 999 }
}

/// Writes a chained log of changes, with numbers as a master without traffic would give them.
pub struct Log {
    pub store: Store,
    pub writer: Writer,
    pub entries: Vec<Entry<Vec<u8>>>,
    position: Position,
    hash: ChainHash,
}

impl Log {
    /// One account with INBOX and Work.
    pub fn new(directory: &std::path::Path) -> Self {
        let store = Store::open(directory).unwrap();
        let writer = store.writer().unwrap();
        let position = Position { epoch: Epoch(2), seq: Seq::ZERO };
        let mut log = Self { store, writer, entries: Vec::new(), position, hash: ChainHash::ORIGIN };
        let mailboxes = [(INBOX, "INBOX"), (WORK, "Work")].map(|(mailbox, name)| NewMailbox {
            mailbox,
            name: name.to_owned(),
            special_use: None,
        });
        log.run(Change::CreateAccount {
            account: ACCOUNT,
            address: "a@example.org".to_owned(),
            password: "p".to_owned(),
            mailboxes: mailboxes.to_vec(),
            quota_bytes: Some(5000),
        });
        log
    }

    pub fn entry(&mut self, kind: Kind, payload: &[&[u8]]) -> Entry<Vec<u8>> {
        self.position.seq = self.position.seq.next();
        let counter = self.position.seq.0;
        let header = Header {
            position: self.position,
            kind,
            origin: Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter },
            clock: Hlc(counter),
            commit: Seq(counter - 1),
            previous: self.hash,
        };
        let entry = Entry::write(header, payload).unwrap();
        self.hash = entry.hash();
        self.entries.push(entry.clone());
        entry
    }

    pub fn operation(&self, change: Change) -> Operation {
        let when = When { clock: Hlc(self.position.seq.0), node: NodeId::Zero };
        let mut allocator = mailmirror_model::allocate::Allocator::new(NodeId::Zero);
        let seq = self.position.seq.next();
        self.store
            .reader()
            .snapshot(|view| Ok(allocator.allocate(view, seq, change, when, 1_700_000_000).unwrap()))
            .unwrap()
    }

    pub fn apply(&mut self, entry: &Entry<Vec<u8>>) -> AppliedEntry {
        let mut batch = self.writer.batch().unwrap();
        let became = batch.apply(entry, location(entry.header().position.seq.0)).unwrap();
        batch.commit().unwrap();
        became
    }

    pub fn write(&mut self, operation: &Operation, bodies: &[u8]) -> AppliedEntry {
        let payload = encode(operation).unwrap();
        let entry = self.entry(Kind::Operation, &[&payload, bodies]);
        self.apply(&entry)
    }

    pub fn run(&mut self, change: Change) -> AppliedEntry {
        let operation = self.operation(change);
        self.write(&operation, &[])
    }

    /// Adds one message with its body; its identity is a number.
    pub fn add(&mut self, mailbox: MailboxId, message: u128, flags: &[&str], body: &[u8]) -> AppliedEntry {
        let operation = self.operation(add(mailbox, message, flags, body));
        self.write(&operation, body)
    }
}

pub fn add(mailbox: MailboxId, message: u128, flags: &[&str], body: &[u8]) -> Change {
    let size_bytes = body.len() as u64;
    let add = Add {
        mailbox,
        message: MessageId(message),
        body: BodyId::of(body),
        size_bytes,
        internal_date_seconds: 7,
        flags: flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect(),
    };
    Change::Add { adds: vec![add], bodies: vec![BodyMeta { body: BodyId::of(body), size_bytes }] }
}

pub fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub fn expunge(uid_number: u32, message: u128) -> Change {
    let item = MessageRef { uid: uid(uid_number), message: MessageId(message) };
    Change::Expunge { mailbox: INBOX, items: vec![item] }
}
