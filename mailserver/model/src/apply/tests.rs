#![allow(clippy::unwrap_used)]
use super::*;
use crate::flags::{Flag, When};
use crate::ids::{
    AccountId, AuthorityId, BodyId, Epoch, Hlc, Incarnation, MessageId, ModSeq, NodeId, Position, UidValidity,
};
use crate::memory::MemoryState;
use crate::operation::{Add, FlagItem, MessageRef, MoveItem, NewMailbox, SpecialUse};
use crate::outcome::Placed;
use crate::state::View;

const ACCOUNT: AccountId = AccountId(1);
const INBOX: MailboxId = MailboxId(10);
const WORK: MailboxId = MailboxId(11);
const BODY: BodyId = BodyId(77);

/// Applies one change after the other, with numbers as a master without traffic would give them.
struct World {
    state: MemoryState,
    seq: u64,
    clock: u64,
}

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn new(id: u128, name: &str) -> NewMailbox {
    NewMailbox { mailbox: MailboxId(id), name: name.to_owned(), special_use: None }
}

fn add(mailbox: MailboxId, message: u128) -> Add {
    Add { mailbox, message: MessageId(message), body: BODY, size_bytes: 5, internal_date_seconds: 1, flags: Vec::new() }
}

fn reference(uid_number: u32, message: u128) -> MessageRef {
    MessageRef { uid: uid(uid_number), message: MessageId(message) }
}

fn item(uid_number: u32, message: u128, set: &[&str], clear: &[&str]) -> FlagItem {
    let parse = |flags: &[&str]| flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect();
    FlagItem { target: reference(uid_number, message), set: parse(set), clear: parse(clear) }
}

fn add_all(adds: &[Add]) -> Change {
    Change::Add { adds: adds.to_vec(), bodies: Vec::new() }
}

fn set_flags(items: &[FlagItem]) -> Change {
    Change::Flags { mailbox: INBOX, items: items.to_vec(), unchanged_since: None }
}

fn expunge(items: &[MessageRef]) -> Change {
    Change::Expunge { mailbox: INBOX, items: items.to_vec() }
}

fn create(mailboxes: &[NewMailbox]) -> Change {
    Change::CreateMailbox { account: ACCOUNT, mailboxes: mailboxes.to_vec() }
}

fn rename(mailbox: MailboxId, name: &str) -> Change {
    Change::RenameMailbox { account: ACCOUNT, mailbox, name: name.to_owned(), created: Vec::new(), moved: Vec::new() }
}

fn delete(mailbox: u128) -> Change {
    Change::DeleteMailbox { account: ACCOUNT, mailbox: MailboxId(mailbox) }
}

impl World {
    /// One account with INBOX and Work; messages 1, 2, 3 in INBOX have UIDs 1, 2, 3.
    fn new() -> Self {
        let mut world = Self { state: MemoryState::default(), seq: 0, clock: 100 };
        world.plain(Change::CreateAccount {
            account: ACCOUNT,
            address: "a@example.org".to_owned(),
            password: "p".to_owned(),
            mailboxes: vec![new(10, "INBOX"), new(11, "Work")],
            quota_bytes: None,
        });
        world.run(add_all(&[add(INBOX, 1), add(INBOX, 2), add(INBOX, 3)])).result.unwrap();
        world
    }

    fn operation(&mut self, change: Change) -> Operation {
        let when = When { clock: Hlc(self.clock), node: NodeId::Zero };
        let mut allocator = crate::allocate::Allocator::new(NodeId::Zero);
        let now = 1_600_000_000;
        match allocator.allocate(&self.state, Seq(self.seq + 1), change.clone(), when, now) {
            Ok(operation) => operation,
            // The tests of this file want to see the refusal of the rules themselves.
            Err(_) => Operation { change, stamps: Vec::new(), when },
        }
    }

    fn run(&mut self, change: Change) -> Outcome {
        self.clock += 1;
        let operation = self.operation(change);
        self.apply(&operation).unwrap()
    }

    fn apply(&mut self, operation: &Operation) -> Result<Outcome, ApplyError<std::convert::Infallible>> {
        self.seq += 1;
        let origin = Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: self.seq };
        let bodies = [BodyPlace { body: BODY, offset_bytes: 100, size_bytes: 5 }];
        let before = self.state.clone();
        let result =
            apply(&mut self.state, Applied::Operation { seq: Seq(self.seq), origin, operation, bodies: &bodies });
        if result.is_err() {
            assert_eq!(self.state, before, "a broken rule writes nothing");
        }
        assert_eq!(*self.state.digests(), self.state.digests_computed());
        result
    }

    fn plain(&mut self, change: Change) {
        assert_eq!(self.run(change).result, Ok(Done::Plain));
    }

    fn refused(&mut self, change: Change) -> Refusal {
        let before = (self.state.digests().clone(), self.state.all_mailboxes().cloned().collect::<Vec<_>>());
        let outcome = self.run(change);
        assert!(outcome.touched.is_empty());
        let after = (self.state.digests().clone(), self.state.all_mailboxes().cloned().collect::<Vec<_>>());
        assert_eq!(before, after, "a refusal changes nothing");
        outcome.result.unwrap_err()
    }

    fn mailbox(&self, id: MailboxId) -> Mailbox {
        self.state.mailbox(id).unwrap().unwrap()
    }

    fn uids(&self, id: MailboxId) -> Vec<(u32, u128)> {
        self.state.messages(id).unwrap().iter().map(|message| (message.uid.get(), message.id.0)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.state.mailboxes(ACCOUNT).unwrap().into_iter().map(|mailbox| mailbox.name).collect()
    }

    fn flags(&self, number: u32) -> Vec<String> {
        let message = self.state.message(INBOX, uid(number)).unwrap().unwrap();
        message.flags.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn l1_an_operation_applied_twice_is_applied_once() {
    let mut world = World::new();
    let operation = world.operation(add_all(&[add(INBOX, 4)]));
    let origin = Origin { node: NodeId::One, incarnation: Incarnation(5), counter: 1 };
    let entry = |seq| Applied::Operation { seq: Seq(seq), origin, operation: &operation, bodies: &[] };
    let first = apply(&mut world.state, entry(50)).unwrap();
    assert!(matches!(first.result, Ok(Done::Added(_))));
    let after = world.state.clone();
    let second = apply(&mut world.state, entry(51)).unwrap();
    assert_eq!(second, Outcome { result: Ok(Done::Known), touched: Vec::new() });
    assert_eq!(world.state, after);
}

#[test]
fn l4_numbers_that_were_given_out_before_are_an_error_and_write_nothing() {
    let mut world = World::new();
    let good = world.operation(add_all(&[add(INBOX, 4)]));
    for (modseq, first_uid) in [(ModSeq(2), Some(uid(4))), (ModSeq(9), Some(uid(3)))] {
        let mut bad = good.clone();
        bad.stamps[0] = Stamp { modseq, first_uid, ..bad.stamps[0] };
        assert_eq!(world.apply(&bad), Err(ApplyError::Stamp(INBOX)));
    }
    let bare = Operation { stamps: Vec::new(), ..good.clone() };
    assert_eq!(world.apply(&bare), Err(ApplyError::NoStamp(INBOX)));
    assert!(world.apply(&good).is_ok());
}

#[test]
fn add_tells_the_places_in_order_and_passes_over_mailboxes_that_are_gone() {
    let mut world = World::new();
    let outcome = world.run(add_all(&[add(WORK, 4), add(MailboxId(99), 5), add(INBOX, 6), add(WORK, 7)]));
    let Ok(Done::Added(placed)) = outcome.result else { panic!("{outcome:?}") };
    let places: Vec<_> = placed.iter().map(|placed| placed.map(|at: Placed| (at.mailbox, at.uid.get()))).collect();
    assert_eq!(places, [Some((WORK, 1)), None, Some((INBOX, 4)), Some((WORK, 2))]);
    assert_eq!(outcome.touched, [Touched::Mailbox(INBOX), Touched::Mailbox(WORK)]);
    assert_eq!(world.mailbox(WORK).uid_next, Some(uid(3)));
}

#[test]
fn add_of_a_message_that_is_there_keeps_the_one_that_is_there() {
    let mut world = World::new();
    let outcome = world.run(add_all(&[add(INBOX, 2), add(INBOX, 4)]));
    let Ok(Done::Added(placed)) = outcome.result else { panic!("{outcome:?}") };
    assert_eq!(placed.iter().map(|at| at.unwrap().uid.get()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(world.uids(INBOX), [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

#[test]
fn a_copy_whose_body_is_gone_is_refused() {
    let mut world = World::new();
    let missing = Add { body: BodyId(1), ..add(WORK, 9) };
    assert_eq!(world.refused(add_all(&[missing])), Refusal::NoBody);
    world.plain(expunge(&[reference(1, 1), reference(2, 2)]));
    assert_eq!(world.state.has_body(BODY), Ok(true));
    world.plain(expunge(&[reference(3, 3)]));
    assert_eq!(world.state.has_body(BODY), Ok(false), "the last message took it along");
}

#[test]
fn u6_an_expunge_beats_a_flag_change_and_a_tombstone_stays() {
    let mut world = World::new();
    world.plain(expunge(&[reference(2, 2), reference(2, 2)]));
    let outcome = world.run(set_flags(&[item(2, 2, &["\\Seen"], &[]), item(3, 3, &["\\Seen"], &[])]));
    assert_eq!(outcome.result, Ok(Done::Flagged { modified: vec![] }));
    assert_eq!(world.uids(INBOX), [(1, 1), (3, 3)]);
    assert_eq!(world.flags(3), ["\\Seen"]);
    assert_eq!(world.state.tombstones(INBOX).collect::<Vec<_>>(), [(uid(2), ModSeq(3))]);
    assert_eq!(world.mailbox(INBOX).highest_modseq, ModSeq(4));
}

#[test]
fn u6_an_expunge_of_another_message_under_this_uid_does_nothing() {
    let mut world = World::new();
    let outcome = world.run(expunge(&[reference(2, 99)]));
    assert!(outcome.touched.is_empty());
    assert_eq!(world.uids(INBOX).len(), 3);
}

#[test]
fn u6_the_target_of_a_move_survives_an_expunge_of_its_source() {
    let mut world = World::new();
    let items = vec![MoveItem { source: reference(2, 2), message: MessageId(20) }];
    let moving = Change::Move { from: INBOX, to: WORK, items };
    let outcome = world.run(moving.clone());
    let placed = Placed { mailbox: WORK, uid_validity: world.mailbox(WORK).uid_validity, uid: uid(1) };
    assert_eq!(outcome.result, Ok(Done::Moved(vec![(uid(2), placed)])));
    world.plain(expunge(&[reference(2, 2)]));
    assert_eq!((world.uids(INBOX), world.uids(WORK)), (vec![(1, 1), (3, 3)], vec![(1, 20)]));
    assert_eq!(world.run(moving).result, Ok(Done::Moved(vec![])), "the second of two moves finds nothing");
    assert_eq!(world.mailbox(WORK).uid_next, Some(uid(2)), "numbers that nobody saw are not used up");
}

#[test]
fn a_move_within_one_mailbox_gives_new_uids() {
    let mut world = World::new();
    let items = vec![MoveItem { source: reference(1, 1), message: MessageId(20) }];
    world.run(Change::Move { from: INBOX, to: INBOX, items }).result.unwrap();
    assert_eq!(world.uids(INBOX), [(2, 2), (3, 3), (4, 20)]);
    assert_eq!(world.mailbox(INBOX).uid_next, Some(uid(5)));
}

#[test]
fn u6_a_delete_on_a_branch_takes_what_it_knew_and_not_what_came_since() {
    let branch_delete = |mailbox, through, items: &[u128]| Change::BranchDelete {
        account: ACCOUNT,
        mailbox,
        through: Seq(through),
        items: items.iter().map(|id| MessageId(*id)).collect(),
    };
    let mut world = World::new();
    world.run(add_all(&[add(WORK, 4)])).result.unwrap();
    let fork = world.seq;
    world.run(add_all(&[add(WORK, 5), add(WORK, 6)])).result.unwrap();
    world.plain(branch_delete(Some(WORK), fork, &[5]));
    assert_eq!(world.uids(WORK), [(3, 6)], "4 was there at the fork, 5 was the branch's own");
    assert_eq!(world.state.tombstones(WORK).map(|(uid, _)| uid.get()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(world.refused(branch_delete(Some(INBOX), fork, &[])), Refusal::Inbox);
    assert_eq!(world.refused(branch_delete(Some(MailboxId(99)), fork, &[])), Refusal::NoMailbox);

    world.plain(branch_delete(None, fork, &[]));
    let account = world.state.account(ACCOUNT).unwrap().unwrap();
    assert!(!account.enabled, "it has newer mail: it stays, as disabled");
    assert_eq!((world.uids(INBOX), world.uids(WORK)), (vec![], vec![(3, 6)]));
    world.plain(branch_delete(Some(WORK), fork, &[6]));
    assert_eq!(world.names(), ["INBOX"], "nothing newer was left in it");
    world.plain(branch_delete(None, fork, &[]));
    assert_eq!(world.state.digests().root(), crate::digest::Digest::ZERO);
    assert_eq!(world.refused(branch_delete(None, fork, &[])), Refusal::NoAccount);
}

#[test]
fn u7_flags_merge_by_clock_and_not_by_order() {
    let mut world = World::new();
    world.run(set_flags(&[item(1, 1, &["\\Seen", "$A"], &[])])).result.unwrap();
    let modseq = world.mailbox(INBOX).highest_modseq;
    world.clock = 50;
    let outcome = world.run(set_flags(&[item(1, 1, &["\\Draft"], &["\\Seen"])]));
    assert_eq!(outcome.touched, [Touched::Mailbox(INBOX)]);
    assert_eq!(world.flags(1), ["\\Seen", "\\Draft", "$A"], "an older wish loses for its flag only");
    world.clock = 200;
    world.run(set_flags(&[item(1, 1, &["\\Seen"], &["$a"])])).result.unwrap();
    assert_eq!(world.flags(1), ["\\Seen", "\\Draft"]);
    assert_eq!(world.mailbox(INBOX).highest_modseq.0, modseq.0 + 2);
}

#[test]
fn a_flag_that_is_set_already_raises_no_modseq() {
    let mut world = World::new();
    world.run(set_flags(&[item(1, 1, &["\\Seen"], &[])])).result.unwrap();
    let before = world.mailbox(INBOX);
    let outcome = world.run(set_flags(&[item(1, 1, &["\\Seen"], &[])]));
    assert!(outcome.touched.is_empty());
    assert_eq!(world.mailbox(INBOX), before);
}

#[test]
fn unchanged_since_leaves_later_ones_alone_and_tells_them() {
    let mut world = World::new();
    world.run(set_flags(&[item(2, 2, &["\\Seen"], &[])])).result.unwrap();
    let items = vec![item(1, 1, &["$A"], &[]), item(2, 2, &["$A"], &[]), item(1, 1, &["$B"], &[])];
    let change = Change::Flags { mailbox: INBOX, items, unchanged_since: Some(ModSeq(2)) };
    assert_eq!(world.run(change).result, Ok(Done::Flagged { modified: vec![uid(2)] }));
    assert_eq!((world.flags(1), world.flags(2)), (vec!["$A".to_owned(), "$B".to_owned()], vec!["\\Seen".to_owned()]));
}

#[test]
fn u2_a_message_that_was_renumbered_is_found_by_its_identity() {
    let mut world = World::new();
    world.run(set_flags(&[item(900, 3, &["\\Seen"], &[]), item(1, 2, &["\\Seen"], &[])])).result.unwrap();
    assert_eq!((world.flags(1).len(), world.flags(2).len(), world.flags(3).len()), (0, 1, 1));
}

#[test]
fn u2_a_tombstone_raises_uidnext_and_passes_over_what_is_there() {
    let mut world = World::new();
    world.plain(Change::Tombstone { mailbox: INBOX, uids: vec![uid(3), uid(9), uid(7)] });
    let told: Vec<_> = world.state.tombstones(INBOX).collect();
    assert_eq!(told, [(uid(7), ModSeq(3)), (uid(9), ModSeq(3))]);
    assert_eq!(world.mailbox(INBOX).uid_next, Some(uid(10)));
}

#[test]
fn u3_a_touched_message_has_a_new_modseq() {
    let mut world = World::new();
    world.plain(Change::Touch { mailbox: INBOX, items: vec![MessageId(2), MessageId(99)] });
    let modseqs: Vec<_> = world.state.messages(INBOX).unwrap().iter().map(|message| message.modseq.0).collect();
    assert_eq!(modseqs, [2, 3, 2]);
}

#[test]
fn u4_a_created_again_name_has_a_higher_uid_validity() {
    let mut world = World::new();
    let before = world.mailbox(WORK).uid_validity;
    world.plain(delete(11));
    let mut operation = world.operation(create(&[new(12, "Work")]));
    operation.stamps[0].uid_validity = UidValidity::new(3);
    world.apply(&operation).unwrap().result.unwrap();
    let after = world.mailbox(MailboxId(12)).uid_validity.get();
    assert!(after > before.get() && after % 2 == 1, "above the history and of the parity of its node: {after}");
}

#[test]
fn u4_a_name_that_comes_back_by_rename_has_a_higher_uid_validity() {
    let mut world = World::new();
    world.plain(create(&[new(12, "b"), new(13, "b/x"), new(14, "b/y")]));
    let before: Vec<_> = [13, 14].map(|id| world.mailbox(MailboxId(id)).uid_validity).to_vec();
    let mut old = world.mailbox(WORK).uid_validity;
    world.plain(create(&[new(15, "Work/x")]));
    for mailbox in [12, 13, 14] {
        world.plain(delete(mailbox));
    }
    let below = world.mailbox(MailboxId(15)).uid_validity;
    world.plain(rename(WORK, "b"));
    assert!(world.mailbox(WORK).uid_validity > before[1]);
    assert_eq!(world.mailbox(MailboxId(15)).uid_validity, below, "it was above the history already");
    for name in ["Work", "b"] {
        old = world.mailbox(WORK).uid_validity.max(old);
        world.plain(rename(WORK, name));
        assert_eq!(world.mailbox(WORK).uid_validity, old, "the same mailbox keeps its own");
    }
}

#[test]
fn create_makes_missing_parents_and_says_what_is_wrong() {
    let mut world = World::new();
    world.plain(create(&[new(20, "Work"), new(21, "Work/a"), new(22, "Work/a/b")]));
    assert_eq!(world.names(), ["INBOX", "Work", "Work/a", "Work/a/b"]);
    assert_eq!(world.refused(create(&[new(23, "Work/a")])), Refusal::NameTaken);
    assert_eq!(world.refused(create(&[new(23, "inbox")])), Refusal::Inbox);
    assert_eq!(world.refused(create(&[new(23, "INBOX")])), Refusal::Inbox);
    let sent = |id, name| NewMailbox { special_use: Some(SpecialUse::Sent), ..new(id, name) };
    world.plain(create(&[sent(24, "Sent")]));
    assert_eq!(world.refused(create(&[new(25, "q"), sent(26, "q/Sent")])), Refusal::SpecialUseTaken);
    let unknown = Change::CreateMailbox { account: AccountId(9), mailboxes: vec![new(27, "x")] };
    assert_eq!(world.refused(unknown), Refusal::NoAccount);
}

#[test]
fn rename_takes_those_below_along() {
    let mut world = World::new();
    world.plain(create(&[new(21, "Work/a"), new(22, "Workshop")]));
    let parents = vec![new(30, "x"), new(31, "x/y")];
    let change = Change::RenameMailbox {
        account: ACCOUNT,
        mailbox: WORK,
        name: "x/y/z".to_owned(),
        created: parents,
        moved: Vec::new(),
    };
    world.plain(change);
    assert_eq!(world.names(), ["INBOX", "Workshop", "x", "x/y", "x/y/z", "x/y/z/a"]);
    assert_eq!(world.refused(rename(WORK, "x/y/z/a/b")), Refusal::BelowItself);
    assert_eq!(world.refused(rename(WORK, "Workshop")), Refusal::NameTaken);
    assert_eq!(world.refused(rename(WORK, "Inbox")), Refusal::Inbox);
    assert_eq!(world.refused(rename(MailboxId(99), "n")), Refusal::NoMailbox);
    world.plain(create(&[new(40, "k/a")]));
    assert_eq!(world.refused(rename(WORK, "k")), Refusal::NameTaken, "k/a is there already");
}

#[test]
fn rename_of_inbox_moves_what_it_holds() {
    let mut world = World::new();
    world.plain(create(&[new(20, "INBOX/below")]));
    let moved =
        [1_u32, 2].map(|at| MoveItem { source: reference(at, at.into()), message: MessageId(u128::from(at) + 100) });
    let change = Change::RenameMailbox {
        account: ACCOUNT,
        mailbox: INBOX,
        name: "old/mail".to_owned(),
        created: vec![new(30, "old"), new(31, "old/mail")],
        moved: moved.to_vec(),
    };
    let outcome = world.run(change);
    assert!(matches!(outcome.result, Ok(Done::Moved(ref pairs)) if pairs.len() == 2), "{outcome:?}");
    assert_eq!(world.names(), ["INBOX", "INBOX/below", "Work", "old", "old/mail"]);
    assert_eq!((world.uids(INBOX), world.uids(MailboxId(31))), (vec![(3, 3)], vec![(1, 101), (2, 102)]));
    assert_eq!(world.mailbox(INBOX).uid_next, Some(uid(4)));
}

#[test]
fn delete_leaves_those_below() {
    let mut world = World::new();
    world.plain(create(&[new(20, "Work/a")]));
    world.plain(delete(11));
    assert_eq!(world.names(), ["INBOX", "Work/a"]);
    assert_eq!(world.refused(delete(10)), Refusal::Inbox);
    assert_eq!(world.refused(delete(11)), Refusal::NoMailbox);
    let foreign = Change::DeleteMailbox { account: AccountId(2), mailbox: MailboxId(20) };
    assert_eq!(world.refused(foreign), Refusal::NoMailbox);
}

#[test]
fn accounts_come_change_and_go() {
    let mut world = World::new();
    let create = Change::CreateAccount {
        account: AccountId(2),
        address: "a@example.org".to_owned(),
        password: String::new(),
        mailboxes: vec![],
        quota_bytes: None,
    };
    assert_eq!(world.refused(create.clone()), Refusal::AddressTaken);
    let set =
        |account| Change::SetAccount { account, password: None, enabled: Some(false), quota_bytes: Some(Some(9)) };
    assert_eq!(world.refused(set(AccountId(2))), Refusal::NoAccount);
    world.plain(set(ACCOUNT));
    let account = world.state.account(ACCOUNT).unwrap().unwrap();
    assert_eq!((account.enabled, account.quota_bytes, account.password.as_str()), (false, Some(9), "p"));
    world.plain(Change::Subscribe { account: ACCOUNT, name: "n".to_owned(), subscribed: true });
    world.plain(Change::DeleteAccount { account: ACCOUNT });
    assert_eq!(world.state.digests().root(), crate::digest::Digest::ZERO, "nothing stays of it");
    assert_eq!(world.refused(Change::DeleteAccount { account: ACCOUNT }), Refusal::NoAccount);
    world.plain(create);
}

#[test]
fn settings_are_written_and_taken_away() {
    let mut world = World::new();
    let put = |values: &[&str]| Change::PutSetting {
        name: "g_x".to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    assert_eq!(world.run(put(&["1", "2"])).touched, [Touched::Settings]);
    assert!(world.run(put(&["1", "2"])).touched.is_empty());
    world.plain(put(&[]));
    assert!(world.state.setting("g_x").unwrap().is_empty());
}

#[test]
fn u1_a_gap_raises_every_mailbox_and_a_clean_epoch_none() {
    let mut world = World::new();
    let start = |gap| EpochStart {
        authority: AuthorityId(1),
        epoch: Epoch(4),
        holder: NodeId::Zero,
        after: Position { epoch: Epoch(2), seq: Seq(9) },
        gap,
    };
    let before = world.mailbox(INBOX);
    apply(&mut world.state, Applied::Epoch(&start(false))).unwrap();
    assert_eq!(world.mailbox(INBOX), before);
    apply(&mut world.state, Applied::Epoch(&start(true))).unwrap();
    let after = world.mailbox(INBOX);
    assert_eq!(after.uid_next.unwrap().get(), before.uid_next.unwrap().get() + (1 << 20));
    assert_eq!(after.highest_modseq.0, before.highest_modseq.0 + (1 << 32));
    assert_eq!(*world.state.digests(), world.state.digests_computed());
}
