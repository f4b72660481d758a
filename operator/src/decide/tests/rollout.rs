use super::*;
use crate::authority::SwapWhy;

#[test]
fn every_run_of_a_process_is_told_every_change() {
    let mut scene = Scene::healthy();
    scene.answer(ONE, |status| status.incarnation = Incarnation(999));
    assert_eq!(scene.plan().tell, [ONE], "a new run");
    let mut scene = Scene::healthy();
    scene.record().serial += 1;
    assert_eq!(scene.plan().tell, [ZERO, ONE], "a new record");
    let mut scene = Scene::healthy();
    scene.observed.nodes[0].told = None;
    assert_eq!(scene.plan().tell, [ZERO], "a new operator");
    scene.silence(ZERO, 100);
    assert_eq!(scene.plan().tell, [], "who is silent cannot be told");
}

#[test]
fn who_refused_is_told_again_after_a_while() {
    let mut scene = Scene::healthy();
    let told = scene.observed.nodes[1].told.as_mut().unwrap();
    (told.refused, told.at) = (true, NOW - 1_000);
    let plan = scene.plan();
    assert_eq!((plan.tell.len(), plan.wake_at), (0, Some(NOW + 4_000)));
    scene.now += 4_000;
    assert_eq!(scene.plan().tell, [ONE]);
}

#[test]
fn a_wrong_label_goes_and_a_right_one_follows_what_the_node_says() {
    let mut scene = Scene::healthy();
    scene.pod(ONE).label = Some(Role::Master);
    let plan = scene.plan();
    assert_eq!((plan.unroute.as_slice(), plan.route.len()), (&[ONE][..], 0));
    scene.pod(ONE).label = None;
    assert_eq!(scene.plan().route, [(ONE, Role::Slave)]);
    scene.answer(ONE, |status| status.role = Role::None);
    assert_eq!(scene.plan().route, [], "not before it plays the role");
    scene.answer(ONE, |status| status.role = Role::Slave);
    scene.pod(ONE).terminating = true;
    assert_eq!(scene.plan().route, [], "not when it goes");
}

#[test]
fn a_silent_master_keeps_its_label_until_it_is_lost() {
    let mut scene = Scene::healthy();
    scene.silence(ZERO, 100);
    assert_eq!(scene.plan().unroute, []);
}

#[test]
fn an_update_takes_the_slave_then_swaps_then_takes_the_other() {
    let mut scene = Scene::healthy();
    scene.observed.update_revision = Some("r2".into());
    assert_eq!(scene.plan().restart, [ONE]);
    scene.pod(ONE).terminating = true;
    assert_eq!(scene.plan().restart, []);
    scene.pod(ONE).terminating = false;
    scene.pod(ONE).revision = Some("r2".into());
    scene.record().members = vec![member(ZERO)];
    let plan = scene.plan();
    assert_eq!((plan.restart.len(), plan.write), (0, None), "it waits until the slave is a member again");
    assert_eq!(plan.progress.unwrap().reason, Reason::UpdateWaiting);
    scene.record().members.push(member(ONE));
    assert_eq!(scene.plan().write.unwrap().swap.unwrap().why, SwapWhy::Update);
}

#[test]
fn a_pod_that_cannot_start_is_made_anew_with_the_new_revision() {
    let mut scene = Scene::healthy();
    scene.observed.update_revision = Some("r2".into());
    scene.silence(ONE, 60_000);
    scene.pod(ONE).stuck = Some("ImagePullBackOff".into());
    assert_eq!(scene.plan().restart, [ONE]);
    scene.pod(ONE).revision = Some("r2".into());
    assert_eq!(scene.plan().restart, [], "the new one is as bad: that is for a person");
}

#[test]
fn nothing_is_made_anew_while_the_controller_has_not_seen_the_template() {
    let mut scene = Scene::healthy();
    scene.observed.update_revision = None;
    assert_eq!(scene.plan(), Plan::default());
}
