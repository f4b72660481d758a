//! Small values that commands and responses share. Each can only hold what the protocol allows.

mod datetime;
mod flag;
mod mailbox;
mod number_set;
mod pattern;
mod sequence_set;
mod tag;
pub mod utf7;

pub use datetime::{DateError, InternalDate, format_date, parse_date};
pub use flag::{Flag, FlagError, Keyword, SpecialUse};
pub use mailbox::{DELIMITER, MAILBOX_NAME_MAX_BYTES, MailboxName, MailboxNameError};
pub use number_set::NumberSet;
pub use pattern::ListPattern;
pub use sequence_set::{Endpoint, SequenceSet, SequenceSetError};
pub use tag::{Secret, Tag};

/// A modification sequence (RFC 7162): 1..=[`MODSEQ_MAX`]; 0 where the RFC allows it as "none yet".
pub type ModSeq = u64;

/// The highest modification sequence: 63 bits (RFC 7162 section 3.1).
pub const MODSEQ_MAX: ModSeq = 0x7fff_ffff_ffff_ffff;

/// Is this an `ATOM-CHAR` of RFC 3501? (Printable ASCII without the specials.)
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// Is this an `ASTRING-CHAR` of RFC 3501: an atom character or `]`?
pub(crate) fn is_astring_char(byte: u8) -> bool {
    byte == b']' || is_atom_char(byte)
}
