//! The first record, and one that was lost (rule A7).

use super::{Input, Plan, Situation, accept_command, highest_grant, highest_report};
use crate::authority::Memory;
use crate::pair::AcceptedLoss;
use crate::reason::Reason;
use crate::{api::MasterOrder, observe::Observed};
use mailmirror_control::record::{Member, Record};
use mailmirror_control::status::NodeStatus;
use mailmirror_model::ids::{Epoch, NodeId};

/// There is no record.
pub(super) fn first_record(input: &Input<'_>, plan: &mut Plan) {
    match highest_report(input.observed) {
        Some(top) => recreate(input, None, top, plan),
        None => begin(input, plan),
    }
}

/// There is a record, and a node has obeyed a later word than it: the Lease was rolled back, or another authority was
/// at work.
pub(super) fn record_lost(situation: &Situation<'_>, plan: &mut Plan) {
    let record = situation.record;
    let reports = || situation.input.observed.nodes.iter().filter_map(|view| view.status()?.obeyed);
    let newer = |theirs: Epoch| theirs > record.epoch;
    let rolled_back = reports().any(|obeyed| {
        let same = obeyed.authority == record.authority;
        same && (newer(obeyed.epoch) || (obeyed.epoch == record.epoch && obeyed.grant > record.grant))
    });
    let Some(top) = reports().map(|obeyed| obeyed.epoch).max() else { return };
    if rolled_back {
        recreate(situation.input, Some(situation.memory), top, plan);
        return;
    }
    let foreign = reports()
        .any(|obeyed| obeyed.authority != record.authority && (newer(obeyed.epoch) || obeyed.epoch == record.epoch));
    if !foreign {
        return;
    }
    // The record was re-created while that node was away. The holder goes on, above everything that was ever reported.
    let holder_obeys = situation
        .status(situation.holder)
        .and_then(|status| status.obeyed)
        .is_some_and(|obeyed| obeyed.authority == record.authority);
    if let (true, Some(member)) =
        (holder_obeys && situation.confirmed(situation.holder), situation.member(situation.holder))
    {
        let mut next = record.promote_accepting_loss(member, Some(top));
        next.grant = next.grant.max(highest_grant(situation.input.observed));
        let note =
            format!("a node had obeyed epoch {top} of another authority; the master goes on in epoch {}", next.epoch);
        plan.write_warning(situation.memory.with(next), Reason::RecordRecreated, note);
    } else {
        recreate(situation.input, Some(situation.memory), top, plan);
    }
}

/// A pair that nobody has ever led.
fn begin(input: &Input<'_>, plan: &mut Plan) {
    let preferred = match input.policy.order {
        MasterOrder::Any => NodeId::Zero,
        MasterOrder::Node(node) => node,
    };
    let other = preferred.peer();
    let view = |node: NodeId| input.observed.node(node);
    let has_mail = |status: &NodeStatus| status.messages > 0 || status.accounts > 0;
    let chosen = match (view(preferred).status(), view(other).status()) {
        (Some(a), Some(b)) if has_mail(a) && has_mail(b) => {
            let accepted = input.policy.accept_loss.as_deref().and_then(AcceptedLoss::parse);
            if let Some(accepted) = accepted.filter(|accepted| accepted.after == Epoch(0)) {
                Some(accepted.promote)
            } else {
                let command = accept_command(input, preferred, Epoch(0));
                plan.block(
                    Reason::TwoStores,
                    format!("both nodes have mail and were never a pair: choose with `{command}`"),
                );
                None
            }
        }
        // An empty store never overwrites a better one (rule U8).
        (Some(_), Some(b)) if has_mail(b) => Some(other),
        (Some(_), Some(_)) => Some(preferred),
        (Some(_), None) if view(other).volume.never_written() => Some(preferred),
        (None, Some(_)) if view(preferred).volume.never_written() => Some(other),
        _ => None,
    };
    // The volume is written down with the store (rule A5), so it has to be known.
    let chosen = chosen.filter(|node| view(*node).volume.uid().is_some());
    let member = chosen.and_then(|node| Some(Member { node, store: view(node).status()?.store }));
    let Some(member) = member else {
        plan.progress(Reason::WaitingForNodes, Reason::WaitingForNodes.text());
        return;
    };
    let record = Record::first(input.fresh, input.policy.acknowledgement, member, None);
    let mut memory = remember(input, Memory::new(record));
    if input.policy.order == MasterOrder::Node(member.node.peer()) {
        memory.handled_order = None;
    }
    plan.write(memory, Reason::FirstMaster, format!("{}-{} is the first master", input.name, member.node));
}

/// Both stores must have answered, and the one that led last must say so itself; or a person accepts loss.
fn recreate(input: &Input<'_>, before: Option<&Memory>, top: Epoch, plan: &mut Plan) {
    let accepted = input.policy.accept_loss.as_deref().and_then(AcceptedLoss::parse).filter(|it| it.after == top);
    let chosen = match accepted {
        Some(accepted) => {
            let stopped = accepted.stopped || input.observed.node(accepted.promote.peer()).known_stopped();
            let other_answers = input.observed.node(accepted.promote.peer()).status().is_some();
            if !stopped && !other_answers {
                plan.block(Reason::WaitingForStop, Reason::WaitingForStop.text());
                return;
            }
            input.observed.node(accepted.promote).status().map(|status| (accepted.promote, status))
        }
        None => last_leader(input.observed, top),
    };
    let Some((node, status)) = chosen else {
        let command = accept_command(input, best_guess(input.observed), top);
        let message = format!("{} The command is `{command}`", Reason::RecordLost.text());
        plan.block(Reason::RecordLost, message);
        plan.progress(Reason::RecordLost, Reason::RecordLost.text());
        return;
    };
    let member = Member { node, store: status.store };
    let mut record = Record::first(input.fresh, input.policy.acknowledgement, member, Some(top));
    record.gap = accepted.is_some();
    record.grant = highest_grant(input.observed);
    record.last_swap = before.map_or(0, |memory| memory.record.last_swap);
    let mut memory =
        remember(input, before.map_or_else(|| Memory::new(record.clone()), |memory| memory.with(record.clone())));
    memory.swap = None;
    memory.accepted = accepted.and(input.policy.accept_loss.clone());
    let note = format!("the record was lost; {}-{node} goes on in epoch {}", input.name, record.epoch);
    plan.write_warning(memory, Reason::RecordRecreated, note);
}

/// The holder of the highest epoch, if both nodes answer and it has a store that was led or followed before.
///
/// It need not have heard of that epoch itself: nobody but the holder could acknowledge anything in it, and whoever was
/// made holder without accepted loss had everything from before.
fn last_leader(observed: &Observed, top: Epoch) -> Option<(NodeId, &NodeStatus)> {
    let statuses = [observed.nodes[0].status()?, observed.nodes[1].status()?];
    let holder = statuses.iter().filter_map(|status| status.obeyed).find(|obeyed| obeyed.epoch == top)?.holder;
    let status = statuses[holder.index()];
    status.obeyed.is_some().then_some((holder, status))
}

/// Whom to name in the command: the one with the highest epoch among those who answer.
fn best_guess(observed: &Observed) -> NodeId {
    let epoch = |node: NodeId| observed.node(node).status().map(|status| status.obeyed.map(|obeyed| obeyed.epoch));
    if epoch(NodeId::One) > epoch(NodeId::Zero) { NodeId::One } else { NodeId::Zero }
}

/// What holds at the beginning of an authority: the orders are taken as they stand, the volumes as they are.
fn remember(input: &Input<'_>, mut memory: Memory) -> Memory {
    memory.handled_order = Some(input.policy.order);
    memory.handled_swap.clone_from(&input.policy.swap);
    let holder = memory.record.holder;
    for node in NodeId::BOTH {
        let uid = input.observed.node(node).volume.uid().map(str::to_owned);
        memory.volumes[node.index()] = if node == holder { uid } else { None };
    }
    memory
}
