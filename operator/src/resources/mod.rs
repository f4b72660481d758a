//! The children of a pair: one pure builder for each.
//!
//! They set only what they mean, and name neither the operator nor its version, so that a newer operator restarts
//! nothing.

mod config;
mod network;
mod secret;
mod service;
mod statefulset;

pub use config::config_hash;
pub use secret::{NewSecret, generated as generated_secret};
pub(crate) use service::{MASTER, SLAVE};

use crate::api::PAIR_LABEL;
use crate::pair::ValidatedPair;
use kube::core::ApiResource;
use serde_json::{Value, json};

/// The mirror link.
pub const MIRROR_PORT: u16 = 7025;
/// The admin API.
pub const ADMIN_PORT: u16 = 7026;
/// Health and metrics.
pub const HEALTH_PORT: u16 = 7027;

/// What kind of object a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// The identity of the pods; it has no rights.
    ServiceAccount,
    /// The settings.
    ConfigMap,
    /// For clients, for the backup MX, and for the mirror.
    Service,
    /// At most one pod at a time is evicted.
    PodDisruptionBudget,
    /// Who may reach mirror and admin ports.
    NetworkPolicy,
    /// The two pods and their volumes.
    StatefulSet,
}

impl ChildKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Service,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::StatefulSet,
    ];

    /// Its place in the API.
    pub fn api_resource(self) -> ApiResource {
        let (group, plural) = match self {
            Self::ServiceAccount => ("", "serviceaccounts"),
            Self::ConfigMap => ("", "configmaps"),
            Self::Service => ("", "services"),
            Self::PodDisruptionBudget => ("policy", "poddisruptionbudgets"),
            Self::NetworkPolicy => ("networking.k8s.io", "networkpolicies"),
            Self::StatefulSet => ("apps", "statefulsets"),
        };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let (group, plural, kind) = (group.to_owned(), plural.to_owned(), format!("{self:?}"));
        ApiResource { group, version: "v1".into(), api_version, kind, plural }
    }
}

/// A child as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
    /// What is applied.
    pub manifest: Value,
}

/// All children, in the order in which they are applied.
pub fn children(pair: &ValidatedPair, image: &str) -> Vec<Child> {
    let mut all = vec![network::service_account(pair), config::config_map(pair)];
    all.extend(service::services(pair));
    all.extend([
        network::disruption_budget(pair),
        network::network_policy(pair),
        statefulset::stateful_set(pair, image),
    ]);
    all
}

/// The label selector of the pods, as `kubectl` takes it.
pub fn selector_text(pair: &ValidatedPair) -> String {
    format!("{PAIR_LABEL}={}", pair.name)
}

fn selector(pair: &ValidatedPair) -> Value {
    json!({ "app.kubernetes.io/name": "mailmirror", PAIR_LABEL: pair.name })
}

fn labels(pair: &ValidatedPair) -> Value {
    json!({
        "app.kubernetes.io/name": "mailmirror",
        "app.kubernetes.io/instance": pair.name,
        "app.kubernetes.io/managed-by": "mailmirror-operator",
        PAIR_LABEL: pair.name,
    })
}

fn metadata(pair: &ValidatedPair, name: &str) -> Value {
    json!({
        "name": name,
        "namespace": pair.namespace,
        "labels": labels(pair),
        "ownerReferences": [owner(pair)],
    })
}

/// The reference from a child to its pair.
pub fn owner(pair: &ValidatedPair) -> Value {
    json!({
        "apiVersion": "mailmirror.dev/v1alpha1",
        "kind": "MailMirrorPair",
        "name": pair.name,
        "uid": pair.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

fn child(kind: ChildKind, pair: &ValidatedPair, name: String, rest: Value) -> Child {
    let resource = kind.api_resource();
    let mut manifest = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata(pair, &name),
    });
    if let (Value::Object(manifest), Value::Object(rest)) = (&mut manifest, rest) {
        manifest.extend(rest);
    }
    Child { kind, name, manifest }
}
