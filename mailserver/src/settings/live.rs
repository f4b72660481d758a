//! The settings of a server that runs: read at the start, read again when the file changes or somebody asks.

use super::ini::LineError;
use super::read::{self, Read};
use super::{Settings, ini};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("failed to read {path}: {source}; name the settings with --config", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{path}: {source}", path = path.display())]
    Line {
        /// Which.
        path: PathBuf,
        /// What.
        source: LineError,
    },
}

/// What became of settings that were read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether anything is different.
    pub changed: bool,
    /// Groups of settings that are different in the file and count only after a restart.
    pub need_restart: Vec<&'static str>,
    /// Lines without effect.
    pub warnings: Vec<String>,
}

/// The settings now, and the way to read them again. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    path: Arc<Path>,
    host_name: Arc<str>,
    sender: Arc<watch::Sender<Arc<Settings>>>,
}

/// Reads a file.
///
/// # Errors
/// [`SettingsError`].
pub fn load(path: &Path, host_name: &str) -> Result<Read, SettingsError> {
    let failed = |source| SettingsError::File { path: path.to_owned(), source };
    let wrong = |source| SettingsError::Line { path: path.to_owned(), source };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > ini::FILE_MAX_BYTES as u64 {
        return Err(wrong(LineError {
            line: 1,
            why: format!("the file is longer than {} bytes", ini::FILE_MAX_BYTES),
        }));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    read::from_text(&text, host_name).map_err(wrong)
}

/// The name of this host: in a pod, the pod's (`POD_NAME` by the downward API, else its host name).
pub fn host_name() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let set = |name: &str| std::env::var(name).ok();
    let named = set("POD_NAME").or_else(|| kernel.ok()).or_else(|| set("HOSTNAME"));
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

impl Live {
    /// Settings that were read from `path`.
    pub fn new(path: &Path, host_name: &str, settings: Settings) -> Self {
        Self { path: path.into(), host_name: host_name.into(), sender: Arc::new(watch::channel(Arc::new(settings)).0) }
    }

    /// The settings, now and after each change.
    pub fn receiver(&self) -> watch::Receiver<Arc<Settings>> {
        self.sender.subscribe()
    }

    /// Reads the file again. What is wrong changes nothing.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub async fn reload(&self) -> Result<Reloaded, SettingsError> {
        let (path, host_name) = (self.path.clone(), self.host_name.clone());
        let reading = tokio::task::spawn_blocking(move || load(&path, &host_name));
        let stopped = |error| SettingsError::File { path: self.path.to_path_buf(), source: io::Error::other(error) };
        let Read { settings, warnings } = reading.await.map_err(stopped)??;
        let mut reloaded =
            Reloaded { warnings: warnings.iter().map(ToString::to_string).collect(), ..Reloaded::default() };
        self.sender.send_if_modified(|known| {
            let effective = keep_fixed(known, settings, &mut reloaded.need_restart);
            reloaded.changed = effective != **known;
            if reloaded.changed {
                *known = Arc::new(effective);
            }
            reloaded.changed
        });
        Ok(reloaded)
    }

    /// Reads the file again each time it changes, for ever.
    pub async fn follow(self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut known = stamp(&self.path);
        loop {
            look.tick().await;
            let now = stamp(&self.path);
            if now == known || now.is_none() {
                continue;
            }
            known = now;
            match self.reload().await {
                Ok(reloaded) => tracing::info!(
                    changed = reloaded.changed,
                    need_restart = reloaded.need_restart.join(", "),
                    "the settings were read again"
                ),
                Err(error) => tracing::warn!(%error, "the settings that were read before stay in use"),
            }
        }
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Sockets and the mirror are set up once: their settings stay as they were until the server starts again.
fn keep_fixed(known: &Settings, mut read: Settings, need_restart: &mut Vec<&'static str>) -> Settings {
    let fixed = [
        ("g_mirror_…", read.mirror != known.mirror),
        ("g_…_listen", read.listen != known.listen),
        ("g_admin_listen", read.admin_listen != known.admin_listen),
        ("g_health_listen", read.health_listen != known.health_listen),
        ("g_server_name", read.server_name != known.server_name),
        ("limits of sessions", read.limits != known.limits),
        ("g_shutdown_grace", read.shutdown_grace != known.shutdown_grace),
    ];
    need_restart.extend(fixed.into_iter().filter(|(_, different)| *different).map(|(name, _)| name));
    read.mirror = known.mirror.clone();
    read.listen = known.listen.clone();
    read.admin_listen = known.admin_listen;
    read.health_listen = known.health_listen;
    read.server_name.clone_from(&known.server_name);
    read.limits = known.limits.clone();
    read.shutdown_grace = known.shutdown_grace;
    read
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(dir: &tempfile::TempDir, more: &str) -> PathBuf {
        let path = dir.path().join("mailmirror.ini");
        std::fs::write(&path, format!("g_mirror_secret \"0123456789abcdef\"\n{more}")).unwrap();
        path
    }

    #[tokio::test]
    async fn a_reload_takes_what_it_can_and_names_what_needs_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir, "g_domain \"a.example\"\n");
        let live = Live::new(&path, "host", load(&path, "host").unwrap().settings);
        assert_eq!(live.reload().await.unwrap(), Reloaded::default());
        write(&dir, "g_domain \"b.example\"\ng_mirror_hold \"20s\"\ng_odd \"x\"\n");
        let reloaded = live.reload().await.unwrap();
        assert!(reloaded.changed && reloaded.warnings[0].contains("g_odd"));
        assert_eq!(reloaded.need_restart, ["g_mirror_…"]);
        let now = live.receiver().borrow().clone();
        assert_eq!((now.domains.as_slice(), now.mirror.hold.as_secs()), (&["b.example".to_owned()][..], 10));
        write(&dir, "nonsense");
        assert!(live.reload().await.unwrap_err().to_string().contains("line 2"));
        assert_eq!(live.receiver().borrow().domains, ["b.example"], "what is wrong changes nothing");
    }

    #[tokio::test]
    async fn a_change_of_the_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(&dir, "g_domain \"a.example\"\n");
        let live = Live::new(&path, "host", load(&path, "host").unwrap().settings);
        let mut settings = live.receiver();
        let following = tokio::spawn(live.clone().follow());
        // The first look must see the old file.
        tokio::task::yield_now().await;
        write(&dir, "g_domain \"longer.example\"\n");
        tokio::time::timeout(Duration::from_secs(20), settings.changed()).await.unwrap().unwrap();
        assert_eq!(settings.borrow().domains, ["longer.example"]);
        following.abort();
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Path::new("/nonexistent/x.ini"), "host").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/x.ini") && error.contains("--config"), "{error}");
    }
}
