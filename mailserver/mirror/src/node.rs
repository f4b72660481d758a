//! The rules of roles, commitment, office and grants for one node, without I/O: MIRROR.md sections 2 to 4.
//!
//! Everything that happens comes in as a call with the time; what has to be written comes out as [`Action`]s, in the
//! order in which they have to be carried out. The shell ([`crate::engine`]) has no choices of its own.

mod obey;
mod office;

pub use office::{AcceptState, ShowState};

use mailmirror_control::record::{AckPolicy, Member, Ready, Record, Wish};
use mailmirror_control::status::{Obeyed, Role, SwapProgress};
use mailmirror_model::ids::{GrantNumber, Incarnation, NodeId, Position, Seq, StoreId};
use mailmirror_model::operation::{EpochStart, Grant, Seal};
use std::time::Duration;

/// Time on a clock that runs in suspend, in milliseconds from some fixed moment of this run of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later by a duration.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Who this node is in this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which node.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
    /// This run of the process.
    pub incarnation: Incarnation,
}

/// The times of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// `g_mirror_hold`: how long changes and commands wait (rules N5, N6).
    pub hold: Duration,
    /// `g_mirror_lease` (rule A6).
    pub lease: Duration,
    /// What two clocks may drift apart within one lease.
    pub drift_margin: Duration,
    /// How long a master waits for a slave that is away before it asks to answer alone.
    pub grace: Duration,
    /// After this long without a word a sealed master goes on by itself under `peer` (rule A10).
    pub seal_timeout: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(10),
            lease: Duration::from_secs(2),
            drift_margin: Duration::from_millis(50),
            grace: Duration::from_secs(1),
            seal_timeout: Duration::from_mins(1),
        }
    }
}

/// Something that the shell has to do, in this order, before anything else happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write down durably what was obeyed (rule A7).
    Persist(Obeyed),
    /// Append the first entry of an epoch.
    WriteEpoch(EpochStart),
    /// Append a grant; it is in force once it is flushed (rule L1).
    WriteGrant(Grant),
    /// Append the seal of a swap (rule A10).
    WriteSeal(Seal),
    /// The role, the epoch or the peer's standing is another one: begin the link anew.
    RestartLink,
}

/// The slave as its master sees it on this connection (rule A5: what was acknowledged on another one does not count).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its store.
    pub store: StoreId,
    /// The run of its process.
    pub incarnation: Incarnation,
    /// What it has flushed.
    pub flushed: Seq,
    /// Whether a resync or rebase is open there (rule A3).
    pub busy: bool,
    in_sync: bool,
    moved_at: Time,
    /// Where the log ended at some moment: when the slave has that, it is known by how much time it lags.
    mark: (Seq, Time),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    No,
    /// Granted; in force once the entry at this place is flushed (rule L1).
    Granted(Seq),
    Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SwapState {
    None,
    Draining { number: u64 },
    Sealing { number: u64, at: Position, since: Time },
}

/// The state of one node.
#[derive(Clone, Debug)]
pub struct Node {
    identity: Identity,
    timing: Timing,
    stale_allowed: bool,
    obeyed: Option<Obeyed>,
    record: Option<Record>,
    role: Role,
    tail: Position,
    flushed: Seq,
    committed: Seq,
    applied: Seq,
    /// What the master of this epoch has told to be committed; it may not be here yet.
    told_commit: Seq,
    /// The log as it was when the role began: new changes wait until it is applied.
    role_began: (Time, Seq),
    peer: Option<Peer>,
    /// A slave's own side of the link: entries come in.
    following: bool,
    peer_away_since: Time,
    alone: Alone,
    seen_grant: GrantNumber,
    /// What the slave must have before it is reported: the tail when the master stopped answering alone (rule A3).
    rejoin_mark: Seq,
    lease_until: Option<Time>,
    lease_floor: Time,
    lease_given_until: Time,
    office_from: Time,
    stuck_since: Option<Time>,
    swap: SwapState,
    cancelled_swap: u64,
    degraded_since: Option<Time>,
}

impl Node {
    /// A node that starts: it has a log, has obeyed something before or nothing, and plays no role yet.
    pub fn start(
        identity: Identity,
        timing: Timing,
        stale_allowed: bool,
        obeyed: Option<Obeyed>,
        log: (Position, Seq),
        applied: Seq,
        now: Time,
    ) -> Self {
        let (tail, committed) = log;
        Self {
            identity,
            timing,
            stale_allowed,
            obeyed,
            record: None,
            role: Role::None,
            tail,
            flushed: tail.seq,
            committed: committed.max(applied),
            applied,
            told_commit: Seq::ZERO,
            role_began: (now, tail.seq),
            peer: None,
            following: false,
            peer_away_since: now,
            alone: Alone::No,
            seen_grant: GrantNumber(0),
            rejoin_mark: tail.seq,
            lease_until: None,
            lease_floor: now,
            // It does not know what it gave before it was restarted: a full lease (rule A6).
            lease_given_until: now.plus(timing.lease),
            office_from: now,
            stuck_since: None,
            swap: SwapState::None,
            cancelled_swap: 0,
            degraded_since: None,
        }
    }

    /// Entries were appended here, not flushed yet.
    pub fn on_appended(&mut self, tail: Position, now: Time) {
        if self.committed >= self.tail.seq {
            self.stuck_since = Some(now);
        }
        self.tail = tail;
    }

    /// The log was cut after this place (rule U2).
    pub fn on_truncated(&mut self, tail: Position) {
        self.tail = tail;
        self.flushed = self.flushed.min(tail.seq);
        self.committed = self.committed.min(tail.seq);
        self.applied = self.applied.min(tail.seq);
    }

    /// The index is empty and follows the log from its beginning. Nothing is shown and no numbers are given out until
    /// it is where it was: what was applied once is forgotten by those who give out numbers.
    pub fn on_rewound(&mut self) {
        self.role_began.1 = self.role_began.1.max(self.applied);
        self.applied = Seq::ZERO;
    }

    /// The log has flushed up to here.
    pub fn on_flushed(&mut self, seq: Seq, now: Time) {
        self.flushed = self.flushed.max(seq).min(self.tail.seq);
        if let Alone::Granted(at) = self.alone
            && self.flushed >= at
        {
            self.alone = Alone::Yes;
            self.degraded_since.get_or_insert(now);
        }
        self.advance(now);
    }

    /// The index has applied up to here.
    pub fn on_applied(&mut self, seq: Seq) {
        self.applied = self.applied.max(seq);
    }

    /// A slave is connected. What it has is what both logs have in common, checked by hash (rule R1), as far as that is
    /// on its disk (rule L2).
    pub fn on_peer(&mut self, store: StoreId, incarnation: Incarnation, flushed: Seq, busy: bool, now: Time) {
        let mark = (self.tail.seq, now);
        let peer = Peer { store, incarnation, flushed, busy, in_sync: false, moved_at: now, mark };
        self.peer = Some(peer);
        self.judge_peer(now);
        self.advance(now);
    }

    /// The connection to the peer is gone.
    pub fn on_peer_gone(&mut self, now: Time) {
        if self.peer.take().is_some() {
            self.peer_away_since = now;
        }
        if self.role == Role::Master && self.policy() == AckPolicy::Local {
            self.degraded_since.get_or_insert(now);
        }
    }

    /// The slave acknowledged, on this connection.
    pub fn on_peer_flushed(&mut self, seq: Seq, busy: bool, now: Time) {
        let tail = self.tail.seq;
        if let Some(peer) = &mut self.peer {
            peer.busy = busy;
            if seq > peer.flushed && seq <= tail {
                peer.flushed = seq;
                peer.moved_at = now;
            }
        }
        self.judge_peer(now);
        self.advance(now);
    }

    /// A slave is told by its master what is committed (rule N3).
    pub fn on_commit_told(&mut self, seq: Seq, now: Time) {
        if self.role == Role::Slave {
            self.told_commit = self.told_commit.max(seq);
            self.advance(now);
        }
    }

    /// Time passes. Returns what has to be written.
    pub fn tick(&mut self, now: Time) -> Vec<Action> {
        self.judge_peer(now);
        self.advance(now);
        let mut actions = Vec::new();
        if let SwapState::Draining { number } = self.swap
            && self.role == Role::Master
            && self.committed == self.tail.seq
            && self.applied == self.committed
            && self.slave_in_sync()
        {
            // Out of office before the seal is written: whoever reads the seal need not wait for a lease (rule A6).
            self.lease_until = None;
            self.lease_floor = now;
            let epoch = self.obeyed.map_or(self.tail.epoch, |obeyed| obeyed.epoch);
            let at = Position { epoch, seq: self.tail.seq.next() };
            self.swap = SwapState::Sealing { number, at, since: now };
            actions.push(Action::WriteSeal(Seal { swap: number }));
        }
        if let SwapState::Sealing { since, number, .. } = self.swap
            && self.policy() == AckPolicy::Peer
            && now.since(since) > self.timing.seal_timeout
        {
            self.cancelled_swap = number;
            self.swap = SwapState::None;
        }
        actions
    }

    /// What the authority is asked (rule A2).
    pub fn wish(&self, now: Time) -> Option<Wish> {
        let obeyed = self.obeyed.as_ref()?;
        let away = match &self.peer {
            None => now.since(self.peer_away_since.max(self.role_began.0)) >= self.timing.grace,
            Some(peer) => !peer.in_sync && now.since(self.role_began.0) >= self.timing.grace,
        };
        let asks = self.role == Role::Master
            && self.policy() == AckPolicy::Peer
            && self.alone == Alone::No
            && self.swap == SwapState::None
            && away;
        asks.then_some(Wish {
            node: self.identity.node,
            epoch: obeyed.epoch,
            incarnation: self.identity.incarnation,
            store: self.identity.store,
            seen: self.seen_grant,
        })
    }

    /// What the authority is told (rule A3).
    pub fn ready(&self) -> Option<Ready> {
        let obeyed = self.obeyed.as_ref()?;
        let peer = self.peer.as_ref()?;
        let slave = Member { node: self.identity.node.peer(), store: peer.store };
        let complete = self.role == Role::Master
            && self.policy() != AckPolicy::Local
            && self.alone == Alone::No
            && peer.in_sync
            && !peer.busy
            && peer.flushed >= self.rejoin_mark
            && self.record.as_ref().is_some_and(|record| !record.is_member(slave));
        complete.then_some(Ready {
            node: self.identity.node,
            epoch: obeyed.epoch,
            grant: self.seen_grant,
            store: self.identity.store,
            slave_store: peer.store,
        })
    }

    /// Where a swap stands.
    pub fn swap(&self) -> Option<SwapProgress> {
        match self.swap {
            SwapState::None => None,
            SwapState::Sealing { number, at, .. } if self.is_on_both(at.seq) => {
                Some(SwapProgress::Sealed { number, position: at })
            }
            SwapState::Draining { number } | SwapState::Sealing { number, .. } => {
                Some(SwapProgress::Draining { number })
            }
        }
    }

    /// Whether both nodes have it on their disks; under `local` that is more than being committed.
    fn is_on_both(&self, seq: Seq) -> bool {
        self.committed >= seq && self.peer.as_ref().is_some_and(|peer| peer.flushed >= seq)
    }

    /// The role.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Who this node is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What was obeyed last.
    pub const fn obeyed(&self) -> Option<&Obeyed> {
        self.obeyed.as_ref()
    }

    /// The record that was told in this run.
    pub const fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// The end of the log.
    pub const fn tail(&self) -> Position {
        self.tail
    }

    /// What is committed.
    pub const fn committed(&self) -> Seq {
        self.committed
    }

    /// What the index has.
    pub const fn applied(&self) -> Seq {
        self.applied
    }

    /// What is on this disk.
    pub const fn flushed(&self) -> Seq {
        self.flushed
    }

    /// The slave as seen on this connection.
    pub const fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }

    /// The policy that was told, or that the role before the restart had.
    pub fn policy(&self) -> AckPolicy {
        let told = self.record.as_ref().map(|record| record.policy);
        told.or(self.obeyed.map(|obeyed| obeyed.policy)).unwrap_or_default()
    }

    /// Whether the master answers alone by a grant.
    pub fn is_alone(&self) -> bool {
        self.alone == Alone::Yes
    }

    /// Since when the pair runs without one of its nodes.
    pub const fn degraded_since(&self) -> Option<Time> {
        self.degraded_since
    }

    fn slave_in_sync(&self) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.in_sync && !peer.busy) && self.alone != Alone::Yes
    }

    /// Whether the slave keeps up, and whether a master that is alone can stop being so.
    fn judge_peer(&mut self, now: Time) {
        let tail = self.tail.seq;
        let grace = self.timing.grace;
        let Some(peer) = &mut self.peer else { return };
        // It lags by time, not by entries: under load a far peer always lacks what is on its way.
        let keeps_up = peer.flushed >= peer.mark.0 && now.since(peer.mark.1) <= grace;
        if peer.flushed >= peer.mark.0 {
            peer.mark = (tail, now);
        }
        if peer.flushed >= tail {
            peer.moved_at = now;
        } else if peer.in_sync && now.since(peer.moved_at) > grace * 3 {
            // Three graces without progress: it is connected, but it does not write.
            peer.in_sync = false;
        }
        if !peer.in_sync && !peer.busy && keeps_up {
            peer.in_sync = true;
            peer.moved_at = now;
            self.rejoin_mark = tail;
        }
        // Also where a grant comes that the slave's return has made needless.
        if peer.in_sync && !peer.busy && self.alone == Alone::Yes {
            self.stop_alone();
        }
    }

    /// From now on nothing is acknowledged alone; the slave is reported once it has all that was (rule A3).
    fn stop_alone(&mut self) {
        self.alone = Alone::No;
        self.rejoin_mark = self.tail.seq;
    }

    fn advance(&mut self, now: Time) {
        match self.role {
            Role::None => return,
            Role::Slave => return self.commit_up_to(self.told_commit.min(self.flushed), now),
            Role::Master => {}
        }
        let peer_has = self.peer.as_ref().map_or(Seq::ZERO, |peer| peer.flushed);
        let candidate = match self.policy() {
            AckPolicy::Local => self.flushed,
            AckPolicy::Peer if self.alone == Alone::Yes => self.flushed,
            AckPolicy::Peer | AckPolicy::Both => self.flushed.min(peer_has),
        };
        self.commit_up_to(candidate, now);
        let whole = match self.policy() {
            AckPolicy::Local => self.peer.as_ref().is_some_and(|peer| peer.in_sync),
            AckPolicy::Peer | AckPolicy::Both => self.slave_is_member(),
        };
        if whole {
            self.degraded_since = None;
        }
    }

    fn commit_up_to(&mut self, seq: Seq, now: Time) {
        if seq > self.committed {
            self.committed = seq;
            self.stuck_since = (self.committed < self.tail.seq).then_some(now);
        }
    }
}

#[cfg(test)]
mod tests;
