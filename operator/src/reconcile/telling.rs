//! What a pass says: to the nodes, and to people.

use super::{Context, Guarded, Written};
use crate::api::{FIELD_MANAGER, MailMirrorPair};
use crate::decide::Event;
use crate::observe::PairKey;
use crate::pair::ValidatedPair;
use crate::reason::Reason;
use crate::{act::bounded, status};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use mailmirror_control::record::Record;
use mailmirror_model::ids::NodeId;
use serde_json::json;

/// Numbers in the status that only grow are written this often at most, in milliseconds.
const NUMBERS_EVERY_MS: u64 = 10_000;

impl Context {
    /// Tells the nodes at once, not one after the other. Whether any of them has heard it.
    pub(super) async fn tell(
        &self,
        key: &PairKey,
        pair: &ValidatedPair,
        object: &MailMirrorPair,
        nodes: &[NodeId],
        record: &Record,
    ) -> bool {
        let told = nodes.iter().map(|node| async move { (*node, self.answers.tell(key, *node, record).await) });
        let mut heard = false;
        for (node, result) in futures::future::join_all(told).await {
            match result {
                Ok(answer) => {
                    heard = true;
                    if let Some(refusal) = answer.refused {
                        let note = format!("{} does not obey the record: {refusal}", pair.pod(node));
                        tracing::warn!(pair = key.name, namespace = key.namespace, "{note}");
                        self.publish(object, vec![Event { reason: Reason::RecordRefused, note, warning: true }]);
                    }
                }
                Err(error) => {
                    tracing::warn!(pair = key.name, namespace = key.namespace, node = %node, %error, "failed to tell the record");
                }
            }
        }
        heard
    }

    /// Writes the status if it says something new. Whether it stands as it should.
    pub(super) async fn report(&self, key: &PairKey, object: &MailMirrorPair, facts: &status::Facts<'_>) -> bool {
        let now = self.clock.now();
        let cached = object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0_u64);
        let (before, old) = {
            let memos = self.memos();
            let written = memos.get(key).and_then(|memo| memo.status.as_ref());
            let old = written.is_none_or(|written| now >= written.at + NUMBERS_EVERY_MS);
            // The cache may be behind our own last write.
            let newer = written.filter(|written| written.version > cached).map(|written| written.status.clone());
            (newer.or_else(|| object.status.clone()), old)
        };
        let service = |name: String| {
            self.world.services.get(&kube::runtime::reflector::ObjectRef::new(&name).within(&facts.pair.namespace))
        };
        let services = [service(facts.pair.name.clone()), service(format!("{}-mx2", facts.pair.name))];
        let status = status::status(facts, [services[0].as_deref(), services[1].as_deref()], before.as_ref(), now);
        if !status::differs(&status, before.as_ref(), old) {
            return true;
        }
        let api: Api<MailMirrorPair> = Api::namespaced(self.client.clone(), &facts.pair.namespace);
        let patch = json!({
            "apiVersion": MailMirrorPair::api_version(&()),
            "kind": MailMirrorPair::kind(&()),
            "metadata": { "name": facts.pair.name },
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match bounded("write the status", api.patch_status(&facts.pair.name, &params, &Patch::Apply(&patch))).await {
            Ok(written) => {
                let version = written.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0);
                let kept = Written { version, at: now, status: written.status.unwrap_or(status) };
                self.memos().entry(key.clone()).or_default().status = Some(kept);
                self.metrics.status_written();
                true
            }
            Err(error) if error.is_not_found() => true,
            Err(error) => {
                tracing::warn!(pair = key.name, namespace = key.namespace, %error, "the status is behind");
                false
            }
        }
    }

    /// An object that cannot be acted on says so, where a status can be written, and by an event.
    pub(super) async fn report_invalid(&self, object: &Guarded, key: &PairKey, why: &str) {
        let reference = object.object_ref(&());
        let event = Event { reason: Reason::InvalidObject, note: why.to_owned(), warning: true };
        self.events.publish(&reference, &event).await;
        tracing::warn!(pair = key.name, namespace = key.namespace, "{why}");
        let generation = object.meta().generation.unwrap_or(0);
        let before = object.0.as_ref().ok().and_then(|pair| pair.status.as_ref());
        let conditions =
            status::invalid(why, generation, before.map_or(&[], |status| &status.conditions), self.clock.now());
        let api: Api<kube::core::DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            &key.namespace,
            &kube::core::ApiResource::erase::<MailMirrorPair>(&()),
        );
        let patch = json!({
            "apiVersion": MailMirrorPair::api_version(&()),
            "kind": MailMirrorPair::kind(&()),
            "metadata": { "name": key.name },
            "status": { "observedGeneration": generation, "conditions": conditions },
        });
        if before.is_some_and(|status| status.conditions == conditions) {
            return;
        }
        let params = PatchParams::apply(FIELD_MANAGER).force();
        if let Err(error) =
            bounded("write the status", api.patch_status(&key.name, &params, &Patch::Apply(&patch))).await
        {
            tracing::warn!(pair = key.name, namespace = key.namespace, %error, "the status is behind");
        }
    }
}
