//! Two engines with real sockets: the rules of MIRROR.md as a client of the engine sees them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Pair, TestAuthority, create_account, mail, shown, until};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Role, SwapProgress};
use mailmirror_mirror::Authority;
use mailmirror_model::ids::NodeId;

const LOCAL: Authority = Authority::Person { first_role: None, policy: AckPolicy::Local, alone: false };

#[tokio::test(flavor = "multi_thread")]
async fn n2_r1_plain_hosts_mirror_both_ways_and_an_empty_slave_is_filled() {
    let mut pair = Pair::new(LOCAL);
    let master = pair.start(NodeId::Zero).await;
    until(&master, "the first role", |status| status.role == Role::Master).await;
    master.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
    for number in 0..20 {
        let (change, bodies) = mail(number, "before the slave came");
        master.propose(change, bodies).await.unwrap().committed().await.unwrap();
    }
    let slave = pair.start(NodeId::One).await;
    until(&slave, "the slave has all", |status| status.role == Role::Slave && status.messages == 20).await;
    let (change, bodies) = mail(100, "at the slave");
    let outcome = slave.propose(change, bodies).await.unwrap().applied().await.unwrap();
    outcome.result.unwrap();
    let (at_master, at_slave) = (shown(&master).await, shown(&slave).await);
    assert_eq!(at_master, at_slave);
    assert_eq!(at_slave.1.len(), 21);
    let compared = slave.compare().await.unwrap();
    assert!(compared.is_equal(), "{compared:?}");
    pair.stop(NodeId::Zero).await;
    pair.stop(NodeId::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a3_a4_a_master_that_dies_is_replaced_without_loss_and_returns_as_slave() {
    let mut pair = Pair::new(Authority::Managed);
    let (zero, one) = (pair.start(NodeId::Zero).await, pair.start(NodeId::One).await);
    let authority = TestAuthority::begin(AckPolicy::Peer, &zero);
    let serving_zero = authority.serve(&zero);
    authority.serve(&one);
    until(&one, "following", |status| status.role == Role::Slave && status.link_is_up()).await;
    zero.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
    until(&zero, "in office", |status| status.in_office && !status.alone).await;
    for number in 0..50 {
        let (change, bodies) = mail(number, "acknowledged by both");
        zero.propose(change, bodies).await.unwrap().committed().await.unwrap();
    }
    let before = shown(&zero).await;
    while !authority.current().is_member(member(&one)) {
        tokio::task::yield_now().await;
    }
    drop(zero);
    pair.stop(NodeId::Zero).await;
    serving_zero.await.unwrap();
    assert!(authority.promote(&one), "a member is promoted");
    until(&one, "the new master alone", |status| status.role == Role::Master && status.alone && status.in_office).await;
    assert_eq!(shown(&one).await, before, "every acknowledged message, with its UID");
    let (change, bodies) = mail(1000, "in the new epoch");
    one.propose(change, bodies).await.unwrap().committed().await.unwrap();

    let back = pair.start(NodeId::Zero).await;
    authority.serve(&back);
    until(&back, "back as slave", |status| status.role == Role::Slave && status.messages == 51).await;
    until(&one, "whole again", |status| !status.alone && status.degraded_since.is_none()).await;
    assert_eq!(shown(&back).await, shown(&one).await);
    assert!(one.compare().await.unwrap().is_equal());
    pair.stop(NodeId::Zero).await;
    pair.stop(NodeId::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_swap_seals_and_loses_nothing() {
    let mut pair = Pair::new(Authority::Managed);
    let (zero, one) = (pair.start(NodeId::Zero).await, pair.start(NodeId::One).await);
    let authority = TestAuthority::begin(AckPolicy::Peer, &zero);
    authority.serve(&zero);
    authority.serve(&one);
    until(&one, "following", |status| status.role == Role::Slave && status.link_is_up()).await;
    zero.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
    until(&zero, "mirrored", |status| status.degraded_since.is_none() && status.in_office && !status.alone).await;
    while !authority.current().is_member(member(&one)) {
        tokio::task::yield_now().await;
    }
    let load = {
        let zero = zero.clone();
        tokio::spawn(async move {
            let mut kept = 0_u64;
            for number in 0..10_000 {
                let (change, bodies) = mail(number, "under load");
                let Ok(mut ticket) = zero.propose(change, bodies).await else { break };
                if ticket.committed().await.is_err() {
                    break;
                }
                kept += 1;
                if zero.status().borrow().role != Role::Master {
                    break;
                }
            }
            kept
        })
    };
    let begun = authority.current().begin_swap();
    authority.write(begun);
    until(&zero, "sealed", |status| matches!(status.swap, Some(SwapProgress::Sealed { .. }))).await;
    assert!(!zero.in_office(), "a sealed master is out of office");
    assert!(authority.promote(&one));
    until(&one, "the new master", |status| status.role == Role::Master && status.in_office).await;
    until(&zero, "the new slave", |status| status.role == Role::Slave).await;
    let (change, bodies) = mail(20_000, "after the swap, at the new slave");
    zero.propose(change, bodies).await.unwrap().committed().await.unwrap();
    let kept = load.await.unwrap();
    let at_one = shown(&one).await;
    assert!(at_one.1.len() as u64 > kept, "{} messages, {kept} acknowledged before", at_one.1.len());
    assert_eq!(shown(&zero).await, at_one);
    pair.stop(NodeId::Zero).await;
    pair.stop(NodeId::One).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_promotion_by_a_person_under_peer_answers_alone_and_a_waiting_master_can_be_granted() {
    let mut pair = Pair::new(Authority::Person { first_role: None, policy: AckPolicy::Peer, alone: false });
    let (zero, one) = (pair.start(NodeId::Zero).await, pair.start(NodeId::One).await);
    until(&zero, "both in the set", |status| status.in_office && status.peer_flushed == Some(status.tail.seq)).await;
    zero.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
    until(&zero, "nothing to report", |status| status.ready.is_none() && status.degraded_since.is_none()).await;
    until(&one, "the record", |status| status.applied == status.tail.seq && status.messages == 0).await;
    drop(zero);
    pair.stop(NodeId::Zero).await;
    one.promote(false).unwrap();
    until(&one, "alone and in office", |status| status.role == Role::Master && status.alone && status.in_office).await;
    let (change, bodies) = mail(1, "after the promotion");
    one.propose(change, bodies).await.unwrap().committed().await.unwrap();

    // Restarted without its slave it waits, until the person says that it may go on.
    drop(one);
    pair.stop(NodeId::One).await;
    let again = pair.start(NodeId::One).await;
    until(&again, "a wish", |status| status.wish.is_some()).await;
    assert!(again.promote(false).is_err(), "it is the holder already");
    again.promote(true).unwrap();
    until(&again, "alone again", |status| status.alone && status.in_office && status.wish.is_none()).await;
    let (change, bodies) = mail(2, "after the grant");
    again.propose(change, bodies).await.unwrap().committed().await.unwrap();
    pair.stop(NodeId::One).await;
}

fn member(engine: &mailmirror_mirror::Engine) -> mailmirror_control::record::Member {
    let status = engine.status().borrow().clone();
    mailmirror_control::record::Member { node: status.node, store: status.store }
}

trait LinkIsUp {
    fn link_is_up(&self) -> bool;
}

impl LinkIsUp for mailmirror_control::status::NodeStatus {
    fn link_is_up(&self) -> bool {
        matches!(self.link, mailmirror_control::status::Link::Connected { .. })
    }
}
