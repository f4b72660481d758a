//! What IMAP clients do with mailboxes. Each answers when the change is applied on this node.

use super::error::ChangeError;
use super::names::{self, MAILBOXES_MAX};
use super::{AccountHandle, Service};
use mailmirror_model::ids::{MailboxId, MessageId};
use mailmirror_model::operation::{Change, MoveItem, SpecialUse};
use mailmirror_model::outcome::Refusal;

/// The most subscriptions of one account.
const SUBSCRIPTIONS_MAX: usize = 20_000;

impl Service {
    /// CREATE, with the mailboxes above it that are missing.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn create_mailbox(
        &self,
        account: &AccountHandle,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId, ChangeError> {
        let name = names::check(name)?;
        let owner = account.id;
        let count = self.peek().read(move |snapshot| Ok(snapshot.mailboxes(owner)?.len())).await?;
        if count >= MAILBOXES_MAX {
            return Err(ChangeError::Limit(format!("an account may have {MAILBOXES_MAX} mailboxes")));
        }
        let mailboxes = names::with_parents(&name, special_use, new_mailbox_id);
        let created = mailboxes.last().map_or_else(new_mailbox_id, |new| new.mailbox);
        self.change(Change::CreateMailbox { account: owner, mailboxes }, Vec::new()).await?;
        Ok(created)
    }

    /// RENAME, with all below it. INBOX stays and gives its messages to the new mailbox (RFC 9051 section 6.3.6).
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn rename_mailbox(&self, account: &AccountHandle, from: &str, to: &str) -> Result<(), ChangeError> {
        let (from, to) = (names::canonical(from), names::check(to)?);
        let (owner, source) = (account.id, from.clone());
        let (mailbox, held) = self
            .ask(move |snapshot| {
                let mailbox = snapshot.mailbox_by_name(owner, &source)?.ok_or(Refusal::NoMailbox)?;
                let held = if source == "INBOX" { snapshot.messages(mailbox.id)? } else { Vec::new() };
                Ok((mailbox.id, held))
            })
            .await?;
        let created = if from == "INBOX" {
            names::with_parents(&to, None, new_mailbox_id)
        } else {
            names::parents(&to, &mut new_mailbox_id)
        };
        let moved =
            held.iter().map(|message| MoveItem { source: message.target(), message: MessageId(rand::random()) });
        let change = Change::RenameMailbox { account: owner, mailbox, name: to, created, moved: moved.collect() };
        self.change(change, Vec::new()).await.map(|_| ())
    }

    /// DELETE, with its messages; those below it stay.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn delete_mailbox(&self, account: &AccountHandle, name: &str) -> Result<(), ChangeError> {
        let (owner, name) = (account.id, names::canonical(name));
        let mailbox =
            self.ask(move |snapshot| Ok(snapshot.mailbox_by_name(owner, &name)?.ok_or(Refusal::NoMailbox)?.id)).await?;
        self.change(Change::DeleteMailbox { account: owner, mailbox }, Vec::new()).await.map(|_| ())
    }

    /// SUBSCRIBE and UNSUBSCRIBE; a mailbox of that name need not exist.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn subscribe(&self, account: &AccountHandle, name: &str, subscribed: bool) -> Result<(), ChangeError> {
        // What is subscribed under a name that is not taken any more can still be given up.
        let name = if subscribed { names::check(name)? } else { names::canonical(name) };
        let owner = account.id;
        if subscribed {
            let count = self.peek().read(move |snapshot| Ok(snapshot.subscriptions(owner)?.len())).await?;
            if count >= SUBSCRIPTIONS_MAX {
                return Err(ChangeError::Limit(format!("an account may have {SUBSCRIPTIONS_MAX} subscriptions")));
            }
        }
        self.change(Change::Subscribe { account: owner, name, subscribed }, Vec::new()).await.map(|_| ())
    }
}

pub(super) fn new_mailbox_id() -> MailboxId {
    MailboxId(rand::random())
}
