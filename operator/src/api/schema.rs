//! Schemas that the derive cannot make: bounded, and without the long descriptions of the Kubernetes types.

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

const LABEL_VALUE_MAX: u32 = 63;

/// `0`, `1` or `Any`.
pub fn master_order(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true, "nullable": false, "enum": [0, 1, "Any"] })
}

/// A duration that Go, CEL and this program read the same way.
pub fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 20, "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$" })
}

/// A size in bytes with an optional suffix.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "nullable": false,
        "maxLength": 20,
        "pattern": r"^[0-9]+(\.[0-9]+)?(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
    })
}

/// Names of mail domains, each once.
pub fn domains(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 256,
        "x-kubernetes-list-type": "set",
        "items": {
            "type": "string",
            "maxLength": 253,
            "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
        }
    })
}

/// Settings: names are checked by rule, values are one line without quotation marks.
pub fn settings(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 1024, "pattern": "^[^\"\\r\\n]*$" }
    })
}

/// Labels.
pub fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": LABEL_VALUE_MAX }
    })
}

/// Annotations.
pub fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 4096 }
    })
}

/// `ResourceRequirements` without descriptions and without resource claims.
pub fn resources(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = bare::<ResourceRequirements>(generator);
    if let Some(Value::Object(properties)) = schema.as_object_mut().and_then(|map| map.get_mut("properties")) {
        properties.remove("claims");
    }
    schema
}

/// A bounded list of `Toleration`s without descriptions.
pub fn tolerations(generator: &mut SchemaGenerator) -> Schema {
    let items = bare::<Toleration>(generator).to_value();
    json_schema!({ "type": "array", "maxItems": 32, "items": items })
}

/// A list of conditions without descriptions.
pub fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let items = bare::<Condition>(generator).to_value();
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": items,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"]
    })
}

fn bare<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut value = T::json_schema(generator).to_value();
    strip(&mut value);
    Schema::try_from(value).unwrap_or_default()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("description").is_some_and(Value::is_string) {
                map.remove("description");
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
