//! LIST and LSUB.

use super::cursor::{Cursor, Result};
use super::error::Problem;
use super::mailbox::status_items;
use crate::command::{Command, List, ListReturn, ListSelect};
use crate::types::{ListPattern, is_astring_char};

const PATTERNS_MAX: usize = 32;
const OPTIONS_MAX: usize = 16;

pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    let mut extended = false;
    let mut select = ListSelect::default();
    if cursor.peek() == Some(b'(') {
        extended = true;
        select = select_options(cursor)?;
        cursor.sp()?;
    }
    let reference = ListPattern::from_wire(&cursor.astring()?)?;
    cursor.sp()?;
    let patterns = if cursor.peek() == Some(b'(') {
        extended = true;
        cursor.list("patterns", PATTERNS_MAX, pattern)?
    } else {
        vec![pattern(cursor)?]
    };
    if patterns.is_empty() {
        return Err(Problem::Expected("a pattern"));
    }
    let mut returns = ListReturn::default();
    if cursor.more() {
        extended = true;
        if cursor.keyword()? != "RETURN" {
            return Err(Problem::Expected("RETURN"));
        }
        cursor.sp()?;
        returns = return_options(cursor)?;
    }
    Ok(Command::List(List { reference, patterns, select, returns, extended }))
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    let reference = ListPattern::from_wire(&cursor.astring()?)?;
    cursor.sp()?;
    let pattern = pattern(cursor)?;
    Ok(Command::Lsub { reference, pattern })
}

/// `list-mailbox`: like a mailbox name, with wildcards.
fn pattern(cursor: &mut Cursor<'_>) -> Result<ListPattern> {
    let text = cursor.string_or(|b| is_astring_char(b) || matches!(b, b'%' | b'*'))?;
    Ok(ListPattern::from_wire(&text)?)
}

fn select_options(cursor: &mut Cursor<'_>) -> Result<ListSelect> {
    let mut select = ListSelect::default();
    cursor.list("selection options", OPTIONS_MAX, |cursor| {
        match cursor.keyword()?.as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            "SPECIAL-USE" => select.special_use = true,
            _ => return Err(Problem::Expected("a selection option")),
        }
        Ok(())
    })?;
    if select.recursive_match && !select.subscribed && !select.special_use {
        // RFC 5258 section 3: it needs a criterion that a child could meet.
        return Err(Problem::Expected("RECURSIVEMATCH together with another option"));
    }
    Ok(select)
}

fn return_options(cursor: &mut Cursor<'_>) -> Result<ListReturn> {
    let mut returns = ListReturn::default();
    cursor.list("return options", OPTIONS_MAX, |cursor| {
        match cursor.keyword()?.as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "STATUS" => {
                cursor.sp()?;
                returns.status = status_items(cursor)?;
            }
            _ => return Err(Problem::Expected("a return option")),
        }
        Ok(())
    })?;
    Ok(returns)
}
