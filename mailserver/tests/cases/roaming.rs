//! Clients that go from node to node, through failover and heal.

use crate::harness::client::{Roaming, Way, uid_and_flags};
use crate::harness::{A, B, Pair, each_way};

async fn roams(way: Way) {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["1", "22", "333", "4444", "55555", "666666"]).await;
        let mut client = Roaming::new(way);
        client.visit(pair, A).await;
        pair.set(B, "INBOX", "1", "\\Seen").await;
        pair.expunge(A, "INBOX", "22").await;
        pair.add(B, "INBOX", "7777777").await;
        client.visit(pair, B).await;
        client.visit(pair, A).await;
        // On the branch it is told of what will be renumbered, flagged and expunged there.
        pair.part().await;
        let branch = pair.master().peer();
        pair.add_all(branch, "INBOX", &["on the branch", "on the branch, for a while only"]).await;
        pair.set(branch, "INBOX", "333", "\\Flagged").await;
        pair.expunge(branch, "INBOX", "4444").await;
        pair.expunge(branch, "INBOX", "on the branch, for a while only").await;
        client.visit(pair, branch).await;
        let other = branch.peer();
        pair.add_all(other, "INBOX", &["on the other side", "on the other side too, longer"]).await;
        pair.set(other, "INBOX", "333", "\\Answered").await;
        pair.set(other, "INBOX", "4444", "\\Answered").await;
        pair.expunge(other, "INBOX", "55555").await;
        pair.heal().await;
        for node in [A, B, branch] {
            client.visit(pair, node).await;
        }
        assert_eq!(client.flags.len(), 7);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c85_a_qresync_client_roams_through_failover_and_heal() {
    roams(Way::Qresync).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c86_a_condstore_client_roams_through_failover_and_heal() {
    roams(Way::Condstore).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c87_a_client_that_polls_roams_through_failover_and_heal() {
    roams(Way::Polling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c88_an_offline_client_replays_deletes_by_uid_after_failover() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["kept", "unwanted"]).await;
        pair.part().await;
        let branch = pair.master().peer();
        // It was told of this one on the branch only, and wants both gone.
        let on_branch = pair.add(branch, "INBOX", "unwanted on the branch").await;
        let unwanted = pair.row(branch, "INBOX", "unwanted").await.uid;
        pair.add_all(branch.peer(), "INBOX", &["new 1", "new 2", "new 3"]).await;
        pair.heal().await;
        for node in [A, B] {
            let mut client = pair.client(node).await;
            client.ok(&format!("UID STORE {},{unwanted} +FLAGS (\\Deleted)", on_branch.uid)).await;
            client.ok(&format!("UID EXPUNGE {},{unwanted}", on_branch.uid)).await;
        }
        let left = pair.content("INBOX").await;
        assert_eq!(left, ["kept", "new 1", "new 2", "new 3", "unwanted on the branch"], "only what was meant goes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c89_appenduid_told_before_the_master_dies_names_the_same_message_on_the_other_node() {
    for master in [A, B] {
        let pair = Pair::start(master).await;
        let mut client = pair.client(master).await;
        let completion = client.append("INBOX", "Subject: told\r\n\r\ntold\r\n").await;
        let code = completion.split("APPENDUID ").nth(1).unwrap().split(']').next().unwrap().to_owned();
        let (validity, uid) = code.split_once(' ').unwrap();
        pair.add(master, "Archive", "first there").await;
        let copied = client.ask(&format!("UID COPY {uid} Archive")).await.1;
        let copy_uid = copied.split("COPYUID ").nth(1).unwrap().split(']').next().unwrap().rsplit(' ').next().unwrap();
        pair.is_whole().await;
        pair.stop_node(master).await;
        let other = master.peer();
        pair.promote(other).await;
        let mut client = pair.logged_in(other).await;
        for (mailbox, uid) in [("INBOX", uid), ("Archive", copy_uid)] {
            let opened = client.ok(&format!("SELECT {mailbox}")).await;
            if mailbox == "INBOX" {
                assert!(opened.iter().any(|line| line.contains(&format!("[UIDVALIDITY {validity}]"))), "{opened:?}");
            }
            let found = client.ok(&format!("UID FETCH {uid} (FLAGS RFC822.SIZE)")).await;
            assert!(found.len() == 1 && found[0].contains("RFC822.SIZE 23"), "{mailbox}: {found:?}");
        }
        pair.stop_node(other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c91_idle_on_one_node_sees_changes_made_on_the_other_in_legal_order() {
    each_way(async |pair| {
        pair.add_all(A, "INBOX", &["one", "two", "three"]).await;
        for (idle_on, change_on) in [(A, B), (B, A)] {
            let mut idling = pair.client(idle_on).await;
            let before = idling.flags().await.len();
            idling.begin("IDLE").await;
            assert!(idling.line().await.starts_with('+'));
            let label = format!("while {idle_on} waits");
            pair.deliver(change_on, &label).await;
            assert_eq!(idling.line().await, format!("* {} EXISTS", before + 1));
            pair.set(change_on, "INBOX", &label, "\\Seen").await;
            let told = idling.line().await;
            assert!(told.starts_with(&format!("* {} FETCH (", before + 1)) && told.contains("\\Seen"), "{told}");
            pair.expunge(change_on, "INBOX", &label).await;
            assert_eq!(idling.line().await, format!("* {} EXPUNGE", before + 1));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c92_connections_of_one_user_at_random_over_both_nodes() {
    each_way(async |pair| {
        let mut random = 7_u64;
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        let mut expected = std::collections::BTreeMap::new();
        for step in 0..30_u64 {
            let mut client = pair.client([A, B][usize::from(next() % 2 == 1)]).await;
            assert_eq!(client.flags().await, expected, "step {step}: the view is as new as every answer");
            let some_uid = expected.keys().nth(usize::try_from(next()).unwrap() % expected.len().max(1)).copied();
            match (next() % 4, some_uid) {
                (0, Some(uid)) => {
                    client.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
                    client.ok(&format!("UID EXPUNGE {uid}")).await;
                    expected.remove(&uid);
                }
                (1, Some(uid)) => {
                    let lines = client.ok(&format!("UID STORE {uid} +FLAGS (k{})", step % 3)).await;
                    expected.extend(lines.iter().filter_map(|line| uid_and_flags(line)));
                }
                _ => {
                    let completion = client.append("INBOX", &format!("Subject: {step}\r\n\r\n")).await;
                    let code = completion.split("APPENDUID ").nth(1).unwrap().split(']').next().unwrap();
                    let uid: u32 = code.rsplit(' ').next().unwrap().parse().unwrap();
                    assert!(expected.keys().all(|known| *known < uid));
                    expected.insert(uid, String::new());
                }
            }
        }
    })
    .await;
}
