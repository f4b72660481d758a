//! What operations change, as seen by the rules of this crate: the shape of an account, a mailbox and a message, and
//! the [`View`] and [`State`] that hold them (the index on disk; a map in tests).

use crate::flags::FlagSet;
use crate::ids::{AccountId, BodyId, MailboxId, MessageId, ModSeq, Origin, Seq, Uid, UidValidity};
use crate::operation::{BodyPlace, SpecialUse};

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its identity.
    pub id: AccountId,
    /// `local@domain`, lower case.
    pub address: String,
    /// PHC string, or an older form.
    pub password: String,
    /// Whether it may log in and receive.
    pub enabled: bool,
    /// `None`: no limit.
    pub quota_bytes: Option<u64>,
}

/// A mailbox and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its identity.
    pub id: MailboxId,
    /// Whose.
    pub account: AccountId,
    /// Full name, UTF-8, `/` between levels; INBOX in capitals.
    pub name: String,
    /// Its role.
    pub special_use: Option<SpecialUse>,
    /// Born with it (rule U4).
    pub uid_validity: UidValidity,
    /// Above every UID that was ever given out here. `None`: all 2^32 - 1 are used up.
    pub uid_next: Option<Uid>,
    /// The highest mod-sequence that was ever given out here, by an expunge too.
    pub highest_modseq: ModSeq,
}

/// A message in a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Its identity.
    pub id: MessageId,
    /// Its bytes.
    pub body: BodyId,
    /// Their number.
    pub size_bytes: u64,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date_seconds: i64,
    /// Its flags.
    pub flags: FlagSet,
    /// Of its last change.
    pub modseq: ModSeq,
    /// When it came here, as a place in the log.
    pub added: Seq,
}

/// What the rules read.
pub trait View {
    /// Why a read or write failed: the disk, never a rule.
    type Error;

    /// An account by identity.
    fn account(&self, id: AccountId) -> Result<Option<Account>, Self::Error>;
    /// An account by its address, which is in lower case.
    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, Self::Error>;

    /// A mailbox by identity.
    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, Self::Error>;
    /// A mailbox by its full name.
    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, Self::Error>;
    /// The mailboxes of an account, by name.
    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, Self::Error>;
    /// The highest UIDVALIDITY that any mailbox of this name had, those that are gone included (rule U4).
    fn uid_validity_of_name(&self, account: AccountId, name: &str) -> Result<Option<UidValidity>, Self::Error>;
    /// The highest UIDVALIDITY that any mailbox of any account ever had.
    fn highest_uid_validity(&self) -> Result<Option<UidValidity>, Self::Error>;

    /// A message by UID.
    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Message>, Self::Error>;
    /// A message by identity.
    fn message_by_id(&self, mailbox: MailboxId, id: MessageId) -> Result<Option<Message>, Self::Error>;
    /// The messages of a mailbox in order of UID.
    fn messages(&self, mailbox: MailboxId) -> Result<Vec<Message>, Self::Error>;

    /// Whether a body is known: whether a message has it. When the last one goes, so does the body, at this very place
    /// of the log (rule L3); when its bytes leave the disk is another matter.
    fn has_body(&self, body: BodyId) -> Result<bool, Self::Error>;

    /// Whether a name is subscribed.
    fn subscribed(&self, account: AccountId, name: &str) -> Result<bool, Self::Error>;

    /// The values of a mirrored setting; empty if it is not set.
    fn setting(&self, name: &str) -> Result<Vec<String>, Self::Error>;

    /// The entry that brought an operation of this origin (rule N2).
    fn origin(&self, origin: Origin) -> Result<Option<Seq>, Self::Error>;
}

/// What the rules read and write. All of one [`crate::apply::apply`] happens or none of it.
///
/// Implementations keep no rule of their own: they store what they are told.
pub trait State: View {
    /// Writes an account, new or changed.
    fn put_account(&mut self, account: &Account) -> Result<(), Self::Error>;
    /// Removes an account, its subscriptions and name history. Its mailboxes were removed before.
    fn remove_account(&mut self, id: AccountId) -> Result<(), Self::Error>;

    /// Writes a mailbox, new or changed, and notes the UIDVALIDITY that its name has now.
    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), Self::Error>;
    /// Removes a mailbox with its messages and tombstones, and keeps its name's highest UIDVALIDITY.
    fn remove_mailbox(&mut self, id: MailboxId) -> Result<(), Self::Error>;

    /// Writes a message, new or changed.
    fn put_message(&mut self, message: &Message) -> Result<(), Self::Error>;
    /// Removes a message.
    fn remove_message(&mut self, mailbox: MailboxId, uid: Uid) -> Result<(), Self::Error>;
    /// Notes that a UID means nothing any more, since this mod-sequence.
    fn put_tombstone(&mut self, mailbox: MailboxId, uid: Uid, modseq: ModSeq) -> Result<(), Self::Error>;

    /// Notes where the bytes of a body are: in the payload of the entry that is applied. A message that has it is
    /// written next. Nothing changes for a body that is known already.
    fn put_body(&mut self, place: &BodyPlace) -> Result<(), Self::Error>;

    /// Subscribes to a name, or no longer.
    fn set_subscribed(&mut self, account: AccountId, name: &str, subscribed: bool) -> Result<(), Self::Error>;

    /// Writes a mirrored setting; empty takes it away.
    fn put_setting(&mut self, name: &str, values: &[String]) -> Result<(), Self::Error>;

    /// Notes which entry brought an operation of this origin.
    fn put_origin(&mut self, origin: Origin, seq: Seq) -> Result<(), Self::Error>;

    /// Raises UIDNEXT and HIGHESTMODSEQ of every mailbox (rule U1).
    fn raise_all(&mut self, uids: u32, modseqs: u64) -> Result<(), Self::Error>;
}
