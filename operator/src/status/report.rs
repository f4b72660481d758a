//! The rest of the status.

use super::conditions::{Facts, conditions, timestamp};
use crate::api::{CommandReport, MailMirrorPairStatus, NodeReport, SwapReport};
use crate::authority::{Memory, SwapResult, SwapWhy};
use crate::observe::{Answer, Millis, NodeView};
use crate::pair::ValidatedPair;
use crate::resources::selector_text;
use k8s_openapi::api::core::v1::Service;
use mailmirror_control::status::{Link, NodeStatus};
use mailmirror_model::ids::NodeId;

/// The whole status. `services`: that of the master and that of the slave.
pub fn status(
    facts: &Facts<'_>,
    services: [Option<&Service>; 2],
    before: Option<&MailMirrorPairStatus>,
    now: Millis,
) -> MailMirrorPairStatus {
    let pair = facts.pair;
    let record = facts.memory.map(|memory| &memory.record);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    MailMirrorPairStatus {
        observed_generation: Some(pair.generation),
        conditions: conditions(facts, before.map_or(&[], |before| &before.conditions), now),
        master: record.map(|record| pair.pod(record.holder)),
        slave: record.map(|record| pair.pod(record.holder.peer())),
        target_master: facts.memory.and_then(|memory| memory.swap).map(|task| pair.pod(task.to)),
        epoch: record.map(|record| number(record.epoch.0)),
        in_sync: record
            .map(|record| record.members.iter().map(|member| pair.pod(member.node)).collect())
            .unwrap_or_default(),
        lag: record
            .and_then(|record| facts.observed.node(record.holder).status())
            .and_then(|status| status.lag_entries)
            .map(number),
        last_failover: facts.memory.and_then(|memory| memory.last_failover).map(|at| timestamp(at).to_string()),
        last_swap: facts.memory.and_then(|memory| swap_report(pair, memory)),
        last_command: facts.memory.and_then(command_report),
        nodes: NodeId::BOTH.into_iter().map(|node| node_report(pair, node, facts.observed.node(node))).collect(),
        dns_records: dns_records(pair, services),
        selector: Some(selector_text(pair)),
    }
}

/// Whether the difference is worth a write now: numbers that only grow wait until the last write is `old`.
pub fn differs(new: &MailMirrorPairStatus, before: Option<&MailMirrorPairStatus>, old: bool) -> bool {
    let Some(before) = before else { return true };
    if new == before {
        return false;
    }
    old || without_numbers(new) != without_numbers(before)
}

fn without_numbers(status: &MailMirrorPairStatus) -> MailMirrorPairStatus {
    let mut status = status.clone();
    status.lag = status.lag.map(|lag| lag.min(1));
    for node in &mut status.nodes {
        node.accounts = None;
        node.messages = None;
        node.mirror_out = None;
        node.mirror_in = None;
        node.progress = node.progress.as_ref().map(|_| String::new());
    }
    status
}

fn swap_report(pair: &ValidatedPair, memory: &Memory) -> Option<SwapReport> {
    let (number, task, ended, result) = match (memory.swap, memory.last_swap) {
        (Some(task), _) => (memory.record.last_swap, task, None, "UnderWay".to_owned()),
        (None, Some(end)) => (end.number, end.task, Some(end.ended), format!("{:?}", end.result)),
        (None, None) => return None,
    };
    let done = memory.last_swap.is_some_and(|end| end.result == SwapResult::Done);
    let took = ended.filter(|_| done).map(|ended| ended.saturating_sub(task.began));
    Some(SwapReport {
        number: i64::try_from(number).unwrap_or(i64::MAX),
        to: pair.pod(task.to),
        annotation: memory.handled_swap.clone().filter(|_| task.why == SwapWhy::Annotation),
        began: timestamp(task.began).to_string(),
        took_milliseconds: took.and_then(|took| i64::try_from(took).ok()),
        result,
    })
}

fn command_report(memory: &Memory) -> Option<CommandReport> {
    let value = memory.accepted.clone()?;
    let annotation = crate::api::ACCEPT_LOSS_ANNOTATION.to_owned();
    Some(CommandReport { annotation, value, result: "Promoted".to_owned() })
}

fn node_report(pair: &ValidatedPair, node: NodeId, view: &NodeView) -> NodeReport {
    let status = view.status();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    NodeReport {
        node: i32::from(u8::from(node)),
        pod: pair.pod(node),
        state: state(view).to_owned(),
        role: status.map(|status| format!("{:?}", status.role)),
        unknown: match &view.answer {
            Answer::Unknown { why, .. } => Some(why.clone()),
            Answer::Status(_) => None,
        },
        epoch: status.and_then(|status| status.obeyed).map(|obeyed| number(obeyed.epoch.0)),
        store: status.map(|status| status.store.to_string()),
        incarnation: status.map(|status| status.incarnation.0.to_string()),
        serving: status.map(|status| status.serving),
        alone: status.map(|status| status.alone),
        link: status.map(|status| match &status.link {
            Link::Connected { .. } => "Connected".to_owned(),
            Link::Disconnected { .. } => "Disconnected".to_owned(),
        }),
        link_since: status.map(|status| match status.link {
            Link::Connected { since, .. } | Link::Disconnected { since, .. } => timestamp(since).to_string(),
        }),
        version: status.map(|status| status.version.clone()),
        accounts: status.map(|status| number(status.accounts)),
        messages: status.map(|status| number(status.messages)),
        mirror_out: status.map(mirror_out),
        mirror_in: status.map(mirror_in),
        progress: status.and_then(progress),
        problems: status.map(problems).unwrap_or_default(),
    }
}

fn state(view: &NodeView) -> &'static str {
    match &view.pod {
        None => "Absent",
        Some(pod) if pod.terminating => "Terminating",
        Some(pod) if pod.host_lost => "NodeLost",
        Some(pod) if pod.stuck.is_some() => "Stuck",
        Some(pod) if pod.ready => "Running",
        Some(_) => "Starting",
    }
}

fn mirror_out(status: &NodeStatus) -> String {
    let c = &status.counters;
    format!(
        "Mirror out: Que/sent add={}/{} ({} bytes) del={}/{}",
        c.out_add_queued, c.out_add_sent, c.out_add_bytes, c.out_del_queued, c.out_del_sent
    )
}

fn mirror_in(status: &NodeStatus) -> String {
    let c = &status.counters;
    format!("Mirror  in: Received add={} del={} rename={} failed={}", c.in_add, c.in_del, c.in_rename, c.in_failed)
}

fn progress(status: &NodeStatus) -> Option<String> {
    let progress = status.progress.as_ref()?;
    let total = progress.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
    Some(format!("{} {}/{total} ({} bytes)", progress.what, progress.done, progress.done_bytes))
}

fn problems(status: &NodeStatus) -> Vec<String> {
    status.problems.iter().map(|problem| format!("{}: {}", problem.reason, problem.message)).collect()
}

/// MX records for the domains, and addresses for the names in them where load balancers have given some.
fn dns_records(pair: &ValidatedPair, services: [Option<&Service>; 2]) -> Vec<String> {
    let Some(hostname) = &pair.spec.hostname else { return Vec::new() };
    let backup = format!("mx2.{hostname}");
    let mut records: Vec<String> = pair
        .spec
        .domains
        .iter()
        .flat_map(|domain| [format!("{domain}. IN MX 10 {hostname}."), format!("{domain}. IN MX 20 {backup}.")])
        .collect();
    for (name, service) in [hostname, &backup].into_iter().zip(services) {
        let ingress = service
            .and_then(|service| service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref())
            .into_iter()
            .flatten();
        for address in ingress {
            match (&address.ip, &address.hostname) {
                (Some(ip), _) if ip.contains(':') => records.push(format!("{name}. IN AAAA {ip}")),
                (Some(ip), _) => records.push(format!("{name}. IN A {ip}")),
                (None, Some(target)) => records.push(format!("{name}. IN CNAME {target}.")),
                (None, None) => {}
            }
        }
    }
    records
}
