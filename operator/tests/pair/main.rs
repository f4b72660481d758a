//! The operator with two simulated nodes behind real sockets and an API server in memory: a pair's life.
#![allow(clippy::unwrap_used)]

#[path = "../api/fake.rs"]
#[allow(dead_code)]
mod fake;
#[path = "../simulation/node.rs"]
#[allow(dead_code)]
mod node;
mod server;

use fake::Fake;
use mailmirror_control::auth::Secret;
use mailmirror_model::ids::NodeId;
use mailmirror_operator::observe::{Answers, Clock, PairKey, World};
use mailmirror_operator::reconcile::{Context, Guarded, reconcile};
use mailmirror_operator::telemetry::Metrics;
use node::Entry;
use serde_json::{Value, json};
use server::Nodes;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const DEADLINE: Duration = Duration::from_secs(20);

struct Bench {
    fake: Fake,
    nodes: Arc<Nodes>,
    addresses: [IpAddr; 2],
}

impl Bench {
    async fn new() -> Self {
        let fake = Fake::new();
        fake.put("secrets", "shared", json!({ "kind": "Secret", "metadata": {}, "stringData": { "secret": SECRET } }));
        fake.put(
            "mailmirrorpairs",
            "office",
            json!({
                "apiVersion": "mailmirror.dev/v1alpha1", "kind": "MailMirrorPair",
                "metadata": { "generation": 1 },
                "spec": { "storage": { "size": "1Gi" }, "domains": ["example.com"], "secret": { "name": "shared" } },
            }),
        );
        // Addresses of the loopback network that nobody else is likely to use; the port is fixed.
        let random: [u8; 2] = rand::random();
        let address = |last: u8| IpAddr::V4(Ipv4Addr::new(127, 1 + random[0] % 250, random[1], last));
        let this = Self { fake, nodes: Nodes::new(Secret::new(SECRET).unwrap()), addresses: [address(1), address(2)] };
        let labels = json!({ "app.kubernetes.io/managed-by": "mailmirror-operator", "mailmirror.dev/pair": "office" });
        for node in 0..2 {
            let claim = json!({ "metadata": { "labels": labels }, "spec": { "volumeName": format!("pv-{node}") } });
            this.fake.put("persistentvolumeclaims", &format!("data-office-{node}"), claim);
            let running = json!({ "name": "mailserver", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": {} } });
            this.fake.put(
                "pods",
                &format!("office-{node}"),
                json!({
                    "metadata": { "labels": labels },
                    "status": { "podIP": this.addresses[node], "conditions": [{ "type": "Ready", "status": "True" }],
                        "containerStatuses": [running] },
                }),
            );
        }
        this.operate().await;
        this
    }

    /// The operator: a pass for every trigger, and one from time to time.
    async fn operate(&self) {
        let (trigger, mut triggers) = mpsc::channel::<PairKey>(10_000);
        let (world, writers) = World::new();
        let metrics = Arc::new(Metrics::new(Arc::clone(&world.watch_failures)));
        let keeper = (world.clone(), self.fake.client(), trigger.clone());
        tokio::spawn(async move { keeper.0.keep(keeper.1, Some("mail"), writers, keeper.2).await });
        world.wait_until_ready().await;
        let clock = Clock::start();
        let answers = Answers::new(clock, trigger);
        let context = Context::new(self.fake.client(), world, answers, clock, "image".into(), "test", metrics);
        let (context, fake) = (Arc::new(context), self.fake.clone());
        tokio::spawn(async move {
            loop {
                let object: Guarded = serde_json::from_value(fake.get("mailmirrorpairs", "office").unwrap()).unwrap();
                reconcile(Arc::new(object), Arc::clone(&context)).await.unwrap();
                let _ = tokio::time::timeout(Duration::from_millis(500), triggers.recv()).await;
            }
        });
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < DEADLINE, "{what} did not come: {}", self.describe());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    fn describe(&self) -> String {
        format!("{}\n{}", self.fake.get("mailmirrorpairs", "office").unwrap()["status"], self.memory())
    }

    fn memory(&self) -> Value {
        let lease = self.fake.get("leases", "office-mirror").unwrap_or_default();
        let text = lease["metadata"]["annotations"]["mailmirror.dev/record"].as_str().unwrap_or("null").to_owned();
        serde_json::from_str(&text).unwrap()
    }

    fn leads(&self, node: u8, members: usize) -> bool {
        let record = &self.memory()["record"];
        record["holder"] == node && record["members"].as_array().is_some_and(|all| all.len() == members)
    }

    fn role(&self, node: usize) -> Value {
        self.fake.get("pods", &format!("office-{node}")).unwrap()["metadata"]["labels"]["mailmirror.dev/role"].clone()
    }

    fn routed(&self, master: usize) -> bool {
        self.role(master) == "master" && self.role(1 - master) == "slave"
    }

    fn condition(&self, kind: &str) -> Value {
        let object = self.fake.get("mailmirrorpairs", "office").unwrap();
        let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|condition| condition["type"] == kind).map_or(Value::Null, |it| it["status"].clone())
    }

    /// Writes at the master what comes back acknowledged.
    fn write(&self, operations: std::ops::Range<u64>) {
        self.nodes.change(|nodes, _| {
            for operation in operations {
                for node in nodes.iter_mut() {
                    node.write(operation);
                }
            }
        });
    }

    fn has(&self, node: usize, operations: std::ops::Range<u64>) -> bool {
        self.nodes.change(|nodes, _| operations.into_iter().all(|it| nodes[node].log.contains(&Entry::Operation(it))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_is_made_swapped_cut_granted_lost_and_whole_again() {
    let bench = Bench::new().await;
    let zero = bench.nodes.serve(NodeId::Zero, bench.addresses[0]).await;
    let one = bench.nodes.serve(NodeId::One, bench.addresses[1]).await;
    bench.until("a pair in sync", |bench| bench.leads(0, 2) && bench.routed(0)).await;
    bench.until("Ready", |bench| bench.condition("Ready") == "True" && bench.condition("Mirrored") == "True").await;
    bench.write(0..20);

    let mut object = bench.fake.get("mailmirrorpairs", "office").unwrap();
    object["spec"]["master"] = 1.into();
    bench.fake.put("mailmirrorpairs", "office", object);
    bench.until("the swap", |bench| bench.leads(1, 2) && bench.routed(1)).await;
    assert_eq!(bench.memory()["lastSwap"]["result"], "Done");
    bench.write(20..40);

    let api = kube::Api::namespaced(bench.fake.client(), "mail");
    let said = mailmirror_operator::plugin::swap(&api, "office", DEADLINE).await.unwrap();
    assert!(said.starts_with("office-0 is master after "), "{said}");
    let said = mailmirror_operator::plugin::swap(&api, "office", DEADLINE).await.unwrap();
    assert!(said.starts_with("office-1 is master after "), "{said}");
    bench.until("the second swap's end", |bench| bench.leads(1, 2) && bench.routed(1)).await;
    let shown = mailmirror_operator::plugin::describe(&api.get("office").await.unwrap());
    assert!(shown.contains("office-1             Running      Master"), "{shown}");

    bench.nodes.change(|_, linked| *linked = false);
    let granted = bench.until("the grant", |bench| bench.leads(1, 1)).await;
    assert!(
        granted < Duration::from_millis(400),
        "a wish is served when it is spoken, not at the next look: {granted:?}"
    );
    bench.write(40..50);
    bench.nodes.change(|_, linked| *linked = true);
    bench.until("the slave in the set again", |bench| bench.leads(1, 2)).await;

    one.abort();
    bench.nodes.change(|nodes, _| nodes[1].up = false);
    let lost = bench.until("the failover", |bench| bench.leads(0, 1) && bench.role(0) == "master").await;
    assert!(lost >= Duration::from_millis(900), "the delay was kept: {lost:?}");
    assert_eq!(bench.role(1), Value::Null);
    assert!(bench.has(0, 0..50), "what was acknowledged is there");

    bench.nodes.change(|nodes, _| nodes[1].restart());
    let again = bench.nodes.serve(NodeId::One, bench.addresses[1]).await;
    bench.until("a pair in sync again", |bench| bench.leads(0, 2) && bench.routed(0)).await;
    assert!(bench.has(1, 0..50));
    zero.abort();
    again.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_another_secret_or_number_is_not_believed() {
    let bench = Bench::new().await;
    let other = Nodes::new(Secret::new("another secret of 16").unwrap());
    let (_zero, _one) = (
        other.serve(NodeId::Zero, bench.addresses[0]).await,
        bench.nodes.serve(NodeId::Zero, bench.addresses[1]).await,
    );
    let unknown = |bench: &Bench, node: usize, words: &str| {
        let object = bench.fake.get("mailmirrorpairs", "office").unwrap();
        object["status"]["nodes"][node]["unknown"].as_str().is_some_and(|why| why.contains(words))
    };
    bench.until("the wrong secret", |bench| unknown(bench, 0, "its g_mirror_secret is another one")).await;
    bench.until("the wrong number", |bench| unknown(bench, 1, "node 0 answers at the address of node 1")).await;
    assert_eq!(bench.memory(), Value::Null, "nobody leads");
}
