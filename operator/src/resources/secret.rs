//! `g_mirror_secret`, where none is given: made once, and never changed afterwards.

use super::metadata;
use crate::pair::{GENERATED_SECRET_KEY, ValidatedPair};
use serde_json::{Value, json};

/// 32 random bytes.
pub struct NewSecret(pub [u8; 32]);

/// The Secret that is created; an existing one is left as it is.
pub fn generated(pair: &ValidatedPair, random: &NewSecret) -> Value {
    let text: String = random.0.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(pair, &pair.record_name()),
        "type": "Opaque",
        "stringData": { GENERATED_SECRET_KEY: text },
    })
}
