//! Checking passwords without being stopped by it: a hash takes tens of milliseconds of one core and 19 MiB.

use super::password::{self, HashError, PASSWORD_MAX_BYTES};
use crate::settings::Settings;
use mailmirror_control::auth::mac;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// For how long a verified password is known without computing its hash again.
const REMEMBERED_FOR: Duration = Duration::from_mins(1);
/// How many are remembered.
const REMEMBERED_MAX: usize = 20_000;
/// For each hash that is computed, how many may wait.
const WAITING_FACTOR: usize = 32;

/// Computes and checks password hashes, a bounded number at once. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    inner: Arc<Inner>,
}

/// As many wait as may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked")]
pub struct Busy;

struct Inner {
    /// One permit for each that may be computed.
    computing: Arc<Semaphore>,
    /// One permit for each that may wait or be computed.
    admitted: Arc<Semaphore>,
    /// Known by a keyed hash over account, stored form and password, so that nothing can be read from memory and a
    /// changed password is unknown at once.
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
    key: [u8; 32],
    /// A stored form of nobody's password, of today's cost.
    alike: tokio::sync::OnceCell<String>,
}

impl Hasher {
    /// As many at once as `g_login_parallel` says.
    pub fn new(settings: &Settings) -> Self {
        Self::with_bounds(settings.limits.logins_parallel_max, settings.limits.logins_parallel_max * WAITING_FACTOR)
    }

    fn with_bounds(parallel: usize, waiting: usize) -> Self {
        let inner = Inner {
            computing: Arc::new(Semaphore::new(parallel.max(1))),
            admitted: Arc::new(Semaphore::new(parallel.max(1) + waiting)),
            remembered: Mutex::new(HashMap::new()),
            key: rand::random(),
            alike: tokio::sync::OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Whether `password` is what is stored for `account`. Takes the same time if nothing is stored.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, account: &str, password: &str, stored: Option<&str>) -> Result<bool, Busy> {
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let known_as = stored.map(|stored| self.known_as(account, password, stored));
        if known_as.is_some_and(|known_as| self.is_remembered(&known_as)) {
            return Ok(true);
        }
        let admitted = self.inner.admitted.clone().try_acquire_owned().map_err(|_| Busy)?;
        let alike = self.alike().await?;
        let (password, stored) = (zeroize::Zeroizing::new(password.to_owned()), stored.map(str::to_owned));
        let computing = self.inner.computing.clone().acquire_owned().await.map_err(|_| Busy)?;
        // The permits go with the work: a client that leaves does not free the core that still computes.
        let checking = tokio::task::spawn_blocking(move || {
            let holds = password::verify(&password, stored.as_deref(), &alike);
            drop((computing, admitted));
            holds
        });
        let holds = checking.await.map_err(|_| Busy)?;
        if let (true, Some(known_as)) = (holds, known_as) {
            self.remember(known_as);
        }
        Ok(holds)
    }

    /// The stored form of a new password.
    ///
    /// # Errors
    /// [`HashError`].
    pub async fn hash(&self, password: &str) -> Result<String, HashError> {
        if !password::acceptable(password) {
            return Err(HashError::BadPassword);
        }
        let admitted = self.inner.admitted.clone().try_acquire_owned().map_err(|_| HashError::Busy)?;
        let computing = self.inner.computing.clone().acquire_owned().await.map_err(|_| HashError::Busy)?;
        let password = zeroize::Zeroizing::new(password.to_owned());
        let hashing = tokio::task::spawn_blocking(move || {
            let hashed = password::hash(&password);
            drop((computing, admitted));
            hashed
        });
        hashing.await.map_err(|stopped| HashError::Function(stopped.to_string()))?
    }

    async fn alike(&self) -> Result<String, Busy> {
        let make = || async {
            tokio::task::spawn_blocking(|| password::hash("nobody's password"))
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(Busy)
        };
        self.inner.alike.get_or_try_init(make).await.cloned()
    }

    fn known_as(&self, account: &str, password: &str, stored: &str) -> [u8; 32] {
        let length = |text: &str| (text.len() as u64).to_le_bytes();
        let parts: [&[u8]; 5] =
            [&length(account), account.as_bytes(), &length(stored), stored.as_bytes(), password.as_bytes()];
        mac(&self.inner.key, &parts)
    }

    fn is_remembered(&self, known_as: &[u8; 32]) -> bool {
        let remembered = self.inner.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(known_as).is_some_and(|until| *until > Instant::now())
    }

    fn remember(&self, known_as: [u8; 32]) {
        let now = Instant::now();
        let mut remembered = self.inner.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, until| *until > now);
        }
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(known_as, now + REMEMBERED_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_verified_password_is_remembered_until_the_stored_one_changes() {
        let hasher = Hasher::with_bounds(2, 2);
        let (old, new) = (hasher.hash("one").await.unwrap(), hasher.hash("two").await.unwrap());
        assert!(hasher.verify("a@x", "one", Some(&old)).await.unwrap());
        assert!(hasher.is_remembered(&hasher.known_as("a@x", "one", &old)));
        assert!(!hasher.is_remembered(&hasher.known_as("b@x", "one", &old)));
        assert!(!hasher.verify("a@x", "one", Some(&new)).await.unwrap(), "the old password is not known any more");
        assert!(!hasher.is_remembered(&hasher.known_as("a@x", "one", &new)), "what failed is not remembered");
    }

    #[tokio::test]
    async fn an_unknown_user_is_computed_like_a_known_one_and_denied() {
        let hasher = Hasher::with_bounds(1, 1);
        let stored = hasher.hash("one").await.unwrap();
        hasher.verify("warm@x", "up", None).await.unwrap();
        let time = async |stored: Option<&str>| {
            let mut best = Duration::MAX;
            for _ in 0..5 {
                let start = Instant::now();
                assert!(!hasher.verify("a@x", "wrong", stored).await.unwrap());
                best = best.min(start.elapsed());
            }
            best
        };
        let (known, unknown) = (time(Some(&stored)).await, time(None).await);
        assert!(unknown * 4 > known && known * 4 > unknown, "known {known:?}, unknown {unknown:?}");
    }

    #[tokio::test]
    async fn past_the_bound_a_login_is_refused_and_those_before_it_are_answered() {
        let hasher = Hasher::with_bounds(1, 1);
        let stored = hasher.hash("one").await.unwrap();
        let tries = futures::future::join_all((0..6).map(|_| hasher.verify("a@x", "wrong", Some(&stored)))).await;
        assert_eq!(tries.iter().filter(|answer| **answer == Ok(false)).count(), 2);
        assert_eq!(tries.iter().filter(|answer| **answer == Err(Busy)).count(), 4);
        assert!(hasher.verify("a@x", "one", Some(&stored)).await.unwrap(), "and later ones again");
    }

    #[tokio::test]
    async fn a_password_longer_than_any_is_denied_without_work() {
        let hasher = Hasher::with_bounds(1, 0);
        assert!(!hasher.verify("a@x", &"x".repeat(PASSWORD_MAX_BYTES + 1), None).await.unwrap());
    }
}
