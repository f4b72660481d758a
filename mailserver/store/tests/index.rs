//! Single cases of the index.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{ACCOUNT, INBOX, Log, WORK, add, expunge, location, uid};
use mailmirror_model::entry::Kind;
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{AccountId, BodyId, MessageId, ModSeq, NodeId, Seq};
use mailmirror_model::operation::{Add, Change, FlagItem, MessageRef, encode};
use mailmirror_model::outcome::{Done, Outcome};
use mailmirror_model::state::View;
use mailmirror_store::{AppliedEntry, Reader, Scope, Snapshot, Store, StoreError, Vanished};
use std::sync::mpsc;

fn flag(uid_number: u32, message: u128, flag: &str) -> Change {
    let target = MessageRef { uid: uid(uid_number), message: MessageId(message) };
    let item = FlagItem { target, set: vec![Flag::parse(flag).unwrap()], clear: Vec::new() };
    Change::Flags { mailbox: INBOX, items: vec![item], unchanged_since: None }
}

fn messages(reader: &Reader) -> u64 {
    reader.snapshot(Snapshot::totals).unwrap().messages
}

#[test]
fn a_body_is_found_in_its_entry_and_goes_with_its_last_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    let body = b"Subject: x\r\n\r\nhello\r\n";
    log.add(INBOX, 1, &[], body);
    let found = log.store.reader().snapshot(|s| s.body(BodyId::of(body))).unwrap().expect("its place");
    let entry = log.entries.last().unwrap();
    assert_eq!(found.entry, location(entry.header().position.seq.0));
    let from = usize::try_from(found.offset_in_entry).unwrap();
    assert_eq!(&entry.bytes()[from..from + usize::try_from(found.size_bytes).unwrap()], body);

    let copy = Add {
        mailbox: WORK,
        message: MessageId(2),
        body: BodyId::of(body),
        size_bytes: body.len() as u64,
        internal_date_seconds: 0,
        flags: Vec::new(),
    };
    log.run(Change::Add { adds: vec![copy], bodies: Vec::new() });
    // The same bytes once more do not move it.
    log.add(INBOX, 3, &[], body);
    log.run(expunge(1, 1));
    log.run(expunge(2, 3));
    assert_eq!(log.store.reader().snapshot(|s| s.body(BodyId::of(body))).unwrap(), Some(found));
    log.run(Change::DeleteMailbox { account: ACCOUNT, mailbox: WORK });
    assert_eq!(log.store.reader().snapshot(|s| s.body(BodyId::of(body))).unwrap(), None);
    assert!(log.store.reader().snapshot(Snapshot::segment_use).unwrap().is_empty());
}

#[test]
fn u2_changes_since_a_modseq_are_told_down_to_the_floor() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    for message in 1..=6_u32 {
        log.add(INBOX, message.into(), &[], b"x");
    }
    let before = log.store.reader().snapshot(|s| s.mailbox(INBOX)).unwrap().unwrap().highest_modseq;
    for message in 1..=3_u32 {
        log.run(expunge(message, message.into()));
    }
    log.run(flag(5, 5, "$Work"));
    let since = |log: &Log, modseq| log.store.reader().snapshot(|s| s.changes_since(INBOX, modseq)).unwrap().unwrap();
    let changes = since(&log, before);
    assert_eq!(changes.changed.iter().map(|row| row.uid.get()).collect::<Vec<_>>(), [5]);
    assert_eq!(changes.changed[0].flags().map(ToString::to_string).collect::<Vec<_>>(), ["$Work"]);
    assert_eq!(changes.vanished, Vanished::These(vec![uid(1), uid(2), uid(3)]));

    let mut batch = log.writer.batch().unwrap();
    assert_eq!(batch.prune_tombstones(1).unwrap(), 2);
    batch.commit().unwrap();
    assert_eq!(since(&log, before).vanished, Vanished::AllAbsent);
    let floor = log.store.reader().snapshot(|s| s.mailbox_status(INBOX)).unwrap().unwrap().tombstone_floor;
    assert_eq!(since(&log, floor).vanished, Vanished::These(vec![uid(3)]));
    assert_eq!(since(&log, ModSeq(u64::MAX)).vanished, Vanished::These(vec![]));
}

#[test]
fn l4_an_entry_that_breaks_a_rule_freezes_its_mailbox_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    let mut broken = log.operation(add(INBOX, 1, &[], b"x"));
    let good = broken.clone();
    broken.stamps[0].modseq = ModSeq(1);
    assert!(matches!(log.write(&broken, b"x"), AppliedEntry::SetAside(reason) if reason.contains("numbers")));
    assert!(matches!(log.write(&good, b"x"), AppliedEntry::SetAside(reason) if reason.contains("waits")));
    assert!(matches!(log.add(WORK, 2, &[], b"y"), AppliedEntry::Operation(_)), "the rest goes on");
    let delete = Change::DeleteAccount { account: ACCOUNT };
    assert!(matches!(log.run(delete), AppliedEntry::SetAside(_)), "it reaches into what waits");
    assert!(matches!(log.add(WORK, 3, &[], b"y"), AppliedEntry::SetAside(_)), "and now the account waits");

    let reader = log.store.reader();
    let waiting = reader.snapshot(Snapshot::set_aside).unwrap();
    assert_eq!(waiting.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [2, 3, 5, 6]);
    assert_eq!(waiting[0].scopes, [Scope::Mailbox(INBOX)]);
    let frozen = |scope| reader.snapshot(|s| s.is_frozen(scope)).unwrap();
    assert!(frozen(Scope::Mailbox(INBOX)) && frozen(Scope::Mailbox(WORK)) && frozen(Scope::Account(ACCOUNT)));
    assert!(!frozen(Scope::Account(AccountId(9))));
    assert_eq!(reader.snapshot(Snapshot::counters).unwrap()["failed"], 4);
    assert_eq!(log.writer.position().0.seq, Seq(6), "the log was followed all the same");
}

#[test]
fn l4_what_was_set_aside_is_tried_again_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    log.add(INBOX, 1, &[], b"x");
    let mut broken = log.operation(flag(1, 1, "\\Seen"));
    broken.stamps.clear();
    log.write(&broken, &[]);
    let flagged = log.operation(flag(1, 1, "\\Flagged"));
    log.write(&flagged, &[]);
    drop(log.writer);
    log.writer = log.store.writer().unwrap();
    assert!(matches!(log.run(expunge(1, 1)), AppliedEntry::SetAside(_)), "a restart forgets nothing");

    let entries = log.entries.clone();
    let read = |seq: Seq, _| Ok::<_, String>(entries[usize::try_from(seq.0).unwrap() - 1].clone());
    assert!(log.writer.retry_set_aside(read).unwrap().is_empty(), "nothing has changed");
    assert_eq!(log.store.reader().snapshot(Snapshot::totals).unwrap().failed, 3);

    let unreadable = log.writer.retry_set_aside(|_, _| Err::<mailmirror_model::entry::Entry<Vec<u8>>, _>("gone"));
    assert!(matches!(unreadable, Err(StoreError::SetAsideUnreadable { seq: Seq(3), .. })), "{unreadable:?}");
    assert_eq!(log.store.reader().snapshot(Snapshot::totals).unwrap().failed, 3);

    // As after an update of the program: the first one can be applied now.
    let mut mended = log.operation(flag(1, 1, "\\Seen"));
    mended.stamps[0].modseq = flagged.stamps[0].modseq;
    let mut later = flagged.clone();
    later.stamps[0].modseq = ModSeq(flagged.stamps[0].modseq.0 + 1);
    let mut gone = log.operation(expunge(1, 1));
    gone.stamps[0].modseq = ModSeq(flagged.stamps[0].modseq.0 + 2);
    let mut other = Log::new(tempfile::tempdir().unwrap().path());
    other.entries.clear();
    for operation in [mended, later, gone] {
        other.entry(Kind::Operation, &[&encode(&operation).unwrap()]);
    }
    // Their origins are 2, 3, 4 there; what counts here is the order in which they come.
    let mut replacements = other.entries.clone().into_iter();
    let applied = log.writer.retry_set_aside(|_, _| replacements.next().ok_or("no more")).unwrap();
    assert_eq!(applied.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [3, 4, 5]);
    let totals = log.store.reader().snapshot(Snapshot::totals).unwrap();
    assert_eq!((totals.failed, totals.messages), (0, 0));
}

#[test]
fn l4_an_entry_that_cannot_be_read_is_counted_and_shown() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    for kind in [Kind::Operation, Kind::Mark] {
        let entry = log.entry(kind, &[&[9, 9, 9]]);
        assert!(matches!(log.apply(&entry), AppliedEntry::SetAside(reason) if reason.contains("version 9")));
    }
    assert!(matches!(log.add(INBOX, 1, &[], b"x"), AppliedEntry::Operation(_)));
    assert_eq!(log.store.reader().snapshot(Snapshot::totals).unwrap().failed, 2);
}

#[test]
fn l1_an_entry_that_does_not_follow_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    let operation = log.operation(add(INBOX, 1, &[], b"x"));
    let payload = encode(&operation).unwrap();
    let first = log.entry(Kind::Operation, &[&payload, b"x"]);
    let second = log.entry(Kind::Operation, &[&payload, b"x"]);
    let mut batch = log.writer.batch().unwrap();
    assert!(matches!(batch.apply(&second, location(1)), Err(StoreError::Order { .. })));
    assert!(matches!(batch.apply(&first, location(1)), Ok(AppliedEntry::Operation(_))));
    assert!(matches!(batch.apply(&first, location(1)), Err(StoreError::Order { .. })));
    batch.commit().unwrap();
    assert_eq!(messages(&log.store.reader()), 1);
}

#[test]
fn l1_a_known_origin_is_known_after_a_restart_until_it_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    log.add(INBOX, 1, &[], b"x");
    let origin = log.entries[1].header().origin;
    drop(log.writer);
    log.writer = log.store.writer().unwrap();
    let seq = log.store.reader().snapshot(|s| s.origin(origin)).unwrap();
    assert_eq!(seq, Some(Seq(2)));
    let mut batch = log.writer.batch().unwrap();
    assert_eq!(batch.forget_origins(NodeId::One, Seq(9)).unwrap(), 0);
    assert_eq!(batch.forget_origins(NodeId::Zero, Seq(2)).unwrap(), 2);
    batch.commit().unwrap();
    assert_eq!(log.store.reader().snapshot(|s| s.origin(origin)).unwrap(), None);
}

#[test]
fn a_snapshot_stays_while_the_writer_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    log.add(INBOX, 1, &[], b"x");
    let reader = log.store.reader();
    let (begun, wait_begun) = mpsc::channel();
    let (written, wait_written) = mpsc::channel::<()>();
    let other = std::thread::spawn(move || {
        reader.snapshot(|snapshot| {
            let before = (snapshot.totals()?.messages, snapshot.position()?.0.seq);
            begun.send(()).unwrap();
            wait_written.recv().unwrap();
            assert_eq!((snapshot.totals()?.messages, snapshot.position()?.0.seq), before);
            Ok(before)
        })
    });
    wait_begun.recv().unwrap();
    log.add(INBOX, 2, &[], b"x");
    log.writer.reset().unwrap();
    written.send(()).unwrap();
    assert_eq!(other.join().unwrap().unwrap(), (1, Seq(2)));
    assert_eq!(messages(&log.store.reader()), 0);
}

#[test]
fn more_readers_than_connections_wait_for_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    log.add(INBOX, 1, &[], b"x");
    std::thread::scope(|scope| {
        for _ in 0..4 * mailmirror_store::READERS_MAX {
            let reader = log.store.reader();
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(messages(&reader), 1);
                }
            });
        }
    });
    let failed = log.store.reader().snapshot(|_| Err::<(), _>(StoreError::Damaged("this test")));
    assert!(failed.is_err());
    assert_eq!(messages(&log.store.reader()), 1, "the connection came back");
}

#[test]
fn there_is_one_writer_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::new(directory.path());
    assert!(matches!(log.store.writer(), Err(StoreError::WriterTaken)));
    drop(log.writer);
    assert!(log.store.writer().is_ok());
}

#[test]
fn a_damaged_index_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(Log::new(directory.path()));
    let file = directory.path().join("index.db");
    let length = std::fs::metadata(&file).unwrap().len();
    std::fs::write(&file, vec![0x55; usize::try_from(length).unwrap()]).unwrap();
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.writer().unwrap().position().0.seq, Seq::ZERO);
    assert!(store.reader().snapshot(Snapshot::accounts).unwrap().is_empty());
}

#[test]
fn an_index_of_another_version_is_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    drop(Log::new(directory.path()));
    let db = rusqlite::Connection::open(directory.path().join("index.db")).unwrap();
    db.execute_batch("PRAGMA user_version = 99; CREATE TABLE later (x);").unwrap();
    drop(db);
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.writer().unwrap().position().0.seq, Seq::ZERO);
}

#[test]
fn durable_counters_add_up_and_positions_can_be_put_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    for _ in 0..2 {
        let mut batch = log.writer.batch().unwrap();
        batch.count("mirror_out", 3);
        batch.commit().unwrap();
    }
    let mut dropped = log.writer.batch().unwrap();
    dropped.count("mirror_out", 100);
    drop(dropped);
    assert_eq!(log.writer.sync().unwrap().seq, Seq(1));
    let store = Store::open(directory.path()).unwrap();
    assert_eq!(store.reader().snapshot(Snapshot::counters).unwrap()["mirror_out"], 6);
}

#[test]
fn usage_subscriptions_and_accounts_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = Log::new(directory.path());
    log.add(INBOX, 1, &["\\Seen", "\\Deleted"], b"four");
    log.add(WORK, 2, &[], b"sixsix");
    for name in ["b", "a"] {
        log.run(Change::Subscribe { account: ACCOUNT, name: name.to_owned(), subscribed: true });
    }
    let put = Change::PutSetting { name: "g_x".to_owned(), values: vec!["1".to_owned()] };
    let settings = log.run(put);
    assert!(matches!(settings, AppliedEntry::Operation(Outcome { result: Ok(Done::Plain), .. })));
    log.store
        .reader()
        .snapshot(|snapshot| {
            assert_eq!(snapshot.usage(ACCOUNT)?, (2, 10));
            assert_eq!(snapshot.usage(AccountId(9))?, (0, 0));
            assert_eq!(snapshot.subscriptions(ACCOUNT)?, ["a", "b"]);
            assert_eq!(snapshot.accounts_after("", 10)?.len(), 1);
            assert_eq!(snapshot.accounts_after("a@example.org", 10)?.len(), 0);
            assert_eq!(snapshot.settings()?, [("g_x".to_owned(), vec!["1".to_owned()])]);
            let statuses = snapshot.mailbox_statuses(ACCOUNT)?;
            let counts: Vec<_> = statuses.iter().map(|s| (s.messages, s.unseen, s.deleted, s.size_bytes)).collect();
            assert_eq!(counts, [(1, 0, 1, 4), (1, 1, 0, 6)]);
            assert_eq!(snapshot.bodies_after(BodyId(0), 10)?.len(), 2);
            assert_eq!(snapshot.rows_between(INBOX, uid(2), 9, 9)?, []);
            Ok(())
        })
        .unwrap();
}
