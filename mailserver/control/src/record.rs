//! The record of the authority and its rules (MIRROR.md section 4). Every change of it is one compare-and-swap of the
//! whole, written before anyone is told; a node that is told obeys the whole.

use mailmirror_model::ids::{AuthorityId, Epoch, GrantNumber, Incarnation, NodeId, StoreId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// When a change counts as committed (rule set 3, `g_mirror_ack`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AckPolicy {
    /// Flushed here. The set is the master alone; what the peer lacks may be lost with the master.
    Local,
    /// Flushed on both; alone only by a grant.
    #[default]
    Peer,
    /// Flushed on both, always.
    Both,
}

impl fmt::Display for AckPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Peer => "peer",
            Self::Both => "both",
        })
    }
}

/// A member of the in-sync set: a node with the store that it had when it was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// Its store.
    pub store: StoreId,
}

/// A swap that is under way (rule A10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Counted through all swaps; stands in the seal.
    pub number: u64,
}

/// What the authority has written down (rule A1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Who writes it.
    pub authority: AuthorityId,
    /// Counts the changes of this record: a node that has seen a higher one ignores a lower one.
    pub serial: u64,
    /// The acknowledgement policy.
    pub policy: AckPolicy,
    /// The epoch.
    pub epoch: Epoch,
    /// Its master.
    pub holder: NodeId,
    /// Whether this epoch began with an accepted loss, or under `local` with a lag: then it begins with a gap (U1).
    pub gap: bool,
    /// The in-sync set.
    pub members: Vec<Member>,
    /// The number of the latest grant.
    pub grant: GrantNumber,
    /// The run of the process that the latest grant was given to; `None` in an epoch without a grant.
    pub granted_to: Option<Incarnation>,
    /// The swap that is under way.
    pub swap: Option<Swap>,
    /// The number of the latest swap, for the next one.
    pub last_swap: u64,
}

/// A master that lost its slave asks to answer alone (rule A2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// Who asks.
    pub node: NodeId,
    /// In which epoch it is master.
    pub epoch: Epoch,
    /// Which run of its process asks.
    pub incarnation: Incarnation,
    /// Its store.
    pub store: StoreId,
    /// The highest grant number that it knows: a grant counts once, so it may need another one.
    pub seen: GrantNumber,
}

/// A master reports that its slave has everything and that it does not answer alone (rule A3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    /// The master.
    pub node: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
    /// The highest grant number that it knows.
    pub grant: GrantNumber,
    /// Its own store.
    pub store: StoreId,
    /// The store of the slave that acknowledged everything.
    pub slave_store: StoreId,
}

/// Why the authority does not write what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
pub enum RecordRefusal {
    /// The message is of another epoch.
    #[error("the message is of another epoch than the record")]
    OtherEpoch,
    /// Only the holder of the epoch may ask for this.
    #[error("the node is not the holder of the epoch")]
    NotHolder,
    /// The store is not the one that the record names.
    #[error("the store is not a member of the in-sync set")]
    NotMember,
    /// A later grant was given since.
    #[error("a later grant was given since")]
    OldGrant,
    /// The policy `both` never answers alone; under `local` the set is the master alone.
    #[error("the policy of the record does not allow this")]
    Policy,
    /// The node is the holder already.
    #[error("the node is the holder already")]
    AlreadyHolder,
    /// There is no swap to cancel or to end, or another one is under way.
    #[error("no such swap is under way")]
    NoSwap,
}

impl Record {
    /// The record of a pair that has never had one. `above` is the highest epoch that any node reports (rule A7).
    pub fn first(authority: AuthorityId, policy: AckPolicy, master: Member, above: Option<Epoch>) -> Self {
        Self {
            authority,
            serial: 1,
            policy,
            epoch: above.unwrap_or(Epoch(0)).next_for(master.node),
            holder: master.node,
            gap: false,
            members: vec![master],
            grant: GrantNumber(0),
            granted_to: None,
            swap: None,
            last_swap: 0,
        }
    }

    /// Whether this node with this store may be promoted without accepted loss (rule A4).
    pub fn is_member(&self, member: Member) -> bool {
        self.members.contains(&member)
    }

    /// The set is written down as the holder alone, and the grant is numbered (rule A2). `Ok(None)`: the latest grant
    /// is for this run, which has not heard of it yet.
    ///
    /// # Errors
    /// Why it is not granted.
    pub fn grant(&self, wish: &Wish) -> Result<Option<Self>, RecordRefusal> {
        let Wish { node, epoch, incarnation, store, seen } = *wish;
        self.check_holder(node, epoch, store)?;
        if self.policy != AckPolicy::Peer {
            return Err(RecordRefusal::Policy);
        }
        let alone = vec![Member { node, store }];
        if self.granted_to == Some(incarnation) && self.members == alone && seen < self.grant {
            return Ok(None);
        }
        Ok(Some(Self {
            members: alone,
            grant: GrantNumber(self.grant.0 + 1),
            granted_to: Some(incarnation),
            ..self.changed()
        }))
    }

    /// The slave is in sync again (rule A3). `Ok(None)`: it is a member already.
    ///
    /// # Errors
    /// Why it is not written.
    pub fn expand(&self, ready: &Ready) -> Result<Option<Self>, RecordRefusal> {
        let Ready { node, epoch, grant, store, slave_store } = *ready;
        self.check_holder(node, epoch, store)?;
        if self.policy == AckPolicy::Local {
            return Err(RecordRefusal::Policy);
        }
        if grant != self.grant {
            return Err(RecordRefusal::OldGrant);
        }
        let slave = Member { node: node.peer(), store: slave_store };
        if self.is_member(slave) {
            return Ok(None);
        }
        Ok(Some(Self { members: vec![Member { node, store }, slave], granted_to: None, ..self.changed() }))
    }

    /// A promotion that loses nothing: the candidate is a recorded member whose own answer confirmed its store (A4).
    ///
    /// # Errors
    /// [`RecordRefusal::NotMember`], [`RecordRefusal::AlreadyHolder`]; under `local` [`RecordRefusal::Policy`] unless
    /// a seal proves that the candidate has everything.
    pub fn promote(&self, candidate: Member, sealed: bool) -> Result<Self, RecordRefusal> {
        if candidate.node == self.holder {
            return Err(RecordRefusal::AlreadyHolder);
        }
        match self.policy {
            AckPolicy::Peer | AckPolicy::Both if !self.is_member(candidate) => Err(RecordRefusal::NotMember),
            AckPolicy::Local if !sealed => Err(RecordRefusal::Policy),
            AckPolicy::Local | AckPolicy::Peer | AckPolicy::Both => Ok(self.promoted(candidate, false)),
        }
    }

    /// A promotion that may lose what the candidate lacks: a person accepted that, or under `local` the policy does.
    /// The new epoch begins with a gap (rule U1).
    #[must_use]
    pub fn promote_accepting_loss(&self, candidate: Member, above: Option<Epoch>) -> Self {
        let mut next = self.promoted(candidate, true);
        next.epoch = self.epoch.max(above.unwrap_or(self.epoch)).next_for(candidate.node);
        next
    }

    /// Orders the holder to hold, drain and seal (rule A10).
    #[must_use]
    pub fn begin_swap(&self) -> Self {
        if self.swap.is_some() {
            return self.clone();
        }
        let number = self.last_swap + 1;
        Self { swap: Some(Swap { number }), last_swap: number, ..self.changed() }
    }

    /// The holder may go on: the seal of this swap makes no clean promotion any more.
    ///
    /// # Errors
    /// [`RecordRefusal::NoSwap`].
    pub fn cancel_swap(&self) -> Result<Self, RecordRefusal> {
        if self.swap.is_none() {
            return Err(RecordRefusal::NoSwap);
        }
        Ok(Self { swap: None, ..self.changed() })
    }

    /// Another policy. Going to `peer` or `both` begins with the master alone; the slave joins by rule A3. Going to
    /// `local` lets the master answer alone, and counts as a grant: no report of before is taken after it.
    #[must_use]
    pub fn with_policy(&self, policy: AckPolicy) -> Self {
        if policy == self.policy {
            return self.clone();
        }
        let keep_set = self.policy != AckPolicy::Local && policy != AckPolicy::Local;
        let holder = self.holder;
        let members =
            self.members.iter().copied().filter(|member| keep_set || member.node == holder).collect::<Vec<_>>();
        let granted = u64::from(policy == AckPolicy::Local);
        Self { policy, members, grant: GrantNumber(self.grant.0 + granted), granted_to: None, ..self.changed() }
    }

    fn promoted(&self, candidate: Member, gap: bool) -> Self {
        Self {
            epoch: self.epoch.next_for(candidate.node),
            holder: candidate.node,
            gap,
            members: vec![candidate],
            granted_to: None,
            swap: None,
            ..self.changed()
        }
    }

    fn changed(&self) -> Self {
        Self { serial: self.serial + 1, ..self.clone() }
    }

    fn check_holder(&self, node: NodeId, epoch: Epoch, store: StoreId) -> Result<(), RecordRefusal> {
        if epoch != self.epoch {
            Err(RecordRefusal::OtherEpoch)
        } else if node != self.holder {
            Err(RecordRefusal::NotHolder)
        } else if self.is_member(Member { node, store }) {
            Ok(())
        } else {
            Err(RecordRefusal::NotMember)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const M: Member = Member { node: NodeId::Zero, store: StoreId(10) };
    const S: Member = Member { node: NodeId::One, store: StoreId(11) };

    fn alone() -> Record {
        Record::first(AuthorityId(1), AckPolicy::Peer, M, None)
    }

    fn wish() -> Wish {
        Wish { node: NodeId::Zero, epoch: Epoch(2), incarnation: Incarnation(5), store: M.store, seen: GrantNumber(0) }
    }

    fn ready(grant: u64) -> Ready {
        Ready { node: NodeId::Zero, epoch: Epoch(2), grant: GrantNumber(grant), store: M.store, slave_store: S.store }
    }

    #[test]
    fn a1_a7_the_first_epoch_is_of_the_holders_parity_and_above_all_reports() {
        assert_eq!(alone().epoch, Epoch(2));
        assert_eq!(Record::first(AuthorityId(1), AckPolicy::Peer, S, Some(Epoch(7))).epoch, Epoch(9));
    }

    #[test]
    fn a2_a_grant_shrinks_the_set_in_the_same_write_and_is_counted() {
        let pair = alone().expand(&ready(0)).unwrap().unwrap();
        let granted = pair.grant(&wish()).unwrap().unwrap();
        assert_eq!((granted.members.as_slice(), granted.grant), (&[M][..], GrantNumber(1)));
        assert_eq!(granted.grant(&wish()), Ok(None), "the grant is only late");
        let used_up = Wish { seen: GrantNumber(1), ..wish() };
        assert_eq!(granted.grant(&used_up).unwrap().unwrap().grant, GrantNumber(2), "a grant counts once");
        let after_restart = Wish { incarnation: Incarnation(6), ..wish() };
        assert_eq!(granted.grant(&after_restart).unwrap().unwrap().grant, GrantNumber(2));
    }

    #[test]
    fn a2_only_the_holder_with_the_recorded_store_is_granted() {
        let record = alone();
        let refused = |wish: Wish| record.grant(&wish).unwrap_err();
        assert_eq!(refused(Wish { node: NodeId::One, ..wish() }), RecordRefusal::NotHolder);
        assert_eq!(refused(Wish { epoch: Epoch(1), ..wish() }), RecordRefusal::OtherEpoch);
        assert_eq!(refused(Wish { store: StoreId(99), ..wish() }), RecordRefusal::NotMember);
        let both = record.with_policy(AckPolicy::Both);
        assert_eq!(both.grant(&wish()).unwrap_err(), RecordRefusal::Policy);
    }

    #[test]
    fn a3_an_expansion_must_carry_the_latest_grant_number() {
        let granted = alone().grant(&wish()).unwrap().unwrap();
        assert_eq!(granted.expand(&ready(0)).unwrap_err(), RecordRefusal::OldGrant);
        assert_eq!(granted.expand(&ready(1)).unwrap().unwrap().members, [M, S]);
    }

    #[test]
    fn a4_only_a_member_is_promoted_without_accepted_loss() {
        assert_eq!(alone().promote(S, false).unwrap_err(), RecordRefusal::NotMember);
        let pair = alone().expand(&ready(0)).unwrap().unwrap();
        let other_store = Member { store: StoreId(12), ..S };
        assert_eq!(pair.promote(other_store, false).unwrap_err(), RecordRefusal::NotMember);
        let next = pair.promote(S, false).unwrap();
        assert_eq!(
            (next.epoch, next.holder, next.members.as_slice(), next.gap),
            (Epoch(3), NodeId::One, &[S][..], false)
        );
        let forced = alone().promote_accepting_loss(S, Some(Epoch(8)));
        assert_eq!((forced.epoch, forced.gap), (Epoch(9), true));
    }

    #[test]
    fn a10_a_swap_is_counted_and_a_cancelled_one_is_gone() {
        let swapping = alone().begin_swap();
        assert_eq!(swapping.begin_swap(), swapping, "ordering it twice changes nothing");
        let cancelled = swapping.cancel_swap().unwrap();
        assert_eq!(cancelled.begin_swap().swap, Some(Swap { number: 2 }));
        assert_eq!(cancelled.cancel_swap().unwrap_err(), RecordRefusal::NoSwap);
    }

    #[test]
    fn leaving_local_begins_with_the_master_alone() {
        let local = alone().expand(&ready(0)).unwrap().unwrap().with_policy(AckPolicy::Local);
        assert_eq!(local.members, [M]);
        let again = local.with_policy(AckPolicy::Peer);
        assert_eq!(again.members, [M]);
        assert_eq!(again.expand(&ready(0)).unwrap_err(), RecordRefusal::OldGrant, "a report of before");
    }
}
