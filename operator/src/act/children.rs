//! Children by server-side apply: without any request while nothing has changed.

use super::{ActError, bounded};
use crate::api::FIELD_MANAGER;
use crate::observe::{Fingerprint, World};
use crate::pair::ValidatedPair;
use crate::resources::{Child, ChildKind};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What was applied, and what the server made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    owner: String,
    manifest: serde_json::Value,
    seen: Fingerprint,
}

/// Why a child is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ChildProblem {
    /// An object with its name belongs to somebody else.
    #[error("{kind:?} {name} exists and does not belong to this pair: delete it, or give the pair another name")]
    Foreign {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
    /// The request failed.
    #[error(transparent)]
    Act(#[from] ActError),
}

type ChildKey = (ChildKind, String, String);

/// The children of all pairs.
pub struct Children {
    client: Client,
    applied: Mutex<HashMap<ChildKey, Applied>>,
}

impl Children {
    /// Nothing was applied yet.
    pub fn new(client: Client) -> Self {
        Self { client, applied: Mutex::default() }
    }

    /// Makes one child as it should be.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn apply(&self, world: &World, pair: &ValidatedPair, child: &Child) -> Result<(), ChildProblem> {
        let key = (child.kind, pair.namespace.clone(), child.name.clone());
        let before = self.lock().get(&key).cloned();
        let seen = world.fingerprint(child.kind, &pair.namespace, &child.name);
        if let Some(before) = &before
            && before.manifest == child.manifest
            && before.owner == pair.uid
            && seen.as_ref() == Some(&before.seen)
        {
            return Ok(());
        }
        let api = self.api(child.kind, &pair.namespace);
        if before.is_none_or(|before| before.owner != pair.uid) {
            // What is not ours is not taken over: apply would do that without a word.
            let what = format!("read {:?} {}", child.kind, child.name);
            if let Some(found) = bounded(what, api.get_opt(&child.name)).await?
                && !owned(&found, &pair.uid)
            {
                return Err(ChildProblem::Foreign { kind: child.kind, name: child.name.clone() });
            }
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let what = format!("apply {:?} {}", child.kind, child.name);
        let done = bounded(what, api.patch(&child.name, &params, &Patch::Apply(&child.manifest))).await?;
        if let Some(seen) = Fingerprint::of(&done) {
            self.lock().insert(key, Applied { owner: pair.uid.clone(), manifest: child.manifest.clone(), seen });
        }
        Ok(())
    }

    /// Deletes a `StatefulSet` and leaves its pods: its claim templates cannot be changed.
    ///
    /// # Errors
    /// See [`ActError`].
    pub async fn orphan_set(&self, pair: &ValidatedPair) -> Result<(), ActError> {
        let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
        let api = self.api(ChildKind::StatefulSet, &pair.namespace);
        bounded("delete the StatefulSet and keep its pods", api.delete(&pair.name, &params)).await.map(drop)
    }

    /// Forgets the pairs that are gone.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|_, applied| keep(&applied.owner));
    }

    fn api(&self, kind: ChildKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.api_resource())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ChildKey, Applied>> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an object belongs to the pair with this identity.
pub fn owned(object: &impl ResourceExt, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid && owner.controller == Some(true))
}
