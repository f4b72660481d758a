//! Two real nodes with real sockets between them: what a client sees that goes from one to the other.

use std::collections::BTreeMap;

use mailmirror_control::auth::Secret;
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, Role};
use mailmirror_mirror::{Authority, Engine, EngineOptions, LinkOptions};
use mailmirror_model::ids::NodeId;
use tokio::sync::watch;

use super::*;
use crate::engine::Mirrored;
use crate::service::memory::settings;

pub(super) struct Node {
    pub(super) engine: Engine,
    pub(super) service: Service,
    at: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// Node 0, which begins as the master, and node 1.
pub(super) struct Pair {
    pub(super) master: Node,
    pub(super) slave: Node,
    pub(super) ann: AccountHandle,
    again: Again,
}

/// What it takes to start a node again from its store.
pub(super) struct Again {
    policy: AckPolicy,
    link: SocketAddr,
    secrets: watch::Sender<Vec<Secret>>,
    dir: tempfile::TempDir,
}

impl Again {
    pub(super) async fn start(&self, node: NodeId) -> Node {
        start_node(node, self.dir.path(), self.link, self.secrets.subscribe(), self.policy).await
    }
}

async fn start_node(
    node: NodeId,
    dir: &std::path::Path,
    link: SocketAddr,
    secrets: watch::Receiver<Vec<Secret>>,
    policy: AckPolicy,
) -> Node {
    let first_role = Some(if node == NodeId::Zero { Role::Master } else { Role::Slave });
    let authority = Authority::Person { first_role, policy, alone: false };
    let store = dir.join(format!("node{node}"));
    let link = LinkOptions::new(link, Some(link.to_string()));
    let mut options = EngineOptions::new(node, store, link, secrets, authority);
    options.segment_max_bytes = 4 << 20;
    options.timing.hold = Duration::from_secs(2);
    let engine = Engine::start(options).await.unwrap();
    let service = Service::new(Arc::new(Mirrored(engine.clone())), watch::channel(Arc::new(settings())).1);
    let mut config = PortConfig::new("localhost", Entry::Plain);
    config.plaintext_login = true;
    let commons = Commons::new(service.clone(), Gate::new(100, 100), Room::new(1 << 20), None, 100);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(Port::new(config, commons).unwrap().serve(listener, shutdown.clone()));
    Node { engine, service, at, shutdown, task }
}

impl Node {
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("an end in time").unwrap();
        self.engine.shutdown().await;
    }

    pub(super) async fn until(&self, wanted: impl Fn(&mailmirror_control::status::NodeStatus) -> bool) {
        let mut status = self.engine.status();
        let reached = status.wait_for(|status| wanted(status));
        tokio::time::timeout(DEADLINE, reached).await.expect("a status in time").unwrap();
    }

    pub(super) async fn logged_in(&self) -> Client {
        let mut client = Client::connect(self.at).await;
        client.ok("LOGIN ann pw").await;
        client
    }

    pub(super) async fn in_inbox(&self) -> Client {
        let mut client = self.logged_in().await;
        client.ok("SELECT INBOX").await;
        client
    }
}

impl Pair {
    pub(super) async fn start() -> Self {
        Self::start_with(AckPolicy::Local).await
    }

    pub(super) async fn start_with(policy: AckPolicy) -> Self {
        let again = Again {
            policy,
            link: std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
            secrets: watch::Sender::new(vec![Secret::new("a secret that only tests know").unwrap()]),
            dir: tempfile::tempdir().unwrap(),
        };
        let master = again.start(NodeId::Zero).await;
        master.until(|status| status.role == Role::Master).await;
        let slave = again.start(NodeId::One).await;
        slave.until(|status| status.role == Role::Slave && matches!(status.link, Link::Connected { .. })).await;
        master.until(|status| status.serving).await;
        let ann = master.service.create_account("ann@example.com", "pw").await.unwrap();
        Self { master, slave, ann, again }
    }

    /// Node 0, node 1, and how to start them again.
    pub(super) fn apart(self) -> (Node, Node, Again) {
        (self.master, self.slave, self.again)
    }

    pub(super) async fn stop(self) {
        self.master.stop().await;
        self.slave.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_n4_what_is_answered_on_one_node_is_seen_on_the_other() {
    let pair = Pair::start().await;
    let (mut at_master, mut at_slave) = (pair.master.logged_in().await, pair.slave.logged_in().await);
    for round in 1..=20_u32 {
        let completion = at_slave.append("INBOX", &format!("Subject: {round}\r\n\r\nx\r\n")).await;
        assert!(
            completion.starts_with("OK [APPENDUID ") && completion.contains(&format!(" {}]", 2 * round - 1)),
            "{completion}"
        );
        let seen = at_slave.ok("STATUS INBOX (MESSAGES)").await;
        assert_eq!(seen, [format!("* STATUS INBOX (MESSAGES {})", 2 * round - 1)], "one's own change");
        assert_eq!(at_master.ok("STATUS INBOX (MESSAGES)").await, seen);
        let body = Bytes::from(format!("Subject: delivered {round}\r\n\r\n"));
        pair.master.service.deliver(&[pair.ann.id], body, 1).await.unwrap();
        assert_eq!(at_slave.ok("STATUS INBOX (MESSAGES)").await, [format!("* STATUS INBOX (MESSAGES {})", 2 * round)]);
    }
    at_slave.ok("CREATE from-the-slave").await;
    at_master.ok("SELECT from-the-slave").await;
    at_master.ok("RENAME from-the-slave renamed").await;
    at_slave.ok("SELECT renamed").await;
    let (one, other) = (fetch_all(&mut at_master).await, fetch_all(&mut at_slave).await);
    assert_eq!(one, other);
    assert_eq!(one.len(), 40);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_idle_on_one_node_wakes_for_a_change_on_the_other() {
    let pair = Pair::start().await;
    for (idle_on, change_on, known) in [(&pair.slave, &pair.master, 0), (&pair.master, &pair.slave, 1)] {
        let (mut idling, mut changing) = (idle_on.in_inbox().await, change_on.in_inbox().await);
        idling.begin("IDLE").await;
        assert!(idling.line().await.starts_with("+ "));
        assert!(changing.append("INBOX", "Subject: wake up\r\n\r\n").await.starts_with("OK"));
        let number = known + 1;
        assert_eq!(idling.line().await, format!("* {number} EXISTS"));
        changing.ok(&format!("STORE {number} +FLAGS (\\Flagged)")).await;
        assert_eq!(idling.line().await, format!("* {number} FETCH (UID {number} FLAGS (\\Flagged))"));
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn n5_a_slave_that_is_cut_off_shows_what_it_has_under_local_only() {
    for policy in [AckPolicy::Local, AckPolicy::Peer] {
        let pair = Pair::start_with(policy).await;
        let mut client = pair.slave.in_inbox().await;
        assert!(client.append("INBOX", "x\r\n").await.starts_with("OK"), "{policy:?}");
        pair.master.engine.shutdown().await;
        pair.slave.until(|status| matches!(status.link, Link::Disconnected { .. })).await;
        assert!(client.done("STORE 1 +FLAGS (\\Seen)").await.starts_with("NO [UNAVAILABLE]"), "n6 under {policy:?}");
        client.begin("FETCH 1 UID").await;
        let line = client.line().await;
        if policy == AckPolicy::Local {
            assert_eq!(line, "* 1 FETCH (UID 1)");
        } else {
            assert!(line.starts_with("* BYE [UNAVAILABLE]"), "{line}");
            assert_eq!(client.line_or_end().await, None);
        }
        pair.stop().await;
    }
}

/// Everything in INBOX: UID and flags.
pub(super) async fn fetch_all(client: &mut Client) -> Vec<String> {
    client.ok("SELECT INBOX").await;
    client.ok("UID FETCH 1:* (FLAGS MODSEQ)").await.into_iter().filter(|line| line.contains(" FETCH (")).collect()
}

/// A fixed order of many different steps.
pub(super) struct Steps(pub(super) u64);

impl Steps {
    pub(super) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A client that keeps what it was told, and goes from node to node (RFC 7162 section 5).
#[derive(Default)]
pub(super) struct Roaming {
    known: Option<(u64, u64)>,
    pub(super) flags: BTreeMap<u32, String>,
}

impl Roaming {
    pub(super) async fn visit(&mut self, client: &mut Client) {
        client.ok("ENABLE QRESYNC").await;
        let knows =
            self.known.map(|(validity, modseq)| format!(" (QRESYNC ({validity} {modseq}))")).unwrap_or_default();
        let lines = client.ok(&format!("SELECT INBOX{knows}")).await;
        let number = |word: &str| {
            let line = lines.iter().find(|line| line.contains(word)).unwrap();
            line.split(word).nth(1).unwrap().trim().split(']').next().unwrap().parse::<u64>().unwrap()
        };
        let now = (number("[UIDVALIDITY"), number("[HIGHESTMODSEQ"));
        self.learn(&lines);
        if self.known.is_none() {
            let all = client.ok("UID FETCH 1:* (FLAGS)").await;
            self.learn(&all);
        }
        assert!(self.known.is_none_or(|known| known.0 == now.0), "u4: UIDVALIDITY stays");
        self.known = Some(now);
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

pub(super) fn uid_and_flags(line: &str) -> Option<(u32, String)> {
    let items = line.split_once(" FETCH (")?.1;
    let uid = items.split("UID ").nth(1)?.split([' ', ')']).next()?.parse().ok()?;
    let flags = items.split("FLAGS (").nth(1)?.split(')').next()?;
    Some((uid, flags.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn p2_a_client_that_roams_knows_what_the_server_knows() {
    let pair = Pair::start().await;
    let mut roaming = Roaming::default();
    let mut changing = [pair.master.in_inbox().await, pair.slave.in_inbox().await];
    let mut random = Steps(12345);
    let mut next = |below| random.next(below);
    for round in 0..40 {
        for _ in 0..=next(3) {
            let client = &mut changing[usize::try_from(next(2)).unwrap()];
            let uid = next(round + 1) + 1;
            match next(5) {
                0 | 1 => assert!(client.append("INBOX", "Subject: x\r\n\r\n").await.starts_with("OK")),
                2 => drop(client.ok(&format!("UID STORE {uid} +FLAGS (\\Seen k{})", next(3))).await),
                3 => drop(client.ok(&format!("UID STORE {uid} -FLAGS (\\Seen)")).await),
                _ => {
                    client.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
                    client.ok("EXPUNGE").await;
                }
            }
        }
        let nodes = [&pair.master, &pair.slave];
        let here = usize::try_from(next(2)).unwrap();
        let mut visited = nodes[here].logged_in().await;
        roaming.visit(&mut visited).await;
        visited.ok("LOGOUT").await;
        let mut other = nodes[1 - here].logged_in().await;
        let truth: BTreeMap<u32, String> =
            fetch_all(&mut other).await.iter().filter_map(|line| uid_and_flags(line)).collect();
        other.ok("LOGOUT").await;
        assert_eq!(roaming.flags, truth, "round {round}");
    }
    assert!(roaming.flags.len() > 5, "{:?}", roaming.flags);
    pair.stop().await;
}
