//! What goes wrong between two engines with real sockets: wrong settings, cuts, silence, slowness, restarts.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::net::{Mode, Nodes, ONE, ZERO, assert_holds, is_up, load, put, rows, secret, whole};
use common::{TestAuthority, create_account, mail, until};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, NodeStatus, Role, SwapProgress};
use mailmirror_mirror::{Authority, Engine};
use mailmirror_model::ids::MessageId;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;

fn says(status: &NodeStatus, words: &str) -> bool {
    matches!(&status.link, Link::Disconnected { error: Some(error), .. } if error.contains(words))
}

fn since(engine: &Engine) -> u64 {
    match engine.status().borrow().link {
        Link::Connected { since, .. } | Link::Disconnected { since, .. } => since,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_another_secret_is_said_on_both_nodes() {
    let mut nodes = Nodes::new(Authority::Managed).await;
    nodes.secrets[1].send_replace(vec![secret("another")]);
    let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
    until(&zero, "the message", |status| says(status, "another g_mirror_secret")).await;
    until(&one, "the message", |status| says(status, "another g_mirror_secret")).await;
    nodes.secrets[1].send_replace(vec![secret("one")]);
    until(&zero, "a link once they are alike", is_up).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c52_tls_on_one_side_only_is_said_on_both_nodes() {
    for nossl in [[true, false], [false, true]] {
        let mut nodes = Nodes::new(Authority::Managed).await;
        nodes.nossl = nossl;
        let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
        until(&zero, "the message", |status| says(status, "g_mirror_nossl")).await;
        until(&one, "the message", |status| says(status, "g_mirror_nossl")).await;
        nodes.stop_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c51_two_nodes_of_one_number_are_told_what_to_check() {
    let mut nodes = Nodes::new(Authority::Managed).await;
    let zero = nodes.start(ZERO).await;
    until(&zero, "the message", |status| says(status, "g_mirror_node is 1")).await;
    nodes.stop(ZERO).await;
    nodes.between.set(Mode::Cut);
    let mut alone = Nodes::new(Authority::Managed).await;
    alone.call = Some(std::net::SocketAddr::from(([127, 0, 0, 1], common::free_port())));
    let one = alone.start(ONE).await;
    until(&one, "the message", |status| says(status, "g_mirror_node is 0 there and 1 here")).await;
    alone.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c59_a_slave_that_lost_its_disk_is_filled_and_recorded_under_load() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let stop = watch::Sender::new(false);
    let loads: Vec<_> = (0..3).map(|at| load(&zero, at * 1_000_000, stop.subscribe())).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(one);
    nodes.stop(ONE).await;
    std::fs::remove_dir_all(nodes.store_dir(ONE)).unwrap();
    until(&zero, "alone", |status| status.alone).await;
    let one = nodes.start(ONE).await;
    authority.serve(&one);
    until(&zero, "with its slave again, under load", |status| !status.alone && status.lag_entries.is_some()).await;
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for load in loads {
        acknowledged.extend(load.await.unwrap());
    }
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &acknowledged).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_switched_under_load() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let stop = watch::Sender::new(false);
    let loads = [load(&zero, 0, stop.subscribe()), load(&one, 1_000_000, stop.subscribe())];
    for policy in
        [AckPolicy::Local, AckPolicy::Peer, AckPolicy::Both, AckPolicy::Local, AckPolicy::Both, AckPolicy::Peer]
    {
        let next = authority.current().with_policy(policy);
        authority.write(next);
        until(&zero, "obeyed", |status| status.obeyed.is_some_and(|obeyed| obeyed.policy == policy)).await;
        let messages = zero.status().borrow().messages;
        until(&zero, "more mail", |status| status.messages > messages + 20).await;
        if policy != AckPolicy::Local {
            until(&zero, "recorded again", |_| authority.current().is_member(common::net::member(&one))).await;
        }
    }
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for load in loads {
        acknowledged.extend(load.await.unwrap());
    }
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &acknowledged).await;
    assert!(authority.promote(&one));
    until(&one, "the new master", |status| status.role == Role::Master && status.in_office).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c53_a_secret_is_rotated_without_losing_the_link_and_while_the_peer_is_away() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let before = since(&zero);
    nodes.secrets[0].send_replace(vec![secret("two"), secret("one")]);
    put(&zero, 1).await;
    nodes.secrets[1].send_replace(vec![secret("two"), secret("one")]);
    nodes.secrets[0].send_replace(vec![secret("two")]);
    put(&one, 2).await;
    assert_eq!(since(&zero), before, "the link was not lost");
    nodes.between.set(Mode::Cut);
    until(&zero, "cut", |status| !is_up(status)).await;
    nodes.between.set(Mode::Pass);
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &[1, 2]).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_both_restarted_resume_their_roles_without_the_authority() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    put(&zero, 1).await;
    drop((zero, one, authority));
    nodes.stop_all().await;
    let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
    until(&zero, "master again", |status| status.role == Role::Master && status.in_office).await;
    until(&one, "slave again", |status| status.role == Role::Slave).await;
    put(&zero, 2).await;
    put(&one, 3).await;
    assert_holds(&zero, &one, &[1, 2, 3]).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c54_a_slave_is_restarted_under_load() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let stop = watch::Sender::new(false);
    let loads: Vec<_> = (0..4).map(|at| load(&zero, at * 1_000_000, stop.subscribe())).collect();
    drop(one);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        nodes.stop(ONE).await;
        until(&zero, "alone", |status| status.alone).await;
        let one = nodes.start(ONE).await;
        authority.serve(&one);
        until(&zero, "with its slave again, under load", |status| !status.alone && status.lag_entries.is_some()).await;
    }
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for load in loads {
        acknowledged.extend(load.await.unwrap());
    }
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let one = nodes.engines[1].clone().unwrap();
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &acknowledged).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a2_a_master_that_is_cut_off_commits_only_after_a_grant() {
    let mut nodes = Nodes::new(Authority::Managed).await;
    let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
    let authority = TestAuthority::begin(AckPolicy::Peer, &zero);
    let (serving, _) = (authority.serve(&zero), authority.serve(&one));
    zero.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
    whole(&authority, &zero, &one).await;
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    nodes.between.set(Mode::Hold { to_zero: true, to_one: true });
    let (change, bodies) = mail(1, "while it is cut off");
    let mut ticket = zero.propose(change, bodies).await.unwrap();
    until(&zero, "the wish", |status| status.wish.is_some()).await;
    let soon = tokio::time::timeout(Duration::from_millis(500), ticket.committed()).await;
    assert!(soon.is_err(), "nothing is committed without a grant: {soon:?}");
    assert!(!zero.in_office(), "the lease has run out");
    authority.serve(&zero);
    ticket.committed().await.unwrap();
    assert!(zero.in_office());
    assert_eq!(authority.current().members.len(), 1);
    nodes.between.set(Mode::Pass);
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &[1]).await;
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n2_c68_forwards_whose_answers_are_lost_are_done_once() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    for round in 0..3 {
        nodes.between.set(Mode::Hold { to_zero: false, to_one: true });
        let forwards: Vec<_> = (0..10)
            .map(|number| {
                let one = one.clone();
                tokio::spawn(async move {
                    let (change, bodies) = mail(round * 10 + number, "forwarded");
                    one.propose(change, bodies).await.unwrap().committed().await
                })
            })
            .collect();
        let tail = zero.status().borrow().tail.seq;
        until(&zero, "the forwards", |status| status.tail.seq.0 >= tail.0 + 10).await;
        nodes.between.set(Mode::Cut);
        until(&one, "cut", |status| !is_up(status)).await;
        nodes.between.set(Mode::Pass);
        for forward in forwards {
            forward.await.unwrap().unwrap();
        }
        whole(&authority, &zero, &one).await;
    }
    let all: Vec<u64> = (0..30).collect();
    assert_holds(&zero, &one, &all).await;
    assert_eq!(rows(&zero).len(), 30);
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n2_forwards_wait_for_a_master_that_takes_none_and_stay_in_order() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    authority.write(authority.current().begin_swap());
    until(&zero, "sealed", |status| matches!(status.swap, Some(SwapProgress::Sealed { .. }))).await;
    let before = nodes.between.to_zero.load(Ordering::Relaxed);
    let mut tickets = Vec::new();
    for number in 0..40 {
        let (change, bodies) = mail(number, &"x".repeat(50 * 1024));
        tickets.push(one.propose(change, bodies).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let sent = nodes.between.to_zero.load(Ordering::Relaxed) - before;
    assert!(sent < 6 * 1024 * 1024, "2 MB are wanted, {sent} bytes were sent");
    authority.write(authority.current().cancel_swap().unwrap());
    for mut ticket in tickets {
        ticket.committed().await.unwrap();
    }
    let order: Vec<_> = common::shown(&one).await.1.into_iter().map(|(_, id)| id).collect();
    assert_eq!(order, (1..=40).map(MessageId).collect::<Vec<_>>());
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c84_a_link_that_comes_and_goes_loses_and_doubles_nothing() {
    let (mut nodes, zero, one, authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let stop = watch::Sender::new(false);
    let loads = [load(&zero, 0, stop.subscribe()), load(&one, 1_000_000, stop.subscribe())];
    for round in 0..12 {
        tokio::time::sleep(Duration::from_millis(60 * (round % 4))).await;
        nodes.between.set(if round % 3 == 0 { Mode::Hold { to_zero: true, to_one: false } } else { Mode::Cut });
        tokio::time::sleep(Duration::from_millis(100)).await;
        nodes.between.set(Mode::Cut);
        nodes.between.set(Mode::Pass);
    }
    whole_under_load(&zero, &one).await;
    stop.send_replace(true);
    let mut acknowledged = Vec::new();
    for load in loads {
        let some = load.await.unwrap();
        assert!(!some.is_empty());
        acknowledged.extend(some);
    }
    whole(&authority, &zero, &one).await;
    assert_holds(&zero, &one, &acknowledged).await;
    nodes.stop_all().await;
}

async fn whole_under_load(zero: &Engine, one: &Engine) {
    until(zero, "mirrored again", |status| is_up(status) && !status.alone && status.in_office).await;
    until(one, "mirrored again", |status| is_up(status) && status.serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n4_a_client_that_roams_never_sees_an_older_state() {
    let (mut nodes, zero, one, _authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let answered = watch::Sender::new(0_u64);
    let writing = {
        let (answered, nodes) = (answered.clone(), [zero.clone(), one.clone()]);
        tokio::spawn(async move {
            for number in 0..200 {
                put(&nodes[usize::from(number % 3 == 0)], number).await;
                answered.send_replace(number + 1);
            }
        })
    };
    let readers: Vec<_> = [zero.clone(), one.clone(), zero.clone(), one.clone()]
        .into_iter()
        .map(|node| {
            let answered = answered.subscribe();
            tokio::spawn(async move {
                let mut looks = 0_u32;
                while *answered.borrow() < 200 {
                    let known = *answered.borrow();
                    let reader = node.read_point().await.unwrap();
                    let found =
                        tokio::task::block_in_place(|| reader.snapshot(|view| view.rows(common::INBOX)).unwrap());
                    assert!(found.len() as u64 >= known, "{} shown, {known} answered", found.len());
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    writing.await.unwrap();
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    nodes.stop_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_over_a_slow_link_does_not_break_it() {
    let (mut nodes, zero, one, _authority) = Nodes::mirrored(AckPolicy::Peer).await;
    let before = (since(&zero), since(&one));
    // 24 MB in more than five seconds; the peer counts as gone after two without a word.
    nodes.between.set(Mode::Slow(44 * 1024));
    let text = "x".repeat(24 * 1024 * 1024);
    let (change, bodies) = mail(1, &text);
    let mut ticket = zero.propose(change, bodies).await.unwrap();
    ticket.committed().await.unwrap();
    let (change, bodies) = mail(2, &text);
    one.propose(change, bodies).await.unwrap().committed().await.unwrap();
    until(&zero, "all of it at the slave", |status| status.lag_entries == Some(0)).await;
    until(&one, "all of it at the slave", |status| status.messages == 2).await;
    assert_eq!((since(&zero), since(&one)), before, "the link was not lost");
    assert_eq!(rows(&one).values().copied().collect::<Vec<_>>(), [MessageId(2), MessageId(3)]);
    nodes.stop_all().await;
}
