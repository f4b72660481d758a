//! Nodes that stop, lose their disks, come back old, and swap their roles.

use crate::harness::{A, B, Pair};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, Role};
use mailmirror_model::ids::NodeId;
use std::path::Path;

async fn with_mail(master: NodeId) -> Pair {
    let pair = Pair::start(master).await;
    for number in 0..20 {
        pair.deliver(A, &format!("m{number:02}")).await;
    }
    pair.create(B, "box").await;
    pair.move_to(B, "INBOX", "m03", "box").await;
    pair.expunge(A, "INBOX", "m05").await;
    pair.set(B, "INBOX", "m07", "\\Seen work").await;
    pair.is_whole().await;
    pair.look().await;
    pair
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c54_c55_each_node_is_gone_for_a_while_under_load() {
    let pair = with_mail(A).await;
    for gone in [B, A] {
        pair.stop_node(gone).await;
        let other = gone.peer();
        if pair.node(other).status().role != Role::Master {
            pair.promote(other).await;
        }
        for number in 0..10 {
            pair.deliver(other, &format!("without {gone} {number}")).await;
        }
        pair.start_node(gone).await;
        pair.deliver(other, &format!("with {gone} again")).await;
        pair.is_whole().await;
    }
    assert_eq!(pair.everything().await.len(), 19 + 22);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c56_both_nodes_stop_and_start() {
    for first in [A, B] {
        let pair = with_mail(A).await;
        pair.stop_node(first).await;
        pair.stop_node(first.peer()).await;
        pair.start_node(first).await;
        pair.start_node(first.peer()).await;
        pair.is_whole().await;
        assert_eq!(pair.everything().await.len(), 19);
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c58_the_disk_of_a_is_lost_and_a_returns_empty() {
    let pair = with_mail(A).await;
    pair.stop_node(A).await;
    pair.promote(B).await;
    pair.deliver(B, "while a was away").await;
    std::fs::remove_dir_all(pair.store_dir(A)).unwrap();
    pair.start_node_as(A, Role::Slave).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 20);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c59_the_disk_of_b_is_lost() {
    let pair = with_mail(A).await;
    pair.stop_node(B).await;
    std::fs::remove_dir_all(pair.store_dir(B)).unwrap();
    pair.deliver(A, "while b was away").await;
    pair.start_node(B).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 20);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c60_an_empty_master_overwrites_nothing() {
    let pair = with_mail(A).await;
    pair.stop_node(A).await;
    std::fs::remove_dir_all(pair.store_dir(A)).unwrap();
    pair.start_node_as(A, Role::Master).await;
    let why = pair.stops_with_an_old_store(A).await;
    assert!(why.contains("promoted"), "what can be done: {why}");
    assert_eq!(pair.count(B).await, 19, "u8: nothing is given up");
    pair.promote(B).await;
    std::fs::remove_dir_all(pair.store_dir(A)).unwrap();
    pair.start_node_as(A, Role::Slave).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 19);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_a_is_restored_from_an_old_snapshot_while_b_waits() {
    let pair = with_mail(A).await;
    let snapshot = pair.store_dir(A).with_extension("snapshot");
    pair.stop_node(A).await;
    copy_dir(&pair.store_dir(A), &snapshot);
    pair.start_node(A).await;
    pair.add_all(A, "INBOX", &["after the snapshot 1", "after the snapshot 2"]).await;
    pair.is_whole().await;
    pair.look().await;
    pair.stop_node(A).await;
    std::fs::remove_dir_all(pair.store_dir(A)).unwrap();
    std::fs::rename(&snapshot, pair.store_dir(A)).unwrap();
    pair.start_node(A).await;
    pair.stops_with_an_old_store(A).await;
    pair.promote(B).await;
    pair.start_node(A).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 21);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c61_a_is_restored_from_an_old_snapshot_while_b_took_over() {
    let pair = with_mail(A).await;
    let snapshot = pair.store_dir(A).with_extension("snapshot");
    pair.stop_node(A).await;
    copy_dir(&pair.store_dir(A), &snapshot);
    pair.start_node(A).await;
    pair.is_whole().await;
    pair.add_all(A, "INBOX", &["after the snapshot 1", "after the snapshot 2"]).await;
    pair.expunge(A, "INBOX", "m01").await;
    pair.is_whole().await;
    pair.look().await;
    pair.stop_node(A).await;
    pair.promote(B).await;
    pair.deliver(B, "at b alone").await;
    std::fs::remove_dir_all(pair.store_dir(A)).unwrap();
    std::fs::rename(&snapshot, pair.store_dir(A)).unwrap();
    pair.start_node(A).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 21);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c62_b_is_restored_from_an_old_snapshot() {
    let pair = with_mail(A).await;
    let snapshot = pair.store_dir(B).with_extension("snapshot");
    pair.stop_node(B).await;
    copy_dir(&pair.store_dir(B), &snapshot);
    pair.start_node(B).await;
    pair.add_all(B, "INBOX", &["after the snapshot 1", "after the snapshot 2"]).await;
    pair.expunge(B, "INBOX", "m01").await;
    pair.is_whole().await;
    pair.look().await;
    pair.stop_node(B).await;
    pair.deliver(A, "at a alone").await;
    std::fs::remove_dir_all(pair.store_dir(B)).unwrap();
    std::fs::rename(&snapshot, pair.store_dir(B)).unwrap();
    pair.start_node(B).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 21);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c63_a_foreign_store_is_mounted() {
    let (pair, foreign) = tokio::join!(with_mail(A), with_mail(A));
    foreign.stop_node(B).await;
    pair.stop_node(B).await;
    let own = pair.store_dir(B).with_extension("own");
    std::fs::rename(pair.store_dir(B), &own).unwrap();
    copy_dir(&foreign.store_dir(B), &pair.store_dir(B));
    foreign.stop_node(A).await;
    pair.start_node(B).await;
    let why = pair.problem(B, "BranchKept").await;
    assert!(why.contains("U8"), "{why}");
    assert_eq!(pair.count(B).await, 19, "u8: a foreign store is not given up by itself");
    pair.deliver(A, "a goes on").await;
    pair.stop_node(B).await;
    std::fs::remove_dir_all(pair.store_dir(B)).unwrap();
    std::fs::rename(&own, pair.store_dir(B)).unwrap();
    pair.start_node(B).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 20);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c65_a_lost_index_is_built_anew_from_the_log() {
    for node in [A, B] {
        let pair = with_mail(A).await;
        pair.part().await;
        pair.add(A, "INBOX", "on the branch").await;
        pair.heal().await;
        pair.look().await;
        pair.stop_node(node).await;
        std::fs::remove_dir_all(pair.store_dir(node).join("index")).unwrap();
        pair.start_node(node).await;
        // The looks from before say that UIDs are the same.
        pair.is_whole().await;
        assert_eq!(pair.everything().await.len(), 20);
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c77_promoted_while_the_peer_is_connected() {
    let pair = with_mail(A).await;
    pair.promote(B).await;
    pair.is_whole().await;
    assert_eq!((pair.node(A).status().role, pair.node(B).status().role), (Role::Slave, Role::Master));
    pair.add_all(A, "INBOX", &["at the new slave"]).await;
    pair.promote(A).await;
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 20);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c77_both_are_promoted_while_apart_and_the_lower_epoch_is_rebased() {
    let pair = with_mail(A).await;
    pair.part().await;
    pair.add(A, "INBOX", "in the first epoch of a").await;
    // B is promoted; A knows nothing of that, and B is stopped and promoted no more.
    pair.add(B, "INBOX", "in the epoch of b").await;
    let record = pair.node(A).status().obeyed.unwrap();
    assert!(record.epoch < pair.node(B).status().obeyed.unwrap().epoch, "never the same epoch");
    pair.heal().await;
    assert_eq!(pair.node(A).status().role, Role::Slave);
    assert_eq!(pair.everything().await.len(), 21);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c78_roles_swapped_again_and_again_under_load() {
    let pair = Pair::start(A).await;
    let services = [A, B].map(|node| pair.node(node).service.clone());
    let swapping = async {
        for swap in 0..10 {
            let master = pair.master();
            pair.node(master).engine.swap().await.unwrap_or_else(|error| panic!("swap {swap}: {error}"));
            pair.node(master.peer()).until("swapped", |status| status.role == Role::Master && status.serving).await;
            pair.node(master).until("a slave", |status| status.role == Role::Slave && status.serving).await;
        }
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let loading = async {
        let mut acknowledged = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) || acknowledged < 20 {
            let service = &services[acknowledged % 2];
            pair.deliver_by(service, &format!("load {acknowledged}")).await;
            acknowledged += 1;
        }
        acknowledged
    };
    let swapping = async {
        swapping.await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let ((), acknowledged) = tokio::join!(swapping, loading);
    pair.is_whole().await;
    let mut found = pair.everything().await;
    assert_eq!(found.len(), acknowledged);
    found.dedup();
    assert_eq!(found.len(), acknowledged, "each is there once");
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c79_the_old_master_returns_still_configured_as_master() {
    let pair = with_mail(A).await;
    pair.cut().await;
    pair.look().await;
    pair.promote(B).await;
    pair.deliver(A, "at the old master").await;
    pair.stop_node(A).await;
    pair.deliver(B, "at the new master").await;
    pair.cable.mend();
    pair.start_node_as(A, Role::Master).await;
    pair.is_whole().await;
    assert_eq!(pair.node(A).status().role, Role::Slave);
    assert_eq!(pair.everything().await.len(), 21);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c80_a_first_sync_that_is_interrupted_goes_on() {
    let pair = Pair::lay_out(A, AckPolicy::Local).await;
    pair.start_node(A).await;
    let a = pair.node(A);
    a.until("the first role", |status| status.role == Role::Master && status.serving).await;
    pair.create_account(A, pair.ann.clone()).await;
    let text = "x".repeat(4000);
    for round in 0..20 {
        let given = (0..50).map(|number| pair.deliver_to(A, format!("{round} {number} {text}")));
        futures::future::join_all(given.collect::<Vec<_>>()).await;
    }
    pair.start_node(B).await;
    for part in [100, 500, 900] {
        pair.node(B).until("a part", |status| status.tail.seq.0 >= part).await;
        pair.cut().await;
        pair.deliver_to(A, format!("while cut {part}")).await;
        pair.cable.mend();
        pair.deliver_to(A, format!("live {part}")).await;
    }
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 1006);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c81_c82_equal_nodes_have_nothing_to_correct_also_after_an_index_was_built_anew() {
    let pair = with_mail(A).await;
    for node in [A, B] {
        assert!(pair.node(node).engine.compare().await.unwrap().is_equal());
        pair.node(node).until("proven", |status| status.proven_equal.is_some()).await;
        assert!(pair.node(node).engine.compare().await.unwrap().is_equal());
        assert_eq!(pair.node(node).engine.rebuild_index().await.unwrap(), 0, "no corrections");
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c84_a_flapping_link_under_load() {
    let pair = Pair::start(A).await;
    for round in 0..8 {
        pair.cable.cut();
        pair.deliver(A, &format!("cut {round}")).await;
        pair.cable.mend();
        pair.node(B).until("connected", |status| matches!(status.link, Link::Connected { .. })).await;
        pair.deliver(A, &format!("master {round}")).await;
        pair.deliver(B, &format!("slave {round}")).await;
    }
    pair.is_whole().await;
    assert_eq!(pair.everything().await.len(), 24);
    pair.end().await;
}
