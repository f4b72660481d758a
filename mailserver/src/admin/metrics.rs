//! Metrics: read from the status at each scrape, so that they can neither lag nor leak.

use crate::net::Gate;
use crate::service::Metrics;
use mailmirror_control::status::{Link, NodeStatus, Role};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Open connections of each protocol.
pub type Connections = Vec<(&'static str, Arc<Gate>)>;

/// Everything that is measured.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
}

struct StatusCollector {
    status: watch::Receiver<Arc<NodeStatus>>,
    connections: Connections,
    data: PathBuf,
}

impl Exporter {
    /// Of this status, these counters, these gates, and the disk that `data` is on.
    pub fn new(
        status: watch::Receiver<Arc<NodeStatus>>,
        metrics: &Metrics,
        connections: Connections,
        data: PathBuf,
    ) -> Self {
        let mut registry = Registry::with_prefix("mailmirror");
        metrics.register(&mut registry);
        registry.register_collector(Box::new(StatusCollector { status, connections, data }));
        Self { registry }
    }

    /// In the form of `OpenMetrics`.
    ///
    /// # Errors
    /// None that writing to memory has.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for StatusCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusCollector").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Collector for StatusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let status = self.status.borrow().clone();
        role(&mut encoder, &status)?;
        mirror(&mut encoder, &status)?;
        counters(&mut encoder, &status)?;
        self.resources(&mut encoder, &status)
    }
}

fn role(encoder: &mut DescriptorEncoder<'_>, status: &NodeStatus) -> fmt::Result {
    let roles = [("none", Role::None), ("slave", Role::Slave), ("master", Role::Master)];
    let labelled = roles.map(|(name, role)| ([("role", name)], truth(status.role == role)));
    gauges(encoder, "role", "1 for the role that the node has", &labelled)?;
    if let Some(obeyed) = &status.obeyed {
        let policy = obeyed.policy.to_string();
        gauges(encoder, "ack_policy", "1 for the policy in force", &[([("policy", policy.as_str())], 1.0)])?;
        gauge(encoder, "epoch", "The epoch that the node obeys", number(obeyed.epoch.0))?;
        gauge(encoder, "grant", "The number of the latest grant that the node obeys", number(obeyed.grant.0))?;
    }
    gauge(encoder, "in_office", "1 if the node is in office", truth(status.in_office))?;
    gauge(encoder, "serving", "1 if the node shows mail to clients now", truth(status.serving))?;
    gauge(encoder, "alone", "1 if the node answers without its peer", truth(status.alone))?;
    gauge(encoder, "degraded", "1 if the pair runs without its peer", truth(status.degraded_since.is_some()))?;
    let problems: Vec<_> = status.problems.iter().map(|problem| ([("reason", problem.reason.as_str())], 1.0)).collect();
    gauges(encoder, "problem", "1 for each problem that a person should know", &problems)
}

fn mirror(encoder: &mut DescriptorEncoder<'_>, status: &NodeStatus) -> fmt::Result {
    let connected = matches!(status.link, Link::Connected { .. });
    gauge(encoder, "link_connected", "1 if the link to the peer is up", truth(connected))?;
    if let Some(lag) = status.lag_entries {
        gauge(encoder, "lag_operations", "Operations that the peer lacks", number(lag))?;
    }
    let oldest = status.oldest_unsent_ms.unwrap_or_default();
    gauge(encoder, "oldest_unsent_seconds", "Age of the oldest operation that the peer lacks", seconds(oldest))?;
    gauge(encoder, "tail_position", "The end of the log", number(status.tail.seq.0))?;
    gauge(encoder, "committed_position", "What is committed", number(status.committed.0))?;
    gauge(encoder, "applied_position", "What the index has", number(status.applied.0))?;
    if let Some(proven) = &status.proven_equal {
        let help = "When both nodes were last proven equal, in seconds since 1970";
        gauge(encoder, "proven_equal_timestamp_seconds", help, seconds(proven.at))?;
    }
    if let Some(progress) = &status.progress {
        gauge(encoder, "resync_done", "Entries or messages that the running resync has done", number(progress.done))?;
        if let Some(total) = progress.total {
            gauge(encoder, "resync_total", "Entries or messages of the running resync", number(total))?;
        }
    }
    Ok(())
}

fn counters(encoder: &mut DescriptorEncoder<'_>, status: &NodeStatus) -> fmt::Result {
    let counted = status.counters;
    for (name, help, value) in [
        ("out_add_queued", "Messages added here that the peer needs", counted.out_add_queued),
        ("out_add_sent", "Of these, acknowledged by the peer", counted.out_add_sent),
        ("out_add_bytes", "Bytes of those that were acknowledged", counted.out_add_bytes),
        ("out_del_queued", "Messages expunged here", counted.out_del_queued),
        ("out_del_sent", "Of these, acknowledged by the peer", counted.out_del_sent),
        ("in_add", "Messages received from the peer", counted.in_add),
        ("in_del", "Expunges received from the peer", counted.in_del),
        ("in_rename", "Renames received from the peer", counted.in_rename),
        ("in_failed", "Operations that could not be applied", counted.in_failed),
        ("conflicts", "Conflicts that were decided", status.conflicts),
    ] {
        counter(encoder, name, help, value)?;
    }
    Ok(())
}

impl StatusCollector {
    fn resources(&self, encoder: &mut DescriptorEncoder<'_>, status: &NodeStatus) -> fmt::Result {
        gauge(encoder, "accounts", "Accounts", number(status.accounts))?;
        gauge(encoder, "messages", "Messages", number(status.messages))?;
        gauge(encoder, "log_bytes", "Bytes of the log", number(status.log_bytes))?;
        gauge(encoder, "start_timestamp_seconds", "When the node started", seconds(status.started_at))?;
        let open: Vec<_> = self
            .connections
            .iter()
            .map(|(name, gate)| ([("protocol", *name)], number(gate.open_count() as u64)))
            .collect();
        gauges(encoder, "connections", "Open connections", &open)?;
        if let Ok(disk) = rustix::fs::statvfs(&self.data) {
            let bytes = |blocks: u64| number(blocks.saturating_mul(disk.f_frsize));
            gauge(encoder, "disk_available_bytes", "Free space for the store", bytes(disk.f_bavail))?;
            gauge(encoder, "disk_size_bytes", "Size of the disk of the store", bytes(disk.f_blocks))?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    labelled: &[([(&str, &str); 1], f64)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in labelled {
        ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
    }
    Ok(())
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}

/// Exact up to 2^53, which no number here reaches.
#[allow(clippy::cast_precision_loss)]
fn number(value: u64) -> f64 {
    value as f64
}

fn seconds(millis: u64) -> f64 {
    number(millis) / 1000.0
}
