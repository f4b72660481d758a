//! What is known of a pair at one moment. *Unknown* is a value: a node that cannot be asked is not a dead node.

use mailmirror_control::status::{NodeStatus, Role};
use mailmirror_model::ids::{AuthorityId, Incarnation, NodeId};

/// Milliseconds since 1970, on a clock that does not jump while this process runs.
pub type Millis = u64;

/// Both nodes, and what the `StatefulSet` wants them to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Node 0 and node 1.
    pub nodes: [NodeView; 2],
    /// The revision that pods should have; `None` while the controller has not looked at the newest template.
    pub update_revision: Option<String>,
}

impl Observed {
    /// One of the nodes.
    pub fn node(&self, node: NodeId) -> &NodeView {
        &self.nodes[node.index()]
    }
}

/// A node from outside (its pod and volume) and from inside (its answer).
#[derive(Clone, Debug, PartialEq)]
pub struct NodeView {
    /// Its pod; `None`: there is none.
    pub pod: Option<PodView>,
    /// Its volume.
    pub volume: VolumeView,
    /// What it says.
    pub answer: Answer,
    /// What it was told last.
    pub told: Option<ToldMark>,
}

impl NodeView {
    /// Its answer, if it gives one.
    pub fn status(&self) -> Option<&NodeStatus> {
        match &self.answer {
            Answer::Status(status) => Some(status),
            Answer::Unknown { .. } => None,
        }
    }

    /// Since when it is silent.
    pub fn silent_since(&self) -> Option<Millis> {
        match &self.answer {
            Answer::Status(_) => None,
            Answer::Unknown { since, .. } => Some(*since),
        }
    }

    /// The role label on its pod.
    pub fn label(&self) -> Option<Role> {
        self.pod.as_ref().and_then(|pod| pod.label)
    }

    /// Whether its pod is told to go.
    pub fn terminating(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.terminating)
    }

    /// Whether nothing should be moved here: its host is being emptied.
    pub fn leaving(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.terminating || pod.cordoned)
    }

    /// Whether its process is known to have ended (rule A4).
    pub fn known_stopped(&self) -> bool {
        self.pod.as_ref().is_none_or(|pod| pod.stopped)
    }
}

/// A pod. Each of its flags can be true by itself.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its identity.
    pub uid: String,
    /// Where the admin API is.
    pub ip: Option<String>,
    /// The role label.
    pub label: Option<Role>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is told to go.
    pub terminating: bool,
    /// Whether all of its containers have ended, on a host that says so, or whose owner says that it is out of service.
    pub stopped: bool,
    /// Whether its host does not report any more.
    pub host_lost: bool,
    /// Whether its host takes no new pods.
    pub cordoned: bool,
    /// The revision of its template.
    pub revision: Option<String>,
    /// Why it cannot start: `ImagePullBackOff`, `CrashLoopBackOff`, `Unschedulable`, …
    pub stuck: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeView {
    /// Not known.
    Unknown,
    /// There is no claim.
    Absent,
    /// A claim that has never had a volume: nothing was ever written there.
    Pending,
    /// A claim with a volume.
    Bound {
        /// Identity of the claim.
        uid: String,
    },
}

impl VolumeView {
    /// Whether it is certain that no store was ever there.
    pub fn never_written(&self) -> bool {
        matches!(self, Self::Absent | Self::Pending)
    }

    /// The identity of a bound claim.
    pub fn uid(&self) -> Option<&str> {
        match self {
            Self::Bound { uid } => Some(uid),
            Self::Unknown | Self::Absent | Self::Pending => None,
        }
    }
}

/// What a node says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// This.
    Status(Box<NodeStatus>),
    /// Nothing.
    Unknown {
        /// Why not.
        why: String,
        /// Since when.
        since: Millis,
        /// What it said last.
        last: Option<Box<NodeStatus>>,
    },
}

/// What a node was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldMark {
    /// The run of its process.
    pub incarnation: Incarnation,
    /// Whose record.
    pub authority: AuthorityId,
    /// Which change of it.
    pub serial: u64,
    /// Whether it refused.
    pub refused: bool,
    /// When.
    pub at: Millis,
}
