//! How a node obeys the record, and steps down (rules A1-A4, A7, A8, A10).

use super::{Action, Alone, Node, SwapState, Time};
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::{ObeyRefusal, Obeyed, Role};
use mailmirror_model::ids::{Epoch, GrantNumber, Seq};
use mailmirror_model::operation::{EpochStart, Grant};

impl Node {
    /// Obeys a record of the authority.
    ///
    /// # Errors
    /// Why it is not obeyed; nothing has changed then.
    pub fn obey(&mut self, record: &Record, now: Time) -> Result<Vec<Action>, ObeyRefusal> {
        if record.epoch.parity() != record.holder {
            return Err(ObeyRefusal::Parity { epoch: record.epoch, holder: record.holder });
        }
        self.check_not_stale(record)?;
        let begins = self.obeyed.is_none_or(|obeyed| obeyed.epoch != record.epoch) || self.role == Role::None;
        let me = Member { node: self.identity.node, store: self.identity.store };
        if record.holder == me.node && !record.is_member(me) {
            let recorded = record.members.iter().find(|member| member.node == me.node);
            return Err(ObeyRefusal::OtherStore { recorded: recorded.map(|member| member.store), store: me.store });
        }
        let mut actions = Vec::new();
        let old_policy = self.policy();
        self.note(record, &mut actions);
        self.record = Some(record.clone());
        if begins {
            if record.holder == me.node {
                self.become_master(record, now, &mut actions);
            } else {
                self.become_slave(now, &mut actions);
            }
        }
        if self.role == Role::Master {
            if old_policy != record.policy {
                // What was acknowledged under the old policy, the slave may lack.
                self.stop_alone();
            }
            self.learn_grant(record, &mut actions);
            self.follow_swap(record);
            self.advance(now);
        }
        Ok(actions)
    }

    /// The peer has obeyed this epoch of this authority: a lower one ends here at once (DESIGN 3.3). The parity of an
    /// epoch says who holds it.
    pub fn see_epoch(&mut self, seen: Obeyed, now: Time) -> Vec<Action> {
        let known = self.obeyed.is_some_and(|obeyed| obeyed.epoch >= seen.epoch);
        if known || seen.holder == self.identity.node || seen.epoch.parity() != seen.holder {
            return Vec::new();
        }
        let grant = self.obeyed.map_or(GrantNumber(0), |obeyed| obeyed.grant).max(seen.grant);
        let obeyed = Obeyed { grant, ..seen };
        self.obeyed = Some(obeyed);
        self.record = None;
        let mut actions = vec![Action::Persist(obeyed)];
        self.become_slave(now, &mut actions);
        actions
    }

    /// A restarted node that is connected to its peer at the epoch that it stored resumes its role (rule A8). A master
    /// whose log does not hold the first entry of that epoch waits for the record, which says how it begins.
    pub fn resume(&mut self, peer_epoch: Epoch, now: Time) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(obeyed) = self.obeyed
            && self.role == Role::None
            && obeyed.epoch == peer_epoch
        {
            if obeyed.holder != self.identity.node {
                self.become_slave(now, &mut actions);
            } else if self.tail.epoch == obeyed.epoch {
                self.role = Role::Master;
                self.begin_role(now);
                actions.push(Action::RestartLink);
            }
        }
        actions
    }

    fn check_not_stale(&self, record: &Record) -> Result<(), ObeyRefusal> {
        let Some(obeyed) = self.obeyed else { return Ok(()) };
        let same_authority = record.authority == obeyed.authority;
        let old_serial = same_authority
            && self.record.as_ref().is_some_and(|known| known.epoch == record.epoch && record.serial < known.serial);
        let stale =
            old_serial || if same_authority { record.epoch < obeyed.epoch } else { record.epoch <= obeyed.epoch };
        if stale {
            return Err(ObeyRefusal::Stale { authority: obeyed.authority, epoch: obeyed.epoch });
        }
        Ok(())
    }

    fn note(&mut self, record: &Record, actions: &mut Vec<Action>) {
        let grant = self.obeyed.map_or(record.grant, |obeyed| obeyed.grant.max(record.grant));
        let obeyed = Obeyed {
            authority: record.authority,
            epoch: record.epoch,
            holder: record.holder,
            grant,
            policy: record.policy,
        };
        if self.obeyed != Some(obeyed) {
            self.obeyed = Some(obeyed);
            actions.push(Action::Persist(obeyed));
        }
    }

    fn become_master(&mut self, record: &Record, now: Time, actions: &mut Vec<Action>) {
        self.role = Role::Master;
        self.begin_role(now);
        // A grant to this very run is obeyed as a new one, even if it came before the role.
        self.seen_grant = if record.granted_to == Some(self.identity.incarnation) {
            GrantNumber(record.grant.0.saturating_sub(1))
        } else {
            record.grant
        };
        if self.tail.epoch != record.epoch {
            // It may raise all numbers (rule U1): none is given out before it is applied.
            self.role_began.1 = self.tail.seq.next();
            actions.push(Action::WriteEpoch(EpochStart {
                authority: record.authority,
                epoch: record.epoch,
                holder: record.holder,
                after: self.tail,
                gap: record.gap,
            }));
        }
        actions.push(Action::RestartLink);
    }

    fn become_slave(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.role = Role::Slave;
        self.begin_role(now);
        actions.push(Action::RestartLink);
    }

    fn begin_role(&mut self, now: Time) {
        self.role_began = (now, self.tail.seq);
        self.peer = None;
        self.following = false;
        self.told_commit = Seq::ZERO;
        self.peer_away_since = now;
        self.alone = Alone::No;
        self.swap = SwapState::None;
        self.lease_until = None;
        self.lease_floor = now;
        self.office_from = self.lease_given_until.max(now);
        self.stuck_since = (self.committed < self.tail.seq).then_some(now);
        self.degraded_since = None;
    }

    fn learn_grant(&mut self, record: &Record, actions: &mut Vec<Action>) {
        if record.grant <= self.seen_grant {
            return;
        }
        let for_this_run = record.granted_to == Some(self.identity.incarnation);
        let me = Member { node: self.identity.node, store: self.identity.store };
        let granted = for_this_run && record.policy == AckPolicy::Peer && record.members == [me];
        if self.alone != Alone::No && !granted {
            return;
        }
        self.seen_grant = record.grant;
        if granted && self.alone == Alone::No {
            let before = actions.iter().filter(|action| matches!(action, Action::WriteEpoch(_))).count() as u64;
            self.alone = Alone::Granted(Seq(self.tail.seq.0 + before + 1));
            actions.push(Action::WriteGrant(Grant { number: record.grant, incarnation: self.identity.incarnation }));
        }
    }

    fn follow_swap(&mut self, record: &Record) {
        match (record.swap, self.swap) {
            (Some(ordered), SwapState::None) if ordered.number > self.cancelled_swap => {
                self.swap = SwapState::Draining { number: ordered.number };
            }
            (None, SwapState::Draining { number } | SwapState::Sealing { number, .. }) => {
                self.cancelled_swap = number;
                self.swap = SwapState::None;
            }
            _ => {}
        }
    }
}
