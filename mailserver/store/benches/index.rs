//! How fast the index follows the log: `cargo bench -p mailmirror-store --bench index -- [messages] [mailboxes]`.
//!
//! One thread, entries with bodies of 8 KiB that stay in memory, 64 to a transaction; then what a session, a status page
//! and a proof of equality ask.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_precision_loss)]

use mailmirror_log::{Location, SegmentId};
use mailmirror_model::allocate::Allocator;
use mailmirror_model::entry::{Entry, Header, Kind};
use mailmirror_model::flags::{Flag, When};
use mailmirror_model::ids::{
    AccountId, BodyId, ChainHash, Epoch, Hlc, Incarnation, MailboxId, MessageId, ModSeq, NodeId, Origin, Position, Seq,
    Uid,
};
use mailmirror_model::memory::MemoryState;
use mailmirror_model::operation::{Add, BodyMeta, Change, FlagItem, MessageRef, NewMailbox, encode};
use mailmirror_model::sample::Random;
use mailmirror_store::{Snapshot, Store, Writer};
use std::time::{Duration, Instant};

const BATCH: usize = 64;
const MAILBOXES_PER_ACCOUNT: u64 = 10;

struct Source {
    allocator: Allocator,
    empty: MemoryState,
    position: Position,
    hash: ChainHash,
    random: Random,
}

impl Source {
    fn entry(&mut self, change: Change, body: &[u8]) -> Entry<Vec<u8>> {
        self.position.seq = self.position.seq.next();
        let seq = self.position.seq;
        let when = When { clock: Hlc(seq.0), node: NodeId::Zero };
        let operation = self.allocator.allocate(&self.empty, seq, change, when, 1_700_000_000).unwrap();
        let header = Header {
            position: self.position,
            kind: Kind::Operation,
            origin: Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: seq.0 },
            clock: Hlc(seq.0),
            commit: Seq(seq.0 - 1),
            previous: self.hash,
        };
        let entry = Entry::write(header, &[&encode(&operation).unwrap(), body]).unwrap();
        self.hash = entry.hash();
        entry
    }

    fn id(&mut self) -> u128 {
        u128::from(self.random.bits()) << 64 | u128::from(self.random.bits())
    }

    fn add(&mut self, mailbox: u64, body: &[u8]) -> Change {
        let (size_bytes, id) = (body.len() as u64, self.id());
        let add = Add {
            mailbox: MailboxId(mailbox.into()),
            message: MessageId(id),
            body: BodyId(id),
            size_bytes,
            internal_date_seconds: 1_700_000_000,
            flags: Vec::new(),
        };
        Change::Add { adds: vec![add], bodies: vec![BodyMeta { body: BodyId(id), size_bytes }] }
    }
}

/// Applies entries as they are made; only the time of the index counts.
fn follow(writer: &mut Writer, count: u64, mut next: impl FnMut(u64) -> Entry<Vec<u8>>) -> Duration {
    let mut spent = Duration::ZERO;
    let mut at = 0;
    while at < count {
        let entries: Vec<_> =
            (0..BATCH as u64).take_while(|more| at + more < count).map(|more| next(at + more)).collect();
        at += entries.len() as u64;
        let begun = Instant::now();
        let mut batch = writer.batch().unwrap();
        for entry in &entries {
            let seq = entry.header().position.seq;
            let location = Location { segment: SegmentId(seq), offset_bytes: 0, length_bytes: 1 };
            batch.apply(entry, location).unwrap();
        }
        batch.commit().unwrap();
        spent += begun.elapsed();
    }
    spent
}

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = run();
    println!("{what:<44} {:>10.2} ms", begun.elapsed().as_secs_f64() * 1000.0);
    result
}

fn rate(what: &str, count: u64, spent: Duration) {
    println!("{what:<44} {:>10.0} /s", count as f64 / spent.as_secs_f64());
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() / 1024
}

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let (messages, mailboxes) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(1000));
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut writer = store.writer().unwrap();
    let mut source = Source {
        allocator: Allocator::new(NodeId::Zero),
        empty: MemoryState::default(),
        position: Position { epoch: Epoch(2), seq: Seq::ZERO },
        hash: ChainHash::ORIGIN,
        random: Random(1),
    };
    println!("{messages} messages in {mailboxes} mailboxes");

    let accounts = mailboxes.div_ceil(MAILBOXES_PER_ACCOUNT);
    let spent = follow(&mut writer, accounts, |account| {
        let mailboxes = (0..MAILBOXES_PER_ACCOUNT).map(|at| NewMailbox {
            mailbox: MailboxId(u128::from(account * MAILBOXES_PER_ACCOUNT + at)),
            name: if at == 0 { "INBOX".to_owned() } else { format!("folder {at}") },
            special_use: None,
        });
        let create = Change::CreateAccount {
            account: AccountId(account.into()),
            address: format!("user{account}@example.org"),
            password: "{ssha}x".to_owned(),
            mailboxes: mailboxes.collect(),
            quota_bytes: None,
        };
        source.entry(create, &[])
    });
    rate("accounts with ten mailboxes", accounts, spent);

    let body = vec![b'x'; 8192];
    let spent = follow(&mut writer, messages, |_| {
        let mailbox = source.random.below(mailboxes);
        let add = source.add(mailbox, &body);
        source.entry(add, &body)
    });
    rate("messages added, mailboxes at random", messages, spent);

    let some = store.reader().snapshot(|snapshot| snapshot.rows(MailboxId(0))).unwrap();
    let spent = follow(&mut writer, 10_000, |at| {
        let row = &some[usize::try_from(at).unwrap() % some.len()];
        let flag = if at.is_multiple_of(2) { Flag::Seen } else { Flag::Flagged };
        let target = MessageRef { uid: row.uid, message: row.id };
        let set = (at / 2 / some.len() as u64).is_multiple_of(2);
        let (set, clear) = if set { (vec![flag], vec![]) } else { (vec![], vec![flag]) };
        let items = vec![FlagItem { target, set, clear }];
        source.entry(Change::Flags { mailbox: MailboxId(0), items, unchanged_since: None }, &[])
    });
    rate("flag changes", 10_000, spent);

    let reader = store.reader();
    let rows = timed("rows of a mailbox", || reader.snapshot(|s| s.rows(MailboxId(1))).unwrap());
    println!("{:<44} {:>10}", "  of which there are", rows.len());
    timed("changes since the last but one", || {
        let since = |s: &Snapshot| s.changes_since(MailboxId(0), ModSeq(10_000));
        reader.snapshot(since).unwrap()
    });
    timed("mailboxes of an account with counters", || reader.snapshot(|s| s.mailbox_statuses(AccountId(1))).unwrap());
    timed("root digest", || reader.snapshot(Snapshot::root_digest).unwrap());
    timed("digest of a mailbox by its messages", || {
        let last = Uid::new(u32::MAX).unwrap();
        reader.snapshot(|s| s.range_digest(MailboxId(0), Uid::FIRST, last)).unwrap()
    });
    timed("totals", || reader.snapshot(Snapshot::totals).unwrap());
    let size: u64 =
        std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    println!("{:<44} {:>10} MiB", "files", size >> 20);
    drop((writer, reader, store));
    println!("{:<44} {:>10} MiB", "resident, all closed", resident_mib());
    let store = timed("open", || Store::open(directory.path()).unwrap());
    let mut writer = timed("open for writing", || store.writer().unwrap());
    timed("reset", || writer.reset().unwrap());
}
