//! Rows of the planner, each by a situation and what follows from it.
#![allow(clippy::unwrap_used)]

mod first;
mod office;
mod roles;
mod rollout;

use super::*;
use crate::api::MasterOrder;
use crate::observe::{Answer, PodView, ToldMark, VolumeView};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Counters, Link, Obeyed};
use mailmirror_model::ids::{GrantNumber, Incarnation, Position, Seq, StoreId};
use std::time::Duration;

const ZERO: NodeId = NodeId::Zero;
const ONE: NodeId = NodeId::One;
const NOW: Millis = 1_000_000;
const AUTHORITY: AuthorityId = AuthorityId(7);
const FRESH: AuthorityId = AuthorityId(8);

fn store(node: NodeId) -> StoreId {
    StoreId(10 + u128::from(u8::from(node)))
}

fn member(node: NodeId) -> Member {
    Member { node, store: store(node) }
}

fn status(node: NodeId) -> NodeStatus {
    NodeStatus {
        version: "1".into(),
        node,
        store: store(node),
        incarnation: Incarnation(100 + u64::from(u8::from(node))),
        started_at: 0,
        role: Role::None,
        obeyed: None,
        in_office: false,
        alone: false,
        degraded_since: None,
        serving: false,
        tail: Position { epoch: Epoch(0), seq: Seq(0) },
        committed: Seq(0),
        applied: Seq(0),
        peer_flushed: None,
        link: Link::Disconnected { since: 0, error: None },
        lag_entries: None,
        oldest_unsent_ms: None,
        wish: None,
        ready: None,
        swap: None,
        progress: None,
        counters: Counters::default(),
        conflicts: 0,
        proven_equal: None,
        accounts: 0,
        messages: 0,
        log_bytes: 0,
        problems: vec![],
    }
}

/// A situation that tests change.
struct Scene {
    observed: Observed,
    memory: Option<Memory>,
    policy: Policy,
    now: Millis,
}

impl Scene {
    /// Two new nodes that answer.
    fn new() -> Self {
        let view = |node: NodeId| NodeView {
            pod: Some(PodView {
                uid: format!("pod-{node}"),
                ip: None,
                label: None,
                ready: true,
                terminating: false,
                stopped: false,
                host_lost: false,
                cordoned: false,
                revision: Some("r1".into()),
                stuck: None,
            }),
            volume: VolumeView::Bound { uid: format!("claim-{node}") },
            answer: Answer::Status(Box::new(status(node))),
            told: None,
        };
        let policy = Policy {
            acknowledgement: AckPolicy::Peer,
            order: MasterOrder::Any,
            automatic_failover: true,
            failover_delay: Duration::from_secs(1),
            failover_interval: Duration::from_secs(10),
            lag_max_entries: 0,
            swap_timeout: Duration::from_secs(30),
            paused: false,
            swap: None,
            accept_loss: None,
        };
        let observed = Observed { nodes: [view(ZERO), view(ONE)], update_revision: Some("r1".into()) };
        Self { observed, memory: None, policy, now: NOW }
    }

    /// A healthy pair: node 0 leads epoch 2, both are members, connected, told and routed.
    fn healthy() -> Self {
        let mut scene = Self::new();
        let mut record = Record::first(AUTHORITY, AckPolicy::Peer, member(ZERO), None);
        record.members.push(member(ONE));
        let mut memory = Memory::new(record);
        memory.handled_order = Some(MasterOrder::Any);
        memory.volumes = [Some("claim-0".into()), Some("claim-1".into())];
        memory.mirrored_once = true;
        scene.memory = Some(memory);
        scene.settle();
        scene
    }

    /// The nodes have heard the record and obey it.
    fn settle(&mut self) {
        let record = self.record().clone();
        for node in NodeId::BOTH {
            let role = if node == record.holder { Role::Master } else { Role::Slave };
            let peer = node.peer();
            self.pod(node).label = Some(role);
            self.observed.nodes[node.index()].told = Some(ToldMark {
                incarnation: status(node).incarnation,
                authority: record.authority,
                serial: record.serial,
                refused: false,
                at: 0,
            });
            self.answer(node, |status| {
                status.role = role;
                status.obeyed = Some(Obeyed {
                    authority: record.authority,
                    epoch: record.epoch,
                    holder: record.holder,
                    grant: record.grant,
                    policy: record.policy,
                });
                status.link = connected(peer);
                status.lag_entries = Some(0);
            });
        }
    }

    fn record(&mut self) -> &mut Record {
        &mut self.memory.as_mut().unwrap().record
    }

    fn memory(&mut self) -> &mut Memory {
        self.memory.as_mut().unwrap()
    }

    fn pod(&mut self, node: NodeId) -> &mut PodView {
        self.observed.nodes[node.index()].pod.as_mut().unwrap()
    }

    fn answer(&mut self, node: NodeId, change: impl FnOnce(&mut NodeStatus)) {
        let Answer::Status(status) = &mut self.observed.nodes[node.index()].answer else {
            panic!("node {node} is silent")
        };
        change(status);
    }

    /// The node is silent for so long, and its peer has noticed.
    fn silence(&mut self, node: NodeId, for_ms: u64) {
        let view = &mut self.observed.nodes[node.index()];
        let last = view.status().cloned().map(Box::new);
        view.answer = Answer::Unknown { why: "no answer".into(), since: self.now - for_ms, last };
        if self.observed.node(node.peer()).status().is_some() {
            self.answer(node.peer(), |status| status.link = Link::Disconnected { since: 0, error: None });
        }
    }

    fn plan(&self) -> Plan {
        decide(&Input {
            namespace: "mail",
            name: "office",
            observed: &self.observed,
            memory: self.memory.as_ref(),
            policy: &self.policy,
            now: self.now,
            fresh: FRESH,
        })
    }

    /// Takes over what a plan writes, as if the Lease had been written.
    fn follow(&mut self) -> Plan {
        let plan = self.plan();
        for node in &plan.unroute {
            self.pod(*node).label = None;
        }
        if let Some(memory) = &plan.write {
            self.memory = Some(memory.as_ref().clone());
        }
        plan
    }
}

fn connected(peer: NodeId) -> Link {
    Link::Connected { since: 0, peer_store: store(peer), peer_incarnation: status(peer).incarnation }
}

fn grant_number(number: u64) -> GrantNumber {
    GrantNumber(number)
}

#[test]
fn nothing_follows_from_a_healthy_pair() {
    assert_eq!(Scene::healthy().plan(), Plan::default());
}
