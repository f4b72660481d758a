//! AUTHENTICATE, LOGIN, ENABLE, ID.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cursor::{Cursor, Result, utf8};
use super::error::Problem;
use crate::command::{Command, EnableCapability};
use crate::types::{Secret, is_atom_char};

/// Field-value pairs in an ID (RFC 2971 section 3.3).
const ID_MAX_PAIRS: usize = 30;
const ENABLE_MAX: usize = 32;

pub(super) fn authenticate(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    let mechanism = cursor.keyword()?;
    let initial = if cursor.more() {
        let text = cursor.take_while(|b| b != b' ');
        Some(if &text[..] == b"=" { Secret::new("") } else { base64(&text)? })
    } else {
        None
    };
    Ok(Command::Authenticate { mechanism, initial })
}

/// Decodes base64 with its padding.
pub(super) fn base64(text: &[u8]) -> Result<Secret> {
    STANDARD.decode(text).map(Secret::new).map_err(|_| Problem::Expected("base64"))
}

pub(super) fn login(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    let user = cursor.utf8_astring()?;
    cursor.sp()?;
    // Passwords with specials such as `%` come unquoted from some clients; nothing else can follow, so they are taken.
    let password = cursor.string_or(|b| b > b' ' && !matches!(b, b'"' | b'(' | b')' | b'{' | b'\\' | 0x7f))?;
    Ok(Command::Login { user, password: Secret::new(password) })
}

pub(super) fn enable(cursor: &mut Cursor<'_>) -> Result<Command> {
    let mut capabilities = Vec::new();
    while cursor.more() {
        if capabilities.len() == ENABLE_MAX {
            let what = "capabilities";
            let limit = ENABLE_MAX;
            return Err(Problem::Limit { what, limit });
        }
        capabilities.push(match cursor.keyword()?.as_str() {
            "CONDSTORE" => EnableCapability::CondStore,
            "QRESYNC" => EnableCapability::QResync,
            other => EnableCapability::Other(other.to_owned()),
        });
    }
    if capabilities.is_empty() {
        return Err(Problem::Expected("a capability"));
    }
    Ok(Command::Enable(capabilities))
}

pub(super) fn id(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    if cursor.peek() != Some(b'(') {
        nil(cursor)?;
        return Ok(Command::Id(Vec::new()));
    }
    let pairs = cursor.list("ID fields", ID_MAX_PAIRS, |cursor| {
        let field = utf8(&cursor.string()?)?;
        cursor.sp()?;
        let value = if cursor.peek().is_some_and(|b| b != b'"') {
            nil(cursor)?;
            None
        } else {
            // Not everybody writes UTF-8 here, and it is only for logs.
            Some(String::from_utf8_lossy(&cursor.string()?).into_owned())
        };
        Ok((field, value))
    })?;
    Ok(Command::Id(pairs))
}

fn nil(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.take_while(is_atom_char).eq_ignore_ascii_case(b"NIL") { Ok(()) } else { Err(Problem::Expected("NIL")) }
}
