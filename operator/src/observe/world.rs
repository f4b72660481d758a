//! The caches of the cluster's objects, each kept by a watch.

use super::PairKey;
use crate::api::{PAIR_LABEL, ROLE_LABEL};
use crate::resources::ChildKind;
use futures::{Stream, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::reflector::{ObjectRef, Store, store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

const OURS: &str = "app.kubernetes.io/managed-by=mailmirror-operator";

/// A version of an object that is noticed when a hand has changed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its identity.
    pub uid: String,
    /// The generation where there is one, and the resource version elsewhere.
    pub version: String,
}

impl Fingerprint {
    /// Of this object.
    pub fn of(meta: &impl ResourceExt) -> Option<Self> {
        let version = meta.meta().generation.map(|it| it.to_string()).or_else(|| meta.resource_version())?;
        Some(Self { uid: meta.uid()?, version })
    }
}

/// The caches.
#[derive(Clone)]
pub struct World {
    /// Pods of pairs.
    pub pods: Store<Pod>,
    /// Their claims.
    pub claims: Store<PersistentVolumeClaim>,
    /// Their `StatefulSet`s.
    pub sets: Store<StatefulSet>,
    /// Their Services.
    pub services: Store<Service>,
    /// Hosts; empty where the operator may not see them.
    pub hosts: Store<Node>,
    config_maps: Store<ConfigMap>,
    accounts: Store<ServiceAccount>,
    budgets: Store<PodDisruptionBudget>,
    policies: Store<NetworkPolicy>,
    claims_synced: Arc<AtomicU64>,
    patched: Arc<Mutex<HashMap<String, Pod>>>,
    /// How often a watch has failed.
    pub watch_failures: Arc<AtomicU64>,
}

/// The writing ends.
pub struct Writers {
    pods: Writer<Pod>,
    claims: Writer<PersistentVolumeClaim>,
    sets: Writer<StatefulSet>,
    services: Writer<Service>,
    hosts: Writer<Node>,
    config_maps: Writer<ConfigMap>,
    accounts: Writer<ServiceAccount>,
    budgets: Writer<PodDisruptionBudget>,
    policies: Writer<NetworkPolicy>,
}

impl World {
    /// Empty caches.
    pub fn new() -> (Self, Writers) {
        let ((pods, pods_w), (claims, claims_w), (sets, sets_w)) = (store(), store(), store());
        let ((services, services_w), (hosts, hosts_w), (config_maps, config_maps_w)) = (store(), store(), store());
        let ((accounts, accounts_w), (budgets, budgets_w), (policies, policies_w)) = (store(), store(), store());
        let world = Self {
            pods,
            claims,
            sets,
            services,
            hosts,
            config_maps,
            accounts,
            budgets,
            policies,
            claims_synced: Arc::default(),
            patched: Arc::default(),
            watch_failures: Arc::default(),
        };
        let writers = Writers {
            pods: pods_w,
            claims: claims_w,
            sets: sets_w,
            services: services_w,
            hosts: hosts_w,
            config_maps: config_maps_w,
            accounts: accounts_w,
            budgets: budgets_w,
            policies: policies_w,
        };
        (world, writers)
    }

    /// Keeps the caches, for ever. `trigger` hears of every pair to which something happened.
    pub async fn keep(
        &self,
        client: Client,
        namespace: Option<&str>,
        writers: Writers,
        trigger: mpsc::Sender<PairKey>,
    ) {
        let failures = &self.watch_failures;
        let pods = touched(api::<Pod>(&client, namespace), writers.pods, failures, &trigger);
        let claims = touched(api::<PersistentVolumeClaim>(&client, namespace), writers.claims, failures, &trigger);
        let sets = touched(api::<StatefulSet>(&client, namespace), writers.sets, failures, &trigger);
        let services = touched(api::<Service>(&client, namespace), writers.services, failures, &trigger);
        let config_maps = touched(api::<ConfigMap>(&client, namespace), writers.config_maps, failures, &trigger);
        let accounts = touched(api::<ServiceAccount>(&client, namespace), writers.accounts, failures, &trigger);
        let budgets = touched(api::<PodDisruptionBudget>(&client, namespace), writers.budgets, failures, &trigger);
        let policies = touched(api::<NetworkPolicy>(&client, namespace), writers.policies, failures, &trigger);
        let hosts = self.keep_hosts(&client, writers.hosts, &trigger);
        let synced = async {
            if self.claims.wait_until_ready().await.is_ok() {
                self.claims_synced.store(1, Ordering::Release);
            }
        };
        futures::join!(pods, claims, sets, services, config_maps, accounts, budgets, policies, hosts, synced);
    }

    async fn keep_hosts(&self, client: &Client, writer: Writer<Node>, trigger: &mpsc::Sender<PairKey>) {
        let mut seen: HashMap<String, u64> = HashMap::new();
        let mut hosts = std::pin::pin!(hosts(client, writer));
        while let Some(host) = hosts.next().await {
            let (name, state) = (host.name_any(), host_state(&host));
            if seen.insert(name.clone(), state) == Some(state) {
                continue;
            }
            let here = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&name);
            for pod in self.pods.state_filter(here) {
                pull(trigger, owner(pod.as_ref()));
            }
        }
    }

    /// Waits until what a decision needs is there.
    pub async fn wait_until_ready(&self) {
        // An error means that the writer is gone, and with it the process.
        let _ = futures::join!(
            self.pods.wait_until_ready(),
            self.claims.wait_until_ready(),
            self.sets.wait_until_ready(),
            self.services.wait_until_ready()
        );
    }

    /// Whether a claim that is not in the cache is certainly absent.
    pub fn claims_synced(&self) -> bool {
        self.claims_synced.load(Ordering::Acquire) > 0
    }

    /// A pod: from the cache, or as our own last write left it where the cache is behind.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let cached = self.pods.get(&ObjectRef::new(name).within(namespace))?;
        let mut patched = self.patched.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = cached.uid()?;
        match patched.get(&uid) {
            Some(written) if version(written) > version(&cached) => Some(Arc::new(written.clone())),
            Some(_) => {
                patched.remove(&uid);
                Some(cached)
            }
            None => Some(cached),
        }
    }

    /// Keeps what a write answered.
    pub fn patched(&self, pod: Pod) {
        if let Some(uid) = pod.uid() {
            let mut patched = self.patched.lock().unwrap_or_else(PoisonError::into_inner);
            let alive = |uid: &String| self.pods.state().iter().any(|pod| pod.uid().as_ref() == Some(uid));
            patched.retain(|uid, _| alive(uid));
            patched.insert(uid, pod);
        }
    }

    /// What the cache knows of a child.
    pub fn fingerprint(&self, kind: ChildKind, namespace: &str, name: &str) -> Option<Fingerprint> {
        fn of<K>(store: &Store<K>, namespace: &str, name: &str) -> Option<Fingerprint>
        where
            K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + 'static,
        {
            Fingerprint::of(store.get(&ObjectRef::new(name).within(namespace))?.as_ref())
        }
        match kind {
            ChildKind::ServiceAccount => of(&self.accounts, namespace, name),
            ChildKind::ConfigMap => of(&self.config_maps, namespace, name),
            ChildKind::Service => of(&self.services, namespace, name),
            ChildKind::PodDisruptionBudget => of(&self.budgets, namespace, name),
            ChildKind::NetworkPolicy => of(&self.policies, namespace, name),
            ChildKind::StatefulSet => of(&self.sets, namespace, name),
        }
    }
}

fn version(pod: &Pod) -> u64 {
    pod.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn pull(trigger: &mpsc::Sender<PairKey>, pair: Option<PairKey>) {
    if let Some(pair) = pair
        && trigger.try_send(pair).is_err()
    {
        tracing::warn!("the trigger is full: the next look is the regular one");
    }
}

/// Keeps one cache, and tells of objects that were changed or deleted; errors are counted and retried.
async fn touched<K>(api: Api<K>, writer: Writer<K>, failures: &Arc<AtomicU64>, trigger: &mpsc::Sender<PairKey>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let mut objects = watcher(api, watcher::Config::default().labels(OURS))
        .default_backoff()
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects()
        .boxed();
    while let Some(result) = objects.next().await {
        match result {
            Ok(object) => pull(trigger, owner(&object)),
            Err(error) => {
                failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(kind = %K::kind(&()), %error, "failed to watch");
            }
        }
    }
}

fn hosts(client: &Client, writer: Writer<Node>) -> impl Stream<Item = Node> + use<> {
    watcher(Api::<Node>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .modify(|host| {
            host.managed_fields_mut().clear();
            host.annotations_mut().clear();
            if let Some(status) = &mut host.status {
                status.images = None;
            }
        })
        .reflect(writer)
        .touched_objects()
        .filter_map(|result| {
            if let Err(error) = &result {
                tracing::debug!(%error, "failed to watch hosts: a cordon is not seen");
            }
            std::future::ready(result.ok())
        })
}

/// Heartbeats do not count.
fn host_state(host: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    let spec = host.spec.as_ref();
    spec.and_then(|spec| spec.unschedulable).hash(&mut hasher);
    for taint in spec.and_then(|spec| spec.taints.as_ref()).into_iter().flatten() {
        (&taint.key, &taint.effect).hash(&mut hasher);
    }
    for condition in host.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten() {
        (&condition.type_, &condition.status).hash(&mut hasher);
    }
    hasher.finish()
}

fn owner(object: &impl ResourceExt) -> Option<PairKey> {
    let name = object.labels().get(PAIR_LABEL)?.clone();
    Some(PairKey { namespace: object.namespace()?, name })
}

/// The labels by which a role is taken from a pod or given to it.
pub fn role_patch(uid: &str, role: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "metadata": { "uid": uid, "labels": { ROLE_LABEL: role } } })
}
