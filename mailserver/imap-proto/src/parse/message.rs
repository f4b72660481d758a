//! APPEND and STORE.

use super::cursor::{Cursor, Result};
use super::error::Problem;
use super::mailbox;
use crate::command::{Append, Command, Store, StoreOperation};
use crate::types::{Flag, FlagError, InternalDate};

/// Flags in one command.
const FLAGS_MAX: usize = 512;

pub(super) fn append(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mailbox = mailbox::argument(cursor)?;
    cursor.sp()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        cursor.list("flags", FLAGS_MAX, |cursor| {
            match Flag::parse(&cursor.flag_text()?) {
                Ok(flag) if !flags.contains(&flag) => flags.push(flag),
                // Clients that copy a message between servers send it along; it is not theirs to set.
                Ok(_) | Err(FlagError::Recent) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(())
        })?;
        cursor.sp()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(InternalDate::parse(&cursor.quoted()?)?);
        cursor.sp()?;
    }
    let (message, _) = cursor.any_literal().ok_or(Problem::Expected("a message literal"))?;
    Ok(Command::Append(Append { mailbox, flags, date, message }))
}

pub(super) fn store(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command> {
    cursor.sp()?;
    let set = cursor.sequence_set()?;
    cursor.sp()?;
    let mut unchanged_since = None;
    if cursor.peek() == Some(b'(') {
        cursor.open()?;
        if cursor.keyword()? != "UNCHANGEDSINCE" {
            return Err(Problem::Expected("UNCHANGEDSINCE"));
        }
        cursor.sp()?;
        unchanged_since = Some(cursor.mod_seq()?);
        cursor.close()?;
        cursor.sp()?;
    }
    let item = cursor.keyword()?;
    let (item, silent) = match item.strip_suffix(".SILENT") {
        Some(item) => (item, true),
        None => (item.as_str(), false),
    };
    let operation = match item {
        "FLAGS" => StoreOperation::Replace,
        "+FLAGS" => StoreOperation::Add,
        "-FLAGS" => StoreOperation::Remove,
        _ => return Err(Problem::Expected("FLAGS, +FLAGS or -FLAGS")),
    };
    cursor.sp()?;
    let flags = store_flags(cursor)?;
    Ok(Command::Store(Store { uid, set, operation, silent, flags, unchanged_since }))
}

/// Flags in parentheses, or bare.
fn store_flags(cursor: &mut Cursor<'_>) -> Result<Vec<Flag>> {
    let mut flags = Vec::new();
    let mut one = |cursor: &mut Cursor<'_>| {
        let flag = Flag::parse(&cursor.flag_text()?)?;
        if !flags.contains(&flag) {
            flags.push(flag);
        }
        Ok(())
    };
    if cursor.peek() == Some(b'(') {
        cursor.list("flags", FLAGS_MAX, one)?;
        return Ok(flags);
    }
    for _ in 0..FLAGS_MAX {
        one(cursor)?;
        if !cursor.more() {
            return Ok(flags);
        }
    }
    Err(Problem::Limit { what: "flags", limit: FLAGS_MAX })
}
