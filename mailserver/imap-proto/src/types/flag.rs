//! Flags, keywords and the special uses of mailboxes.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::is_atom_char;

/// A flag that a client can set. `\Recent` is none: it belongs to the session (RFC 3501 section 2.3.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// A keyword such as `$Forwarded`.
    Keyword(Keyword),
}

/// Why bytes are not a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Begins with `\` but is none of the five.
    #[error("unknown system flag")]
    UnknownSystemFlag,
    /// `\Recent` cannot be set by a client.
    #[error("\\Recent cannot be set")]
    Recent,
    /// Not an atom.
    #[error("keyword is not an atom")]
    NotAnAtom,
    /// Longer than [`Keyword::MAX_BYTES`].
    #[error("keyword is longer than {} bytes", Keyword::MAX_BYTES)]
    TooLong,
}

impl Flag {
    /// The five system flags.
    pub const SYSTEM: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// The flag with this name; system flags in any case.
    pub fn parse(bytes: &[u8]) -> Result<Self, FlagError> {
        let Some(name) = bytes.strip_prefix(b"\\") else {
            return Keyword::new(bytes).map(Self::Keyword);
        };
        if name.eq_ignore_ascii_case(b"Recent") {
            return Err(FlagError::Recent);
        }
        Self::SYSTEM
            .into_iter()
            .find(|flag| flag.as_str().as_bytes()[1..].eq_ignore_ascii_case(name))
            .ok_or(FlagError::UnknownSystemFlag)
    }

    /// The flag as it is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
            Self::Keyword(keyword) => keyword.as_str(),
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A keyword: an atom of at most [`Keyword::MAX_BYTES`]. Keywords that differ in case only are the same one
/// (RFC 9051 section 2.3.2); the spelling is kept.
#[derive(Debug, Clone)]
pub struct Keyword(String);

impl Keyword {
    /// The longest keyword.
    pub const MAX_BYTES: usize = 128;

    /// The keyword in these bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, FlagError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(FlagError::TooLong);
        }
        if bytes.is_empty() || !bytes.iter().all(|&b| is_atom_char(b)) {
            return Err(FlagError::NotAnAtom);
        }
        Ok(Self(bytes.iter().map(|&b| char::from(b)).collect()))
    }

    /// As first spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one spelling by which keywords are compared: lower case.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|b| b.to_ascii_lowercase())
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|b| state.write_u8(b));
        state.write_u8(0xff);
    }
}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

/// What a mailbox is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// All of them.
    pub const EACH: [Self; 7] =
        [Self::All, Self::Archive, Self::Drafts, Self::Flagged, Self::Junk, Self::Sent, Self::Trash];

    /// The use with this name, in any case.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::EACH.into_iter().find(|each| each.as_str().as_bytes().eq_ignore_ascii_case(bytes))
    }

    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn system_flags_in_any_case() {
        assert_eq!(Flag::parse(b"\\sEEn"), Ok(Flag::Seen));
        assert_eq!(Flag::parse(b"\\Recent"), Err(FlagError::Recent));
        assert_eq!(Flag::parse(b"\\Foo"), Err(FlagError::UnknownSystemFlag));
        assert_eq!(Flag::parse(b""), Err(FlagError::NotAnAtom));
        assert_eq!(Flag::parse(b"a]"), Err(FlagError::NotAnAtom));
        assert_eq!(Flag::parse(&[b'x'; 129]), Err(FlagError::TooLong));
    }

    #[test]
    fn keywords_fold_case_and_keep_spelling() {
        let mut set = HashSet::new();
        assert!(set.insert(Flag::parse(b"$Forwarded").unwrap()));
        assert!(!set.insert(Flag::parse(b"$forwarded").unwrap()));
        assert_eq!(set.iter().next().unwrap().as_str(), "$Forwarded");
    }

    #[test]
    fn special_use_roundtrip() {
        for each in SpecialUse::EACH {
            assert_eq!(SpecialUse::parse(each.as_str().to_lowercase().as_bytes()), Some(each));
        }
        assert_eq!(SpecialUse::parse(b"Trash"), None);
    }
}
