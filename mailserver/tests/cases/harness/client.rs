//! An IMAP client, and one that keeps what it was told and goes from node to node (RFC 7162 section 5).

use super::pair::{DEADLINE, Pair};
use mailmirror_model::ids::NodeId;
use std::collections::BTreeMap;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;

pub struct Client {
    wire: BufStream<TcpStream>,
    next_tag: u32,
}

impl Pair {
    /// Ann, logged in and with INBOX open.
    pub async fn client(&self, at: NodeId) -> Client {
        let mut client = self.logged_in(at).await;
        client.ok("SELECT INBOX").await;
        client
    }

    pub async fn logged_in(&self, at: NodeId) -> Client {
        let wire = BufStream::new(TcpStream::connect(self.node(at).imap).await.unwrap());
        let mut client = Client { wire, next_tag: 0 };
        assert!(client.line().await.starts_with("* OK"));
        client.ok("LOGIN ann pw").await;
        client
    }
}

impl Client {
    /// A line; literals are read over.
    pub async fn line(&mut self) -> String {
        let mut whole = String::new();
        loop {
            let mut line = Vec::new();
            let read = tokio::time::timeout(DEADLINE, self.wire.read_until(b'\n', &mut line)).await.expect("in time");
            assert!(read.unwrap() > 0, "the session ended: {whole}");
            let line = String::from_utf8(line).unwrap();
            let line = line.trim_end();
            whole.push_str(line);
            let literal = line.strip_suffix('}').and_then(|rest| rest.rsplit_once('{'));
            let Some(size) = literal.and_then(|(_, size)| size.parse::<usize>().ok()) else { return whole };
            let mut octets = vec![0; size];
            self.wire.read_exact(&mut octets).await.unwrap();
        }
    }

    pub async fn begin(&mut self, command: &str) -> String {
        self.next_tag += 1;
        let tag = format!("t{}", self.next_tag);
        self.say(&format!("{tag} {command}\r\n")).await;
        tag
    }

    async fn say(&mut self, text: &str) {
        self.wire.write_all(text.as_bytes()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    /// Untagged lines and the completion without its tag.
    pub async fn ask(&mut self, command: &str) -> (Vec<String>, String) {
        let tag = self.begin(command).await;
        self.finish(&tag).await
    }

    pub async fn finish(&mut self, tag: &str) -> (Vec<String>, String) {
        let mut untagged = Vec::new();
        loop {
            let line = self.line().await;
            match line.strip_prefix(tag) {
                Some(completion) => return (untagged, completion.trim_start().to_owned()),
                None => untagged.push(line),
            }
        }
    }

    pub async fn ok(&mut self, command: &str) -> Vec<String> {
        let (untagged, completion) = self.ask(command).await;
        assert!(completion.starts_with("OK"), "{command}: {completion}");
        untagged
    }

    /// APPEND; the completion.
    pub async fn append(&mut self, mailbox: &str, text: &str) -> String {
        let tag = self.begin(&format!("APPEND {mailbox} {{{}}}", text.len())).await;
        let more = self.line().await;
        assert!(more.starts_with('+'), "{more}");
        self.say(&format!("{text}\r\n")).await;
        self.finish(&tag).await.1
    }

    /// UIDs and flags of everything in the mailbox that is open.
    pub async fn flags(&mut self) -> BTreeMap<u32, String> {
        self.ok("UID FETCH 1:* (FLAGS)").await.iter().filter_map(|line| uid_and_flags(line)).collect()
    }
}

pub fn uid_and_flags(line: &str) -> Option<(u32, String)> {
    let items = line.split_once(" FETCH (")?.1;
    let uid = items.split("UID ").nth(1)?.split([' ', ')']).next()?.parse().ok()?;
    let flags = items.split("FLAGS (").nth(1)?.split(')').next()?;
    Some((uid, flags.to_owned()))
}

/// How a roaming client synchronises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `SELECT (QRESYNC …)`.
    Qresync,
    /// `CHANGEDSINCE`, and a list of UIDs for what went.
    Condstore,
    /// New messages from UIDNEXT on, and flags and UIDs of the others.
    Polling,
}

/// What a client knows.
pub struct Roaming {
    way: Way,
    known: Option<(u64, u64, u64)>,
    /// UIDs and flags.
    pub flags: BTreeMap<u32, String>,
    /// UIDs and subjects, each asked for once.
    pub subjects: BTreeMap<u32, String>,
}

impl Roaming {
    pub fn new(way: Way) -> Self {
        Self { way, known: None, flags: BTreeMap::new(), subjects: BTreeMap::new() }
    }

    /// Synchronises on a node, and compares with everything that is there.
    pub async fn visit(&mut self, pair: &Pair, at: NodeId) {
        let mut client = pair.logged_in(at).await;
        let lines = match (self.way, self.known) {
            (Way::Qresync, known) => {
                client.ok("ENABLE QRESYNC").await;
                let with = known.map(|(validity, modseq, _)| format!(" (QRESYNC ({validity} {modseq}))"));
                client.ok(&format!("SELECT INBOX{}", with.unwrap_or_default())).await
            }
            (Way::Condstore, _) => client.ok("SELECT INBOX (CONDSTORE)").await,
            (Way::Polling, _) => client.ok("SELECT INBOX").await,
        };
        let number = |word: &str| {
            let line = lines.iter().find(|line| line.contains(word)).expect(word);
            line.split(word).nth(1).unwrap().trim().split(']').next().unwrap().parse::<u64>().unwrap()
        };
        let now = (number("[UIDVALIDITY"), number("[HIGHESTMODSEQ"), number("[UIDNEXT"));
        assert!(self.known.is_none_or(|known| known.0 == now.0), "u4: UIDVALIDITY stays");
        self.learn(&lines);
        match (self.way, self.known) {
            (_, None) => {
                let all = client.ok("UID FETCH 1:* (FLAGS)").await;
                self.learn(&all);
            }
            (Way::Qresync, Some(_)) => {}
            (Way::Condstore, Some((_, modseq, _))) => {
                let changed = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq})")).await;
                self.learn(&changed);
                self.forget_all_but(&client.ok("UID SEARCH ALL").await);
            }
            (Way::Polling, Some((_, _, next))) => {
                // `next:*` also gives the last message when there is no new one (RFC 9051 section 9).
                let new = client.ok(&format!("UID FETCH {next}:* (FLAGS)")).await;
                self.learn(&new);
                let old = client.ok(&format!("UID FETCH 1:{next} (FLAGS)")).await;
                self.learn(&old);
                self.forget_all_but(&client.ok("UID SEARCH ALL").await);
            }
        }
        self.known = Some(now);
        self.compare(&mut client, at).await;
        client.ok("LOGOUT").await;
    }

    async fn compare(&mut self, client: &mut Client, at: NodeId) {
        assert_eq!(self.flags, client.flags().await, "{:?} at {at}: the cache is what is there", self.way);
        for uid in self.flags.keys() {
            let lines = client.ok(&format!("UID FETCH {uid} (BODY.PEEK[HEADER.FIELDS (SUBJECT)] RFC822.SIZE)")).await;
            let size = lines[0].split("RFC822.SIZE ").nth(1).unwrap().split([' ', ')']).next().unwrap().to_owned();
            let kept = self.subjects.entry(*uid).or_insert_with(|| size.clone());
            assert_eq!(*kept, size, "u4: UID {uid} means one message for ever");
        }
    }

    fn forget_all_but(&mut self, lines: &[String]) {
        let found = lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).expect("a SEARCH answer");
        let present: Vec<u32> = found.split_whitespace().map(|uid| uid.parse().unwrap()).collect();
        self.flags.retain(|uid, _| present.contains(uid));
    }

    fn learn(&mut self, lines: &[String]) {
        for line in lines {
            if let Some(gone) = line.strip_prefix("* VANISHED (EARLIER) ") {
                for range in gone.split(',') {
                    let (first, last) = range.split_once(':').unwrap_or((range, range));
                    let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
                    self.flags.retain(|uid, _| !(first..=last).contains(uid));
                }
            } else if let Some((uid, flags)) = uid_and_flags(line) {
                self.flags.insert(uid, flags);
            }
        }
    }
}
