//! The door of POP3 to the mail service. The maildrop is the INBOX.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use mailmirror_model::ids::{AccountId, BodyId, MailboxId};
use mailmirror_model::operation::MessageRef;

use super::{Credentials, FetchOutcome, Listed, Login, Maildrop, MaildropDoor, RemoveOutcome, Uidl};
use crate::service::{AccountHandle, AuthError, BodyError, ChangeError, Service};

/// Opens INBOXes of a [`Service`].
///
/// One session at a time has a maildrop (RFC 1939 section 3) on this node. Sessions on both nodes at once do no
/// harm: what QUIT removes is named by identity.
pub struct ServiceDoor {
    service: Service,
    locked: Arc<Mutex<HashSet<AccountId>>>,
}

impl ServiceDoor {
    /// A door to this service. Ports that share accounts must share the door, or the lock is none.
    pub fn new(service: Service) -> Self {
        Self { service, locked: Arc::default() }
    }

    fn lock(&self, account: AccountId) -> Option<Lock> {
        let fresh = self.locked.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
        fresh.then(|| Lock { locked: Arc::clone(&self.locked), account })
    }

    async fn open(&self, account: AccountHandle, lock: Lock) -> Result<OpenMaildrop, String> {
        let view = self.service.show().await.map_err(|error| error.to_string())?;
        let inbox = view.mailbox(account.id, "INBOX").await.map_err(|error| error.to_string())?;
        let inbox = inbox.ok_or("the account has no INBOX")?;
        let opened = view.open(inbox.id).await.map_err(|error| error.to_string())?;
        let opened = opened.ok_or("the account has no INBOX")?;
        let uid_validity = opened.mailbox.uid_validity.get();
        let entry = |message: crate::service::MessageRow| Entry {
            target: MessageRef { uid: message.uid, message: message.id },
            body: message.body,
            listed: Listed { size: message.size_bytes, uidl: Uidl::new(uid_validity, message.uid.get()) },
        };
        let entries = opened.messages.into_iter().map(entry).collect();
        Ok(OpenMaildrop { service: self.service.clone(), account, inbox: opened.mailbox.id, entries, _lock: lock })
    }
}

impl MaildropDoor for ServiceDoor {
    type Maildrop = OpenMaildrop;

    async fn log_in(&self, peer: IpAddr, credentials: Credentials) -> Login<OpenMaildrop> {
        let account = match self.service.authenticate(&credentials.user, credentials.password.reveal()).await {
            Ok(account) => account,
            Err(AuthError::Denied) => {
                tracing::info!(%peer, user = %credentials.user, "login denied");
                return Login::Rejected;
            }
            Err(error @ (AuthError::Busy | AuthError::Unavailable(_))) => {
                tracing::warn!(%peer, %error, "failed to check a login");
                return Login::Unavailable;
            }
        };
        let Some(lock) = self.lock(account.id) else { return Login::InUse };
        match self.open(account, lock).await {
            Ok(maildrop) => Login::Opened(maildrop),
            Err(why) => {
                tracing::info!(%peer, %why, "maildrop cannot be shown");
                Login::Unavailable
            }
        }
    }
}

/// The INBOX of an account as it was at login.
pub struct OpenMaildrop {
    service: Service,
    account: AccountHandle,
    inbox: MailboxId,
    entries: Vec<Entry>,
    _lock: Lock,
}

struct Entry {
    target: MessageRef,
    body: BodyId,
    listed: Listed,
}

struct Lock {
    locked: Arc<Mutex<HashSet<AccountId>>>,
    account: AccountId,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
}

impl Maildrop for OpenMaildrop {
    fn list(&self) -> Vec<Listed> {
        self.entries.iter().map(|entry| entry.listed.clone()).collect()
    }

    async fn fetch(&self, index: usize) -> FetchOutcome {
        let Some(entry) = self.entries.get(index) else { return FetchOutcome::Gone };
        match self.service.body(entry.body).await {
            Ok(body) => FetchOutcome::Message(body),
            Err(BodyError::Gone) => FetchOutcome::Gone,
            Err(error @ BodyError::Read(_)) => {
                tracing::error!(account = %self.account.address, %error, "failed to read a message for POP3");
                FetchOutcome::Unavailable
            }
        }
    }

    async fn remove(&self, indexes: Vec<usize>) -> RemoveOutcome {
        let entries = indexes.into_iter().filter_map(|index| self.entries.get(index));
        let targets: Vec<MessageRef> = entries.map(|entry| entry.target).collect();
        match self.service.expunge(&self.account, self.inbox, &targets).await {
            Ok(()) => RemoveOutcome::Done,
            Err(ChangeError::Unknown) => RemoveOutcome::Unknown,
            Err(error) => {
                tracing::warn!(account = %self.account.address, %error, "failed to remove messages at QUIT");
                RemoveOutcome::Unavailable
            }
        }
    }
}
