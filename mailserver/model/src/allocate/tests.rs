#![allow(clippy::unwrap_used)]
use super::*;
use crate::apply::{Applied, apply};
use crate::ids::{Hlc, Incarnation, Origin};
use crate::memory::MemoryState;

const NOW: u64 = UID_VALIDITY_EPOCH_SECONDS + 1000;
const WHEN: When = When { clock: Hlc(1), node: NodeId::Zero };
const ACCOUNT: AccountId = AccountId(1);

struct World {
    state: MemoryState,
    allocator: Allocator,
    seq: Seq,
}

impl World {
    fn new(node: NodeId) -> Self {
        Self { state: MemoryState::default(), allocator: Allocator::new(node), seq: Seq::ZERO }
    }

    fn allocate(&mut self, change: Change) -> Result<Operation, Refusal> {
        let operation = self.allocator.allocate(&self.state, self.seq.next(), change, WHEN, NOW);
        let operation = operation.map_err(|error| match error {
            AllocateError::Refused(refusal) => refusal,
            AllocateError::View(error) => match error {},
        })?;
        self.seq = self.seq.next();
        Ok(operation)
    }

    fn apply(&mut self, operation: &Operation) {
        let origin = Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: self.seq.0 };
        apply(&mut self.state, Applied::Operation { seq: self.seq, origin, operation, bodies: &[] }).unwrap();
        self.allocator.forget_applied(self.seq);
    }
}

fn create_account(mailboxes: &[(u128, &str)]) -> Change {
    let mailboxes = mailboxes.iter().map(|(id, name)| new(*id, name)).collect();
    let (address, password) = ("a@example.org".to_owned(), String::new());
    Change::CreateAccount { account: ACCOUNT, address, password, mailboxes, quota_bytes: None }
}

fn new(id: u128, name: &str) -> NewMailbox {
    NewMailbox { mailbox: MailboxId(id), name: name.to_owned(), special_use: None }
}

fn add(mailboxes: &[u128]) -> Change {
    let adds = mailboxes.iter().map(|mailbox| Add {
        mailbox: MailboxId(*mailbox),
        message: crate::ids::MessageId(9),
        body: crate::ids::BodyId(9),
        size_bytes: 1,
        internal_date_seconds: 0,
        flags: Vec::new(),
    });
    Change::Add { adds: adds.collect(), bodies: Vec::new() }
}

#[test]
fn n1_numbers_go_on_above_what_is_on_its_way() {
    let mut world = World::new(NodeId::Zero);
    world.allocate(create_account(&[(1, "INBOX")])).unwrap();
    let first = world.allocate(add(&[1, 1])).unwrap();
    let second = world.allocate(add(&[1])).unwrap();
    assert_eq!((first.stamps[0].first_uid, first.stamps[0].modseq), (Uid::new(1), ModSeq(2)));
    assert_eq!((second.stamps[0].first_uid, second.stamps[0].modseq), (Uid::new(3), ModSeq(3)));
}

#[test]
fn n1_what_was_applied_is_forgotten() {
    let mut world = World::new(NodeId::Zero);
    let operation = world.allocate(create_account(&[(1, "INBOX")])).unwrap();
    assert!(!world.allocator.is_settled());
    world.apply(&operation);
    for _ in 0..10 {
        let operation = world.allocate(add(&[1])).unwrap();
        assert_eq!(world.allocator.in_flight.len(), 1);
        world.apply(&operation);
    }
    assert!(world.allocator.is_settled());
    assert!(world.allocator.mailboxes.is_empty() && world.allocator.accounts.is_empty());
}

#[test]
fn u4_the_nodes_draw_disjoint_values_that_only_rise() {
    for node in NodeId::BOTH {
        let mut world = World::new(node);
        let operation = world.allocate(create_account(&[(1, "INBOX"), (2, "a"), (3, "b")])).unwrap();
        let drawn: Vec<u32> = operation.stamps.iter().map(|stamp| stamp.uid_validity.unwrap().get()).collect();
        let first = 2000 + u32::from(u8::from(node));
        assert_eq!(drawn, [first, first + 2, first + 4]);
        world.apply(&operation);
        // A restart with a clock that was set back.
        world.allocator = Allocator::new(node);
        let seq = world.seq.next();
        let change = Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![new(4, "c")] };
        let operation = world.allocator.allocate(&world.state, seq, change, WHEN, 5).unwrap();
        assert_eq!(operation.stamps[0].uid_validity, UidValidity::new(first + 6));
    }
}

#[test]
fn what_is_certain_is_refused_before_anything_is_written() {
    let mut world = World::new(NodeId::Zero);
    let subscribe = Change::Subscribe { account: ACCOUNT, name: "x".to_owned(), subscribed: true };
    assert_eq!(world.allocate(subscribe.clone()), Err(Refusal::NoAccount));
    let create = world.allocate(create_account(&[(1, "INBOX")])).unwrap();
    assert!(world.allocate(subscribe).is_ok(), "the account is on its way");
    assert_eq!(world.allocate(add(&[7])), Err(Refusal::NoMailbox));
    assert_eq!(world.allocate(add(&[7, 1])).unwrap().stamps.len(), 1);
    world.seq = Seq(1);
    world.apply(&create);
    let delete = Change::DeleteMailbox { account: ACCOUNT, mailbox: MailboxId(1) };
    assert_eq!(world.allocate(delete), Err(Refusal::Inbox));
    let again = Change::CreateMailbox { account: ACCOUNT, mailboxes: vec![new(1, "other")] };
    assert_eq!(world.allocate(again), Err(Refusal::NameTaken));
}

#[test]
fn u4_a_mailbox_without_uids_refuses_and_gives_nothing() {
    let mut world = World::new(NodeId::Zero);
    let create = world.allocate(create_account(&[(1, "INBOX")])).unwrap();
    world.apply(&create);
    let last = Uid::new(u32::MAX - 1).unwrap();
    let tombstone = Change::Tombstone { mailbox: MailboxId(1), uids: vec![last] };
    let tombstone = world.allocate(tombstone).unwrap();
    assert_eq!(world.allocate(add(&[1, 1])), Err(Refusal::OutOfUids));
    let operation = world.allocate(add(&[1])).unwrap();
    assert_eq!(operation.stamps[0].first_uid, Uid::new(u32::MAX));
    assert_eq!(world.allocate(add(&[1])), Err(Refusal::OutOfUids));
    let seq = world.seq;
    world.seq = Seq(2);
    world.apply(&tombstone);
    world.seq = seq;
    assert_eq!(world.allocate(add(&[1])), Err(Refusal::OutOfUids));
}
