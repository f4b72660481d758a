//! How a command ends, and why a session does.

use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_imap_proto::types::NumberSet;
use mailmirror_model::outcome::Refusal;

use crate::net::ConnectionError;
use crate::service::{ChangeError, ReadError, ShowError};

/// A command that was carried out: `OK`.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) note: Note,
    pub(super) text: String,
}

/// The response code of a completion.
#[derive(Debug)]
pub(super) enum Note {
    None,
    /// The command was answered already.
    Said,
    Plain(Code<'static>),
    Capabilities(Vec<&'static str>),
    AppendUid {
        uid_validity: u32,
        uids: NumberSet,
    },
    CopyUid(CopyUid),
    Modified(NumberSet),
}

/// COPYUID of RFC 4315.
#[derive(Debug)]
pub(super) struct CopyUid {
    pub(super) uid_validity: u32,
    pub(super) source: NumberSet,
    pub(super) target: NumberSet,
}

impl CopyUid {
    pub(super) fn code(&self) -> Code<'_> {
        Code::CopyUid { uid_validity: self.uid_validity, source: &self.source, target: &self.target }
    }
}

impl Done {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { note: Note::None, text: text.into() }
    }

    /// It was answered already.
    pub(super) fn said() -> Self {
        Self::with(Note::Said, "")
    }

    pub(super) fn with(note: Note, text: impl Into<String>) -> Self {
        Self { note, text: text.into() }
    }

    pub(super) fn coded(code: Code<'static>, text: impl Into<String>) -> Self {
        Self::with(Note::Plain(code), text)
    }
}

impl Note {
    pub(super) fn code(&self) -> Option<Code<'_>> {
        match self {
            Self::None | Self::Said => None,
            Self::Capabilities(all) => Some(Code::Capability(all)),
            Self::Plain(code) => Some(code.clone()),
            Self::AppendUid { uid_validity, uids } => Some(Code::AppendUid { uid_validity: *uid_validity, uids }),
            Self::CopyUid(copied) => Some(copied.code()),
            Self::Modified(set) => Some(Code::Modified(set)),
        }
    }
}

/// Why a command was not carried out, or the session cannot go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// The command is answered so; the session goes on.
    Answer(Status, Option<Code<'static>>, String),
    /// `BYE`, and the connection is closed.
    Bye(Option<Code<'static>>, String),
    /// The connection is closed without an answer: nobody knows what became of a change (rule N6).
    Silent,
    /// LOGOUT: all is said.
    LoggedOut,
    /// The client has gone.
    Gone,
    /// The connection failed.
    Broken(ConnectionError),
}

impl Stop {
    pub(super) fn no(code: Code<'static>, text: impl Into<String>) -> Self {
        Self::Answer(Status::No, Some(code), text.into())
    }

    pub(super) fn refuse(text: impl Into<String>) -> Self {
        Self::Answer(Status::No, None, text.into())
    }

    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self::Answer(Status::Bad, None, text.into())
    }

    /// For the mailbox that APPEND, COPY or MOVE name.
    pub(super) fn try_create() -> Self {
        Self::no(Code::TryCreate, "there is no such mailbox")
    }

    pub(super) fn no_mailbox() -> Self {
        Self::no(Code::NonExistent, "there is no such mailbox")
    }

    /// For the target of a command: a mailbox that went meanwhile can be created.
    pub(super) fn for_target(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(Refusal::NoMailbox) => Self::try_create(),
            other => other.into(),
        }
    }

    /// For commands that only change: they are refused, and the session goes on (rule N6).
    pub(super) fn for_change(error: ShowError) -> Self {
        match error {
            ShowError::Unavailable { why } => {
                tracing::info!(%why, "changes are refused for now");
                Self::no(Code::Unavailable, "the mailbox cannot be changed now; try again later")
            }
            ShowError::Read(error) => error.into(),
        }
    }
}

impl From<ConnectionError> for Stop {
    fn from(error: ConnectionError) -> Self {
        Self::Broken(error)
    }
}

/// What shows state ends the session: a client that is shown too little deletes its own copies (rule N5).
impl From<ShowError> for Stop {
    fn from(error: ShowError) -> Self {
        match error {
            ShowError::Unavailable { why } => {
                tracing::info!(%why, "mailboxes are not shown for now");
                Self::Bye(Some(Code::Unavailable), "the mailboxes cannot be shown now; try again later".to_owned())
            }
            ShowError::Read(error) => error.into(),
        }
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        tracing::error!(%error, "failed to read for an IMAP client");
        Self::Bye(Some(Code::Unavailable), "the mail store cannot be read now; try again later".to_owned())
    }
}

impl From<ChangeError> for Stop {
    fn from(error: ChangeError) -> Self {
        let text = error.to_string();
        match error {
            ChangeError::Unavailable { why } => {
                tracing::info!(%why, "change refused for now");
                Self::no(Code::Unavailable, "the mailbox cannot be changed now; try again later")
            }
            ChangeError::Unknown => Self::Silent,
            ChangeError::NoSpace => Self::no(Code::Unavailable, text),
            ChangeError::OverQuota => Self::no(Code::OverQuota, text),
            ChangeError::TooLarge => Self::no(Code::TooBig, text),
            ChangeError::BadName(_) => Self::no(Code::Cannot, text),
            ChangeError::Limit(_) => Self::no(Code::Limit, text),
            ChangeError::Refused(refusal) => Self::no(code_of(&refusal), text),
            ChangeError::Internal(why) => {
                tracing::error!(%why, "change failed");
                Self::no(Code::ServerBug, "the change failed; see the log of the server")
            }
        }
    }
}

fn code_of(refusal: &Refusal) -> Code<'static> {
    match refusal {
        Refusal::NoMailbox | Refusal::NoAccount => Code::NonExistent,
        Refusal::NameTaken | Refusal::AddressTaken => Code::AlreadyExists,
        Refusal::SpecialUseTaken => Code::UseAttr,
        Refusal::OutOfUids => Code::Limit,
        Refusal::NoBody => Code::ExpungeIssued,
        _ => Code::Cannot,
    }
}
