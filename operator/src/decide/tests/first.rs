use super::*;

#[test]
fn the_first_master_is_the_ordered_one_and_both_stores_have_answered() {
    for (order, expected) in [(MasterOrder::Any, ZERO), (MasterOrder::Node(ZERO), ZERO), (MasterOrder::Node(ONE), ONE)]
    {
        let mut scene = Scene::new();
        scene.policy.order = order;
        let memory = scene.follow().write.unwrap();
        assert_eq!(memory.record.members, [member(expected)]);
        assert_eq!((memory.record.holder, memory.record.authority), (expected, FRESH));
        assert_eq!(memory.handled_order, Some(order));
        assert_eq!(memory.volumes[expected.index()], Some(format!("claim-{expected}")));
    }
}

#[test]
fn a_first_master_waits_for_the_other_store_unless_there_certainly_is_none() {
    let mut scene = Scene::new();
    scene.silence(ONE, 60_000);
    assert_eq!(scene.plan().write, None);
    assert_eq!(scene.plan().progress.unwrap().reason, Reason::WaitingForNodes);
    scene.observed.nodes[1].volume = VolumeView::Unknown;
    assert_eq!(scene.plan().write, None);
    for volume in [VolumeView::Absent, VolumeView::Pending] {
        scene.observed.nodes[1].volume = volume;
        assert_eq!(scene.plan().write.unwrap().record.holder, ZERO);
    }
}

#[test]
fn the_only_one_that_can_come_is_first_and_the_order_stays_open() {
    let mut scene = Scene::new();
    scene.policy.order = MasterOrder::Node(ONE);
    scene.silence(ONE, 60_000);
    scene.observed.nodes[1].volume = VolumeView::Pending;
    let memory = scene.follow().write.unwrap();
    assert_eq!((memory.record.holder, memory.handled_order), (ZERO, None));
}

#[test]
fn u8_an_empty_store_never_leads_a_better_one() {
    let mut scene = Scene::new();
    scene.answer(ONE, |status| status.messages = 5);
    assert_eq!(scene.plan().write.unwrap().record.holder, ONE);
    scene.answer(ZERO, |status| status.accounts = 1);
    let plan = scene.plan();
    assert_eq!((plan.write, plan.blocked.unwrap().reason), (None, Reason::TwoStores));
    scene.policy.accept_loss = Some("promote=1,epoch=0".into());
    assert_eq!(scene.plan().write.unwrap().record.holder, ONE);
}

#[test]
fn a7_a_lost_record_is_made_anew_above_all_reports_by_who_led_last() {
    let mut scene = Scene::healthy();
    scene.memory = None;
    let memory = scene.plan().write.unwrap();
    assert_eq!((memory.record.holder, memory.record.authority, memory.record.epoch), (ZERO, FRESH, Epoch(4)));
    assert_eq!(memory.record.members, [member(ZERO)], "the slave joins again by A3");
    assert!(!memory.record.gap);
    scene.answer(ONE, |status| status.obeyed.as_mut().unwrap().grant = grant_number(3));
    assert_eq!(scene.plan().write.unwrap().record.grant, grant_number(3), "nodes do not go back below a grant");
}

#[test]
fn a7_a_lost_record_waits_for_both_stores_or_a_person() {
    let mut scene = Scene::healthy();
    scene.memory = None;
    scene.silence(ONE, 60_000);
    let blocked = scene.plan().blocked.unwrap();
    assert_eq!(blocked.reason, Reason::RecordLost);
    assert!(blocked.message.contains("mailmirror.dev/accept-loss=promote=0,epoch=2"), "{}", blocked.message);
    scene.policy.accept_loss = Some("promote=0,epoch=2".into());
    assert_eq!(scene.plan().blocked.unwrap().reason, Reason::WaitingForStop, "the other one may still run");
    scene.policy.accept_loss = Some("promote=0,epoch=2,stopped".into());
    let memory = scene.plan().write.unwrap();
    assert!(memory.record.gap);
    assert_eq!(memory.record.epoch, Epoch(4));
}

#[test]
fn a7_a_leader_that_has_not_heard_of_its_last_epoch_leads_again() {
    let mut scene = Scene::healthy();
    scene.memory = None;
    scene.answer(ONE, |status| status.obeyed.as_mut().unwrap().epoch = Epoch(4));
    let record = scene.plan().write.unwrap().record;
    assert_eq!((record.holder, record.epoch), (ZERO, Epoch(6)));
}

#[test]
fn a7_a_leader_that_lost_its_store_does_not_lead_again_by_itself() {
    let mut scene = Scene::healthy();
    scene.memory = None;
    scene.answer(ZERO, |status| status.obeyed = None);
    assert_eq!(scene.plan().blocked.unwrap().reason, Reason::RecordLost);
}

#[test]
fn a7_a_record_below_a_report_is_lost() {
    let mut scene = Scene::healthy();
    scene.answer(ONE, |status| {
        let obeyed = status.obeyed.as_mut().unwrap();
        (obeyed.epoch, obeyed.holder) = (Epoch(5), ONE);
    });
    let memory = scene.plan().write.unwrap();
    assert_eq!((memory.record.holder, memory.record.epoch, memory.record.authority), (ONE, Epoch(7), FRESH));
    let mut grants = Scene::healthy();
    grants.answer(ZERO, |status| status.obeyed.as_mut().unwrap().grant = grant_number(3));
    assert_eq!(grants.plan().write.unwrap().record.authority, FRESH);
}

#[test]
fn a7_a_late_word_of_an_older_authority_only_raises_the_epoch() {
    let mut scene = Scene::healthy();
    scene.answer(ONE, |status| {
        let obeyed = status.obeyed.as_mut().unwrap();
        (obeyed.authority, obeyed.epoch, obeyed.holder) = (AuthorityId(1), Epoch(9), ONE);
    });
    let memory = scene.plan().write.unwrap();
    assert_eq!((memory.record.holder, memory.record.epoch, memory.record.authority), (ZERO, Epoch(10), AUTHORITY));
}

#[test]
fn nothing_is_begun_while_paused() {
    let mut scene = Scene::new();
    scene.policy.paused = true;
    let plan = scene.plan();
    assert_eq!((plan.write, plan.tell.len()), (None, 0));
}
