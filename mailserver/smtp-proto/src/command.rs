//! The command grammar of SMTP and LMTP: one line in, one [`Command`] or [`CommandError`] out.

use std::fmt;

use crate::address::{AddressError, ForwardPath, ReversePath, parse_forward_path, parse_reverse_path};
use crate::reply::Reply;
use crate::sasl::Mechanism;

/// A command line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `HELO`.
    Helo(HeloName),
    /// `EHLO`.
    Ehlo(HeloName),
    /// `LHLO`, LMTP's greeting (RFC 2033).
    Lhlo(HeloName),
    /// `MAIL FROM:`.
    Mail(MailCommand),
    /// `RCPT TO:`. No parameters are supported.
    Rcpt(ForwardPath),
    /// `DATA`.
    Data,
    /// `RSET`.
    Rset,
    /// `NOOP`; its argument is ignored.
    Noop,
    /// `QUIT`.
    Quit,
    /// `VRFY`; its argument is not looked at.
    Vrfy,
    /// `EXPN`; its argument is not looked at.
    Expn,
    /// `HELP`.
    Help,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH` (RFC 4954).
    Auth {
        /// The mechanism.
        mechanism: Mechanism,
        /// The initial response as sent, in base64.
        initial: Option<String>,
    },
}

/// `MAIL FROM:` with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailCommand {
    /// The sender.
    pub reverse_path: ReversePath,
    /// `SIZE=` in octets (RFC 1870).
    pub size: Option<u64>,
    /// `BODY=` (RFC 6152).
    pub body: BodyKind,
}

/// What the client declared with `BODY=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyKind {
    /// `7BIT`, or nothing said.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
}

/// The name a client gives itself: a host name or an address literal, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeloName(String);

impl HeloName {
    /// Accepts what a `Received` field can show: letters, digits and `.-_:[]`, up to 255 octets.
    /// That is more than the grammar, for clients that name themselves `my_host`.
    pub fn new(name: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        let valid = !name.is_empty() && name.len() <= 255 && name.bytes().all(fits);
        valid.then(|| Self(name.to_owned()))
    }

    /// The name as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HeloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a line is no command, with the reply that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The verb is not known.
    #[error("command not recognised")]
    Unknown,
    /// Octets that no command line has.
    #[error("command line holds octets that are not printable ASCII")]
    NotPrintable,
    /// An argument is missing, malformed or too many.
    #[error("argument missing or malformed")]
    Argument,
    /// The sender address is malformed.
    #[error("failed to read the sender address: {0}")]
    Sender(AddressError),
    /// The recipient address is malformed.
    #[error("failed to read the recipient address: {0}")]
    Recipient(AddressError),
    /// A parameter of MAIL or RCPT that is not supported.
    #[error("parameter not supported")]
    UnknownParameter,
    /// A known parameter with a bad value, or given twice.
    #[error("parameter value malformed or given twice")]
    BadParameter,
    /// AUTH with a mechanism that is not offered.
    #[error("authentication mechanism not supported; use PLAIN or LOGIN")]
    UnknownMechanism,
}

impl CommandError {
    /// The reply to send.
    pub fn reply(&self) -> Reply {
        let (code, detail) = match self {
            Self::Unknown => (500, (5, 1)),
            Self::NotPrintable => (500, (5, 2)),
            Self::Argument | Self::BadParameter => (501, (5, 4)),
            Self::Sender(AddressError::NonAscii) | Self::Recipient(AddressError::NonAscii) => (553, (6, 7)),
            Self::Sender(_) => (501, (1, 7)),
            Self::Recipient(_) => (501, (1, 3)),
            Self::UnknownParameter => (555, (5, 4)),
            Self::UnknownMechanism => (504, (5, 4)),
        };
        Reply::new(code, detail, self.to_string())
    }
}

/// Reads one command line (without its CRLF). Verbs and keywords are taken in any case, and so is
/// white space after the colon and at the end of the line.
pub fn parse(line: &[u8]) -> Result<Command, CommandError> {
    let text = std::str::from_utf8(line).map_err(|_| not_text(line))?;
    let text = text.trim_end_matches(' ');
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let argument = argument.trim_start_matches(' ');
    let verb = verb.to_ascii_uppercase();
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(CommandError::NotPrintable);
    }
    if !text.is_ascii() && !matches!(verb.as_str(), "MAIL" | "RCPT") {
        return Err(CommandError::NotPrintable);
    }
    let helo = || HeloName::new(argument).ok_or(CommandError::Argument);
    match verb.as_str() {
        "HELO" => helo().map(Command::Helo),
        "EHLO" => helo().map(Command::Ehlo),
        "LHLO" => helo().map(Command::Lhlo),
        "MAIL" => parse_mail(argument).map(Command::Mail),
        "RCPT" => parse_rcpt(argument).map(Command::Rcpt),
        "AUTH" => parse_auth(argument),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" | "EXPN" if argument.is_empty() => Err(CommandError::Argument),
        "VRFY" => Ok(Command::Vrfy),
        "EXPN" => Ok(Command::Expn),
        "DATA" => without_argument(argument, Command::Data),
        "RSET" => without_argument(argument, Command::Rset),
        "QUIT" => without_argument(argument, Command::Quit),
        "STARTTLS" => without_argument(argument, Command::StartTls),
        _ => Err(CommandError::Unknown),
    }
}

/// A line that is not UTF-8: an address in some other 8-bit charset gets the answer about addresses.
fn not_text(line: &[u8]) -> CommandError {
    let starts = |verb: &[u8]| line.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb));
    if starts(b"MAIL ") {
        CommandError::Sender(AddressError::NonAscii)
    } else if starts(b"RCPT ") {
        CommandError::Recipient(AddressError::NonAscii)
    } else {
        CommandError::NotPrintable
    }
}

fn without_argument(argument: &str, command: Command) -> Result<Command, CommandError> {
    if argument.is_empty() { Ok(command) } else { Err(CommandError::Argument) }
}

fn strip_keyword<'a>(argument: &'a str, keyword: &str) -> Result<&'a str, CommandError> {
    let head = argument.get(..keyword.len()).ok_or(CommandError::Argument)?;
    if !head.eq_ignore_ascii_case(keyword) {
        return Err(CommandError::Argument);
    }
    Ok(argument.get(keyword.len()..).unwrap_or_default().trim_start_matches(' '))
}

fn parse_mail(argument: &str) -> Result<MailCommand, CommandError> {
    let path = strip_keyword(argument, "FROM:")?;
    let (reverse_path, rest) = parse_reverse_path(path).map_err(CommandError::Sender)?;
    let mut seen: Vec<String> = Vec::new();
    let mut command = MailCommand { reverse_path, size: None, body: BodyKind::default() };
    for (keyword, value) in parameters(rest)? {
        match keyword.as_str() {
            "SIZE" => command.size = Some(parse_size(value)?),
            "BODY" => command.body = parse_body(value)?,
            "AUTH" => check_auth_parameter(value)?,
            _ => return Err(CommandError::UnknownParameter),
        }
        if seen.contains(&keyword) {
            return Err(CommandError::BadParameter);
        }
        seen.push(keyword);
    }
    Ok(command)
}

fn parse_rcpt(argument: &str) -> Result<ForwardPath, CommandError> {
    let path = strip_keyword(argument, "TO:")?;
    let (forward_path, rest) = parse_forward_path(path).map_err(CommandError::Recipient)?;
    if parameters(rest)?.is_empty() { Ok(forward_path) } else { Err(CommandError::UnknownParameter) }
}

/// Splits `esmtp-param`s (RFC 5321 section 4.1.2); keywords come back in upper case.
fn parameters(rest: &str) -> Result<Vec<(String, Option<&str>)>, CommandError> {
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(CommandError::Argument);
    }
    let mut list = Vec::new();
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (word, None),
        };
        let in_keyword = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if keyword.is_empty() || keyword.starts_with('-') || !keyword.bytes().all(in_keyword) {
            return Err(CommandError::Argument);
        }
        if value.is_some_and(|value| value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(CommandError::BadParameter);
        }
        list.push((keyword.to_ascii_uppercase(), value));
    }
    Ok(list)
}

/// RFC 1870: up to 20 digits. A number beyond 64 bits is a number beyond every limit.
fn parse_size(value: Option<&str>) -> Result<u64, CommandError> {
    let digits = value.ok_or(CommandError::BadParameter)?;
    if digits.len() > 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(CommandError::BadParameter);
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

fn parse_body(value: Option<&str>) -> Result<BodyKind, CommandError> {
    match value {
        Some(kind) if kind.eq_ignore_ascii_case("7BIT") => Ok(BodyKind::SevenBit),
        Some(kind) if kind.eq_ignore_ascii_case("8BITMIME") => Ok(BodyKind::EightBitMime),
        _ => Err(CommandError::BadParameter),
    }
}

/// `AUTH=` names who submitted the message first, as xtext (RFC 4954 section 5). It is
/// checked and then treated as `AUTH=<>`, which a server may always do.
fn check_auth_parameter(value: Option<&str>) -> Result<(), CommandError> {
    let mut bytes = value.ok_or(CommandError::BadParameter)?.bytes();
    let upper_hex = |byte: Option<u8>| byte.is_some_and(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    while let Some(byte) = bytes.next() {
        let bad_escape = byte == b'+' && !(upper_hex(bytes.next()) && upper_hex(bytes.next()));
        if bad_escape || byte == b'=' {
            return Err(CommandError::BadParameter);
        }
    }
    Ok(())
}

fn parse_auth(argument: &str) -> Result<Command, CommandError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let name = words.next().ok_or(CommandError::Argument)?;
    let mechanism = Mechanism::by_name(name).ok_or(CommandError::UnknownMechanism)?;
    let initial = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(CommandError::Argument);
    }
    Ok(Command::Auth { mechanism, initial })
}
