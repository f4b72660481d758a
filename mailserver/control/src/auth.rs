//! Both ends of an admin connection prove that they know `g_mirror_secret` without saying it.
//!
//! `proof = HMAC-SHA256(HMAC-SHA256(secret, "mailmirror admin 1"), side ‖ exporter)`. The exporter (RFC 5705) belongs to
//! this one TLS connection, so that a proof cannot be used on another one, and the side keeps it from being reflected.
//! The client sends nothing but its proof before it has seen the server's.

use crate::tls::EXPORTER_BYTES;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Label of the exported keying material.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-mailmirror-admin";
/// The header of the server's proof.
pub const SERVER_PROOF_HEADER: &str = "mailmirror-proof";
/// The scheme of the client's `Authorization`.
pub const SCHEME: &str = "Mailmirror";
/// The shortest secret that is taken, in bytes.
pub const SECRET_MIN_BYTES: usize = 16;
/// The longest secret that is taken, in bytes.
pub const SECRET_MAX_BYTES: usize = 1024;

/// `g_mirror_secret`. It is never printed and is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// The secret is too short to be one, or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "g_mirror_secret must have {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes and has {0}: make one with `openssl rand -hex 32`"
)]
pub struct BadSecret(pub usize);

/// Which end proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that connects.
    Client,
    /// The one that listens.
    Server,
}

impl Secret {
    /// Takes a secret; white space around it, as files and editors leave it, does not count.
    ///
    /// # Errors
    /// [`BadSecret`].
    pub fn new(text: &str) -> Result<Self, BadSecret> {
        let text = text.trim();
        if (SECRET_MIN_BYTES..=SECRET_MAX_BYTES).contains(&text.len()) {
            Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
        } else {
            Err(BadSecret(text.len()))
        }
    }

    /// A key for one purpose, from which the secret cannot be found.
    pub fn key_for(&self, purpose: &str) -> [u8; 32] {
        mac(&self.0, &[purpose.as_bytes()])
    }

    /// What `side` says on the admin connection with this keying material, in hexadecimal digits.
    pub fn admin_proof(&self, side: Side, exporter: &[u8; EXPORTER_BYTES]) -> String {
        let side: &[u8] = match side {
            Side::Client => b"client",
            Side::Server => b"server",
        };
        hex::encode(mac(&self.key_for("mailmirror admin 1"), &[side, exporter]))
    }

    /// Whether `proof` is what `side` says, in time that does not depend on where it differs.
    pub fn admin_proof_holds(&self, proof: &str, side: Side, exporter: &[u8; EXPORTER_BYTES]) -> bool {
        self.admin_proof(side, exporter).as_bytes().ct_eq(proof.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}
impl Eq for Secret {}

/// HMAC-SHA256 over parts.
pub fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // A key of any length is taken, so that the error case does not exist; an empty result would never verify.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_proof_is_of_one_side_one_connection_and_one_secret() {
        let (one, other) = (Secret::new("0123456789abcdef").unwrap(), Secret::new("0123456789abcdeg").unwrap());
        let proof = one.admin_proof(Side::Client, &[1; 32]);
        assert!(one.admin_proof_holds(&proof, Side::Client, &[1; 32]));
        assert!(!one.admin_proof_holds(&proof, Side::Server, &[1; 32]));
        assert!(!one.admin_proof_holds(&proof, Side::Client, &[2; 32]));
        assert!(!other.admin_proof_holds(&proof, Side::Client, &[1; 32]));
    }

    #[test]
    fn a_short_secret_is_refused_with_what_to_do_and_none_is_printed() {
        assert!(Secret::new(" short \n").unwrap_err().to_string().contains("openssl rand"));
        assert_eq!(format!("{:?}", Secret::new("0123456789abcdef").unwrap()), "Secret(…)");
    }
}
