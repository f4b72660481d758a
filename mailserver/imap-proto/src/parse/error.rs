//! What can be wrong with a command, and how it is answered.

use crate::response::{Code, Status};
use crate::types::{DateError, FlagError, MailboxNameError, SequenceSetError, Tag};

/// A command that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct ParseError {
    /// Its tag. Without one the answer is untagged (`* BAD …`).
    pub tag: Option<Tag>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a command. The text is fit for the client: it repeats no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The line does not begin with a tag.
    #[error("command has no tag")]
    NoTag,
    /// There is nothing behind the tag.
    #[error("command is missing")]
    NoCommand,
    /// No such command.
    #[error("unknown command {0}")]
    UnknownCommand(String),
    /// Something else was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Text goes on after the command.
    #[error("too many arguments")]
    TrailingText,
    /// A literal with NUL where none may be.
    #[error("NUL is not allowed here")]
    Nul,
    /// Bytes that are not UTF-8.
    #[error("text is not UTF-8")]
    NotUtf8,
    /// Not a mailbox name.
    #[error("{0}")]
    Mailbox(#[from] MailboxNameError),
    /// Not a flag.
    #[error("{0}")]
    Flag(#[from] FlagError),
    /// Not a date.
    #[error("{0}")]
    Date(#[from] DateError),
    /// Not a sequence set.
    #[error("{0}")]
    SequenceSet(#[from] SequenceSetError),
    /// A special use that is not known (RFC 6154 section 3).
    #[error("special use is not supported")]
    SpecialUse,
    /// SEARCH in a charset other than UTF-8 and US-ASCII.
    #[error("charset is not supported, use UTF-8")]
    Charset,
    /// `RETURN (SAVE)` or another result option that is not offered.
    #[error("result option {0} is not supported")]
    ResultOption(String),
    /// More nested, or more of something, than is allowed.
    #[error("more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
}

impl Problem {
    /// The completion that answers the command, with its response code. `BAD` says that the client made an error,
    /// `NO` that this server will not do it.
    pub fn answer(&self) -> (Status, Option<Code<'static>>) {
        match self {
            Self::Mailbox(_) | Self::Flag(FlagError::TooLong) => (Status::No, Some(Code::Cannot)),
            Self::Charset => (Status::No, Some(Code::BadCharset)),
            Self::SpecialUse => (Status::No, Some(Code::UseAttr)),
            Self::Limit { .. } | Self::SequenceSet(SequenceSetError::TooMany { .. }) => (Status::No, Some(Code::Limit)),
            _ => (Status::Bad, None),
        }
    }
}
