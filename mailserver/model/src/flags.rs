//! Flags of messages: the system flags of RFC 9051 section 2.3.2 and keywords.

use crate::ids::{Hlc, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The longest keyword that is taken, in bytes.
pub const KEYWORD_MAX_BYTES: usize = 128;

/// One flag. `\Recent` is none: it is told per session and never stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Flag {
    /// `\Seen`
    Seen,
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Draft`
    Draft,
    /// A keyword, compared without regard to case, kept as first written.
    Keyword(Keyword),
}

/// A keyword: an IMAP atom. Two that differ in letter case only are one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Keyword(String);

/// The text is no flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no flag: an atom of at most {KEYWORD_MAX_BYTES} bytes or a system flag was expected")]
pub struct NotAFlag(pub String);

impl Flag {
    /// Reads a flag as it stands in IMAP: `\Seen`, `$Forwarded`, …
    ///
    /// # Errors
    /// [`NotAFlag`] for `\Recent`, unknown system flags and what is no atom.
    pub fn parse(text: &str) -> Result<Self, NotAFlag> {
        let system = [
            ("\\Seen", Self::Seen),
            ("\\Answered", Self::Answered),
            ("\\Flagged", Self::Flagged),
            ("\\Deleted", Self::Deleted),
            ("\\Draft", Self::Draft),
        ];
        if let Some((_, flag)) = system.into_iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            return Ok(flag);
        }
        let atom = |b: u8| b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b);
        if text.is_empty() || text.len() > KEYWORD_MAX_BYTES || !text.bytes().all(atom) {
            return Err(NotAFlag(text.to_owned()));
        }
        Ok(Self::Keyword(Keyword(text.to_owned())))
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
            Self::Keyword(keyword) => &keyword.0,
        })
    }
}

impl Keyword {
    /// The keyword as it was first written.
    pub fn as_str(&self) -> &str {
        &self.0
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
impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().for_each(|b| state.write_u8(b));
    }
}

/// When a flag was last set or cleared, and by whose wish: the later one wins, flag by flag (rule U7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct When {
    /// The clock of the operation.
    pub clock: Hlc,
    /// Its origin's node: decides between equal clocks.
    pub node: NodeId,
}

/// The flags of one message, and of each flag that ever changed when it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagSet(BTreeMap<Flag, (bool, When)>);

impl FlagSet {
    /// A new message's flags.
    pub fn new(flags: impl IntoIterator<Item = Flag>, when: When) -> Self {
        Self(flags.into_iter().map(|flag| (flag, (true, when))).collect())
    }

    /// The flags that are set, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Flag> {
        self.0.iter().filter(|(_, (set, _))| *set).map(|(flag, _)| flag)
    }

    /// Whether `flag` is set.
    pub fn contains(&self, flag: &Flag) -> bool {
        self.0.get(flag).is_some_and(|(set, _)| *set)
    }

    /// Sets or clears `flag` unless a later change of it is known (rule U7); says whether it is different now.
    pub fn change(&mut self, flag: &Flag, set: bool, when: When) -> bool {
        match self.0.get_mut(flag) {
            Some((_, known)) if *known > when => false,
            Some(slot) => {
                let before = std::mem::replace(slot, (set, when)).0;
                before != set
            }
            None => {
                self.0.insert(flag.clone(), (set, when));
                set
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn c18_a_keyword_in_another_letter_case_is_the_same() {
        assert_eq!(Flag::parse("$Forwarded").unwrap(), Flag::parse("$FORWARDED").unwrap());
        assert_eq!(Flag::parse("\\seen").unwrap(), Flag::Seen);
        for bad in ["", "\\Recent", "a b", "a\"", "(x", "ä"] {
            assert!(Flag::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn u7_the_later_change_wins_in_either_order() {
        let early = When { clock: Hlc(1), node: NodeId::One };
        let late = When { clock: Hlc(2), node: NodeId::Zero };
        let mut one = FlagSet::default();
        one.change(&Flag::Seen, true, early);
        one.change(&Flag::Seen, false, late);
        let mut other = FlagSet::default();
        other.change(&Flag::Seen, false, late);
        other.change(&Flag::Seen, true, early);
        assert_eq!(one, other);
        assert!(!one.contains(&Flag::Seen));
    }
}
