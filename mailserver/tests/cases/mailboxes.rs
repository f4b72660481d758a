//! Mailboxes while the nodes are apart.

use crate::harness::{A, B, Pair, each_way};
use mailmirror_model::operation::SpecialUse;

#[tokio::test(flavor = "multi_thread")]
async fn c21_a_mailbox_created_on_both_under_one_name_both_empty() {
    each_way(async |pair| {
        pair.part().await;
        pair.create(A, "same").await;
        pair.create(B, "same").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, ["same"]);
        assert_eq!(pair.content("same").await, [""; 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c22_a_mailbox_created_on_both_under_one_name_one_used() {
    each_way(async |pair| {
        pair.part().await;
        for node in [A, B] {
            pair.create(node, "same").await;
        }
        pair.add_all(A, "same", &["one", "two"]).await;
        pair.expunge(A, "same", "one").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, ["same"]);
        assert_eq!(pair.content("same").await, ["two"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c23_a_mailbox_created_on_both_under_one_name_both_used() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "moved there").await;
        pair.part().await;
        for (node, label) in [(A, "at a"), (B, "at b")] {
            pair.create(node, "same/below").await;
            pair.add(node, "same/below", label).await;
            pair.set(node, "same/below", label, "\\Seen").await;
        }
        pair.move_to(A, "INBOX", "moved there", "same/below").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, ["same", "same/below"], "u5: one identity");
        assert_eq!(pair.content("same/below").await, ["at a \\Seen", "at b \\Seen", "moved there"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c24_renamed_on_a_and_deleted_on_b() {
    each_way(async |pair| {
        pair.create(A, "old").await;
        pair.add(A, "old", "in it").await;
        pair.part().await;
        pair.rename(A, "old", "new").await;
        pair.delete(B, "old").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, [""; 0], "u6: what B deleted is known by its identity");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c25_renamed_on_a_to_x_and_on_b_to_y() {
    each_way(async |pair| {
        pair.create(A, "old").await;
        pair.add(A, "old", "in it").await;
        pair.part().await;
        pair.rename(A, "old", "X").await;
        pair.add(A, "X", "at a").await;
        pair.rename(B, "old", "Y").await;
        pair.add(B, "Y", "at b").await;
        pair.heal().await;
        let names = pair.own_names().await;
        assert!(names == ["X"] || names == ["Y"], "{names:?}");
        assert_eq!(pair.content(&names[0]).await, ["at a", "at b", "in it"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c26_renamed_on_a_to_x_while_b_creates_x() {
    each_way(async |pair| {
        pair.create(A, "old").await;
        pair.add(A, "old", "in it").await;
        pair.part().await;
        pair.rename(A, "old", "X").await;
        pair.add(A, "X", "later").await;
        pair.create(B, "X").await;
        pair.heal().await;
        assert!(pair.own_names().await.contains(&"X".to_owned()));
        assert_eq!(pair.everything().await, ["in it", "later"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c27_parent_becomes_child_on_one_side_and_child_becomes_parent_on_the_other() {
    each_way(async |pair| {
        for name in ["p", "q"] {
            pair.create(A, name).await;
            pair.add(A, name, &format!("in {name}")).await;
        }
        pair.part().await;
        pair.rename(A, "p", "q/p").await;
        pair.rename(B, "q", "p/q").await;
        pair.heal().await;
        assert_eq!(pair.everything().await, ["in p", "in q"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c28_both_swap_two_names_through_a_temporary_one() {
    each_way(async |pair| {
        for name in ["one", "two"] {
            pair.create(A, name).await;
            pair.add(A, name, &format!("first in {name}")).await;
        }
        pair.part().await;
        for node in [A, B] {
            pair.rename(node, "one", "between").await;
            pair.rename(node, "two", "one").await;
            pair.rename(node, "between", "two").await;
            pair.add(node, "one", &format!("at {node}")).await;
        }
        pair.names_come_back();
        pair.heal().await;
        assert_eq!(pair.own_names().await.len(), 2);
        assert_eq!(pair.everything().await, ["at 0", "at 1", "first in one", "first in two"]);
        let names = pair.own_names().await;
        for name in names {
            let content = pair.content(&name).await;
            assert!(content == ["first in one"] || content == ["at 0", "at 1", "first in two"], "{name}: {content:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c29_a_long_rename_chain_on_one_side() {
    each_way(async |pair| {
        pair.create(A, "n0").await;
        pair.add(A, "n0", "before").await;
        pair.part().await;
        for step in 1..=15 {
            pair.rename(A, &format!("n{}", step - 1), &format!("n{step}")).await;
            pair.add(A, &format!("n{step}"), &format!("a{step:02}")).await;
        }
        pair.add(B, "n0", "at b").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, ["n15"]);
        assert_eq!(pair.content("n15").await.len(), 17);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c30_deleted_on_the_branch_while_new_mail_comes_to_it() {
    // The branch is at A: what B took in stays (U6).
    let pair = Pair::start(A).await;
    pair.create(A, "old").await;
    pair.add(A, "old", "known to both").await;
    pair.part().await;
    pair.add(A, "old", "known to a").await;
    pair.delete(A, "old").await;
    pair.add(B, "old", "new at b").await;
    pair.heal().await;
    assert_eq!(pair.content("old").await, ["new at b"]);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c30_deleted_and_created_again_on_one_side() {
    each_way(async |pair| {
        pair.create(A, "name").await;
        pair.add(A, "name", "old").await;
        pair.part().await;
        pair.delete(A, "name").await;
        pair.create(A, "name").await;
        pair.add(A, "name", "new").await;
        pair.heal().await;
        assert_eq!(pair.own_names().await, ["name"]);
        assert_eq!(pair.content("name").await, ["new"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c31_a_deep_tree_renamed_on_a_while_a_leaf_gets_mail_on_b() {
    each_way(async |pair| {
        pair.create(A, "a/b/c/d/e").await;
        pair.add(A, "a/b/c/d/e", "before").await;
        pair.part().await;
        pair.rename(A, "a", "z/y").await;
        pair.add(A, "z/y/b/c/d/e", "at a").await;
        pair.add(B, "a/b/c/d/e", "at b").await;
        pair.heal().await;
        assert_eq!(pair.content("z/y/b/c/d/e").await, ["at a", "at b", "before"]);
        assert!(!pair.own_names().await.contains(&"a".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c33_inbox_renamed_while_it_gets_mail_on_the_other_side() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "old").await;
        pair.part().await;
        pair.rename(A, "INBOX", "2025").await;
        pair.look().await;
        pair.deliver(A, "at a").await;
        pair.deliver(B, "at b").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["at a", "at b"]);
        assert_eq!(pair.content("2025").await, ["old"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c34_a_mailbox_with_a_special_use_created_on_both() {
    each_way(async |pair| {
        pair.part().await;
        for node in [A, B] {
            let role = Some(SpecialUse::Junk);
            pair.node(node).service.create_mailbox(&pair.ann, "Junk", role).await.unwrap();
            pair.add(node, "Junk", &format!("at {node}")).await;
        }
        pair.heal().await;
        assert_eq!(pair.content("Junk").await, ["at 0", "at 1"]);
        let view = pair.node(A).service.show().await.unwrap();
        let listing = view.list(pair.ann.id).await.unwrap();
        let with_role = listing.mailboxes.iter().filter(|mailbox| mailbox.special_use == Some(SpecialUse::Junk));
        assert_eq!(with_role.map(|mailbox| mailbox.name.as_str()).collect::<Vec<_>>(), ["Junk"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c35_subscriptions_changed_on_both_and_to_a_mailbox_that_the_other_deleted() {
    each_way(async |pair| {
        for name in ["kept", "doomed"] {
            pair.create(A, name).await;
        }
        pair.subscribe(A, "kept", true).await;
        pair.part().await;
        pair.subscribe(A, "doomed", true).await;
        pair.subscribe(A, "kept", false).await;
        pair.subscribe(A, "news", true).await;
        pair.delete(B, "doomed").await;
        pair.subscribe(B, "lists", true).await;
        pair.heal().await;
        let view = pair.node(B).service.show().await.unwrap();
        let listing = view.list(pair.ann.id).await.unwrap();
        assert_eq!(listing.subscriptions, ["doomed", "lists", "news"], "a subscription needs no mailbox");
        assert_eq!(pair.own_names().await, ["kept"]);
    })
    .await;
}

/// One of a fixed order of many different steps: a failure is the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c37_random_trees_on_both_sides_converge() {
    const NAMES: [&str; 8] = ["a", "b", "c", "a/b", "a/c", "b/c", "b/a/c", "c/b"];
    for seed in 1..=3 {
        each_way(async |pair| {
            let mut dice = Dice(seed);
            pair.create(A, "a/b").await;
            pair.create(A, "c").await;
            pair.part().await;
            for step in 0..40 {
                let node = [A, B][dice.below(2)];
                let (one, other) = (NAMES[dice.below(8)], NAMES[dice.below(8)]);
                let service = &pair.node(node).service;
                // Many are refused, as the tree is small.
                let _refused = match dice.below(5) {
                    0 | 1 => service.create_mailbox(&pair.ann, one, None).await.map(|_| ()),
                    2 => service.rename_mailbox(&pair.ann, one, other).await,
                    3 => service.delete_mailbox(&pair.ann, one).await,
                    _ => {
                        pair.add(node, "INBOX", &format!("{step}")).await;
                        Ok(())
                    }
                };
            }
            pair.heal().await;
        })
        .await;
    }
}
