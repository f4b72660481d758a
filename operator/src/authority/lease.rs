//! The Lease `NAME-mirror`: read whole, written whole, by compare-and-swap.

use super::Memory;
use crate::act::{ActError, bounded, owned};
use crate::api::{PAIR_LABEL, RECORD_ANNOTATION};
use crate::pair::ValidatedPair;
use crate::resources::owner;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// What was read: the ground on which the next write stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What is remembered; `None`: there is no record.
    pub memory: Option<Memory>,
    version: Option<String>,
}

/// The leases of the pairs.
#[derive(Clone)]
pub struct Leases {
    client: Client,
}

impl Leases {
    /// Through this client, which must not repeat a request by itself: a repeated write could not be told from
    /// another's.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Reads the record of a pair from the API server itself, not from a cache.
    ///
    /// # Errors
    /// [`ActError`]; [`ActError::Content`] when it cannot be understood, which stops everything for this pair.
    pub async fn read(&self, pair: &ValidatedPair) -> Result<Found, ActError> {
        let name = pair.record_name();
        let what = format!("read Lease {name}");
        let Some(lease) = bounded(&what, self.api(pair).get_opt(&name)).await? else {
            return Ok(Found { memory: None, version: None });
        };
        let content = |why: String| ActError::Content { what: what.clone(), why };
        if !owned(&lease, &pair.uid) {
            let why = "it belongs to another object: an earlier pair of this name that is still being removed, or somebody else";
            return Err(content(why.to_owned()));
        }
        let memory = match lease.annotations().get(RECORD_ANNOTATION) {
            Some(text) => Some(serde_json::from_str(text).map_err(|error| content(error.to_string()))?),
            None => None,
        };
        Ok(Found { memory, version: lease.resource_version() })
    }

    /// Writes what is to be remembered, if the Lease still is what was found.
    ///
    /// # Errors
    /// [`ActError`], with [`ActError::is_conflict`] when it is not. After a timeout it may have been written: read it.
    pub async fn write(&self, pair: &ValidatedPair, found: &Found, memory: &Memory) -> Result<Found, ActError> {
        let name = pair.record_name();
        let what = format!("write Lease {name}");
        let content = |error: serde_json::Error| ActError::Content { what: what.clone(), why: error.to_string() };
        let text = serde_json::to_string(memory).map_err(content)?;
        let lease: Lease = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "namespace": pair.namespace,
                "resourceVersion": found.version,
                "labels": {
                    "app.kubernetes.io/name": "mailmirror",
                    "app.kubernetes.io/managed-by": "mailmirror-operator",
                    PAIR_LABEL: pair.name,
                },
                "annotations": { RECORD_ANNOTATION: text },
                "ownerReferences": [owner(pair)],
            },
            "spec": {
                "holderIdentity": pair.pod(memory.record.holder),
                "leaseTransitions": i32::try_from(memory.record.epoch.0).unwrap_or(i32::MAX),
            },
        }))
        .map_err(content)?;
        let api = self.api(pair);
        let written = match found.version {
            None => bounded(&what, api.create(&PostParams::default(), &lease)).await?,
            Some(_) => bounded(&what, api.replace(&name, &PostParams::default(), &lease)).await?,
        };
        Ok(Found { memory: Some(memory.clone()), version: written.resource_version() })
    }

    fn api(&self, pair: &ValidatedPair) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &pair.namespace)
    }
}
