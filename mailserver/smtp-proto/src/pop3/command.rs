//! The command grammar of POP3: one line in, one [`Command`] or [`CommandError`] out.

use std::num::NonZeroU32;

use crate::sasl::{Mechanism, Password};

/// The number of a message in a session, from 1 on.
pub type MessageNumber = NonZeroU32;

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `USER`.
    User(String),
    /// `PASS`; the password may hold spaces.
    Pass(Password),
    /// `APOP`, which is refused: it needs passwords kept in plain text.
    Apop,
    /// `AUTH`, without a mechanism to list them.
    Auth(Option<AuthCommand>),
    /// `STLS`.
    Stls,
    /// `CAPA`.
    Capa,
    /// `STAT`.
    Stat,
    /// `LIST`, of one message or of all.
    List(Option<MessageNumber>),
    /// `UIDL`, of one message or of all.
    Uidl(Option<MessageNumber>),
    /// `RETR`.
    Retr(MessageNumber),
    /// `TOP`: the header and some lines of the body.
    Top(MessageNumber, u32),
    /// `DELE`.
    Dele(MessageNumber),
    /// `NOOP`.
    Noop,
    /// `RSET`.
    Rset,
    /// `QUIT`.
    Quit,
}

/// The argument of `AUTH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthCommand {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// The initial response as sent, in base64.
    pub initial: Option<String>,
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The verb is not known, or the line is not text.
    #[error("unknown command")]
    Unknown,
    /// An argument is missing, malformed or too many.
    #[error("argument missing or malformed")]
    Argument,
    /// A message number that is not a number from 1 on.
    #[error("no such message")]
    MessageNumber,
    /// AUTH with a mechanism that is not offered.
    #[error("authentication mechanism not supported; use PLAIN")]
    UnknownMechanism,
}

/// Reads one command line (without its CRLF). Keywords are taken in any case.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(line).map_err(|_| CommandError::Unknown)?;
    if text.contains('\0') {
        return Err(CommandError::Unknown);
    }
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let words: Vec<&str> = argument.split(' ').filter(|word| !word.is_empty()).collect();
    let only = |command: Command| if words.is_empty() { Ok(command) } else { Err(CommandError::Argument) };
    match verb.to_ascii_uppercase().as_str() {
        // A user name and a password are everything after the first space.
        "USER" if argument.is_empty() => Err(CommandError::Argument),
        "USER" => Ok(Command::User(argument.to_owned())),
        "PASS" => Ok(Command::Pass(Password::new(argument.to_owned()))),
        "APOP" => Ok(Command::Apop),
        "AUTH" => parse_auth(&words).map(Command::Auth),
        "STLS" => only(Command::Stls),
        "CAPA" => only(Command::Capa),
        "STAT" => only(Command::Stat),
        "LIST" => optional_number(&words).map(Command::List),
        "UIDL" => optional_number(&words).map(Command::Uidl),
        "RETR" => one_number(&words).map(Command::Retr),
        "DELE" => one_number(&words).map(Command::Dele),
        "TOP" => match words.as_slice() {
            [number, lines] => {
                let lines = digits(lines).ok_or(CommandError::Argument)?;
                Ok(Command::Top(message_number(number)?, lines))
            }
            _ => Err(CommandError::Argument),
        },
        "NOOP" => only(Command::Noop),
        "RSET" => only(Command::Rset),
        "QUIT" => only(Command::Quit),
        _ => Err(CommandError::Unknown),
    }
}

fn parse_auth(words: &[&str]) -> Result<Option<AuthCommand>, CommandError> {
    let (name, initial) = match *words {
        [] => return Ok(None),
        [name] => (name, None),
        [name, initial] => (name, Some(initial.to_owned())),
        _ => return Err(CommandError::Argument),
    };
    // LOGIN is a mechanism of SMTP clients; POP3 clients that have no PLAIN use USER and PASS.
    match Mechanism::by_name(name) {
        Some(mechanism @ Mechanism::Plain) => Ok(Some(AuthCommand { mechanism, initial })),
        Some(Mechanism::Login) | None => Err(CommandError::UnknownMechanism),
    }
}

fn optional_number(words: &[&str]) -> Result<Option<MessageNumber>, CommandError> {
    if words.is_empty() { Ok(None) } else { one_number(words).map(Some) }
}

fn one_number(words: &[&str]) -> Result<MessageNumber, CommandError> {
    match words {
        [number] => message_number(number),
        _ => Err(CommandError::Argument),
    }
}

fn message_number(word: &str) -> Result<MessageNumber, CommandError> {
    digits(word).and_then(MessageNumber::new).ok_or(CommandError::MessageNumber)
}

fn digits(word: &str) -> Option<u32> {
    let all_digits = word.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| word.parse().ok()).flatten()
}
