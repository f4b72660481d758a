//! Mailbox names.

use std::fmt;

use super::utf7::{self, Utf7Error};

/// The hierarchy delimiter of this server.
pub const DELIMITER: char = '/';

/// The longest mailbox name, in bytes of UTF-8.
pub const MAILBOX_NAME_MAX_BYTES: usize = 1000;

/// The name of a mailbox in UTF-8: not empty, no control characters, no empty hierarchy level, at most
/// [`MAILBOX_NAME_MAX_BYTES`]. INBOX is case-insensitive (RFC 3501 section 5.1): it, and as the first level of
/// `INBOX/…`, is always spelled `INBOX`, so equal names are equal strings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(String);

/// Why a string is not a mailbox name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    /// Nothing is left of the name.
    #[error("mailbox name is empty")]
    Empty,
    /// Longer than [`MAILBOX_NAME_MAX_BYTES`].
    #[error("mailbox name is longer than {MAILBOX_NAME_MAX_BYTES} bytes")]
    TooLong,
    /// A control character.
    #[error("mailbox name has a control character")]
    Control,
    /// Begins with the delimiter, or has two in a row.
    #[error("mailbox name has an empty hierarchy level")]
    EmptyLevel,
    /// Not modified UTF-7.
    #[error("mailbox name is not modified UTF-7: {0}")]
    Utf7(#[from] Utf7Error),
}

impl MailboxName {
    /// The name in UTF-8. One trailing delimiter is dropped: with it a client only says that it means to create
    /// children (RFC 3501 section 6.3.3).
    pub fn new(name: &str) -> Result<Self, MailboxNameError> {
        let name = name.strip_suffix(DELIMITER).unwrap_or(name);
        if name.is_empty() {
            return Err(MailboxNameError::Empty);
        }
        if name.len() > MAILBOX_NAME_MAX_BYTES {
            return Err(MailboxNameError::TooLong);
        }
        if name.chars().any(char::is_control) {
            return Err(MailboxNameError::Control);
        }
        if name.split(DELIMITER).any(str::is_empty) {
            return Err(MailboxNameError::EmptyLevel);
        }
        Ok(Self(canonical(name)))
    }

    /// The name as a client sends it, in modified UTF-7.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, MailboxNameError> {
        Self::new(&utf7::decode(bytes)?)
    }

    /// The name of the one mailbox that every user has.
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// Is this INBOX itself?
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The name in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as it is sent, in modified UTF-7.
    pub fn to_wire(&self) -> String {
        utf7::encode(&self.0)
    }

    /// The mailbox above this one in the hierarchy, if there is one.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once(DELIMITER)?;
        Some(Self(parent.to_owned()))
    }

    /// Does this mailbox lie somewhere below `ancestor`?
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.0.strip_prefix(&ancestor.0).is_some_and(|rest| rest.starts_with(DELIMITER))
    }

    /// The name of this mailbox after `from` (itself or an ancestor) was renamed to `to`, or `None` when it is
    /// neither.
    pub fn renamed(&self, from: &Self, to: &Self) -> Option<Result<Self, MailboxNameError>> {
        let rest = self.0.strip_prefix(&from.0)?;
        (rest.is_empty() || rest.starts_with(DELIMITER)).then(|| Self::new(&format!("{}{rest}", to.0)))
    }
}

/// Spells the first level `INBOX` if that is what it means.
fn canonical(name: &str) -> String {
    let (first, rest) = name.split_at(name.find(DELIMITER).unwrap_or(name.len()));
    if first.eq_ignore_ascii_case("INBOX") { format!("INBOX{rest}") } else { name.to_owned() }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailboxName({:?})", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(s: &str) -> MailboxName {
        MailboxName::new(s).unwrap()
    }

    #[test]
    fn inbox_has_one_spelling() {
        for spelling in ["inbox", "Inbox", "INBOX", "INBOX/"] {
            assert_eq!(name(spelling), MailboxName::inbox());
        }
        assert_eq!(name("inBox/a").as_str(), "INBOX/a");
        assert_eq!(name("inboxes").as_str(), "inboxes");
        assert_eq!(name("a/inbox").as_str(), "a/inbox");
    }

    #[test]
    fn refuses_names_that_are_none() {
        for (bad, why) in [
            ("", MailboxNameError::Empty),
            ("/", MailboxNameError::Empty),
            ("/a", MailboxNameError::EmptyLevel),
            ("a//b", MailboxNameError::EmptyLevel),
            ("a//", MailboxNameError::EmptyLevel),
            ("a\0", MailboxNameError::Control),
            ("a\u{85}", MailboxNameError::Control),
        ] {
            assert_eq!(MailboxName::new(bad), Err(why), "{bad:?}");
        }
        let longest = "x".repeat(MAILBOX_NAME_MAX_BYTES);
        assert!(MailboxName::new(&longest).is_ok());
        assert_eq!(MailboxName::new(&format!("{longest}x")), Err(MailboxNameError::TooLong));
        assert!(matches!(MailboxName::from_wire(b"a&"), Err(MailboxNameError::Utf7(_))));
    }

    #[test]
    fn hierarchy() {
        assert_eq!(name("a/b/c").parent(), Some(name("a/b")));
        assert_eq!(name("a").parent(), None);
        assert!(name("a/b").is_below(&name("a")));
        assert!(!name("ab").is_below(&name("a")));
        assert!(!name("a").is_below(&name("a")));
        let to = name("x/y");
        assert_eq!(name("a/b").renamed(&name("a"), &to), Some(Ok(name("x/y/b"))));
        assert_eq!(name("a").renamed(&name("a"), &to), Some(Ok(to.clone())));
        assert_eq!(name("ab").renamed(&name("a"), &to), None);
    }
}
