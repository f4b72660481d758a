//! The Services. The role in their selectors is a label that the operator alone moves.

use super::{ADMIN_PORT, Child, ChildKind, HEALTH_PORT, MIRROR_PORT, child, selector};
use crate::api::{ExternalTrafficPolicy, ROLE_LABEL, ServiceType};
use crate::pair::ValidatedPair;
use serde_json::{Map, Value, json};

/// A port that clients use, and where the server listens for it without privilege.
pub(super) struct ClientPort {
    pub(super) name: &'static str,
    pub(super) port: u16,
    pub(super) target: u16,
}

/// All of them.
pub(super) const CLIENT_PORTS: [ClientPort; 7] = [
    ClientPort { name: "tcp-smtp", port: 25, target: 2525 },
    ClientPort { name: "tcp-submission", port: 587, target: 2587 },
    ClientPort { name: "tcp-submissions", port: 465, target: 2465 },
    ClientPort { name: "tcp-imap", port: 143, target: 2143 },
    ClientPort { name: "tcp-imaps", port: 993, target: 2993 },
    ClientPort { name: "tcp-pop3", port: 110, target: 2110 },
    ClientPort { name: "tcp-pop3s", port: 995, target: 2995 },
];

/// The values of the role label.
pub(crate) const MASTER: &str = "master";
/// See [`MASTER`].
pub(crate) const SLAVE: &str = "slave";

pub(super) fn services(pair: &ValidatedPair) -> [Child; 3] {
    [
        client_service(pair, pair.name.clone(), MASTER, &CLIENT_PORTS),
        client_service(pair, format!("{}-mx2", pair.name), SLAVE, &CLIENT_PORTS[..1]),
        peers(pair),
    ]
}

fn client_service(pair: &ValidatedPair, name: String, role: &str, ports: &[ClientPort]) -> Child {
    let settings = &pair.spec.service;
    let mut chosen = selector(pair);
    chosen[ROLE_LABEL] = role.into();
    let ports: Vec<_> = ports.iter().map(|port| service_port(port.name, port.port, port.target)).collect();
    let mut spec = Map::new();
    let service_type = match settings.service_type {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    spec.insert("type".into(), service_type.into());
    spec.insert("selector".into(), chosen);
    spec.insert("ports".into(), ports.into());
    if let Some(class) = &settings.load_balancer_class {
        spec.insert("loadBalancerClass".into(), class.as_str().into());
    }
    if let Some(policy) = settings.external_traffic_policy {
        let policy = match policy {
            ExternalTrafficPolicy::Cluster => "Cluster",
            ExternalTrafficPolicy::Local => "Local",
        };
        spec.insert("externalTrafficPolicy".into(), policy.into());
    }
    let mut service = child(ChildKind::Service, pair, name, json!({ "spec": spec }));
    if !settings.annotations.is_empty() {
        service.manifest["metadata"]["annotations"] = json!(settings.annotations);
    }
    service
}

/// The peers find each other before they are ready: otherwise neither could become it.
fn peers(pair: &ValidatedPair) -> Child {
    let spec = json!({
        "type": "ClusterIP",
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": selector(pair),
        "ports": [
            service_port("tcp-mirror", MIRROR_PORT, MIRROR_PORT),
            service_port("tcp-admin", ADMIN_PORT, ADMIN_PORT),
            service_port("http-health", HEALTH_PORT, HEALTH_PORT),
        ],
    });
    child(ChildKind::Service, pair, format!("{}-peers", pair.name), json!({ "spec": spec }))
}

fn service_port(name: &str, port: u16, target: u16) -> Value {
    json!({ "name": name, "port": port, "targetPort": target, "protocol": "TCP" })
}
