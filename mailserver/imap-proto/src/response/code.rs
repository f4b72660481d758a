//! Status and response codes (RFC 3501 section 7.1, RFC 5530 and the extensions).

use bytes::BytesMut;

use super::text::{number_set, put_flags, put_format};
use crate::types::{Flag, ModSeq, NumberSet};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It was done.
    Ok,
    /// It was not done.
    No,
    /// It was not understood.
    Bad,
}

impl Status {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

/// Response codes: what a program can read from a status response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Code<'a> {
    Alert,
    AlreadyExists,
    /// RFC 4315: where the appended message went.
    AppendUid {
        uid_validity: u32,
        uids: &'a NumberSet,
    },
    AuthenticationFailed,
    AuthorizationFailed,
    /// The charsets that SEARCH knows.
    BadCharset,
    Cannot,
    Capability(&'a [&'a str]),
    ClientBug,
    Closed,
    ContactAdmin,
    /// RFC 4315: both sets in ascending order, one to one.
    CopyUid {
        uid_validity: u32,
        source: &'a NumberSet,
        target: &'a NumberSet,
    },
    Corruption,
    Expired,
    ExpungeIssued,
    HasChildren,
    HighestModSeq(ModSeq),
    InUse,
    Limit,
    /// RFC 7162: the messages that STORE UNCHANGEDSINCE left alone.
    Modified(&'a NumberSet),
    NoModSeq,
    NonExistent,
    NoPerm,
    OverQuota,
    Parse,
    /// The flags that can be changed; `new_keywords`: and keywords can be made (`\*`).
    PermanentFlags {
        flags: &'a [Flag],
        new_keywords: bool,
    },
    PrivacyRequired,
    ReadOnly,
    ReadWrite,
    ServerBug,
    TooBig,
    TryCreate,
    UidNext(u32),
    UidNotSticky,
    UidValidity(u32),
    Unavailable,
    UnknownCte,
    /// The sequence number of the first unseen message.
    Unseen(u32),
    UseAttr,
}

impl Code<'_> {
    pub(super) fn put(&self, buf: &mut BytesMut) {
        match self {
            Self::AppendUid { uid_validity, uids } => {
                put_format(buf, format_args!("APPENDUID {uid_validity} "));
                number_set(buf, uids);
            }
            Self::CopyUid { uid_validity, source, target } => {
                put_format(buf, format_args!("COPYUID {uid_validity} "));
                number_set(buf, source);
                buf.extend_from_slice(b" ");
                number_set(buf, target);
            }
            Self::Modified(set) => {
                buf.extend_from_slice(b"MODIFIED ");
                number_set(buf, set);
            }
            Self::Capability(capabilities) => {
                buf.extend_from_slice(b"CAPABILITY");
                for capability in *capabilities {
                    put_format(buf, format_args!(" {capability}"));
                }
            }
            Self::PermanentFlags { flags, new_keywords } => {
                buf.extend_from_slice(b"PERMANENTFLAGS ");
                put_flags(buf, flags, new_keywords.then_some("\\*"));
            }
            Self::HighestModSeq(n) => put_format(buf, format_args!("HIGHESTMODSEQ {n}")),
            Self::UidNext(n) => put_format(buf, format_args!("UIDNEXT {n}")),
            Self::UidValidity(n) => put_format(buf, format_args!("UIDVALIDITY {n}")),
            Self::Unseen(n) => put_format(buf, format_args!("UNSEEN {n}")),
            plain => buf.extend_from_slice(plain.name().as_bytes()),
        }
    }

    /// The name of the code; it is all there is of those without arguments.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::AppendUid { .. } => "APPENDUID",
            Self::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Self::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Self::BadCharset => "BADCHARSET (UTF-8 US-ASCII)",
            Self::Cannot => "CANNOT",
            Self::Capability(_) => "CAPABILITY",
            Self::ClientBug => "CLIENTBUG",
            Self::Closed => "CLOSED",
            Self::ContactAdmin => "CONTACTADMIN",
            Self::CopyUid { .. } => "COPYUID",
            Self::Corruption => "CORRUPTION",
            Self::Expired => "EXPIRED",
            Self::ExpungeIssued => "EXPUNGEISSUED",
            Self::HasChildren => "HASCHILDREN",
            Self::HighestModSeq(_) => "HIGHESTMODSEQ",
            Self::InUse => "INUSE",
            Self::Limit => "LIMIT",
            Self::Modified(_) => "MODIFIED",
            Self::NoModSeq => "NOMODSEQ",
            Self::NonExistent => "NONEXISTENT",
            Self::NoPerm => "NOPERM",
            Self::OverQuota => "OVERQUOTA",
            Self::Parse => "PARSE",
            Self::PermanentFlags { .. } => "PERMANENTFLAGS",
            Self::PrivacyRequired => "PRIVACYREQUIRED",
            Self::ReadOnly => "READ-ONLY",
            Self::ReadWrite => "READ-WRITE",
            Self::ServerBug => "SERVERBUG",
            Self::TooBig => "TOOBIG",
            Self::TryCreate => "TRYCREATE",
            Self::UidNext(_) => "UIDNEXT",
            Self::UidNotSticky => "UIDNOTSTICKY",
            Self::UidValidity(_) => "UIDVALIDITY",
            Self::Unavailable => "UNAVAILABLE",
            Self::UnknownCte => "UNKNOWN-CTE",
            Self::Unseen(_) => "UNSEEN",
            Self::UseAttr => "USEATTR",
        }
    }
}
