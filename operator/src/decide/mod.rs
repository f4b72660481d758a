//! The planner: what is known, what is remembered and what is wanted become a plan. Pure and synchronous.
//!
//! The rows are tried in order, and the first that has something to write ends the pass: what is told and routed
//! afterwards follows from what is then written down (rule A1).

mod failover;
mod first;
mod office;
mod rollout;
mod swap;

#[cfg(test)]
mod tests;

use crate::authority::Memory;
use crate::observe::{Millis, NodeView, Observed};
use crate::pair::Policy;
use crate::reason::Reason;
use mailmirror_control::record::{Member, Record};
use mailmirror_control::status::{NodeStatus, Role};
use mailmirror_model::ids::{AuthorityId, Epoch, GrantNumber, NodeId};

/// A node that refused the record is told again after this time, in milliseconds.
pub const TELL_AGAIN_MS: u64 = 5_000;
/// A swap of the operator's own accord that failed is tried again after this time, in milliseconds.
pub const SWAP_AGAIN_MS: u64 = 60_000;

/// What is decided on.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// The namespace of the pair, for the commands in messages.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is known.
    pub observed: &'a Observed,
    /// What is remembered; `None`: there is no record.
    pub memory: Option<&'a Memory>,
    /// What is wanted.
    pub policy: &'a Policy,
    /// When.
    pub now: Millis,
    /// The identity of an authority that would have to be made now.
    pub fresh: AuthorityId,
}

/// What shall be done, in this order: unroute, write, and, when nothing was written, tell, route, restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods that lose their role label before anything is written.
    pub unroute: Vec<NodeId>,
    /// What is written into the Lease, by compare-and-swap.
    pub write: Option<Box<Memory>>,
    /// What is said about it once it is written.
    pub events: Vec<Event>,
    /// Nodes that are told the record.
    pub tell: Vec<NodeId>,
    /// Role labels to be set.
    pub route: Vec<(NodeId, Role)>,
    /// Pods to be deleted, so that they are made anew.
    pub restart: Vec<NodeId>,
    /// When to look again at the latest.
    pub wake_at: Option<Millis>,
    /// What stands in the way of a failover.
    pub blocked: Option<Finding>,
    /// What is under way, or waits.
    pub progress: Option<Finding>,
}

/// Something to be told in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// By which name.
    pub reason: Reason,
    /// In which words.
    pub message: String,
}

/// Something to be told in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// By which name.
    pub reason: Reason,
    /// In which words.
    pub note: String,
    /// Whether a person should look.
    pub warning: bool,
}

impl Plan {
    fn wake(&mut self, at: Millis) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn block(&mut self, reason: Reason, message: impl Into<String>) {
        self.blocked.get_or_insert(Finding { reason, message: message.into() });
    }

    fn progress(&mut self, reason: Reason, message: impl Into<String>) {
        self.progress.get_or_insert(Finding { reason, message: message.into() });
    }

    fn write(&mut self, memory: Memory, reason: Reason, note: impl Into<String>) {
        self.write = Some(Box::new(memory));
        self.events.push(Event { reason, note: note.into(), warning: false });
    }

    fn write_warning(&mut self, memory: Memory, reason: Reason, note: impl Into<String>) {
        self.write = Some(Box::new(memory));
        self.events.push(Event { reason, note: note.into(), warning: true });
    }
}

/// Decides.
pub fn decide(input: &Input<'_>) -> Plan {
    let mut plan = Plan::default();
    let Some(memory) = input.memory else {
        if input.policy.paused {
            plan.progress(Reason::Paused, Reason::Paused.text());
        } else {
            first::first_record(input, &mut plan);
        }
        return plan;
    };
    let situation = Situation::new(input, memory);
    let rows: &[fn(&Situation<'_>, &mut Plan)] = if input.policy.paused {
        plan.progress(Reason::Paused, Reason::Paused.text());
        plan.block(Reason::Paused, Reason::Paused.text());
        // The record is kept, or a healthy pair would stop at the first break of its link.
        &[office::exclude_replaced, office::grant, office::expand]
    } else {
        &[
            first::record_lost,
            office::policy_changed,
            office::exclude_replaced,
            office::grant,
            swap::carry_on,
            failover::accepted_loss,
            failover::failover,
            office::expand,
            swap::begin,
        ]
    };
    for row in rows {
        row(&situation, &mut plan);
        if plan.write.is_some() {
            return plan;
        }
    }
    rollout::tell(&situation, &mut plan);
    rollout::route(&situation, &mut plan);
    if !input.policy.paused {
        rollout::restart(&situation, &mut plan);
    }
    plan
}

/// The input with what every row looks at.
struct Situation<'a> {
    input: &'a Input<'a>,
    memory: &'a Memory,
    record: &'a Record,
    holder: NodeId,
    slave: NodeId,
}

/// How the holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// It answers, with the recorded store on the recorded volume.
    Well,
    /// It answers with something else.
    Replaced,
    /// It has been silent for less than the delay.
    SilentUntil(Millis),
    /// It has been silent for longer.
    Lost,
}

impl<'a> Situation<'a> {
    fn new(input: &'a Input<'a>, memory: &'a Memory) -> Self {
        let record = &memory.record;
        Self { input, memory, record, holder: record.holder, slave: record.holder.peer() }
    }

    fn view(&self, node: NodeId) -> &'a NodeView {
        self.input.observed.node(node)
    }

    fn status(&self, node: NodeId) -> Option<&'a NodeStatus> {
        self.view(node).status()
    }

    fn pod(&self, node: NodeId) -> String {
        format!("{}-{node}", self.input.name)
    }

    fn volume_replaced(&self, node: NodeId) -> bool {
        self.memory.volume_replaced(node, self.view(node).volume.uid())
    }

    /// The node with the store that it answers with.
    fn member(&self, node: NodeId) -> Option<Member> {
        self.status(node).map(|status| Member { node, store: status.store })
    }

    /// Whether the node itself confirms that it is a recorded member (rules A4, A5).
    fn confirmed(&self, node: NodeId) -> bool {
        self.member(node).is_some_and(|member| self.memory.trusts(member, self.view(node).volume.uid()))
    }

    fn holder_state(&self) -> Holder {
        let view = self.view(self.holder);
        match view.silent_since() {
            None if self.confirmed(self.holder) => Holder::Well,
            None => Holder::Replaced,
            Some(since) => {
                let delay = u64::try_from(self.input.policy.failover_delay.as_millis()).unwrap_or(u64::MAX);
                let until = since.saturating_add(delay);
                if self.input.now >= until { Holder::Lost } else { Holder::SilentUntil(until) }
            }
        }
    }

    /// The highest epoch that the record or any node knows.
    fn highest_epoch(&self) -> Epoch {
        highest_report(self.input.observed).map_or(self.record.epoch, |report| report.max(self.record.epoch))
    }
}

/// The highest epoch that any node reports (rule A7).
fn highest_report(observed: &Observed) -> Option<Epoch> {
    observed.nodes.iter().filter_map(|view| Some(view.status()?.obeyed?.epoch)).max()
}

/// The highest grant number that any node reports: nodes do not go back below it (rule A7).
fn highest_grant(observed: &Observed) -> GrantNumber {
    let reports = observed.nodes.iter().filter_map(|view| Some(view.status()?.obeyed?.grant));
    reports.max().unwrap_or(GrantNumber(0))
}

/// The command by which a person accepts that mail may be lost.
fn accept_command(input: &Input<'_>, promote: NodeId, epoch: Epoch) -> String {
    let value = crate::pair::AcceptedLoss { promote, after: epoch, stopped: false };
    let Input { namespace, name, .. } = input;
    format!("kubectl -n {namespace} annotate mmp/{name} --overwrite {}={value}", crate::api::ACCEPT_LOSS_ANNOTATION)
}
