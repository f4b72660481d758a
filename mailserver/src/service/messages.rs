//! What IMAP clients do with messages. Each answers when the change is applied on this node.

use super::core::Snapshot;
use super::delivery::identity_of;
use super::error::{ChangeError, ReadError};
use super::{AccountHandle, FlagAction, MessageRow, NewMessage, Service};
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{AccountId, MailboxId, MessageId, ModSeq, Uid};
use mailmirror_model::operation::{Add, BodyMeta, Change, FlagItem, MessageRef, MoveItem};
use mailmirror_model::outcome::{Done, Placed, Refusal};

/// The most messages of one command that must be done as a whole: COPY.
pub const COPY_MAX: usize = 200_000;
/// Commands that may be done in parts are done in parts of this many messages, so that others get their turn.
const PART: usize = 10_000;
/// How often a COPY is tried again when one of its messages is expunged meanwhile.
const COPY_TRIES: usize = 3;

impl Service {
    /// APPEND. The answer is where the message is (APPENDUID), `None` where that is not known any more.
    ///
    /// # Errors
    /// [`ChangeError`]; [`Refusal::NoMailbox`] is `NO [TRYCREATE]`.
    pub async fn append(
        &self,
        account: &AccountHandle,
        mailbox: MailboxId,
        message: NewMessage,
    ) -> Result<Option<Placed>, ChangeError> {
        let NewMessage { body, flags, internal_date_seconds } = message;
        let size_bytes = body.len() as u64;
        if size_bytes > self.settings().limits.message_max_bytes {
            return Err(ChangeError::TooLarge);
        }
        let owner = account.id;
        self.ask(move |snapshot| check_room(snapshot, owner, mailbox, size_bytes)).await?;
        let id = identity_of(&body).await?;
        let message = MessageId(rand::random());
        let add = Add { mailbox, message, body: id, size_bytes, internal_date_seconds, flags };
        let change = Change::Add { adds: vec![add], bodies: vec![BodyMeta { body: id, size_bytes }] };
        match self.change(change, vec![body]).await? {
            Done::Added(placed) => match placed.as_slice() {
                [Some(placed)] => Ok(Some(*placed)),
                _ => Err(Refusal::NoMailbox.into()),
            },
            _ => Ok(None),
        }
    }

    /// COPY, as a whole or not at all. Messages that are gone are passed over. The answer is COPYUID: the UID in `from`
    /// and the place in `to`.
    ///
    /// # Errors
    /// [`ChangeError`]; [`Refusal::NoMailbox`] is `NO [TRYCREATE]`.
    pub async fn copy(
        &self,
        account: &AccountHandle,
        from: MailboxId,
        items: &[MessageRef],
        to: MailboxId,
    ) -> Result<Vec<(Uid, Placed)>, ChangeError> {
        if items.len() > COPY_MAX {
            return Err(ChangeError::Limit(format!("one COPY may have {COPY_MAX} messages")));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.copy_once(account.id, from, items.to_vec(), to).await {
                // A message was expunged between the look at it and the change: the others are still wanted.
                Err(ChangeError::Refused(Refusal::NoBody)) if tries < COPY_TRIES => {}
                done => return done,
            }
        }
    }

    async fn copy_once(
        &self,
        owner: AccountId,
        from: MailboxId,
        items: Vec<MessageRef>,
        to: MailboxId,
    ) -> Result<Vec<(Uid, Placed)>, ChangeError> {
        let read = self.ask(move |snapshot| {
            check_owner(snapshot, owner, from)?;
            let found = present(snapshot, from, &items)?;
            check_room(snapshot, owner, to, found.iter().map(|message| message.size_bytes).sum())?;
            Ok(found)
        });
        let messages = read.await?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let adds = messages.iter().map(|message| Add {
            mailbox: to,
            message: MessageId(rand::random()),
            body: message.body,
            size_bytes: message.size_bytes,
            internal_date_seconds: message.internal_date_seconds,
            flags: message.flags.to_vec(),
        });
        match self.change(Change::Add { adds: adds.collect(), bodies: Vec::new() }, Vec::new()).await? {
            Done::Added(placed) if placed.iter().any(Option::is_none) => Err(Refusal::NoMailbox.into()),
            Done::Added(placed) => {
                Ok(messages.iter().zip(placed).filter_map(|(message, placed)| Some((message.uid, placed?))).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    /// MOVE (RFC 6851). Messages that are gone are passed over. The answer is COPYUID; what it names is gone from
    /// `from`.
    ///
    /// # Errors
    /// [`ChangeError`]; a part of the messages may have been moved.
    pub async fn move_messages(
        &self,
        account: &AccountHandle,
        from: MailboxId,
        items: &[MessageRef],
        to: MailboxId,
    ) -> Result<Vec<(Uid, Placed)>, ChangeError> {
        self.check_owner_of(account, from).await?;
        self.check_owner_of(account, to).await?;
        let mut moved = Vec::with_capacity(items.len());
        for part in items.chunks(PART) {
            let items = part.iter().map(|source| MoveItem { source: *source, message: MessageId(rand::random()) });
            if let Done::Moved(pairs) =
                self.change(Change::Move { from, to, items: items.collect() }, Vec::new()).await?
            {
                moved.extend(pairs);
            }
        }
        Ok(moved)
    }

    /// STORE. Messages that are gone are passed over. The answer is what UNCHANGEDSINCE left alone (MODIFIED of RFC
    /// 7162).
    ///
    /// # Errors
    /// [`ChangeError`]; a part of the messages may have been changed.
    pub async fn store_flags(
        &self,
        account: &AccountHandle,
        mailbox: MailboxId,
        items: &[MessageRef],
        action: FlagAction,
        flags: &[Flag],
        unchanged_since: Option<ModSeq>,
    ) -> Result<Vec<Uid>, ChangeError> {
        self.check_owner_of(account, mailbox).await?;
        let mut modified = Vec::new();
        for part in items.chunks(PART) {
            let items = match action {
                FlagAction::Add => part.iter().map(|target| item(*target, flags, &[])).collect(),
                FlagAction::Remove => part.iter().map(|target| item(*target, &[], flags)).collect(),
                FlagAction::Replace => {
                    let (part, wanted) = (part.to_vec(), flags.to_vec());
                    let replaced = move |snapshot: &dyn Snapshot| {
                        let found = present(snapshot, mailbox, &part)?;
                        Ok(found.iter().map(|message| replacement(message, &wanted)).collect())
                    };
                    self.peek().read(replaced).await?
                }
            };
            let change = Change::Flags { mailbox, items, unchanged_since };
            if let Done::Flagged { modified: left } = self.change(change, Vec::new()).await? {
                modified.extend(left);
            }
        }
        Ok(modified)
    }

    /// EXPUNGE of these messages; the caller has looked for `\Deleted`. Messages that are gone are passed over.
    ///
    /// # Errors
    /// [`ChangeError`]; a part of the messages may have been expunged.
    pub async fn expunge(
        &self,
        account: &AccountHandle,
        mailbox: MailboxId,
        items: &[MessageRef],
    ) -> Result<(), ChangeError> {
        self.check_owner_of(account, mailbox).await?;
        for part in items.chunks(PART) {
            self.change(Change::Expunge { mailbox, items: part.to_vec() }, Vec::new()).await?;
        }
        Ok(())
    }

    async fn check_owner_of(&self, account: &AccountHandle, mailbox: MailboxId) -> Result<(), ChangeError> {
        let owner = account.id;
        self.ask(move |snapshot| check_owner(snapshot, owner, mailbox)).await
    }

    /// Makes a change and waits until it is applied here.
    pub(super) async fn change(&self, change: Change, bodies: Vec<bytes::Bytes>) -> Result<Done, ChangeError> {
        let outcome = self.core().propose(change, bodies).await?.applied().await?;
        Ok(outcome.result?)
    }
}

fn item(target: MessageRef, set: &[Flag], clear: &[Flag]) -> FlagItem {
    FlagItem { target, set: set.to_vec(), clear: clear.to_vec() }
}

/// What makes the flags of a message exactly the wanted ones.
fn replacement(message: &MessageRow, wanted: &[Flag]) -> FlagItem {
    let clear = message.flags.iter().filter(|flag| !wanted.contains(flag)).cloned().collect();
    FlagItem { target: message.target(), set: wanted.to_vec(), clear }
}

/// Those of `items` that are still there.
fn present(snapshot: &dyn Snapshot, mailbox: MailboxId, items: &[MessageRef]) -> Result<Vec<MessageRow>, ReadError> {
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        found.extend(snapshot.message(mailbox, item.uid)?.filter(|message| message.id == item.message));
    }
    Ok(found)
}

fn check_owner(snapshot: &dyn Snapshot, owner: AccountId, mailbox: MailboxId) -> Result<(), ChangeError> {
    match snapshot.mailbox(mailbox)? {
        Some(mailbox) if mailbox.account == owner => Ok(()),
        _ => Err(Refusal::NoMailbox.into()),
    }
}

/// Whether the mailbox is the owner's and the owner may hold this much more.
fn check_room(
    snapshot: &dyn Snapshot,
    owner: AccountId,
    mailbox: MailboxId,
    more_bytes: u64,
) -> Result<(), ChangeError> {
    check_owner(snapshot, owner, mailbox)?;
    let quota = snapshot.account(owner)?.and_then(|account| account.quota_bytes);
    match quota {
        Some(quota) if snapshot.used_bytes(owner)?.saturating_add(more_bytes) > quota => Err(ChangeError::OverQuota),
        _ => Ok(()),
    }
}
