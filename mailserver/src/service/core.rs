//! What the door needs of the engine behind it: the mirror engine in the server, plain memory in tests.

use super::{BodyError, ChangeError, MessageRow, ReadError, ShowError};
use bytes::Bytes;
use futures::future::BoxFuture;
use mailmirror_control::status::NodeStatus;
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, ModSeq, Uid};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::{Outcome, Touched};
use mailmirror_model::state::{Account, Mailbox};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// An engine.
pub trait Core: Send + Sync + 'static {
    /// Hands in a change. An error says that nothing was written.
    fn propose(&self, change: Change, bodies: Vec<Bytes>) -> BoxFuture<'_, Result<Box<dyn Pending>, ChangeError>>;
    /// What is here after a read point (rule N4).
    fn read_point(&self) -> BoxFuture<'_, Result<Arc<dyn Source>, ShowError>>;
    /// What is here.
    fn reader(&self) -> Arc<dyn Source>;
    /// The bytes of a message.
    fn body(&self, body: BodyId) -> BoxFuture<'_, Result<Bytes, BodyError>>;
    /// What changed, after it was applied.
    fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>>;
    /// The status of the node.
    fn status(&self) -> watch::Receiver<Arc<NodeStatus>>;
}

/// A change on its way.
pub trait Pending: Send {
    /// Waits until it is committed. An error is [`ChangeError::Unknown`].
    fn committed(&mut self) -> BoxFuture<'_, Result<(), ChangeError>>;
    /// Waits until it is applied on this node. An error is [`ChangeError::Unknown`].
    fn applied(self: Box<Self>) -> BoxFuture<'static, Result<Outcome, ChangeError>>;
}

/// How full a mailbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Without `\Seen`.
    pub unseen: u64,
    /// With `\Deleted`.
    pub deleted: u64,
    /// Of all messages together, in bytes.
    pub size_bytes: u64,
}

/// UIDs that went after a mod-sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// These, in order.
    Uids(Vec<Uid>),
    /// The tombstones do not reach back that far: every UID that is absent now has to be reported (rule L6).
    AllAbsent,
}

/// Where state is read. It blocks, as the index does: callers keep it off the event loop.
pub trait Source: Send + Sync + 'static {
    /// Asks one moment of the state, once.
    fn look(&self, question: &mut dyn FnMut(&dyn Snapshot) -> Result<(), ReadError>) -> Result<(), ReadError>;
}

/// One moment of the state.
pub trait Snapshot {
    /// An account by identity.
    fn account(&self, id: AccountId) -> Result<Option<Account>, ReadError>;
    /// An account by its normalised address.
    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, ReadError>;
    /// Accounts whose address contains `part`, by address, at most `limit`.
    fn find_accounts(&self, part: &str, limit: usize) -> Result<Vec<Account>, ReadError>;
    /// Bytes of all messages of an account.
    fn used_bytes(&self, account: AccountId) -> Result<u64, ReadError>;
    /// A mailbox by identity.
    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, ReadError>;
    /// A mailbox by its full name.
    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, ReadError>;
    /// The mailboxes of an account, by name.
    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, ReadError>;
    /// The names that are subscribed, in order.
    fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, ReadError>;
    /// How full a mailbox is.
    fn counts(&self, mailbox: MailboxId) -> Result<Counts, ReadError>;
    /// A message by UID.
    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, ReadError>;
    /// The messages of a mailbox in order of UID.
    fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageRow>, ReadError>;
    /// At most `limit` messages with a UID from `first` to `last`, in order of UID: a mailbox is looked at in pages.
    fn messages_between(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: Uid,
        limit: usize,
    ) -> Result<Vec<MessageRow>, ReadError> {
        let mut found = self.messages(mailbox)?;
        found.retain(|message| (first..=last).contains(&message.uid));
        found.truncate(limit);
        Ok(found)
    }
    /// Those with a mod-sequence above `since`, in order of UID.
    fn changed_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<MessageRow>, ReadError>;
    /// The UIDs that went with a mod-sequence above `since`.
    fn vanished_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vanished, ReadError>;
}
