//! Responses with data, as lists of lists.

use anyhow::{Context, Result, bail};

/// A part of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// An atom, a quoted string or a literal.
    Text(Vec<u8>),
    /// What stands in parentheses.
    List(Vec<Item>),
}

/// The length of the literal that a line announces at its end.
pub(super) fn literal_at_end(line: &[u8]) -> Option<usize> {
    let digits = line.strip_suffix(b"}")?;
    let open = digits.iter().rposition(|byte| *byte == b'{')?;
    let digits = digits[open + 1..].strip_prefix(b"~").unwrap_or(&digits[open + 1..]);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// All parts of a response.
pub(super) fn items(line: &[u8]) -> Result<Vec<Item>> {
    let mut reader = Reader { bytes: line, at: 0 };
    let items = reader.list()?;
    if reader.at < line.len() {
        bail!("a parenthesis too many at byte {}", reader.at);
    }
    Ok(items)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Up to the end, or to a closing parenthesis, which is left.
    fn list(&mut self) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b' ' => self.at += 1,
                b')' => break,
                b'(' => {
                    self.at += 1;
                    let inner = self.list()?;
                    if self.bytes.get(self.at) != Some(&b')') {
                        bail!("a list does not end");
                    }
                    self.at += 1;
                    items.push(Item::List(inner));
                }
                b'"' => items.push(Item::Text(self.quoted()?)),
                b'{' => items.push(Item::Text(self.literal()?)),
                _ => items.push(Item::Text(self.atom())),
            }
        }
        Ok(items)
    }

    fn quoted(&mut self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        loop {
            self.at += 1;
            match self.bytes.get(self.at).context("a quoted string does not end")? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    text.push(*self.bytes.get(self.at).context("a quoted string does not end")?);
                }
                byte => text.push(*byte),
            }
        }
        self.at += 1;
        Ok(text)
    }

    fn literal(&mut self) -> Result<Vec<u8>> {
        let rest = &self.bytes[self.at..];
        let close = rest.iter().position(|byte| *byte == b'}').context("a literal has no length")?;
        let count = literal_at_end(&rest[..=close]).context("a literal has no length")?;
        let begin = close + 3;
        let text = rest.get(begin..begin + count).context("a literal is too short")?;
        self.at += begin + count;
        Ok(text.to_vec())
    }

    /// Up to white space or a parenthesis; what stands in brackets belongs to it.
    fn atom(&mut self) -> Vec<u8> {
        let begin = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'[' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                b' ' | b'(' | b')' if depth == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        self.bytes[begin..self.at].to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(text: &str) -> Item {
        Item::Text(text.as_bytes().to_vec())
    }

    #[test]
    fn lists_strings_and_sections_are_read() {
        let read = items(b"* 1 FETCH (X (a \"b \\\"c\" NIL) BODY[HEADER.FIELDS (TO)] {2}\r\n)( Y ())").unwrap();
        let inner = Item::List(vec![text("a"), text("b \"c"), text("NIL")]);
        let list = vec![text("X"), inner, text("BODY[HEADER.FIELDS (TO)]"), text(")("), text("Y"), Item::List(vec![])];
        assert_eq!(read, [text("*"), text("1"), text("FETCH"), Item::List(list)]);
        for wrong in [&b"(a"[..], b"a)", b"\"a", b"{5}\r\nab"] {
            assert!(items(wrong).is_err());
        }
    }

    #[test]
    fn a_literal_is_announced_at_the_end_of_a_line() {
        assert_eq!(literal_at_end(b"* 1 FETCH (BODY[] {12}"), Some(12));
        assert_eq!(literal_at_end(b"* OK {x}"), None);
        assert_eq!(literal_at_end(b"* OK {}"), None);
    }
}
