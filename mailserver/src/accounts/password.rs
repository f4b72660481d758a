//! Stored forms of passwords. New ones are argon2id PHC strings; `{ssha}` of older systems is read.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

/// The longest password, in bytes.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Memory of one new hash, in KiB.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Memory of one hash from elsewhere that is still computed, in KiB.
const FOREIGN_MEMORY_MAX_KIB: u32 = 256 * 1024;
/// Passes of one hash from elsewhere that are still computed.
const FOREIGN_PASSES_MAX: u32 = 10;
/// Length of a SHA-1 hash, in bytes.
const SHA1_BYTES: usize = 20;

/// Why a password was not hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// Empty, too long, or with a zero byte in it.
    #[error("a password must have 1 to {PASSWORD_MAX_BYTES} bytes and no zero byte")]
    BadPassword,
    /// Too many at once.
    #[error("too many passwords are being checked: try again in a moment")]
    Busy,
    /// A fault of the hash function.
    #[error("failed to hash a password: {0}")]
    Function(String),
}

/// Whether a password can be set at all.
pub(super) fn acceptable(password: &str) -> bool {
    !password.is_empty() && password.len() <= PASSWORD_MAX_BYTES && !password.contains('\0')
}

/// The stored form of a new password. Takes tens of milliseconds.
pub(super) fn hash(password: &str) -> Result<String, HashError> {
    if !acceptable(password) {
        return Err(HashError::BadPassword);
    }
    let failed = |error: &dyn std::fmt::Display| HashError::Function(error.to_string());
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|error| failed(&error))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed: PasswordHash = argon2.hash_password(password.as_bytes()).map_err(|error| failed(&error))?;
    Ok(hashed.to_string())
}

/// Whether `password` is the stored one. `alike` is a stored form of another password that is computed where the
/// stored one costs nothing, so that the time does not tell an unknown user or an old hash from a wrong password.
pub(super) fn verify(password: &str, stored: Option<&str>, alike: &str) -> bool {
    match stored {
        Some(stored) if stored.starts_with("$argon2") => verify_argon2(password, stored),
        Some(stored) => {
            verify_argon2(password, alike);
            verify_ssha(password, stored)
        }
        None => {
            verify_argon2(password, alike);
            false
        }
    }
}

fn verify_argon2(password: &str, stored: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(stored) else { return false };
    let affordable = Params::try_from(&parsed)
        .is_ok_and(|params| params.m_cost() <= FOREIGN_MEMORY_MAX_KIB && params.t_cost() <= FOREIGN_PASSES_MAX);
    affordable && Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
}

/// `{ssha}` and base64 of SHA-1(password ‖ salt) ‖ salt.
fn verify_ssha(password: &str, stored: &str) -> bool {
    let Some((scheme, encoded)) = stored.split_at_checked("{ssha}".len()) else { return false };
    let Ok(bytes) = STANDARD.decode(encoded) else { return false };
    let Some((expected, salt)) = bytes.split_at_checked(SHA1_BYTES) else { return false };
    let found = Sha1::new().chain_update(password.as_bytes()).chain_update(salt).finalize();
    scheme.eq_ignore_ascii_case("{ssha}") && bool::from(found.as_slice().ct_eq(expected))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_hash_is_argon2id_with_its_parameters_and_its_own_salt() {
        let (one, other) = (hash("secret").unwrap(), hash("secret").unwrap());
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        assert!(verify("secret", Some(&one), &other));
        assert!(!verify("Secret", Some(&one), &other));
        assert!(!verify("secret", None, &other));
    }

    #[test]
    fn ssha_of_an_older_system_is_read() {
        let salt = b"NaCl";
        let mut bytes = Sha1::new().chain_update(b"secret").chain_update(salt).finalize().to_vec();
        bytes.extend_from_slice(salt);
        let alike = hash("other").unwrap();
        for scheme in ["{ssha}", "{SSHA}"] {
            let stored = format!("{scheme}{}", STANDARD.encode(&bytes));
            assert!(verify("secret", Some(&stored), &alike));
            assert!(!verify("other", Some(&stored), &alike));
        }
        assert!(!verify("secret", Some("{ssha}AAAA"), &alike));
        assert!(!verify("secret", Some("secret"), &alike), "a plain password is no stored form");
    }

    #[test]
    fn a_hash_that_costs_too_much_is_not_computed() {
        let dear = "$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(!verify("x", Some(dear), dear));
        assert!(!verify("x", Some("$argon2id$nonsense"), dear));
    }

    #[test]
    fn passwords_that_cannot_be_kept_are_refused() {
        for bad in ["", "a\0b", &"x".repeat(PASSWORD_MAX_BYTES + 1)] {
            assert_eq!(hash(bad).unwrap_err(), HashError::BadPassword);
        }
    }
}
