//! What the operator must not forget: the record, and what was done with it.

use crate::api::MasterOrder;
use crate::observe::Millis;
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_model::ids::NodeId;
use serde::{Deserialize, Serialize};

/// The content of the Lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The record of the authority.
    pub record: Record,
    /// The value of `spec.master` that was acted on (rule S1).
    pub handled_order: Option<MasterOrder>,
    /// The value of the swap annotation that was acted on.
    pub handled_swap: Option<String>,
    /// The claims with which the stores were recorded (rule A5).
    pub volumes: [Option<String>; 2],
    /// The swap that is under way.
    pub swap: Option<SwapTask>,
    /// How the latest swap ended.
    pub last_swap: Option<SwapEnd>,
    /// When the latest failover was.
    pub last_failover: Option<Millis>,
    /// Whether both nodes were ever in sync.
    pub mirrored_once: bool,
    /// The latest acceptance of loss that was acted on.
    pub accepted: Option<String>,
}

/// Why roles are swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapWhy {
    /// `spec.master`.
    Order,
    /// The annotation.
    Annotation,
    /// The host of the master is being emptied.
    Drain,
    /// The master's pod is of an old revision.
    Update,
}

/// A swap that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapTask {
    /// Who is to become master.
    pub to: NodeId,
    /// Why.
    pub why: SwapWhy,
    /// Since when.
    pub began: Millis,
}

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwapResult {
    /// The other node is master.
    Done,
    /// It took too long; the old master went on.
    TimedOut,
    /// It was called off; the old master went on.
    Cancelled,
    /// The old master was lost meanwhile, and the other node was promoted by failover.
    Overtaken,
}

/// A swap that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapEnd {
    /// Which.
    pub number: u64,
    /// What it was.
    pub task: SwapTask,
    /// When it ended.
    pub ended: Millis,
    /// How.
    pub result: SwapResult,
}

impl Memory {
    /// What is known when the record has just been made.
    pub fn new(record: Record) -> Self {
        Self {
            record,
            handled_order: None,
            handled_swap: None,
            volumes: [None, None],
            swap: None,
            last_swap: None,
            last_failover: None,
            mirrored_once: false,
            accepted: None,
        }
    }

    /// The same with another record.
    #[must_use]
    pub fn with(&self, record: Record) -> Self {
        Self { record, ..self.clone() }
    }

    /// Ends the swap that is under way.
    pub fn end_swap(&mut self, result: SwapResult, now: Millis) {
        if let Some(task) = self.swap.take() {
            self.last_swap = Some(SwapEnd { number: self.record.last_swap, task, ended: now, result });
        }
    }

    /// A member by the record that still has the volume with which it was recorded.
    pub fn trusts(&self, member: Member, volume: Option<&str>) -> bool {
        self.record.is_member(member) && !self.volume_replaced(member.node, volume)
    }

    /// Whether a node has another volume than the one it was recorded with (rule A5).
    pub fn volume_replaced(&self, node: NodeId, volume: Option<&str>) -> bool {
        matches!((&self.volumes[node.index()], volume), (Some(known), Some(seen)) if known != seen)
    }

    /// The record without a node whose volume is not the one it was recorded with (rule A5). The holder stays: it is
    /// not asked to go on, and another one is promoted by rule A4 or by a person.
    pub fn without(&self, node: NodeId) -> Option<Record> {
        let record = &self.record;
        let named = record.members.iter().any(|member| member.node == node);
        (named && node != record.holder && record.policy != AckPolicy::Local).then(|| Record {
            serial: record.serial + 1,
            members: record.members.iter().copied().filter(|member| member.node != node).collect(),
            ..record.clone()
        })
    }
}
