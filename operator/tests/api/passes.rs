use crate::fake::{Fake, Fault};
use http::Method;
use mailmirror_operator::api::MailMirrorPair;
use mailmirror_operator::observe::{Answers, Clock, World};
use mailmirror_operator::reconcile::{Context, Guarded, reconcile};
use mailmirror_operator::telemetry::Metrics;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

fn manifest() -> Value {
    json!({
        "apiVersion": "mailmirror.dev/v1alpha1",
        "kind": "MailMirrorPair",
        "metadata": { "name": "office", "namespace": "mail", "uid": "pair-uid", "generation": 1 },
        "spec": { "storage": { "size": "1Gi" }, "domains": ["example.com"] },
    })
}

pub fn pair() -> MailMirrorPair {
    serde_json::from_value(manifest()).unwrap()
}

/// An operator with its caches, without the process around it.
struct Bench {
    fake: Fake,
    context: Arc<Context>,
    _triggers: mpsc::Receiver<mailmirror_operator::observe::PairKey>,
}

impl Bench {
    async fn new(manifest: Value) -> Self {
        let fake = Fake::new();
        fake.put("mailmirrorpairs", "office", manifest);
        Self::on(fake).await
    }

    async fn on(fake: Fake) -> Self {
        let (trigger, triggers) = mpsc::channel(10_000);
        let (world, writers) = World::new();
        let metrics = Arc::new(Metrics::new(Arc::clone(&world.watch_failures)));
        let keeper = (world.clone(), fake.client(), trigger.clone());
        tokio::spawn(async move { keeper.0.keep(keeper.1, Some("mail"), writers, keeper.2).await });
        world.wait_until_ready().await;
        let clock = Clock::start();
        let answers = Answers::new(clock, trigger);
        let context = Context::new(fake.client(), world, answers, clock, "image:1".into(), "test", metrics);
        Self { fake, context: Arc::new(context), _triggers: triggers }
    }

    async fn pass(&self) {
        let object: Guarded = serde_json::from_value(self.fake.get("mailmirrorpairs", "office").unwrap()).unwrap();
        reconcile(Arc::new(object), Arc::clone(&self.context)).await.unwrap();
        // The caches hear of what was written.
        sleep(Duration::from_millis(100)).await;
    }

    /// Passes until nothing is written any more.
    async fn settle(&self) {
        for _ in 0..12 {
            self.fake.requests();
            self.pass().await;
            if !self.fake.requests().iter().any(|(method, path)| *method != Method::GET && !path.contains("/events")) {
                return;
            }
        }
        panic!("it never settles");
    }

    fn condition(&self, kind: &str) -> Value {
        let object = self.fake.get("mailmirrorpairs", "office").unwrap();
        let all = object["status"]["conditions"].as_array().unwrap();
        all.iter().find(|condition| condition["type"] == kind).unwrap().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_pair_gets_its_children_and_a_complete_status() {
    let bench = Bench::new(manifest()).await;
    bench.pass().await;
    for (plural, name) in [
        ("serviceaccounts", "office"),
        ("configmaps", "office"),
        ("services", "office"),
        ("services", "office-mx2"),
        ("services", "office-peers"),
        ("poddisruptionbudgets", "office"),
        ("networkpolicies", "office"),
        ("statefulsets", "office"),
        ("secrets", "office-mirror"),
    ] {
        let child = bench.fake.get(plural, name).unwrap();
        assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], "pair-uid", "{plural}/{name}");
    }
    let object = bench.fake.get("mailmirrorpairs", "office").unwrap();
    assert_eq!(object["status"]["conditions"].as_array().unwrap().len(), 8);
    assert_eq!(object["status"]["observedGeneration"], 1);
    assert_eq!(bench.condition("Ready")["reason"], "WaitingForNodes");
    assert!(bench.fake.get("leases", "office-mirror").is_none(), "nobody leads before the nodes have answered");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_and_no_child_is_asked_for_while_nothing_changes() {
    let bench = Bench::new(manifest()).await;
    bench.settle().await;
    for _ in 0..20 {
        bench.pass().await;
        sleep(Duration::from_secs(15)).await;
    }
    let requests = bench.fake.requests();
    assert!(requests.iter().all(|(method, _)| *method == Method::GET), "{requests:?}");
    let others = requests.iter().filter(|(_, path)| !path.contains("/leases/") && !path.contains("/secrets/"));
    assert_eq!(others.count(), 0, "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn a_child_that_a_hand_changed_or_deleted_is_repaired() {
    let bench = Bench::new(manifest()).await;
    bench.settle().await;
    let before = bench.fake.snapshot();
    let mut service = bench.fake.get("services", "office").unwrap();
    service["spec"]["selector"]["mailmirror.dev/role"] = "slave".into();
    bench.fake.put("services", "office", service);
    bench.fake.delete("configmaps", "office");
    sleep(Duration::from_millis(100)).await;
    bench.settle().await;
    assert_eq!(bench.fake.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_fault_at_any_request_changes_nothing_of_where_it_ends() {
    let bench = Bench::new(manifest()).await;
    bench.settle().await;
    let (whole, mut number) = (bench.fake.snapshot(), 0);
    loop {
        let mut hit = false;
        for fault in Fault::ALL {
            let bench = Bench::new(manifest()).await;
            bench.fake.fail(number, fault);
            bench.settle().await;
            assert_eq!(bench.fake.snapshot(), whole, "{fault:?} at request {number}");
            hit |= bench.fake.fault_was_met();
        }
        if !hit {
            break;
        }
        number += 1;
    }
    assert!(number > 15, "the faults were met: {number}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_is_started_anew_writes_nothing() {
    let first = Bench::new(manifest()).await;
    first.settle().await;
    let version = first.fake.get("mailmirrorpairs", "office").unwrap()["metadata"]["resourceVersion"].clone();
    let children = first.fake.snapshot();
    let second = Bench::on(first.fake.clone()).await;
    second.settle().await;
    assert_eq!(second.fake.get("mailmirrorpairs", "office").unwrap()["metadata"]["resourceVersion"], version);
    assert_eq!(second.fake.snapshot(), children);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_is_left_alone_and_named() {
    let fake = Fake::new();
    fake.put("mailmirrorpairs", "office", manifest());
    fake.put("services", "office", json!({ "metadata": {}, "spec": { "selector": { "app": "somebody's" } } }));
    let bench = Bench::on(fake).await;
    bench.pass().await;
    assert_eq!(bench.fake.get("services", "office").unwrap()["spec"]["selector"], json!({ "app": "somebody's" }));
    let stalled = bench.condition("Stalled");
    assert_eq!((&stalled["status"], &stalled["reason"]), (&json!("True"), &json!("ForeignObject")));
    assert!(stalled["message"].as_str().unwrap().contains("Service office exists"), "{stalled}");
    assert_eq!(bench.condition("Ready")["status"], "False");
    assert!(bench.fake.get("statefulsets", "office").is_some(), "the other children are made");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_named_with_the_command_and_found_when_it_comes() {
    let mut manifest = manifest();
    manifest["spec"]["secret"] = json!({ "name": "shared", "key": "mirror" });
    let bench = Bench::new(manifest).await;
    bench.pass().await;
    let stalled = bench.condition("Stalled");
    assert_eq!(stalled["reason"], "SecretMissing");
    let command = "kubectl -n mail create secret generic shared --from-literal=mirror=$(openssl rand -hex 32)";
    assert!(stalled["message"].as_str().unwrap().contains(command), "{stalled}");
    assert!(bench.fake.get("secrets", "shared").is_none(), "a Secret that a person names is the person's");
    let good =
        json!({ "kind": "Secret", "metadata": {}, "stringData": { "mirror": "0123456789abcdef0123456789abcdef" } });
    bench.fake.put("secrets", "shared", good);
    bench.pass().await;
    assert_eq!(bench.condition("Stalled")["status"], "False");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_says_so() {
    let mut manifest = manifest();
    manifest["spec"]["storage"] = json!("big");
    let bench = Bench::new(manifest).await;
    bench.pass().await;
    let ready = bench.condition("Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("InvalidObject")));
    assert!(bench.fake.get("statefulsets", "office").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_paused_pair_gets_no_children() {
    let mut manifest = manifest();
    manifest["spec"]["reconciliation"] = "Paused".into();
    let bench = Bench::new(manifest).await;
    bench.settle().await;
    assert!(bench.fake.get("statefulsets", "office").is_none());
    assert_eq!(bench.condition("Progressing")["reason"], "Paused");
}

#[tokio::test(start_paused = true)]
async fn the_image_stays_until_the_object_names_one() {
    let bench = Bench::new(manifest()).await;
    bench.settle().await;
    let image = |bench: &Bench| {
        let set = bench.fake.get("statefulsets", "office").unwrap();
        set["spec"]["template"]["spec"]["containers"][0]["image"].clone()
    };
    let mut set = bench.fake.get("statefulsets", "office").unwrap();
    set["spec"]["template"]["spec"]["containers"][0]["image"] = "image:0".into();
    bench.fake.put("statefulsets", "office", set);
    sleep(Duration::from_millis(100)).await;
    bench.settle().await;
    assert_eq!(image(&bench), "image:0", "the operator's default is another one by now");
    let mut object = bench.fake.get("mailmirrorpairs", "office").unwrap();
    object["spec"]["image"] = "image:2".into();
    bench.fake.put("mailmirrorpairs", "office", object);
    bench.settle().await;
    assert_eq!(image(&bench), "image:2");
}

#[tokio::test(start_paused = true)]
async fn storage_grows_by_claims_and_a_new_set_around_the_pods() {
    let bench = Bench::new(manifest()).await;
    bench.settle().await;
    let labels = json!({ "app.kubernetes.io/managed-by": "mailmirror-operator", "mailmirror.dev/pair": "office" });
    for name in ["data-office-0", "data-office-1"] {
        let claim = json!({ "metadata": { "labels": labels }, "spec": { "volumeName": "pv" } });
        bench.fake.put("persistentvolumeclaims", name, claim);
    }
    let mut object = bench.fake.get("mailmirrorpairs", "office").unwrap();
    object["spec"]["storage"]["size"] = "2Gi".into();
    bench.fake.put("mailmirrorpairs", "office", object);
    sleep(Duration::from_millis(100)).await;
    bench.settle().await;
    let claim = bench.fake.get("persistentvolumeclaims", "data-office-1").unwrap();
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
    let set = bench.fake.get("statefulsets", "office").unwrap();
    assert_eq!(set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"], "2Gi");
}
