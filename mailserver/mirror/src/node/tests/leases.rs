//! The lease (rule A6): with clocks that drift within the margin, messages that are late, swaps, crashes and promotions,
//! there are never two masters in office at once.

use super::world::{Bounds, Broken, Step, World};
use crate::node::Timing;
use proptest::prelude::*;

const BOUNDS: Bounds =
    Bounds { operations: 20, epochs: 8, grants: 3, restarts: 5, policies: 0, swaps: 3, broken: Broken::Nothing };

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a6_never_two_masters_in_office(
        drift in [-10_000_i64..=10_000, -10_000..=10_000],
        choices in prop::collection::vec(any::<u32>(), 50..500),
    ) {
        let mut world = World::mirrored(BOUNDS, Timing::default(), drift);
        let mut way = Vec::new();
        for choice in choices {
            let steps = world.steps(true);
            let step = steps[choice as usize % steps.len()];
            way.push(step);
            world.take(step);
            if let Some(wrong) = world.violated() {
                return Err(TestCaseError::fail(format!("{wrong}: {way:?}")));
            }
        }
    }
}

#[test]
fn a6_a_healthy_pair_keeps_its_master_in_office() {
    let mut world = World::mirrored(BOUNDS, Timing::default(), [0, 0]);
    for _ in 0..100 {
        for step in [Step::Time(700), Step::Ping, Step::PingArrives, Step::PongArrives, Step::Tick(0), Step::Tick(1)] {
            world.take(step);
        }
        assert!(world.is_whole());
    }
    world.take(Step::Time(1_900));
    assert!(world.is_whole());
    world.take(Step::Time(100));
    assert!(!world.is_whole(), "the lease has run out");
}

/// The slave is promoted and granted to be alone while its old master has the lease.
fn promoted(broken: Broken) -> Option<String> {
    use Step::*;
    let mut world = World::mirrored(Bounds { broken, ..BOUNDS }, Timing::default(), [0, 0]);
    let way = [
        Time(700),
        Ping,
        PingArrives,
        Promote(1),
        Tell(1, 1),
        Time(700),
        Time(700),
        PongArrives,
        Wish(1),
        Grant(0),
        Tell(1, 2),
        Flush(1),
        Time(500),
        Time(100),
    ];
    let found = way.into_iter().find_map(|step| {
        world.take(step);
        world.violated()
    });
    assert!(found.is_some() || world.hosts[1].node.as_ref().unwrap().in_office(world.now(1)));
    found
}

#[test]
fn a6_without_its_rules_there_are_two_masters_in_office() {
    assert_eq!(promoted(Broken::Nothing), None);
    assert_eq!(promoted(Broken::NoWait).as_deref(), Some("two masters in office"));
    assert_eq!(promoted(Broken::LeaseFromAnswer).as_deref(), Some("two masters in office"));
}
