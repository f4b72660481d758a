//! What a node says of itself.

use crate::shared::{Inner, Seen, Shared};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, NodeStatus, Role};
use mailmirror_model::ids::Seq;
use mailmirror_store::Totals;

/// Builds the status. The totals are read before, without the lock.
pub(crate) fn build(shared: &Shared, inner: &Inner, totals: &Totals) -> NodeStatus {
    let now = shared.now();
    let wall = shared.clock.wall_millis();
    let node = &inner.node;
    let identity = node.identity();
    let ago = |since: crate::node::Time| wall.saturating_sub(millis(now.since(since)));
    let peer_flushed = node.peer().map(|peer| peer.flushed);
    let lag_entries = peer_flushed.map(|flushed| node.tail().seq.0 - flushed.0.min(node.tail().seq.0));
    let oldest = inner.unsent.front().filter(|_| node.role() == Role::Master);
    let mut counters = inner.counters;
    counters.in_failed = totals.failed.max(counters.in_failed);
    NodeStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: identity.node,
        store: identity.store,
        incarnation: identity.incarnation,
        started_at: shared.started_at,
        role: node.role(),
        obeyed: node.obeyed().copied(),
        in_office: node.in_office(now),
        alone: node.is_alone()
            || (node.role() == Role::Master && node.policy() == AckPolicy::Local && node.peer().is_none()),
        degraded_since: node.degraded_since().map(ago),
        serving: is_serving(inner, now),
        tail: node.tail(),
        committed: node.committed(),
        applied: node.applied(),
        peer_flushed,
        link: inner.link.clone(),
        lag_entries,
        oldest_unsent_ms: oldest.map(|unsent| millis(now.since(unsent.since))),
        wish: node.wish(now),
        ready: node.ready(),
        swap: node.swap(),
        progress: inner.progress.clone(),
        counters,
        conflicts: 0,
        proven_equal: inner.proven_equal.clone(),
        accounts: totals.accounts,
        messages: totals.messages,
        log_bytes: shared.log.size_bytes(),
        problems: inner.problems.values().cloned().collect(),
    }
}

/// The status before anything has happened.
pub(crate) fn build_first(inner: &Inner, started_at: u64) -> NodeStatus {
    let identity = inner.node.identity();
    NodeStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: identity.node,
        store: identity.store,
        incarnation: identity.incarnation,
        started_at,
        role: Role::None,
        obeyed: inner.node.obeyed().copied(),
        in_office: false,
        alone: false,
        degraded_since: None,
        serving: false,
        tail: inner.node.tail(),
        committed: inner.node.committed(),
        applied: inner.node.applied(),
        peer_flushed: None,
        link: inner.link.clone(),
        lag_entries: None,
        oldest_unsent_ms: None,
        wish: None,
        ready: None,
        swap: None,
        progress: None,
        counters: inner.counters,
        conflicts: 0,
        proven_equal: None,
        accounts: 0,
        messages: 0,
        log_bytes: 0,
        problems: Vec::new(),
    }
}

/// What others wait for and that time alone may change.
pub(crate) fn seen(shared: &Shared, inner: &Inner) -> Seen {
    let now = shared.now();
    Seen {
        wish: inner.node.wish(now),
        ready: inner.node.ready(),
        in_office: inner.node.in_office(now),
        holding: inner.node.is_holding(now),
        swap: inner.node.swap(),
    }
}

/// Whether a client that asks now is shown something without waiting.
fn is_serving(inner: &Inner, now: crate::node::Time) -> bool {
    use crate::node::ShowState;
    !inner.branches.is_open()
        && match inner.node.show(now) {
            ShowState::From(seq) => inner.node.applied() >= seq,
            ShowState::AskMaster => matches!(inner.link, Link::Connected { .. }) && inner.node.applied() > Seq::ZERO,
            ShowState::Wait => false,
        }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
