//! A swap: hold, drain, seal, promote (rule A10).

use super::{Plan, SWAP_AGAIN_MS, Situation};
use crate::api::MasterOrder;
use crate::authority::{Memory, SwapResult, SwapTask, SwapWhy};
use crate::reason::Reason;
use mailmirror_control::record::{AckPolicy, Record};
use mailmirror_control::status::{Link, SwapProgress};
use mailmirror_model::ids::NodeId;

/// A swap is under way.
pub(super) fn carry_on(situation: &Situation<'_>, plan: &mut Plan) {
    let Some(swap) = situation.record.swap else { return };
    let Some(task) = situation.memory.swap else {
        // Only a hand that edited the Lease could have done this.
        return give_up(situation, plan, SwapResult::Cancelled, "the swap has no target");
    };
    let to = task.to;
    plan.progress(Reason::SwapUnderWay, format!("{} is to become master", situation.pod(to)));
    let sealed = situation
        .status(situation.holder)
        .and_then(|status| status.swap)
        .is_some_and(|progress| matches!(progress, SwapProgress::Sealed { number, .. } if number == swap.number));
    let candidate = situation.member(to);
    if sealed && let Some(candidate) = candidate {
        let trusted = situation.record.policy == AckPolicy::Local || situation.confirmed(to);
        match situation.record.promote(candidate, true) {
            Ok(next) if trusted => return finish(situation, plan, next, task),
            _ => return give_up(situation, plan, SwapResult::Cancelled, "the other node is not in sync any more"),
        }
    }
    let left_set = situation.record.policy != AckPolicy::Local
        && (!situation.record.members.iter().any(|member| member.node == to)
            || candidate.is_some() && !situation.confirmed(to));
    let order = situation.input.policy.order;
    let recalled = task.why == SwapWhy::Order && situation.memory.handled_order != Some(order);
    let timeout = u64::try_from(situation.input.policy.swap_timeout.as_millis()).unwrap_or(u64::MAX);
    let ends = task.began.saturating_add(timeout);
    if left_set {
        give_up(situation, plan, SwapResult::Cancelled, "the other node is not in sync any more");
    } else if recalled {
        give_up(situation, plan, SwapResult::Cancelled, "spec.master was changed again");
    } else if situation.input.now >= ends {
        give_up(situation, plan, SwapResult::TimedOut, "it took longer than spec.swap.timeout");
    } else {
        plan.wake(ends);
    }
}

fn finish(situation: &Situation<'_>, plan: &mut Plan, next: Record, task: SwapTask) {
    plan.unroute = NodeId::BOTH.into_iter().filter(|it| situation.view(*it).label().is_some()).collect();
    let took = situation.input.now.saturating_sub(task.began);
    let note = format!("{} is master in epoch {} after {took} ms", situation.pod(task.to), next.epoch);
    let mut memory = situation.memory.with(next);
    memory.end_swap(SwapResult::Done, situation.input.now);
    memory.volumes = [None, None];
    memory.volumes[task.to.index()] = situation.view(task.to).volume.uid().map(str::to_owned);
    plan.write(memory, Reason::SwapDone, note);
}

fn give_up(situation: &Situation<'_>, plan: &mut Plan, result: SwapResult, why: &str) {
    let Ok(record) = situation.record.cancel_swap() else { return };
    let mut memory = situation.memory.with(record);
    memory.end_swap(result, situation.input.now);
    let reason = if result == SwapResult::TimedOut { Reason::SwapTimedOut } else { Reason::SwapCancelled };
    plan.write_warning(memory, reason, format!("{} goes on as master: {why}", situation.pod(situation.holder)));
}

/// Whether a swap is wanted, and whether it can begin.
pub(super) fn begin(situation: &Situation<'_>, plan: &mut Plan) {
    if situation.record.swap.is_some() {
        return;
    }
    let policy = situation.input.policy;
    let order_open = situation.memory.handled_order != Some(policy.order);
    let ordered_here = policy.order == MasterOrder::Any || policy.order == MasterOrder::Node(situation.holder);
    if order_open && ordered_here {
        // It is as it should be: the order is used up (rule S1).
        plan.write = Some(Box::new(Memory { handled_order: Some(policy.order), ..situation.memory.clone() }));
        return;
    }
    let why = if order_open {
        SwapWhy::Order
    } else if policy.swap.is_some() && policy.swap != situation.memory.handled_swap {
        SwapWhy::Annotation
    } else if situation.view(situation.holder).leaving() && !situation.view(situation.slave).leaving() {
        SwapWhy::Drain
    } else if super::rollout::wants_swap(situation) {
        SwapWhy::Update
    } else {
        return;
    };
    let own_accord = matches!(why, SwapWhy::Drain | SwapWhy::Update);
    if own_accord && let Some(end) = situation.memory.last_swap.filter(|end| end.result != SwapResult::Done) {
        let again = end.ended.saturating_add(SWAP_AGAIN_MS);
        if situation.input.now < again {
            plan.wake(again);
            return;
        }
    }
    if let Err(waits) = may_begin(situation) {
        plan.progress(
            Reason::SwapWaiting,
            format!("{} is to become master, but {waits}", situation.pod(situation.slave)),
        );
        return;
    }
    let task = SwapTask { to: situation.slave, why, began: situation.input.now };
    let mut memory = Memory { swap: Some(task), ..situation.memory.with(situation.record.begin_swap()) };
    match why {
        SwapWhy::Order => memory.handled_order = Some(policy.order),
        SwapWhy::Annotation => memory.handled_swap.clone_from(&policy.swap),
        SwapWhy::Drain | SwapWhy::Update => {}
    }
    let note =
        format!("{} seals its epoch for {} ({why:?})", situation.pod(situation.holder), situation.pod(situation.slave));
    plan.write(memory, Reason::SwapBegan, note);
}

/// The precheck: nothing is held before it is likely that the swap comes to its end.
fn may_begin(situation: &Situation<'_>) -> Result<(), String> {
    let (holder, slave) = (situation.holder, situation.slave);
    let silent = |node: NodeId| format!("{} does not answer", situation.pod(node));
    let master = situation.status(holder).ok_or_else(|| silent(holder))?;
    let other = situation.status(slave).ok_or_else(|| silent(slave))?;
    if !matches!(master.link, Link::Connected { peer_store, .. } if peer_store == other.store) {
        return Err("the nodes are not connected".to_owned());
    }
    if other.progress.is_some() || master.progress.is_some() {
        return Err("a resync is under way".to_owned());
    }
    if situation.view(slave).terminating() {
        return Err(format!("{} is going", situation.pod(slave)));
    }
    if situation.record.policy != AckPolicy::Local && !situation.confirmed(slave) {
        return Err(format!("{} is not in sync", situation.pod(slave)));
    }
    if !situation.confirmed(holder) {
        return Err(format!("{} has another store than the recorded one", situation.pod(holder)));
    }
    Ok(())
}
