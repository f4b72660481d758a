//! What a row of the index says, and how it is read.

use crate::StoreError;
use crate::sql::{id, number};
use mailmirror_log::{Location, SegmentId};
use mailmirror_model::digest::Digest;
use mailmirror_model::flags::{Flag, FlagSet};
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, MessageId, ModSeq, Seq, Uid, UidValidity};
use mailmirror_model::operation::SpecialUse;
use mailmirror_model::state::{Account, Mailbox, Message};
use rusqlite::Row;

/// A mailbox and what STATUS tells of it, from counters that are kept with every change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxStatus {
    /// The mailbox.
    pub mailbox: Mailbox,
    /// Messages in it.
    pub messages: u64,
    /// Those without `\Seen`.
    pub unseen: u64,
    /// Those with `\Deleted`.
    pub deleted: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Below this mod-sequence the UIDs that went are not known any more (rule L6).
    pub tombstone_floor: ModSeq,
}

/// The system flags that are set, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SystemFlags(u8);

const SYSTEM: [Flag; 5] = [Flag::Seen, Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Draft];
const SEEN: u8 = 1;
const DELETED: u8 = 1 << 3;
const KEYWORDS: u8 = 1 << 7;

impl SystemFlags {
    pub(crate) fn of(flags: &FlagSet) -> Self {
        let bit = |flag: &Flag| SYSTEM.iter().position(|system| system == flag).map_or(KEYWORDS, |at| 1 << at);
        Self(flags.iter().map(bit).fold(0, |bits, bit| bits | bit))
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// `\Seen`
    pub const fn seen(self) -> bool {
        self.0 & SEEN != 0
    }

    /// `\Deleted`
    pub const fn deleted(self) -> bool {
        self.0 & DELETED != 0
    }

    /// Whether a flag is set; of keywords nothing is known here.
    pub fn contains(self, flag: &Flag) -> bool {
        self.iter().any(|set| set == flag)
    }

    /// Those that are set.
    pub fn iter(self) -> impl Iterator<Item = &'static Flag> {
        SYSTEM.iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, flag)| flag)
    }

    const fn has_keywords(self) -> bool {
        self.0 & KEYWORDS != 0
    }
}

/// A message as a session keeps it: about 80 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its UID.
    pub uid: Uid,
    /// Its identity.
    pub id: MessageId,
    /// Its bytes.
    pub body: BodyId,
    /// Their number.
    pub size_bytes: u64,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date_seconds: i64,
    /// Of its last change.
    pub modseq: ModSeq,
    /// System flags that are set.
    pub system: SystemFlags,
    /// Keywords that are set.
    pub keywords: Box<[Flag]>,
}

impl MessageRow {
    /// All flags that are set.
    pub fn flags(&self) -> impl Iterator<Item = &Flag> {
        self.system.iter().map(|flag| -> &Flag { flag }).chain(&self.keywords)
    }

    /// From the columns uid, id, body, `size_bytes`, date, modseq, bits, flags.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let system = SystemFlags(row.get(6)?);
        let keywords = if system.has_keywords() {
            flags(row, 7)?.iter().filter(|flag| matches!(flag, Flag::Keyword(_))).cloned().collect()
        } else {
            Box::default()
        };
        Ok(Self {
            uid: uid(row, 0)?,
            id: MessageId(id(row, 1)?),
            body: BodyId(id(row, 2)?),
            size_bytes: number(row, 3)?,
            internal_date_seconds: row.get(4)?,
            modseq: ModSeq(number(row, 5)?),
            system,
            keywords,
        })
    }
}

/// Where the bytes of a body are: [`mailmirror_log`] reads them with these three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLocation {
    /// The entry that brought them.
    pub entry: Location,
    /// Bytes of the entry before them.
    pub offset_in_entry: u64,
    /// Their number.
    pub size_bytes: u64,
}

impl BodyLocation {
    /// From the columns segment, `entry_at`, `entry_bytes`, `body_at`, `size_bytes`.
    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { entry: location(row, 0)?, offset_in_entry: number(row, 3)?, size_bytes: number(row, 4)? })
    }
}

/// What is alive in a segment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentUse {
    /// The segment.
    pub segment: SegmentId,
    /// Bodies in it that a message has.
    pub bodies: u64,
    /// Their bytes.
    pub live_bytes: u64,
}

/// A location from three columns.
pub(crate) fn location(row: &Row<'_>, column: usize) -> Result<Location, StoreError> {
    Ok(Location {
        segment: SegmentId(Seq(number(row, column)?)),
        offset_bytes: number(row, column + 1)?,
        length_bytes: row.get(column + 2)?,
    })
}

fn uid(row: &Row<'_>, column: usize) -> Result<Uid, StoreError> {
    Uid::new(row.get(column)?).ok_or(StoreError::Damaged("a UID"))
}

fn flags(row: &Row<'_>, column: usize) -> Result<FlagSet, StoreError> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| StoreError::Damaged("the flags of a message"))?;
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged("the flags of a message"))
}

/// An account from the columns id, address, password, enabled, `quota_bytes`.
pub(crate) fn account(row: &Row<'_>) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId(id(row, 0)?),
        address: row.get(1)?,
        password: row.get(2)?,
        enabled: row.get(3)?,
        quota_bytes: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
    })
}

/// A mailbox's row with all that is kept about it.
#[derive(Clone, Debug)]
pub(crate) struct MailboxRow {
    pub(crate) key: i64,
    pub(crate) account_key: i64,
    pub(crate) status: MailboxStatus,
    /// Of its messages, without its own record.
    pub(crate) messages_digest: Digest,
}

impl MailboxRow {
    /// To be followed by a condition.
    pub(crate) const SELECT: &str = "SELECT m.key, m.account, m.id, a.id, m.name, m.special_use, m.uid_validity, \
        m.uid_next, m.highest_modseq, m.messages, m.unseen, m.deleted, m.size_bytes, m.tombstone_floor, m.digest \
        FROM mailboxes m JOIN accounts a ON a.key = m.account ";

    pub(crate) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let uid_validity = UidValidity::new(row.get(6)?).ok_or(StoreError::Damaged("a UIDVALIDITY"))?;
        let mailbox = Mailbox {
            id: MailboxId(id(row, 2)?),
            account: AccountId(id(row, 3)?),
            name: row.get(4)?,
            special_use: row.get::<_, Option<u8>>(5)?.map(special_use).transpose()?,
            uid_validity,
            uid_next: row.get::<_, Option<u32>>(7)?.and_then(Uid::new),
            highest_modseq: ModSeq(number(row, 8)?),
        };
        let status = MailboxStatus {
            mailbox,
            messages: number(row, 9)?,
            unseen: number(row, 10)?,
            deleted: number(row, 11)?,
            size_bytes: number(row, 12)?,
            tombstone_floor: ModSeq(number(row, 13)?),
        };
        Ok(Self { key: row.get(0)?, account_key: row.get(1)?, status, messages_digest: Digest(id(row, 14)?) })
    }

    /// Of the mailbox with its messages (rule R2).
    pub(crate) fn digest(&self) -> Digest {
        Digest::of_mailbox(&self.status.mailbox).plus(self.messages_digest)
    }
}

const SPECIAL_USES: [SpecialUse; 5] =
    [SpecialUse::Archive, SpecialUse::Drafts, SpecialUse::Junk, SpecialUse::Sent, SpecialUse::Trash];

fn special_use(code: u8) -> Result<SpecialUse, StoreError> {
    SPECIAL_USES.get(usize::from(code)).copied().ok_or(StoreError::Damaged("a special use"))
}

pub(crate) fn special_use_code(special_use: SpecialUse) -> Option<u8> {
    SPECIAL_USES.iter().position(|known| *known == special_use).and_then(|at| u8::try_from(at).ok())
}

/// A whole message from the columns uid, id, body, `size_bytes`, date, modseq, flags, added.
pub(crate) fn message(mailbox: MailboxId, row: &Row<'_>) -> Result<Message, StoreError> {
    Ok(Message {
        mailbox,
        uid: uid(row, 0)?,
        id: MessageId(id(row, 1)?),
        body: BodyId(id(row, 2)?),
        size_bytes: number(row, 3)?,
        internal_date_seconds: row.get(4)?,
        modseq: ModSeq(number(row, 5)?),
        flags: flags(row, 6)?,
        added: Seq(number(row, 7)?),
    })
}

pub(crate) fn read_uid(row: &Row<'_>) -> Result<Uid, StoreError> {
    uid(row, 0)
}
