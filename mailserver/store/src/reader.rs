//! What sessions and status pages ask the index.

use crate::changes::{self, Changes};
use crate::look;
use crate::rows::{self, BodyLocation, MailboxRow, MailboxStatus, MessageRow, SegmentUse};
use crate::set_aside::{self, Scope, SetAside};
use crate::sql::{Id, all, id, number, one};
use crate::{StoreError, digests};
use mailmirror_log::SegmentId;
use mailmirror_model::digest::Digest;
use mailmirror_model::ids::{
    AccountId, BodyId, ChainHash, Epoch, MailboxId, MessageId, ModSeq, Origin, Position, Seq, Uid, UidValidity,
};
use mailmirror_model::state::{Account, Mailbox, Message, View};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// The state of one position of the log. It has the reads of the rules too, as a [`View`].
#[derive(Debug)]
pub struct Snapshot {
    db: Connection,
}

/// Sums over everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Accounts.
    pub accounts: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages.
    pub messages: u64,
    /// Bytes of the messages, each counted in full.
    pub size_bytes: u64,
    /// Bytes of the bodies, each counted once.
    pub stored_bytes: u64,
    /// Entries that were set aside.
    pub failed: u64,
}

impl Snapshot {
    pub(crate) const fn new(db: Connection) -> Self {
        Self { db }
    }

    pub(crate) const fn db(&self) -> &Connection {
        &self.db
    }

    /// The last entry that was applied, or set aside, and its hash.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; this is so of all reads here.
    pub fn position(&self) -> Result<(Position, ChainHash), StoreError> {
        position(&self.db)
    }

    /// All accounts, by address.
    pub fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT id, address, password, enabled, quota_bytes FROM accounts ORDER BY address";
        all(&self.db, sql, [], rows::account)
    }

    /// Up to `limit` accounts, by address, after this one.
    pub fn accounts_after(&self, address: &str, limit: u32) -> Result<Vec<Account>, StoreError> {
        let sql = "SELECT id, address, password, enabled, quota_bytes FROM accounts WHERE address > ? \
            ORDER BY address LIMIT ?";
        all(&self.db, sql, params![address, limit], rows::account)
    }

    /// The mailboxes of an account with their counters, by name.
    pub fn mailbox_statuses(&self, account: AccountId) -> Result<Vec<MailboxStatus>, StoreError> {
        Ok(look::mailboxes(&self.db, account)?.into_iter().map(|row| row.status).collect())
    }

    /// A mailbox with its counters.
    pub fn mailbox_status(&self, mailbox: MailboxId) -> Result<Option<MailboxStatus>, StoreError> {
        Ok(look::mailbox(&self.db, mailbox)?.map(|row| row.status))
    }

    /// The messages of a mailbox in order of UID.
    pub fn rows(&self, mailbox: MailboxId) -> Result<Vec<MessageRow>, StoreError> {
        self.rows_between(mailbox, Uid::FIRST, u32::MAX, u32::MAX)
    }

    /// Up to `limit` messages of a mailbox from UID `first` to `last`, in order.
    pub fn rows_between(
        &self,
        mailbox: MailboxId,
        first: Uid,
        last: u32,
        limit: u32,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let Some(key) = look::mailbox_key(&self.db, mailbox)? else { return Ok(Vec::new()) };
        let sql = "SELECT uid, id, body, size_bytes, date, modseq, bits, flags FROM messages \
            WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid LIMIT ?";
        all(&self.db, sql, params![key, first.get(), last, limit], MessageRow::read)
    }

    /// What changed in a mailbox after a mod-sequence; `None` where there is no such mailbox.
    pub fn changes_since(&self, mailbox: MailboxId, modseq: ModSeq) -> Result<Option<Changes>, StoreError> {
        changes::since(&self.db, mailbox, modseq)
    }

    /// Where a body is.
    pub fn body(&self, body: BodyId) -> Result<Option<BodyLocation>, StoreError> {
        let sql = "SELECT segment, entry_at, entry_bytes, body_at, size_bytes FROM bodies WHERE id = ?";
        one(&self.db, sql, [Id::new(body.0)], BodyLocation::read)
    }

    /// Bodies that a message has, with their places, in order of identity, after this one: for whoever copies all.
    pub fn bodies_after(&self, body: BodyId, limit: u32) -> Result<Vec<(BodyId, BodyLocation)>, StoreError> {
        let sql = "SELECT segment, entry_at, entry_bytes, body_at, size_bytes, id FROM bodies WHERE id > ? \
            ORDER BY id LIMIT ?";
        all(&self.db, sql, params![Id::new(body.0), limit], |row| Ok((BodyId(id(row, 5)?), BodyLocation::read(row)?)))
    }

    /// What is alive in each segment of the log, by segment. It reads the whole table of bodies.
    pub fn segment_use(&self) -> Result<Vec<SegmentUse>, StoreError> {
        let sql = "SELECT segment, count(*), sum(size_bytes) FROM bodies GROUP BY segment ORDER BY segment";
        all(&self.db, sql, [], |row| {
            let segment = SegmentId(Seq(number(row, 0)?));
            Ok(SegmentUse { segment, bodies: number(row, 1)?, live_bytes: number(row, 2)? })
        })
    }

    /// Names that an account is subscribed to, in order.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, StoreError> {
        let sql =
            "SELECT name FROM subscriptions WHERE account = (SELECT key FROM accounts WHERE id = ?) ORDER BY name";
        all(&self.db, sql, [Id::new(account.0)], |row| Ok(row.get(0)?))
    }

    /// All mirrored settings, by name.
    pub fn settings(&self) -> Result<Vec<(String, Vec<String>)>, StoreError> {
        let names: Vec<String> = all(&self.db, "SELECT name FROM settings ORDER BY name", [], |row| Ok(row.get(0)?))?;
        names.into_iter().map(|name| look::setting(&self.db, &name).map(|values| (name, values))).collect()
    }

    /// Messages of an account and their bytes, for its quota.
    pub fn usage(&self, account: AccountId) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT coalesce(sum(messages), 0), coalesce(sum(size_bytes), 0) FROM mailboxes \
            WHERE account = (SELECT key FROM accounts WHERE id = ?)";
        let sums = one(&self.db, sql, [Id::new(account.0)], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
        Ok(sums.unwrap_or_default())
    }

    /// Sums over everything.
    pub fn totals(&self) -> Result<Totals, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM accounts), count(*), coalesce(sum(messages), 0), \
            coalesce(sum(size_bytes), 0), (SELECT coalesce(sum(size_bytes), 0) FROM bodies), \
            (SELECT count(*) FROM set_aside) FROM mailboxes";
        let totals = one(&self.db, sql, [], |row| {
            Ok(Totals {
                accounts: number(row, 0)?,
                mailboxes: number(row, 1)?,
                messages: number(row, 2)?,
                size_bytes: number(row, 3)?,
                stored_bytes: number(row, 4)?,
                failed: number(row, 5)?,
            })
        })?;
        Ok(totals.unwrap_or_default())
    }

    /// The digest of everything (rule R2).
    pub fn root_digest(&self) -> Result<Digest, StoreError> {
        digests::root(&self.db)
    }

    /// The digest of every account with all that it holds.
    pub fn account_digests(&self) -> Result<BTreeMap<AccountId, Digest>, StoreError> {
        digests::accounts(&self.db)
    }

    /// The digest of one account with all that it holds; zero for none.
    pub fn account_digest(&self, account: AccountId) -> Result<Digest, StoreError> {
        digests::account(&self.db, account)
    }

    /// The digest of each mailbox of an account with its messages.
    pub fn mailbox_digests(&self, account: AccountId) -> Result<Vec<(MailboxId, Digest)>, StoreError> {
        digests::mailboxes(&self.db, account)
    }

    /// The digest of one mailbox with its messages; zero for none.
    pub fn mailbox_digest(&self, mailbox: MailboxId) -> Result<Digest, StoreError> {
        Ok(look::mailbox(&self.db, mailbox)?.map(|row: MailboxRow| row.digest()).unwrap_or_default())
    }

    /// How many messages a mailbox has from UID `first` to `last`, and their digest.
    pub fn range_digest(&self, mailbox: MailboxId, first: Uid, last: Uid) -> Result<(u64, Digest), StoreError> {
        digests::range(&self.db, mailbox, first, last)
    }

    /// The durable counters: those of this crate (`applied`, `refused`, `known`, `failed`) and those that were given to
    /// [`crate::Batch::count`].
    pub fn counters(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = all(&self.db, "SELECT name, value FROM counters", [], |row| Ok((row.get(0)?, number(row, 1)?)))?;
        Ok(rows.into_iter().collect())
    }

    /// Entries that were set aside, in order (rule L4).
    pub fn set_aside(&self) -> Result<Vec<SetAside>, StoreError> {
        set_aside::list(&self.db)
    }

    /// Whether this is not served because an entry for it was set aside; a mailbox also where its account is.
    pub fn is_frozen(&self, scope: Scope) -> Result<bool, StoreError> {
        set_aside::is_frozen(&self.db, scope)
    }
}

/// The position that the index has followed the log to.
pub(crate) fn position(db: &Connection) -> Result<(Position, ChainHash), StoreError> {
    let found = one(db, "SELECT epoch, seq, hash FROM state", [], |row| {
        let position = Position { epoch: Epoch(number(row, 0)?), seq: Seq(number(row, 1)?) };
        Ok((position, ChainHash(id(row, 2)?)))
    })?;
    found.ok_or(StoreError::Damaged("the position"))
}

impl View for Snapshot {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        look::account(&self.db, id)
    }

    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, StoreError> {
        look::account_by_address(&self.db, address)
    }

    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, StoreError> {
        Ok(look::mailbox(&self.db, id)?.map(|row| row.status.mailbox))
    }

    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, StoreError> {
        Ok(look::mailbox_by_name(&self.db, account, name)?.map(|row| row.status.mailbox))
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        Ok(look::mailboxes(&self.db, account)?.into_iter().map(|row| row.status.mailbox).collect())
    }

    fn uid_validity_of_name(&self, account: AccountId, name: &str) -> Result<Option<UidValidity>, StoreError> {
        look::uid_validity_of_name(&self.db, account, name)
    }

    fn highest_uid_validity(&self) -> Result<Option<UidValidity>, StoreError> {
        look::highest_uid_validity(&self.db)
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Message>, StoreError> {
        match look::mailbox_key(&self.db, mailbox)? {
            Some(key) => look::message(&self.db, key, mailbox, uid),
            None => Ok(None),
        }
    }

    fn message_by_id(&self, mailbox: MailboxId, id: MessageId) -> Result<Option<Message>, StoreError> {
        match look::mailbox_key(&self.db, mailbox)? {
            Some(key) => look::message_by_id(&self.db, key, mailbox, id),
            None => Ok(None),
        }
    }

    fn messages(&self, mailbox: MailboxId) -> Result<Vec<Message>, StoreError> {
        match look::mailbox_key(&self.db, mailbox)? {
            Some(key) => look::messages(&self.db, key, mailbox),
            None => Ok(Vec::new()),
        }
    }

    fn has_body(&self, body: BodyId) -> Result<bool, StoreError> {
        look::has_body(&self.db, body)
    }

    fn subscribed(&self, account: AccountId, name: &str) -> Result<bool, StoreError> {
        look::subscribed(&self.db, account, name)
    }

    fn setting(&self, name: &str) -> Result<Vec<String>, StoreError> {
        look::setting(&self.db, name)
    }

    fn origin(&self, origin: Origin) -> Result<Option<Seq>, StoreError> {
        look::origin(&self.db, origin)
    }
}
