use super::*;
use crate::authority::{SwapEnd, SwapResult, SwapTask, SwapWhy};
use mailmirror_control::status::SwapProgress;

#[test]
fn a4_a_lost_master_is_unrouted_and_the_member_promoted() {
    let mut scene = Scene::healthy();
    scene.silence(ZERO, 1_000);
    let plan = scene.follow();
    assert_eq!(plan.unroute, [ZERO, ONE]);
    let memory = plan.write.unwrap();
    assert_eq!((memory.record.holder, memory.record.epoch, memory.record.gap), (ONE, Epoch(3), false));
    assert_eq!((memory.record.members.as_slice(), memory.last_failover), (&[member(ONE)][..], Some(NOW)));
    assert_eq!(plan.events[0].reason, Reason::Promoted);
    let next = scene.plan();
    assert_eq!((next.tell.as_slice(), next.route.len()), (&[ONE][..], 0), "told before it is routed");
    scene.answer(ONE, |status| {
        status.role = Role::Master;
        status.obeyed.as_mut().unwrap().epoch = Epoch(3);
    });
    assert_eq!(scene.plan().route, [(ONE, Role::Master)]);
}

#[test]
fn silence_shorter_than_the_delay_is_waited_for() {
    let mut scene = Scene::healthy();
    scene.silence(ZERO, 400);
    let plan = scene.plan();
    assert_eq!((plan.write, plan.wake_at), (None, Some(NOW + 600)));
}

#[test]
fn a4_nobody_outside_the_set_is_promoted() {
    type Change = fn(&mut Scene);
    let rows: [(&str, Change, Reason); 5] = [
        ("not in the set", |scene| scene.record().members = vec![member(ZERO)], Reason::SlaveNotInSync),
        ("another store", |scene| scene.answer(ONE, |status| status.store = StoreId(99)), Reason::SlaveNotInSync),
        ("silent too", |scene| scene.silence(ONE, 5_000), Reason::NobodyAnswers),
        ("manual", |scene| scene.policy.automatic_failover = false, Reason::ManualFailover),
        ("just failed over", |scene| scene.memory().last_failover = Some(NOW - 5_000), Reason::TooSoon),
    ];
    for (name, change, reason) in rows {
        let mut scene = Scene::healthy();
        scene.silence(ZERO, 60_000);
        change(&mut scene);
        let plan = scene.plan();
        assert_eq!((plan.write, plan.unroute.len()), (None, 0), "{name}");
        assert_eq!(plan.blocked.unwrap().reason, reason, "{name}");
    }
}

#[test]
fn a5_a_member_on_another_volume_is_not_promoted() {
    let mut scene = Scene::healthy();
    scene.silence(ZERO, 60_000);
    scene.observed.nodes[1].volume = VolumeView::Bound { uid: "restored".into() };
    assert_eq!(scene.follow().write.unwrap().record.members, [member(ZERO)]);
    assert_eq!(scene.plan().blocked.unwrap().reason, Reason::SlaveNotInSync);
}

#[test]
fn a_master_that_the_slave_still_hears_lives_unless_its_pod_has_ended() {
    let mut scene = Scene::healthy();
    scene.silence(ZERO, 60_000);
    scene.answer(ONE, |status| status.link = connected(ZERO));
    assert_eq!(scene.plan().blocked.unwrap().reason, Reason::MasterStillLinked);
    scene.pod(ZERO).stopped = true;
    assert!(scene.plan().write.is_some(), "the link of a dead process is only not noticed yet");
}

#[test]
fn a_master_that_comes_back_empty_follows_and_the_member_leads() {
    let mut scene = Scene::healthy();
    scene.answer(ZERO, |status| {
        status.store = StoreId(99);
        status.role = Role::None;
        status.obeyed = None;
    });
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.record.holder, memory.record.members.as_slice()), (ONE, &[member(ONE)][..]));
    assert_eq!(scene.plan().tell, [ZERO, ONE]);
}

#[test]
fn a_restored_volume_of_the_master_does_not_lead() {
    let mut scene = Scene::healthy();
    scene.observed.nodes[0].volume = VolumeView::Bound { uid: "restored".into() };
    assert_eq!(scene.plan().write.unwrap().record.holder, ONE);
    scene.record().members = vec![member(ZERO)];
    scene.observed.nodes[0].told = None;
    let plan = scene.plan();
    assert_eq!((plan.write, plan.tell.as_slice()), (None, &[][..]), "nor is it told to lead while nobody else can");
    assert_eq!(plan.blocked.unwrap().reason, Reason::SlaveNotInSync);
}

#[test]
fn nobody_is_told_to_throw_away_a_slave_that_is_only_silent() {
    let mut scene = Scene::healthy();
    scene.silence(ONE, 60_000);
    scene.answer(ZERO, |status| status.store = StoreId(99));
    let blocked = scene.plan().blocked.unwrap();
    assert_eq!(blocked.reason, Reason::SlaveSilent);
    assert!(blocked.message.contains("bring office-1 back, it has the mail. Only if"), "{}", blocked.message);
}

#[test]
fn accepted_loss_names_its_epoch_waits_for_the_stop_and_is_used_up() {
    let mut scene = Scene::healthy();
    scene.record().members = vec![member(ZERO)];
    scene.silence(ZERO, 60_000);
    let message = scene.plan().blocked.unwrap().message;
    assert!(
        message
            .contains("kubectl -n mail annotate mmp/office --overwrite mailmirror.dev/accept-loss=promote=1,epoch=2"),
        "{message}"
    );
    scene.policy.accept_loss = Some("promote=1,epoch=1".into());
    assert_eq!(scene.plan().write, None, "another epoch");
    scene.policy.accept_loss = Some("promote=1,epoch=2".into());
    assert_eq!(scene.plan().blocked.unwrap().reason, Reason::WaitingForStop);
    scene.pod(ZERO).stopped = true;
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.record.holder, memory.record.gap, memory.record.epoch), (ONE, true, Epoch(3)));
    assert_eq!(memory.accepted.as_deref(), Some("promote=1,epoch=2"));
    assert_eq!(scene.plan().write, None);
}

#[test]
fn accepted_loss_is_ignored_while_the_master_is_well() {
    let mut scene = Scene::healthy();
    scene.policy.accept_loss = Some("promote=1,epoch=2,stopped".into());
    assert_eq!(scene.plan().write, None);
}

#[test]
fn under_local_the_lag_that_was_known_last_decides() {
    let rows = [(0, Some(0), true), (0, Some(1), false), (5, Some(5), true), (5, None, false)];
    for (accepted, lag, promoted) in rows {
        let mut scene = Scene::healthy();
        scene.policy.acknowledgement = AckPolicy::Local;
        scene.policy.lag_max_entries = accepted;
        let next = scene.record().with_policy(AckPolicy::Local);
        *scene.record() = next;
        scene.settle();
        scene.answer(ZERO, |status| status.lag_entries = lag);
        scene.silence(ZERO, 5_000);
        let plan = scene.plan();
        assert_eq!(plan.write.is_some(), promoted, "accepted {accepted}, lag {lag:?}");
        match plan.write {
            Some(memory) => assert!(memory.record.gap, "U1: a promotion under local begins with a gap"),
            None => assert_eq!(plan.blocked.unwrap().reason, Reason::LagTooLarge),
        }
    }
}

#[test]
fn manual_failover_is_carried_out_by_an_order() {
    let mut scene = Scene::healthy();
    scene.policy.automatic_failover = false;
    scene.silence(ZERO, 60_000);
    scene.policy.order = MasterOrder::Node(ONE);
    let memory = scene.plan().write.unwrap();
    assert_eq!((memory.record.holder, memory.handled_order), (ONE, Some(MasterOrder::Node(ONE))));
}

#[test]
fn s1_an_order_is_used_up_once_and_a_failover_does_not_bring_it_back() {
    let mut scene = Scene::healthy();
    scene.policy.order = MasterOrder::Node(ZERO);
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.handled_order, memory.record.serial), (Some(MasterOrder::Node(ZERO)), 1));
    scene.silence(ZERO, 5_000);
    scene.follow();
    scene.observed.nodes[0].answer = Answer::Status(Box::new(status(ZERO)));
    scene.record().members.push(member(ZERO));
    scene.settle();
    assert_eq!(scene.plan(), Plan::default(), "node 1 stays master although the order says 0");
}

fn swapping() -> Scene {
    let mut scene = Scene::healthy();
    scene.policy.order = MasterOrder::Node(ONE);
    let plan = scene.follow();
    assert_eq!(plan.events[0].reason, Reason::SwapBegan);
    scene
}

fn sealed(scene: &mut Scene, number: u64) {
    let position = Position { epoch: Epoch(2), seq: Seq(9) };
    scene.answer(ZERO, |status| status.swap = Some(SwapProgress::Sealed { number, position }));
}

#[test]
fn a10_a_swap_holds_seals_promotes_and_routes_in_this_order() {
    let mut scene = swapping();
    assert_eq!(scene.memory().swap, Some(SwapTask { to: ONE, why: SwapWhy::Order, began: NOW }));
    let plan = scene.plan();
    assert_eq!((plan.tell, plan.wake_at), (vec![ZERO, ONE], Some(NOW + 30_000)));
    scene.settle();
    sealed(&mut scene, 7);
    assert_eq!(scene.plan().write, None, "the seal of another swap");
    sealed(&mut scene, 1);
    scene.now += 200;
    let plan = scene.follow();
    assert_eq!(plan.unroute, [ZERO, ONE]);
    let memory = plan.write.unwrap();
    assert_eq!((memory.record.holder, memory.record.epoch, memory.record.gap), (ONE, Epoch(3), false));
    assert_eq!((memory.record.swap, memory.swap), (None, None));
    assert_eq!(memory.last_swap.unwrap().result, SwapResult::Done);
    assert_eq!(scene.plan().tell, [ZERO, ONE]);
}

#[test]
fn a10_a_swap_that_takes_too_long_is_given_up_and_not_begun_again() {
    let mut scene = swapping();
    scene.settle();
    scene.now += 30_000;
    let plan = scene.follow();
    assert_eq!(plan.events[0].reason, Reason::SwapTimedOut);
    let memory = plan.write.unwrap();
    assert_eq!((memory.record.holder, memory.record.swap), (ZERO, None));
    scene.settle();
    assert_eq!(scene.plan(), Plan::default(), "the order is used up");
}

#[test]
fn a10_a_swap_is_called_off_when_it_is_recalled_or_the_target_leaves_the_set() {
    let changes: [fn(&mut Scene); 3] = [
        |scene| scene.policy.order = MasterOrder::Node(ZERO),
        |scene| scene.record().members = vec![member(ZERO)],
        |scene| scene.answer(ONE, |status| status.store = StoreId(99)),
    ];
    for change in changes {
        let mut scene = swapping();
        scene.settle();
        change(&mut scene);
        let plan = scene.plan();
        assert_eq!(plan.events[0].reason, Reason::SwapCancelled);
        assert_eq!(plan.write.unwrap().record.holder, ZERO);
    }
}

#[test]
fn a_master_lost_in_a_swap_is_failed_over() {
    let mut scene = swapping();
    scene.settle();
    scene.silence(ZERO, 2_000);
    let memory = scene.plan().write.unwrap();
    assert_eq!((memory.record.holder, memory.last_swap.unwrap().result), (ONE, SwapResult::Overtaken));
}

#[test]
fn a_swap_waits_for_its_precheck() {
    type Change = fn(&mut Scene);
    let changes: [(&str, Change); 4] = [
        ("not connected", |scene| {
            scene.answer(ZERO, |status| status.link = Link::Disconnected { since: 0, error: None });
        }),
        ("not in sync", |scene| scene.record().members = vec![member(ZERO)]),
        ("does not answer", |scene| scene.silence(ONE, 100)),
        ("resync", |scene| {
            scene.answer(ONE, |status| {
                status.progress = Some(mailmirror_control::status::Progress {
                    what: "resync".into(),
                    done: 0,
                    total: None,
                    done_bytes: 0,
                    since: 0,
                });
            });
        }),
    ];
    for (words, change) in changes {
        let mut scene = Scene::healthy();
        scene.policy.order = MasterOrder::Node(ONE);
        change(&mut scene);
        let plan = scene.plan();
        let progress = plan.progress.unwrap();
        assert_eq!((plan.write, progress.reason), (None, Reason::SwapWaiting), "{words}");
        assert!(progress.message.contains(words), "{words}: {}", progress.message);
    }
}

#[test]
fn the_annotation_swaps_once_for_each_value() {
    let mut scene = Scene::healthy();
    scene.policy.swap = Some("now".into());
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.swap.unwrap().why, memory.handled_swap.as_deref()), (SwapWhy::Annotation, Some("now")));
    let mut used = Scene::healthy();
    used.policy.swap = Some("now".into());
    used.memory().handled_swap = Some("now".into());
    assert_eq!(used.plan(), Plan::default());
}

#[test]
fn a_master_that_has_to_go_is_swapped_first() {
    let changes: [fn(&mut PodView); 2] = [|pod| pod.terminating = true, |pod| pod.cordoned = true];
    for change in changes {
        let mut scene = Scene::healthy();
        change(scene.pod(ZERO));
        assert_eq!(scene.plan().write.unwrap().swap.unwrap().why, SwapWhy::Drain);
        scene.pod(ONE).cordoned = true;
        assert_eq!(scene.plan().write, None, "there is nowhere to go");
    }
}

#[test]
fn a_swap_of_its_own_accord_that_failed_is_not_repeated_at_once() {
    let mut scene = Scene::healthy();
    scene.pod(ZERO).cordoned = true;
    let task = SwapTask { to: ONE, why: SwapWhy::Drain, began: NOW - 31_000 };
    scene.memory().last_swap = Some(SwapEnd { number: 1, task, ended: NOW - 1_000, result: SwapResult::TimedOut });
    let plan = scene.plan();
    assert_eq!((plan.write, plan.wake_at), (None, Some(NOW - 1_000 + SWAP_AGAIN_MS)));
}

#[test]
fn nothing_but_the_record_is_kept_while_paused() {
    let mut scene = Scene::healthy();
    scene.policy.paused = true;
    scene.silence(ZERO, 60_000);
    let plan = scene.plan();
    assert_eq!((plan.write, plan.unroute.len(), plan.restart.len()), (None, 0, 0));
    assert_eq!(plan.blocked.unwrap().reason, Reason::Paused);
}
