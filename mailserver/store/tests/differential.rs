//! The index against the state in memory: the same history gives the same results, digests, counters and rows, however
//! it is cut into transactions and wherever the process dies.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::location;
use mailmirror_model::digest::Digest;
use mailmirror_model::entry::{Entry, Kind};
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{ChainHash, ModSeq, Position, Seq, Uid};
use mailmirror_model::memory::MemoryState;
use mailmirror_model::sample::{Master, Random, apply_entry};
use mailmirror_model::state::View;
use mailmirror_store::{AppliedEntry, Snapshot, Store, StoreError, Vanished, Writer};
use proptest::prelude::*;

fn history(seed: u64, length: usize) -> Vec<Entry<Vec<u8>>> {
    let mut master = Master::new(seed, 5);
    (0..length).map(|_| master.write().unwrap()).collect()
}

/// Applies up to `count` entries that come next, and leaves without a commit when told so.
fn follow(writer: &mut Writer, entries: &[Entry<Vec<u8>>], count: usize, commit: bool) -> Vec<AppliedEntry> {
    let from = usize::try_from(writer.position().0.seq.0).unwrap();
    let mut batch = writer.batch().unwrap();
    let mut became = Vec::new();
    for entry in entries[from..].iter().take(count) {
        became.push(batch.apply(entry, location(entry.header().position.seq.0)).unwrap());
    }
    if commit {
        batch.commit().unwrap();
    }
    became
}

fn same_messages(snapshot: &Snapshot, memory: &MemoryState) -> Result<(), StoreError> {
    for mailbox in memory.all_mailboxes() {
        let messages = memory.messages(mailbox.id).unwrap();
        assert_eq!(snapshot.messages(mailbox.id)?, messages);
        let status = snapshot.mailbox_status(mailbox.id)?.expect("the mailbox");
        assert_eq!(&status.mailbox, mailbox);
        let without_seen = messages.iter().filter(|message| !message.flags.contains(&Flag::Seen)).count();
        let with_deleted = messages.iter().filter(|message| message.flags.contains(&Flag::Deleted)).count();
        let size: u64 = messages.iter().map(|message| message.size_bytes).sum();
        let counted = (status.messages, status.unseen, status.deleted, status.size_bytes);
        assert_eq!(counted, (messages.len() as u64, without_seen as u64, with_deleted as u64, size));
        let rows = snapshot.rows(mailbox.id)?;
        assert_eq!(rows.len(), messages.len());
        for (row, message) in rows.iter().zip(&messages) {
            assert_eq!(
                (row.uid, row.id, row.body, row.modseq),
                (message.uid, message.id, message.body, message.modseq)
            );
            assert_eq!(row.flags().collect::<Vec<_>>(), message.flags.iter().collect::<Vec<_>>());
            assert_eq!(snapshot.message_by_id(mailbox.id, message.id)?.as_ref(), Some(message));
            assert!(snapshot.body(message.body)?.is_some());
        }
        assert_eq!(snapshot.mailbox_digest(mailbox.id)?, memory.digests().mailbox(mailbox.id));
        let whole = snapshot.range_digest(mailbox.id, Uid::FIRST, Uid::new(u32::MAX).unwrap())?;
        assert_eq!(whole.1.plus(Digest::of_mailbox(mailbox)), memory.digests().mailbox(mailbox.id));
        let all = snapshot.changes_since(mailbox.id, ModSeq(0))?.expect("the mailbox");
        assert_eq!((all.changed, all.highest_modseq), (rows, mailbox.highest_modseq));
        let gone = memory.tombstones(mailbox.id).map(|(uid, _)| uid).collect();
        assert_eq!(all.vanished, Vanished::These(gone));
    }
    Ok(())
}

fn same(snapshot: &Snapshot, memory: &MemoryState) -> Result<(), StoreError> {
    assert_eq!(snapshot.root_digest()?, memory.digests().root());
    let mut accounts: Vec<_> = memory.all_accounts().cloned().collect();
    accounts.sort_by(|a, b| a.address.cmp(&b.address));
    assert_eq!(snapshot.accounts()?, accounts);
    let digests = snapshot.account_digests()?;
    assert_eq!(digests.len(), accounts.len());
    for account in &accounts {
        assert_eq!(digests[&account.id], memory.digests().account(account.id));
        assert_eq!(snapshot.account_digest(account.id)?, memory.digests().account(account.id));
        assert_eq!(snapshot.mailboxes(account.id)?, memory.mailboxes(account.id).unwrap());
        assert_eq!(snapshot.subscriptions(account.id)?, memory.subscriptions(account.id).collect::<Vec<_>>());
        for name in ["INBOX", "a", "a/x", "b", "Sent"] {
            assert_eq!(
                snapshot.uid_validity_of_name(account.id, name)?,
                memory.uid_validity_of_name(account.id, name).unwrap()
            );
        }
    }
    assert_eq!(snapshot.highest_uid_validity()?, memory.highest_uid_validity().unwrap());
    for (name, values) in snapshot.settings()? {
        assert_eq!(memory.setting(&name).unwrap(), values);
    }
    let totals = snapshot.totals()?;
    assert_eq!(totals.messages, memory.all_messages().count() as u64);
    assert_eq!(totals.mailboxes, memory.all_mailboxes().count() as u64);
    let bodies: u64 = snapshot.segment_use()?.iter().map(|segment| segment.bodies).sum();
    assert_eq!(bodies, memory.all_bodies().count() as u64, "a body goes with its last message");
    assert_eq!(totals.failed, 0);
    same_messages(snapshot, memory)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn l3_the_index_and_the_memory_come_to_the_same_results(seed in any::<u64>()) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let entries = history(seed, 150);
        let (mut memory, mut random, mut at) = (MemoryState::default(), Random(seed), 0);
        while at < entries.len() {
            let count = 1 + usize::try_from(random.below(30)).unwrap();
            for became in follow(&mut writer, &entries, count, true) {
                let outcome = apply_entry(&mut memory, &entries[at]).unwrap();
                match became {
                    AppliedEntry::Operation(ours) => prop_assert_eq!(ours, outcome),
                    AppliedEntry::Mark(_, digest) => prop_assert_eq!(digest, memory.digests().root()),
                    AppliedEntry::Epoch(_) => {}
                    other => prop_assert!(false, "{:?}", other),
                }
                at += 1;
            }
            store.reader().snapshot(|snapshot| same(snapshot, &memory)).unwrap();
        }
    }

    #[test]
    fn l5_a_death_at_any_moment_and_a_replay_give_the_same(seed in any::<u64>()) {
        let directory = tempfile::tempdir().unwrap();
        let entries = history(seed, 120);
        let mut random = Random(seed);
        loop {
            let store = Store::open(directory.path()).unwrap();
            let mut writer = store.writer().unwrap();
            let (Position { seq, .. }, hash) = writer.position();
            let done = usize::try_from(seq.0).unwrap();
            let last = done.checked_sub(1).map_or(ChainHash::ORIGIN, |last| entries[last].hash());
            prop_assert_eq!(hash, last, "the position is that of the state");
            let mut memory = MemoryState::default();
            for entry in &entries[..done] {
                apply_entry(&mut memory, entry).unwrap();
            }
            store.reader().snapshot(|snapshot| same(snapshot, &memory)).unwrap();
            if done == entries.len() {
                break;
            }
            let count = 1 + usize::try_from(random.below(40)).unwrap();
            follow(&mut writer, &entries, count, true);
            // A batch that is never committed, and then everything is dropped.
            follow(&mut writer, &entries, 10, false);
        }
    }

    #[test]
    fn l5_an_index_that_is_emptied_and_built_again_is_the_same(seed in any::<u64>()) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let entries = history(seed, 100);
        let first = follow(&mut writer, &entries, 60, true);
        writer.reset().unwrap();
        prop_assert_eq!(writer.position().0.seq, Seq::ZERO);
        prop_assert_eq!(store.reader().snapshot(Snapshot::root_digest).unwrap(), Digest::ZERO);
        prop_assert_eq!(follow(&mut writer, &entries, 60, true), first);
        follow(&mut writer, &entries, 100, true);
        let mut memory = MemoryState::default();
        for entry in &entries {
            apply_entry(&mut memory, entry).unwrap();
        }
        store.reader().snapshot(|snapshot| same(snapshot, &memory)).unwrap();
        let operations = entries.iter().filter(|entry| entry.header().kind == Kind::Operation).count() as u64;
        let counters = store.reader().snapshot(Snapshot::counters).unwrap();
        let counted: u64 = ["applied", "refused", "known"].iter().filter_map(|name| counters.get(*name)).sum();
        let epochs = entries.iter().filter(|entry| entry.header().kind == Kind::Epoch).count() as u64;
        prop_assert_eq!(counted, operations + epochs);
    }
}
