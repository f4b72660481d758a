//! Messages and flags while the nodes are apart.

use crate::harness::pair::account;
use crate::harness::{A, B, Pair, each_way};
use bytes::Bytes;
use futures::future::join_all;
use std::time::Duration;

/// Lets the clock go on: what comes next is later on either node.
async fn later() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c01_new_on_a_only() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "before").await;
        pair.part().await;
        pair.deliver(A, "new").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["before", "new"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c02_new_on_b_only() {
    each_way(async |pair| {
        pair.add(B, "INBOX", "before").await;
        pair.part().await;
        pair.deliver(B, "new").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["before", "new"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c03_new_on_both_equal_counts() {
    each_way(async |pair| {
        pair.part().await;
        for number in 1..=3 {
            pair.deliver(A, &format!("a{number}")).await;
            pair.deliver(B, &format!("b{number}")).await;
        }
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["a1", "a2", "a3", "b1", "b2", "b3"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c04_new_on_both_unequal_counts() {
    each_way(async |pair| {
        pair.part().await;
        pair.add_all(A, "INBOX", &["a1", "a2", "a3", "a4", "a5"]).await;
        pair.add_all(B, "INBOX", &["b1", "b2"]).await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["a1", "a2", "a3", "a4", "a5", "b1", "b2"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c05_1000_on_a_and_700_on_b_over_the_same_100_inboxes() {
    let pair = Pair::start(A).await;
    let people: Vec<_> = (0..100).map(|number| account(&format!("user{number}@example.com"))).collect();
    join_all(people.iter().map(|person| pair.create_account(A, person.clone()))).await;
    pair.part().await;
    for (node, rounds) in [(A, 10), (B, 7)] {
        let service = &pair.node(node).service;
        for round in 0..rounds {
            let given = people.iter().map(|person| {
                let body = Bytes::from(format!("{node} {round} {}\r\n", person.address));
                service.deliver(std::slice::from_ref(&person.id), body, 1)
            });
            for delivered in join_all(given.collect::<Vec<_>>()).await {
                delivered.unwrap();
            }
        }
    }
    pair.heal().await;
    let view = pair.node(A).service.show().await.unwrap();
    for person in &people {
        let inbox = view.mailbox(person.id, "INBOX").await.unwrap().unwrap();
        let mut bodies: Vec<_> =
            view.open(inbox.id).await.unwrap().unwrap().messages.iter().map(|row| row.body).collect();
        bodies.sort_unstable();
        bodies.dedup();
        assert_eq!(bodies.len(), 17, "{}", person.address);
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c06_expunge_on_a_of_what_b_flagged() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two"]).await;
        pair.part().await;
        pair.set(B, "INBOX", "one", "\\Flagged").await;
        pair.expunge(A, "INBOX", "one").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["two"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c07_expunge_on_both() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two"]).await;
        pair.part().await;
        pair.expunge(A, "INBOX", "one").await;
        pair.expunge(B, "INBOX", "one").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["two"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c08_expunge_on_b_of_what_a_flagged() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two"]).await;
        pair.part().await;
        pair.expunge(B, "INBOX", "one").await;
        later().await;
        pair.set(A, "INBOX", "one", "\\Flagged work").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["two"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c09_flags_changed_on_both() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "one").await;
        pair.part().await;
        pair.set(A, "INBOX", "one", "\\Seen work").await;
        pair.set(B, "INBOX", "one", "\\Flagged home").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["one \\Seen \\Flagged home work"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c10_one_flag_set_on_one_and_cleared_on_the_other() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["cleared last", "set last"]).await;
        pair.set(A, "INBOX", "cleared last", "\\Flagged").await;
        pair.set(A, "INBOX", "set last", "\\Flagged").await;
        pair.part().await;
        pair.set(A, "INBOX", "cleared last", "\\Flagged").await;
        pair.clear(B, "INBOX", "set last", "\\Flagged").await;
        later().await;
        pair.clear(B, "INBOX", "cleared last", "\\Flagged").await;
        pair.set(A, "INBOX", "set last", "\\Flagged").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["cleared last", "set last \\Flagged"], "u7: the later one wins");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c11_append_flag_and_expunge_of_one_message_on_a() {
    each_way(async |pair| {
        pair.part().await;
        pair.add_all(A, "INBOX", &["gone", "stays"]).await;
        pair.set(A, "INBOX", "gone", "\\Deleted").await;
        pair.look().await;
        pair.expunge(A, "INBOX", "gone").await;
        pair.add(B, "INBOX", "at b").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["at b", "stays"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c12_copy_on_a_and_expunge_of_the_source_on_b() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "one").await;
        pair.part().await;
        pair.copy(A, "INBOX", "one", "Archive").await;
        pair.expunge(B, "INBOX", "one").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, [""; 0]);
        assert_eq!(pair.content("Archive").await, ["one"], "u6: a copy survives");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c13_move_on_a_and_expunge_of_the_source_on_b() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two"]).await;
        pair.part().await;
        pair.add(A, "INBOX", "three").await;
        for label in ["one", "three"] {
            pair.move_to(A, "INBOX", label, "Archive").await;
            pair.move_to(A, "Archive", label, "Trash").await;
            pair.set(A, "Trash", label, "\\Flagged").await;
        }
        pair.copy(A, "INBOX", "two", "Archive").await;
        pair.expunge(A, "Archive", "two").await;
        pair.expunge(B, "INBOX", "one").await;
        pair.expunge(B, "INBOX", "two").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, [""; 0]);
        assert_eq!(pair.content("Archive").await, [""; 0], "what A expunged stays expunged");
        assert_eq!(pair.content("Trash").await, ["one \\Flagged", "three \\Flagged"], "u6: what was moved survives");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c13_move_to_x_on_a_and_to_y_on_b() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "one").await;
        pair.create(A, "X").await;
        pair.create(A, "Y").await;
        pair.part().await;
        pair.move_to(A, "INBOX", "one", "X").await;
        pair.move_to(B, "INBOX", "one", "Y").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, [""; 0]);
        let (in_x, in_y) = (pair.content("X").await, pair.content("Y").await);
        assert!(in_x.len() <= 1 && in_y.len() <= 1 && in_x.len() + in_y.len() >= 1, "{in_x:?} {in_y:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c14_move_on_a_and_store_on_b() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "one").await;
        pair.part().await;
        pair.set(B, "INBOX", "one", "\\Flagged").await;
        pair.move_to(A, "INBOX", "one", "Archive").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, [""; 0]);
        let found = pair.content("Archive").await;
        assert!(matches!(found.as_slice(), [one] if one.starts_with("one")), "{found:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c15_replace_on_a_and_expunge_on_b() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "draft 1").await;
        pair.part().await;
        pair.add(A, "INBOX", "draft 2").await;
        pair.expunge(A, "INBOX", "draft 1").await;
        pair.expunge(B, "INBOX", "draft 1").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["draft 2"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c16_the_same_message_delivered_to_both_sides() {
    each_way(async |pair| {
        pair.part().await;
        pair.deliver(A, "retried").await;
        pair.deliver(B, "retried").await;
        pair.heal().await;
        assert_eq!(pair.content("INBOX").await, ["retried", "retried"], "nothing is merged silently");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c17_many_keywords_grow_on_both() {
    each_way(async |pair| {
        pair.add(A, "INBOX", "one").await;
        pair.part().await;
        for (node, name) in [(A, "a"), (B, "b")] {
            let keywords: Vec<_> = (0..100).map(|number| format!("{name}{number}")).collect();
            pair.set(node, "INBOX", "one", &keywords.join(" ")).await;
        }
        pair.heal().await;
        assert_eq!(pair.row(A, "INBOX", "one").await.flags.len(), 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c18_a_keyword_created_on_both_under_different_letter_case() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two"]).await;
        pair.part().await;
        pair.set(A, "INBOX", "one", "$Forwarded").await;
        pair.set(B, "INBOX", "one", "$FORWARDED").await;
        pair.set(B, "INBOX", "two", "$forwarded").await;
        pair.heal().await;
        let content = pair.content("INBOX").await;
        assert_eq!(
            content.iter().map(|line| line.to_lowercase()).collect::<Vec<_>>(),
            ["one $forwarded", "two $forwarded"]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c19_partial_exchanges_in_three_rounds() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["x0", "y0"]).await;
        for round in 1..=3 {
            // The roles change with every round.
            pair.part().await;
            pair.add(A, "INBOX", &format!("x{round}")).await;
            pair.expunge(B, "INBOX", &format!("x{}", round - 1)).await;
            pair.add(B, "INBOX", &format!("y{round}")).await;
            pair.set(A, "INBOX", &format!("y{}", round - 1), "\\Seen").await;
            pair.heal().await;
        }
        assert_eq!(pair.content("INBOX").await, ["x3", "y0 \\Seen", "y1 \\Seen", "y2 \\Seen", "y3"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c20_a_new_message_with_lower_equal_and_higher_modseq_than_the_change_on_the_other_side() {
    each_way(async |pair| {
        let boxes = ["lower", "equal", "higher"];
        for name in boxes {
            pair.create(A, name).await;
            pair.add(A, name, &format!("old {name}")).await;
        }
        pair.part().await;
        for (changes, name) in boxes.into_iter().enumerate() {
            for change in 0..changes {
                pair.set(A, name, &format!("old {name}"), &format!("k{change}")).await;
            }
            pair.add(A, name, &format!("new {name}")).await;
            pair.set(B, name, &format!("old {name}"), "\\Seen").await;
            pair.set(B, name, &format!("old {name}"), "\\Flagged").await;
        }
        pair.heal().await;
        assert_eq!(pair.content("lower").await, ["new lower", "old lower \\Seen \\Flagged"]);
        assert_eq!(pair.content("equal").await, ["new equal", "old equal \\Seen \\Flagged k0"]);
        assert_eq!(pair.content("higher").await, ["new higher", "old higher \\Seen \\Flagged k0 k1"]);
    })
    .await;
}
