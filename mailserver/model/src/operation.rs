//! What entries do. A [`Change`] is what somebody wants, with everything known by identity; an [`Operation`] is the
//! same change with the numbers that the master gave it. Operations are effects: applying one depends on the state
//! before it alone, so that both nodes come to the same result (rule L3).
//!
//! The written form is one version byte and postcard. A later version may add fields at the end of [`Operation`] and
//! variants at the end of the enums, never anything elsewhere: an older program that reads a newer operation of a known
//! variant ignores what stands behind it, and passes on the bytes as they came (rule L7).

use crate::flags::{Flag, When};
use crate::ids::{
    AccountId, AuthorityId, BodyId, Epoch, GrantNumber, Incarnation, MailboxId, MessageId, ModSeq, NodeId, Position,
    Seq, Uid, UidValidity,
};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// A change of mail state, before it has numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Changes nothing: keeps a place in the order.
    Nothing,
    /// A new account with its first mailboxes. Refused where the address is taken.
    CreateAccount {
        /// Its identity.
        account: AccountId,
        /// `local@domain`, lower case.
        address: String,
        /// PHC string, or an older form such as `{ssha}…`.
        password: String,
        /// Usually INBOX, Drafts, Sent, Junk, Trash, Archive.
        mailboxes: Vec<NewMailbox>,
        /// `None`: no limit.
        quota_bytes: Option<u64>,
    },
    /// Changes those properties that are given.
    SetAccount {
        /// Which.
        account: AccountId,
        /// A new password in its stored form.
        password: Option<String>,
        /// Whether it may log in and receive.
        enabled: Option<bool>,
        /// A new limit; `Some(None)` takes it away.
        quota_bytes: Option<Option<u64>>,
    },
    /// Removes an account with what it holds.
    DeleteAccount {
        /// Which.
        account: AccountId,
    },
    /// Creates a mailbox, and those above it that are missing.
    CreateMailbox {
        /// Whose.
        account: AccountId,
        /// In order, the parents first. A parent whose name is taken is left out; the last one decides the answer.
        mailboxes: Vec<NewMailbox>,
    },
    /// Renames a mailbox and all below it. INBOX stays: what it holds moves to the new name (RFC 9051 section 6.3.6).
    RenameMailbox {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// The new full name.
        name: String,
        /// Those above the new name, which are left out where they are there, in order, the parents first. For INBOX
        /// also, as the last one, the mailbox that takes its messages.
        created: Vec<NewMailbox>,
        /// For INBOX only: new identities of the messages that it holds.
        moved: Vec<MoveItem>,
    },
    /// Deletes a mailbox with its messages.
    DeleteMailbox {
        /// Whose.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
    },
    /// Subscribes to a name, or no longer (RFC 9051 section 6.3.7).
    Subscribe {
        /// Whose.
        account: AccountId,
        /// The name; a mailbox of that name need not exist.
        name: String,
        /// What it shall be.
        subscribed: bool,
    },
    /// Adds messages: a delivery (one body, several mailboxes), APPEND, or COPY (bodies that are there already).
    Add {
        /// The messages.
        adds: Vec<Add>,
        /// The bodies that travel with this change, in this order, behind it.
        bodies: Vec<BodyMeta>,
    },
    /// Sets and clears flags.
    Flags {
        /// Where.
        mailbox: MailboxId,
        /// What, message by message. Messages that are gone are passed over (rule U6).
        items: Vec<FlagItem>,
        /// UNCHANGEDSINCE of RFC 7162: those with a higher mod-sequence are left alone and told.
        unchanged_since: Option<ModSeq>,
    },
    /// Removes messages for ever.
    Expunge {
        /// Where.
        mailbox: MailboxId,
        /// Which; those that are gone already are passed over.
        items: Vec<MessageRef>,
    },
    /// Moves messages (RFC 6851): in one operation they are there and no longer here.
    Move {
        /// Where they are.
        from: MailboxId,
        /// Where they shall be.
        to: MailboxId,
        /// Which; those that are gone already are passed over.
        items: Vec<MoveItem>,
    },
    /// A mirrored setting; no values take it away.
    PutSetting {
        /// `g_…`
        name: String,
        /// One, or several for a list.
        values: Vec<String>,
    },
    /// Tombstones for UIDs that a branch announced, and that mean nothing any more (rule U2).
    Tombstone {
        /// Where.
        mailbox: MailboxId,
        /// The UIDs.
        uids: Vec<Uid>,
    },
    /// New mod-sequences for messages that a branch touched, so that every client looks again (rule U3).
    Touch {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        items: Vec<MessageId>,
    },
    /// A branch's delete of a mailbox or an account: it removes what the branch knew, not what came since (rule U6).
    /// Without newer mail the mailbox, or the account, goes too; with newer mail it stays, the account as disabled.
    BranchDelete {
        /// Whose.
        account: AccountId,
        /// Which; `None`: the whole account.
        mailbox: Option<MailboxId>,
        /// Messages that were added up to here are removed: the fork point.
        through: Seq,
        /// Messages that the branch had added itself.
        items: Vec<MessageId>,
    },
}

/// A mailbox to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMailbox {
    /// Its identity.
    pub mailbox: MailboxId,
    /// Its full name, in UTF-8, `/` between levels.
    pub name: String,
    /// Its role, if it has one.
    pub special_use: Option<SpecialUse>,
}

/// Roles of mailboxes (RFC 6154). At most one mailbox of an account has each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

/// A message to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Add {
    /// Where.
    pub mailbox: MailboxId,
    /// Its identity, new.
    pub message: MessageId,
    /// Its bytes.
    pub body: BodyId,
    /// Their number.
    pub size_bytes: u64,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date_seconds: i64,
    /// The flags that it begins with.
    pub flags: Vec<Flag>,
}

/// A body that travels with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BodyMeta {
    /// The identity of its bytes.
    pub body: BodyId,
    /// Their number.
    pub size_bytes: u64,
}

/// A message by both of its names: the UID finds it, the identity says whether it is the one that was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRef {
    /// Its UID.
    pub uid: Uid,
    /// Its identity.
    pub message: MessageId,
}

/// A change of the flags of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagItem {
    /// Which.
    pub target: MessageRef,
    /// Flags to set.
    pub set: Vec<Flag>,
    /// Flags to clear.
    pub clear: Vec<Flag>,
}

/// A message to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveItem {
    /// Where it comes from.
    pub source: MessageRef,
    /// Its identity in the other mailbox, new.
    pub message: MessageId,
}

/// The numbers that one operation gives to one mailbox (rule N1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Which.
    pub mailbox: MailboxId,
    /// The mod-sequence of all that the operation does there.
    pub modseq: ModSeq,
    /// The UID of the first message that it adds there; the others follow without holes.
    pub first_uid: Option<Uid>,
    /// For a mailbox that it creates.
    pub uid_validity: Option<UidValidity>,
}

/// A change with its numbers: what is written into the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What is done.
    pub change: Change,
    /// The numbers, one stamp for each mailbox.
    pub stamps: Vec<Stamp>,
    /// When it was wanted: for a re-submitted change of a branch, the time there (rule U7).
    pub when: When,
}

/// The first entry of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Who gave the role.
    pub authority: AuthorityId,
    /// The epoch.
    pub epoch: Epoch,
    /// Its master.
    pub holder: NodeId,
    /// Where the log before it ended.
    pub after: Position,
    /// Whether numbers may have been announced that this log does not know: then the gap is added (rule U1).
    pub gap: bool,
}

/// A grant to answer alone, written before the first answer under it (rule L1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its number.
    pub number: GrantNumber,
    /// The run that it was given to.
    pub incarnation: Incarnation,
}

/// The last entry of an epoch that ends by a swap (rule A10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Counted by the authority.
    pub swap: u64,
}

/// A place at which digests are compared (rule R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Random.
    pub id: u64,
}

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// Written by a later version of this program (rule L7).
    #[error("failed to read a payload of version {0}: update this program")]
    Version(u8),
    /// The bytes mean nothing.
    #[error("failed to read a payload: {0}")]
    Encoding(#[from] postcard::Error),
    /// The bodies are shorter than they were said to be.
    #[error("failed to read a payload: its bodies need {expected} bytes and {found} are there")]
    Bodies {
        /// As described.
        expected: u64,
        /// As found.
        found: u64,
    },
}

/// The written form of anything but an operation with bodies.
///
/// # Errors
/// [`PayloadError::Encoding`], which no value of this module causes.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, PayloadError> {
    postcard::to_extend(value, vec![VERSION]).map_err(PayloadError::from)
}

/// Reads a value and says what stands behind it: for an operation, its bodies one after the other.
///
/// # Errors
/// [`PayloadError::Version`], [`PayloadError::Encoding`].
pub fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<(T, &'a [u8]), PayloadError> {
    match payload.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::take_from_bytes(rest)?),
        Some((&other, _)) => Err(PayloadError::Version(other)),
        None => Err(PayloadError::Encoding(postcard::Error::DeserializeUnexpectedEnd)),
    }
}

/// Where a body of an operation stands in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPlace {
    /// Whose.
    pub body: BodyId,
    /// Bytes of the payload before it.
    pub offset_bytes: u64,
    /// Its length.
    pub size_bytes: u64,
}

impl Operation {
    /// Reads an operation and finds its bodies.
    ///
    /// # Errors
    /// See [`PayloadError`].
    pub fn decode(payload: &[u8]) -> Result<(Self, Vec<BodyPlace>), PayloadError> {
        let (operation, rest) = decode::<Self>(payload)?;
        let mut places = Vec::new();
        if let Change::Add { bodies, .. } = &operation.change {
            let expected = bodies.iter().fold(0_u64, |sum, body| sum.saturating_add(body.size_bytes));
            let found = rest.len() as u64;
            if expected > found {
                return Err(PayloadError::Bodies { expected, found });
            }
            // Bodies are last: what stands between is fields of a later version.
            let mut offset_bytes = payload.len() as u64 - expected;
            for &BodyMeta { body, size_bytes } in bodies {
                places.push(BodyPlace { body, offset_bytes, size_bytes });
                offset_bytes += size_bytes;
            }
        }
        Ok((operation, places))
    }
}
