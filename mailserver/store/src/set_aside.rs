//! Entries that could not be applied (rule L4): they are kept aside in order, with all that came later for the same
//! mailboxes or accounts, until they are tried again.

use crate::StoreError;
use crate::rows::location;
use crate::sql::{Id, all, id, number, run};
use crate::state::IndexState;
use mailmirror_log::Location;
use mailmirror_model::ids::{AccountId, MailboxId, Seq};
use mailmirror_model::operation::Change;
use mailmirror_model::state::View;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashSet};

/// What an entry changes, as far as waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// An account with all its mailboxes.
    Account(AccountId),
    /// One mailbox.
    Mailbox(MailboxId),
}

/// An entry that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Its place.
    pub seq: Seq,
    /// Why it was not applied, in words.
    pub reason: String,
    /// Where it was in the log.
    pub location: Location,
    /// What is not served until it is applied. Empty where it could not even be read.
    pub scopes: Vec<Scope>,
}

const ACCOUNT: u8 = 1;
const MAILBOX: u8 = 2;

impl Scope {
    /// What `change` touches. Settings stand alone: nothing waits for them.
    pub(crate) fn of(change: &Change) -> Vec<Self> {
        let mut scopes = Vec::new();
        match change {
            Change::Nothing | Change::PutSetting { .. } => {}
            Change::CreateAccount { account, mailboxes, .. } | Change::CreateMailbox { account, mailboxes } => {
                scopes.push(Self::Account(*account));
                scopes.extend(mailboxes.iter().map(|new| Self::Mailbox(new.mailbox)));
            }
            Change::SetAccount { account, .. }
            | Change::DeleteAccount { account }
            | Change::BranchDelete { account, mailbox: None, .. }
            | Change::Subscribe { account, .. } => scopes.push(Self::Account(*account)),
            Change::RenameMailbox { account, mailbox, created, .. } => {
                scopes.extend([Self::Account(*account), Self::Mailbox(*mailbox)]);
                scopes.extend(created.iter().map(|new| Self::Mailbox(new.mailbox)));
            }
            Change::Add { adds, .. } => scopes.extend(adds.iter().map(|add| Self::Mailbox(add.mailbox))),
            Change::Move { from, to, .. } => scopes.extend([Self::Mailbox(*from), Self::Mailbox(*to)]),
            Change::DeleteMailbox { mailbox, .. }
            | Change::BranchDelete { mailbox: Some(mailbox), .. }
            | Change::Flags { mailbox, .. }
            | Change::Expunge { mailbox, .. }
            | Change::Tombstone { mailbox, .. }
            | Change::Touch { mailbox, .. } => scopes.push(Self::Mailbox(*mailbox)),
        }
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    fn stored(self) -> (u8, Id) {
        match self {
            Self::Account(account) => (ACCOUNT, Id::new(account.0)),
            Self::Mailbox(mailbox) => (MAILBOX, Id::new(mailbox.0)),
        }
    }
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Frozen(HashSet<Scope>);

impl Frozen {
    pub(crate) fn load(db: &Connection) -> Result<Self, StoreError> {
        Ok(Self(scopes(db)?.into_values().flatten().collect()))
    }

    pub(crate) fn freeze(&mut self, scopes: &[Scope]) {
        self.0.extend(scopes);
    }

    /// Whether a change has to wait for one that was set aside.
    pub(crate) fn blocks(&self, state: &IndexState, change: &Change, scopes: &[Scope]) -> Result<bool, StoreError> {
        if self.0.is_empty() {
            return Ok(false);
        }
        for scope in scopes {
            if self.0.contains(scope) {
                return Ok(true);
            }
            if let Scope::Mailbox(mailbox) = scope
                && let Some(mailbox) = state.mailbox(*mailbox)?
                && self.0.contains(&Scope::Account(mailbox.account))
            {
                return Ok(true);
            }
        }
        // These reach into mailboxes that they do not name.
        if let Change::DeleteAccount { account }
        | Change::RenameMailbox { account, .. }
        | Change::BranchDelete { account, mailbox: None, .. } = change
        {
            for scope in &self.0 {
                if let Scope::Mailbox(mailbox) = scope
                    && state.mailbox(*mailbox)?.is_some_and(|mailbox| mailbox.account == *account)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

pub(crate) fn put(db: &Connection, set_aside: &SetAside) -> Result<(), StoreError> {
    let SetAside { seq, reason, location, scopes } = set_aside;
    let seq = seq.0.cast_signed();
    let sql = "INSERT INTO set_aside (seq, reason, segment, entry_at, entry_bytes) VALUES (?, ?, ?, ?, ?)";
    let (segment, at) = (location.segment.0.0.cast_signed(), location.offset_bytes.cast_signed());
    run(db, sql, params![seq, reason, segment, at, location.length_bytes])?;
    for scope in scopes {
        let (kind, id) = scope.stored();
        run(db, "INSERT INTO set_aside_scope (seq, kind, id) VALUES (?, ?, ?)", params![seq, kind, id])?;
    }
    Ok(())
}

/// All of them, in order.
pub(crate) fn list(db: &Connection) -> Result<Vec<SetAside>, StoreError> {
    let mut scopes = scopes(db)?;
    all(db, "SELECT seq, reason, segment, entry_at, entry_bytes FROM set_aside ORDER BY seq", [], |row| {
        let seq = Seq(number(row, 0)?);
        let scopes = scopes.remove(&seq).unwrap_or_default();
        Ok(SetAside { seq, reason: row.get(1)?, location: location(row, 2)?, scopes })
    })
}

pub(crate) fn clear(db: &Connection) -> Result<(), StoreError> {
    run(db, "DELETE FROM set_aside", [])?;
    run(db, "DELETE FROM set_aside_scope", [])?;
    Ok(())
}

/// Whether something waits for this mailbox or its account.
pub(crate) fn is_frozen(db: &Connection, scope: Scope) -> Result<bool, StoreError> {
    let (kind, id) = scope.stored();
    let sql = "SELECT 1 FROM set_aside_scope WHERE kind = ?1 AND id = ?2 LIMIT 1";
    let above = "SELECT 1 FROM set_aside_scope s JOIN accounts a ON a.id = s.id JOIN mailboxes m ON m.account = a.key \
        WHERE s.kind = 1 AND ?1 = 2 AND m.id = ?2 LIMIT 1";
    for sql in [sql, above] {
        if crate::sql::one(db, sql, params![kind, id], |_| Ok(()))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn scopes(db: &Connection) -> Result<BTreeMap<Seq, Vec<Scope>>, StoreError> {
    let rows = all(db, "SELECT seq, kind, id FROM set_aside_scope ORDER BY seq, kind, id", [], |row| {
        let scope = match row.get::<_, u8>(1)? {
            ACCOUNT => Scope::Account(AccountId(id(row, 2)?)),
            MAILBOX => Scope::Mailbox(MailboxId(id(row, 2)?)),
            _ => return Err(StoreError::Damaged("the kind of what waits")),
        };
        Ok((Seq(number(row, 0)?), scope))
    })?;
    let mut found = BTreeMap::<Seq, Vec<Scope>>::new();
    for (seq, scope) in rows {
        found.entry(seq).or_default().push(scope);
    }
    Ok(found)
}
