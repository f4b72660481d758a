//! The commands on mailboxes: SELECT, EXAMINE, CREATE, RENAME, STATUS and those that take a name only.

use super::cursor::{Cursor, Result};
use super::error::Problem;
use crate::command::{Command, QResync, Select, StatusItem};
use crate::types::{MailboxName, SpecialUse};

const STATUS_MAX_ITEMS: usize = 32;

/// A space and a mailbox name.
pub(super) fn argument(cursor: &mut Cursor<'_>) -> Result<MailboxName> {
    cursor.sp()?;
    let name = cursor.astring()?;
    Ok(MailboxName::from_wire(&name)?)
}

pub(super) fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Result<Command> {
    let mut select = Select { mailbox: argument(cursor)?, read_only, condstore: false, qresync: None };
    if cursor.more() {
        cursor.list("parameters", 8, |cursor| {
            match cursor.keyword()?.as_str() {
                "CONDSTORE" => select.condstore = true,
                "QRESYNC" if select.qresync.is_none() => {
                    cursor.sp()?;
                    select.qresync = Some(qresync(cursor)?);
                }
                _ => return Err(Problem::Expected("CONDSTORE or QRESYNC")),
            }
            Ok(())
        })?;
    }
    Ok(Command::Select(select))
}

/// `(uidvalidity modseq [known-uids] [(known-sequence-set known-uid-set)])`
fn qresync(cursor: &mut Cursor<'_>) -> Result<QResync> {
    cursor.open()?;
    let uid_validity = cursor.nz_number()?;
    cursor.sp()?;
    let mut qresync = QResync { uid_validity, mod_seq: cursor.mod_seq()?, known_uids: None, seq_match: None };
    if cursor.eat_close() {
        return Ok(qresync);
    }
    cursor.sp()?;
    if cursor.peek() != Some(b'(') {
        qresync.known_uids = Some(cursor.known_set()?);
        if cursor.eat_close() {
            return Ok(qresync);
        }
        cursor.sp()?;
    }
    cursor.open()?;
    let numbers = cursor.known_set()?;
    cursor.sp()?;
    let uids = cursor.known_set()?;
    qresync.seq_match = Some((numbers, uids));
    cursor.close()?;
    cursor.close()?;
    Ok(qresync)
}

pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = argument(cursor)?;
    let mut special_use = Vec::new();
    if cursor.more() {
        cursor.open()?;
        if cursor.keyword()? != "USE" {
            return Err(Problem::Expected("USE"));
        }
        cursor.sp()?;
        special_use = cursor.list("special uses", SpecialUse::EACH.len(), |cursor| {
            SpecialUse::parse(&cursor.flag_text()?).ok_or(Problem::SpecialUse)
        })?;
        cursor.close()?;
    }
    Ok(Command::Create { mailbox, special_use })
}

pub(super) fn rename(cursor: &mut Cursor<'_>) -> Result<Command> {
    let from = argument(cursor)?;
    let to = argument(cursor)?;
    Ok(Command::Rename { from, to })
}

pub(super) fn status(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = argument(cursor)?;
    cursor.sp()?;
    let items = status_items(cursor)?;
    Ok(Command::Status { mailbox, items })
}

/// `(MESSAGES UIDNEXT …)`; doubles are left out.
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Result<Vec<StatusItem>> {
    let mut items = Vec::new();
    cursor.list("status items", STATUS_MAX_ITEMS, |cursor| {
        let name = cursor.keyword()?;
        let item = StatusItem::EACH
            .into_iter()
            .find(|item| item.as_str() == name)
            .ok_or(Problem::Expected("a status item"))?;
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    if items.is_empty() {
        return Err(Problem::Expected("a status item"));
    }
    Ok(items)
}
