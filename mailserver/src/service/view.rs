//! Reading. It runs beside the event loop.

use super::core::{Counts, Snapshot, Source, Vanished};
use super::error::ReadError;
use super::rows::MessageRow;
use mailmirror_model::ids::{AccountId, MailboxId, ModSeq, Uid};
use mailmirror_model::state::{Account, Mailbox};
use std::sync::Arc;

/// The state as it was when the view was made, or newer. What one call reads belongs together; the next call may see
/// more.
#[derive(Clone)]
pub struct View {
    source: Arc<dyn Source>,
}

/// What LIST and LSUB need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The mailboxes of the account, by name.
    pub mailboxes: Vec<Mailbox>,
    /// Subscribed names, in order. A mailbox of that name need not exist.
    pub subscriptions: Vec<String>,
}

/// A mailbox with its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The mailbox and its counters.
    pub mailbox: Mailbox,
    /// Its messages in order of UID.
    pub messages: Vec<MessageRow>,
}

/// What happened in a mailbox since a mod-sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The mailbox and its counters.
    pub mailbox: Mailbox,
    /// New and changed messages in order of UID.
    pub changed: Vec<MessageRow>,
    /// Those that went.
    pub vanished: Vanished,
}

impl View {
    pub(super) const fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }

    /// The mailboxes and subscriptions of an account.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list(&self, account: AccountId) -> Result<Listing, ReadError> {
        self.read(move |snapshot| {
            Ok(Listing { mailboxes: snapshot.mailboxes(account)?, subscriptions: snapshot.subscriptions(account)? })
        })
        .await
    }

    /// A mailbox by its full name; `INBOX` in any letter case.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, ReadError> {
        let name = super::names::canonical(name);
        self.read(move |snapshot| snapshot.mailbox_by_name(account, &name)).await
    }

    /// A mailbox by identity; `None` once it was deleted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<Option<Mailbox>, ReadError> {
        self.read(move |snapshot| snapshot.mailbox(mailbox)).await
    }

    /// A mailbox with all its messages; `None` once it was deleted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn open(&self, mailbox: MailboxId) -> Result<Option<Opened>, ReadError> {
        self.read(move |snapshot| {
            let Some(found) = snapshot.mailbox(mailbox)? else { return Ok(None) };
            Ok(Some(Opened { mailbox: found, messages: snapshot.messages(mailbox)? }))
        })
        .await
    }

    /// What happened in a mailbox since a mod-sequence (its HIGHESTMODSEQ at the last look); `None` once it was deleted.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(&self, mailbox: MailboxId, since: ModSeq) -> Result<Option<Changes>, ReadError> {
        self.read(move |snapshot| {
            let Some(found) = snapshot.mailbox(mailbox)? else { return Ok(None) };
            Ok(Some(Changes {
                mailbox: found,
                changed: snapshot.changed_since(mailbox, since)?,
                vanished: snapshot.vanished_since(mailbox, since)?,
            }))
        })
        .await
    }

    /// How full a mailbox is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn counts(&self, mailbox: MailboxId) -> Result<Counts, ReadError> {
        self.read(move |snapshot| snapshot.counts(mailbox)).await
    }

    /// A message by UID.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, ReadError> {
        self.read(move |snapshot| snapshot.message(mailbox, uid)).await
    }

    /// An account.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn account(&self, account: AccountId) -> Result<Option<Account>, ReadError> {
        self.read(move |snapshot| snapshot.account(account)).await
    }

    /// Anything that one moment of the state can tell.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Snapshot) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let source = self.source.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let (mut question, mut answer) = (Some(question), None);
            source.look(&mut |snapshot| {
                if let Some(question) = question.take() {
                    answer = Some(question(snapshot)?);
                }
                Ok(())
            })?;
            answer.ok_or_else(|| ReadError("nothing was asked".to_owned()))
        });
        reading.await.map_err(|stopped| ReadError(stopped.to_string()))?
    }
}
