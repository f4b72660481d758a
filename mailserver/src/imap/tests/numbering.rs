//! Clients that count as RFC 3501 says, while others change the mailbox on both nodes.

use std::collections::BTreeMap;

use super::pair::{Pair, Steps, fetch_all, uid_and_flags};
use super::*;

/// What a client knows by the responses alone.
struct Counting {
    client: Client,
    /// By sequence number; the UID is not known of a message that was only announced.
    uids: Vec<Option<u32>>,
    flags: BTreeMap<u32, String>,
    name: &'static str,
}

impl Counting {
    async fn open(mut client: Client, name: &'static str) -> Self {
        let lines = client.ok("SELECT INBOX").await;
        let mut counting = Self { client, uids: Vec::new(), flags: BTreeMap::new(), name };
        counting.learn(&lines, true);
        counting
    }

    /// Takes up responses; `expunges` where the command lets them be told.
    fn learn(&mut self, lines: &[String], expunges: bool) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let &["*", number, what, ..] = words.as_slice() else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "EXISTS" => {
                    assert!(number >= self.uids.len(), "{}: only EXPUNGE makes it less: {line}", self.name);
                    self.uids.resize(number, None);
                }
                "EXPUNGE" => {
                    assert!(expunges, "{}: {line} while numbers are in use", self.name);
                    if let Some(uid) = self.uids.remove(number - 1) {
                        self.flags.remove(&uid);
                    }
                }
                "FETCH" => {
                    let (uid, flags) = uid_and_flags(line).unwrap_or_else(|| panic!("{line}"));
                    let known = self.uids[number - 1].get_or_insert(uid);
                    assert_eq!(*known, uid, "{}: {number} is another message: {line}", self.name);
                    self.flags.insert(uid, flags);
                }
                _ => {}
            }
        }
        let known: Vec<u32> = self.uids.iter().flatten().copied().collect();
        assert!(known.is_sorted(), "{}: UIDs ascend: {known:?}", self.name);
    }

    async fn step(&mut self, steps: &mut Steps) {
        let count = self.uids.len() as u64;
        let number = steps.next(count.max(1)) + 1;
        let (command, expunges) = match steps.next(12) {
            0 | 1 => ("APPEND INBOX (\\Flagged) {14+}\r\nSubject: x\r\n\r\n".to_owned(), true),
            2 => ("NOOP".to_owned(), true),
            3 => ("EXPUNGE".to_owned(), true),
            4 if count > 0 => (format!("STORE {number} +FLAGS (\\Deleted)"), false),
            5 if count > 0 => (format!("STORE {number}:* FLAGS (\\Seen k{})", steps.next(4)), false),
            6 if count > 0 => (format!("FETCH {number} (UID FLAGS)"), false),
            7 if count > 0 => (format!("COPY {number} INBOX"), true),
            8 if count > 0 => (format!("MOVE {number} Archive"), true),
            9 => ("UID FETCH 1:* (FLAGS)".to_owned(), true),
            10 => ("SEARCH UNSEEN".to_owned(), false),
            _ => ("UID STORE 1:3 -FLAGS (\\Seen)".to_owned(), true),
        };
        let (lines, completion) = self.client.ask(&command).await;
        assert!(
            completion.starts_with("OK") || completion.starts_with("NO [EXPUNGEISSUED]"),
            "{command}: {completion}"
        );
        self.learn(&lines, expunges);
    }

    /// What it knows once it has looked.
    async fn settled(&mut self) -> BTreeMap<u32, String> {
        let lines = self.client.ok("NOOP").await;
        self.learn(&lines, true);
        // New messages are announced, and the client asks for their flags.
        if let Some(new) = self.uids.iter().position(Option::is_none) {
            let lines = self.client.ok(&format!("FETCH {}:* (UID FLAGS)", new + 1)).await;
            self.learn(&lines, false);
        }
        assert_eq!(self.uids.iter().flatten().count(), self.flags.len(), "{}", self.name);
        self.flags.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_clients_on_both_nodes_count_the_same_messages() {
    let pair = Pair::start().await;
    let mut clients = [
        Counting::open(pair.master.logged_in().await, "one at the master").await,
        Counting::open(pair.slave.logged_in().await, "one at the slave").await,
        Counting::open(pair.master.logged_in().await, "another at the master").await,
    ];
    let mut steps = Steps(2024);
    for round in 0..12 {
        for _ in 0..15 {
            let who = usize::try_from(steps.next(3)).unwrap();
            clients[who].step(&mut steps).await;
        }
        let truth: BTreeMap<u32, String> =
            fetch_all(&mut pair.slave.logged_in().await).await.iter().filter_map(|line| uid_and_flags(line)).collect();
        for client in &mut clients {
            assert_eq!(client.settled().await, truth, "{} in round {round}", client.name);
        }
    }
    drop(clients);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_clients_that_change_at_once_count_the_same_messages() {
    let pair = Pair::start().await;
    let [at_master, at_slave] = [&pair.master, &pair.slave];
    let work = |mut client: Counting, seed| async move {
        let mut steps = Steps(seed);
        for _ in 0..60 {
            client.step(&mut steps).await;
        }
        client
    };
    let (one, two, three) = (
        Counting::open(at_master.logged_in().await, "one at the master").await,
        Counting::open(at_slave.logged_in().await, "one at the slave").await,
        Counting::open(at_slave.logged_in().await, "another at the slave").await,
    );
    let (one, two, three) =
        tokio::join!(tokio::spawn(work(one, 1)), tokio::spawn(work(two, 2)), tokio::spawn(work(three, 3)));
    let truth: BTreeMap<u32, String> =
        fetch_all(&mut at_master.logged_in().await).await.iter().filter_map(|line| uid_and_flags(line)).collect();
    for client in [one, two, three] {
        let mut client = client.unwrap();
        assert_eq!(client.settled().await, truth, "{}", client.name);
    }
    pair.stop().await;
}
