//! The tag of a command, and secrets.

use std::fmt;

use bytes::Bytes;

use super::is_astring_char;

/// The tag that the client chose for a command: one or more `ASTRING-CHAR` other than `+`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag(Bytes);

impl Tag {
    /// The tag in these bytes, or `None` when they are not one.
    pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        let valid = !bytes.is_empty() && bytes.iter().all(|&b| is_astring_char(b) && b != b'+');
        valid.then_some(Self(bytes))
    }

    /// The tag as sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A tag is ASCII by construction.
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// Bytes that must not appear in logs: a password, a SASL response. `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Bytes);

impl Secret {
    /// Wraps the bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes themselves: for checking them, never for printing.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tag_takes_what_the_grammar_allows() {
        for good in ["a", "A001", "x.1]", "~!@#$^&-_=[}"] {
            assert_eq!(Tag::new(good).unwrap().to_string(), good);
        }
        for bad in ["", "a b", "+", "a+", "a\"", "a(", "a*", "é", "a\r"] {
            assert_eq!(Tag::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }
}
