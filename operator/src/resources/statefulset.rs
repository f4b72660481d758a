//! The two pods.

use super::config::{INI, SECRET_DIRECTORY, TLS_DIRECTORY, config_hash};
use super::service::CLIENT_PORTS;
use super::{ADMIN_PORT, Child, ChildKind, HEALTH_PORT, MIRROR_PORT, child, labels, selector};
use crate::api::{AntiAffinity, CONFIG_HASH_ANNOTATION, Identity, ImagePullPolicy, VolumeRetention};
use crate::pair::ValidatedPair;
use serde_json::{Map, Value, json};

/// User and group of the image.
const DEFAULT_ID: i64 = 65532;
/// How long a pod that is told to go still serves, so that the roles can be swapped first.
const STOP_DELAY_SECONDS: i64 = 3;
/// How long it may take altogether: the sessions end within `g_shutdown_grace`.
const TERMINATION_GRACE_SECONDS: i64 = 60;

pub(super) fn stateful_set(pair: &ValidatedPair, image: &str) -> Child {
    let when_deleted = match pair.spec.persistent_volume_claim_retention {
        VolumeRetention::Retain => "Retain",
        VolumeRetention::Delete => "Delete",
    };
    let mut template_labels = selector(pair);
    if let (Value::Object(template), Value::Object(common)) = (&mut template_labels, labels(pair)) {
        template.extend(common);
    }
    let spec = json!({
        "replicas": 2,
        "serviceName": format!("{}-peers", pair.name),
        "podManagementPolicy": "Parallel",
        "updateStrategy": { "type": "OnDelete" },
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": when_deleted, "whenScaled": "Retain" },
        "selector": { "matchLabels": selector(pair) },
        "template": {
            "metadata": {
                "labels": template_labels,
                "annotations": { CONFIG_HASH_ANNOTATION: config_hash(pair) },
            },
            "spec": pod_spec(pair, image),
        },
        "volumeClaimTemplates": [claim(pair)],
    });
    child(ChildKind::StatefulSet, pair, pair.name.clone(), json!({ "spec": spec }))
}

fn claim(pair: &ValidatedPair) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": { "requests": { "storage": pair.spec.storage.size } },
    });
    if let Some(class) = &pair.spec.storage.storage_class_name {
        spec["storageClassName"] = class.as_str().into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "labels": labels(pair) },
        "spec": spec,
    })
}

fn pod_spec(pair: &ValidatedPair, image: &str) -> Value {
    let spec = &pair.spec;
    let mut pod = Map::new();
    let mut set = |key: &str, value: Value| pod.insert(key.to_owned(), value);
    set("serviceAccountName", pair.name.as_str().into());
    set("automountServiceAccountToken", false.into());
    set("enableServiceLinks", false.into());
    set("terminationGracePeriodSeconds", TERMINATION_GRACE_SECONDS.into());
    set("securityContext", pod_security(pair));
    set("affinity", affinity(pair));
    set("containers", json!([container(pair, image)]));
    set("volumes", volumes(pair).into());
    if !spec.image_pull_secrets.is_empty() {
        set("imagePullSecrets", json!(spec.image_pull_secrets));
    }
    if !spec.node_selector.is_empty() {
        set("nodeSelector", json!(spec.node_selector));
    }
    if !spec.tolerations.is_empty() {
        set("tolerations", json!(spec.tolerations));
    }
    if let Some(class) = &spec.priority_class_name {
        set("priorityClassName", class.as_str().into());
    }
    pod.into()
}

fn container(pair: &ValidatedPair, image: &str) -> Value {
    let pull = match pair.spec.image_pull_policy {
        ImagePullPolicy::Always => "Always",
        ImagePullPolicy::IfNotPresent => "IfNotPresent",
        ImagePullPolicy::Never => "Never",
    };
    let mut ports: Vec<_> = CLIENT_PORTS.iter().map(|port| container_port(&port.name[4..], port.target)).collect();
    ports.extend([
        container_port("mirror", MIRROR_PORT),
        container_port("admin", ADMIN_PORT),
        container_port("health", HEALTH_PORT),
    ]);
    let mut container = json!({
        "name": "mailserver",
        "image": image,
        "imagePullPolicy": pull,
        "command": ["mailserver", "--config", format!("/etc/mailmirror/{INI}"), "--data", "/var/lib/mailmirror"],
        "env": [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")],
        "ports": ports,
        "volumeMounts": mounts(pair),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        // Opening a large store may take long; a process that hangs afterwards is noticed much sooner.
        "startupProbe": probe("/livez", 1, 5, 600),
        "livenessProbe": probe("/livez", 10, 5, 3),
        "readinessProbe": probe("/readyz", 1, 2, 2),
        "lifecycle": { "preStop": { "sleep": { "seconds": STOP_DELAY_SECONDS } } },
    });
    if let Some(resources) = &pair.spec.resources {
        container["resources"] = json!(resources);
    }
    container
}

fn probe(path: &str, period_seconds: i64, timeout_seconds: i64, failure_threshold: i64) -> Value {
    json!({
        "httpGet": { "path": path, "port": "health" },
        "periodSeconds": period_seconds,
        "timeoutSeconds": timeout_seconds,
        "failureThreshold": failure_threshold,
    })
}

fn container_port(name: &str, port: u16) -> Value {
    json!({ "name": name, "containerPort": port, "protocol": "TCP" })
}

fn field(name: &str, path: &str) -> Value {
    json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } })
}

fn mounts(pair: &ValidatedPair) -> Vec<Value> {
    let read_only = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    let mut mounts = vec![
        json!({ "name": "data", "mountPath": "/var/lib/mailmirror" }),
        json!({ "name": "tmp", "mountPath": "/tmp" }),
        read_only("config", "/etc/mailmirror"),
        read_only("secret", SECRET_DIRECTORY),
    ];
    if pair.spec.tls.is_some() {
        mounts.push(read_only("tls", TLS_DIRECTORY));
    }
    mounts
}

/// Secrets are mounted as directories: the kubelet brings new values without a restart.
fn volumes(pair: &ValidatedPair) -> Vec<Value> {
    let (secret, key) = pair.secret();
    let source = |suffix: &str, optional: bool| {
        let item = json!({ "key": format!("{key}{suffix}"), "path": format!("secret{suffix}") });
        json!({ "secret": { "name": secret, "items": [item], "optional": optional } })
    };
    let mut volumes = vec![
        json!({ "name": "tmp", "emptyDir": {} }),
        json!({ "name": "config", "configMap": { "name": pair.name } }),
        json!({
            "name": "secret",
            "projected": {
                "defaultMode": 0o440,
                "sources": [source("", false), source("-next", true), source("-previous", true)],
            },
        }),
    ];
    if let Some(tls) = &pair.spec.tls {
        volumes.push(json!({ "name": "tls", "secret": { "secretName": tls.secret_name, "defaultMode": 0o440 } }));
    }
    volumes
}

fn pod_security(pair: &ValidatedPair) -> Value {
    let security = &pair.spec.pod_security;
    let mut context = json!({
        "runAsNonRoot": true,
        "seccompProfile": { "type": "RuntimeDefault" },
        "fsGroupChangePolicy": "OnRootMismatch",
    });
    if security.identity == Identity::Fixed {
        let user = security.run_as_user.unwrap_or(DEFAULT_ID);
        let group = security.fs_group.unwrap_or(DEFAULT_ID);
        context["runAsUser"] = user.into();
        context["runAsGroup"] = group.into();
        context["fsGroup"] = group.into();
    }
    context
}

fn affinity(pair: &ValidatedPair) -> Value {
    let term = json!({
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchLabels": selector(pair) },
    });
    let anti = match pair.spec.anti_affinity {
        AntiAffinity::Required => json!({ "requiredDuringSchedulingIgnoredDuringExecution": [term] }),
        AntiAffinity::Preferred => json!({
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": term }]
        }),
    };
    json!({ "podAntiAffinity": anti })
}
