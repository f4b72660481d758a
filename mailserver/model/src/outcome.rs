//! What became of an operation when it was applied. Both nodes come to the same outcome.

use crate::ids::{AccountId, MailboxId, Uid, UidValidity};

/// The result, and what a client that looks on has to look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the one who asked is told.
    pub result: Result<Done, Refusal>,
    /// Mailboxes and accounts that are different now.
    pub touched: Vec<Touched>,
}

/// Something that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touched {
    /// Messages or flags of a mailbox.
    Mailbox(MailboxId),
    /// The list of mailboxes, the subscriptions or the properties of an account.
    Account(AccountId),
    /// A setting.
    Settings,
}

/// A success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has no more to tell.
    Plain,
    /// UIDs in the order of the adds; `None` where the mailbox was gone.
    Added(Vec<Option<Placed>>),
    /// UIDs before and after, of the messages that were still there (COPYUID of RFC 4315).
    Moved(Vec<(Uid, Placed)>),
    /// The UIDs that UNCHANGEDSINCE left alone (MODIFIED of RFC 7162).
    Flagged {
        /// Those with a higher mod-sequence.
        modified: Vec<Uid>,
    },
    /// The operation was known already: nothing was done again (rule L1).
    Known,
}

/// Where a message was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// In which mailbox.
    pub mailbox: MailboxId,
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The UID there.
    pub uid: Uid,
}

/// A refusal, decided by the state before the operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account is not there.
    #[error("there is no such account")]
    NoAccount,
    /// The address is taken.
    #[error("an account with this address exists already")]
    AddressTaken,
    /// The mailbox is not there.
    #[error("there is no such mailbox")]
    NoMailbox,
    /// The name is taken.
    #[error("a mailbox with this name exists already")]
    NameTaken,
    /// INBOX can be neither deleted nor created.
    #[error("this is not possible for INBOX")]
    Inbox,
    /// A mailbox cannot be put below itself.
    #[error("a mailbox cannot be moved below itself")]
    BelowItself,
    /// Another mailbox of the account has this role.
    #[error("another mailbox has this special use already")]
    SpecialUseTaken,
    /// The mailbox has given out every UID there is.
    #[error("the mailbox has run out of UIDs: move its messages to a new one")]
    OutOfUids,
    /// A body is neither in the change nor in the store.
    #[error("the bytes of a message are missing")]
    NoBody,
}
