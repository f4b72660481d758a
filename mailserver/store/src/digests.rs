//! Digests as of rule R2. Those of a mailbox's messages are kept with every change; records of accounts and mailboxes,
//! subscriptions and settings are few and hashed when they are asked for.

use crate::StoreError;
use crate::look;
use crate::rows::{self, MailboxRow};
use crate::sql::{Id, all, id};
use mailmirror_model::digest::Digest;
use mailmirror_model::ids::{AccountId, MailboxId, Uid};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;

/// Of everything, from one account to the next. What the writer has in memory must be flushed before.
pub(crate) fn root(db: &Connection) -> Result<Digest, StoreError> {
    let accounts: Digest = accounts(db)?.into_values().sum();
    let settings: Vec<Digest> = all(db, "SELECT name, settings FROM settings", [], |row| {
        let bytes = row.get_ref(1)?.as_blob().map_err(|_| StoreError::Damaged("a setting"))?;
        let values: Vec<String> = postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged("a setting"))?;
        Ok(Digest::of_setting(&row.get::<_, String>(0)?, &values))
    })?;
    Ok(accounts.plus(settings.into_iter().sum()))
}

/// Of every account with all that it holds.
pub(crate) fn accounts(db: &Connection) -> Result<BTreeMap<AccountId, Digest>, StoreError> {
    let mut digests = BTreeMap::<AccountId, Digest>::new();
    let mut add = |account: AccountId, item: Digest| digests.entry(account).or_default().replace(None, Some(item));
    for account in all(db, "SELECT id, address, password, enabled, quota_bytes FROM accounts", [], rows::account)? {
        add(account.id, Digest::of_account(&account));
    }
    let sql = "SELECT a.id, s.name FROM subscriptions s JOIN accounts a ON a.key = s.account";
    let subscriptions = all(db, sql, [], |row| Ok((AccountId(id(row, 0)?), row.get::<_, String>(1)?)))?;
    for (account, name) in subscriptions {
        add(account, Digest::of_subscription(account, &name));
    }
    let mailboxes = all(db, MailboxRow::SELECT, [], |row| {
        let row = MailboxRow::read(row)?;
        Ok((row.status.mailbox.account, row.digest()))
    })?;
    for (account, digest) in mailboxes {
        add(account, digest);
    }
    Ok(digests)
}

/// Of one account with all that it holds.
pub(crate) fn account(db: &Connection, account: AccountId) -> Result<Digest, StoreError> {
    let record = look::account(db, account)?.map(|account| Digest::of_account(&account)).unwrap_or_default();
    let sql = "SELECT name FROM subscriptions WHERE account = (SELECT key FROM accounts WHERE id = ?)";
    let subscriptions =
        all(db, sql, [Id::new(account.0)], |row| Ok(Digest::of_subscription(account, &row.get::<_, String>(0)?)))?;
    let mailboxes = mailboxes(db, account)?.into_iter().map(|(_, digest)| digest);
    Ok(record.plus(subscriptions.into_iter().sum()).plus(mailboxes.sum()))
}

/// Of each mailbox of an account with its messages.
pub(crate) fn mailboxes(db: &Connection, account: AccountId) -> Result<Vec<(MailboxId, Digest)>, StoreError> {
    let rows = look::mailboxes(db, account)?;
    Ok(rows.into_iter().map(|row| (row.status.mailbox.id, row.digest())).collect())
}

/// Of the messages of a mailbox with UIDs from `first` to `last`, and how many they are.
pub(crate) fn range(db: &Connection, mailbox: MailboxId, first: Uid, last: Uid) -> Result<(u64, Digest), StoreError> {
    let Some(key) = look::mailbox_key(db, mailbox)? else { return Ok((0, Digest::ZERO)) };
    let sql = "SELECT uid, id, body, size_bytes, date, modseq, flags, added FROM messages \
        WHERE mailbox = ? AND uid BETWEEN ? AND ?";
    let items = all(db, sql, params![key, first.get(), last.get()], |row| {
        Ok(Digest::of_message(&rows::message(mailbox, row)?))
    })?;
    Ok((items.len() as u64, items.into_iter().sum()))
}
