//! `g_mirror_secret`, where none is given: made once, and never changed afterwards.

use super::metadata;
use crate::pair::{GENERATED_SECRET_KEY, ValidatedPair};
use serde_json::{Value, json};

/// 32 random bytes.
pub struct NewSecret(pub [u8; 32]);

/// The Secret that is created; an existing one is left as it is.
pub fn generated(pair: &ValidatedPair, random: &NewSecret) -> Value {
    let text = hex(&random.0);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(pair, &pair.record_name()),
        "type": "Opaque",
        "stringData": { GENERATED_SECRET_KEY: text },
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
