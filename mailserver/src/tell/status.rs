//! A status in words.

use mailmirror_control::status::{Counters, Link, NodeStatus, Role, SwapProgress};
use std::fmt::Write as _;

/// The line that `SurgeMail`'s administrators know.
pub fn mirror_out_line(counters: &Counters) -> String {
    format!(
        "Mirror out: Que/sent add={}/{} ({} bytes) del={}/{}",
        counters.out_add_queued,
        counters.out_add_sent,
        counters.out_add_bytes,
        counters.out_del_queued,
        counters.out_del_sent
    )
}

/// The other one: two spaces after its first word.
pub fn mirror_in_line(counters: &Counters) -> String {
    format!(
        "Mirror  in: Received add={} del={} rename={} failed={}",
        counters.in_add, counters.in_del, counters.in_rename, counters.in_failed
    )
}

/// The two mirror lines, and what they never told.
pub fn status_text(status: &NodeStatus, now_millis: u64) -> String {
    let mut text = format!("{}\n{}\n", mirror_out_line(&status.counters), mirror_in_line(&status.counters));
    let mut line = |name: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line("Node", format!("{} (version {}, store {})", status.node, status.version, status.store));
    line("Role", role(status));
    line("Link", link(status, now_millis));
    line("Lag", lag(status));
    line("Oldest unsent", status.oldest_unsent_ms.map_or_else(|| "none".to_owned(), duration));
    line("Acknowledgement", acknowledgement(status, now_millis));
    line("Proven equal", proven_equal(status));
    line("Conflicts", status.conflicts.to_string());
    line("Position", format!("log {}, committed {}, applied {}", status.tail, status.committed, status.applied));
    line(
        "Holds",
        format!("{} accounts, {} messages, log of {} bytes", status.accounts, status.messages, status.log_bytes),
    );
    if let Some(progress) = &status.progress {
        let total = progress.total.map_or_else(|| "?".to_owned(), |total| total.to_string());
        let took = duration(now_millis.saturating_sub(progress.since));
        let what = &progress.what;
        line("Progress", format!("{what} {}/{total} ({} bytes) in {took}", progress.done, progress.done_bytes));
    }
    match status.swap {
        Some(SwapProgress::Draining { number }) => line("Swap", format!("{number}, draining")),
        Some(SwapProgress::Sealed { number, position }) => line("Swap", format!("{number}, sealed at {position}")),
        None => {}
    }
    for problem in &status.problems {
        line("Problem", format!("{}: {}", problem.reason, problem.message));
    }
    text
}

fn role(status: &NodeStatus) -> String {
    let name = match status.role {
        Role::None => return "none (waiting to be told)".to_owned(),
        Role::Slave => "slave",
        Role::Master => "master",
    };
    let epoch = status.obeyed.map_or_else(|| "none".to_owned(), |obeyed| obeyed.epoch.to_string());
    let office = if status.in_office { ", in office" } else { "" };
    let serving = if status.serving { "serving" } else { "not serving" };
    format!("{name} of epoch {epoch}{office}, {serving}")
}

fn link(status: &NodeStatus, now_millis: u64) -> String {
    match &status.link {
        Link::Connected { since, peer_store, .. } => {
            format!("connected for {} to store {peer_store}", duration(now_millis.saturating_sub(*since)))
        }
        Link::Disconnected { since, error } => {
            let why = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("disconnected for {}{why}", duration(now_millis.saturating_sub(*since)))
        }
    }
}

fn lag(status: &NodeStatus) -> String {
    status.lag_entries.map_or_else(|| "unknown".to_owned(), |lag| format!("{lag} operations"))
}

fn acknowledgement(status: &NodeStatus, now_millis: u64) -> String {
    let policy = status.obeyed.map_or_else(|| "unknown".to_owned(), |obeyed| obeyed.policy.to_string());
    match status.degraded_since {
        Some(since) => format!("{policy}, DEGRADED for {}", duration(now_millis.saturating_sub(since))),
        None if status.alone => format!("{policy}, alone"),
        None => policy,
    }
}

fn proven_equal(status: &NodeStatus) -> String {
    let Some(proven) = &status.proven_equal else { return "never".to_owned() };
    let millis = i64::try_from(proven.at).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_millisecond(millis).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.0}"));
    format!("{at} at {} with digest {}", proven.position, proven.digest)
}

/// `0.3 s`, `2 min 5 s`, `3 h 7 min`, `2 d 4 h`.
fn duration(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::service::memory;
    use mailmirror_control::record::AckPolicy;
    use mailmirror_control::status::{Obeyed, Problem, ProvenEqual};
    use mailmirror_model::ids::{AuthorityId, Epoch, GrantNumber, NodeId, Position, Seq};

    #[test]
    fn the_two_lines_are_exactly_those_that_scripts_look_for() {
        let counters = Counters {
            out_add_queued: 612,
            out_add_sent: 611,
            out_add_bytes: 3_343_432,
            out_del_queued: 612,
            out_del_sent: 610,
            ..Counters::default()
        };
        assert_eq!(mirror_out_line(&counters), "Mirror out: Que/sent add=612/611 (3343432 bytes) del=612/610");
        assert_eq!(mirror_in_line(&counters), "Mirror  in: Received add=0 del=0 rename=0 failed=0");
    }

    #[test]
    fn a_status_says_what_the_two_lines_never_told() {
        let mut status = memory::status();
        status.obeyed = Some(Obeyed {
            authority: AuthorityId(1),
            epoch: Epoch(4),
            holder: NodeId::Zero,
            grant: GrantNumber(2),
            policy: AckPolicy::Peer,
        });
        status.degraded_since = Some(1_000);
        status.link = Link::Disconnected { since: 1_000, error: Some("refused".to_owned()) };
        status.lag_entries = Some(7);
        status.oldest_unsent_ms = Some(1_234);
        let position = Position { epoch: Epoch(4), seq: Seq(9) };
        status.proven_equal = Some(ProvenEqual { at: 0, position, digest: "ab".to_owned() });
        status.problems.push(Problem { reason: "DiskFull".to_owned(), message: "make room".to_owned() });
        let text = status_text(&status, 126_000);
        for expected in [
            "Mirror out: Que/sent add=0/0 (0 bytes) del=0/0\nMirror  in: Received add=0 del=0 rename=0 failed=0\n",
            "Role: master of epoch 4, in office, serving\n",
            "Link: disconnected for 2 min 5 s (refused)\n",
            "Lag: 7 operations\n",
            "Oldest unsent: 1.2 s\n",
            "Acknowledgement: peer, DEGRADED for 2 min 5 s\n",
            "Proven equal: 1970-01-01T00:00:00Z at 4/9 with digest ab\n",
            "Conflicts: 0\n",
            "Problem: DiskFull: make room\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
    }

    #[test]
    fn durations_are_read_by_people() {
        let read: Vec<_> = [340, 61_000, 3_700_000, 90_000_000].map(duration).to_vec();
        assert_eq!(read, ["0.3 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
