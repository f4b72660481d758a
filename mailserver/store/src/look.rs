//! The reads of the model's rules, as queries. The writer and the readers share them.

use crate::StoreError;
use crate::rows::{self, MailboxRow};
use crate::sql::{Id, all, id, number, one};
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, MessageId, Origin, Seq, Uid, UidValidity};
use mailmirror_model::state::{Account, Message};
use rusqlite::{Connection, params};

macro_rules! messages_where {
    ($condition:literal) => {
        concat!("SELECT uid, id, body, size_bytes, date, modseq, flags, added FROM messages WHERE ", $condition)
    };
}

pub(crate) fn account(db: &Connection, account: AccountId) -> Result<Option<Account>, StoreError> {
    let sql = "SELECT id, address, password, enabled, quota_bytes FROM accounts WHERE id = ?";
    one(db, sql, [Id::new(account.0)], rows::account)
}

pub(crate) fn account_key(db: &Connection, account: AccountId) -> Result<Option<i64>, StoreError> {
    one(db, "SELECT key FROM accounts WHERE id = ?", [Id::new(account.0)], |row| Ok(row.get(0)?))
}

pub(crate) fn account_by_address(db: &Connection, address: &str) -> Result<Option<AccountId>, StoreError> {
    one(db, "SELECT id FROM accounts WHERE address = ?", [address], |row| id(row, 0).map(AccountId))
}

pub(crate) fn mailbox(db: &Connection, mailbox: MailboxId) -> Result<Option<MailboxRow>, StoreError> {
    one(db, &format!("{}WHERE m.id = ?", MailboxRow::SELECT), [Id::new(mailbox.0)], MailboxRow::read)
}

pub(crate) fn mailbox_key(db: &Connection, mailbox: MailboxId) -> Result<Option<i64>, StoreError> {
    one(db, "SELECT key FROM mailboxes WHERE id = ?", [Id::new(mailbox.0)], |row| Ok(row.get(0)?))
}

pub(crate) fn mailbox_by_name(
    db: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<MailboxRow>, StoreError> {
    let sql = format!("{}WHERE a.id = ? AND m.name = ?", MailboxRow::SELECT);
    one(db, &sql, params![Id::new(account.0), name], MailboxRow::read)
}

pub(crate) fn mailboxes(db: &Connection, account: AccountId) -> Result<Vec<MailboxRow>, StoreError> {
    let sql = format!("{}WHERE a.id = ? ORDER BY m.name", MailboxRow::SELECT);
    all(db, &sql, [Id::new(account.0)], MailboxRow::read)
}

pub(crate) fn uid_validity_of_name(
    db: &Connection,
    account: AccountId,
    name: &str,
) -> Result<Option<UidValidity>, StoreError> {
    let sql =
        "SELECT uid_validity FROM name_history WHERE account = (SELECT key FROM accounts WHERE id = ?) AND name = ?";
    let found = one(db, sql, params![Id::new(account.0), name], |row| Ok(row.get::<_, u32>(0)?))?;
    Ok(found.and_then(UidValidity::new))
}

pub(crate) fn highest_uid_validity(db: &Connection) -> Result<Option<UidValidity>, StoreError> {
    let found = one(db, "SELECT uid_validity FROM state", [], |row| Ok(row.get::<_, u32>(0)?))?;
    Ok(found.and_then(UidValidity::new))
}

pub(crate) fn message(db: &Connection, key: i64, mailbox: MailboxId, uid: Uid) -> Result<Option<Message>, StoreError> {
    let sql = messages_where!("mailbox = ? AND uid = ?");
    one(db, sql, params![key, uid.get()], |row| rows::message(mailbox, row))
}

pub(crate) fn message_by_id(
    db: &Connection,
    key: i64,
    mailbox: MailboxId,
    message: MessageId,
) -> Result<Option<Message>, StoreError> {
    let sql = messages_where!("id = ? AND mailbox = ?");
    one(db, sql, params![Id::new(message.0), key], |row| rows::message(mailbox, row))
}

pub(crate) fn messages(db: &Connection, key: i64, mailbox: MailboxId) -> Result<Vec<Message>, StoreError> {
    let sql = messages_where!("mailbox = ? ORDER BY uid");
    all(db, sql, [key], |row| rows::message(mailbox, row))
}

pub(crate) fn has_body(db: &Connection, body: BodyId) -> Result<bool, StoreError> {
    Ok(one(db, "SELECT 1 FROM bodies WHERE id = ?", [Id::new(body.0)], |_| Ok(()))?.is_some())
}

pub(crate) fn subscribed(db: &Connection, account: AccountId, name: &str) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM subscriptions WHERE account = (SELECT key FROM accounts WHERE id = ?) AND name = ?";
    Ok(one(db, sql, params![Id::new(account.0), name], |_| Ok(()))?.is_some())
}

pub(crate) fn setting(db: &Connection, name: &str) -> Result<Vec<String>, StoreError> {
    let found = one(db, "SELECT settings FROM settings WHERE name = ?", [name], |row| {
        let bytes = row.get_ref(0)?.as_blob().map_err(|_| StoreError::Damaged("a setting"))?;
        postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged("a setting"))
    })?;
    Ok(found.unwrap_or_default())
}

pub(crate) fn origin(db: &Connection, origin: Origin) -> Result<Option<Seq>, StoreError> {
    let sql = "SELECT seq FROM origins WHERE incarnation = ? AND counter = ? AND node = ?";
    let (incarnation, counter) = (origin.incarnation.0.cast_signed(), origin.counter.cast_signed());
    one(db, sql, params![incarnation, counter, u8::from(origin.node)], |row| number(row, 0).map(Seq))
}
