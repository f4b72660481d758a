//! Commands over an engine in memory, and an engine whose index is damaged on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::admin::Compared;
use crate::service::memory;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mailmirror_control::record::Record;
use mailmirror_control::status::{NodeStatus, RecordAnswer};
use mailmirror_model::ids::{Epoch, Position, Seq};
use std::sync::Mutex;

/// Answers comparisons from a list: the digest of the peer each time; ours is `a`.
struct Damaged {
    theirs: Mutex<Vec<&'static str>>,
    rebuilt: Mutex<u64>,
}

impl Control for Damaged {
    fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        watch::channel(Arc::new(memory::status())).1
    }

    fn obey(&self, _record: Record) -> BoxFuture<'_, RecordAnswer> {
        async { RecordAnswer { refused: None, status: memory::status() } }.boxed()
    }

    fn promote(&self, accept_loss: bool) -> BoxFuture<'_, Result<(), String>> {
        async move { if accept_loss { Ok(()) } else { Err("give --accept-loss".to_owned()) } }.boxed()
    }

    fn swap(&self) -> BoxFuture<'_, Result<(), String>> {
        async { Ok(()) }.boxed()
    }

    fn compare(&self) -> BoxFuture<'_, Result<Compared, String>> {
        async {
            let theirs = self.theirs.lock().unwrap().remove(0).to_owned();
            Ok(Compared { position: Position { epoch: Epoch(2), seq: Seq(7) }, ours: "a".to_owned(), theirs })
        }
        .boxed()
    }

    fn rebuild_index(&self) -> BoxFuture<'_, Result<u64, String>> {
        async {
            *self.rebuilt.lock().unwrap() += 1;
            Ok(3)
        }
        .boxed()
    }
}

fn teller(theirs: &[&'static str]) -> (Teller, Arc<Damaged>) {
    let control = Arc::new(Damaged { theirs: Mutex::new(theirs.to_vec()), rebuilt: Mutex::new(0) });
    let parts = TellerParts {
        service: memory::service().0,
        control: control.clone(),
        live: Live::new(std::path::Path::new("/nonexistent/mailmirror.ini"), "host", memory::settings()),
        peer: None,
        data: PathBuf::from("/data"),
        stop: CancellationToken::new(),
    };
    (Teller::new(parts), control)
}

#[tokio::test]
async fn nodes_that_differ_are_reported_with_both_digests() {
    let (teller, _) = teller(&["a", "b"]);
    let equal = teller.run(Tell::VerifyMirror { full: false }).await;
    assert_eq!((equal.ok, equal.text.as_str()), (true, "equal at 2/7 with digest a\n"));
    let different = teller.run(Tell::VerifyMirror { full: false }).await;
    assert_eq!((different.ok, different.text.as_str()), (false, "NOT equal at 2/7: digest a here, b at the peer\n"));
}

#[tokio::test]
async fn a_resync_corrects_this_node_first_and_then_asks_the_peer() {
    let (corrected, control) = teller(&["b", "a"]);
    let told = corrected.run(Tell::ResyncFast).await;
    assert!(told.ok && told.text.contains("3 mailboxes"), "{}", told.text);
    assert_eq!((told.data["corrections"].as_u64(), *control.rebuilt.lock().unwrap()), (Some(3), 1));

    let (alone, _) = teller(&["b", "b", "a"]);
    let told = alone.run(Tell::ResyncFast).await;
    assert!(!told.ok && told.text.contains("g_mirror_host"), "{}", told.text);
    // What failed does not stand in the way of the next try.
    assert!(alone.run(Tell::ResyncFast).await.text.contains("0 corrections"));
}

#[tokio::test]
async fn two_nodes_do_not_ask_each_other_for_ever() {
    let (teller, control) = teller(&["b"]);
    teller.inner.resyncing.store(true, std::sync::atomic::Ordering::Release);
    let told = teller.run(Tell::ResyncFast).await;
    assert!(!told.ok && told.text.contains("running"), "{}", told.text);
    assert_eq!(*control.rebuilt.lock().unwrap(), 0);
}

#[tokio::test]
async fn dir_has_a_line_for_each_thing_and_folders_are_named() {
    let (teller, _) = teller(&[]);
    let add = Tell::AddUser { address: "alice".to_owned(), password: "secret".to_owned() };
    assert!(teller.run(add).await.ok);
    let account = teller.service().find_account("alice").await.unwrap().id;
    teller.service().deliver(&[account], bytes::Bytes::from_static(b"x"), 1_900_000_000).await.unwrap();
    let dir = async |folder: Option<&str>| {
        teller.run(Tell::Dir { user: "alice".to_owned(), folder: folder.map(str::to_owned) }).await
    };
    let all = dir(None).await;
    assert_eq!(all.text.lines().count(), 6 + 6 + 1, "subscriptions, mailboxes, one message");
    assert_eq!(all.data.as_array().unwrap().len(), 13);
    let inbox = dir(Some("inbox")).await.text;
    let lines: Vec<_> = inbox.lines().collect();
    assert!(lines[0].starts_with("\"INBOX\" uidvalidity="), "{inbox}");
    assert!(
        lines[1].starts_with("\"INBOX\" uid=1 modseq=") && lines[1].contains(" flags=() size=1 date=1900000000 body=")
    );
    assert!(!dir(Some("Nowhere")).await.ok);
}

#[tokio::test]
async fn what_fails_says_why() {
    let (teller, _) = teller(&[]);
    let told = teller.run(Tell::Promote { accept_loss: false }).await;
    assert_eq!((told.ok, told.data["error"].as_str()), (false, Some("give --accept-loss")));
    let told = teller.run(Tell::Reload).await;
    assert!(!told.ok && told.text.contains("/nonexistent/mailmirror.ini"), "{}", told.text);
    let told = teller.run(Tell::ChangePass { address: "zoe".to_owned(), password: "x".to_owned() }).await;
    assert_eq!(told.text, "failed to change the password of zoe: there is no such account\n");
    let told =
        teller.run(Tell::AddUser { address: "zoe@elsewhere.example".to_owned(), password: "x".to_owned() }).await;
    assert!(told.text.contains("example.com"), "{}", told.text);
}
