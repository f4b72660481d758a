//! One node, rule by rule.

use super::super::*;
use mailmirror_control::record::Swap;
use mailmirror_control::status::ObeyRefusal;
use mailmirror_model::ids::{AuthorityId, Epoch};

const M: Member = Member { node: NodeId::Zero, store: StoreId(10) };
const S: Member = Member { node: NodeId::One, store: StoreId(11) };
const AUTHORITY: AuthorityId = AuthorityId(1);
const T: Time = Time(100_000);
const EMPTY: Position = Position { epoch: Epoch(0), seq: Seq::ZERO };

fn after(millis: u64) -> Time {
    Time(T.0 + millis)
}

fn node(me: Member, obeyed: Option<Obeyed>, tail: Position) -> Node {
    let identity = Identity { node: me.node, store: me.store, incarnation: Incarnation(5) };
    // It has been running for longer than a lease.
    Node::start(identity, Timing::default(), false, obeyed, (tail, Seq::ZERO), Seq::ZERO, Time(T.0 - 10_000))
}

fn pair(policy: AckPolicy) -> Record {
    Record { members: vec![M, S], policy, ..Record::first(AUTHORITY, policy, M, None) }
}

fn obeyed(record: &Record) -> Obeyed {
    Obeyed {
        authority: record.authority,
        epoch: record.epoch,
        holder: record.holder,
        grant: record.grant,
        policy: record.policy,
    }
}

/// Carries out what is decided as the shell does, and flushes and applies at once.
fn carry_out(node: &mut Node, actions: &[Action], now: Time) {
    for action in actions {
        if !matches!(action, Action::Persist(_) | Action::RestartLink) {
            append(node, now);
        }
    }
    let tail = node.tail().seq;
    node.on_flushed(tail, now);
    node.on_applied(node.committed());
}

fn append(node: &mut Node, now: Time) {
    let epoch = node.obeyed().map_or(Epoch(0), |obeyed| obeyed.epoch);
    node.on_appended(Position { epoch, seq: node.tail().seq.next() }, now);
}

/// A master whose slave has everything.
fn master(policy: AckPolicy) -> Node {
    let mut master = node(M, None, EMPTY);
    let actions = master.obey(&pair(policy), T).unwrap();
    carry_out(&mut master, &actions, T);
    master.on_peer(S.store, Incarnation(6), master.tail().seq, false, T);
    master.on_applied(master.committed());
    master
}

fn slave(policy: AckPolicy) -> Node {
    let mut slave = node(S, None, EMPTY);
    slave.obey(&pair(policy), T).unwrap();
    slave.on_following(true);
    slave
}

#[test]
fn a1_a4_a7_what_a_node_does_not_obey() {
    let record = pair(AckPolicy::Peer);
    let later = Record { epoch: Epoch(4), serial: 9, ..record.clone() };
    let known = Some(obeyed(&later));
    let other_authority = Record { authority: AuthorityId(2), ..later.clone() };
    let stale = ObeyRefusal::Stale { authority: AUTHORITY, epoch: Epoch(4) };
    let parity = Record { epoch: Epoch(3), ..record.clone() };
    let without_me = Record { members: vec![S], ..record.clone() };
    let other_store = Record { members: vec![Member { store: StoreId(99), ..M }], ..record.clone() };
    let table = [
        (parity, None, ObeyRefusal::Parity { epoch: Epoch(3), holder: NodeId::Zero }),
        (record.clone(), known, stale.clone()),
        (other_authority, known, stale.clone()),
        (without_me, None, ObeyRefusal::OtherStore { recorded: None, store: M.store }),
        (other_store, None, ObeyRefusal::OtherStore { recorded: Some(StoreId(99)), store: M.store }),
    ];
    for (record, known, refusal) in table {
        let mut node = node(M, known, EMPTY);
        assert_eq!(node.obey(&record, T), Err(refusal));
        assert_eq!((node.role(), node.obeyed().copied()), (Role::None, known), "nothing has changed");
    }
    let above = Record { authority: AuthorityId(2), epoch: Epoch(6), ..later.clone() };
    assert!(node(M, known, EMPTY).obey(&above, T).is_ok(), "a re-created record above all that was obeyed");
    let mut node = node(M, None, EMPTY);
    node.obey(&later, T).unwrap();
    let older = Record { serial: 8, members: vec![M], ..later };
    assert_eq!(node.obey(&older, T), Err(stale), "an older change of the record");
}

#[test]
fn a1_words_are_kept_before_anything_is_written() {
    let mut node = node(M, None, EMPTY);
    let actions = node.obey(&pair(AckPolicy::Peer), T).unwrap();
    assert!(matches!(actions[..], [Action::Persist(_), Action::WriteEpoch(_), Action::RestartLink]));
    assert_eq!(node.obey(&pair(AckPolicy::Peer), T), Ok(vec![]), "telling it twice changes nothing");
}

#[test]
fn a2_l1_a_grant_is_in_force_once_its_own_entry_is_on_the_disk() {
    let mut master = node(M, None, EMPTY);
    let record = Record::first(AUTHORITY, AckPolicy::Peer, M, None);
    let actions = master.obey(&record, T).unwrap();
    carry_out(&mut master, &actions, T);
    assert_eq!(master.wish(after(999)), None, "it waits for its slave first");
    let wish = master.wish(after(1000)).unwrap();
    let granted = record.grant(&wish).unwrap().unwrap();
    let actions = master.obey(&granted, T).unwrap();
    assert!(matches!(actions[..], [Action::Persist(_), Action::WriteGrant(_)]));
    append(&mut master, T);
    assert!(!master.is_alone());
    assert_eq!(master.committed(), Seq::ZERO);
    master.on_flushed(Seq(1), T);
    assert!(!master.is_alone(), "the entry before it");
    master.on_flushed(Seq(2), T);
    assert!(master.is_alone() && master.in_office(T));
    assert_eq!(master.committed(), Seq(2));
}

#[test]
fn a3_a_slave_that_lags_by_entries_but_not_by_time_is_in_sync() {
    let mut master = master(AckPolicy::Peer);
    let mut alone = pair(AckPolicy::Peer);
    alone.members = vec![M];
    alone.serial += 1;
    master.obey(&alone, T).unwrap();
    master.on_peer_gone(T);
    let granted = alone.grant(&master.wish(after(2000)).unwrap()).unwrap().unwrap();
    let actions = master.obey(&granted, T).unwrap();
    carry_out(&mut master, &actions, T);
    assert!(master.is_alone());
    // Far away and under load: 200 ms later it has what was written 200 ms ago, and never the end.
    for _ in 0..300 {
        append(&mut master, after(2000));
    }
    let (mut now, known) = (2000, master.tail().seq.0);
    master.on_peer(S.store, Incarnation(6), Seq(known - 300), false, after(now));
    for round in 0..10 {
        for _ in 0..300 {
            append(&mut master, after(now));
        }
        now += 200;
        master.on_peer_flushed(Seq(known + round * 300), false, after(now));
    }
    assert!(!master.is_alone(), "it rejoins under load");
    // It stalls: after three graces the master asks to go on alone.
    assert_eq!(master.wish(after(now)), None);
    master.tick(after(now + 3001));
    assert!(master.wish(after(now + 3001)).is_some());
    // One entry later it is no better: it lags by three seconds.
    master.on_peer_flushed(Seq(known + 3000), false, after(now + 3100));
    assert!(master.wish(after(now + 3100)).is_some());
}

#[test]
fn a6_the_lease_counts_from_when_the_ping_was_sent_and_ends_before_the_slaves_does() {
    let mut master = master(AckPolicy::Peer);
    let mut slave = slave(AckPolicy::Peer);
    let epoch = Epoch(2);
    assert!(!master.in_office(T));
    assert!(slave.give_lease(epoch, true, after(150)));
    master.on_lease(epoch, after(100));
    assert!(master.in_office(after(2049)));
    assert!(!master.in_office(after(2050)), "two seconds less the margin");
    master.on_lease(Epoch(0), after(3000));
    assert!(!master.in_office(after(3001)), "an answer of another epoch");
    let promoted = pair(AckPolicy::Peer).promote(S, false).unwrap();
    let actions = slave.obey(&promoted, after(200)).unwrap();
    carry_out(&mut slave, &actions, after(200));
    slave.on_peer(M.store, Incarnation(5), slave.tail().seq, false, after(300));
    slave.on_lease(Epoch(3), after(300));
    assert!(!slave.in_office(after(2149)), "what it gave has not run out");
    assert!(slave.in_office(after(2150)));
}

#[test]
fn a6_a_node_that_starts_waits_a_full_lease() {
    let record = pair(AckPolicy::Peer).promote(S, false).unwrap();
    let identity = Identity { node: S.node, store: S.store, incarnation: Incarnation(5) };
    let mut node = Node::start(identity, Timing::default(), false, None, (EMPTY, Seq::ZERO), Seq::ZERO, T);
    node.obey(&record, after(10)).unwrap();
    node.on_lease(Epoch(3), after(500));
    assert!(!node.in_office(after(1999)));
    assert!(node.in_office(after(2000)));
}

#[test]
fn a8_a_restarted_node_resumes_the_role_of_its_stored_epoch() {
    let known = obeyed(&pair(AckPolicy::Peer));
    let tail = Position { epoch: Epoch(2), seq: Seq(7) };
    let mut master = node(M, Some(known), tail);
    assert_eq!(master.accept(T), AcceptState::NoRole);
    assert!(master.resume(Epoch(3), T).is_empty(), "the peer is at another epoch");
    master.resume(Epoch(2), T);
    assert_eq!(master.role(), Role::Master);
    assert_eq!(master.accept(T), AcceptState::Wait, "its log is not applied yet");
    assert_eq!(master.ready(), None);
    let mut slave = node(S, Some(known), tail);
    slave.resume(Epoch(2), T);
    assert_eq!(slave.role(), Role::Slave);
    let mut fresh = node(M, Some(known), Position { epoch: Epoch(1), seq: Seq(7) });
    fresh.resume(Epoch(2), T);
    assert_eq!(fresh.role(), Role::None, "it has not written the first entry: the record says how the epoch begins");
}

#[test]
fn a7_a_higher_epoch_ends_a_lower_one_at_once() {
    let mut master = master(AckPolicy::Peer);
    let next = obeyed(&pair(AckPolicy::Peer).promote(S, false).unwrap());
    assert!(master.see_epoch(Obeyed { epoch: Epoch(1), ..next }, T).is_empty(), "a lower one");
    assert!(master.see_epoch(Obeyed { epoch: Epoch(4), ..next }, T).is_empty(), "of the wrong parity");
    let actions = master.see_epoch(next, T);
    assert!(matches!(actions[..], [Action::Persist(kept), Action::RestartLink] if kept.epoch == Epoch(3)));
    assert_eq!((master.role(), master.record()), (Role::Slave, None));
}

#[test]
fn a10_seal_cancel_and_resume() {
    let mut master = master(AckPolicy::Peer);
    master.on_lease(Epoch(2), after(10));
    assert!(master.in_office(after(20)));
    let swapping = pair(AckPolicy::Peer).begin_swap();
    master.obey(&swapping, after(20)).unwrap();
    assert_eq!(master.accept(after(20)), AcceptState::Wait);
    let actions = master.tick(after(30));
    assert_eq!(actions, [Action::WriteSeal(Seal { swap: 1 })]);
    append(&mut master, after(30));
    assert!(!master.in_office(after(30)), "out of office before the seal can be read");
    let seal = master.tail();
    master.on_flushed(seal.seq, after(40));
    assert_eq!(master.swap(), Some(SwapProgress::Draining { number: 1 }), "the slave lacks it");
    master.on_peer_flushed(seal.seq, false, after(50));
    assert_eq!(master.swap(), Some(SwapProgress::Sealed { number: 1, position: seal }));
    master.obey(&swapping.cancel_swap().unwrap(), after(60)).unwrap();
    assert_eq!((master.swap(), master.accept(after(60))), (None, AcceptState::Here));
    master.on_lease(Epoch(2), after(20));
    assert!(!master.in_office(after(70)), "an answer to a ping of before the seal");
    master.on_lease(Epoch(2), after(65));
    assert!(master.in_office(after(70)));
}

#[test]
fn a10_under_local_a_seal_counts_when_the_slave_has_it() {
    let mut master = master(AckPolicy::Local);
    master.obey(&pair(AckPolicy::Local).begin_swap(), after(20)).unwrap();
    assert_eq!(master.tick(after(30)).len(), 1);
    append(&mut master, after(30));
    let seal = master.tail();
    master.on_flushed(seal.seq, after(40));
    assert_eq!(master.committed(), seal.seq);
    assert_eq!(master.swap(), Some(SwapProgress::Draining { number: 1 }));
    let far = after(100_000);
    assert!(master.tick(far).is_empty());
    assert!(master.swap().is_some(), "only the authority ends it under local");
    master.on_peer_flushed(seal.seq, false, far);
    assert!(matches!(master.swap(), Some(SwapProgress::Sealed { .. })));
}

#[test]
fn a10_under_peer_a_sealed_master_goes_on_by_itself_at_last_and_the_old_order_is_void() {
    let mut master = master(AckPolicy::Peer);
    let swapping = pair(AckPolicy::Peer).begin_swap();
    master.obey(&swapping, T).unwrap();
    let actions = master.tick(T);
    carry_out(&mut master, &actions, T);
    master.on_peer_flushed(master.tail().seq, false, T);
    master.on_applied(master.committed());
    master.tick(after(60_001));
    assert_eq!((master.swap(), master.accept(after(60_001))), (None, AcceptState::Here));
    master.obey(&swapping, after(60_002)).unwrap();
    assert_eq!(master.swap(), None);
    let again = Record { swap: Some(Swap { number: 2 }), serial: swapping.serial + 2, ..swapping };
    master.obey(&again, after(60_003)).unwrap();
    assert!(master.swap().is_some());
}

#[test]
fn n6_holding_begins_after_the_hold_and_ends_with_progress() {
    let mut master = master(AckPolicy::Peer);
    append(&mut master, T);
    append(&mut master, after(5_000));
    master.on_flushed(master.tail().seq, after(5_000));
    assert_eq!(master.accept(after(9_999)), AcceptState::Here);
    assert_eq!(master.accept(after(10_000)), AcceptState::Holding);
    let first = Seq(master.tail().seq.0 - 1);
    master.on_peer_flushed(first, false, after(12_000));
    assert_eq!(master.accept(after(21_999)), AcceptState::Here);
    assert_eq!(master.accept(after(22_000)), AcceptState::Holding);
    master.on_peer_flushed(master.tail().seq, false, after(22_001));
    assert_eq!(master.accept(after(100_000)), AcceptState::Here);
}

#[test]
fn n5_who_may_show_state() {
    use AckPolicy::{Both, Local, Peer};
    for policy in [Local, Peer, Both] {
        let mut master = master(policy);
        let committed = ShowState::From(master.committed());
        let without_lease = if policy == Local { committed } else { ShowState::Wait };
        assert_eq!(master.show(T), without_lease, "{policy}");
        let answer = (policy == Local).then(|| master.committed());
        assert_eq!(master.read_point(T), answer, "{policy}");
        master.on_lease(Epoch(2), after(1));
        assert_eq!(master.show(after(2)), committed, "{policy}");
        assert_eq!(master.read_point(after(2)), Some(master.committed()), "{policy}");
        master.on_peer_gone(after(3));
        if policy != Local {
            assert_eq!(master.read_point(after(4)), None, "a slave that is not connected");
        }
        let mut slave = slave(policy);
        assert_eq!(slave.show(T), ShowState::AskMaster);
        assert_eq!(slave.accept(T), AcceptState::Forward);
        slave.on_following(false);
        let cut_off = if policy == Local { ShowState::From(Seq::ZERO) } else { ShowState::Wait };
        assert_eq!((slave.show(T), slave.accept(T)), (cut_off, AcceptState::Wait), "{policy}");
        slave.stale_allowed = true;
        assert_eq!(slave.show(T), ShowState::From(Seq::ZERO));
    }
}

#[test]
fn n5_a_slave_outside_the_set_is_told_no_read_point() {
    let mut master = master(AckPolicy::Peer);
    master.on_lease(Epoch(2), after(1));
    let without = Record { members: vec![M], serial: 2, ..pair(AckPolicy::Peer) };
    master.obey(&without, after(2)).unwrap();
    assert_eq!(master.read_point(after(3)), None);
}

#[test]
fn u1_no_number_is_given_out_before_the_first_entry_of_the_epoch_is_applied() {
    let tail = Position { epoch: Epoch(2), seq: Seq(7) };
    let mut node = node(S, None, tail);
    node.on_applied(Seq(7));
    let record = pair(AckPolicy::Peer).promote_accepting_loss(S, None);
    assert!(record.gap);
    node.obey(&record, T).unwrap();
    append(&mut node, T);
    assert_eq!(node.accept(T), AcceptState::Wait, "the entry raises all numbers");
    node.on_applied(Seq(8));
    assert_eq!(node.accept(T), AcceptState::Here);
}

#[test]
fn l5_nothing_is_taken_while_the_index_is_built_anew() {
    let mut master = master(AckPolicy::Peer);
    for _ in 0..5 {
        append(&mut master, T);
    }
    master.on_flushed(master.tail().seq, T);
    master.on_peer_flushed(master.tail().seq, false, T);
    let end = master.committed();
    master.on_applied(end);
    assert_eq!(master.accept(T), AcceptState::Here);
    master.on_rewound();
    master.on_applied(Seq(end.0 - 1));
    assert_eq!(master.accept(T), AcceptState::Wait, "numbers of what was applied before are forgotten");
    master.on_applied(end);
    assert_eq!(master.accept(T), AcceptState::Here);
}
