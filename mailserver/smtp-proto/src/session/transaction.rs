//! What goes out with an action and what comes back with an event.

use std::net::IpAddr;

use super::{Protocol, Security};
use crate::address::{ForwardPath, ReversePath};
use crate::command::{BodyKind, HeloName};
use crate::data::DataFault;
use crate::reply::Reply;
use crate::trace::{Received, UnixSeconds, return_path_field};

/// How the client introduced itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The name it gave.
    pub name: HeloName,
    /// EHLO or LHLO rather than HELO.
    pub extended: bool,
}

/// Everything about a message that is not the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// How the client introduced itself.
    pub greeting: Greeting,
    /// Where it connected from.
    pub peer: IpAddr,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Whether the connection is encrypted.
    pub security: Security,
    /// The authenticated user, if any.
    pub user: Option<String>,
    /// The sender.
    pub reverse_path: ReversePath,
    /// The recipients that were taken, in order. SMTP: each mailbox once.
    pub recipients: Vec<Recipient>,
    /// The size that was declared with `SIZE=`.
    pub declared_size: Option<u64>,
    /// What was declared about the body.
    pub body: BodyKind,
}

impl Envelope {
    /// The trace fields to put in front of the message: `Return-Path`, then `Received`.
    pub fn trace_fields(&self, host: &str, id: &str, at: UnixSeconds) -> String {
        let received = Received {
            helo: self.greeting.name.as_str(),
            peer: self.peer,
            host,
            protocol: self.protocol,
            extended: self.greeting.extended,
            security: self.security,
            authenticated: self.user.is_some(),
            id,
            sole_recipient: match self.recipients.as_slice() {
                [only] => Some(&only.path),
                _ => None,
            },
            at,
        };
        return_path_field(&self.reverse_path) + &received.to_field()
    }
}

/// A recipient that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// As the client wrote it.
    pub path: ForwardPath,
    /// Which mailbox it means.
    pub key: RecipientKey,
}

/// What the outside knows a mailbox by; two recipients with one key are one mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecipientKey(pub u128);

/// A received message with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The envelope.
    pub envelope: Envelope,
    /// The message as received, dots unstuffed, without trace fields of this server.
    pub body: Vec<u8>,
}

/// A question about a recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientQuery {
    /// The recipient.
    pub recipient: ForwardPath,
    /// The sender of the message.
    pub reverse_path: ReversePath,
    /// The authenticated user, if any.
    pub user: Option<String>,
    /// The size that was declared with `SIZE=`.
    pub declared_size: Option<u64>,
}

/// What became of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthOutcome {
    /// They are right; the name is the account's.
    Accepted {
        /// The account name, such as `ann@a.example`.
        account: String,
    },
    /// They are wrong.
    Rejected,
    /// They cannot be checked now.
    Unavailable,
}

/// Whether a recipient is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// Yes, and this is its mailbox.
    Accepted(RecipientKey),
    /// The domain is ours, the user is not: `550 5.1.1`.
    NoSuchUser,
    /// The domain is not ours and the client may not relay: `550 5.7.1`.
    RelayDenied,
    /// The account takes no mail: `550 5.2.1`.
    Disabled,
    /// The mailbox is full: `452 4.2.2`.
    OverQuota,
    /// Nothing can be taken now (no master, mirror hold): `451 4.3.2`.
    Unavailable,
}

impl RecipientOutcome {
    /// The reply to RCPT.
    pub fn reply(self) -> Reply {
        match self {
            Self::Accepted(_) => Reply::new(250, (1, 5), "recipient ok"),
            Self::NoSuchUser => Reply::new(550, (1, 1), "no such user here"),
            Self::Disabled => disabled(),
            Self::RelayDenied => Reply::new(550, (7, 1), "relaying denied"),
            Self::OverQuota => Reply::new(452, (2, 2), "mailbox is full"),
            Self::Unavailable => unavailable(),
        }
    }
}

/// What became of a message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Committed by the acknowledgement policy: it cannot be lost. Only this is a `250`.
    Committed {
        /// The identity of the reception, shown to the client.
        id: String,
    },
    /// The user is gone since RCPT: `550 5.1.1`.
    NoSuchUser,
    /// The account takes no mail: `550 5.2.1`.
    Disabled,
    /// Larger than any message may be once it has its trace fields: `552 5.3.4`.
    TooLarge,
    /// The mailbox is full: `452 4.2.2`.
    OverQuota,
    /// The disk is full: `452 4.3.1`.
    DiskFull,
    /// Refused before anything was written (mirror hold, no master): `451 4.3.2`.
    Unavailable,
    /// Written, but nobody knows whether it will be committed (MIRROR.md N6). Neither `250` nor `451`
    /// would be true, so the connection is closed without a reply and the sender tries again.
    Unknown,
}

impl DeliveryOutcome {
    /// The reply, or `None` when there must not be one.
    pub fn reply(&self) -> Option<Reply> {
        match self {
            Self::Committed { id } => Some(Reply::new(250, (0, 0), format!("message {id} is stored"))),
            Self::NoSuchUser => Some(Reply::new(550, (1, 1), "no such user here")),
            Self::Disabled => Some(disabled()),
            Self::TooLarge => Some(DataFault::TooLarge.reply()),
            Self::OverQuota => Some(Reply::new(452, (2, 2), "mailbox is full")),
            Self::DiskFull => Some(Reply::new(452, (3, 1), "server is out of disk space")),
            Self::Unavailable => Some(unavailable()),
            Self::Unknown => None,
        }
    }

    /// Which outcome speaks for all when there is only one reply (SMTP). An unknown one silences it;
    /// then one that the sender should try again: whoever has the message already gets it
    /// twice, which is allowed, whereas `250` would lose it for the others.
    pub(super) fn severity(&self) -> u8 {
        match self {
            Self::Committed { .. } => 0,
            Self::NoSuchUser => 1,
            Self::Disabled => 2,
            Self::TooLarge => 3,
            Self::OverQuota => 4,
            Self::DiskFull => 5,
            Self::Unavailable => 6,
            Self::Unknown => 7,
        }
    }
}

fn disabled() -> Reply {
    Reply::new(550, (2, 1), "account takes no mail")
}

fn unavailable() -> Reply {
    Reply::new(451, (3, 2), "mail cannot be taken at the moment; try again later")
}
