//! Search programs and their evaluation (RFC 3501 section 6.4.4, RFC 7162 section 3.1.5).

mod evaluate;
mod text;

pub use evaluate::{BoundProgram, SearchTarget};
pub use text::MessageText;

use jiff::civil::Date;

use crate::command::FieldName;
use crate::types::{Flag, ModSeq, SequenceSet};

/// What SEARCH looks for: messages for which all keys hold.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchProgram {
    keys: Vec<SearchKey>,
}

/// One search key. Keys that are the opposite of another are written with [`SearchKey::Not`].
#[derive(Debug, Clone, PartialEq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these hold.
    And(Vec<SearchKey>),
    /// One of the two holds.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// It does not hold.
    Not(Box<SearchKey>),
    /// The flag is set.
    Flag(Flag),
    /// The message is `\Recent` in this session.
    Recent,
    /// The sequence number is in the set.
    Sequence(SequenceSet),
    /// The UID is in the set.
    Uid(SequenceSet),
    /// The internal date is before the day.
    Before(Date),
    /// The internal date is on the day.
    On(Date),
    /// The internal date is on the day or later.
    Since(Date),
    /// The `Date:` header is before the day.
    SentBefore(Date),
    /// The `Date:` header is on the day.
    SentOn(Date),
    /// The `Date:` header is on the day or later.
    SentSince(Date),
    /// The message has more octets than this.
    Larger(u64),
    /// The message has fewer octets than this.
    Smaller(u64),
    /// The modification sequence is this or higher.
    ModSeq(ModSeq),
    /// A header field with this name has the text in it; with empty text: there is such a field. Also FROM, TO, CC, BCC
    /// and SUBJECT.
    Header {
        /// The field.
        field: FieldName,
        /// The text.
        value: SearchText,
    },
    /// The text is in the body: in the text of any text part.
    Body(SearchText),
    /// The text is in the header or in the body.
    Text(SearchText),
}

impl SearchKey {
    /// The opposite of a key.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "NOT is the name of the key")]
    pub fn not(key: Self) -> Self {
        Self::Not(Box::new(key))
    }

    fn any(&self, test: &mut impl FnMut(&Self) -> bool) -> bool {
        test(self)
            || match self {
                Self::And(keys) => keys.iter().any(|key| key.any(test)),
                Self::Or(left, right) => left.any(test) || right.any(test),
                Self::Not(key) => key.any(test),
                _ => false,
            }
    }
}

impl SearchProgram {
    /// The program that holds where all these keys do.
    pub fn new(keys: Vec<SearchKey>) -> Self {
        Self { keys }
    }

    /// The keys.
    pub fn keys(&self) -> &[SearchKey] {
        &self.keys
    }

    /// Does it mention MODSEQ? Then the highest modification sequence of what is found is told, and CONDSTORE is
    /// enabled by it.
    pub fn uses_mod_seq(&self) -> bool {
        self.any(|key| matches!(key, SearchKey::ModSeq(_)))
    }

    /// Can it depend on header or body?
    pub fn needs_message(&self) -> bool {
        self.any(|key| {
            matches!(
                key,
                SearchKey::SentBefore(_)
                    | SearchKey::SentOn(_)
                    | SearchKey::SentSince(_)
                    | SearchKey::Header { .. }
                    | SearchKey::Body(_)
                    | SearchKey::Text(_)
            )
        })
    }

    /// The largest sequence number that is written out: above the number of messages it is an error of the client.
    pub fn max_sequence_number(&self) -> Option<u32> {
        let mut max = None;
        self.any(|key| {
            if let SearchKey::Sequence(set) = key {
                max = max.max(set.max_number());
            }
            false
        });
        max
    }

    /// Makes it ready for a mailbox with this last sequence number and UID (`None` when it is empty).
    pub fn bind(&self, last_sequence: Option<u32>, last_uid: Option<u32>) -> BoundProgram<'_> {
        BoundProgram::new(self, last_sequence, last_uid)
    }

    fn any(&self, mut test: impl FnMut(&SearchKey) -> bool) -> bool {
        self.keys.iter().any(|key| key.any(&mut test))
    }
}

/// Text to look for, folded so that case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchText(String);

impl SearchText {
    /// Folds the text.
    pub fn new(text: &str) -> Self {
        Self(text::fold(text))
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
