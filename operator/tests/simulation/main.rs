//! The planner with two simulated nodes and two operators, under seeds: messages late, lost and repeated, crashes,
//! cuts, lost and restored volumes, operators that stop between any two steps.
//!
//! What must hold in every state: never two masters of one epoch; every master of the recorded epoch, and every member
//! that could be promoted, has everything that was acknowledged. What must hold in the end: a pair whose disks lived is
//! whole again.
#![allow(clippy::unwrap_used)]

mod node;
mod world;

use mailmirror_control::record::AckPolicy;
use world::{Faults, World};

const SEEDS: u64 = 100;
const STEPS: usize = 500;

fn run(policy: AckPolicy, faults: Faults) -> (usize, usize, usize) {
    let (mut promotions, mut acknowledged, mut whole) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed, policy, faults);
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.heal();
        promotions += world.promotions;
        acknowledged += world.acknowledged.len();
        whole += usize::from(world.whole());
    }
    (promotions, acknowledged, whole)
}

#[test]
fn what_was_acknowledged_is_on_every_node_that_is_promoted() {
    let faults = Faults { operators: 2, disks: false, lease: false };
    let (promotions, acknowledged, whole) = run(AckPolicy::Peer, faults);
    assert_eq!(whole, usize::try_from(SEEDS).unwrap(), "every pair is whole in the end");
    assert!(promotions > 50 && acknowledged > 2_000, "the runs did something: {promotions}, {acknowledged}");
}

#[test]
fn a_lost_or_restored_disk_is_never_promoted() {
    let faults = Faults { operators: 2, disks: true, lease: false };
    let (promotions, acknowledged, whole) = run(AckPolicy::Peer, faults);
    assert!(promotions > 50 && acknowledged > 1_000 && whole > 0, "{promotions}, {acknowledged}, {whole}");
}

#[test]
fn a7_a_lost_record_is_made_anew_without_losing_anything() {
    let faults = Faults { operators: 2, disks: false, lease: true };
    let (promotions, acknowledged, whole) = run(AckPolicy::Peer, faults);
    assert_eq!(whole, usize::try_from(SEEDS).unwrap(), "every pair is whole in the end");
    assert!(promotions > 50 && acknowledged > 2_000, "the runs did something: {promotions}, {acknowledged}");
}

#[test]
fn under_both_nobody_answers_alone() {
    let faults = Faults { operators: 1, disks: true, lease: false };
    let (promotions, acknowledged, _) = run(AckPolicy::Both, faults);
    assert!(promotions > 20 && acknowledged > 500, "{promotions}, {acknowledged}");
}

#[test]
fn with_one_operator_the_service_never_leads_to_two_masters() {
    let faults = Faults { operators: 1, disks: false, lease: false };
    for seed in 0..SEEDS {
        let mut world = World::new(seed, AckPolicy::Peer, faults);
        for _ in 0..STEPS {
            world.step();
            assert!(world.labelled_masters() <= 1, "seed {seed}");
        }
    }
}
