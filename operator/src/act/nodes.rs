//! Pods: their role labels, and their end.

use super::{ActError, bounded};
use crate::api::FIELD_MANAGER;
use crate::observe::{World, role_label, role_patch};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use mailmirror_control::status::Role;
use serde_json::json;

/// The pods of the cluster.
#[derive(Clone)]
pub struct Pods {
    client: Client,
}

impl Pods {
    /// Through this client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sets the role label of this very pod; `None` takes it away. A pod that is gone needs none.
    ///
    /// # Errors
    /// See [`ActError`].
    pub async fn label(
        &self,
        world: &World,
        namespace: &str,
        name: &str,
        uid: &str,
        role: Option<Role>,
    ) -> Result<(), ActError> {
        let patch = role_patch(uid, role.and_then(role_label));
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        match bounded(format!("label pod {name}"), api.patch(name, &params, &Patch::Merge(&patch))).await {
            Ok(pod) => {
                world.patched(pod);
                Ok(())
            }
            // Another pod has the name by now (409), or none has (404).
            Err(error) if role.is_none() && (error.is_not_found() || error.is_conflict()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes this very pod, to be made anew.
    ///
    /// # Errors
    /// See [`ActError`].
    pub async fn restart(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ActError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params =
            DeleteParams::default().preconditions(Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        match bounded(format!("delete pod {name}"), api.delete(name, &params)).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Asks for more room in a claim.
    ///
    /// # Errors
    /// See [`ActError`].
    pub async fn grow(&self, namespace: &str, claim: &str, size: &str) -> Result<(), ActError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({ "spec": { "resources": { "requests": { "storage": size } } } });
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        bounded(format!("grow claim {claim}"), api.patch(claim, &params, &Patch::Merge(&patch))).await.map(drop)
    }
}
