//! The nodes, the Lease, the operators, and everything between them that can fail.

use crate::node::{Entry, Node};
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::Role;
use mailmirror_model::ids::{AuthorityId, Incarnation, NodeId, StoreId};
use mailmirror_operator::api::MasterOrder;
use mailmirror_operator::authority::Memory;
use mailmirror_operator::decide::{Input, Plan, decide};
use mailmirror_operator::observe::{Answer, NodeView, Observed, PodView, ToldMark, VolumeView};
use mailmirror_operator::pair::Policy;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// What may go wrong beyond messages and processes.
#[derive(Clone, Copy)]
pub struct Faults {
    pub operators: usize,
    pub disks: bool,
    pub lease: bool,
}

/// Numbers that follow from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }

    fn once_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

struct Operator {
    answers: [Answer; 2],
    told: [Option<ToldMark>; 2],
    /// A plan between its making and its end, with the version of the Lease that it stands on
    /// and the volumes of the pods that it is for.
    begun: Option<(Plan, Option<Memory>, u64, [u64; 2])>,
}

impl Operator {
    fn new(now: u64) -> Self {
        let unknown = || Answer::Unknown { why: "not asked".into(), since: now, last: None };
        Self { answers: [unknown(), unknown()], told: [None, None], begun: None }
    }
}

pub struct World {
    seed: u64,
    dice: Dice,
    now: u64,
    faults: Faults,
    policy: Policy,
    nodes: [Node; 2],
    volumes: [u64; 2],
    labels: [Option<Role>; 2],
    linked: bool,
    reached: Vec<[bool; 2]>,
    operators: Vec<Operator>,
    lease: (Option<Memory>, u64),
    letters: Vec<(NodeId, Incarnation, Record)>,
    next_operation: u64,
    next_store: u128,
    pub acknowledged: BTreeSet<u64>,
    pub promotions: usize,
}

impl World {
    pub fn new(seed: u64, acknowledgement: AckPolicy, faults: Faults) -> Self {
        let policy = Policy {
            acknowledgement,
            order: MasterOrder::Any,
            automatic_failover: true,
            failover_delay: Duration::from_secs(1),
            failover_interval: Duration::from_secs(1),
            lag_max_entries: 0,
            swap_timeout: Duration::from_secs(20),
            paused: false,
            swap: None,
            accept_loss: None,
        };
        Self {
            seed,
            dice: Dice(seed),
            now: 1_000_000,
            faults,
            policy,
            nodes: [Node::new(NodeId::Zero, StoreId(1)), Node::new(NodeId::One, StoreId(2))],
            volumes: [1, 2],
            labels: [None, None],
            linked: true,
            reached: vec![[true, true]; faults.operators],
            operators: (0..faults.operators).map(|_| Operator::new(1_000_000)).collect(),
            lease: (None, 0),
            letters: vec![],
            next_operation: 1,
            next_store: 10,
            acknowledged: BTreeSet::new(),
            promotions: 0,
        }
    }

    pub fn step(&mut self) {
        self.now += 50 + self.dice.roll(200) as u64;
        let operator = self.dice.roll(self.operators.len());
        let node = self.dice.roll(2);
        match self.dice.roll(100) {
            0..20 => self.write(node),
            20..45 => self.stream(),
            45..60 => self.refresh(operator, node),
            60..74 => self.begin(operator),
            74..86 => self.finish(operator),
            86..90 => self.deliver(),
            90..92 => self.linked = !self.dice.once_in(3),
            92..94 => self.reached[operator][node] = !self.dice.once_in(3),
            94..96 => self.crash_or_restart(node),
            96 => self.operators[operator] = Operator::new(self.now),
            97 => {
                let orders = [MasterOrder::Any, MasterOrder::Node(NodeId::Zero), MasterOrder::Node(NodeId::One)];
                self.policy.order = orders[self.dice.roll(3)];
            }
            98 => self.policy.swap = Some(self.dice.roll(1000).to_string()),
            99 if self.faults.lease && self.dice.once_in(2) => self.lose_lease(),
            _ if self.faults.disks && self.dice.once_in(4) => self.lose_disk(node),
            _ => {}
        }
        self.acknowledge();
    }

    fn write(&mut self, node: usize) {
        self.nodes[node].write(self.next_operation);
        self.next_operation += 1;
    }

    fn stream(&mut self) {
        let lost = self.dice.once_in(4);
        let [a, b] = &mut self.nodes;
        if self.linked && a.up && b.up {
            a.stream(b, lost);
            b.stream(a, lost);
        } else {
            a.unlink();
            b.unlink();
        }
    }

    fn acknowledge(&mut self) {
        for node in &self.nodes {
            for entry in node.acknowledges() {
                self.acknowledged.extend(entry.operation());
            }
        }
    }

    fn crash_or_restart(&mut self, node: usize) {
        if self.nodes[node].up {
            self.nodes[node].up = false;
            self.labels[node] = self.labels[node].filter(|_| !self.dice.once_in(2));
        } else {
            self.nodes[node].restart();
        }
    }

    /// The node comes back with nothing; or with an older state, which it notices; or restored into another volume,
    /// which only the operator can notice.
    fn lose_disk(&mut self, node: usize) {
        self.next_store += 1;
        let kept = self.dice.roll(self.nodes[node].log.len() + 1);
        let it = &mut self.nodes[node];
        match self.dice.roll(3) {
            0 => {
                (it.log, it.obeyed, it.store) = (vec![], None, StoreId(self.next_store));
                self.volumes[node] += 10;
            }
            1 => {
                it.log.truncate(kept);
                it.store = StoreId(self.next_store);
            }
            _ => {
                it.log.truncate(kept);
                self.volumes[node] += 10;
            }
        }
        it.restart();
    }

    /// Before both have heard of a first record, nobody could tell the first master from one that lost its store.
    fn lose_lease(&mut self) {
        if self.nodes.iter().all(|node| node.obeyed.is_some()) {
            self.lease = (None, self.lease.1 + 1);
        }
    }

    fn status(&self, node: usize) -> mailmirror_control::status::NodeStatus {
        let (it, other) = (&self.nodes[node], &self.nodes[1 - node]);
        it.status(Some(other).filter(|other| self.linked && other.up && other.epoch() == it.epoch()))
    }

    fn refresh(&mut self, operator: usize, node: usize) {
        let heard = (self.nodes[node].up && self.reached[operator][node]).then(|| self.status(node));
        let answer = &mut self.operators[operator].answers[node];
        *answer = match (heard, std::mem::replace(answer, Answer::Unknown { why: String::new(), since: 0, last: None }))
        {
            (Some(status), _) => Answer::Status(Box::new(status)),
            (None, Answer::Status(last)) => Answer::Unknown { why: "silent".into(), since: self.now, last: Some(last) },
            (None, unknown) => unknown,
        };
    }

    fn begin(&mut self, operator: usize) {
        let views = [0, 1].map(|node| NodeView {
            pod: Some(PodView {
                uid: String::new(),
                ip: None,
                label: self.labels[node],
                ready: true,
                terminating: false,
                stopped: !self.nodes[node].up && self.dice.once_in(2),
                host_lost: false,
                cordoned: false,
                revision: None,
                stuck: None,
            }),
            volume: VolumeView::Bound { uid: self.volumes[node].to_string() },
            answer: self.operators[operator].answers[node].clone(),
            told: self.operators[operator].told[node],
        });
        let observed = Observed { nodes: views, update_revision: None };
        let fresh = AuthorityId(u128::from(self.now));
        let (memory, version) = self.lease.clone();
        let input = Input {
            namespace: "mail",
            name: "office",
            observed: &observed,
            memory: memory.as_ref(),
            policy: &self.policy,
            now: self.now,
            fresh,
        };
        let plan = decide(&input);
        self.operators[operator].begun = Some((plan, memory, version, self.volumes));
    }

    fn finish(&mut self, operator: usize) {
        let Some((plan, memory, version, volumes)) = self.operators[operator].begun.take() else { return };
        for node in plan.unroute {
            self.labels[node.index()] = None;
        }
        if let Some(next) = plan.write {
            if self.lease.1 == version {
                let promoted = memory.is_some_and(|memory| memory.record.epoch < next.record.epoch);
                self.promotions += usize::from(promoted);
                // Only a record made anew beside an older authority's word begins with a gap.
                let gap = next.record.gap && !self.faults.lease;
                assert!(!gap, "seed {}: nobody accepted a loss", self.seed);
                self.lease = (Some(*next), version + 1);
            }
            return;
        }
        let Some(memory) = memory else { return };
        for node in plan.tell {
            if volumes[node.index()] != self.volumes[node.index()] {
                continue;
            }
            self.letters.push((node, self.nodes[node.index()].incarnation, memory.record.clone()));
            if self.reached[operator][node.index()] && self.nodes[node.index()].up && !self.dice.once_in(4) {
                let refused = self.nodes[node.index()].obey(&memory.record);
                let status = self.status(node.index());
                self.operators[operator].told[node.index()] = Some(ToldMark {
                    incarnation: status.incarnation,
                    authority: memory.record.authority,
                    serial: memory.record.serial,
                    refused,
                    at: self.now,
                });
                self.operators[operator].answers[node.index()] = Answer::Status(Box::new(status));
            }
        }
        for (node, role) in plan.route {
            self.labels[node.index()] = Some(role);
        }
    }

    /// A letter that was sent once may come again at any time, but to the same run: it is bound to a connection.
    fn deliver(&mut self) {
        if self.letters.is_empty() {
            return;
        }
        let (node, run, record) = self.letters[self.dice.roll(self.letters.len())].clone();
        if self.nodes[node.index()].up && self.nodes[node.index()].incarnation == run {
            self.nodes[node.index()].obey(&record);
        }
    }

    fn has_all(&self, node: &Node) -> bool {
        let has: HashSet<u64> = node.log.iter().filter_map(Entry::operation).collect();
        self.acknowledged.iter().all(|operation| has.contains(operation))
    }

    pub fn check(&self) {
        let [a, b] = &self.nodes;
        let master = |node: &Node| node.up && node.role == Role::Master;
        assert!(!(master(a) && master(b) && a.epoch() == b.epoch()), "seed {}: two masters of one epoch", self.seed);
        let Some(memory) = &self.lease.0 else { return };
        for node in &self.nodes {
            let member = Member { node: node.id, store: node.store };
            let volume = self.volumes[node.id.index()].to_string();
            if memory.trusts(member, Some(&volume)) {
                assert!(self.has_all(node), "seed {}: member {} lacks something", self.seed, node.id);
            }
            if master(node) && node.epoch() == Some(memory.record.epoch) {
                assert!(self.has_all(node), "seed {}: master {} lacks something", self.seed, node.id);
            }
        }
    }

    /// Everything works again, and time passes.
    pub fn heal(&mut self) {
        self.linked = true;
        self.reached = vec![[true, true]; self.operators.len()];
        for node in &mut self.nodes {
            if !node.up {
                node.restart();
            }
        }
        for round in 0..120 {
            self.now += 500;
            self.stream();
            self.write(round % 2);
            for operator in 0..self.operators.len() {
                self.refresh(operator, 0);
                self.refresh(operator, 1);
                self.begin(operator);
                self.finish(operator);
            }
            self.acknowledge();
            self.check();
        }
        // What is on its way arrives.
        for _ in 0..1000 {
            self.stream();
        }
        self.acknowledge();
        self.check();
    }

    /// One master, one slave, both members, both with everything, routed.
    pub fn whole(&self) -> bool {
        let Some(memory) = &self.lease.0 else { return false };
        let record = &memory.record;
        let member = |node: &Node| record.is_member(Member { node: node.id, store: node.store });
        let role = |node: &Node| if node.id == record.holder { Role::Master } else { Role::Slave };
        self.nodes.iter().all(|node| {
            member(node)
                && node.role == role(node)
                && self.has_all(node)
                && self.labels[node.id.index()] == Some(role(node))
        })
    }

    pub fn labelled_masters(&self) -> usize {
        self.labels.iter().filter(|label| **label == Some(Role::Master)).count()
    }
}
