//! What the administrator may do with the engine.

use futures::future::BoxFuture;
use mailmirror_control::record::Record;
use mailmirror_control::status::{NodeStatus, RecordAnswer};
use mailmirror_model::ids::Position;
use std::sync::Arc;
use tokio::sync::watch;

/// Both nodes at one place of the log (rule R2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Where.
    pub position: Position,
    /// The digest of everything here, 32 hexadecimal digits.
    pub ours: String,
    /// The digest of everything at the peer.
    pub theirs: String,
}

/// The engine, as its administrator sees it. Errors are sentences for a person.
pub trait Control: Send + Sync + 'static {
    /// The status, now and after each change.
    fn status(&self) -> watch::Receiver<Arc<NodeStatus>>;
    /// Obeys the record of the authority.
    fn obey(&self, record: Record) -> BoxFuture<'_, RecordAnswer>;
    /// Makes this node the master, by order of a person (rule A9).
    fn promote(&self, accept_loss: bool) -> BoxFuture<'_, Result<(), String>>;
    /// Swaps the roles, by order of a person.
    fn swap(&self) -> BoxFuture<'_, Result<(), String>>;
    /// Compares the digests of both nodes.
    fn compare(&self) -> BoxFuture<'_, Result<Compared, String>>;
    /// Builds the index of this node anew; says how many mailboxes are different now.
    fn rebuild_index(&self) -> BoxFuture<'_, Result<u64, String>>;
}
