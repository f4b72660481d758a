//! A node that keeps the rules of the record (A2-A5, A10) over a log of numbers, and nothing else.

use mailmirror_control::record::{AckPolicy, Member, Ready, Record, Wish};
use mailmirror_control::status::{Counters, Link, NodeStatus, Obeyed, Role, SwapProgress};
use mailmirror_model::ids::{AuthorityId, Epoch, GrantNumber, Incarnation, NodeId, Position, Seq, StoreId};

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Operation(u64),
    Seal(u64),
}

impl Entry {
    pub fn operation(&self) -> Option<u64> {
        match self {
            Self::Operation(operation) => Some(*operation),
            Self::Seal(_) => None,
        }
    }
}

/// A node. `log`, `store` and `obeyed` are on its disk, the rest dies with its process.
#[derive(Clone, Debug)]
pub struct Node {
    pub id: NodeId,
    pub up: bool,
    pub log: Vec<Entry>,
    pub store: StoreId,
    pub obeyed: Option<Obeyed>,
    pub incarnation: Incarnation,
    pub role: Role,
    pub alone: bool,
    seen: GrantNumber,
    heard: Option<(AuthorityId, u64)>,
    swap: Option<u64>,
    peer_has: usize,
    peer: Option<(StoreId, Incarnation)>,
}

impl Node {
    pub fn new(id: NodeId, store: StoreId) -> Self {
        Self {
            id,
            up: true,
            log: vec![],
            store,
            obeyed: None,
            incarnation: Incarnation(1 + u64::from(u8::from(id))),
            role: Role::None,
            alone: false,
            seen: GrantNumber(0),
            heard: None,
            swap: None,
            peer_has: 0,
            peer: None,
        }
    }

    pub fn restart(&mut self) {
        let fresh = Self::new(self.id, self.store);
        let incarnation = Incarnation(self.incarnation.0 + 2);
        *self = Self { log: std::mem::take(&mut self.log), obeyed: self.obeyed, incarnation, ..fresh };
    }

    pub fn epoch(&self) -> Option<Epoch> {
        self.obeyed.map(|obeyed| obeyed.epoch)
    }

    /// Whether it refused.
    pub fn obey(&mut self, record: &Record) -> bool {
        let me = Member { node: self.id, store: self.store };
        if self.epoch().is_some_and(|epoch| record.epoch < epoch) {
            return true;
        }
        if self.heard.is_some_and(|(authority, serial)| authority == record.authority && record.serial <= serial) {
            return false;
        }
        let leads = record.holder == self.id;
        let new_epoch = self.epoch() != Some(record.epoch);
        if leads && (new_epoch || self.role == Role::None) && !record.is_member(me) {
            return true;
        }
        self.heard = Some((record.authority, record.serial));
        if new_epoch || self.role == Role::None {
            self.role = if leads { Role::Master } else { Role::Slave };
            (self.alone, self.peer_has, self.peer, self.swap) = (false, 0, None, None);
            if leads {
                self.seen = record.grant;
            }
        }
        if leads && record.grant > self.seen {
            self.alone = self.alone || record.granted_to == Some(self.incarnation);
            self.seen = record.grant;
        }
        self.swap = record.swap.map(|swap| swap.number).filter(|_| leads);
        self.obeyed = Some(Obeyed {
            authority: record.authority,
            epoch: record.epoch,
            holder: record.holder,
            grant: self.obeyed.map_or(record.grant, |obeyed| obeyed.grant.max(record.grant)),
            policy: record.policy,
        });
        false
    }

    pub fn write(&mut self, operation: u64) {
        if self.up && self.role == Role::Master && self.swap.is_none() {
            self.log.push(Entry::Operation(operation));
        }
    }

    /// One entry, or the news that the slave has everything, goes over the link. `lost`: the acknowledgement is.
    pub fn stream(&mut self, slave: &mut Self, lost: bool) {
        if self.role != Role::Master || slave.role != Role::Slave || self.epoch() != slave.epoch() {
            return;
        }
        let this = Some((slave.store, slave.incarnation));
        if self.peer != this {
            (self.peer, self.peer_has) = (this, 0);
        }
        let same = self.log.iter().zip(&slave.log).take_while(|(mine, theirs)| mine == theirs).count();
        slave.log.truncate(same);
        if let Some(entry) = self.log.get(same) {
            slave.log.push(*entry);
        }
        if !lost {
            self.peer_has = self.peer_has.max(slave.log.len());
        }
        if self.peer_has < self.log.len() {
            return;
        }
        // A3: it stops answering alone before it reports.
        self.alone = false;
        if let Some(number) = self.swap
            && self.log.last() != Some(&Entry::Seal(number))
        {
            self.log.push(Entry::Seal(number));
        }
    }

    pub fn unlink(&mut self) {
        (self.peer, self.peer_has) = (None, 0);
    }

    /// What it would answer to its clients now.
    pub fn acknowledges(&self) -> &[Entry] {
        if !self.up || self.role != Role::Master {
            &[]
        } else if self.alone {
            &self.log
        } else {
            &self.log[..self.peer_has.min(self.log.len())]
        }
    }

    pub fn status(&self, peer: Option<&Self>) -> NodeStatus {
        let (mine, end) = (self.role == Role::Master, self.log.len());
        let now = peer.map(|peer| (peer.store, peer.incarnation));
        let has_all = mine && self.peer.is_some() && self.peer == now && self.peer_has >= end;
        let epoch = self.epoch().unwrap_or(Epoch(0));
        let wish = Wish { node: self.id, epoch, incarnation: self.incarnation, store: self.store, seen: self.seen };
        let ready = self.peer.map(|(slave_store, _)| Ready {
            node: self.id,
            epoch,
            grant: self.seen,
            store: self.store,
            slave_store,
        });
        let sealed = self.swap.filter(|number| has_all && self.log.last() == Some(&Entry::Seal(*number)));
        let position = Position { epoch, seq: Seq(end as u64) };
        NodeStatus {
            version: "simulated".into(),
            node: self.id,
            store: self.store,
            incarnation: self.incarnation,
            started_at: 0,
            role: self.role,
            obeyed: self.obeyed,
            in_office: mine,
            alone: self.alone,
            degraded_since: None,
            serving: true,
            tail: position,
            committed: Seq(0),
            applied: Seq(0),
            peer_flushed: None,
            link: match peer {
                Some(peer) => Link::Connected { since: 0, peer_store: peer.store, peer_incarnation: peer.incarnation },
                None => Link::Disconnected { since: 0, error: None },
            },
            lag_entries: Some((end - self.peer_has.min(end)) as u64),
            oldest_unsent_ms: None,
            wish: (mine && peer.is_none() && !self.alone && self.policy() == AckPolicy::Peer).then_some(wish),
            ready: ready.filter(|_| has_all && !self.alone),
            swap: match (self.swap, sealed) {
                (_, Some(number)) => Some(SwapProgress::Sealed { number, position }),
                (Some(number), None) => Some(SwapProgress::Draining { number }),
                (None, None) => None,
            },
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

    fn policy(&self) -> AckPolicy {
        self.obeyed.map_or(AckPolicy::Both, |obeyed| obeyed.policy)
    }
}
