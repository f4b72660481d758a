//! The generated CRD is the committed one, and its defaults are Rust's.
#![allow(clippy::unwrap_used)]

use mailmirror_operator::api::{self, MailMirrorPairSpec};

#[test]
fn the_committed_crd_is_the_generated_one() {
    let committed = include_str!("../../crds/mailmirrorpairs.mailmirror.dev.yaml");
    assert!(api::crd_yaml().unwrap() == committed, "crds/ differs from the types: run `make generate`");
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_types() {
    let crd: serde_json::Value = serde_saphyr::from_str(&api::crd_yaml().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let minimal = serde_json::json!({ "storage": { "size": "1Gi" }, "domains": ["example.com"] });
    let mut as_server = minimal.clone();
    apply_defaults(schema, &mut as_server);
    let read: MailMirrorPairSpec = serde_json::from_value(minimal).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), as_server);
}

fn apply_defaults(schema: &serde_json::Value, value: &mut serde_json::Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        if let Some(default) = property.get("default") {
            let map = value.as_object_mut().unwrap();
            map.entry(name.clone()).or_insert_with(|| default.clone());
        }
        if let Some(inner) = value.get_mut(name).filter(|inner| inner.is_object()) {
            apply_defaults(property, inner);
        }
    }
}
