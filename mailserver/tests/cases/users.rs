//! Accounts while the nodes are apart.

use crate::harness::pair::account;
use crate::harness::{A, B, Pair, each_way};
use bytes::Bytes;
use mailmirror_model::operation::Change;

const ANN: &str = "ann@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn c38_a_password_changed_on_a_only() {
    each_way(async |pair| {
        pair.part().await;
        pair.node(A).service.set_password(ANN, "changed at a").await.unwrap();
        pair.add(B, "INBOX", "at b").await;
        pair.heal().await;
        for node in [A, B] {
            let service = &pair.node(node).service;
            assert_eq!(service.authenticate(ANN, "changed at a").await.unwrap(), pair.ann);
            service.authenticate(ANN, "pw").await.expect_err("the old one");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c38_a_password_changed_on_both() {
    each_way(async |pair| {
        pair.part().await;
        pair.node(A).service.set_password(ANN, "changed at a").await.unwrap();
        pair.node(B).service.set_password(ANN, "changed at b").await.unwrap();
        pair.heal().await;
        let mut taken = Vec::new();
        for node in [A, B] {
            let service = &pair.node(node).service;
            for password in ["changed at a", "changed at b"] {
                if service.authenticate(ANN, password).await.is_ok() {
                    taken.push(password);
                }
            }
        }
        assert!(taken.len() == 2 && taken[0] == taken[1], "one of them, the same on both nodes: {taken:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c39_an_account_deleted_on_the_branch_while_mail_for_it_comes_in() {
    // The branch is at A: what B took in stays, and nobody is let in (U6).
    let pair = Pair::start(A).await;
    pair.deliver(A, "known to both").await;
    pair.part().await;
    pair.node(A).service.delete_account(ANN).await.unwrap();
    pair.deliver(B, "new at b").await;
    pair.heal().await;
    assert_eq!(pair.content("INBOX").await, ["new at b"]);
    assert!(!pair.node(A).service.find_account(ANN).await.unwrap().enabled);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c40_an_account_deleted_and_created_again_on_one_side() {
    each_way(async |pair| {
        let bob = account("bob@example.com");
        pair.create_account(A, bob.clone()).await;
        let service = &pair.node(A).service;
        service.deliver(&[bob.id], Bytes::from_static(b"old\r\n"), 1).await.unwrap();
        pair.part().await;
        service.delete_account(&bob.address).await.unwrap();
        let again = account("bob@example.com");
        pair.create_account(A, again.clone()).await;
        service.deliver(&[again.id], Bytes::from_static(b"new\r\n"), 1).await.unwrap();
        pair.heal().await;
        for node in [A, B] {
            let service = &pair.node(node).service;
            assert_eq!(service.find_account(&bob.address).await.unwrap().id, again.id);
            let view = service.show().await.unwrap();
            let inbox = view.mailbox(again.id, "INBOX").await.unwrap().unwrap();
            assert_eq!(view.counts(inbox.id).await.unwrap().messages, 1, "nothing of the old one comes back");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c42_a_quota_overrun_that_exists_only_after_merging() {
    each_way(async |pair| {
        let quota_bytes = Some(Some(300));
        let limit = Change::SetAccount { account: pair.ann.id, password: None, enabled: None, quota_bytes };
        pair.propose(A, limit).await;
        pair.part().await;
        let long = "x".repeat(90);
        for node in [A, B] {
            pair.add(node, "INBOX", &format!("{node} {long}")).await;
        }
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await.len(), 2, "a mirrored message is never refused");
        let service = &pair.node(B).service;
        let refused = service.resolve_recipient(ANN, 1).await.expect_err("over quota now");
        assert_eq!(refused, mailserver::service::RcptError::OverQuota);
        let free = Change::SetAccount { account: pair.ann.id, password: None, enabled: None, quota_bytes: Some(None) };
        pair.propose(A, free).await;
    })
    .await;
}
