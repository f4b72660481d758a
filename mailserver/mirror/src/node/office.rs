//! Who may take changes, who may show state, and the lease between the two (rules A6, N4-N6).

use super::{Alone, Node, SwapState, Time};
use mailmirror_control::record::{AckPolicy, Member};
use mailmirror_control::status::Role;
use mailmirror_model::ids::{Epoch, Seq};

/// Whether a change may be taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptState {
    /// Yes: put it in order here.
    Here,
    /// Yes: send it to the master.
    Forward,
    /// Soon: ask again when something has changed, for at most `g_mirror_hold`.
    Wait,
    /// No: what was taken before has been waiting for too long (rule N6).
    Holding,
    /// No: the node has no role.
    NoRole,
}

/// Whether state may be shown now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShowState {
    /// What is applied, once that is at least this.
    From(Seq),
    /// Once the master has told its commit position (rule N4).
    AskMaster,
    /// Not now: ask again when something has changed, for at most `g_mirror_hold` (rule N5).
    Wait,
}

impl Node {
    /// Whether this node may take a change now.
    pub fn accept(&self, now: Time) -> AcceptState {
        match self.role {
            Role::None => AcceptState::NoRole,
            Role::Slave if self.following => AcceptState::Forward,
            Role::Slave => AcceptState::Wait,
            Role::Master if self.is_holding(now) => AcceptState::Holding,
            Role::Master if self.swap != SwapState::None || self.applied < self.role_began.1 => AcceptState::Wait,
            Role::Master => AcceptState::Here,
        }
    }

    /// Whether this node may show state now.
    pub fn show(&self, now: Time) -> ShowState {
        let has_its_log = self.applied >= self.role_began.1;
        match (self.policy(), self.role) {
            (AckPolicy::Local, Role::Master) if has_its_log => ShowState::From(self.committed),
            (_, Role::Master) if has_its_log && self.in_office(now) => ShowState::From(self.committed),
            (_, Role::Slave) if self.following => ShowState::AskMaster,
            (AckPolicy::Local, Role::Slave) => ShowState::From(self.committed),
            (_, Role::Master | Role::Slave) if self.stale_allowed => ShowState::From(self.committed),
            _ => ShowState::Wait,
        }
    }

    /// The answer to a slave that asks for a read point: `None` when it may not show state (rules N4, N5).
    pub fn read_point(&self, now: Time) -> Option<Seq> {
        let may = match self.policy() {
            AckPolicy::Local => self.role == Role::Master,
            AckPolicy::Peer | AckPolicy::Both => self.in_office(now) && !self.is_alone() && self.slave_is_member(),
        };
        (may && self.applied >= self.role_began.1).then_some(self.committed)
    }

    /// Whether this node is in office (rule A6): alone by grant, or with a lease that has not run out.
    pub fn in_office(&self, now: Time) -> bool {
        self.role == Role::Master
            && now >= self.office_from
            && self.wants_office()
            && (self.alone == Alone::Yes || self.lease_until.is_some_and(|until| now < until))
    }

    /// Whether a ping of this node asks for the lease: a sealed master does not.
    pub fn wants_office(&self) -> bool {
        self.role == Role::Master && !matches!(self.swap, SwapState::Sealing { .. })
    }

    /// The slave acknowledged a ping that was sent then, in the epoch of this master.
    pub fn on_lease(&mut self, epoch: Epoch, sent: Time) {
        let mine = self.obeyed.is_some_and(|obeyed| obeyed.epoch == epoch);
        if self.role == Role::Master && mine && sent > self.lease_floor {
            let usable = self.timing.lease.saturating_sub(self.timing.drift_margin);
            self.lease_until = self.lease_until.max(Some(sent.plus(usable)));
        }
    }

    /// A slave is pinged by the master of its epoch: says whether it gives the lease. A master that does not want it
    /// is out of office, so that what was given before has ended.
    pub fn give_lease(&mut self, epoch: Epoch, wanted: bool, now: Time) -> bool {
        let obeys = self.role == Role::Slave && self.obeyed.is_some_and(|obeyed| obeyed.epoch == epoch);
        if obeys {
            self.lease_given_until = if wanted { now.plus(self.timing.lease) } else { now };
        }
        obeys && wanted
    }

    /// A slave's stream from its master begins or ends.
    pub fn on_following(&mut self, following: bool) {
        self.following = following && self.role == Role::Slave;
    }

    /// Whether a slave's stream from its master flows.
    pub const fn is_following(&self) -> bool {
        self.following
    }

    /// Whether changes have been waiting for longer than `g_mirror_hold` (rule N6).
    pub fn is_holding(&self, now: Time) -> bool {
        self.committed < self.tail.seq && self.stuck_since.is_some_and(|since| now.since(since) >= self.timing.hold)
    }

    /// Whether the record names the slave that is connected.
    pub fn slave_is_member(&self) -> bool {
        let Some(peer) = &self.peer else { return false };
        let slave = Member { node: self.identity.node.peer(), store: peer.store };
        self.record.as_ref().is_some_and(|record| record.is_member(slave))
    }
}
