//! Metrics and health, over plain HTTP.

use crate::observe::PairKey;
use crate::reason::Reason;
use crate::status::Facts;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A pass that takes longer hangs: every request in it is bounded.
const PASS_MAX: Duration = Duration::from_mins(2);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PairLabel {
    namespace: String,
    name: String,
}

/// What is counted.
pub struct Metrics {
    registry: Registry,
    passes: Family<ResultLabel, Counter>,
    pass_seconds: Histogram,
    decisions: Family<ReasonLabel, Counter>,
    status_writes: Counter,
    leader: Gauge,
    epoch: Family<PairLabel, Gauge>,
    members: Family<PairLabel, Gauge>,
    lag: Family<PairLabel, Gauge>,
    available: Family<PairLabel, Gauge>,
    watch_failures: Arc<AtomicU64>,
    known: Mutex<BTreeSet<PairKey>>,
    running: Mutex<BTreeMap<u64, Instant>>,
    next_pass: AtomicU64,
    ready: AtomicBool,
}

impl Metrics {
    /// All at zero.
    pub fn new(watch_failures: Arc<AtomicU64>) -> Self {
        let metrics = Self {
            registry: Registry::with_prefix("mailmirror"),
            passes: Family::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.002, 2.0, 14)),
            decisions: Family::default(),
            status_writes: Counter::default(),
            leader: Gauge::default(),
            epoch: Family::default(),
            members: Family::default(),
            lag: Family::default(),
            available: Family::default(),
            watch_failures,
            known: Mutex::default(),
            running: Mutex::default(),
            next_pass: AtomicU64::new(0),
            ready: AtomicBool::new(false),
        };
        metrics.registered()
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("operator_reconciles", "Passes over a pair, by result", self.passes.clone());
        r.register("operator_reconcile_seconds", "Time of a pass", self.pass_seconds.clone());
        r.register("operator_decisions", "Changes of a record, by reason", self.decisions.clone());
        r.register("operator_status_writes", "Statuses that were written", self.status_writes.clone());
        r.register("operator_leader", "1 on the operator that acts", self.leader.clone());
        r.register("pair_epoch", "Epoch of the record", self.epoch.clone());
        r.register("pair_in_sync_members", "Nodes that have everything acknowledged: 2 is well", self.members.clone());
        r.register("pair_lag_entries", "Changes that the slave has not confirmed", self.lag.clone());
        r.register("pair_master_available", "1 while the master serves and is routed to", self.available.clone());
        self
    }

    /// A pass begins.
    pub fn begin_pass(&self) -> u64 {
        let pass = self.next_pass.fetch_add(1, Ordering::Relaxed);
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(pass, Instant::now());
        pass
    }

    /// A pass has ended.
    pub fn end_pass(&self, pass: u64, result: &str, took: Duration) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&pass);
        self.passes.get_or_create(&ResultLabel { result: result.to_owned() }).inc();
        self.pass_seconds.observe(took.as_secs_f64());
    }

    /// Something was written down.
    pub fn decided(&self, reason: Reason) {
        self.decisions.get_or_create(&ReasonLabel { reason: reason.to_string() }).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// This operator acts, or does not.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// The caches are filled.
    pub fn is_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The state of a pair.
    pub fn pair(&self, key: &PairKey, facts: &Facts<'_>) {
        let Some(memory) = facts.memory else { return };
        let label = PairLabel { namespace: key.namespace.clone(), name: key.name.clone() };
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let record = &memory.record;
        let holder = facts.observed.node(record.holder);
        let available = holder.status().is_some_and(|status| status.in_office)
            && holder
                .pod
                .as_ref()
                .is_some_and(|pod| pod.ready && pod.label == Some(mailmirror_control::status::Role::Master));
        self.epoch.get_or_create(&label).set(number(record.epoch.0));
        self.members.get_or_create(&label).set(number(record.members.len() as u64));
        self.available.get_or_create(&label).set(i64::from(available));
        match holder.status().and_then(|status| status.lag_entries) {
            Some(lag) => drop(self.lag.get_or_create(&label).set(number(lag))),
            None => drop(self.lag.remove(&label)),
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
    }

    /// Forgets the pairs that are gone.
    pub fn retain(&self, keep: impl Fn(&PairKey) -> bool) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|key| {
            let kept = keep(key);
            if !kept {
                let label = PairLabel { namespace: key.namespace.clone(), name: key.name.clone() };
                for family in [&self.epoch, &self.members, &self.lag, &self.available] {
                    family.remove(&label);
                }
            }
            kept
        });
    }

    fn alive(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().all(|started| started.elapsed() < PASS_MAX)
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            return String::new();
        }
        let failures = self.watch_failures.load(Ordering::Relaxed);
        let line = format!("mailmirror_operator_watch_failures_total {failures}\n# EOF\n");
        text.replace("# EOF\n", &format!("# TYPE mailmirror_operator_watch_failures counter\n{line}"))
    }
}

/// `/livez`, `/readyz`, `/metrics`.
pub fn router(metrics: Arc<Metrics>) -> Router {
    async fn livez(State(metrics): State<Arc<Metrics>>) -> (StatusCode, &'static str) {
        if metrics.alive() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "a pass hangs\n") }
    }
    async fn readyz(State(metrics): State<Arc<Metrics>>) -> (StatusCode, &'static str) {
        if metrics.ready.load(Ordering::Acquire) {
            (StatusCode::OK, "ok\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the caches are not filled\n")
        }
    }
    async fn text(State(metrics): State<Arc<Metrics>>) -> ([(&'static str, &'static str); 1], String) {
        ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], metrics.text())
    }
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state(metrics)
}
