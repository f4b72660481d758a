//! The conditions: complete from the first pass, in one order.

use crate::authority::{Memory, SwapResult};
use crate::decide::Finding;
use crate::observe::{Millis, NodeView, Observed};
use crate::pair::ValidatedPair;
use crate::reason::Reason;
use crate::{api::MasterOrder, decide::Plan};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, NodeStatus, Role};

/// The conditions of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionKind {
    /// Mail is served, and the objects of the pair are written. A new pair is not ready before it was in sync once.
    Ready,
    /// The master serves and the Service leads to it.
    MasterAvailable,
    /// Both nodes have everything that was acknowledged.
    Mirrored,
    /// Something is under way or waits.
    Progressing,
    /// Mail is served with less than the pair promises.
    Degraded,
    /// A failover is needed, or would be, and cannot be.
    FailoverBlocked,
    /// The master is not the ordered one.
    MasterNotPreferred,
    /// A person is needed.
    Stalled,
}

/// What the conditions are made of.
pub struct Facts<'a> {
    /// The pair.
    pub pair: &'a ValidatedPair,
    /// What is known.
    pub observed: &'a Observed,
    /// What is remembered.
    pub memory: Option<&'a Memory>,
    /// What was planned last.
    pub plan: &'a Plan,
    /// What keeps the operator from acting, if anything does.
    pub stalled: Option<Finding>,
    /// What could not be written, if anything.
    pub pending: Option<Finding>,
}

type Verdict = (bool, Reason, String);

/// All conditions. Those that stay as they were keep their time.
pub fn conditions(facts: &Facts<'_>, before: &[Condition], now: Millis) -> Vec<Condition> {
    let available = master_available(facts);
    let mirrored = mirrored(facts);
    let ready = ready(facts, &available, &mirrored);
    let progressing = match (&facts.plan.progress, facts.memory) {
        (Some(finding), _) => (finding.reason != Reason::Paused, finding.reason, finding.message.clone()),
        (None, Some(memory)) if memory.mirrored_once || memory.record.policy == AckPolicy::Local => {
            said(false, Reason::UpToDate)
        }
        (None, _) => said(true, Reason::FirstStart),
    };
    let blocked = facts.plan.blocked.as_ref().map_or_else(
        || match would_be_blocked(facts) {
            Some(reason) => said(true, reason),
            None => said(false, Reason::NotBlocked),
        },
        |finding| (true, finding.reason, finding.message.clone()),
    );
    let stalled = facts
        .stalled
        .as_ref()
        .map_or_else(|| said(false, Reason::NotStalled), |finding| (true, finding.reason, finding.message.clone()));
    let verdicts = [
        (ConditionKind::Ready, ready),
        (ConditionKind::MasterAvailable, available),
        (ConditionKind::Mirrored, mirrored),
        (ConditionKind::Progressing, progressing),
        (ConditionKind::Degraded, degraded(facts)),
        (ConditionKind::FailoverBlocked, blocked),
        (ConditionKind::MasterNotPreferred, not_preferred(facts)),
        (ConditionKind::Stalled, stalled),
    ];
    let time = Time(timestamp(now));
    verdicts.into_iter().map(|(kind, verdict)| condition(kind, verdict, facts.pair.generation, before, &time)).collect()
}

/// The conditions of an object that cannot be acted on. The others are left as they were.
pub fn invalid(why: &str, generation: i64, before: &[Condition], now: Millis) -> Vec<Condition> {
    let time = Time(timestamp(now));
    let ours = [(ConditionKind::Ready, false), (ConditionKind::Stalled, true)];
    let names = ours.map(|(kind, _)| format!("{kind:?}"));
    let mut all: Vec<Condition> = ours
        .into_iter()
        .map(|(kind, status)| {
            condition(kind, (status, Reason::InvalidObject, why.to_owned()), generation, before, &time)
        })
        .collect();
    all.extend(before.iter().filter(|old| !names.contains(&old.type_)).cloned());
    all
}

pub(super) fn timestamp(now: Millis) -> Timestamp {
    // Status times are of whole seconds: what the server keeps is then what was sent.
    i64::try_from(now / 1000)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn condition(kind: ConditionKind, verdict: Verdict, generation: i64, before: &[Condition], now: &Time) -> Condition {
    let (status, reason, message) = verdict;
    let (type_, status) = (format!("{kind:?}"), if status { "True" } else { "False" }.to_owned());
    let same = before.iter().find(|old| old.type_ == type_ && old.status == status);
    let last_transition_time = same.map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
    let message = message.chars().take(4000).collect();
    Condition {
        type_,
        status,
        reason: reason.to_string(),
        message,
        last_transition_time,
        observed_generation: Some(generation),
    }
}

fn said(status: bool, reason: Reason) -> Verdict {
    (status, reason, reason.text().to_owned())
}

fn ready(facts: &Facts<'_>, available: &Verdict, mirrored: &Verdict) -> Verdict {
    let local = facts.memory.is_some_and(|memory| memory.record.policy == AckPolicy::Local);
    let once = facts.memory.is_some_and(|memory| memory.mirrored_once) || local && mirrored.0;
    if let Some(stalled) = &facts.stalled {
        (false, stalled.reason, stalled.message.clone())
    } else if !available.0 {
        available.clone()
    } else if let Some(pending) = &facts.pending {
        (false, pending.reason, pending.message.clone())
    } else if !once && !mirrored.0 {
        (false, Reason::NotMirroredYet, format!("{} {}", Reason::NotMirroredYet.text(), mirrored.2))
    } else {
        said(true, Reason::Serving)
    }
}

fn master_available(facts: &Facts<'_>) -> Verdict {
    let Some(memory) = facts.memory else {
        let finding = facts.plan.progress.as_ref().filter(|finding| finding.reason != Reason::Paused);
        return finding.map_or_else(|| said(false, Reason::NoRecord), |it| (false, it.reason, it.message.clone()));
    };
    let view = facts.observed.node(memory.record.holder);
    let Some(status) = view.status() else {
        return (false, Reason::MasterSilent, format!("{} {}", Reason::MasterSilent.text(), silence(view)));
    };
    let member = mailmirror_control::record::Member { node: memory.record.holder, store: status.store };
    if !memory.trusts(member, view.volume.uid()) {
        return said(false, Reason::MasterStoreReplaced);
    }
    if status.role != Role::Master || !status.in_office {
        return said(false, Reason::MasterStarting);
    }
    if view.label() != Some(Role::Master) || view.pod.as_ref().is_none_or(|pod| !pod.ready) {
        return said(false, Reason::NotRouted);
    }
    said(true, Reason::Serving)
}

fn mirrored(facts: &Facts<'_>) -> Verdict {
    let Some(memory) = facts.memory else { return said(false, Reason::NoRecord) };
    let record = &memory.record;
    let (master, slave) = (facts.observed.node(record.holder), facts.observed.node(record.holder.peer()));
    if slave.status().is_none() {
        return (false, Reason::SlaveSilent, format!("{} {}", Reason::SlaveSilent.text(), silence(slave)));
    }
    let Some(status) = master.status() else { return said(false, Reason::MasterSilent) };
    if let Link::Disconnected { error, .. } = &status.link {
        let why = error.as_deref().unwrap_or_default();
        return (false, Reason::LinkDown, format!("{} {why}", Reason::LinkDown.text()).trim().to_owned());
    }
    let in_sync = match record.policy {
        AckPolicy::Local => status.lag_entries == Some(0),
        AckPolicy::Peer | AckPolicy::Both => record.members.len() == 2,
    };
    let resync = [master, slave].iter().any(|view| view.status().is_some_and(|status| status.progress.is_some()));
    match (in_sync, resync) {
        (true, _) => said(true, Reason::InSync),
        (false, true) => said(false, Reason::Resyncing),
        (false, false) if record.policy == AckPolicy::Local => said(false, Reason::Lagging),
        (false, false) => said(false, Reason::CatchingUp),
    }
}

fn degraded(facts: &Facts<'_>) -> Verdict {
    for (view, node) in facts.observed.nodes.iter().zip(mailmirror_model::ids::NodeId::BOTH) {
        if let Some(why) = view.pod.as_ref().and_then(|pod| pod.stuck.as_ref()) {
            return (true, Reason::PodStuck, format!("{}: {why}", facts.pair.pod(node)));
        }
    }
    let alone = |status: &&NodeStatus| status.alone && status.role == Role::Master;
    if facts.observed.nodes.iter().filter_map(NodeView::status).find(alone).is_some() {
        return said(true, Reason::RunningAlone);
    }
    for (view, node) in facts.observed.nodes.iter().zip(mailmirror_model::ids::NodeId::BOTH) {
        if let Some(problem) = view.status().and_then(|status| status.problems.first()) {
            return (
                true,
                Reason::NodeProblem,
                format!("{}: {}: {}", facts.pair.pod(node), problem.reason, problem.message),
            );
        }
    }
    let Some(memory) = facts.memory else { return said(false, Reason::AllWell) };
    if memory.mirrored_once && facts.observed.node(memory.record.holder.peer()).status().is_none() {
        return said(true, Reason::SlaveSilent);
    }
    said(false, Reason::AllWell)
}

/// Nothing is lost yet, but a slave outside the set could not be promoted if it were.
fn would_be_blocked(facts: &Facts<'_>) -> Option<Reason> {
    let Some(memory) = facts.memory else { return Some(Reason::NoRecord) };
    let slave = memory.record.holder.peer();
    let view = facts.observed.node(slave);
    match (memory.record.policy, view.status()) {
        (_, None) => Some(Reason::SlaveSilent),
        (AckPolicy::Local, Some(_)) => None,
        (AckPolicy::Peer | AckPolicy::Both, Some(status)) => {
            let member = mailmirror_control::record::Member { node: slave, store: status.store };
            (!memory.trusts(member, view.volume.uid())).then_some(Reason::SlaveNotInSync)
        }
    }
}

fn not_preferred(facts: &Facts<'_>) -> Verdict {
    let order = facts.pair.policy.order;
    let (MasterOrder::Node(wanted), Some(memory)) = (order, facts.memory) else {
        return said(false, Reason::AsOrdered);
    };
    if memory.record.holder == wanted {
        return said(false, Reason::AsOrdered);
    }
    if memory.handled_order != Some(order) || memory.swap.is_some() {
        return said(true, Reason::OrderPending);
    }
    // Whichever came last, the swap or the failover, is why it is as it is.
    let last = memory.last_swap.filter(|end| memory.last_failover.is_none_or(|failover| failover < end.ended));
    match last {
        Some(end) if end.task.to == wanted && end.result != SwapResult::Done => said(true, Reason::SwapNotDone),
        Some(end) if end.task.to != wanted && end.result == SwapResult::Done => said(true, Reason::SwappedAway),
        _ => said(true, Reason::FailedOver),
    }
}

fn silence(view: &NodeView) -> String {
    match &view.answer {
        crate::observe::Answer::Unknown { why, .. } => why.clone(),
        crate::observe::Answer::Status(_) => String::new(),
    }
}
