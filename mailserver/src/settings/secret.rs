//! `g_mirror_secret`, and its rotation: while a second one is there both are taken, and nothing restarts.

use super::SecretSource;
use mailmirror_control::auth::{BadSecret, SECRET_MAX_BYTES, Secret};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// How often files are looked at. A mounted Secret is replaced as a whole, which no notice of one file tells.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The key of the secret that is used.
const CURRENT: &str = "secret";
/// Keys of those that are taken beside it while a rotation is under way.
const OTHERS: [&str; 2] = ["secret-next", "secret-previous"];

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}; g_mirror_secret_file names a file, or a directory with a file `secret`", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds is no secret.
    #[error("failed to use {path}: {source}", path = path.display())]
    Bad {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BadSecret,
    },
    /// What the ini holds is none.
    #[error(transparent)]
    Inline(#[from] BadSecret),
}

/// The secrets, the one to use first.
///
/// # Errors
/// [`SecretError`].
pub fn load(source: &SecretSource) -> Result<Vec<Secret>, SecretError> {
    let path = match source {
        SecretSource::Inline(text) => return Ok(vec![Secret::new(text)?]),
        SecretSource::Path(path) => path,
    };
    if !path.is_dir() {
        return Ok(vec![file(path)?]);
    }
    let mut secrets = vec![file(&path.join(CURRENT))?];
    for name in OTHERS {
        let other = path.join(name);
        if other.exists() {
            let secret = file(&other)?;
            if !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
    }
    Ok(secrets)
}

fn file(path: &Path) -> Result<Secret, SecretError> {
    let failed = |source| SecretError::File { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > 2 * SECRET_MAX_BYTES as u64 {
        let too_long = BadSecret(usize::try_from(length).unwrap_or(usize::MAX));
        return Err(SecretError::Bad { path: path.to_owned(), source: too_long });
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    Secret::new(&text).map_err(|source| SecretError::Bad { path: path.to_owned(), source })
}

/// The secrets now, and each time they change. Those that were good stay while the files are not.
///
/// # Errors
/// [`SecretError`], when there is none to begin with.
pub fn follow(source: &SecretSource) -> Result<watch::Receiver<Vec<Secret>>, SecretError> {
    let (sender, receiver) = watch::channel(load(source)?);
    if let SecretSource::Path(_) = source {
        let source = source.clone();
        tokio::spawn(async move {
            let mut look = tokio::time::interval(LOOK_EVERY);
            let mut complained = false;
            while !sender.is_closed() {
                look.tick().await;
                let source = source.clone();
                let Ok(loaded) = tokio::task::spawn_blocking(move || load(&source)).await else { return };
                match loaded {
                    Ok(secrets) => {
                        complained = false;
                        let count = secrets.len();
                        if sender.send_if_modified(|known| std::mem::replace(known, secrets.clone()) != secrets) {
                            tracing::info!(count, "g_mirror_secret has changed");
                        }
                    }
                    Err(error) if !complained => {
                        complained = true;
                        tracing::warn!(%error, "the secret that was read before stays in use");
                    }
                    Err(_) => {}
                }
            }
        });
    }
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: &str = "0123456789abcdef\n";
    const TWO: &str = "fedcba9876543210";

    #[test]
    fn a_file_or_a_directory_with_keys_is_read() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), ONE).unwrap();
        let whole = SecretSource::Path(dir.path().to_owned());
        assert_eq!(load(&whole).unwrap(), [Secret::new(ONE).unwrap()]);
        assert_eq!(load(&SecretSource::Path(dir.path().join("secret"))).unwrap().len(), 1);
        std::fs::write(dir.path().join("secret-previous"), TWO).unwrap();
        assert_eq!(load(&whole).unwrap(), [Secret::new(ONE).unwrap(), Secret::new(TWO).unwrap()]);
        std::fs::write(dir.path().join("secret-next"), ONE).unwrap();
        assert_eq!(load(&whole).unwrap().len(), 2, "the same one twice is one");
    }

    #[test]
    fn errors_name_the_file_and_never_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let missing = load(&SecretSource::Path(dir.path().to_owned())).unwrap_err().to_string();
        assert!(missing.contains("g_mirror_secret_file") && missing.contains("secret"), "{missing}");
        std::fs::write(dir.path().join("secret"), "short").unwrap();
        let short = load(&SecretSource::Path(dir.path().to_owned())).unwrap_err().to_string();
        assert!(short.contains("has 5") && !short.contains("short"), "{short}");
        std::fs::write(dir.path().join("secret"), vec![b'x'; 4096]).unwrap();
        assert!(matches!(load(&SecretSource::Path(dir.path().to_owned())).unwrap_err(), SecretError::Bad { .. }));
    }

    #[tokio::test]
    async fn a_rotation_is_followed_and_damage_is_sat_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, ONE).unwrap();
        let mut secrets = follow(&SecretSource::Path(dir.path().to_owned())).unwrap();
        std::fs::write(&file, "short").unwrap();
        std::fs::write(dir.path().join("secret-previous"), ONE).unwrap();
        assert!(!secrets.has_changed().unwrap());
        std::fs::write(dir.path().join("tmp"), TWO).unwrap();
        std::fs::rename(dir.path().join("tmp"), &file).unwrap();
        tokio::time::timeout(Duration::from_secs(10), secrets.changed()).await.unwrap().unwrap();
        assert_eq!(*secrets.borrow(), [Secret::new(TWO).unwrap(), Secret::new(ONE).unwrap()]);
    }
}
