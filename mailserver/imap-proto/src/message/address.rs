//! Address lists (RFC 5322 section 3.4, and what of section 4.4 is still met), in raw form.

use std::borrow::Cow;

use super::envelope::Address;
use super::field::{comment_length, unquote};

/// Addresses of one field that are told apart: more would let one message take much memory.
const ADDRESSES_MAX: usize = 10_000;

/// Parses an address list. Whatever stands there, something comes out: an envelope cannot say "malformed". Addresses
/// beyond [`ADDRESSES_MAX`] are left out.
pub(super) fn parse(value: &[u8]) -> Vec<Address<'_>> {
    let mut parser = Parser { lexer: Lexer { rest: value }, found: Vec::new(), in_group: false };
    parser.run();
    parser.found
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token<'a> {
    /// An atom; dots count as part of it.
    Word(Cow<'a, [u8]>),
    Comment(&'a [u8]),
    /// One of `<>@,;:`
    Special(u8),
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_ascii_start();
        let first = *self.rest.first()?;
        let (token, length) = match first {
            b'"' => {
                let (text, length) = unquote(self.rest);
                (Token::Word(text), length)
            }
            b'(' => {
                let length = comment_length(self.rest);
                let inner = self.rest[1..length].strip_suffix(b")");
                let inner = inner.unwrap_or(&self.rest[1..length]);
                (Token::Comment(inner), length)
            }
            b'<' | b'>' | b'@' | b',' | b';' | b':' => (Token::Special(first), 1),
            b'[' => {
                // A domain literal, up to its bracket.
                let end = self.rest.iter().position(|&b| b == b']');
                let length = end.map_or(self.rest.len(), |end| end + 1);
                (Token::Word(Cow::Borrowed(&self.rest[..length])), length)
            }
            _ => {
                let length = self.rest[1..]
                    .iter()
                    .position(|b| b.is_ascii_whitespace() || b"\"(<>@,;:[".contains(b))
                    .map_or(self.rest.len(), |length| length + 1);
                (Token::Word(Cow::Borrowed(&self.rest[..length])), length)
            }
        };
        self.rest = &self.rest[length..];
        Some(token)
    }
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    found: Vec<Address<'a>>,
    in_group: bool,
}

/// What was read of one address so far.
#[derive(Default)]
struct Pending<'a> {
    words: Vec<Cow<'a, [u8]>>,
    comment: Option<&'a [u8]>,
    /// Behind an `@` that was not in angle brackets: the words from here on are the domain.
    at_sign: Option<usize>,
    /// An address in angle brackets was read.
    angle: Option<Address<'a>>,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        let mut pending = Pending::default();
        while self.found.len() < ADDRESSES_MAX {
            let Some(token) = self.lexer.next() else {
                break;
            };
            match token {
                Token::Word(word) if pending.angle.is_none() => pending.words.push(word),
                Token::Comment(comment) => pending.comment = Some(comment),
                Token::Special(b'<') if pending.angle.is_none() => {
                    pending.angle = Some(self.angle());
                }
                Token::Special(b'@') if pending.angle.is_none() => {
                    pending.at_sign.get_or_insert(pending.words.len());
                }
                Token::Special(b',') => self.finish(&mut pending),
                Token::Special(b':') if !self.in_group && pending.angle.is_none() => {
                    let name = phrase(std::mem::take(&mut pending.words));
                    pending = Pending::default();
                    self.in_group = true;
                    self.found.push(Address {
                        // Without a name it could not be told from the end of a group.
                        mailbox: Some(name.unwrap_or_default()),
                        ..Address::default()
                    });
                }
                Token::Special(b';') => {
                    self.finish(&mut pending);
                    self.end_group();
                }
                _ => {}
            }
        }
        self.finish(&mut pending);
        self.end_group();
    }

    fn end_group(&mut self) {
        if std::mem::take(&mut self.in_group) {
            self.found.push(Address::default());
        }
    }

    /// What stands in angle brackets, behind the `<`: `[@route,@route:]local@domain>`.
    fn angle(&mut self) -> Address<'a> {
        let mut local: Vec<Cow<'a, [u8]>> = Vec::new();
        let mut domain: Option<Vec<Cow<'a, [u8]>>> = None;
        let mut route: Option<Vec<u8>> = None;
        for token in self.lexer.by_ref() {
            match token {
                Token::Special(b'>') => break,
                Token::Special(b'@') => {
                    domain.get_or_insert_default();
                }
                Token::Special(b':') if local.is_empty() => {
                    // What was taken for a domain was a route.
                    let mut text = route.take().unwrap_or_default();
                    if let Some(domain) = domain.take() {
                        text.push(b'@');
                        text.extend_from_slice(&domain.concat());
                    }
                    route = Some(text);
                }
                Token::Special(b',') if local.is_empty() && domain.is_some() => {
                    let text = route.get_or_insert_default();
                    text.push(b'@');
                    text.extend_from_slice(&domain.take().unwrap_or_default().concat());
                    text.push(b',');
                }
                Token::Special(_) | Token::Comment(_) => {}
                Token::Word(word) => match &mut domain {
                    Some(domain) => domain.push(word),
                    None => local.push(word),
                },
            }
        }
        Address {
            name: None,
            route: route.filter(|route| !route.is_empty()).map(Cow::Owned),
            mailbox: Some(concat(local)),
            host: Some(concat(domain.unwrap_or_default())),
        }
    }

    fn finish(&mut self, pending: &mut Pending<'a>) {
        let Pending { mut words, comment, at_sign, angle } = std::mem::take(pending);
        if let Some(mut address) = angle {
            address.name = phrase(words).or_else(|| comment.map(comment_text));
            if address.name.is_some() || address.mailbox.as_deref() != Some(b"") || address.host.as_deref() != Some(b"")
            {
                self.found.push(address);
            }
            return;
        }
        if words.is_empty() {
            return;
        }
        let domain = at_sign.map_or_else(Vec::new, |at| words.split_off(at));
        let mailbox = if at_sign.is_some() { concat(words) } else { phrase(words).unwrap_or_default() };
        self.found.push(Address {
            name: comment.map(comment_text),
            route: None,
            mailbox: Some(mailbox),
            // Not NIL: that would make it the beginning of a group.
            host: Some(concat(domain)),
        });
    }
}

fn comment_text(comment: &[u8]) -> Cow<'_, [u8]> {
    super::header::unfold(comment)
}

/// Words with one space between them; `None` for no words.
fn phrase(mut words: Vec<Cow<'_, [u8]>>) -> Option<Cow<'_, [u8]>> {
    match words.len() {
        0 => None,
        1 => words.pop(),
        _ => Some(Cow::Owned(words.join(&b' '))),
    }
}

/// Words with nothing between them: spaces around `.` and `@` mean nothing.
fn concat(mut words: Vec<Cow<'_, [u8]>>) -> Cow<'_, [u8]> {
    match words.len() {
        0 => Cow::Borrowed(&[]),
        1 => words.pop().unwrap_or_default(),
        _ => Cow::Owned(words.concat()),
    }
}
