//! Envelope addresses: `Mailbox`, `Reverse-path` and `Forward-path` of RFC 5321 section 4.1.2, with
//! the length limits of section 4.5.3.1.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Octets of a local part, its quotes not counted (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_MAX_BYTES: usize = 64;
/// Octets of a domain (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_MAX_BYTES: usize = 255;
/// Octets of one label of a domain (RFC 1035 section 2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;
/// Octets of a whole path, its angle brackets counted (RFC 5321 section 4.5.3.1.3).
pub const PATH_MAX_BYTES: usize = 256;

/// Why text is not an address or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The grammar of RFC 5321 does not allow it.
    #[error("address is not in the form <local-part@domain>")]
    Syntax,
    /// The local part is longer than [`LOCAL_PART_MAX_BYTES`].
    #[error("local part is longer than {LOCAL_PART_MAX_BYTES} octets")]
    LocalPartTooLong,
    /// The domain is longer than [`DOMAIN_MAX_BYTES`] or one of its labels than
    /// [`LABEL_MAX_BYTES`].
    #[error("domain is longer than {DOMAIN_MAX_BYTES} octets or a label than {LABEL_MAX_BYTES}")]
    DomainTooLong,
    /// The path is longer than [`PATH_MAX_BYTES`].
    #[error("path is longer than {PATH_MAX_BYTES} octets")]
    PathTooLong,
    /// It has octets above 127, and SMTPUTF8 is not supported.
    #[error("internationalised addresses (SMTPUTF8) are not supported")]
    NonAscii,
}

/// The part after the `@`: a host name in lower case, or an address literal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(DomainKind);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum DomainKind {
    Name(String),
    Literal(IpAddr),
}

impl Domain {
    /// The host name, in lower case; `None` for an address literal.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            DomainKind::Name(name) => Some(name),
            DomainKind::Literal(_) => None,
        }
    }

    /// The address of a literal such as `[192.0.2.1]`; `None` for a host name.
    pub fn literal(&self) -> Option<IpAddr> {
        match self.0 {
            DomainKind::Name(_) => None,
            DomainKind::Literal(address) => Some(address),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            DomainKind::Name(name) => f.write_str(name),
            DomainKind::Literal(address) => write_literal(f, *address),
        }
    }
}

/// Writes an address literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3).
pub(crate) fn write_literal(f: &mut impl fmt::Write, address: IpAddr) -> fmt::Result {
    match address {
        IpAddr::V4(v4) => write!(f, "[{v4}]"),
        IpAddr::V6(v6) => write!(f, "[IPv6:{v6}]"),
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut cursor = Cursor::new(text)?;
        let domain = cursor.domain()?;
        cursor.end()?;
        Ok(domain)
    }
}

/// A mailbox address. Two are equal when they mean the same: `"a"@X.example` and `a@x.example` are.
/// The case of the local part is kept; who compares local parts regardless of case does so
/// where mailboxes are looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    local: String,
    domain: Domain,
}

impl Address {
    /// The local part as it is meant: without the quotes and backslashes of a quoted string.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

/// Writes the address in wire form, the local part quoted where it must be.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for letter in self.local.chars() {
            if matches!(letter, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{letter}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut cursor = Cursor::new(text)?;
        let local = cursor.local_part()?;
        cursor.expect(b'@')?;
        let address = Self { local, domain: cursor.domain()? };
        cursor.end()?;
        check_path_length(&address)?;
        Ok(address)
    }
}

/// The argument of `MAIL FROM:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: no reply is to be sent (bounces, RFC 5321 section 4.5.5).
    Null,
    /// The sender.
    Address(Address),
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// The argument of `RCPT TO:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case (RFC 5321 section 4.5.1).
    Postmaster,
    /// The recipient.
    Address(Address),
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

enum Path {
    Null,
    Postmaster,
    Address(Address),
}

/// Parses a reverse path at the front of `text`; returns it and what follows the `>`.
pub fn parse_reverse_path(text: &str) -> Result<(ReversePath, &str), AddressError> {
    match parse_path(text)? {
        (Path::Null, rest) => Ok((ReversePath::Null, rest)),
        (Path::Address(address), rest) => Ok((ReversePath::Address(address), rest)),
        (Path::Postmaster, _) => Err(AddressError::Syntax),
    }
}

/// Parses a forward path at the front of `text`; returns it and what follows the `>`.
pub fn parse_forward_path(text: &str) -> Result<(ForwardPath, &str), AddressError> {
    match parse_path(text)? {
        (Path::Postmaster, rest) => Ok((ForwardPath::Postmaster, rest)),
        (Path::Address(address), rest) => Ok((ForwardPath::Address(address), rest)),
        (Path::Null, _) => Err(AddressError::Syntax),
    }
}

/// A source route before the address is checked and ignored (RFC 5321 appendix C).
fn parse_path(text: &str) -> Result<(Path, &str), AddressError> {
    let mut cursor = Cursor::new(text)?;
    cursor.expect(b'<')?;
    if cursor.take(b'>') {
        return Ok((Path::Null, cursor.rest()));
    }
    if cursor.take(b'@') {
        cursor.domain()?;
        while cursor.take(b',') {
            cursor.expect(b'@')?;
            cursor.domain()?;
        }
        cursor.expect(b':')?;
    }
    let local = cursor.local_part()?;
    if cursor.take(b'>') {
        let is_postmaster = local.eq_ignore_ascii_case("postmaster");
        return if is_postmaster { Ok((Path::Postmaster, cursor.rest())) } else { Err(AddressError::Syntax) };
    }
    cursor.expect(b'@')?;
    let address = Address { local, domain: cursor.domain()? };
    cursor.expect(b'>')?;
    check_path_length(&address)?;
    Ok((Path::Address(address), cursor.rest()))
}

fn check_path_length(address: &Address) -> Result<(), AddressError> {
    if address.to_string().len() + 2 > PATH_MAX_BYTES {
        return Err(AddressError::PathTooLong);
    }
    Ok(())
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Result<Self, AddressError> {
        if text.is_ascii() { Ok(Self { text, at: 0 }) } else { Err(AddressError::NonAscii) }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.bytes().take_while(|&byte| accept(byte)).count();
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn expect(&mut self, byte: u8) -> Result<(), AddressError> {
        if self.take(byte) { Ok(()) } else { Err(AddressError::Syntax) }
    }

    fn end(&self) -> Result<(), AddressError> {
        if self.at == self.text.len() { Ok(()) } else { Err(AddressError::Syntax) }
    }

    fn local_part(&mut self) -> Result<String, AddressError> {
        let local = if self.take(b'"') {
            self.quoted_content()?
        } else {
            let text = self.take_while(|byte| is_atext(byte) || byte == b'.');
            if !is_dot_string(text) {
                return Err(AddressError::Syntax);
            }
            text.to_owned()
        };
        if local.len() > LOCAL_PART_MAX_BYTES {
            return Err(AddressError::LocalPartTooLong);
        }
        Ok(local)
    }

    /// The rest of a quoted string whose opening quote was taken. An empty one is allowed by the grammar.
    fn quoted_content(&mut self) -> Result<String, AddressError> {
        let mut content = String::new();
        loop {
            let mut byte = self.peek().ok_or(AddressError::Syntax)?;
            self.at += 1;
            if byte == b'"' {
                return Ok(content);
            }
            if byte == b'\\' {
                byte = self.peek().ok_or(AddressError::Syntax)?;
                self.at += 1;
            }
            if !matches!(byte, b' '..=b'~') {
                return Err(AddressError::Syntax);
            }
            content.push(char::from(byte));
        }
    }

    fn domain(&mut self) -> Result<Domain, AddressError> {
        if self.take(b'[') {
            let literal = parse_literal(self.take_while(|byte| byte != b']'))?;
            self.expect(b']')?;
            return Ok(Domain(DomainKind::Literal(literal)));
        }
        let name = self.take_while(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        if name.len() > DOMAIN_MAX_BYTES {
            return Err(AddressError::DomainTooLong);
        }
        for label in name.split('.') {
            if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
                return Err(AddressError::Syntax);
            }
            if label.len() > LABEL_MAX_BYTES {
                return Err(AddressError::DomainTooLong);
            }
        }
        Ok(Domain(DomainKind::Name(name.to_ascii_lowercase())))
    }
}

fn parse_literal(text: &str) -> Result<IpAddr, AddressError> {
    let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    let address = if tagged {
        text.get(5..).and_then(|v6| v6.parse::<Ipv6Addr>().ok()).map(IpAddr::V6)
    } else {
        text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    };
    address.ok_or(AddressError::Syntax)
}
