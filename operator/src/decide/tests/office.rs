use super::*;
use mailmirror_control::record::{Ready, Wish};

fn wish(scene: &mut Scene) {
    let wish = Wish {
        node: ZERO,
        epoch: Epoch(2),
        incarnation: status(ZERO).incarnation,
        store: store(ZERO),
        seen: grant_number(0),
    };
    scene.answer(ZERO, |status| status.wish = Some(wish));
}

fn ready(scene: &mut Scene, grant: u64) {
    let ready =
        Ready { node: ZERO, epoch: Epoch(2), grant: grant_number(grant), store: store(ZERO), slave_store: store(ONE) };
    scene.answer(ZERO, |status| status.ready = Some(ready));
}

fn alone() -> Scene {
    let mut scene = Scene::healthy();
    scene.record().members = vec![member(ZERO)];
    scene.record().grant = grant_number(1);
    scene.memory().volumes[1] = None;
    scene.settle();
    scene
}

#[test]
fn a2_a_wish_is_granted_and_the_set_shrinks_in_the_same_write() {
    let mut scene = Scene::healthy();
    scene.silence(ONE, 2_000);
    wish(&mut scene);
    let plan = scene.follow();
    let record = plan.write.unwrap().record;
    assert_eq!((record.members.as_slice(), record.grant), (&[member(ZERO)][..], grant_number(1)));
    assert_eq!(plan.tell, [], "nobody is told before it is written");
    assert_eq!(scene.plan().tell, [ZERO], "then the master is told");
}

#[test]
fn a2_a_wish_is_served_while_paused() {
    let mut scene = Scene::healthy();
    wish(&mut scene);
    scene.policy.paused = true;
    assert!(scene.plan().write.is_some());
}

#[test]
fn a2_a_wish_of_another_store_run_or_epoch_is_not_granted() {
    let mut scene = Scene::healthy();
    wish(&mut scene);
    let wishes: [fn(&mut Wish); 2] = [|wish| wish.store = StoreId(99), |wish| wish.epoch = Epoch(4)];
    for change in wishes {
        let mut scene = Scene::healthy();
        wish(&mut scene);
        scene.answer(ZERO, |status| change(status.wish.as_mut().unwrap()));
        assert_eq!(scene.plan().write, None);
    }
    scene.observed.nodes[0].volume = VolumeView::Bound { uid: "restored".into() };
    assert!(
        scene.plan().write.is_none_or(|memory| memory.record.holder == ONE),
        "a restored volume is not granted (A5)"
    );
}

#[test]
fn a3_the_slave_joins_by_a_report_with_the_latest_grant() {
    let mut scene = alone();
    ready(&mut scene, 0);
    assert_eq!(scene.plan().write, None, "an old grant number");
    ready(&mut scene, 1);
    let memory = scene.plan().write.unwrap();
    assert_eq!(memory.record.members, [member(ZERO), member(ONE)]);
    assert_eq!(memory.volumes[1].as_deref(), Some("claim-1"));
}

#[test]
fn a3_a_report_that_does_not_fit_what_the_slave_says_is_not_written() {
    let changes: [fn(&mut Scene); 4] = [
        |scene| scene.answer(ONE, |status| status.store = StoreId(99)),
        |scene| scene.answer(ONE, |status| status.incarnation = Incarnation(999)),
        |scene| scene.answer(ZERO, |status| status.link = Link::Disconnected { since: 0, error: None }),
        |scene| scene.observed.nodes[1].volume = VolumeView::Unknown,
    ];
    for change in changes {
        let mut scene = alone();
        ready(&mut scene, 1);
        change(&mut scene);
        assert_eq!(scene.plan().write, None);
    }
}

#[test]
fn a5_a_slave_on_another_volume_is_no_member_whatever_its_store_says() {
    let mut scene = Scene::healthy();
    scene.observed.nodes[1].volume = VolumeView::Bound { uid: "restored".into() };
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.record.members.as_slice(), &memory.volumes[1]), (&[member(ZERO)][..], &None));
    scene.settle();
    ready(&mut scene, 0);
    assert_eq!(scene.plan().write.unwrap().volumes[1].as_deref(), Some("restored"), "it joins again by A3");
}

#[test]
fn another_policy_is_written_down() {
    let mut scene = Scene::healthy();
    scene.policy.acknowledgement = AckPolicy::Local;
    let record = scene.follow().write.unwrap().record;
    assert_eq!((record.policy, record.members.as_slice()), (AckPolicy::Local, &[member(ZERO)][..]));
}
