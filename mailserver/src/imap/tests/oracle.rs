//! imap-codec, an independent implementation, reads all that the sessions of these tests say.

use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder as _;

/// What it does not know (RFC 4731, RFC 7162).
const UNKNOWN: [&str; 3] = ["* VANISHED ", "* ESEARCH ", "* SEARCH "];

/// These lines, with the literals in them, and the completion.
pub(super) fn assert_understood(untagged: &[String], completion: &str) {
    let mut all = String::new();
    for line in untagged.iter().map(String::as_str).chain([completion]) {
        all.push_str(line);
        all.push_str("\r\n");
    }
    let mut rest = all.as_bytes();
    while !rest.is_empty() {
        match ResponseCodec::default().decode(rest) {
            Ok((tail, _)) => rest = tail,
            Err(error) => {
                let text = String::from_utf8_lossy(rest);
                assert!(UNKNOWN.iter().any(|known| text.starts_with(known)), "{error:?}: {text}");
                rest = &rest[text.find("\r\n").unwrap_or(rest.len() - 2) + 2..];
            }
        }
    }
}
