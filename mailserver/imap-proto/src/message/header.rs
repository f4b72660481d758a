//! Header fields, in raw form.

use std::borrow::Cow;

/// A header: the lines up to and with the empty one that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    bytes: &'a [u8],
    /// Where the empty line begins; the length of the bytes when there is none.
    end: usize,
}

/// A header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name. Empty for a line that is no field.
    pub name: &'a [u8],
    /// What stands behind the colon, with line ends and all.
    pub value: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

impl<'a> Header<'a> {
    /// Splits a message (or a MIME part) into header and body. Without an empty line all of it is header.
    pub fn split(raw: &'a [u8]) -> (Self, &'a [u8]) {
        let mut at = 0;
        while at < raw.len() {
            let next = line_end(raw, at);
            if matches!(&raw[at..next], b"\n" | b"\r\n") {
                let (bytes, body) = raw.split_at(next);
                return (Self { bytes, end: at }, body);
            }
            at = next;
        }
        (Self { bytes: raw, end: raw.len() }, &[])
    }

    /// All of it, with the empty line.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The empty line that ends it, as it stands in the message; nothing when there is none.
    pub fn blank_line(&self) -> &'a [u8] {
        &self.bytes[self.end..]
    }

    /// The fields in order, and with an empty name the lines that are none.
    pub fn fields(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        let bytes = &self.bytes[..self.end];
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= bytes.len() {
                return None;
            }
            let start = at;
            at = line_end(bytes, at);
            while at < bytes.len() && matches!(bytes[at], b' ' | b'\t') {
                at = line_end(bytes, at);
            }
            Some(Field::new(&bytes[start..at]))
        })
    }

    /// The value of the first field with this name (in any case).
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all fields with this name (in any case).
    pub fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes())).map(|field| field.value)
    }

    /// The value of the first field with this name, on one line and without spaces at its ends.
    pub fn unfolded(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.first(name).map(unfold)
    }
}

impl<'a> Field<'a> {
    fn new(raw: &'a [u8]) -> Self {
        let colon = raw.iter().position(|&b| b == b':');
        let name = colon.map_or(&[][..], |at| raw[..at].trim_ascii_end());
        if name.is_empty() || name.iter().any(|b| !b.is_ascii_graphic()) {
            return Self { name: &[], value: raw, raw };
        }
        let value = colon.map_or(&[][..], |at| &raw[at + 1..]);
        Self { name, value, raw }
    }
}

/// Where the line that begins at `at` ends, with its LF.
pub(super) fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |length| at + length + 1)
}

/// A folded value on one line (RFC 5322 section 2.2.3): line ends are taken out, the space after them stays.
pub(crate) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        Cow::Owned(value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect())
    } else {
        Cow::Borrowed(value)
    }
}
