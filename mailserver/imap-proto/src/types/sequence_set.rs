//! Sequence sets as clients write them: `1:4,7,9:*`.

use std::fmt;
use std::num::NonZeroU32;

use super::number_set::NumberSet;

/// One end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A number.
    Number(NonZeroU32),
    /// `*`: the largest number in use.
    Last,
}

/// A sequence set of RFC 3501: not empty, in the order of the client, `*` and the larger number at the end of a range
/// (`4:2` is `2:4`). What it means depends on the mailbox: see [`Self::resolve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    ranges: Vec<(Endpoint, Endpoint)>,
}

/// Why text is not a sequence set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceSetError {
    /// Not of the grammar.
    #[error("not a sequence set")]
    Form,
    /// `$`, the saved result of RFC 5182, which is not offered.
    #[error("saved results ($) are not supported")]
    SavedResult,
    /// More elements than the limit.
    #[error("sequence set has more than {limit} elements")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl SequenceSet {
    /// The most elements that [`Self::parse`] is usually given: far more than fit into a command line.
    pub const DEFAULT_MAX_ELEMENTS: usize = 16_384;

    /// Parses the text, which must be all of the set.
    pub fn parse(text: &[u8], max_elements: usize) -> Result<Self, SequenceSetError> {
        if text == b"$" {
            return Err(SequenceSetError::SavedResult);
        }
        let mut ranges = Vec::new();
        for element in text.split(|&b| b == b',') {
            if ranges.len() == max_elements {
                return Err(SequenceSetError::TooMany { limit: max_elements });
            }
            let mut ends = element.split(|&b| b == b':');
            let start = endpoint(ends.next().unwrap_or_default())?;
            let end = ends.next().map_or(Ok(start), endpoint)?;
            if ends.next().is_some() {
                return Err(SequenceSetError::Form);
            }
            ranges.push((start.min(end), start.max(end)));
        }
        Ok(Self { ranges })
    }

    /// The set `1:*`.
    pub fn all() -> Self {
        Self { ranges: vec![(Endpoint::Number(NonZeroU32::MIN), Endpoint::Last)] }
    }

    /// The numbers meant, when `last` is the largest one in use (the number of messages for sequence numbers, the
    /// largest UID for UIDs). In an empty mailbox (`None`) whatever mentions `*` means nothing. `9:*` means `7:9` when
    /// 7 is the last (RFC 3501 section 9, `seq-range`).
    pub fn resolve(&self, last: Option<u32>) -> NumberSet {
        let mut set = NumberSet::new();
        for &(start, end) in &self.ranges {
            let value = |endpoint| match endpoint {
                Endpoint::Number(number) => Some(number.get()),
                Endpoint::Last => last,
            };
            if let (Some(start), Some(end)) = (value(start), value(end)) {
                set.insert_range(start.min(end)..=start.max(end));
            }
        }
        set
    }

    /// Is the number meant? See [`Self::resolve`].
    pub fn contains(&self, number: u32, last: Option<u32>) -> bool {
        self.ranges.iter().any(|&(start, end)| {
            let value = |endpoint| match endpoint {
                Endpoint::Number(number) => Some(number.get()),
                Endpoint::Last => last,
            };
            matches!((value(start), value(end)), (Some(a), Some(b)) if (a.min(b)..=a.max(b)).contains(&number))
        })
    }

    /// The largest number that is written out. A client that names a sequence number above the number of messages
    /// made an error (`BAD`); with UIDs that is no error.
    pub fn max_number(&self) -> Option<u32> {
        self.endpoints()
            .filter_map(|endpoint| match endpoint {
                Endpoint::Number(number) => Some(number.get()),
                Endpoint::Last => None,
            })
            .max()
    }

    /// Is `*` in it?
    pub fn has_last(&self) -> bool {
        self.endpoints().any(|endpoint| endpoint == Endpoint::Last)
    }

    /// The ranges as written.
    pub fn ranges(&self) -> &[(Endpoint, Endpoint)] {
        &self.ranges
    }

    fn endpoints(&self) -> impl Iterator<Item = Endpoint> + '_ {
        self.ranges.iter().flat_map(|&(start, end)| [start, end])
    }
}

fn endpoint(text: &[u8]) -> Result<Endpoint, SequenceSetError> {
    if text == b"*" {
        return Ok(Endpoint::Last);
    }
    if text.first().is_none_or(|&b| !(b'1'..=b'9').contains(&b)) {
        return Err(SequenceSetError::Form);
    }
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(Endpoint::Number)
        .ok_or(SequenceSetError::Form)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Last => f.write_str("*"),
        }
    }
}

impl fmt::Display for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (start, end)) in self.ranges.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if start == end {
                write!(f, "{start}")?;
            } else {
                write!(f, "{start}:{end}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(text: &str) -> SequenceSet {
        SequenceSet::parse(text.as_bytes(), 100).unwrap()
    }

    #[test]
    fn resolves_against_the_mailbox() {
        for (text, last, expected) in [
            ("1", Some(9), "1"),
            ("1:*", Some(9), "1:9"),
            ("*", Some(9), "9"),
            ("*:4", Some(9), "4:9"),
            ("12:*", Some(9), "9:12"),
            ("4:2,3,7", Some(9), "2:4,7"),
            ("1:*", None, ""),
            ("1:3,*", None, "1:3"),
            ("4294967295", Some(1), "4294967295"),
        ] {
            assert_eq!(set(text).resolve(last).to_string(), expected, "{text} {last:?}");
        }
    }

    #[test]
    fn writes_what_it_read() {
        for (text, written) in [("1,3:4,*,7:*", "1,3:4,*,7:*"), ("4:2,*:5,3:3", "2:4,5:*,3")] {
            assert_eq!(set(text).to_string(), written);
        }
    }

    #[test]
    fn refuses() {
        for bad in ["", "0", "1,", ",1", "1:", ":1", "1:2:3", "a", "1 2", "-1", "01", "+1", "4294967296", "1,$", "**"] {
            assert_eq!(SequenceSet::parse(bad.as_bytes(), 100), Err(SequenceSetError::Form), "{bad}");
        }
        assert_eq!(SequenceSet::parse(b"$", 100), Err(SequenceSetError::SavedResult));
        assert!(SequenceSet::parse(b"1,2", 2).is_ok());
        assert_eq!(SequenceSet::parse(b"1,2,3", 2), Err(SequenceSetError::TooMany { limit: 2 }));
    }

    #[test]
    fn bounds() {
        assert_eq!(set("3:*,7").max_number(), Some(7));
        assert_eq!(set("*").max_number(), None);
        assert!(set("3:*").has_last() && !set("3:4").has_last());
        assert_eq!(SequenceSet::all().to_string(), "1:*");
    }

    proptest! {
        #[test]
        fn contains_agrees_with_resolve(text in "([1-9]|\\*)(:([1-9]|\\*))?(,([1-9]|\\*)(:([1-9]|\\*))?){0,4}",
                                        last in proptest::option::of(1u32..12)) {
            let set = set(&text);
            let resolved = set.resolve(last);
            for n in 1..12 {
                prop_assert_eq!(set.contains(n, last), resolved.contains(n));
            }
        }

        #[test]
        fn a_number_set_reads_back(numbers in proptest::collection::vec(1u32..99, 1..30)) {
            let numbers: NumberSet = numbers.into_iter().collect();
            prop_assert_eq!(set(&numbers.to_string()).resolve(None), numbers);
        }
    }
}
