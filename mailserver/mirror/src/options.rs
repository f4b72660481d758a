//! What an engine is told when it starts.

use crate::node::Timing;
use mailmirror_control::auth::Secret;
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::Role;
use mailmirror_model::ids::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::watch;

/// Everything that an engine has to know.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Which node of the pair this is (`g_mirror_node`).
    pub node: NodeId,
    /// Where its store is. Created if it is not there.
    pub dir: PathBuf,
    /// The link to the peer.
    pub link: LinkOptions,
    /// `g_mirror_secret`, the current one first; during a rotation the other one after it.
    pub secrets: watch::Receiver<Vec<Secret>>,
    /// The times of the protocol.
    pub timing: Timing,
    /// `g_mirror_stale`: a node that is cut off shows what it has (rule N5).
    pub stale: bool,
    /// Who gives roles.
    pub authority: Authority,
    /// Forwards that wait for the master, in bytes, at most.
    pub forward_queue_max_bytes: usize,
    /// The size of one segment of the log, in bytes.
    pub segment_max_bytes: u64,
    /// The size of the whole log, in bytes, at most; `None`: as large as the disk.
    pub log_max_bytes: Option<u64>,
}

/// Who gives roles to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Somebody tells it through the admin API (`g_mirror_managed "TRUE"`): the operator.
    Managed,
    /// A person with `tellmail` (rule A9).
    Person {
        /// `g_mirror_mode`: the role at the very first start.
        first_role: Option<Role>,
        /// `g_mirror_ack`.
        policy: AckPolicy,
        /// `g_mirror_alone`: a master that loses its slave grants itself.
        alone: bool,
    },
}

/// The link to the peer.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    /// Where node 0 listens (`g_mirror_listen`); node 1 calls.
    pub listen: SocketAddr,
    /// `host:port` of the peer (`g_mirror_host`); `None`: there is no peer.
    pub peer: Option<String>,
    /// `g_mirror_nossl`: no TLS.
    pub nossl: bool,
    /// The longest pause between two tries to connect.
    pub retry_max: Duration,
    /// A peer that is silent for this long is gone.
    pub silence_timeout: Duration,
}

impl LinkOptions {
    /// The usual times.
    pub fn new(listen: SocketAddr, peer: Option<String>) -> Self {
        Self { listen, peer, nossl: false, retry_max: Duration::from_secs(1), silence_timeout: Duration::from_secs(2) }
    }
}

impl EngineOptions {
    /// The usual bounds.
    pub fn new(
        node: NodeId,
        dir: PathBuf,
        link: LinkOptions,
        secrets: watch::Receiver<Vec<Secret>>,
        authority: Authority,
    ) -> Self {
        Self {
            node,
            dir,
            link,
            secrets,
            timing: Timing::default(),
            stale: false,
            authority,
            forward_queue_max_bytes: 256 * 1024 * 1024,
            segment_max_bytes: 64 * 1024 * 1024,
            log_max_bytes: None,
        }
    }
}
