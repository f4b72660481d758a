//! What a node says of itself: the answer of `GET /v1/status`, one line of `GET /v1/watch`, and the source of
//! `tellmail status`.
//!
//! Fields may be added; a reader ignores what it does not know. What a node does not know is `null`, never 0.

use crate::record::{AckPolicy, Ready, Record, Wish};
use mailmirror_model::ids::{AuthorityId, Epoch, GrantNumber, Incarnation, NodeId, Position, Seq, StoreId};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970.
pub type UnixMillis = u64;

/// The role that a node plays. A node without one does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Not told yet, or told by nobody it may obey.
    None,
    /// Follows the master.
    Slave,
    /// Puts operations in order.
    Master,
}

/// The highest words of an authority that a node has obeyed, kept in its store (rule A7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obeyed {
    /// Whose.
    pub authority: AuthorityId,
    /// The epoch.
    pub epoch: Epoch,
    /// Its holder.
    pub holder: NodeId,
    /// The grant number.
    pub grant: GrantNumber,
    /// The policy that came with it.
    pub policy: AckPolicy,
}

/// The state of the link to the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub enum Link {
    /// Both ends have proven the secret, and entries flow.
    Connected {
        /// Since when.
        since: UnixMillis,
        /// The peer's store.
        peer_store: StoreId,
        /// The run of the peer's process.
        peer_incarnation: Incarnation,
    },
    /// No connection.
    Disconnected {
        /// Since when.
        since: UnixMillis,
        /// Why the last try failed.
        error: Option<String>,
    },
}

/// Where a swap stands on the holder (rule A10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all_fields = "camelCase")]
pub enum SwapProgress {
    /// New changes are held, those in the log are being committed.
    Draining {
        /// Which swap.
        number: u64,
    },
    /// The seal is the last entry and is on both nodes.
    Sealed {
        /// Which swap.
        number: u64,
        /// Where.
        position: Position,
    },
}

/// The counters of the two lines `Mirror out` and `Mirror  in`. They are durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Messages added here that the peer needs.
    pub out_add_queued: u64,
    /// Of these, acknowledged by the peer.
    pub out_add_sent: u64,
    /// Bytes of those that were acknowledged.
    pub out_add_bytes: u64,
    /// Messages expunged here.
    pub out_del_queued: u64,
    /// Of these, acknowledged by the peer.
    pub out_del_sent: u64,
    /// Messages received from the peer.
    pub in_add: u64,
    /// Expunges received.
    pub in_del: u64,
    /// Renames of mailboxes received.
    pub in_rename: u64,
    /// Operations that could not be applied and are set aside (rule L4).
    pub in_failed: u64,
}

/// A proof that both nodes held the same state at one place in the log (rule R2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEqual {
    /// When.
    pub at: UnixMillis,
    /// At which entry.
    pub position: Position,
    /// The digest, 32 hexadecimal digits.
    pub digest: String,
}

/// A resync or a rebase that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// `catch-up`, `resync`, `resync_fast`, `rebase`.
    pub what: String,
    /// Entries or messages done.
    pub done: u64,
    /// Of how many; `None` where it is not known.
    pub total: Option<u64>,
    /// Bytes done.
    pub done_bytes: u64,
    /// Since when.
    pub since: UnixMillis,
}

/// Something that a person should know, by a name that is also an event reason and a metric label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `DiskFull`, `ResyncNeeded`, `LogDamaged`, …
    pub reason: String,
    /// What it means and what to do.
    pub message: String,
}

/// A node as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// The version of the program.
    pub version: String,
    /// Which node of the pair.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// When it started.
    pub started_at: UnixMillis,
    /// Its role.
    pub role: Role,
    /// What it obeyed last.
    pub obeyed: Option<Obeyed>,
    /// Whether it is in office (rule A6).
    pub in_office: bool,
    /// Whether it answers alone, by a grant or under `local` without a peer.
    pub alone: bool,
    /// Since when it runs without its peer.
    pub degraded_since: Option<UnixMillis>,
    /// Whether it shows state to clients now (rule N5).
    pub serving: bool,
    /// The end of its log.
    pub tail: Position,
    /// What is committed.
    pub committed: Seq,
    /// What its index has.
    pub applied: Seq,
    /// What the peer has on its disk, as far as the peer has said on this connection.
    pub peer_flushed: Option<Seq>,
    /// The link.
    pub link: Link,
    /// Entries that the peer lacks; `None` while nothing is known of it.
    pub lag_entries: Option<u64>,
    /// Age of the oldest entry that the peer lacks, in milliseconds; `None` if it lacks none or nothing is known.
    pub oldest_unsent_ms: Option<u64>,
    /// What it asks of the authority.
    pub wish: Option<Wish>,
    /// What it reports to the authority.
    pub ready: Option<Ready>,
    /// The swap that it works on.
    pub swap: Option<SwapProgress>,
    /// A resync or rebase that is under way.
    pub progress: Option<Progress>,
    /// The durable counters.
    pub counters: Counters,
    /// Conflicts that were decided since the store exists.
    pub conflicts: u64,
    /// The last proof of equality.
    pub proven_equal: Option<ProvenEqual>,
    /// Accounts on this node.
    pub accounts: u64,
    /// Messages on this node.
    pub messages: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// What a person should know.
    pub problems: Vec<Problem>,
}

/// Why a node does not obey a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum ObeyRefusal {
    /// The node has obeyed a later word.
    #[error("the node has obeyed epoch {epoch} of authority {authority} already")]
    Stale {
        /// Whose.
        authority: AuthorityId,
        /// Which.
        epoch: Epoch,
    },
    /// The record promotes this node with another store than it has (rules A4, A5).
    #[error("the record names {} for this node, which has store {store}", .recorded.map_or_else(|| "no store".to_owned(), |id| format!("store {id}")))]
    OtherStore {
        /// As recorded; `None` where the record does not name this node.
        recorded: Option<StoreId>,
        /// As it is.
        store: StoreId,
    },
    /// The epoch is of the other node's parity (rule A1).
    #[error("epoch {epoch} cannot be held by node {holder}")]
    Parity {
        /// The epoch.
        epoch: Epoch,
        /// Its alleged holder.
        holder: NodeId,
    },
    /// The node is about to stop.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// The answer to `PUT /v1/record`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordAnswer {
    /// Why it was not obeyed.
    pub refused: Option<ObeyRefusal>,
    /// The node, after it obeyed.
    pub status: NodeStatus,
}

/// What `PUT /v1/record` sends.
pub type RecordOrder = Record;
