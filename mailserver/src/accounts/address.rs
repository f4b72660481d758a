//! Addresses of accounts, as they are kept: lower case, `local@domain`.

use std::fmt;

/// The longest address, in bytes: RFC 5321 section 4.5.3.1.3 without its angle brackets.
pub const ADDRESS_MAX_BYTES: usize = 254;
/// The longest local part, in bytes (RFC 5321 section 4.5.3.1.1).
const LOCAL_MAX_BYTES: usize = 64;

/// An address in a hosted domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    text: String,
    at: usize,
}

impl Address {
    /// Reads what a client wrote as its name or as a recipient. A name without a domain is of the first hosted domain;
    /// `postmaster` is always one of ours (RFC 5321 section 4.5.1). `None`: not an address, or not of a hosted domain.
    pub fn read(text: &str, hosted: &[String]) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = match text.rsplit_once('@') {
            Some((local, domain)) => (local, domain.strip_suffix('.').unwrap_or(domain).to_lowercase()),
            None => (text, hosted.first()?.clone()),
        };
        let local = unquote(local)?.to_lowercase();
        let whole = local.len() + 1 + domain.len() <= ADDRESS_MAX_BYTES && local.len() <= LOCAL_MAX_BYTES;
        let plain =
            !local.is_empty() && !local.chars().any(|c| c.is_control() || c.is_whitespace() || "@\"\\".contains(c));
        if !whole || !plain || !hosted.contains(&domain) {
            return None;
        }
        Some(Self { at: local.len(), text: format!("{local}@{domain}") })
    }

    /// `local@domain`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`.
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// What stands behind it.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A quoted local part says the same without its quotes where those are not needed (RFC 5321 section 4.1.2).
fn unquote(local: &str) -> Option<String> {
    let Some(inner) = local.strip_prefix('"') else { return Some(local.to_owned()) };
    let inner = inner.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Option<String> {
        let hosted = ["example.com".to_owned(), "example.org".to_owned()];
        Address::read(text, &hosted).map(|address| address.to_string())
    }

    #[test]
    fn one_account_has_one_address_however_it_is_written() {
        assert_eq!(read("Alice@Example.COM").unwrap(), "alice@example.com");
        assert_eq!(read(" alice ").unwrap(), "alice@example.com");
        assert_eq!(read("alice@example.org.").unwrap(), "alice@example.org");
        assert_eq!(read("\"ali\\ce\"@example.org").unwrap(), "alice@example.org");
        let address = Address::read("a.b@example.org", &["example.org".to_owned()]).unwrap();
        assert_eq!((address.local(), address.domain()), ("a.b", "example.org"));
    }

    #[test]
    fn what_is_no_address_of_ours_is_none() {
        let long = "x".repeat(65);
        for bad in [
            "",
            "@example.com",
            "a b@example.com",
            "alice@elsewhere.example",
            "\"a\"b\"@example.com",
            "\"a\\\"@example.com",
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(Address::read("alice", &[]), None);
    }
}
