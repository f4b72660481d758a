//! Reads the tokens of the grammar from the parts of a command.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::Problem;
use crate::framing::Part;
use crate::types::{MODSEQ_MAX, ModSeq, SequenceSet, is_astring_char, is_atom_char};

pub(super) type Result<T> = std::result::Result<T, Problem>;

/// A position in a command. Text is read byte by byte, literals as a whole.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    parts: &'a [Part],
    /// The part that is being read. A cursor always stands in text, or at the end.
    index: usize,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(parts: &'a [Part]) -> Self {
        Self { parts, index: 0, at: 0 }
    }

    /// What is left of the text up to the next literal or the end.
    fn rest(&self) -> &'a [u8] {
        match self.parts.get(self.index) {
            Some(Part::Text(text)) => text.get(self.at..).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The next byte of text; none at a literal and at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// Takes the byte if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes as much text as the test allows; perhaps nothing. A slice of what was read.
    pub(super) fn take_while(&mut self, test: impl Fn(u8) -> bool) -> Bytes {
        let rest = self.rest();
        let length = rest.iter().position(|&b| !test(b)).unwrap_or(rest.len());
        let Some(Part::Text(text)) = self.parts.get(self.index) else {
            return Bytes::new();
        };
        let from = self.at.min(text.len());
        self.at = from + length;
        text.slice(from..from + length)
    }

    /// One space or more.
    pub(super) fn sp(&mut self) -> Result<()> {
        if self.skip_spaces() { Ok(()) } else { Err(Problem::Expected("a space")) }
    }

    pub(super) fn skip_spaces(&mut self) -> bool {
        !self.take_while(|b| b == b' ').is_empty()
    }

    /// A space and then more, or the end of the command.
    pub(super) fn more(&mut self) -> bool {
        self.skip_spaces() && !self.is_end()
    }

    pub(super) fn is_end(&self) -> bool {
        self.rest().is_empty() && self.index + 1 >= self.parts.len()
    }

    /// The end of the command; spaces before it are forgiven.
    pub(super) fn end(&mut self) -> Result<()> {
        self.skip_spaces();
        if self.is_end() { Ok(()) } else { Err(Problem::TrailingText) }
    }

    pub(super) fn open(&mut self) -> Result<()> {
        if self.eat(b'(') {
            self.skip_spaces();
            Ok(())
        } else {
            Err(Problem::Expected("("))
        }
    }

    pub(super) fn close(&mut self) -> Result<()> {
        if self.eat_close() { Ok(()) } else { Err(Problem::Expected(")")) }
    }

    /// Takes `)` if it comes next, after spaces perhaps.
    pub(super) fn eat_close(&mut self) -> bool {
        let before = self.at;
        self.skip_spaces();
        let found = self.eat(b')');
        if !found {
            self.at = before;
        }
        found
    }

    /// A parenthesized list of at most `max` elements, separated by spaces; `element` reads one.
    pub(super) fn list<T>(
        &mut self,
        what: &'static str,
        max: usize,
        mut element: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.open()?;
        let mut list = Vec::new();
        while !self.eat_close() {
            if !list.is_empty() {
                self.sp()?;
            }
            if list.len() == max {
                return Err(Problem::Limit { what, limit: max });
            }
            list.push(element(self)?);
        }
        Ok(list)
    }

    pub(super) fn atom(&mut self) -> Result<Bytes> {
        non_empty(self.take_while(is_atom_char), "an atom")
    }

    /// An atom in upper case.
    pub(super) fn keyword(&mut self) -> Result<String> {
        let atom = self.atom()?;
        Ok(String::from_utf8_lossy(&atom).to_ascii_uppercase())
    }

    /// A flag or an attribute that begins with `\`.
    pub(super) fn flag_text(&mut self) -> Result<Bytes> {
        non_empty(self.take_while(|b| b == b'\\' || is_atom_char(b)), "a flag")
    }

    pub(super) fn number64(&mut self) -> Result<u64> {
        let digits = self.take_while(|b| b.is_ascii_digit());
        std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Problem::Expected("a number"))
    }

    pub(super) fn number(&mut self) -> Result<u32> {
        u32::try_from(self.number64()?).map_err(|_| Problem::Expected("a number below 2^32"))
    }

    pub(super) fn nz_number(&mut self) -> Result<NonZeroU32> {
        NonZeroU32::new(self.number()?).ok_or(Problem::Expected("a number other than 0"))
    }

    /// A modification sequence; 0 is forgiven where the grammar forbids it, it means "any".
    pub(super) fn mod_seq(&mut self) -> Result<ModSeq> {
        let number = self.number64()?;
        if number > MODSEQ_MAX {
            return Err(Problem::Expected("a modification sequence below 2^63"));
        }
        Ok(number)
    }

    pub(super) fn sequence_set(&mut self) -> Result<SequenceSet> {
        let text = self.take_while(|b| b.is_ascii_digit() || matches!(b, b',' | b':' | b'*' | b'$'));
        Ok(SequenceSet::parse(&text, SequenceSet::DEFAULT_MAX_ELEMENTS)?)
    }

    /// A sequence set without `*`.
    pub(super) fn known_set(&mut self) -> Result<SequenceSet> {
        let set = self.sequence_set()?;
        if set.has_last() {
            return Err(Problem::Expected("a set without *"));
        }
        Ok(set)
    }

    pub(super) fn quoted(&mut self) -> Result<Bytes> {
        if !self.eat(b'"') {
            return Err(Problem::Expected("a quoted string"));
        }
        let plain = self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | 0));
        if self.eat(b'"') {
            return Ok(plain);
        }
        let mut text = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text.into());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(escaped @ (b'"' | b'\\')) => text.push(escaped),
                        _ => return Err(Problem::Expected("\\\" or \\\\")),
                    }
                }
                Some(0) => return Err(Problem::Nul),
                Some(b'\r') | None => return Err(Problem::Expected("a closing quote")),
                Some(byte) => text.push(byte),
            }
            self.at += 1;
        }
    }

    /// The literal, when one comes next; with whether it was announced as binary.
    pub(super) fn any_literal(&mut self) -> Option<(Bytes, bool)> {
        if !self.rest().is_empty() {
            return None;
        }
        let Some(Part::Literal { data, binary }) = self.parts.get(self.index + 1) else {
            return None;
        };
        self.index += 2;
        self.at = 0;
        Some((data.clone(), *binary))
    }

    fn text_literal(&mut self) -> Result<Option<Bytes>> {
        match self.any_literal() {
            Some((_, true)) => Err(Problem::Expected("a literal without ~")),
            Some((data, false)) if data.contains(&0) => Err(Problem::Nul),
            Some((data, false)) => Ok(Some(data)),
            None => Ok(None),
        }
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Result<Bytes> {
        match self.text_literal()? {
            Some(data) => Ok(data),
            None if self.peek() == Some(b'"') => self.quoted(),
            None => Err(Problem::Expected("a string")),
        }
    }

    pub(super) fn astring(&mut self) -> Result<Bytes> {
        self.string_or(is_astring_char)
    }

    /// A string, or text of these characters.
    pub(super) fn string_or(&mut self, test: impl Fn(u8) -> bool) -> Result<Bytes> {
        if self.peek().is_some_and(|b| b != b'"') {
            return non_empty(self.take_while(test), "a string");
        }
        self.string()
    }

    pub(super) fn utf8_astring(&mut self) -> Result<String> {
        utf8(&self.astring()?)
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Problem::NotUtf8)
}

fn non_empty(bytes: Bytes, what: &'static str) -> Result<Bytes> {
    if bytes.is_empty() { Err(Problem::Expected(what)) } else { Ok(bytes) }
}
