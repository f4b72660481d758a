//! Random histories: what must hold after every entry of every one of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use mailmirror_model::entry::{Entry, Kind};
use mailmirror_model::ids::{MailboxId, MessageId, ModSeq, Uid, UidValidity};
use mailmirror_model::memory::MemoryState;
use mailmirror_model::outcome::Done;
use mailmirror_model::sample::{Master, Random, apply_entry};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn history(seed: u64, pending_max: u64, length: usize) -> Vec<Entry<Vec<u8>>> {
    let mut master = Master::new(seed, pending_max);
    (0..length).map(|_| master.write().unwrap()).collect()
}

/// What a client that saw everything would remember.
#[derive(Default)]
struct Witness {
    messages: BTreeMap<(UidValidity, MailboxId, Uid), MessageId>,
    names: BTreeMap<(u128, String), (UidValidity, MailboxId)>,
    numbers: BTreeMap<MailboxId, (Option<Uid>, ModSeq)>,
}

impl Witness {
    fn look(&mut self, state: &MemoryState) {
        for message in state.all_messages() {
            let mailbox = state.all_mailboxes().find(|mailbox| mailbox.id == message.mailbox).expect("its mailbox");
            assert!(mailbox.uid_next.is_none_or(|next| message.uid < next), "UIDNEXT is above every UID");
            assert!(message.modseq <= mailbox.highest_modseq, "HIGHESTMODSEQ is the highest");
            let key = (mailbox.uid_validity, mailbox.id, message.uid);
            let first = *self.messages.entry(key).or_insert(message.id);
            assert_eq!(first, message.id, "a UID means one message for ever");
        }
        for mailbox in state.all_mailboxes() {
            let numbers = (mailbox.uid_next, mailbox.highest_modseq);
            let before = self.numbers.insert(mailbox.id, numbers).unwrap_or(numbers);
            let next = |uid: Option<Uid>| uid.map_or(u64::MAX, |uid| uid.get().into());
            assert!(next(before.0) <= next(numbers.0) && before.1 <= numbers.1, "numbers never decrease");
            for (uid, modseq) in state.tombstones(mailbox.id) {
                assert!(mailbox.uid_next.is_none_or(|next| uid < next) && modseq <= mailbox.highest_modseq);
                let gone = state.all_messages().all(|message| (message.mailbox, message.uid) != (mailbox.id, uid));
                assert!(gone, "a UID does not come back");
            }
            let name = (mailbox.account.0, mailbox.name.clone());
            let now = (mailbox.uid_validity, mailbox.id);
            let (validity, owner) = self.names.insert(name, now).unwrap_or(now);
            assert!(validity <= now.0 && (validity < now.0 || owner == now.1), "a name's UIDVALIDITY only rises");
        }
        let names: BTreeSet<_> = state.all_mailboxes().map(|mailbox| (mailbox.account, &mailbox.name)).collect();
        assert_eq!(names.len(), state.all_mailboxes().count(), "no name twice");
        for (body, count) in state.all_bodies() {
            let found = state.all_messages().filter(|message| message.body == body).count();
            assert!(found == count && count > 0, "a body is there for its messages");
        }
        assert_eq!(*state.digests(), state.digests_computed(), "kept digests are those of the state");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn u4_no_history_breaks_what_clients_rely_on(seed in any::<u64>(), pending_max in 0_u64..8) {
        let mut state = MemoryState::default();
        let mut witness = Witness::default();
        for entry in history(seed, pending_max, 120) {
            apply_entry(&mut state, &entry).unwrap();
            witness.look(&state);
        }
    }

    #[test]
    fn l1_a_log_that_is_read_again_from_anywhere_changes_nothing(seed in any::<u64>(), at in 0_usize..80) {
        let entries = history(seed, 4, 80);
        let mut state = MemoryState::default();
        for entry in &entries {
            apply_entry(&mut state, entry).unwrap();
        }
        let after = state.clone();
        for entry in entries[at..].iter().filter(|entry| entry.header().kind == Kind::Operation) {
            prop_assert_eq!(apply_entry(&mut state, entry).unwrap().result, Ok(Done::Known));
        }
        prop_assert_eq!(state, after);
    }

    #[test]
    fn l3_two_nodes_come_to_the_same_results(seed in any::<u64>()) {
        let (mut one, mut other) = (MemoryState::default(), MemoryState::default());
        for entry in history(seed, 4, 80) {
            let read = Entry::read(entry.bytes().clone()).unwrap();
            prop_assert_eq!(apply_entry(&mut one, &entry).unwrap(), apply_entry(&mut other, &read).unwrap());
        }
        prop_assert_eq!(one, other);
    }
}

/// The histories are worth something only if they contain what can go wrong.
#[test]
fn sample_histories_reach_every_kind_of_outcome() {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut random = Random(1);
    for _ in 0..40 {
        let mut state = MemoryState::default();
        for entry in history(random.bits(), 6, 150) {
            let outcome = apply_entry(&mut state, &entry).unwrap();
            let text = format!("{:?}", outcome.result);
            let word = text.split(['(', '{', ' ']).nth(1).unwrap_or("?").trim_end_matches(')').to_owned();
            *seen.entry(word).or_default() += 1;
        }
    }
    for outcome in [
        "Plain",
        "Added",
        "Moved",
        "Flagged",
        "Known",
        "NoAccount",
        "AddressTaken",
        "NoMailbox",
        "NameTaken",
        "BelowItself",
        "SpecialUseTaken",
        "NoBody",
        "Inbox",
    ] {
        assert!(seen.get(outcome).copied().unwrap_or_default() > 0, "{outcome} never happened: {seen:?}");
    }
}
