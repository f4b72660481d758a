//! Who may do what with the pods.

use super::{ADMIN_PORT, Child, ChildKind, HEALTH_PORT, MIRROR_PORT, child, selector};
use crate::pair::ValidatedPair;
use crate::resources::service::CLIENT_PORTS;
use serde_json::{Value, json};

pub(super) fn service_account(pair: &ValidatedPair) -> Child {
    child(ChildKind::ServiceAccount, pair, pair.name.clone(), json!({ "automountServiceAccountToken": false }))
}

/// One pod at a time; one that is not ready may always go, or a drain would wait for it for ever.
pub(super) fn disruption_budget(pair: &ValidatedPair) -> Child {
    let spec = json!({
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": { "matchLabels": selector(pair) },
    });
    child(ChildKind::PodDisruptionBudget, pair, pair.name.clone(), json!({ "spec": spec }))
}

/// Clients from anywhere; the mirror link from the peer; the admin API from the peer and the operator.
pub(super) fn network_policy(pair: &ValidatedPair) -> Child {
    let peers = json!({ "podSelector": { "matchLabels": selector(pair) } });
    let operator = json!({
        "namespaceSelector": {},
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "mailmirror-operator" } },
    });
    let mut open: Vec<Value> = CLIENT_PORTS.iter().map(|port| tcp(port.target)).collect();
    open.push(tcp(HEALTH_PORT));
    let spec = json!({
        "podSelector": { "matchLabels": selector(pair) },
        "policyTypes": ["Ingress"],
        "ingress": [
            { "ports": open },
            { "from": [peers], "ports": [tcp(MIRROR_PORT), tcp(ADMIN_PORT)] },
            { "from": [operator], "ports": [tcp(ADMIN_PORT)] },
        ],
    });
    child(ChildKind::NetworkPolicy, pair, pair.name.clone(), json!({ "spec": spec }))
}

fn tcp(port: u16) -> Value {
    json!({ "port": port, "protocol": "TCP" })
}
