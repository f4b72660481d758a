//! From SMTP's questions to the service and back to outcomes; and the ports that the settings ask for.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use mailmirror_smtp_proto::command::{BodyKind, HeloName};
use mailmirror_smtp_proto::session::Greeting;

use super::*;
use crate::service::Service;
use crate::service::memory::{MemoryCore, Mood, service_with, settings};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn door() -> (ServiceDoor, Service, Arc<MemoryCore>) {
    let mut settings = settings();
    settings.quota_default_bytes = Some(1000);
    let (service, core) = service_with(settings);
    service.create_account("ann@example.com", "pw").await.unwrap();
    service.create_account("bob@example.com", "pw").await.unwrap();
    (ServiceDoor::new(service.clone()), service, core)
}

fn path(text: &str) -> ForwardPath {
    mailmirror_smtp_proto::address::parse_forward_path(text).unwrap().0
}

async fn resolve(door: &ServiceDoor, recipient: &str, declared_size: Option<u64>) -> RecipientOutcome {
    let query =
        RecipientQuery { recipient: path(recipient), reverse_path: ReversePath::Null, user: None, declared_size };
    door.resolve_recipient(query).await
}

async fn delivery(door: &ServiceDoor, recipients: &[&str], message: &str) -> Delivery {
    let mut taken = Vec::new();
    for recipient in recipients {
        let RecipientOutcome::Accepted(key) = resolve(door, recipient, None).await else { panic!("{recipient}") };
        taken.push(Recipient { path: path(recipient), key });
    }
    let envelope = Envelope {
        greeting: Greeting { name: HeloName::new("c.example").unwrap(), extended: true },
        peer: PEER,
        protocol: Protocol::Lmtp,
        security: Security::Plain,
        user: None,
        reverse_path: ReversePath::Null,
        recipients: taken,
        declared_size: None,
        body: BodyKind::SevenBit,
    };
    let message = Bytes::copy_from_slice(message.as_bytes());
    Delivery { id: "id7".to_owned(), envelope, received_at: UnixSeconds(1234), message }
}

#[tokio::test]
async fn recipients() {
    let (door, service, core) = door().await;
    let ann = resolve(&door, "<ann@example.com>", None).await;
    assert!(matches!(ann, RecipientOutcome::Accepted(_)));
    assert_eq!(resolve(&door, "<\"ANN\"@Example.COM>", None).await, ann, "one mailbox, one key");
    for (recipient, want) in [
        ("<none@example.com>", RecipientOutcome::NoSuchUser),
        ("<ann@elsewhere.example>", RecipientOutcome::RelayDenied),
        ("<ann@[192.0.2.1]>", RecipientOutcome::RelayDenied),
        ("<postmaster>", RecipientOutcome::NoSuchUser),
    ] {
        assert_eq!(resolve(&door, recipient, None).await, want, "{recipient}");
    }
    assert_eq!(resolve(&door, "<ann@example.com>", Some(1001)).await, RecipientOutcome::OverQuota);
    service.create_account("postmaster@example.com", "pw").await.unwrap();
    assert!(matches!(resolve(&door, "<PostMaster>", None).await, RecipientOutcome::Accepted(_)));
    core.set_mood(Mood::Holding);
    assert_eq!(resolve(&door, "<none@example.com>", None).await, RecipientOutcome::Unavailable);
}

#[tokio::test]
async fn logins() {
    let (door, _, core) = door().await;
    let try_one = |user: &str, password: &str| {
        let password = mailmirror_smtp_proto::Password::new(password.to_owned());
        door.authenticate(PEER, Credentials { user: user.to_owned(), password })
    };
    let account = "ann@example.com".to_owned();
    assert_eq!(try_one("ann", "pw").await, AuthOutcome::Accepted { account });
    assert_eq!(try_one("ann", "wrong").await, AuthOutcome::Rejected);
    assert_eq!(try_one("nobody", "pw").await, AuthOutcome::Rejected);
    core.set_mood(Mood::Holding);
    assert_eq!(try_one("ann", "wrong").await, AuthOutcome::Unavailable);
}

#[tokio::test]
async fn a_message_for_two_is_stored_in_both_inboxes() {
    let (door, service, core) = door().await;
    let delivery = delivery(&door, &["<ann@example.com>", "<bob@example.com>"], "Subject: x\r\n\r\n").await;
    let committed = DeliveryOutcome::Committed { id: "id7".to_owned() };
    assert_eq!(door.deliver(delivery).await, [committed.clone(), committed]);
    assert_eq!(core.bodies(), 1);
    for user in ["ann@example.com", "bob@example.com"] {
        let account = service.find_account(user).await.unwrap().id;
        let inbox = service.peek().mailbox(account, "INBOX").await.unwrap().unwrap();
        let opened = service.peek().open(inbox.id).await.unwrap().unwrap();
        assert_eq!(opened.messages.len(), 1);
        assert_eq!(opened.messages[0].internal_date_seconds, 1234);
        assert_eq!(service.body(opened.messages[0].body).await.unwrap(), "Subject: x\r\n\r\n");
    }
}

#[tokio::test]
async fn outcomes_of_deliveries() {
    let (door, service, core) = door().await;
    for (mood, want) in [
        (Mood::Holding, DeliveryOutcome::Unavailable),
        (Mood::Full, DeliveryOutcome::DiskFull),
        (Mood::Losing, DeliveryOutcome::Unknown),
    ] {
        core.set_mood(Mood::Serving);
        let delivery = delivery(&door, &["<ann@example.com>", "<bob@example.com>"], "x\r\n").await;
        core.set_mood(mood);
        assert_eq!(door.deliver(delivery).await, [want.clone(), want], "{mood:?}");
    }
    core.set_mood(Mood::Serving);
    let late = delivery(&door, &["<bob@example.com>"], "x\r\n").await;
    service.delete_account("bob@example.com").await.unwrap();
    assert_eq!(door.deliver(late).await, [DeliveryOutcome::NoSuchUser]);
}

#[tokio::test]
async fn a_message_too_large_for_the_store() {
    let mut settings = settings();
    settings.limits.message_max_bytes = 10;
    let (service, _) = service_with(settings);
    service.create_account("ann@example.com", "pw").await.unwrap();
    let door = ServiceDoor::new(service);
    let delivery = delivery(&door, &["<ann@example.com>"], "more than ten octets\r\n").await;
    assert_eq!(door.deliver(delivery).await, [DeliveryOutcome::TooLarge]);
}

#[test]
fn ports_of_the_settings() {
    let mut settings = settings();
    settings.server_name = "mx.example.com".to_owned();
    settings.limits.message_max_bytes = 1 << 20;
    settings.limits.recipients_max = 7;
    let port = |kind, plaintext_login| {
        let mut settings = settings.clone();
        settings.limits.plaintext_login = plaintext_login;
        port_config(&settings, kind)
    };
    let smtp = port(PortKind::Smtp, false);
    assert_eq!(smtp.session.hostname, "mx.example.com");
    assert_eq!(smtp.session.limits.rcpt_max, 7);
    assert_eq!(smtp.session.limits.data.message_max_bytes, (1 << 20) - 4096);
    assert_eq!((smtp.session.tls, smtp.session.auth), (TlsOffer::Offered, AuthOffer::Offered));
    assert!(!smtp.session.offers_auth(Security::Plain) && smtp.session.offers_auth(Security::Tls));
    let submission = port(PortKind::Submission, false);
    assert_eq!((submission.session.tls, submission.session.auth), (TlsOffer::Required, AuthOffer::Required));
    let submission = port(PortKind::Submission, true);
    assert_eq!((submission.session.tls, submission.session.auth), (TlsOffer::Offered, AuthOffer::Required));
    assert!(submission.session.offers_auth(Security::Plain));
    let smtps = port(PortKind::Smtps, false);
    assert_eq!((smtps.entry, smtps.session.auth), (Entry::ImplicitTls, AuthOffer::Required));
    let lmtp = port(PortKind::Lmtp, true);
    assert_eq!((lmtp.session.protocol, lmtp.session.auth), (Protocol::Lmtp, AuthOffer::None));
}
