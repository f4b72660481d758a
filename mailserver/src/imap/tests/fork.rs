//! A fork, and what the clients of both branches know when it is over (rules U1 to U3).

use std::collections::BTreeMap;

use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, Role};
use mailmirror_model::ids::NodeId;

use super::pair::{Node, Pair, Roaming, fetch_all, uid_and_flags};
use super::*;

/// UID and flags of everything in INBOX.
async fn truth(node: &Node) -> BTreeMap<u32, String> {
    fetch_all(&mut node.logged_in().await).await.iter().filter_map(|line| uid_and_flags(line)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_u1_u2_u3_clients_of_both_branches_know_the_same_after_a_fork() {
    let (zero, one, again) = Pair::start().await.apart();
    let ann = zero.service.find_account("ann@example.com").await.unwrap().id;
    for number in 1..=3 {
        let body = Bytes::from(format!("Subject: common {number}\r\n\r\n"));
        zero.service.deliver(&[ann], body, 1).await.unwrap();
    }
    let (mut of_old, mut of_new) = (Roaming::default(), Roaming::default());
    of_old.visit(&mut one.logged_in().await).await;
    of_new.visit(&mut one.logged_in().await).await;

    // The slave is gone; the master goes on, and a client sees it.
    one.stop().await;
    let mut at_zero = zero.in_inbox().await;
    for number in 4..=6 {
        assert!(at_zero.append("INBOX", &format!("Subject: branch {number}\r\n\r\n")).await.starts_with("OK"));
    }
    at_zero.ok("UID STORE 1 +FLAGS (\\Flagged)").await;
    at_zero.ok("UID STORE 2 +FLAGS (\\Deleted)").await;
    at_zero.ok("UID EXPUNGE 2").await;
    of_old.visit(&mut zero.logged_in().await).await;
    assert_eq!(of_old.flags.keys().copied().collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
    drop(at_zero);
    zero.stop().await;

    // A person promotes the slave, which lacks all this, and another client sees that.
    let one = again.start(NodeId::One).await;
    one.engine.promote(true).unwrap();
    one.until(|status| status.role == Role::Master && status.serving).await;
    let mut at_one = one.in_inbox().await;
    assert!(at_one.append("INBOX", "Subject: new\r\n\r\n").await.starts_with("OK"));
    at_one.ok("UID STORE 3 +FLAGS (\\Answered)").await;
    of_new.visit(&mut one.logged_in().await).await;
    let given_since = *of_new.flags.keys().next_back().unwrap();
    assert!(given_since > 1 << 20, "u1: above what the old master may have given out, {given_since}");

    // The old master comes back and gives up its branch; a session that is open meanwhile follows.
    let zero = again.start(NodeId::Zero).await;
    zero.until(|status| status.role == Role::Slave && matches!(status.link, Link::Connected { .. })).await;
    // The rest of the branch has arrived when all its messages are there again.
    one.until(|status| status.messages == 6).await;
    let known: BTreeMap<u32, String> = truth(&one).await;
    assert_eq!(truth(&zero).await, known);
    let flags: Vec<&str> = known.values().map(String::as_str).collect();
    assert_eq!(flags, ["\\Flagged", "\\Answered", "", "", "", ""], "u6, u7: both branches count: {known:?}");
    for (client, name) in [(&mut of_old, "old"), (&mut of_new, "new")] {
        client.visit(&mut zero.logged_in().await).await;
        assert_eq!(client.flags, known, "a client of the {name} branch");
        client.visit(&mut one.logged_in().await).await;
        assert_eq!(client.flags, known, "a client of the {name} branch, at the other node");
    }
    let lines = at_one.ok("NOOP").await;
    assert_eq!(with(&lines, "* 1 FETCH (UID 1 FLAGS (\\Flagged)").len(), 1, "{lines:?}");
    assert_eq!(with(&lines, " EXPUNGE"), ["* 2 EXPUNGE"], "{lines:?}");
    assert_eq!(at_one.ok("UID SEARCH ALL").await.len(), 1);
    drop(at_one);
    zero.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_sessions_on_both_nodes_stay_through_a_swap() {
    let (zero, one, _again) = Pair::start_with(AckPolicy::Peer).await.apart();
    let (mut at_zero, mut at_one) = (zero.in_inbox().await, one.in_inbox().await);
    assert!(at_zero.append("INBOX", "Subject: 1\r\n\r\n").await.contains(" 1] "));
    let idling = at_one.begin("IDLE").await;
    assert!(at_one.line().await.starts_with("+ "));
    assert_eq!(at_one.line().await, "* 1 EXISTS");
    zero.engine.swap().await.unwrap();
    one.until(|status| status.role == Role::Master && status.serving).await;
    zero.until(|status| status.role == Role::Slave && status.serving).await;
    let appended = at_zero.append("INBOX", "Subject: 2\r\n\r\n").await;
    assert!(appended.contains(" 2] "), "a swap leaves no gap: {appended}");
    assert_eq!(at_one.line().await, "* 2 EXISTS");
    at_one.say("DONE\r\n").await;
    assert!(at_one.finish(&idling).await.1.starts_with("OK"));
    at_one.ok("STORE 2 +FLAGS (\\Seen)").await;
    assert_eq!(at_zero.ok("FETCH 2 FLAGS").await.last().unwrap(), "* 2 FETCH (FLAGS (\\Seen))");
    drop((at_zero, at_one));
    zero.stop().await;
    one.stop().await;
}
