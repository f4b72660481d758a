//! The door on the rules alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::memory::{self, MemoryCore, Mood};
use super::*;
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{MailboxId, ModSeq, Uid};
use mailmirror_model::operation::{MessageRef, SpecialUse};
use mailmirror_model::outcome::Refusal;

const NOW: i64 = 1_900_000_000;

async fn alice() -> (Service, Arc<MemoryCore>, AccountHandle) {
    let (service, core) = memory::service();
    let alice = service.create_account("Alice@Example.com", "secret").await.unwrap();
    (service, core, alice)
}

async fn mailbox(service: &Service, account: &AccountHandle, name: &str) -> MailboxId {
    service.peek().mailbox(account.id, name).await.unwrap().expect(name).id
}

async fn refs(service: &Service, mailbox: MailboxId) -> Vec<MessageRef> {
    let opened = service.show().await.unwrap().open(mailbox).await.unwrap().unwrap();
    opened.messages.iter().map(|message| MessageRef { uid: message.uid, message: message.id }).collect()
}

async fn flags_of(service: &Service, mailbox: MailboxId, uid: u32) -> String {
    let message = service.peek().message(mailbox, Uid::new(uid).unwrap()).await.unwrap().unwrap();
    message.flags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn message(text: &'static str) -> NewMessage {
    NewMessage { body: Bytes::from_static(text.as_bytes()), flags: vec![Flag::Seen], internal_date_seconds: NOW }
}

#[tokio::test]
async fn a_new_account_has_its_mailboxes_and_subscriptions() {
    let (service, _, alice) = alice().await;
    assert_eq!(alice.address, "alice@example.com");
    let listing = service.show().await.unwrap().list(alice.id).await.unwrap();
    let names: Vec<_> = listing.mailboxes.iter().map(|mailbox| (mailbox.name.as_str(), mailbox.special_use)).collect();
    assert_eq!(
        names,
        [
            ("Archive", Some(SpecialUse::Archive)),
            ("Drafts", Some(SpecialUse::Drafts)),
            ("INBOX", None),
            ("Junk", Some(SpecialUse::Junk)),
            ("Sent", Some(SpecialUse::Sent)),
            ("Trash", Some(SpecialUse::Trash)),
        ]
    );
    assert_eq!(listing.subscriptions.len(), 6);
    let again = service.create_account("alice", "other").await.unwrap_err();
    assert!(matches!(again, ChangeError::Refused(Refusal::AddressTaken)), "{again}");
    let foreign = service.create_account("bob@elsewhere.example", "x").await.unwrap_err();
    assert!(foreign.to_string().contains("example.com"), "{foreign}");
}

#[tokio::test]
async fn a_login_is_right_or_denied_and_follows_the_password() {
    let (service, _, alice) = alice().await;
    assert_eq!(service.authenticate("ALICE", "secret").await.unwrap(), alice);
    for (login, password) in [("alice", "Secret"), ("bob", "secret"), ("alice@elsewhere.example", "secret"), ("", "")] {
        assert_eq!(service.authenticate(login, password).await.unwrap_err(), AuthError::Denied, "{login}");
    }
    service.set_password("alice", "new").await.unwrap();
    assert_eq!(service.authenticate("alice", "secret").await.unwrap_err(), AuthError::Denied);
    service.authenticate("alice", "new").await.unwrap();
}

#[tokio::test]
async fn n4_nobody_is_denied_by_a_node_that_lags() {
    let (service, core) = memory::service();
    core.lag();
    let alice = service.create_account("alice", "secret").await.unwrap();
    assert!(service.peek().account(alice.id).await.unwrap().is_none(), "the node itself does not know it yet");
    service.authenticate("alice", "secret").await.unwrap();
    assert_eq!(service.resolve_recipient("alice@example.com", 0).await.unwrap(), alice.id);
    service.deliver(&[alice.id], Bytes::from_static(b"x"), NOW).await.unwrap();
    core.set_mood(Mood::Holding);
    let unsure = service.deliver(&[alice.id], Bytes::from_static(b"x"), NOW).await.unwrap_err();
    assert!(matches!(unsure, ChangeError::Unavailable { .. }), "not refused for good: {unsure}");
    let unsure = service.authenticate("alice", "secret").await.unwrap_err();
    assert!(matches!(unsure, AuthError::Unavailable(_)), "{unsure}");
    let unsure = service.resolve_recipient("alice@example.com", 0).await.unwrap_err();
    assert!(matches!(unsure, RcptError::Unavailable(_)), "{unsure}");
}

#[tokio::test]
async fn a_message_for_several_is_stored_once() {
    let (service, core, alice) = alice().await;
    let bob = service.create_account("bob", "secret").await.unwrap();
    let body = Bytes::from_static(b"Subject: x\r\n\r\nHello\r\n");
    service.deliver(&[alice.id, bob.id, alice.id], body.clone(), NOW).await.unwrap();
    assert_eq!(core.bodies(), 1);
    for account in [&alice, &bob] {
        let inbox = mailbox(&service, account, "inbox").await;
        let opened = service.show().await.unwrap().open(inbox).await.unwrap().unwrap();
        assert_eq!(opened.messages.len(), 1, "{}", account.address);
        let message = &opened.messages[0];
        assert_eq!((message.size_bytes, message.internal_date_seconds), (body.len() as u64, NOW));
        assert_eq!(service.body(message.body).await.unwrap(), body);
    }
}

#[tokio::test]
async fn recipients_are_known_or_refused_by_reason() {
    let mut settings = memory::settings();
    settings.quota_default_bytes = Some(100);
    let (service, _) = memory::service_with(settings);
    let alice = service.create_account("alice", "secret").await.unwrap();
    assert_eq!(service.resolve_recipient("Alice@example.com", 100).await.unwrap(), alice.id);
    for (address, size, expected) in [
        ("nobody@example.com", 0, RcptError::NoSuchUser),
        ("a b@example.com", 0, RcptError::NoSuchUser),
        ("alice@elsewhere.example", 0, RcptError::NotLocal),
        ("alice@example.com", 101, RcptError::OverQuota),
    ] {
        assert_eq!(service.resolve_recipient(address, size).await.unwrap_err(), expected, "{address}");
    }
    service.deliver(&[alice.id], Bytes::from(vec![b'x'; 90]), NOW).await.unwrap();
    assert_eq!(service.resolve_recipient("alice@example.com", 11).await.unwrap_err(), RcptError::OverQuota);
    let inbox = mailbox(&service, &alice, "INBOX").await;
    let full = service.append(&alice, inbox, message("more than ten bytes")).await.unwrap_err();
    assert!(matches!(full, ChangeError::OverQuota), "{full}");
}

#[tokio::test]
async fn n6_refusals_and_unknown_outcomes_are_told_apart() {
    let (service, core, alice) = alice().await;
    let deliver = || service.deliver(std::slice::from_ref(&alice.id), Bytes::from_static(b"x"), NOW);
    core.set_mood(Mood::Holding);
    assert!(matches!(deliver().await.unwrap_err(), ChangeError::Unavailable { .. }));
    core.set_mood(Mood::Full);
    assert!(matches!(deliver().await.unwrap_err(), ChangeError::NoSpace));
    core.set_mood(Mood::Losing);
    assert!(matches!(deliver().await.unwrap_err(), ChangeError::Unknown));
    let large = Bytes::from(vec![0; 51 << 20]);
    assert!(matches!(service.deliver(&[alice.id], large, NOW).await.unwrap_err(), ChangeError::TooLarge));
    let nobody = service.deliver(&[], Bytes::new(), NOW).await.unwrap_err();
    assert!(matches!(nobody, ChangeError::Refused(Refusal::NoAccount)));
}

#[tokio::test]
async fn append_copy_move_and_expunge_say_where_messages_are() {
    let (service, core, alice) = alice().await;
    let (inbox, trash) = (mailbox(&service, &alice, "INBOX").await, mailbox(&service, &alice, "Trash").await);
    for text in ["one", "two", "three"] {
        service.append(&alice, inbox, message(text)).await.unwrap().unwrap();
    }
    let all = refs(&service, inbox).await;
    let copied = service.copy(&alice, inbox, &all[..2], trash).await.unwrap();
    let pairs: Vec<_> = copied.iter().map(|(uid, placed)| (uid.get(), placed.uid.get())).collect();
    assert_eq!(pairs, [(1, 1), (2, 2)]);
    assert_eq!(core.bodies(), 3, "a copy shares its body");
    assert_eq!(flags_of(&service, trash, 1).await, "\\Seen");

    service.expunge(&alice, inbox, &all[..1]).await.unwrap();
    let moved = service.move_messages(&alice, inbox, &all, trash).await.unwrap();
    let pairs: Vec<_> = moved.iter().map(|(uid, placed)| (uid.get(), placed.uid.get())).collect();
    assert_eq!(pairs, [(2, 3), (3, 4)], "what is gone is passed over");
    assert!(refs(&service, inbox).await.is_empty());
    assert!(service.copy(&alice, inbox, &all, trash).await.unwrap().is_empty());

    let changes = service.show().await.unwrap().changes(inbox, ModSeq(1)).await.unwrap().unwrap();
    assert_eq!(changes.vanished, Vanished::Uids((1..=3).filter_map(Uid::new).collect()));
}

#[tokio::test]
async fn store_sets_clears_replaces_and_respects_unchangedsince() {
    let (service, _, alice) = alice().await;
    let inbox = mailbox(&service, &alice, "INBOX").await;
    service.append(&alice, inbox, message("one")).await.unwrap();
    let all = refs(&service, inbox).await;
    let store = async |action, flags: &[Flag], since| {
        service.store_flags(&alice, inbox, &all, action, flags, since).await.unwrap()
    };
    store(FlagAction::Add, &[Flag::Flagged, Flag::parse("$Work").unwrap()], None).await;
    assert_eq!(flags_of(&service, inbox, 1).await, "\\Seen \\Flagged $Work");
    store(FlagAction::Remove, &[Flag::Seen], None).await;
    assert_eq!(flags_of(&service, inbox, 1).await, "\\Flagged $Work");
    store(FlagAction::Replace, &[Flag::Deleted], None).await;
    assert_eq!(flags_of(&service, inbox, 1).await, "\\Deleted");
    let modified = store(FlagAction::Replace, &[Flag::Seen], Some(ModSeq(1))).await;
    assert_eq!(modified, [Uid::FIRST]);
    assert_eq!(flags_of(&service, inbox, 1).await, "\\Deleted");
    let counts = service.peek().counts(inbox).await.unwrap();
    assert_eq!((counts.messages, counts.unseen, counts.deleted, counts.size_bytes), (1, 1, 1, 3));
}

#[tokio::test]
async fn mailboxes_are_created_renamed_and_deleted_by_name() {
    let (service, _, alice) = alice().await;
    service.create_mailbox(&alice, "Work/2026/May/", None).await.unwrap();
    service.rename_mailbox(&alice, "Work/2026", "Old/Work").await.unwrap();
    let names: Vec<_> = service.peek().list(alice.id).await.unwrap().mailboxes.into_iter().map(|m| m.name).collect();
    for name in ["Work", "Old", "Old/Work", "Old/Work/May"] {
        assert!(names.iter().any(|known| known == name), "{name} in {names:?}");
    }
    service.delete_mailbox(&alice, "Old/Work/May").await.unwrap();
    let gone = service.delete_mailbox(&alice, "Old/Work/May").await.unwrap_err();
    assert!(matches!(gone, ChangeError::Refused(Refusal::NoMailbox)));
    let taken = service.create_mailbox(&alice, "work/x", None).await;
    assert!(taken.is_ok(), "names differ in letter case but for INBOX");
    let inbox = service.create_mailbox(&alice, "inbox", None).await.unwrap_err();
    assert!(matches!(inbox, ChangeError::Refused(Refusal::Inbox)), "{inbox}");
    assert!(matches!(service.create_mailbox(&alice, "a//b", None).await.unwrap_err(), ChangeError::BadName(_)));
    service.subscribe(&alice, "Gone/Away", true).await.unwrap();
    service.subscribe(&alice, "INBOX", false).await.unwrap();
    let subscriptions = service.peek().list(alice.id).await.unwrap().subscriptions;
    assert!(subscriptions.contains(&"Gone/Away".to_owned()) && !subscriptions.contains(&"INBOX".to_owned()));
}

#[tokio::test]
async fn renaming_inbox_moves_its_messages_and_keeps_it() {
    let (service, _, alice) = alice().await;
    let inbox = mailbox(&service, &alice, "INBOX").await;
    service.append(&alice, inbox, message("one")).await.unwrap();
    service.rename_mailbox(&alice, "inbox", "Saved/2026").await.unwrap();
    assert!(refs(&service, inbox).await.is_empty());
    assert_eq!(refs(&service, mailbox(&service, &alice, "Saved/2026").await).await.len(), 1);
}

#[tokio::test]
async fn a_mailbox_of_somebody_else_is_not_there() {
    let (service, _, alice) = alice().await;
    let bob = service.create_account("bob", "secret").await.unwrap();
    let (hers, his) = (mailbox(&service, &alice, "INBOX").await, mailbox(&service, &bob, "INBOX").await);
    service.append(&alice, hers, message("one")).await.unwrap();
    let items = refs(&service, hers).await;
    let none = |error: ChangeError| assert!(matches!(error, ChangeError::Refused(Refusal::NoMailbox)), "{error}");
    none(service.append(&bob, hers, message("x")).await.unwrap_err());
    none(service.copy(&bob, hers, &items, his).await.unwrap_err());
    none(service.copy(&alice, hers, &items, his).await.unwrap_err());
    none(service.move_messages(&bob, hers, &items, his).await.unwrap_err());
    none(service.store_flags(&bob, hers, &items, FlagAction::Add, &[Flag::Seen], None).await.unwrap_err());
    none(service.expunge(&bob, hers, &items).await.unwrap_err());
    assert_eq!(refs(&service, hers).await, items);
}

#[tokio::test]
async fn what_changes_is_told() {
    let (service, _, alice) = alice().await;
    let inbox = mailbox(&service, &alice, "INBOX").await;
    let mut touched = service.touched();
    service.deliver(&[alice.id], Bytes::from_static(b"x"), NOW).await.unwrap();
    assert_eq!(*touched.recv().await.unwrap(), [Touched::Mailbox(inbox)]);
    service.delete_account("alice").await.unwrap();
    assert!(touched.recv().await.unwrap().contains(&Touched::Account(alice.id)));
    assert!(service.show().await.unwrap().open(inbox).await.unwrap().is_none());
}
