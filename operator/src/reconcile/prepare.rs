//! What a pass needs before it can ask the nodes: the secrets and the children.

use super::{Context, Trouble};
use crate::act::{ActError, ChildProblem, bounded};
use crate::api::MailMirrorPair;
use crate::decide::Event;
use crate::observe::{PairKey, Place};
use crate::pair::ValidatedPair;
use crate::reason::Reason;
use crate::resources::{ADMIN_PORT, NewSecret, children, generated_secret};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;
use mailmirror_control::auth::Secret;
use mailmirror_model::ids::NodeId;
use std::sync::Arc;

/// A Secret is read again after this time, in milliseconds: the operator may not watch Secrets.
const SECRET_READ_EVERY_MS: u64 = 10_000;
/// So many secrets are kept: those of the Secret, and those it had before the nodes' files caught up with it.
const SECRETS_MAX: usize = 4;

impl Context {
    /// The secrets to prove, the current one first. Those read before still count while a rotation reaches the nodes.
    pub(super) async fn secrets(&self, key: &PairKey, pair: &ValidatedPair, trouble: &mut Trouble) -> Vec<Secret> {
        let now = self.clock.now();
        {
            let memos = self.memos();
            let memo = memos.get(key);
            let fresh = memo.and_then(|memo| memo.secrets_read).is_some_and(|read| now < read + SECRET_READ_EVERY_MS);
            if let Some(memo) = memo.filter(|memo| fresh && !memo.secrets.is_empty()) {
                return memo.secrets.clone();
            }
        }
        let read = self.read_secrets(pair).await;
        let mut memos = self.memos();
        let memo = memos.entry(key.clone()).or_default();
        match read {
            Ok(read) => {
                let mut all = read;
                all.append(&mut memo.secrets);
                let mut unique: Vec<Secret> = Vec::new();
                for secret in all {
                    if !unique.contains(&secret) && unique.len() < SECRETS_MAX {
                        unique.push(secret);
                    }
                }
                memo.secrets = unique;
                memo.secrets_read = Some(now);
            }
            Err(Ok(error)) => {
                // What is known goes on to count; asking again with every pass would hold up all of them.
                memo.secrets_read = Some(now);
                trouble.pend(error.to_string());
            }
            Err(Err(why)) => {
                let (name, _) = pair.secret();
                trouble.stall(Reason::SecretMissing, format!("Secret {name}: {why}"));
            }
        }
        memo.secrets.clone()
    }

    /// `Err(Ok)`: it could not be read; `Err(Err)`: it is not what it should be.
    async fn read_secrets(&self, pair: &ValidatedPair) -> Result<Vec<Secret>, Result<ActError, String>> {
        let api: Api<core::Secret> = Api::namespaced(self.client.clone(), &pair.namespace);
        let (name, key) = pair.secret();
        let mut found = bounded(format!("read Secret {name}"), api.get_opt(&name)).await.map_err(Ok)?;
        if found.is_none() && pair.spec.secret.is_none() && !pair.policy.paused {
            let random = NewSecret(rand::random());
            let made =
                serde_json::from_value(generated_secret(pair, &random)).map_err(|error| Err(error.to_string()))?;
            let what = format!("create Secret {name}");
            found = match bounded(what, api.create(&PostParams::default(), &made)).await {
                Ok(made) => Some(made),
                Err(error) => return Err(Ok(error)),
            };
        }
        let command = format!(
            "kubectl -n {} create secret generic {name} --from-literal={key}=$(openssl rand -hex 32)",
            pair.namespace
        );
        let secret = found.ok_or_else(|| Err(format!("it does not exist: create it with `{command}`")))?;
        let value = |key: &str| {
            let data = secret.data.as_ref()?.get(key)?;
            std::str::from_utf8(&data.0).ok().map(str::to_owned)
        };
        let current = value(key)
            .ok_or_else(|| Err(format!("it has no key {key}: add it, or name the right one in spec.secret.key")))?;
        let mut secrets = vec![Secret::new(&current).map_err(|error| Err(error.to_string()))?];
        for suffix in ["-next", "-previous"] {
            secrets.extend(value(&format!("{key}{suffix}")).and_then(|text| Secret::new(&text).ok()));
        }
        Ok(secrets)
    }

    /// Children that cannot be written do not keep the roles from being looked after.
    pub(super) async fn apply_children(&self, pair: &ValidatedPair, object: &MailMirrorPair, trouble: &mut Trouble) {
        let set = self.world.sets.get(&ObjectRef::new(&pair.name).within(&pair.namespace));
        let image = pair
            .spec
            .image
            .clone()
            .or_else(|| set.as_deref().and_then(set_image))
            .unwrap_or_else(|| self.default_image.clone());
        if let Some(set) = &set
            && let Err(error) = self.grow(pair, object, set).await
        {
            trouble.pend(error.to_string());
            return;
        }
        for child in children(pair, &image) {
            match self.children.apply(&self.world, pair, &child).await {
                Ok(()) => {}
                Err(foreign @ ChildProblem::Foreign { .. }) => {
                    trouble.stall(Reason::ForeignObject, foreign.to_string());
                }
                Err(ChildProblem::Act(error)) => {
                    tracing::warn!(pair = pair.name, namespace = pair.namespace, %error, "a child is not as it should be");
                    trouble.pend(error.to_string());
                }
            }
        }
    }

    /// Claim templates cannot be changed: the claims are grown, and the `StatefulSet` is made anew around its pods.
    async fn grow(
        &self,
        pair: &ValidatedPair,
        object: &MailMirrorPair,
        set: &Arc<StatefulSet>,
    ) -> Result<(), ActError> {
        let wanted = bytes(&pair.spec.storage.size);
        let has = set_size(set).as_deref().and_then(bytes);
        if wanted.is_none() || has.is_none() || wanted <= has || !crate::act::owned(set.as_ref(), &pair.uid) {
            return Ok(());
        }
        for node in NodeId::BOTH {
            if self.world.claims.get(&ObjectRef::new(&pair.claim(node)).within(&pair.namespace)).is_some() {
                self.pods.grow(&pair.namespace, &pair.claim(node), &pair.spec.storage.size).await?;
            }
        }
        let note = format!("the claims were asked for {}", pair.spec.storage.size);
        self.publish(object, vec![Event { reason: Reason::VolumeGrown, note, warning: false }]);
        self.children.orphan_set(pair).await
    }

    /// Starts to follow the nodes where they are now.
    pub(super) fn follow(&self, key: &PairKey, pair: &ValidatedPair, secrets: &[Secret]) {
        for node in NodeId::BOTH {
            let pod = self.world.pod(&pair.namespace, &pair.pod(node));
            let view = pod.map(|pod| crate::observe::pod_view(&pod, None));
            let place = match view {
                None => Err("there is no pod".to_owned()),
                Some(_) if secrets.is_empty() => Err("there is no secret to prove".to_owned()),
                Some(view) => match view.ip {
                    None => Err(view.stuck.unwrap_or_else(|| "the pod has no address yet".to_owned())),
                    Some(ip) => {
                        let address = if ip.contains(':') {
                            format!("[{ip}]:{ADMIN_PORT}")
                        } else {
                            format!("{ip}:{ADMIN_PORT}")
                        };
                        Ok(Place { pod_uid: view.uid, address, secrets: secrets.to_vec() })
                    }
                },
            };
            self.answers.follow(key, node, place);
        }
    }
}

fn set_image(set: &StatefulSet) -> Option<String> {
    set.spec.template.spec.as_ref()?.containers.first()?.image.clone()
}

fn set_size(set: &StatefulSet) -> Option<String> {
    let claim = set.spec.volume_claim_templates.as_ref()?.first()?;
    Some(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone())
}

/// A quantity in bytes, as far as sizes are written; `None` for other notations.
fn bytes(quantity: &str) -> Option<u128> {
    const UNITS: [(&str, u128); 12] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
    ];
    let unit = UNITS.iter().find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)));
    let (number, factor) = unit.unwrap_or((quantity, 1));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(digits.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_compared_as_numbers() {
        assert_eq!(bytes("1Gi"), bytes("1024Mi"));
        assert_eq!(bytes("1.5k"), Some(1500));
        assert!(bytes("10Gi") < bytes("11G"));
        assert_eq!(bytes("big"), None);
    }
}
