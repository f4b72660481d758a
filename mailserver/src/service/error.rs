//! What can go wrong at the door, by what the protocols answer.

use mailmirror_model::outcome::Refusal;

/// The index could not be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to read the store: {0}")]
pub struct ReadError(pub String);

/// Why nothing can be shown.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShowError {
    /// The node may not show state now (rule N5). IMAP: `BYE [UNAVAILABLE]`; POP3: `-ERR [SYS/TEMP]`.
    #[error("the mail store is not available on this node: {why}")]
    Unavailable {
        /// For the log and the administrator.
        why: String,
    },
    /// The disk.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why the bytes of a message were not given.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    /// No message has it any more.
    #[error("the message is gone")]
    Gone,
    /// The disk.
    #[error("failed to read a message: {0}")]
    Read(String),
}

/// Why a change was not made, or is not known to be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// Refused before anything was written; may work later (rule N6). SMTP `451`, IMAP `NO [UNAVAILABLE]`.
    #[error("the change cannot be made now: {why}")]
    Unavailable {
        /// For the log and the administrator.
        why: String,
    },
    /// It was written and nobody knows whether it stays (rule N6): close the connection without an answer.
    #[error("the outcome of the change is unknown")]
    Unknown,
    /// The disk is full. SMTP `452`, IMAP `NO [UNAVAILABLE]`.
    #[error("there is no space left for new mail")]
    NoSpace,
    /// The account would hold more than it may. SMTP `552`, IMAP `NO [OVERQUOTA]`.
    #[error("the quota of the account is used up")]
    OverQuota,
    /// Larger than any message may be. SMTP `552`, IMAP `NO [TOOBIG]`.
    #[error("the message is too large")]
    TooLarge,
    /// No mailbox can have this name. IMAP `NO [CANNOT]`.
    #[error("{0}")]
    BadName(String),
    /// More mailboxes, or more messages in one command, than there may be. IMAP `NO [LIMIT]`.
    #[error("{0}")]
    Limit(String),
    /// The state says no. IMAP `NO` with the code of the refusal.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk, or a fault of the program. SMTP `451`, IMAP `NO [SERVERBUG]`.
    #[error("{0}")]
    Internal(String),
}

impl From<ReadError> for ChangeError {
    fn from(error: ReadError) -> Self {
        Self::Internal(error.to_string())
    }
}

/// Why a login failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Wrong name or password, or an account that may not log in: nobody is told which.
    /// SMTP `535 5.7.8`, IMAP `NO [AUTHENTICATIONFAILED]`, POP3 `-ERR [AUTH]`.
    #[error("the name or the password is wrong")]
    Denied,
    /// Too many logins at once. SMTP `454 4.7.0` or `421`, IMAP `NO [UNAVAILABLE]`, POP3 `-ERR [SYS/TEMP]`.
    #[error("too many logins at once")]
    Busy,
    /// This node cannot say now. As [`Self::Busy`].
    #[error("logins cannot be checked now: {0}")]
    Unavailable(String),
}

/// Why mail for an address is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RcptError {
    /// The domain is not one of ours. SMTP `550 5.7.1`.
    #[error("the domain is not hosted here")]
    NotLocal,
    /// There is no such account. SMTP `550 5.1.1`.
    #[error("there is no such user")]
    NoSuchUser,
    /// The account takes no mail. SMTP `550 5.2.1`.
    #[error("the account is disabled")]
    Disabled,
    /// The account is full. SMTP `452 4.2.2`.
    #[error("the quota of the account is used up")]
    OverQuota,
    /// This node cannot say now. SMTP `451 4.3.0`.
    #[error("recipients cannot be checked now: {0}")]
    Unavailable(String),
}
