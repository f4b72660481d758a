//! What a client can ask: the commands, parsed.

use std::num::NonZeroU32;

use bytes::Bytes;

pub use crate::search::{SearchKey, SearchProgram};
use crate::types::{Flag, InternalDate, ListPattern, MailboxName, ModSeq, Secret, SequenceSet, SpecialUse, Tag};

/// A command with its tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The tag, to be sent back with the completion.
    pub tag: Tag,
    /// What is asked.
    pub command: Command,
}

/// The commands. UID forms are the plain ones with `uid: true`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Command {
    Capability,
    Noop,
    Logout,
    StartTls,
    /// AUTHENTICATE; `initial` is the decoded initial response (RFC 4959).
    Authenticate {
        /// In upper case.
        mechanism: String,
        initial: Option<Secret>,
    },
    Login {
        user: String,
        password: Secret,
    },
    Enable(Vec<EnableCapability>),
    Select(Select),
    Create {
        mailbox: MailboxName,
        special_use: Vec<SpecialUse>,
    },
    Delete(MailboxName),
    Rename {
        from: MailboxName,
        to: MailboxName,
    },
    Subscribe(MailboxName),
    Unsubscribe(MailboxName),
    List(List),
    Lsub {
        reference: ListPattern,
        pattern: ListPattern,
    },
    Namespace,
    Status {
        mailbox: MailboxName,
        items: Vec<StatusItem>,
    },
    Append(Append),
    /// IDLE; then read lines until `DONE` ([`crate::parse::is_done`]).
    Idle,
    Check,
    Close,
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with a set (RFC 4315).
    Expunge {
        uids: Option<SequenceSet>,
    },
    Search(Search),
    Fetch(Fetch),
    Store(Store),
    Copy {
        uid: bool,
        set: SequenceSet,
        to: MailboxName,
    },
    Move {
        uid: bool,
        set: SequenceSet,
        to: MailboxName,
    },
    /// ID (RFC 2971): what the client says of itself; empty for NIL.
    Id(Vec<(String, Option<String>)>),
}

/// What ENABLE can name (RFC 5161).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnableCapability {
    /// `CONDSTORE`
    CondStore,
    /// `QRESYNC` (which implies CONDSTORE)
    QResync,
    /// Anything else, in upper case: to be ignored.
    Other(String),
}

/// SELECT and EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// EXAMINE.
    pub read_only: bool,
    /// `(CONDSTORE)` was given.
    pub condstore: bool,
    /// `(QRESYNC (…))` was given.
    pub qresync: Option<QResync>,
}

/// The parameters of QRESYNC (RFC 7162 section 3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QResync {
    /// The last UIDVALIDITY that the client knows.
    pub uid_validity: NonZeroU32,
    /// The last modification sequence that the client knows.
    pub mod_seq: ModSeq,
    /// The UIDs that the client knows; all when not given. Never has `*`.
    pub known_uids: Option<SequenceSet>,
    /// Sequence numbers and the UIDs that the client believes they have; both without `*`.
    pub seq_match: Option<(SequenceSet, SequenceSet)>,
}

impl QResync {
    /// The UID up to which the client's mailbox and this one are the same, by the sequence numbers that it sent: no
    /// message up to here has vanished (RFC 7162 section 3.2.5.2). 0 when nothing can be said. `uids` are those of the
    /// mailbox in ascending order.
    pub fn same_up_to(&self, uids: &[u32]) -> u32 {
        let Some((numbers, believed)) = &self.seq_match else {
            return 0;
        };
        let last = u32::try_from(uids.len()).unwrap_or(u32::MAX);
        let (numbers, believed) = (numbers.resolve(None).clipped(last), believed.resolve(None));
        // A match says that all below it match too: the mailbox has no UID there that the client did not see.
        let mut same = 0;
        for (number, uid) in numbers.iter().zip(believed.iter()) {
            let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
            if uids.get(index) != Some(&uid) {
                break;
            }
            same = uid;
        }
        same
    }
}

/// LIST, with what RFC 5258, 5819 and 6154 add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The reference name, possibly empty.
    pub reference: ListPattern,
    /// One or more patterns.
    pub patterns: Vec<ListPattern>,
    /// Which mailboxes are meant.
    pub select: ListSelect,
    /// What shall be told of each.
    pub returns: ListReturn,
    /// Written in the extended syntax: attributes such as `\NonExistent` may be sent then.
    pub extended: bool,
}

/// Selection options of LIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent options of the RFC")]
pub struct ListSelect {
    /// Only subscribed names, existing or not.
    pub subscribed: bool,
    /// Remote mailboxes too (there are none).
    pub remote: bool,
    /// Also parents of what matches; comes only together with another option.
    pub recursive_match: bool,
    /// Only mailboxes with a special use.
    pub special_use: bool,
}

/// Return options of LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// `\Subscribed`
    pub subscribed: bool,
    /// `\HasChildren`, `\HasNoChildren`
    pub children: bool,
    /// Special-use attributes.
    pub special_use: bool,
    /// A STATUS response for each (RFC 5819); empty for none.
    pub status: Vec<StatusItem>,
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    /// Messages with `\Deleted` (RFC 9051).
    Deleted,
    /// Octets of all messages (RFC 8438).
    Size,
    HighestModSeq,
}

impl StatusItem {
    /// All items.
    pub const EACH: [Self; 8] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::Size,
        Self::HighestModSeq,
    ];

    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::Size => "SIZE",
            Self::HighestModSeq => "HIGHESTMODSEQ",
        }
    }
}

/// APPEND of one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// Flags to set; doubles are left out.
    pub flags: Vec<Flag>,
    /// The internal date, when given.
    pub date: Option<InternalDate>,
    /// The message: a slice of what was read, not a copy. It may hold NUL and bare LF; it is kept as it is.
    pub message: Bytes,
}

/// SEARCH, with what RFC 4466 and 4731 add.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// UID SEARCH.
    pub uid: bool,
    /// `RETURN (…)`: answer with ESEARCH.
    pub returns: Option<SearchReturn>,
    /// What is looked for.
    pub program: SearchProgram,
}

/// The result options of ESEARCH. `RETURN ()` means ALL and is parsed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "four independent options of the RFC")]
pub struct SearchReturn {
    /// The smallest number found.
    pub min: bool,
    /// The largest number found.
    pub max: bool,
    /// All numbers.
    pub all: bool,
    /// How many.
    pub count: bool,
}

/// FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// UID FETCH: the set holds UIDs, and UID is among the items.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What of them; macros are expanded, doubles left out, never empty.
    pub items: Vec<FetchItem>,
    /// Only those changed since; MODSEQ is then among the items.
    pub changed_since: Option<ModSeq>,
    /// Also tell what vanished (RFC 7162 section 3.2.6). Only with `uid` and `changed_since`.
    pub vanished: bool,
}

impl Fetch {
    /// Does any item set `\Seen`?
    pub fn sets_seen(&self) -> bool {
        self.items.iter().any(FetchItem::sets_seen)
    }

    /// Does any item need the bytes of the message?
    pub fn needs_message(&self) -> bool {
        self.items.iter().any(FetchItem::needs_message)
    }
}

/// What FETCH can ask of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum FetchItem {
    Envelope,
    Flags,
    InternalDate,
    Rfc822Size,
    Uid,
    ModSeq,
    /// `BODY` without a section: the structure without extension data.
    Body,
    BodyStructure,
    /// `BODY[…]` and `BODY.PEEK[…]`.
    Section(SectionItem),
    /// `RFC822`: like `BODY[]`.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`.
    Rfc822Header,
    /// `RFC822.TEXT`: like `BODY[TEXT]`.
    Rfc822Text,
}

impl FetchItem {
    /// Does fetching it set `\Seen`?
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Section(item) => !item.peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }

    /// Does it need the bytes of the message?
    pub fn needs_message(&self) -> bool {
        !matches!(self, Self::Flags | Self::InternalDate | Self::Rfc822Size | Self::Uid | Self::ModSeq)
    }
}

/// A body section with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionItem {
    /// Which part.
    pub section: Section,
    /// `BODY.PEEK`: do not set `\Seen`.
    pub peek: bool,
    /// `<first.count>`.
    pub partial: Option<Partial>,
}

/// A window into a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet wanted, from 0.
    pub first: u32,
    /// At most so many.
    pub count: NonZeroU32,
}

/// A body section: part numbers and what of that part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Section {
    part: Vec<NonZeroU32>,
    kind: SectionKind,
}

impl Section {
    /// `None` for MIME without part numbers: the whole message has no MIME header of its own.
    pub fn new(part: Vec<NonZeroU32>, kind: SectionKind) -> Option<Self> {
        (!part.is_empty() || kind != SectionKind::Mime).then_some(Self { part, kind })
    }

    /// The whole message, `BODY[]`.
    pub const fn whole() -> Self {
        Self { part: Vec::new(), kind: SectionKind::Full }
    }

    /// The part numbers; empty for the message itself.
    pub fn part(&self) -> &[NonZeroU32] {
        &self.part
    }

    /// What of that part.
    pub fn kind(&self) -> &SectionKind {
        &self.kind
    }
}

/// What of a part is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// All of it: the message itself, or the content of a part.
    Full,
    /// The header of a message.
    Header,
    /// Only these fields of the header.
    HeaderFields(Vec<FieldName>),
    /// All fields of the header but these.
    HeaderFieldsNot(Vec<FieldName>),
    /// The text of a message, without the header.
    Text,
    /// The MIME header of a part.
    Mime,
}

/// The name of a header field: printable ASCII without `:`. Compared without case; the spelling is kept, because the
/// answer repeats it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldName(String);

impl FieldName {
    /// The name in these bytes, or `None`.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let valid = !bytes.is_empty() && bytes.iter().all(|&b| b.is_ascii_graphic() && b != b':');
        valid.then(|| Self(bytes.iter().map(|&b| char::from(b)).collect()))
    }

    /// As the client spelled it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this the name, in any case?
    pub fn matches(&self, name: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(name)
    }
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// UID STORE.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What to do with the flags.
    pub operation: StoreOperation,
    /// Do not tell the new flags.
    pub silent: bool,
    /// The flags; doubles are left out.
    pub flags: Vec<Flag>,
    /// Only messages not changed since (RFC 7162 section 3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE does with the flags that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOperation {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}
