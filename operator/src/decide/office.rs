//! The record while the roles stay as they are: grants, the set, the policy, replaced volumes.

use super::{Plan, Situation};
use crate::reason::Reason;
use mailmirror_control::status::Link;

/// `spec.acknowledgement` was changed (MIRROR.md section 3).
pub(super) fn policy_changed(situation: &Situation<'_>, plan: &mut Plan) {
    let wanted = situation.input.policy.acknowledgement;
    if wanted != situation.record.policy {
        let memory = situation.memory.with(situation.record.with_policy(wanted));
        plan.write(
            memory,
            Reason::PolicyChanged,
            format!("changes are acknowledged by the policy {wanted} from now on"),
        );
    }
}

/// A slave with another volume than the recorded one is no member, whatever its store says of itself (rule A5).
pub(super) fn exclude_replaced(situation: &Situation<'_>, plan: &mut Plan) {
    let slave = situation.slave;
    if !situation.volume_replaced(slave) {
        return;
    }
    let record = situation.memory.without(slave);
    let mut memory = record.map_or_else(|| situation.memory.clone(), |record| situation.memory.with(record));
    memory.volumes[slave.index()] = None;
    let note =
        format!("{} has another volume than the recorded one: it joins again when it is in sync", situation.pod(slave));
    plan.write_warning(memory, Reason::VolumeReplaced, note);
}

/// A master that lost its slave asks to answer alone (rule A2).
pub(super) fn grant(situation: &Situation<'_>, plan: &mut Plan) {
    let Some(wish) = situation.status(situation.holder).and_then(|status| status.wish) else { return };
    if situation.volume_replaced(situation.holder) {
        return;
    }
    // A refusal needs no answer: the wish is of another epoch or run, and ends with it.
    if let Ok(Some(record)) = situation.record.grant(&wish) {
        let note = format!("{} answers alone by grant {}: its slave is away", situation.pod(wish.node), record.grant.0);
        plan.write_warning(situation.memory.with(record), Reason::Granted, note);
    }
}

/// The slave has everything again (rule A3). What the slave and its volume say must fit the report.
pub(super) fn expand(situation: &Situation<'_>, plan: &mut Plan) {
    let slave = situation.slave;
    let Some(holder) = situation.status(situation.holder) else { return };
    let Some(ready) = holder.ready else { return };
    let Some(volume) = situation.view(slave).volume.uid() else { return };
    let Link::Connected { peer_store, peer_incarnation, .. } = holder.link else { return };
    let other_run = situation
        .status(slave)
        .is_some_and(|status| status.store != ready.slave_store || status.incarnation != peer_incarnation);
    if peer_store != ready.slave_store || other_run || situation.volume_replaced(situation.holder) {
        return;
    }
    if let Ok(Some(record)) = situation.record.expand(&ready) {
        let mut memory = situation.memory.with(record);
        memory.volumes[slave.index()] = Some(volume.to_owned());
        memory.mirrored_once = true;
        plan.write(memory, Reason::JoinedSet, format!("{} has everything that was acknowledged", situation.pod(slave)));
    }
}
