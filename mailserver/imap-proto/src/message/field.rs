//! Structured header fields: `token; name=value`, lists of tokens (RFC 2045 section 5.1, RFC 2183).

use std::borrow::Cow;

use super::structure::Parameter;

/// Parameters of one field that are looked at.
const PARAMETERS_MAX: usize = 128;

/// A value with parameters, in raw form: RFC 2231 names such as `filename*0*` stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameterized<'a> {
    pub(super) value: Cow<'a, [u8]>,
    pub(super) parameters: Vec<Parameter<'a>>,
}

impl<'a> Parameterized<'a> {
    /// Parses a field value.
    pub(super) fn parse(value: &'a [u8]) -> Self {
        let mut lexer = Lexer { rest: value };
        let mut head = Cow::Borrowed(&value[..0]);
        // A media type is three tokens (`text`, `/`, `plain`), possibly with comments between them.
        while let Some(token) = lexer.token(|b| b == b';') {
            head = join(head, token);
        }
        let mut parameters = Vec::new();
        while lexer.eat(b';') && parameters.len() < PARAMETERS_MAX {
            let Some(name) = lexer.token(|b| matches!(b, b';' | b'=')) else {
                continue;
            };
            let mut value = Cow::Borrowed(&[][..]);
            if lexer.eat(b'=') {
                value = lexer.token(|b| b == b';').unwrap_or_default();
            }
            // What is left before the next `;` is junk.
            while lexer.token(|b| b == b';').is_some() {}
            parameters.push(Parameter { name, value });
        }
        Self { value: head, parameters }
    }
}

/// The first token of a field value: what Content-Transfer-Encoding has.
pub(super) fn token(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    Lexer { rest: value }.token(|_| false)
}

/// Tokens separated by commas: Content-Language (RFC 3282).
pub(super) fn tokens(value: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut lexer = Lexer { rest: value };
    let mut tokens = Vec::new();
    loop {
        match lexer.token(|b| b == b',') {
            Some(token) if tokens.len() < PARAMETERS_MAX => tokens.push(token),
            None if lexer.eat(b',') => {}
            _ => return tokens,
        }
    }
}

fn join<'a>(left: Cow<'a, [u8]>, right: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
    if left.is_empty() {
        return right;
    }
    let mut joined = left.into_owned();
    joined.extend_from_slice(&right);
    Cow::Owned(joined)
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_ascii_start();
            if self.rest.first() != Some(&b'(') {
                return;
            }
            self.rest = &self.rest[comment_length(self.rest)..];
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip();
        let found = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    /// The next token or quoted string, unless a byte comes that ends it. Tokens may hold whatever does not end them:
    /// names with spaces in them are cut, but 8-bit letters and `=?…?=` pass.
    fn token(&mut self, ends: impl Fn(u8) -> bool) -> Option<Cow<'a, [u8]>> {
        self.skip();
        let first = *self.rest.first()?;
        if ends(first) {
            return None;
        }
        if first == b'"' {
            let (text, length) = unquote(self.rest);
            self.rest = &self.rest[length..];
            return Some(text);
        }
        let length = self
            .rest
            .iter()
            .position(|&b| b.is_ascii_whitespace() || matches!(b, b'(' | b'"') || ends(b))
            .unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(Cow::Borrowed(token))
    }
}

/// The length of the comment that begins here, with all that is nested in it; to the end if it is not closed.
pub(super) fn comment_length(bytes: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The content of the quoted string that begins here, without its backslashes and folds; and its length with quotes.
pub(super) fn unquote(bytes: &[u8]) -> (Cow<'_, [u8]>, usize) {
    let plain = bytes[1..]
        .iter()
        .position(|b| matches!(b, b'"' | b'\\' | b'\r' | b'\n'))
        .map_or(bytes.len(), |length| length + 1);
    if bytes.get(plain).is_none_or(|&b| b == b'"') {
        return (Cow::Borrowed(&bytes[1..plain]), (plain + 1).min(bytes.len()));
    }
    let mut text = bytes[1..plain].to_vec();
    let mut at = plain;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return (Cow::Owned(text), at + 1),
            b'\r' | b'\n' => {}
            b'\\' if at + 1 < bytes.len() => {
                at += 1;
                text.push(bytes[at]);
            }
            byte => text.push(byte),
        }
        at += 1;
    }
    (Cow::Owned(text), bytes.len())
}
