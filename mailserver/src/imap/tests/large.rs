//! A mailbox that is looked at in several pages, with holes in it.

use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{BodyId, MessageId};
use mailmirror_model::operation::{Add, Change};

use super::pair::Pair;
use super::*;

/// More than two of the largest pages.
const MESSAGES: u32 = 9_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_a_large_mailbox_is_shown_once() {
    let pair = Pair::start().await;
    let node = &pair.master;
    let text = Bytes::from_static(b"Subject: the same\r\n\r\n");
    node.service.deliver(&[pair.ann.id], text.clone(), 1).await.unwrap();
    let inbox = node.service.peek().mailbox(pair.ann.id, "INBOX").await.unwrap().unwrap().id;
    let add = |number: u32| Add {
        mailbox: inbox,
        message: MessageId(number.into()),
        body: BodyId::of(&text),
        size_bytes: text.len() as u64,
        internal_date_seconds: 1,
        // Every third goes at once, so that sequence numbers and UIDs differ.
        flags: if number.is_multiple_of(3) { vec![Flag::Deleted] } else { Vec::new() },
    };
    let change = Change::Add { adds: (2..=MESSAGES).map(add).collect(), bodies: Vec::new() };
    node.engine.propose(change, Vec::new()).await.unwrap().applied().await.unwrap().result.unwrap();
    let mut client = node.in_inbox().await;
    let went = client.ok("EXPUNGE").await.len();
    assert_eq!(went, 3000);
    let left: Vec<u32> = (1..=MESSAGES).filter(|uid| !uid.is_multiple_of(3)).collect();
    let expected = |sequences: std::ops::RangeInclusive<usize>| -> Vec<String> {
        sequences.map(|sequence| format!("* {sequence} FETCH (UID {})", left[sequence - 1])).collect()
    };
    assert!(client.ok("SELECT INBOX").await.contains(&format!("* {} EXISTS", left.len())));
    assert_eq!(client.ok("UID FETCH 1:* (UID)").await, expected(1..=left.len()));
    assert_eq!(
        client.ok("FETCH 995:1005,4090:4100,6000:* (UID)").await,
        [expected(995..=1005), expected(4090..=4100), expected(6000..=left.len())].concat()
    );
    assert_eq!(client.ok("UID SEARCH RETURN (COUNT) ALL").await.len(), 1);
    client.ok("STORE 1:* +FLAGS.SILENT (\\Seen)").await;
    assert_eq!(
        client.ok("STATUS INBOX (MESSAGES UNSEEN)").await,
        [format!("* STATUS INBOX (MESSAGES {} UNSEEN 0)", left.len())]
    );
    let copied = client.done("UID COPY 1:* Archive").await;
    let runs: Vec<String> = left.chunks(2).map(|run| format!("{}:{}", run[0], run[run.len() - 1])).collect();
    assert!(copied.contains(&format!(" {} 1:{}]", runs.join(","), left.len())), "{}", &copied[..100]);
    assert!(pair.slave.logged_in().await.ok("SELECT Archive").await.contains(&format!("* {} EXISTS", left.len())));
    pair.stop().await;
}
