//! From POP3's questions to the service and back to outcomes.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::service::Service;
use crate::service::memory::{MemoryCore, Mood, service};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn door() -> (ServiceDoor, Service, Arc<MemoryCore>) {
    let (service, core) = service();
    let account = service.create_account("ann@example.com", "pw").await.unwrap();
    for message in ["Subject: 1\r\n\r\n", "Subject: 2\r\n\r\ntwo\r\n"] {
        service.deliver(&[account.id], Bytes::from_static(message.as_bytes()), 0).await.unwrap();
    }
    (ServiceDoor::new(service.clone()), service, core)
}

async fn log_in(door: &ServiceDoor, password: &str) -> Login<OpenMaildrop> {
    let password = mailmirror_smtp_proto::Password::new(password.to_owned());
    door.log_in(PEER, Credentials { user: "ann".to_owned(), password }).await
}

async fn open(door: &ServiceDoor) -> OpenMaildrop {
    match log_in(door, "pw").await {
        Login::Opened(maildrop) => maildrop,
        _ => panic!("not opened"),
    }
}

#[tokio::test]
async fn the_inbox_is_listed_read_and_emptied() {
    let (door, _, _) = door().await;
    let maildrop = open(&door).await;
    let sizes: Vec<u64> = maildrop.list().iter().map(|listed| listed.size).collect();
    assert_eq!(sizes, [14, 19]);
    let FetchOutcome::Message(message) = maildrop.fetch(1).await else { panic!("not fetched") };
    assert_eq!(message, "Subject: 2\r\n\r\ntwo\r\n");
    assert_eq!(maildrop.fetch(2).await, FetchOutcome::Gone);
    assert_eq!(maildrop.remove(vec![0]).await, RemoveOutcome::Done);
    let kept = maildrop.list()[1].uidl.clone();
    drop(maildrop);
    let left = open(&door).await.list();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].uidl, kept, "u4: an identity never means another message");
}

#[tokio::test]
async fn one_session_at_a_time() {
    let (door, _, _) = door().await;
    let first = open(&door).await;
    assert!(matches!(log_in(&door, "pw").await, Login::InUse));
    drop(first);
    drop(open(&door).await);
    assert!(matches!(log_in(&door, "wrong").await, Login::Rejected));
    assert!(matches!(log_in(&door, "pw").await, Login::Opened(_)));
}

#[tokio::test]
async fn a_list_stays_what_it_was_at_login() {
    let (door, service, _) = door().await;
    let maildrop = open(&door).await;
    let account = service.find_account("ann@example.com").await.unwrap().id;
    service.deliver(&[account], Bytes::from_static(b"new\r\n"), 0).await.unwrap();
    assert_eq!(maildrop.list().len(), 2);
    assert_eq!(maildrop.remove(vec![0, 1]).await, RemoveOutcome::Done);
    drop(maildrop);
    assert_eq!(open(&door).await.list().len(), 1, "what came meanwhile is not removed");
}

#[tokio::test]
async fn n5_n6_a_node_that_holds_shows_and_changes_nothing() {
    let (door, _, core) = door().await;
    let maildrop = open(&door).await;
    core.set_mood(Mood::Holding);
    assert_eq!(maildrop.remove(vec![0]).await, RemoveOutcome::Unavailable);
    core.set_mood(Mood::Losing);
    assert_eq!(maildrop.remove(vec![0]).await, RemoveOutcome::Unknown);
    drop(maildrop);
    core.set_mood(Mood::Holding);
    assert!(matches!(log_in(&door, "pw").await, Login::Unavailable));
    core.set_mood(Mood::Serving);
    assert!(matches!(log_in(&door, "pw").await, Login::Opened(_)), "the lock was given back");
}
