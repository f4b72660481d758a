//! Two real nodes, a real record, and everything that can go wrong between them. Records, wishes, reports and standings
//! that were sent once may arrive at any time later, again, or never; a connection delivers in order until it breaks;
//! nodes crash and lose what was not flushed; volumes come back older or empty, with a new store id (rule A5).

use super::super::*;
use mailmirror_control::record::Record;
use mailmirror_model::ids::{AuthorityId, Epoch};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// A rule that is left out, to see that the exploration finds what it is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// An expansion need not carry the latest grant number (A3).
    GrantNumber,
    /// A grant need not name the run of the process that asked (A2).
    Incarnation,
    /// A grant counts as often as it is told (A2).
    GrantTwice,
    /// The slave may be reported while the master still answers alone (A3).
    HoldFirst,
    /// The record names nodes, not stores (A1, A4).
    Store,
    /// Acknowledgements of an earlier connection still count (A5).
    Connection,
    /// What the slave has received counts before it is on its disk (L2).
    Flushed,
    /// A change of the policy does not count as a grant (A3).
    Policy,
    /// A new master does not wait for the lease that it gave (A6).
    NoWait,
    /// The lease counts from when its answer comes (A6).
    LeaseFromAnswer,
}

/// How much of everything there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub operations: u8,
    pub epochs: u64,
    pub grants: u64,
    pub restarts: u8,
    pub policies: u8,
    pub swaps: u64,
    pub broken: Broken,
}

pub const SMALL: Bounds =
    Bounds { operations: 1, epochs: 1, grants: 1, restarts: 1, policies: 0, swaps: 0, broken: Broken::Nothing };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Crash(usize),
    Restart(usize),
    /// On a volume that lacks the last entry.
    RestartOlder(usize),
    RestartEmpty(usize),
    /// A record that was written once arrives.
    Tell(usize, usize),
    /// What a node obeyed once is heard by the other one.
    Standing(usize, usize),
    Connect,
    Break,
    Entry,
    Flush(usize),
    Ack,
    Commit,
    Write(usize),
    Wish(usize),
    Report(usize),
    /// The slave is found not to keep up.
    Stall(usize),
    Grant(usize),
    Expand(usize),
    Promote(usize),
    Policy(AckPolicy),
    Swap,
    CancelSwap,
    Tick(usize),
    /// So many milliseconds.
    Time(u64),
    Ping,
    PingArrives,
    PongArrives,
}

const EPOCH: u8 = 200;
const GRANT: u8 = 100;
const SEAL: u8 = 99;
const START: u64 = 1_000_000;

#[derive(Clone)]
pub struct Host {
    pub me: NodeId,
    pub node: Option<Node>,
    /// Epoch, and operation or kind.
    pub log: Vec<(u64, u8)>,
    pub flushed: usize,
    pub store: u8,
    pub run: u8,
    pub obeyed: Option<Obeyed>,
    /// Its clock runs this much too fast, in millionths.
    pub drift: i64,
}

#[derive(Clone, Default)]
pub struct Line {
    pub master: usize,
    pub slave_open: bool,
    ack: Option<usize>,
    pings: Vec<(Time, Epoch, bool)>,
    pongs: Vec<(Time, Epoch, bool)>,
}

#[derive(Clone)]
pub struct World {
    pub bounds: Bounds,
    pub timing: Timing,
    pub record: Record,
    pub history: Vec<Record>,
    standings: Vec<(usize, Obeyed)>,
    wishes: Vec<Wish>,
    reports: Vec<Ready>,
    pub hosts: [Host; 2],
    pub line: Option<Line>,
    pub acked: Vec<u8>,
    pub next_operation: u8,
    next_store: u8,
    policies: u8,
    millis: u64,
}

impl World {
    /// Before anything happened.
    pub fn new(bounds: Bounds, timing: Timing, drift: [i64; 2]) -> Self {
        let host = |me: NodeId, store| Host {
            me,
            node: None,
            log: Vec::new(),
            flushed: 0,
            store,
            run: 0,
            obeyed: None,
            drift: drift[me.index()],
        };
        let first = Member { node: NodeId::Zero, store: StoreId(10) };
        let record = Record::first(AuthorityId(7), AckPolicy::Peer, first, None);
        Self {
            bounds,
            timing,
            history: vec![record.clone()],
            record,
            standings: Vec::new(),
            wishes: Vec::new(),
            reports: Vec::new(),
            hosts: [host(NodeId::Zero, 10), host(NodeId::One, 11)],
            line: None,
            acked: Vec::new(),
            next_operation: 1,
            next_store: 12,
            policies: 0,
            millis: START,
        }
    }

    /// Both nodes mirrored and recorded; what was said before is forgotten.
    pub fn mirrored(bounds: Bounds, timing: Timing, drift: [i64; 2]) -> Self {
        let mut world = Self::new(bounds, timing, drift);
        world.heal().unwrap();
        world.timing = timing;
        for node in world.hosts.iter_mut().filter_map(|host| host.node.as_mut()) {
            node.timing = timing;
        }
        (world.bounds.grants, world.bounds.epochs) = (bounds.grants, bounds.epochs);
        world.history = vec![world.record.clone()];
        world.standings.clear();
        world.wishes.clear();
        world.reports.clear();
        world.bounds.grants += world.record.grant.0;
        world.bounds.epochs += world.record.epoch.0;
        world.bounds.swaps += world.record.last_swap;
        world.bounds.restarts += 1;
        world
    }

    pub fn now(&self, i: usize) -> Time {
        let since = i64::try_from(self.millis - START).unwrap();
        Time(START + u64::try_from(since + since * self.hosts[i].drift / 1_000_000).unwrap())
    }

    /// Everything that may happen next.
    pub fn steps(&self, with_time: bool) -> Vec<Step> {
        let mut steps = Vec::new();
        for (i, host) in self.hosts.iter().enumerate() {
            let Some(node) = &host.node else {
                steps.extend([Step::Restart(i), Step::RestartEmpty(i)]);
                if !host.log.is_empty() {
                    steps.push(Step::RestartOlder(i));
                }
                continue;
            };
            if host.run < self.bounds.restarts {
                steps.push(Step::Crash(i));
            }
            steps.extend((0..self.history.len()).map(|k| Step::Tell(i, k)));
            let others = self.standings.iter().enumerate().filter(|(_, (from, _))| *from != i);
            steps.extend(others.map(|(k, _)| Step::Standing(i, k)));
            if host.flushed < host.log.len() {
                steps.push(Step::Flush(i));
            }
            if node.role() == Role::Master {
                steps.extend([Step::Write(i), Step::Wish(i), Step::Report(i), Step::Stall(i)]);
            }
            steps.push(Step::Promote(i));
            if self.bounds.swaps > 0 || with_time {
                steps.push(Step::Tick(i));
            }
        }
        steps.extend([Step::Connect, Step::Break, Step::Entry, Step::Ack, Step::Commit]);
        steps.extend((0..self.wishes.len()).map(Step::Grant));
        steps.extend((0..self.reports.len()).map(Step::Expand));
        if self.policies < self.bounds.policies {
            steps.extend([AckPolicy::Local, AckPolicy::Peer, AckPolicy::Both].map(Step::Policy));
        }
        if self.bounds.swaps > 0 {
            steps.extend([Step::Swap, Step::CancelSwap]);
        }
        if with_time {
            steps.extend([10, 100, 700].map(Step::Time));
            steps.extend([Step::Ping, Step::PingArrives, Step::PongArrives]);
        }
        steps
    }

    /// Takes one step, if it is possible.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Crash(i) => self.crash(i),
            Step::Restart(i) => self.restart(i),
            Step::RestartOlder(i) => {
                self.hosts[i].log.pop();
                self.other_volume(i);
            }
            Step::RestartEmpty(i) => {
                self.hosts[i].log.clear();
                self.other_volume(i);
            }
            Step::Tell(i, k) => self.tell(i, self.history[k].clone()),
            Step::Standing(i, k) => self.stand(i, self.standings[k].1),
            Step::Connect => self.connect(),
            Step::Break => self.break_line(),
            Step::Entry => self.entry(),
            Step::Flush(i) => self.flush(i),
            Step::Ack => self.ack(),
            Step::Commit => self.tell_commit(),
            Step::Write(i) => self.write(i),
            Step::Wish(i) => {
                let now = self.now(i);
                note(&mut self.wishes, self.hosts[i].node.as_ref().and_then(|node| node.wish(now)));
            }
            Step::Report(i) => self.report(i),
            Step::Stall(i) => self.stall(i),
            Step::Grant(k) => self.grant(k),
            Step::Expand(k) => self.expand(k),
            Step::Promote(i) => self.promote(i),
            Step::Policy(policy) => self.switch_policy(policy),
            Step::Swap if self.record.last_swap < self.bounds.swaps => self.put(self.record.begin_swap()),
            Step::CancelSwap => {
                if let Ok(next) = self.record.cancel_swap() {
                    self.put(next);
                }
            }
            Step::Swap => {}
            Step::Tick(i) => self.tick(i),
            Step::Time(millis) => self.millis += millis,
            Step::Ping => self.ping(),
            Step::PingArrives => self.ping_arrives(),
            Step::PongArrives => self.pong_arrives(),
        }
        self.settle();
    }

    /// What is committed is applied, and what a master has committed is acknowledged.
    fn settle(&mut self) {
        for host in &mut self.hosts {
            let Some(node) = &mut host.node else { continue };
            let committed = usize::try_from(node.committed().0).unwrap();
            node.on_applied(node.committed().min(node.flushed()));
            if node.role() == Role::Master {
                for (_, operation) in host.log.iter().take(committed).filter(|(_, kind)| *kind < SEAL) {
                    if !self.acked.contains(operation) {
                        self.acked.push(*operation);
                    }
                }
            }
        }
        self.acked.sort_unstable();
    }

    fn crash(&mut self, i: usize) {
        let host = &mut self.hosts[i];
        host.node = None;
        host.log.truncate(host.flushed);
        match &mut self.line {
            Some(line) if line.master == i => self.line = None,
            Some(line) => line.slave_open = false,
            None => {}
        }
    }

    fn other_volume(&mut self, i: usize) {
        self.hosts[i].flushed = self.hosts[i].log.len();
        // Another store has obeyed nobody: it resumes no role.
        self.hosts[i].obeyed = None;
        if self.bounds.broken != Broken::Store {
            self.hosts[i].store = self.next_store;
            self.next_store += 1;
        }
        self.restart(i);
    }

    fn restart(&mut self, i: usize) {
        let (now, timing) = (self.now(i), self.timing);
        let host = &mut self.hosts[i];
        host.run += 1;
        let identity = Identity {
            node: host.me,
            store: StoreId(u128::from(host.store)),
            incarnation: Incarnation(u64::from(host.run) * 2 + host.me.index() as u64),
        };
        let log = (tail_of(&host.log), Seq::ZERO);
        host.node = Some(Node::start(identity, timing, false, host.obeyed, log, Seq::ZERO, now));
    }

    fn tell(&mut self, i: usize, mut record: Record) {
        let now = self.now(i);
        let Some(node) = &mut self.hosts[i].node else { return };
        if self.bounds.broken == Broken::Incarnation && record.granted_to.is_some() {
            record.granted_to = Some(node.identity.incarnation);
        }
        if self.bounds.broken == Broken::GrantTwice && node.alone == Alone::No && record.granted_to.is_some() {
            node.seen_grant = GrantNumber(record.grant.0 - 1);
        }
        let before = (node.role(), node.obeyed().copied());
        let Ok(actions) = node.obey(&record, now) else { return };
        if self.bounds.broken == Broken::NoWait {
            node.office_from = now;
        }
        self.carry_out(i, actions);
        self.role_changed(i, before);
    }

    fn stand(&mut self, i: usize, other: Obeyed) {
        let now = self.now(i);
        let Some(node) = &mut self.hosts[i].node else { return };
        let before = (node.role(), node.obeyed().copied());
        let mut actions = node.see_epoch(other, now);
        actions.extend(node.resume(other.epoch, now));
        self.carry_out(i, actions);
        self.role_changed(i, before);
    }

    fn role_changed(&mut self, i: usize, before: (Role, Option<Obeyed>)) {
        let Some(node) = &self.hosts[i].node else { return };
        if let Some(obeyed) = node.obeyed().copied()
            && !self.standings.contains(&(i, obeyed))
        {
            self.standings.push((i, obeyed));
        }
        let changed = before.0 != node.role() || before.1.map(|obeyed| obeyed.epoch) != node.obeyed().map(|o| o.epoch);
        if changed {
            match &mut self.line {
                Some(line) if line.master == i => self.line = None,
                Some(line) => line.slave_open = false,
                None => {}
            }
        }
    }

    fn carry_out(&mut self, i: usize, actions: Vec<Action>) {
        let now = self.now(i);
        let host = &mut self.hosts[i];
        let Some(node) = &mut host.node else { return };
        for action in actions {
            let kind = match action {
                Action::Persist(obeyed) => {
                    host.obeyed = Some(obeyed);
                    continue;
                }
                Action::RestartLink => continue,
                Action::WriteEpoch(_) => EPOCH,
                Action::WriteGrant(grant) => GRANT + u8::try_from(grant.number.0).unwrap(),
                Action::WriteSeal(_) => SEAL,
            };
            host.log.push((node.obeyed().unwrap().epoch.0, kind));
            node.on_appended(tail_of(&host.log), now);
        }
    }

    /// The master and the slave of one epoch find each other; what differs at the slave is a branch, and goes.
    fn connect(&mut self) {
        let roles = [0, 1].map(|i| self.hosts[i].node.as_ref().map(|node| (node.role(), node.obeyed().copied())));
        let (Some(zero), Some(one)) = (roles[0], roles[1]) else { return };
        if zero.1.map(|obeyed| obeyed.epoch) != one.1.map(|obeyed| obeyed.epoch) {
            return;
        }
        let master = match (zero.0, one.0) {
            (Role::Master, Role::Slave) => 0,
            (Role::Slave, Role::Master) => 1,
            _ => return,
        };
        self.break_line();
        let slave = 1 - master;
        let (now_master, now_slave) = (self.now(master), self.now(slave));
        let common =
            self.hosts[0].log.iter().zip(&self.hosts[1].log).take_while(|(ours, theirs)| ours == theirs).count();
        let host = &mut self.hosts[slave];
        if host.log.len() > common {
            // The log is cut when all of it is on the disk.
            host.log.truncate(common);
            host.flushed = common;
        }
        let node = host.node.as_mut().unwrap();
        node.on_truncated(tail_of(&host.log));
        if host.flushed == common {
            node.on_flushed(Seq(common as u64), now_slave);
        }
        node.on_following(true);
        let counted = if self.bounds.broken == Broken::Flushed { common } else { host.flushed };
        let (store, incarnation) = (node.identity.store, node.identity.incarnation);
        let peer = self.hosts[master].node.as_mut().unwrap();
        peer.on_peer(store, incarnation, Seq(counted as u64), false, now_master);
        let late = self.line.take().and_then(|line| line.ack).filter(|_| self.bounds.broken == Broken::Connection);
        self.line = Some(Line { master, slave_open: true, ack: late, ..Line::default() });
    }

    fn break_line(&mut self) {
        let Some(line) = &mut self.line else { return };
        let (master, slave) = (line.master, 1 - line.master);
        let (now, was_open) = (self.now(master), self.line.as_ref().is_some_and(|line| line.slave_open));
        if let Some(node) = &mut self.hosts[master].node {
            node.on_peer_gone(now);
        }
        if let Some(node) = self.hosts[slave].node.as_mut().filter(|_| was_open) {
            node.on_following(false);
        }
        if self.bounds.broken != Broken::Connection {
            self.line = None;
        }
    }

    fn entry(&mut self) {
        let Some(Line { master, slave_open: true, .. }) = self.line else { return };
        let (now, at) = (self.now(1 - master), self.hosts[1 - master].log.len());
        let Some(entry) = self.hosts[master].log.get(at).copied() else { return };
        let host = &mut self.hosts[1 - master];
        host.log.push(entry);
        host.node.as_mut().unwrap().on_appended(tail_of(&host.log), now);
    }

    fn flush(&mut self, i: usize) {
        let now = self.now(i);
        let host = &mut self.hosts[i];
        host.flushed = host.log.len();
        let Some(node) = &mut host.node else { return };
        node.on_flushed(Seq(host.flushed as u64), now);
        if let Some(line) = self.line.as_mut().filter(|line| line.master != i && line.slave_open) {
            line.ack = Some(host.flushed);
        }
    }

    fn ack(&mut self) {
        let Some(Line { master, ack: Some(flushed), .. }) = self.line else { return };
        let now = self.now(master);
        self.hosts[master].node.as_mut().unwrap().on_peer_flushed(Seq(flushed as u64), false, now);
    }

    fn tell_commit(&mut self) {
        let Some(Line { master, slave_open: true, .. }) = self.line else { return };
        let (committed, now) = (self.hosts[master].node.as_ref().unwrap().committed(), self.now(1 - master));
        self.hosts[1 - master].node.as_mut().unwrap().on_commit_told(committed, now);
    }

    fn write(&mut self, i: usize) {
        let now = self.now(i);
        let host = &mut self.hosts[i];
        let Some(node) = &mut host.node else { return };
        if node.accept(now) == AcceptState::Here && self.next_operation <= self.bounds.operations {
            host.log.push((node.obeyed().unwrap().epoch.0, self.next_operation));
            self.next_operation += 1;
            node.on_appended(tail_of(&host.log), now);
        }
    }

    fn report(&mut self, i: usize) {
        let Some(node) = &mut self.hosts[i].node else { return };
        let mut ready = node.ready();
        if self.bounds.broken == Broken::HoldFirst && node.is_alone() {
            let mut other = node.clone();
            other.alone = Alone::No;
            ready = other.ready();
        }
        note(&mut self.reports, ready);
    }

    fn stall(&mut self, i: usize) {
        let now = self.now(i);
        let Some(node) = &mut self.hosts[i].node else { return };
        if let Some(peer) = &mut node.peer
            && peer.flushed < node.tail.seq
        {
            peer.in_sync = false;
            peer.mark = (node.tail.seq, now);
        }
    }

    fn tick(&mut self, i: usize) {
        let now = self.now(i);
        let Some(node) = &mut self.hosts[i].node else { return };
        let actions = node.tick(now);
        let sealed = actions.iter().any(|action| matches!(action, Action::WriteSeal(_)));
        self.carry_out(i, actions);
        if sealed {
            self.ping();
        }
    }

    fn ping(&mut self) {
        let Some(line) = &self.line else { return };
        let now = self.now(line.master);
        let Some(node) = &self.hosts[line.master].node else { return };
        let ping = (now, node.obeyed().unwrap().epoch, node.wants_office());
        if let Some(line) = &mut self.line {
            line.pings.push(ping);
        }
    }

    fn ping_arrives(&mut self) {
        let Some(line) = self.line.as_mut().filter(|line| line.slave_open && !line.pings.is_empty()) else { return };
        let (sent, epoch, office) = line.pings.remove(0);
        let slave = 1 - line.master;
        let now = self.now(slave);
        let given = self.hosts[slave].node.as_mut().unwrap().give_lease(epoch, office, now);
        if let Some(line) = &mut self.line {
            line.pongs.push((sent, epoch, given));
        }
    }

    fn pong_arrives(&mut self) {
        let Some(line) = self.line.as_mut().filter(|line| !line.pongs.is_empty()) else { return };
        let (mut sent, epoch, given) = line.pongs.remove(0);
        let master = line.master;
        if self.bounds.broken == Broken::LeaseFromAnswer {
            sent = self.now(master);
        }
        if given {
            self.hosts[master].node.as_mut().unwrap().on_lease(epoch, sent);
        }
    }

    // The authority: each of these is one compare-and-swap.

    fn put(&mut self, record: Record) {
        if record != self.record {
            self.record = record;
            self.history.push(self.record.clone());
        }
    }

    fn grant(&mut self, k: usize) {
        let Some(mut wish) = self.wishes.get(k).copied() else { return };
        if self.bounds.broken == Broken::Store {
            wish.store = self.recorded_store(wish.node).unwrap_or(wish.store);
        }
        if self.record.grant.0 < self.bounds.grants
            && let Ok(Some(next)) = self.record.grant(&wish)
        {
            self.put(next);
        }
    }

    fn expand(&mut self, k: usize) {
        let Some(mut ready) = self.reports.get(k).copied() else { return };
        if self.bounds.broken == Broken::GrantNumber {
            ready.grant = self.record.grant;
        }
        if let Ok(Some(next)) = self.record.expand(&ready) {
            self.put(next);
        }
    }

    fn promote(&mut self, i: usize) {
        let host = &self.hosts[i];
        let mut candidate = Member { node: host.me, store: StoreId(u128::from(host.store)) };
        if self.bounds.broken == Broken::Store {
            candidate.store = self.recorded_store(host.me).unwrap_or(candidate.store);
        }
        let sealed = self.record.policy == AckPolicy::Local && self.is_sealed_for(i);
        if host.node.is_some()
            && let Ok(next) = self.record.promote(candidate, sealed)
            && next.epoch.0 <= self.bounds.epochs
        {
            self.put(next);
        }
    }

    /// Whether the holder says that it is sealed, the record shows no cancellation, and the seal is the candidate's end.
    fn is_sealed_for(&self, i: usize) -> bool {
        let Some(swap) = self.record.swap else { return false };
        let progress = self.hosts[1 - i].node.as_ref().and_then(Node::swap);
        let own = self.hosts[i].node.as_ref().map(Node::tail);
        matches!(progress, Some(SwapProgress::Sealed { number, position })
            if number == swap.number && own == Some(position))
    }

    fn recorded_store(&self, node: NodeId) -> Option<StoreId> {
        self.record.members.iter().find(|member| member.node == node).map(|member| member.store)
    }

    fn switch_policy(&mut self, policy: AckPolicy) {
        if policy != self.record.policy {
            let mut next = self.record.with_policy(policy);
            if self.bounds.broken == Broken::Policy {
                next.grant = self.record.grant;
            } else {
                self.bounds.grants += next.grant.0 - self.record.grant.0;
            }
            self.policies += 1;
            self.put(next);
        }
    }

    /// What must always hold; or what does not.
    pub fn violated(&self) -> Option<String> {
        let mut in_office = 0;
        for (i, host) in self.hosts.iter().enumerate() {
            let me = Member { node: host.me, store: StoreId(u128::from(host.store)) };
            let holds = |log: &[(u64, u8)]| self.acked.iter().all(|op| log.iter().any(|(_, kind)| kind == op));
            let is_member = self.record.is_member(me)
                || self.bounds.broken == Broken::Store && self.recorded_store(host.me).is_some();
            if is_member && !holds(&host.log[..host.flushed]) {
                return Some(format!("member {i} lacks an acknowledged operation on its disk"));
            }
            let Some(node) = &host.node else { continue };
            let current = node.obeyed().is_some_and(|obeyed| obeyed.epoch == self.record.epoch);
            if node.role() == Role::Master && current && !holds(&host.log) {
                return Some(format!("master {i} lacks an acknowledged operation"));
            }
            in_office += usize::from(node.in_office(self.now(i)));
        }
        let epochs = [0, 1].map(|i| {
            let node = self.hosts[i].node.as_ref().filter(|node| node.role() == Role::Master);
            node.and_then(|node| node.obeyed().map(|obeyed| obeyed.epoch))
        });
        if epochs[0].is_some() && epochs[0] == epochs[1] {
            return Some("two masters of one epoch".to_owned());
        }
        (in_office > 1).then(|| "two masters in office".to_owned())
    }

    /// Whether both nodes mirror, and the master takes changes.
    pub fn is_whole(&self) -> bool {
        let holder = self.record.holder.index();
        let (Some(master), Some(slave)) = (&self.hosts[holder].node, &self.hosts[1 - holder].node) else {
            return false;
        };
        master.role() == Role::Master
            && slave.is_following()
            && master.obeyed().is_some_and(|obeyed| obeyed.epoch == self.record.epoch)
            && master.slave_is_member()
            && master.committed() == master.tail().seq
            && master.accept(self.now(holder)) == AcceptState::Here
            && master.in_office(self.now(holder))
            && !master.is_alone()
    }

    /// Whether nobody has to accept a loss: a member can serve.
    pub fn can_heal(&self) -> bool {
        let is_member =
            |host: &Host| self.record.is_member(Member { node: host.me, store: StoreId(u128::from(host.store)) });
        self.hosts.iter().any(is_member) && self.record.policy == AckPolicy::Peer
    }

    /// Nothing fails any more, and the authority does its work: it tells a record once, when it is new or when a node
    /// has started anew.
    pub fn heal(&mut self) -> Result<(), String> {
        self.bounds.grants = u64::MAX;
        self.bounds.epochs = u64::MAX;
        self.timing = Timing::default();
        for node in self.hosts.iter_mut().filter_map(|host| host.node.as_mut()) {
            node.timing = self.timing;
        }
        let mut told = [(0, 0); 2];
        for _ in 0..200 {
            self.millis += 100;
            for i in [0, 1] {
                if self.hosts[i].node.is_none() {
                    self.take(Step::Restart(i));
                }
                let due = (self.record.serial, self.hosts[i].run);
                if told[i] != due {
                    told[i] = due;
                    self.take(Step::Tell(i, self.history.len() - 1));
                }
                let other = self.hosts[1 - i].node.as_ref().and_then(|node| node.obeyed().copied());
                if let Some(other) = other {
                    self.stand(i, other);
                }
                self.take(Step::Tick(i));
            }
            self.link_up();
            self.authority();
            if self.is_whole() {
                return Ok(());
            }
        }
        let nodes = self.hosts.each_ref().map(|host| host.node.clone());
        Err(format!("does not become whole: {:#?}\n{nodes:#?}", self.record))
    }

    fn link_up(&mut self) {
        if !self.line.as_ref().is_some_and(|line| line.slave_open) {
            self.take(Step::Connect);
        }
        for _ in 0..20 {
            self.take(Step::Entry);
        }
        for step in [Step::Flush(0), Step::Flush(1), Step::Ack, Step::Commit, Step::Ping] {
            self.take(step);
        }
        for _ in 0..20 {
            self.take(Step::PingArrives);
            self.take(Step::PongArrives);
        }
    }

    fn authority(&mut self) {
        let holder = self.record.holder.index();
        let member = |host: &Host| Member { node: host.me, store: StoreId(u128::from(host.store)) };
        if !self.record.is_member(member(&self.hosts[holder])) {
            self.take(Step::Promote(1 - holder));
        }
        if self.record.swap.is_some() {
            self.take(Step::CancelSwap);
        }
        (self.wishes, self.reports) = (Vec::new(), Vec::new());
        self.take(Step::Wish(holder));
        self.take(Step::Report(holder));
        if !self.wishes.is_empty() {
            self.take(Step::Grant(0));
        }
        if !self.reports.is_empty() {
            self.take(Step::Expand(0));
        }
    }

    /// What distinguishes this state from others, but for times.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let h = &mut hasher;
        (self.record.serial, self.next_operation, self.policies, &self.acked).hash(h);
        for record in &self.history {
            (record.epoch, record.policy, record.grant, record.granted_to, &record.members).hash(h);
            record.swap.map(|swap| swap.number).hash(h);
        }
        let mut wishes = self.wishes.clone();
        wishes.sort_by_key(|wish| (wish.node, wish.epoch, wish.incarnation, wish.store, wish.seen));
        let mut reports = self.reports.clone();
        reports.sort_by_key(|ready| (ready.node, ready.epoch, ready.grant, ready.store, ready.slave_store));
        (wishes, reports).hash(h);
        let mut standings: Vec<_> =
            self.standings.iter().map(|(i, obeyed)| (*i, obeyed.epoch, obeyed.grant, obeyed.policy)).collect();
        standings.sort_unstable_by_key(|(i, epoch, grant, policy)| (*i, *epoch, *grant, *policy as u8));
        standings.hash(h);
        for host in &self.hosts {
            (&host.log, host.flushed, host.store, host.run).hash(h);
            host.obeyed.map(|obeyed| (obeyed.epoch, obeyed.grant, obeyed.policy)).hash(h);
            if let Some(node) = &host.node {
                key_of(node, h);
            }
        }
        if let Some(line) = &self.line {
            (line.master, line.slave_open, line.ack).hash(h);
        }
        hasher.finish()
    }
}

fn key_of(node: &Node, h: &mut DefaultHasher) {
    (node.role(), node.tail, node.flushed, node.committed, node.applied, node.told_commit).hash(h);
    node.obeyed.map(|obeyed| (obeyed.epoch, obeyed.grant, obeyed.policy)).hash(h);
    (node.record.as_ref().map(|record| record.serial), node.role_began.1, node.following, node.seen_grant).hash(h);
    let alone = match node.alone {
        Alone::No => 0,
        Alone::Granted(at) => at.0,
        Alone::Yes => u64::MAX,
    };
    (alone, node.rejoin_mark, node.cancelled_swap).hash(h);
    if let Some(peer) = &node.peer {
        (peer.store, peer.incarnation, peer.flushed, peer.in_sync, peer.mark.0).hash(h);
    }
    match node.swap {
        SwapState::None => 0_u64.hash(h),
        SwapState::Draining { number } => (1_u64, number).hash(h),
        SwapState::Sealing { number, at, .. } => (2_u64, number, at).hash(h),
    }
}

fn tail_of(log: &[(u64, u8)]) -> Position {
    Position { epoch: Epoch(log.last().map_or(0, |(epoch, _)| *epoch)), seq: Seq(log.len() as u64) }
}

fn note<T: PartialEq>(known: &mut Vec<T>, new: Option<T>) {
    known.extend(new.filter(|new| !known.contains(new)));
}
