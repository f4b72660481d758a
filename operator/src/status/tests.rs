#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::{MailMirrorPair, MailMirrorPairStatus};
use crate::authority::{Memory, SwapEnd, SwapResult, SwapTask, SwapWhy};
use crate::decide::{Finding, Plan};
use crate::observe::{Answer, NodeView, Observed, PodView, VolumeView};
use crate::pair::ValidatedPair;
use crate::reason::Reason;
use k8s_openapi::api::core::v1::Service;
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::{Link, NodeStatus, Problem, Role};
use mailmirror_model::ids::{AuthorityId, Incarnation, NodeId, StoreId};
use serde_json::json;

fn node_status(node: NodeId, role: Role) -> NodeStatus {
    let store = |node: NodeId| format!("{:032x}", 10 + u8::from(node));
    serde_json::from_value(json!({
        "version": "1", "node": node, "store": store(node), "incarnation": 1, "startedAt": 0, "role": role,
        "obeyed": null, "inOffice": role == Role::Master, "alone": false, "degradedSince": null, "serving": true,
        "tail": { "epoch": 2, "seq": 5 }, "committed": 5, "applied": 5, "peerFlushed": 5,
        "link": { "state": "Connected", "since": 5000, "peerStore": store(node.peer()), "peerIncarnation": 1 },
        "lagEntries": 0, "oldestUnsentMs": null, "wish": null, "ready": null, "swap": null, "progress": null,
        "counters": { "outAddQueued": 612, "outAddSent": 611, "outAddBytes": 3_343_432, "outDelQueued": 612,
            "outDelSent": 610, "inAdd": 0, "inDel": 0, "inRename": 0, "inFailed": 0 },
        "conflicts": 0, "provenEqual": null, "accounts": 2, "messages": 3, "logBytes": 1, "problems": [],
    }))
    .unwrap()
}

fn view(node: NodeId, role: Role) -> NodeView {
    let pod = PodView {
        uid: "u".into(),
        ip: None,
        label: Some(role),
        ready: true,
        terminating: false,
        stopped: false,
        host_lost: false,
        cordoned: false,
        revision: None,
        stuck: None,
    };
    let answer = Answer::Status(Box::new(node_status(node, role)));
    NodeView { pod: Some(pod), volume: VolumeView::Bound { uid: format!("v{node}") }, answer, told: None }
}

struct Scene {
    pair: ValidatedPair,
    observed: Observed,
    memory: Memory,
    plan: Plan,
    stalled: Option<Finding>,
}

fn healthy() -> Scene {
    let object = json!({
        "apiVersion": "mailmirror.dev/v1alpha1", "kind": "MailMirrorPair",
        "metadata": { "name": "office", "namespace": "mail", "uid": "u", "generation": 4 },
        "spec": { "storage": { "size": "1Gi" }, "domains": ["example.com"], "hostname": "mail.example.com" },
    });
    let pair = ValidatedPair::new(&serde_json::from_value::<MailMirrorPair>(object).unwrap()).unwrap();
    let member = |node: NodeId| Member { node, store: StoreId(10 + u128::from(u8::from(node))) };
    let mut record = Record::first(AuthorityId(1), AckPolicy::Peer, member(NodeId::Zero), None);
    record.members.push(member(NodeId::One));
    let mut memory = Memory::new(record);
    memory.mirrored_once = true;
    let observed =
        Observed { nodes: [view(NodeId::Zero, Role::Master), view(NodeId::One, Role::Slave)], update_revision: None };
    Scene { pair, observed, memory, plan: Plan::default(), stalled: None }
}

impl Scene {
    fn status(&self, before: Option<&MailMirrorPairStatus>, now: u64) -> MailMirrorPairStatus {
        let facts = Facts {
            pair: &self.pair,
            observed: &self.observed,
            memory: Some(&self.memory),
            plan: &self.plan,
            stalled: self.stalled.clone(),
            pending: None,
        };
        status(&facts, [None, None], before, now)
    }

    fn change(&mut self, node: NodeId, change: impl FnOnce(&mut NodeStatus)) {
        let Answer::Status(status) = &mut self.observed.nodes[node.index()].answer else { panic!("silent") };
        change(status);
    }

    fn silence(&mut self, node: NodeId) {
        self.observed.nodes[node.index()].answer = Answer::Unknown { why: "refused".into(), since: 0, last: None };
    }

    /// `Ready=True/Serving …` for those that are asked for.
    fn says(&self, kinds: &[&str]) -> Vec<String> {
        let status = self.status(None, 0);
        let asked = |kind: &&str| status.conditions.iter().find(|condition| condition.type_ == **kind).unwrap();
        kinds.iter().map(asked).map(|it| format!("{}={}/{}", it.type_, it.status, it.reason)).collect()
    }
}

#[test]
fn a_healthy_pair_says_so() {
    let scene = healthy();
    let said = scene.says(&[
        "Ready",
        "MasterAvailable",
        "Mirrored",
        "Progressing",
        "Degraded",
        "FailoverBlocked",
        "MasterNotPreferred",
        "Stalled",
    ]);
    assert_eq!(
        said,
        [
            "Ready=True/Serving",
            "MasterAvailable=True/Serving",
            "Mirrored=True/InSync",
            "Progressing=False/UpToDate",
            "Degraded=False/AllWell",
            "FailoverBlocked=False/NotBlocked",
            "MasterNotPreferred=False/AsOrdered",
            "Stalled=False/NotStalled"
        ]
    );
    let status = scene.status(None, 0);
    assert_eq!((status.master.as_deref(), status.slave.as_deref()), (Some("office-0"), Some("office-1")));
    assert_eq!((status.epoch, status.lag, status.observed_generation), (Some(2), Some(0), Some(4)));
    assert_eq!(
        status.nodes[0].mirror_out.as_deref(),
        Some("Mirror out: Que/sent add=612/611 (3343432 bytes) del=612/610")
    );
    assert_eq!(status.nodes[0].mirror_in.as_deref(), Some("Mirror  in: Received add=0 del=0 rename=0 failed=0"));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(4)));
}

#[test]
fn what_is_wrong_has_its_reason_in_the_right_condition() {
    type Change = fn(&mut Scene);
    let rows: [(&str, Change, &[&str]); 9] = [
        (
            "slave silent",
            |scene| scene.silence(NodeId::One),
            &[
                "Ready=True/Serving",
                "Mirrored=False/SlaveSilent",
                "Degraded=True/SlaveSilent",
                "FailoverBlocked=True/SlaveSilent",
            ],
        ),
        ("alone", |scene| scene.change(NodeId::Zero, |status| status.alone = true), &["Degraded=True/RunningAlone"]),
        (
            "not in the set",
            |scene| scene.memory.record.members.truncate(1),
            &["Mirrored=False/CatchingUp", "FailoverBlocked=True/SlaveNotInSync"],
        ),
        (
            "no link",
            |scene| scene.change(NodeId::Zero, |status| status.link = Link::Disconnected { since: 0, error: None }),
            &["Mirrored=False/LinkDown"],
        ),
        (
            "master silent",
            |scene| scene.silence(NodeId::Zero),
            &["Ready=False/MasterSilent", "MasterAvailable=False/MasterSilent"],
        ),
        (
            "another store",
            |scene| scene.change(NodeId::Zero, |status| status.store = StoreId(9)),
            &["MasterAvailable=False/MasterStoreReplaced"],
        ),
        (
            "not in office",
            |scene| scene.change(NodeId::Zero, |status| status.in_office = false),
            &["MasterAvailable=False/MasterStarting"],
        ),
        ("not routed", |scene| scene.observed.nodes[0].pod.as_mut().unwrap().label = None, &["Ready=False/NotRouted"]),
        (
            "a problem",
            |scene| {
                scene.change(NodeId::One, |status| {
                    status.problems.push(Problem { reason: "DiskFull".into(), message: "no room".into() });
                });
            },
            &["Ready=True/Serving", "Degraded=True/NodeProblem"],
        ),
    ];
    for (name, change, expected) in rows {
        let mut scene = healthy();
        change(&mut scene);
        let kinds: Vec<&str> = expected.iter().map(|it| it.split('=').next().unwrap()).collect();
        assert_eq!(scene.says(&kinds), *expected, "{name}");
    }
}

#[test]
fn a_new_pair_is_ready_when_it_was_in_sync_once() {
    let mut scene = healthy();
    scene.memory.mirrored_once = false;
    scene.memory.record.members.truncate(1);
    assert_eq!(scene.says(&["Ready", "Progressing"]), ["Ready=False/NotMirroredYet", "Progressing=True/FirstStart"]);
}

#[test]
fn what_waits_for_a_person_is_not_ready() {
    let mut scene = healthy();
    scene.stalled = Some(Finding { reason: Reason::SecretMissing, message: "create it".into() });
    assert_eq!(scene.says(&["Ready", "Stalled"]), ["Ready=False/SecretMissing", "Stalled=True/SecretMissing"]);
}

#[test]
fn a_transition_keeps_its_time_until_the_status_changes() {
    let mut scene = healthy();
    let before = scene.status(None, 1_000);
    scene.silence(NodeId::One);
    let after = scene.status(Some(&before), 60_000);
    let time = |status: &MailMirrorPairStatus, kind: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        found.last_transition_time.0.as_second()
    };
    assert_eq!((time(&after, "Ready"), time(&after, "Mirrored")), (1, 60));
}

#[test]
fn numbers_alone_are_not_worth_a_write_at_once() {
    let mut scene = healthy();
    let before = scene.status(None, 0);
    assert!(!differs(&scene.status(Some(&before), 99_000), Some(&before), true), "nothing changed");
    scene.change(NodeId::Zero, |status| status.messages += 1);
    let after = scene.status(Some(&before), 1_000);
    assert!(!differs(&after, Some(&before), false) && differs(&after, Some(&before), true));
    scene.change(NodeId::Zero, |status| status.incarnation = Incarnation(2));
    assert!(differs(&scene.status(Some(&before), 1_000), Some(&before), false));
}

#[test]
fn a_master_that_was_not_ordered_has_its_reason() {
    let mut scene = healthy();
    let order = crate::api::MasterOrder::Node(NodeId::One);
    scene.pair.policy.order = order;
    assert_eq!(scene.says(&["MasterNotPreferred"]), ["MasterNotPreferred=True/OrderPending"]);
    scene.memory.handled_order = Some(order);
    scene.memory.last_failover = Some(5);
    assert_eq!(scene.says(&["MasterNotPreferred"]), ["MasterNotPreferred=True/FailedOver"]);
    let task = SwapTask { to: NodeId::One, why: SwapWhy::Order, began: 6 };
    scene.memory.last_swap = Some(SwapEnd { number: 1, task, ended: 9, result: SwapResult::TimedOut });
    assert_eq!(scene.says(&["MasterNotPreferred"]), ["MasterNotPreferred=True/SwapNotDone"]);
    let drained = SwapTask { to: NodeId::Zero, why: SwapWhy::Drain, began: 20 };
    scene.memory.last_swap = Some(SwapEnd { number: 2, task: drained, ended: 21, result: SwapResult::Done });
    assert_eq!(scene.says(&["MasterNotPreferred"]), ["MasterNotPreferred=True/SwappedAway"]);
    scene.memory.last_swap = Some(SwapEnd { number: 1, task, ended: 9, result: SwapResult::TimedOut });
    let report = scene.status(None, 0).last_swap.unwrap();
    assert_eq!((report.result.as_str(), report.took_milliseconds), ("TimedOut", None));
}

#[test]
fn dns_records_are_suggested_with_the_addresses_that_are_known() {
    let scene = healthy();
    let service: Service = serde_json::from_value(
        json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1" }] } } }),
    )
    .unwrap();
    let facts = Facts {
        pair: &scene.pair,
        observed: &scene.observed,
        memory: None,
        plan: &scene.plan,
        stalled: None,
        pending: None,
    };
    let records = status(&facts, [Some(&service), None], None, 0).dns_records;
    assert_eq!(
        records,
        [
            "example.com. IN MX 10 mail.example.com.",
            "example.com. IN MX 20 mx2.mail.example.com.",
            "mail.example.com. IN A 192.0.2.1",
            "mail.example.com. IN AAAA 2001:db8::1"
        ]
    );
}
