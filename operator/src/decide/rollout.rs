//! What follows from the record: who is told, where the Services lead, which pods are made anew.

use super::{Plan, Situation, TELL_AGAIN_MS};
use crate::observe::NodeView;
use crate::reason::Reason;
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, Role};
use mailmirror_model::ids::NodeId;

/// Every run of a process is told every change of the record, and one that refused is told again after a while. A
/// holder on a volume that is not the recorded one is not told: it would lead with an older state (rule A5).
pub(super) fn tell(situation: &Situation<'_>, plan: &mut Plan) {
    for node in NodeId::BOTH {
        let view = situation.view(node);
        let Some(status) = view.status() else { continue };
        if node == situation.holder && situation.volume_replaced(node) {
            continue;
        }
        let known = view.told.filter(|told| {
            told.incarnation == status.incarnation
                && told.authority == situation.record.authority
                && told.serial == situation.record.serial
        });
        match known {
            Some(told) if told.refused => {
                let again = told.at.saturating_add(TELL_AGAIN_MS);
                if situation.input.now >= again { plan.tell.push(node) } else { plan.wake(again) }
            }
            Some(_) => {}
            None => plan.tell.push(node),
        }
    }
}

/// Labels follow what the nodes say of themselves under this record, and never both say master.
pub(super) fn route(situation: &Situation<'_>, plan: &mut Plan) {
    for node in NodeId::BOTH {
        let view = situation.view(node);
        if view.pod.is_none() {
            continue;
        }
        let wanted = if node == situation.holder { Role::Master } else { Role::Slave };
        let plays = view.status().is_some_and(|status| {
            let here = status.obeyed.is_some_and(|obeyed| obeyed.epoch == situation.record.epoch);
            here && status.role == wanted
        });
        match view.label() {
            Some(label) if label != wanted => plan.unroute.push(node),
            None if plays && !view.terminating() => plan.route.push((node, wanted)),
            Some(_) | None => {}
        }
    }
}

/// Pods of an old revision are deleted, one at a time: what cannot start, then the slave of a pair in sync.
pub(super) fn restart(situation: &Situation<'_>, plan: &mut Plan) {
    let stale: Vec<NodeId> = NodeId::BOTH.into_iter().filter(|node| outdated(situation, *node)).collect();
    if stale.is_empty() || situation.record.swap.is_some() {
        return;
    }
    let stuck = |node: &&NodeId| {
        let view = situation.view(**node);
        view.status().is_none() && view.pod.as_ref().is_some_and(|pod| pod.stuck.is_some() && !pod.terminating)
    };
    if let Some(node) = stale.iter().find(stuck) {
        plan.restart.push(*node);
        plan.progress(Reason::Updating, format!("{} cannot start and is made anew", situation.pod(*node)));
    } else if !in_sync(situation) {
        plan.progress(Reason::UpdateWaiting, Reason::UpdateWaiting.text());
    } else if stale.contains(&situation.slave) && !situation.view(situation.slave).terminating() {
        plan.restart.push(situation.slave);
        plan.progress(Reason::Updating, format!("{} is made anew", situation.pod(situation.slave)));
    } else {
        plan.progress(Reason::Updating, Reason::Updating.text());
    }
}

/// Only the master is of an old revision: the roles are swapped, and it is replaced as slave.
pub(super) fn wants_swap(situation: &Situation<'_>) -> bool {
    outdated(situation, situation.holder) && !outdated(situation, situation.slave) && in_sync(situation)
}

fn outdated(situation: &Situation<'_>, node: NodeId) -> bool {
    let wanted = situation.input.observed.update_revision.as_ref();
    let has = situation.view(node).pod.as_ref().and_then(|pod| pod.revision.as_ref());
    matches!((wanted, has), (Some(wanted), Some(has)) if wanted != has)
}

/// Both answer, are connected, and the slave has everything.
fn in_sync(situation: &Situation<'_>) -> bool {
    let ready = |view: &NodeView| view.pod.as_ref().is_some_and(|pod| pod.ready && !pod.terminating);
    let Some(master) = situation.status(situation.holder) else { return false };
    let connected = matches!(master.link, Link::Connected { .. });
    let has_all = match situation.record.policy {
        AckPolicy::Local => master.lag_entries == Some(0),
        AckPolicy::Peer | AckPolicy::Both => situation.confirmed(situation.slave),
    };
    let both = situation.input.observed.nodes.iter().all(ready);
    both && connected && has_all && situation.status(situation.slave).is_some_and(|slave| slave.progress.is_none())
}
