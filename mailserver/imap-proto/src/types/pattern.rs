//! LIST patterns.

use super::mailbox::{DELIMITER, MAILBOX_NAME_MAX_BYTES, MailboxName, MailboxNameError};
use super::utf7;

/// A pattern of LIST or LSUB in UTF-8: `*` matches anything, `%` anything but the delimiter
/// (RFC 3501 section 6.3.8). The empty pattern asks for the delimiter only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPattern(String);

impl ListPattern {
    /// The pattern as a client sends it, in modified UTF-7. It cannot be longer than a mailbox name.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, MailboxNameError> {
        let pattern = utf7::decode(bytes)?;
        if pattern.len() > MAILBOX_NAME_MAX_BYTES {
            return Err(MailboxNameError::TooLong);
        }
        Ok(Self(pattern))
    }

    /// Is it the empty pattern, the question for delimiter and root name?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pattern in UTF-8.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This pattern under a reference name: the two are put together, and a pattern that begins with the
    /// delimiter stands for itself.
    #[must_use]
    pub fn under(&self, reference: &Self) -> Self {
        if self.0.starts_with(DELIMITER) { self.clone() } else { Self(format!("{}{}", reference.0, self.0)) }
    }

    /// Does the name match? The level `INBOX` at the start of a pattern matches in any case.
    pub fn matches(&self, name: &MailboxName) -> bool {
        self.matches_str(name.as_str())
    }

    /// As [`Self::matches`], for names of levels that are no mailbox themselves.
    pub fn matches_str(&self, name: &str) -> bool {
        let pattern: Vec<char> = self.0.chars().collect();
        // The set of pattern positions reached after each character of the name: time is bounded by
        // pattern × name, whatever wildcards there are.
        let mut reached = vec![false; pattern.len() + 1];
        let mut next = reached.clone();
        reached[0] = true;
        skip_wildcards(&pattern, &mut reached);
        let inbox = is_first_level_inbox(name);
        for (index, c) in name.chars().enumerate() {
            next.fill(false);
            let fold = inbox && index < 5;
            if !step(&pattern, &reached, &mut next, c, fold) {
                return false;
            }
            skip_wildcards(&pattern, &mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached[pattern.len()]
    }
}

/// One character of the name; says whether any position was reached.
fn step(pattern: &[char], reached: &[bool], next: &mut [bool], c: char, fold: bool) -> bool {
    let mut any = false;
    for (at, &p) in pattern.iter().enumerate() {
        if !reached[at] {
            continue;
        }
        let to = match p {
            '*' => at,
            '%' if c != DELIMITER => at,
            p if p == c || (fold && p.eq_ignore_ascii_case(&c)) => at + 1,
            _ => continue,
        };
        next[to] = true;
        any = true;
    }
    any
}

/// A wildcard also matches nothing.
fn skip_wildcards(pattern: &[char], reached: &mut [bool]) {
    for at in 0..pattern.len() {
        if reached[at] && matches!(pattern[at], '*' | '%') {
            reached[at + 1] = true;
        }
    }
}

fn is_first_level_inbox(name: &str) -> bool {
    name.split(DELIMITER).next().is_some_and(|first| first.eq_ignore_ascii_case("INBOX"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pattern(s: &str) -> ListPattern {
        ListPattern::from_wire(s.as_bytes()).unwrap()
    }

    #[test]
    fn wildcards() {
        for (p, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("a/%", "a/b", true),
            ("a/%", "a", false),
            ("a*", "a/b", true),
            ("a*c", "a/b/c", true),
            ("a%c", "a/b/c", false),
            ("*b%", "a/b/c", false),
            ("*b%", "a/bx", true),
            ("inbox", "INBOX", true),
            ("InBo%", "INBOX", true),
            ("inbox/x", "INBOX/x", true),
            ("inbox/X", "INBOX/x", false),
            ("A", "a", false),
            ("", "a", false),
            ("Entw&APw-rfe", "Entwürfe", true),
        ] {
            assert_eq!(pattern(p).matches(&MailboxName::new(name).unwrap()), expected, "{p} ~ {name}");
        }
    }

    #[test]
    fn reference_goes_before_the_pattern() {
        assert_eq!(pattern("b%").under(&pattern("a/")).as_str(), "a/b%");
        assert_eq!(pattern("/b").under(&pattern("a/")).as_str(), "/b");
    }

    #[test]
    fn many_wildcards_end_soon() {
        let p = pattern(&"*%".repeat(400));
        assert!(p.matches(&MailboxName::new(&"a".repeat(900)).unwrap()));
        let p = pattern(&format!("{}b", "*a".repeat(400)));
        assert!(!p.matches(&MailboxName::new(&"a".repeat(900)).unwrap()));
    }
}
