//! A pair as it was written, checked once: everything behind this door can rely on it.

use crate::api::{
    ACCEPT_LOSS_ANNOTATION, Acknowledgement, FailoverMode, MailMirrorPair, MailMirrorPairSpec, MasterOrder,
    Reconciliation, SWAP_ANNOTATION,
};
use kube::ResourceExt;
use mailmirror_control::record::AckPolicy;
use mailmirror_model::ids::{Epoch, NodeId};
use std::time::Duration;

/// The key of a generated secret.
pub const GENERATED_SECRET_KEY: &str = "secret";

/// A pair, checked.
#[derive(Clone, Debug)]
pub struct ValidatedPair {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its identity.
    pub uid: String,
    /// The generation that is acted on.
    pub generation: i64,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What the planner follows.
    pub policy: Policy,
    /// What the children are made from.
    pub spec: MailMirrorPairSpec,
}

/// What the planner follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When a change counts as committed.
    pub acknowledgement: AckPolicy,
    /// `spec.master`.
    pub order: MasterOrder,
    /// Whether the slave is promoted without being told to.
    pub automatic_failover: bool,
    /// How long the master may be silent.
    pub failover_delay: Duration,
    /// The least time between two automatic failovers.
    pub failover_interval: Duration,
    /// Under `local`: how many entries may be lost by an automatic failover.
    pub lag_max_entries: u64,
    /// After this time a swap is given up.
    pub swap_timeout: Duration,
    /// Nothing is changed.
    pub paused: bool,
    /// The order to swap, as the annotation says it.
    pub swap: Option<String>,
    /// The acceptance of loss, as the annotation says it.
    pub accept_loss: Option<String>,
}

/// A person accepts that mail may be lost: valid for one promotion at one epoch, so that it is used up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// Who shall be master.
    pub promote: NodeId,
    /// The highest epoch that is known.
    pub after: Epoch,
    /// The person says that the old master is stopped (rule A4).
    pub stopped: bool,
}

impl AcceptedLoss {
    /// Reads `promote=1,epoch=4` or `promote=1,epoch=4,stopped`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',').map(str::trim);
        let promote: u8 = parts.next()?.strip_prefix("promote=")?.parse().ok()?;
        let epoch: u64 = parts.next()?.strip_prefix("epoch=")?.parse().ok()?;
        let stopped = match parts.next() {
            None => false,
            Some("stopped") => true,
            Some(_) => return None,
        };
        let promote = NodeId::try_from(promote).ok()?;
        parts.next().is_none().then_some(Self { promote, after: Epoch(epoch), stopped })
    }
}

impl std::fmt::Display for AcceptedLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stopped = if self.stopped { ",stopped" } else { "" };
        write!(f, "promote={},epoch={}{stopped}", self.promote, self.after.0)
    }
}

/// Why an object cannot be acted on. The API server refuses all of these; they are met when the rules are older.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPair {
    /// The API server gives all of these.
    #[error("failed to read the object: it has no {0}")]
    Missing(&'static str),
    /// No duration.
    #[error("failed to read {field}: {value:?} is no duration such as 1s, 500ms or 1m30s")]
    Duration {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: String,
    },
    /// No domain.
    #[error("failed to read spec.domains: name at least one domain")]
    NoDomain,
    /// A name that cannot become the name of a Service.
    #[error("failed to use the name {0:?}: use at most 40 characters a-z, 0-9 and '-', beginning with a letter")]
    Name(String),
}

impl ValidatedPair {
    /// Checks an object.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn new(object: &MailMirrorPair) -> Result<Self, InvalidPair> {
        let spec = &object.spec;
        let name = object.name_any();
        let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if name.len() > 40 || !letters || !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') {
            return Err(InvalidPair::Name(name));
        }
        if spec.domains.is_empty() {
            return Err(InvalidPair::NoDomain);
        }
        let annotation = |key: &str| object.annotations().get(key).cloned();
        let policy = Policy {
            acknowledgement: match spec.acknowledgement {
                Acknowledgement::Local => AckPolicy::Local,
                Acknowledgement::Peer => AckPolicy::Peer,
                Acknowledgement::Both => AckPolicy::Both,
            },
            order: spec.master,
            automatic_failover: spec.failover.mode == FailoverMode::Automatic,
            failover_delay: duration("spec.failover.delay", &spec.failover.delay)?,
            failover_interval: duration("spec.failover.minimumInterval", &spec.failover.minimum_interval)?,
            lag_max_entries: u64::try_from(spec.failover.max_lag_entries).unwrap_or(0),
            swap_timeout: duration("spec.swap.timeout", &spec.swap.timeout)?,
            paused: spec.reconciliation == Reconciliation::Paused,
            swap: annotation(SWAP_ANNOTATION),
            accept_loss: annotation(ACCEPT_LOSS_ANNOTATION),
        };
        Ok(Self {
            name,
            namespace: object.namespace().ok_or(InvalidPair::Missing("namespace"))?,
            uid: object.uid().ok_or(InvalidPair::Missing("uid"))?,
            generation: object.metadata.generation.ok_or(InvalidPair::Missing("generation"))?,
            deleting: object.metadata.deletion_timestamp.is_some(),
            policy,
            spec: spec.clone(),
        })
    }

    /// The name of a node's pod.
    pub fn pod(&self, node: NodeId) -> String {
        format!("{}-{node}", self.name)
    }

    /// The name of a node's claim.
    pub fn claim(&self, node: NodeId) -> String {
        format!("data-{}-{node}", self.name)
    }

    /// The name of the Lease with the record, and of a generated Secret.
    pub fn record_name(&self) -> String {
        format!("{}-mirror", self.name)
    }

    /// Name and key of the secret.
    pub fn secret(&self) -> (String, &str) {
        match &self.spec.secret {
            Some(reference) => (reference.name.clone(), &reference.key),
            None => (self.record_name(), GENERATED_SECRET_KEY),
        }
    }
}

/// Reads a duration as Go and CEL write it: `1m30s`, `500ms`, `0.5h`.
fn duration(field: &'static str, text: &str) -> Result<Duration, InvalidPair> {
    let wrong = || InvalidPair::Duration { field, value: text.to_owned() };
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let (unit, length) = match rest.as_bytes() {
            [b'm', b's', ..] => (0.001, 2),
            [b's', ..] => (1.0, 1),
            [b'm', ..] => (60.0, 1),
            [b'h', ..] => (3600.0, 1),
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = &rest[length..];
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_read_as_the_server_reads_them() {
        let read = |text| duration("x", text).map(|d| d.as_millis()).ok();
        assert_eq!(read("1m30s"), Some(90_000));
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("0.5h"), Some(1_800_000));
        for wrong in ["", "1", "s", "1d", "1..5s", "-1s"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_acceptance_names_node_and_epoch() {
        let accepted = AcceptedLoss { promote: NodeId::One, after: Epoch(4), stopped: true };
        assert_eq!(accepted.to_string(), "promote=1,epoch=4,stopped");
        assert_eq!(AcceptedLoss::parse(&accepted.to_string()), Some(accepted));
        assert!(!AcceptedLoss::parse("promote=0, epoch=7").unwrap().stopped);
        for wrong in ["yes", "promote=2,epoch=1", "promote=1", "promote=1,epoch=4,maybe", "promote=1,epoch=4,stopped,x"]
        {
            assert_eq!(AcceptedLoss::parse(wrong), None, "{wrong}");
        }
    }
}
