//! The one door through which mail state changes.
//!
//! Protocols speak to [`Service`] and to nothing below it. What it shows comes from a [`View`]: [`Service::show`] is the
//! read point of rule N4, [`Service::peek`] has none. What it changes is answered when it is committed (delivery) or
//! applied on this node (all others, so that a [`Service::peek`] after the answer shows it).
//!
//! For IMAP: take one [`Service::show`] for each command that shows state, and look again with [`Service::peek`] after a
//! change of one's own.

mod core;
mod delivery;
mod error;
mod mailboxes;
#[cfg(test)]
pub mod memory;
mod messages;
mod metrics;
mod names;
mod people;
mod rows;
#[cfg(test)]
mod service_tests;
mod view;

pub use self::core::{Core, Counts, Pending, Snapshot, Source, Vanished};
pub use error::{AuthError, BodyError, ChangeError, RcptError, ReadError, ShowError};
pub use metrics::Metrics;
pub use rows::MessageRow;
pub use view::{Changes, Listing, Opened, View};

use crate::accounts::{Address, Hasher};
use crate::settings::Settings;
use bytes::Bytes;
use mailmirror_control::status::NodeStatus;
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{AccountId, BodyId};
use mailmirror_model::outcome::{Refusal, Touched};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountHandle {
    /// The identity of the account.
    pub id: AccountId,
    /// Its address, `local@domain`.
    pub address: String,
}

/// What STORE does with the flags that it names (RFC 9051 section 6.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagAction {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`: these and no others.
    Replace,
}

/// A message that a client gives: APPEND.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its bytes.
    pub body: Bytes,
    /// The flags that it begins with.
    pub flags: Vec<Flag>,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date_seconds: i64,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<dyn Core>,
    hasher: Hasher,
    metrics: Metrics,
    settings: watch::Receiver<Arc<Settings>>,
}

impl Service {
    /// A door to this engine. Settings are looked at when they are needed: a reload needs no new door.
    pub fn new(core: Arc<dyn Core>, settings: watch::Receiver<Arc<Settings>>) -> Self {
        let hasher = Hasher::new(&settings.borrow());
        Self { inner: Arc::new(Inner { core, hasher, metrics: Metrics::default(), settings }) }
    }

    /// The settings as they are now.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.borrow().clone()
    }

    /// A view after a read point (rules N4, N5): as new as anything that was answered before, on either node. Waits at
    /// most `g_mirror_hold`.
    ///
    /// # Errors
    /// [`ShowError::Unavailable`]: end the session (`BYE [UNAVAILABLE]`, `-ERR [SYS/TEMP]`), never show less.
    pub async fn show(&self) -> Result<View, ShowError> {
        Ok(View::new(self.inner.core.read_point().await?))
    }

    /// A view of what this node has, without a read point: after a change of one's own, for notices during IDLE, for
    /// the administrator.
    pub fn peek(&self) -> View {
        View::new(self.inner.core.reader())
    }

    /// The bytes of a message.
    ///
    /// # Errors
    /// [`BodyError`].
    pub async fn body(&self, body: BodyId) -> Result<Bytes, BodyError> {
        self.inner.core.body(body).await
    }

    /// What changed, after it was applied here. After `Lagged` look at everything again.
    pub fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>> {
        self.inner.core.touched()
    }

    /// The status of the node, now and after each change.
    pub fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.inner.core.status()
    }

    /// What passed through.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Asks what this node has. Before something is said to be missing, asks again after a read point: this node may lag,
    /// or be building its index anew.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&dyn Snapshot) -> Result<T, ChangeError> + Clone + Send + 'static,
    ) -> Result<T, ChangeError> {
        let again = question.clone();
        match self.peek().read(move |snapshot| Ok(question(snapshot))).await? {
            Err(ChangeError::Refused(Refusal::NoMailbox | Refusal::NoAccount)) => {
                let view = self.show().await.map_err(|error| ChangeError::Unavailable { why: error.to_string() })?;
                view.read(move |snapshot| Ok(again(snapshot))).await?
            }
            known => known,
        }
    }

    fn core(&self) -> &dyn Core {
        self.inner.core.as_ref()
    }

    /// Who is meant by a login or a recipient.
    fn address(&self, text: &str) -> Option<Address> {
        Address::read(text, &self.inner.settings.borrow().domains)
    }
}
