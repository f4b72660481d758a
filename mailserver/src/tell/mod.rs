//! The commands of `tellmail`, as the server carries them out.

mod compare;
mod dir;
mod people;
mod status;
#[cfg(test)]
mod tests;

pub use status::{mirror_in_line, mirror_out_line, status_text};

use crate::admin::Control;
use crate::service::{Service, View};
use crate::settings::live::Live;
use mailmirror_control::auth::Secret;
use mailmirror_control::tell::{Tell, Told};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long an administrator waits for a state that is new for sure.
const FRESH_WITHIN: Duration = Duration::from_secs(1);

/// The admin API of the other node.
#[derive(Clone)]
pub struct PeerAdmin {
    /// `host:port`.
    pub address: String,
    /// Secrets to try, in order.
    pub secrets: watch::Receiver<Vec<Secret>>,
}

/// Carries out commands. Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    inner: Arc<Inner>,
}

/// What commands need.
pub struct TellerParts {
    /// The door to mail state.
    pub service: Service,
    /// The engine.
    pub control: Arc<dyn Control>,
    /// The settings.
    pub live: Live,
    /// The other node; `None`: there is none.
    pub peer: Option<PeerAdmin>,
    /// Where the store is.
    pub data: PathBuf,
    /// What a shutdown cancels.
    pub stop: CancellationToken,
}

struct Inner {
    parts: TellerParts,
    /// One resync at a time; also what keeps two nodes from asking each other for ever.
    resyncing: AtomicBool,
}

/// What a command came to: text and data, or a sentence that says why not.
type Answer = Result<(String, Value), String>;

impl Teller {
    /// A teller of these.
    pub fn new(parts: TellerParts) -> Self {
        Self { inner: Arc::new(Inner { parts, resyncing: AtomicBool::new(false) }) }
    }

    /// Carries out a command.
    pub async fn run(&self, command: Tell) -> Told {
        let answer = match command {
            Tell::Status => self.status(),
            Tell::AddUser { address, password } => self.add_user(&address, &password).await,
            Tell::DeleteUser { address } => self.delete_user(&address).await,
            Tell::ChangePass { address, password } => self.change_pass(&address, &password).await,
            Tell::FindUser { pattern } => self.find_user(&pattern).await,
            Tell::Path { user } => self.path(&user).await,
            Tell::Dir { user, folder } => self.dir(&user, folder.as_deref()).await,
            Tell::ResyncFast => self.resync_fast().await,
            Tell::VerifyMirror { full } => self.verify_mirror(full).await,
            Tell::Promote { accept_loss } => {
                let promoted = self.inner.parts.control.promote(accept_loss).await;
                promoted.map(|()| ("this node is the master\n".to_owned(), Value::Null))
            }
            Tell::Swap => {
                let swapped = self.inner.parts.control.swap().await;
                swapped.map(|()| ("the roles are swapped\n".to_owned(), Value::Null))
            }
            Tell::Reload => self.reload().await,
            Tell::Shutdown => {
                self.inner.parts.stop.cancel();
                Ok(("shutting down\n".to_owned(), Value::Null))
            }
        };
        match answer {
            Ok((text, data)) => Told { ok: true, text, data },
            Err(why) => Told { ok: false, data: json!({ "error": why }), text: format!("{why}\n") },
        }
    }

    fn status(&self) -> Answer {
        let status = self.inner.parts.control.status().borrow().clone();
        let mut data = serde_json::to_value(status.as_ref()).map_err(|error| error.to_string())?;
        data["mirrorOut"] = mirror_out_line(&status.counters).into();
        data["mirrorIn"] = mirror_in_line(&status.counters).into();
        Ok((status_text(&status, now_millis()), data))
    }

    async fn reload(&self) -> Answer {
        let reloaded = self.inner.parts.live.reload().await.map_err(|error| error.to_string())?;
        let mut text = if reloaded.changed { "settings changed\n" } else { "nothing changed\n" }.to_owned();
        for name in &reloaded.need_restart {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "needs a restart: {name}");
        }
        for warning in &reloaded.warnings {
            let _ = writeln!(text, "warning: {warning}");
        }
        let data = json!({
            "changed": reloaded.changed,
            "needRestart": reloaded.need_restart,
            "warnings": reloaded.warnings,
        });
        Ok((text, data))
    }

    /// State as new as can be had soon: an administrator looks at a node that is cut off too.
    async fn view(&self) -> View {
        match tokio::time::timeout(FRESH_WITHIN, self.service().show()).await {
            Ok(Ok(view)) => view,
            Ok(Err(_)) | Err(_) => self.service().peek(),
        }
    }

    fn service(&self) -> &Service {
        &self.inner.parts.service
    }
}

fn now_millis() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
