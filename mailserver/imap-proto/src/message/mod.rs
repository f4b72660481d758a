//! Messages as IMAP shows them: ENVELOPE, BODYSTRUCTURE, sections.
//!
//! Everything is taken from the raw bytes and given back as it stands there: no decoding (RFC 2047, RFC 2231, base64),
//! no changing of line ends, no replacing of bytes. In particular
//!
//! * a bare LF ends a line as CRLF does, wherever lines matter (headers, boundaries, line counts), and is sent as it is;
//! * NUL and other control characters are sent as they are, in a literal. RFC 3501 has no place for NUL; changing it
//!   would break sizes, signatures and the equality of two copies, and clients cope.
//!
//! Any bytes are a message: what is malformed is shown as well as it can be, and nothing panics. Nesting and number
//! of parts are bounded ([`DEPTH_MAX`], [`PARTS_MAX`]); what lies beyond is shown undivided.
//!
//! The MIME structure is found by an own splitter, which keeps to RFC 2046 section 5.1.1: a delimiter stands at the
//! start of a line and is all of it. (mail-parser takes `--boundary` anywhere in a line and also as the beginning of a
//! longer boundary, which gives other octet counts for mail that nests `=_a` and `=_ab`.)

mod address;
mod envelope;
mod field;
mod header;
mod mime;
mod section;
mod structure;

pub use envelope::{Address, Envelope};
pub use header::{Field, Header};
pub use mime::{DEPTH_MAX, PARTS_MAX};
pub use section::window;
pub use structure::{BodyPart, BodyStructure, ContentKind, Disposition, MultipartBody, Parameter};

pub(crate) use header::unfold;
pub(crate) use mime::{Content, MimePart};

use std::borrow::Cow;
use std::sync::OnceLock;

use crate::command::Section;

/// A message, looked at. The MIME structure is found when it is first needed.
#[derive(Debug)]
pub struct MessageView<'a> {
    raw: &'a [u8],
    root: OnceLock<MimePart<'a>>,
}

impl<'a> MessageView<'a> {
    /// Looks at these bytes.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { raw, root: OnceLock::new() }
    }

    /// All of it.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The header of the message.
    pub fn header(&self) -> Header<'a> {
        Header::split(self.raw).0
    }

    /// ENVELOPE.
    pub fn envelope(&self) -> Envelope<'a> {
        Envelope::of(&self.header())
    }

    /// BODYSTRUCTURE, and BODY, which is the same with less of it written.
    pub fn body_structure(&self) -> BodyStructure<'a> {
        structure::of(self.root())
    }

    /// The bytes of a section; `None` when there is no such part. A slice of the message, except for selected header
    /// fields.
    pub fn section(&self, section: &Section) -> Option<Cow<'a, [u8]>> {
        section::of(self, section)
    }

    pub(crate) fn root(&self) -> &MimePart<'a> {
        self.root.get_or_init(|| MimePart::parse(self.raw))
    }
}

#[cfg(test)]
mod tests;
