//! Modified UTF-7, the encoding of mailbox names in `IMAP4rev1` (RFC 3501 section 5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD};

const CONFIG: GeneralPurposeConfig = NO_PAD;
const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, CONFIG);

/// Why bytes are not modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Utf7Error {
    /// A byte outside printable ASCII stands unencoded.
    #[error("byte 0x{0:02x} must be encoded")]
    Unencoded(u8),
    /// `&` without a closing `-`.
    #[error("encoded run without its closing '-'")]
    Unterminated,
    /// What stands between `&` and `-` is not base64 of whole UTF-16 units.
    #[error("encoded run is not base64 of UTF-16")]
    BadRun,
    /// A printable ASCII character is encoded although it stands for itself.
    #[error("printable character is encoded")]
    Superfluous,
    /// Two encoded runs follow each other without anything between them.
    #[error("two encoded runs in a row")]
    Split,
}

fn is_direct(c: char) -> bool {
    matches!(c, ' '..='~')
}

/// Encodes a name. The result is printable ASCII.
pub fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut run: Vec<u8> = Vec::new();
    let flush = |run: &mut Vec<u8>, out: &mut String| {
        if !run.is_empty() {
            out.push('&');
            BASE64.encode_string(&*run, out);
            out.push('-');
            run.clear();
        }
    };
    for c in name.chars() {
        if is_direct(c) {
            flush(&mut run, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                run.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut run, &mut out);
    out
}

/// Decodes a name, strictly: every name has exactly one encoding, so that two spellings of one
/// mailbox cannot exist.
pub fn decode(bytes: &[u8]) -> Result<String, Utf7Error> {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut after_run = false;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'&' {
            if !is_direct(char::from(first)) {
                return Err(Utf7Error::Unencoded(first));
            }
            out.push(char::from(first));
            rest = tail;
            after_run = false;
            continue;
        }
        let end = tail.iter().position(|&b| b == b'-').ok_or(Utf7Error::Unterminated)?;
        if end == 0 {
            out.push('&');
            after_run = false;
        } else {
            if after_run {
                return Err(Utf7Error::Split);
            }
            decode_run(&tail[..end], &mut out)?;
            after_run = true;
        }
        rest = &tail[end + 1..];
    }
    Ok(out)
}

fn decode_run(run: &[u8], out: &mut String) -> Result<(), Utf7Error> {
    let raw = BASE64.decode(run).map_err(|_| Utf7Error::BadRun)?;
    if raw.is_empty() || raw.len() % 2 != 0 {
        return Err(Utf7Error::BadRun);
    }
    let units = raw.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    for c in char::decode_utf16(units) {
        let c = c.map_err(|_| Utf7Error::BadRun)?;
        if is_direct(c) {
            return Err(Utf7Error::Superfluous);
        }
        out.push(c);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_pairs() {
        for (utf8, utf7) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A & B", "A &- B"),
            ("😀", "&2D3eAA-"),
            ("", ""),
        ] {
            assert_eq!(encode(utf8), utf7);
            assert_eq!(decode(utf7.as_bytes()).unwrap(), utf8);
        }
    }

    #[test]
    fn refuses_what_has_another_spelling() {
        for (bad, why) in [
            ("&AGE-", Utf7Error::Superfluous),        // "a" encoded
            ("&ACY-", Utf7Error::Superfluous),        // "&" encoded
            ("&U,BTFw", Utf7Error::Unterminated),     // no '-'
            ("&U,BTFw-&ZeVnLIqe-", Utf7Error::Split), // two runs for one
            ("&A-", Utf7Error::BadRun),               // no whole unit
            ("&AP-", Utf7Error::BadRun),              // one byte only
            ("&2D0-", Utf7Error::BadRun),             // lone surrogate
            ("&APx-", Utf7Error::BadRun),             // left-over bits
            ("&AP/-", Utf7Error::BadRun),             // '/' is ',' here
            ("a\tb", Utf7Error::Unencoded(b'\t')),
            ("\u{fc}", Utf7Error::Unencoded(0xc3)),
        ] {
            assert_eq!(decode(bad.as_bytes()), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn roundtrip(name in "\\PC*|.*") {
            let encoded = encode(&name);
            prop_assert!(encoded.bytes().all(|b| (0x20..0x7f).contains(&b)));
            prop_assert_eq!(decode(encoded.as_bytes()).unwrap(), name);
        }

        #[test]
        fn what_decodes_is_the_only_spelling(bytes in proptest::collection::vec(
            prop_oneof![Just(b'&'), Just(b'-'), Just(b'A'), Just(b','), any::<u8>()], 0..24)) {
            if let Ok(name) = decode(&bytes) {
                prop_assert_eq!(encode(&name).into_bytes(), bytes);
            }
        }
    }
}
