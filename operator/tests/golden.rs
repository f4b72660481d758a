//! The manifests of the children, compared with committed files. `UPDATE_GOLDEN=1 cargo test` writes them anew.
#![allow(clippy::unwrap_used)]

use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, networking::v1 as networking, policy::v1 as policy};
use mailmirror_operator::api::MailMirrorPair;
use mailmirror_operator::pair::ValidatedPair;
use mailmirror_operator::resources::{Child, ChildKind, NewSecret, children, generated_secret};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn pair(spec: &Value) -> ValidatedPair {
    let object = json!({
        "apiVersion": "mailmirror.dev/v1alpha1",
        "kind": "MailMirrorPair",
        "metadata": { "name": "office", "namespace": "mail", "uid": "00000000-0000-0000-0000-000000000001", "generation": 3 },
        "spec": spec,
    });
    ValidatedPair::new(&serde_json::from_value::<MailMirrorPair>(object).unwrap()).unwrap()
}

fn minimal() -> ValidatedPair {
    pair(&json!({ "storage": { "size": "10Gi" }, "domains": ["example.com"] }))
}

fn full() -> ValidatedPair {
    pair(&json!({
        "image": "registry.example/mailmirror:2",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{ "name": "pull" }],
        "storage": { "size": "100Gi", "storageClassName": "fast" },
        "domains": ["example.com", "example.org"],
        "hostname": "mail.example.com",
        "secret": { "name": "shared", "key": "mirror" },
        "tls": { "secretName": "mail-tls" },
        "settings": { "g_message_max": "50M", "g_server_name": "a\\b" },
        "service": {
            "type": "LoadBalancer", "annotations": { "a/b": "c" }, "loadBalancerClass": "x/y", "externalTrafficPolicy": "Local"
        },
        "resources": { "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } },
        "nodeSelector": { "disk": "ssd" },
        "tolerations": [{ "key": "mail", "operator": "Exists", "effect": "NoSchedule" }],
        "antiAffinity": "Required",
        "priorityClassName": "high",
        "podSecurity": { "identity": "Platform" },
        "persistentVolumeClaimRetention": "Delete",
    }))
}

fn golden(name: &str, children: &[Child]) {
    let documents: Vec<_> = children.iter().map(|child| serde_saphyr::to_string(&child.manifest).unwrap()).collect();
    let text = format!("---\n{}", documents.join("---\n"));
    let path = format!("{}/tests/golden/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap() == text, "{path} differs: run UPDATE_GOLDEN=1 cargo test and look");
}

#[test]
fn the_manifests_are_the_committed_ones() {
    golden("minimal", &children(&minimal(), "registry.example/mailmirror:1"));
    golden("full", &children(&full(), "registry.example/mailmirror:2"));
}

/// A misspelt field would be dropped by the typed form.
fn round_trip<T: Serialize + DeserializeOwned>(manifest: &Value) {
    let mut manifest = manifest.clone();
    let typed: T = serde_json::from_value(manifest.clone()).unwrap();
    let mut back = serde_json::to_value(typed).unwrap();
    for value in [&mut manifest, &mut back] {
        value.as_object_mut().unwrap().remove("apiVersion");
        value.as_object_mut().unwrap().remove("kind");
    }
    assert_eq!(back, manifest);
}

#[test]
fn every_field_is_one_of_the_api() {
    for child in [minimal(), full()].iter().flat_map(|pair| children(pair, "image")) {
        match child.kind {
            ChildKind::ServiceAccount => round_trip::<core::ServiceAccount>(&child.manifest),
            ChildKind::ConfigMap => round_trip::<core::ConfigMap>(&child.manifest),
            ChildKind::Service => round_trip::<core::Service>(&child.manifest),
            ChildKind::PodDisruptionBudget => round_trip::<policy::PodDisruptionBudget>(&child.manifest),
            ChildKind::NetworkPolicy => round_trip::<networking::NetworkPolicy>(&child.manifest),
            ChildKind::StatefulSet => round_trip::<apps::StatefulSet>(&child.manifest),
        }
    }
    round_trip::<core::Secret>(&generated_secret(&minimal(), &NewSecret([7; 32])));
}

#[test]
fn nothing_in_the_pods_names_the_operator_or_its_version() {
    for child in children(&minimal(), "image") {
        let mut text = child.manifest.to_string();
        text = text.replace("\"app.kubernetes.io/managed-by\":\"mailmirror-operator\"", "");
        text = text.replace("\"app.kubernetes.io/name\":\"mailmirror-operator\"", "");
        assert!(!text.contains("operator\"") && !text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    }
}
