//! Turns a [`Frame`] into a [`Request`].
//!
//! Strict in what would be ambiguous, lenient in what real clients do: spaces at the end of a line, several spaces
//! for one, a bare LF, spaces inside parentheses. On an error the tag is told where it could be read, so that the
//! client gets an answer it can match.

mod auth;
mod cursor;
mod error;
mod fetch;
mod list;
mod mailbox;
mod message;
mod search;

pub use error::{ParseError, Problem};

use crate::command::{Command, Request};
use crate::framing::{Frame, recover_tag};
use crate::types::Tag;
use cursor::{Cursor, Result};

/// Parses a command.
pub fn parse(frame: &Frame) -> std::result::Result<Request, ParseError> {
    let mut cursor = Cursor::new(frame.parts());
    let tag = tag(&mut cursor).map_err(|problem| ParseError { tag: recover_tag(frame.parts()), problem })?;
    match command(&mut cursor) {
        Ok(command) => Ok(Request { tag, command }),
        Err(problem) => Err(ParseError { tag: Some(tag), problem }),
    }
}

/// Is the line what ends IDLE (RFC 2177)?
pub fn is_done(line: &[u8]) -> bool {
    line.trim_ascii_end().eq_ignore_ascii_case(b"DONE")
}

/// The client's answer within AUTHENTICATE: base64, or `*` to give up (RFC 3501 section 6.2.2).
pub fn sasl_response(line: &[u8]) -> std::result::Result<SaslResponse, Problem> {
    let line = line.trim_ascii_end();
    if line == b"*" {
        return Ok(SaslResponse::Cancelled);
    }
    auth::base64(line).map(SaslResponse::Data)
}

/// What a client answers within AUTHENTICATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaslResponse {
    /// The decoded data.
    Data(crate::types::Secret),
    /// The client gave up: answer the command with BAD.
    Cancelled,
}

fn tag(cursor: &mut Cursor<'_>) -> Result<Tag> {
    let word = cursor.take_while(|b| b != b' ');
    let tag = Tag::new(word).ok_or(Problem::NoTag)?;
    cursor.sp().map_err(|_| Problem::NoCommand)?;
    Ok(tag)
}

fn command(cursor: &mut Cursor<'_>) -> Result<Command> {
    let name = command_name(cursor)?;
    let command = match name.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge { uids: None },
        "AUTHENTICATE" => auth::authenticate(cursor)?,
        "LOGIN" => auth::login(cursor)?,
        "ENABLE" => auth::enable(cursor)?,
        "ID" => auth::id(cursor)?,
        "SELECT" => mailbox::select(cursor, false)?,
        "EXAMINE" => mailbox::select(cursor, true)?,
        "CREATE" => mailbox::create(cursor)?,
        "DELETE" => Command::Delete(mailbox::argument(cursor)?),
        "RENAME" => mailbox::rename(cursor)?,
        "SUBSCRIBE" => Command::Subscribe(mailbox::argument(cursor)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(mailbox::argument(cursor)?),
        "STATUS" => mailbox::status(cursor)?,
        "LIST" => list::list(cursor)?,
        "LSUB" => list::lsub(cursor)?,
        "APPEND" => message::append(cursor)?,
        "UID" => uid_command(cursor)?,
        "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE" => on_messages(cursor, &name, false)?,
        _ => return Err(Problem::UnknownCommand(name)),
    };
    cursor.end()?;
    Ok(command)
}

fn uid_command(cursor: &mut Cursor<'_>) -> Result<Command> {
    cursor.sp()?;
    let name = command_name(cursor)?;
    match name.as_str() {
        "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE" => on_messages(cursor, &name, true),
        "EXPUNGE" => {
            cursor.sp()?;
            let uids = Some(cursor.sequence_set()?);
            Ok(Command::Expunge { uids })
        }
        _ => Err(Problem::UnknownCommand(format!("UID {name}"))),
    }
}

/// The commands that take sequence numbers or UIDs.
fn on_messages(cursor: &mut Cursor<'_>, name: &str, uid: bool) -> Result<Command> {
    match name {
        "SEARCH" => search::search(cursor, uid),
        "FETCH" => fetch::fetch(cursor, uid),
        "STORE" => message::store(cursor, uid),
        _ => {
            cursor.sp()?;
            let set = cursor.sequence_set()?;
            let to = mailbox::argument(cursor)?;
            Ok(if name == "MOVE" { Command::Move { uid, set, to } } else { Command::Copy { uid, set, to } })
        }
    }
}

/// The next word in upper case; never more than what an answer should repeat.
fn command_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let word = cursor.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if word.is_empty() {
        return Err(Problem::NoCommand);
    }
    let shown = word.slice(..word.len().min(32));
    Ok(String::from_utf8_lossy(&shown).to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_messages;
