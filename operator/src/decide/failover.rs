//! The master is lost.

use super::{Holder, Plan, Situation, accept_command};
use crate::api::MasterOrder;
use crate::authority::{Memory, SwapResult};
use crate::pair::AcceptedLoss;
use crate::reason::Reason;
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::Link;
use mailmirror_model::ids::NodeId;

/// Promotes the slave if the holder is lost and that loses nothing (rule A4), or no more than the policy accepts.
pub(super) fn failover(situation: &Situation<'_>, plan: &mut Plan) {
    let state = situation.holder_state();
    match state {
        Holder::Well => return,
        Holder::SilentUntil(at) => {
            plan.wake(at);
            return;
        }
        Holder::Replaced | Holder::Lost => {}
    }
    let (holder, slave) = (situation.holder, situation.slave);
    let Some(status) = situation.status(slave) else {
        let reason = if state == Holder::Lost { Reason::NobodyAnswers } else { Reason::SlaveSilent };
        plan.block(reason, reason_with_command(situation, reason, holder));
        return;
    };
    // The slave says that the link stands: then the master lives, and it is the operator that is cut off.
    let linked = matches!(status.link, Link::Connected { .. });
    if state == Holder::Lost && linked && !situation.view(holder).known_stopped() {
        plan.block(Reason::MasterStillLinked, Reason::MasterStillLinked.text());
        return;
    }
    let candidate = Member { node: slave, store: status.store };
    let next = match clean_or_within_policy(situation, candidate) {
        Ok(next) => next,
        Err(reason) => {
            plan.block(reason, reason_with_command(situation, reason, slave));
            return;
        }
    };
    let ordered = situation.input.policy.order == MasterOrder::Node(slave)
        && situation.memory.handled_order != Some(situation.input.policy.order);
    if !situation.input.policy.automatic_failover && !ordered {
        let message = format!(
            "{} `kubectl -n {} patch mmp/{} --type=merge -p '{{\"spec\":{{\"master\":{slave}}}}}'`",
            Reason::ManualFailover.text(),
            situation.input.namespace,
            situation.input.name
        );
        plan.block(Reason::ManualFailover, message);
        return;
    }
    if let Some(at) = situation.memory.last_failover.and_then(|last| {
        let interval = u64::try_from(situation.input.policy.failover_interval.as_millis()).unwrap_or(u64::MAX);
        Some(last.saturating_add(interval)).filter(|at| *at > situation.input.now && !ordered)
    }) {
        plan.wake(at);
        plan.block(Reason::TooSoon, Reason::TooSoon.text());
        return;
    }
    let (reason, why) = if next.gap {
        (Reason::PromotedWithLoss, "within the lag that the policy accepts")
    } else {
        (Reason::Promoted, "it has everything that was acknowledged")
    };
    let note =
        format!("{} is lost; {} is master in epoch {}: {why}", situation.pod(holder), situation.pod(slave), next.epoch);
    promote(situation, plan, next, reason, &note);
}

fn clean_or_within_policy(situation: &Situation<'_>, candidate: Member) -> Result<Record, Reason> {
    if situation.record.policy != AckPolicy::Local {
        if !situation.confirmed(candidate.node) {
            return Err(Reason::SlaveNotInSync);
        }
        return situation.record.promote(candidate, false).map_err(|_| Reason::SlaveNotInSync);
    }
    // Under `local` the lag is what the master said last, while it was connected to this very store.
    let last = match &situation.view(situation.holder).answer {
        crate::observe::Answer::Unknown { last, .. } => last.as_deref(),
        crate::observe::Answer::Status(_) => None,
    };
    let lag =
        last.filter(|last| matches!(last.link, Link::Connected { peer_store, .. } if peer_store == candidate.store));
    match lag.and_then(|last| last.lag_entries) {
        Some(lag) if lag <= situation.input.policy.lag_max_entries => {
            Ok(situation.record.promote_accepting_loss(candidate, Some(situation.highest_epoch())))
        }
        _ => Err(Reason::LagTooLarge),
    }
}

/// A person has accepted that mail may be lost (rule A4).
pub(super) fn accepted_loss(situation: &Situation<'_>, plan: &mut Plan) {
    let Some(text) = situation.input.policy.accept_loss.as_deref() else { return };
    let Some(accepted) = AcceptedLoss::parse(text) else {
        plan.block(Reason::AcceptanceNotNeeded, format!("{text:?} accepts nothing: write promote=0|1,epoch=NUMBER"));
        return;
    };
    let needed = matches!(situation.holder_state(), Holder::Replaced | Holder::Lost);
    if accepted.after != situation.highest_epoch() || !needed {
        return;
    }
    let Some(candidate) = situation.member(accepted.promote) else {
        let message = format!("{} does not answer and cannot be promoted", situation.pod(accepted.promote));
        plan.block(Reason::NobodyAnswers, message);
        return;
    };
    let other = situation.view(accepted.promote.peer());
    if !accepted.stopped && !other.known_stopped() && other.status().is_none() {
        plan.block(Reason::WaitingForStop, Reason::WaitingForStop.text());
        return;
    }
    let next = situation.record.promote_accepting_loss(candidate, Some(situation.highest_epoch()));
    let note = format!("{} is master in epoch {} by accepted loss", situation.pod(candidate.node), next.epoch);
    promote(situation, plan, next, Reason::PromotedWithLoss, &note);
    if let Some(memory) = &mut plan.write {
        memory.accepted = Some(text.to_owned());
    }
}

/// The old master is unroutable before the promotion is written, and so before anyone is told.
fn promote(situation: &Situation<'_>, plan: &mut Plan, next: Record, reason: Reason, note: &str) {
    let node = next.holder;
    plan.unroute = NodeId::BOTH.into_iter().filter(|it| situation.view(*it).label().is_some()).collect();
    let mut memory = Memory { last_failover: Some(situation.input.now), ..situation.memory.with(next) };
    memory.end_swap(SwapResult::Overtaken, situation.input.now);
    if situation.input.policy.order == MasterOrder::Node(node) {
        memory.handled_order = Some(situation.input.policy.order);
    }
    memory.volumes = [None, None];
    memory.volumes[node.index()] = situation.view(node).volume.uid().map(str::to_owned);
    plan.write_warning(memory, reason, note);
    plan.progress(Reason::FailingOver, note);
}

/// What a person can do. Before a command that loses mail stands what loses none.
fn reason_with_command(situation: &Situation<'_>, reason: Reason, promote: NodeId) -> String {
    let command = accept_command(situation.input, promote, situation.highest_epoch());
    match reason {
        Reason::NobodyAnswers => reason.text().to_owned(),
        Reason::SlaveSilent => format!(
            "{} answers with another store than the recorded one, and {} does not answer: bring {1} back, it has the \
             mail. Only if its disk is gone too, begin again with what {0} has: `{command}`",
            situation.pod(situation.holder),
            situation.pod(situation.slave)
        ),
        _ => format!("{} Accepting the loss: `{command}`", reason.text()),
    }
}
