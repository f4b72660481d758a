//! Two nodes with a cable between them.

use super::cable::Cable;
use super::promises::Look;
use base64::Engine as _;
use mailmirror_control::auth::Secret;
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, NodeStatus, Role};
use mailmirror_mirror::{Authority, Engine, EngineOptions, LinkOptions, StartError};
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, NodeId};
use mailmirror_model::operation::{Change, NewMailbox, SpecialUse};
use mailserver::engine::Mirrored;
use mailserver::imap;
use mailserver::net::{Gate, Room};
use mailserver::service::{AccountHandle, Service};
use mailserver::settings::Settings;
use mailserver::smtp::Entry;
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const A: NodeId = NodeId::Zero;
pub const B: NodeId = NodeId::One;

/// Nothing here takes this long.
pub const DEADLINE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A node that runs.
#[derive(Clone)]
pub struct Node {
    pub engine: Engine,
    pub service: Service,
    pub imap: SocketAddr,
    shutdown: CancellationToken,
    serving: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// A pair.
pub struct Pair {
    pub cable: Cable,
    pub ann: AccountHandle,
    /// The labels of messages by their bytes.
    pub labels: Mutex<HashMap<BodyId, String>>,
    nodes: Mutex<[Option<Node>; 2]>,
    first_master: NodeId,
    policy: AckPolicy,
    secrets: watch::Sender<Vec<Secret>>,
    dir: tempfile::TempDir,
    looks: Mutex<Vec<Look>>,
    known: Mutex<BTreeSet<MailboxId>>,
}

/// Plays a case twice: with the branch at A, and with the branch at B.
pub async fn each_way(case: impl AsyncFn(&Pair)) {
    let play = async |master| {
        let pair = Pair::start(master).await;
        case(&pair).await;
        pair.end().await;
    };
    tokio::join!(play(A), play(B));
}

impl Pair {
    /// Both run and are connected, under `local`; ann has an account.
    pub async fn start(first_master: NodeId) -> Self {
        Self::start_with(first_master, AckPolicy::Local).await
    }

    pub async fn start_with(first_master: NodeId, policy: AckPolicy) -> Self {
        let pair = Self::lay_out(first_master, policy).await;
        pair.start_node(A).await;
        pair.start_node(B).await;
        pair.create_account(first_master, pair.ann.clone()).await;
        pair.is_whole().await;
        pair
    }

    /// Nothing runs yet.
    pub async fn lay_out(first_master: NodeId, policy: AckPolicy) -> Self {
        Self {
            cable: Cable::lay().await,
            ann: account("ann@example.com"),
            labels: Mutex::default(),
            nodes: Mutex::default(),
            first_master,
            policy,
            secrets: watch::Sender::new(vec![Secret::new("a secret that only tests know").unwrap()]),
            dir: tempfile::tempdir().unwrap(),
            looks: Mutex::default(),
            known: Mutex::default(),
        }
    }

    pub fn node(&self, node: NodeId) -> Node {
        self.nodes.lock().unwrap()[node.index()].clone().expect("a node that runs")
    }

    pub fn store_dir(&self, node: NodeId) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    /// A node with the role at its very first start that the pair began with.
    pub async fn start_node(&self, node: NodeId) {
        let role = if node == self.first_master { Role::Master } else { Role::Slave };
        self.start_node_as(node, role).await;
    }

    pub async fn start_node_as(&self, node: NodeId, first_role: Role) {
        let engine = loop {
            // A port that is free now may be another test's in a moment: then the next one.
            let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut link = LinkOptions::new(listen, Some(self.cable.address().to_string()));
            link.nossl = true;
            link.retry_max = Duration::from_millis(50);
            let authority = Authority::Person { first_role: Some(first_role), policy: self.policy, alone: true };
            let mut options = EngineOptions::new(node, self.store_dir(node), link, self.secrets.subscribe(), authority);
            options.segment_max_bytes = 1 << 20;
            options.timing.lease = Duration::from_millis(500);
            options.timing.grace = Duration::from_millis(300);
            match Engine::start(options).await {
                Ok(engine) => {
                    if node == A {
                        self.cable.plug_into(listen);
                    }
                    break engine;
                }
                Err(StartError::Listen { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let service = Service::new(Arc::new(Mirrored(engine.clone())), watch::channel(Arc::new(settings())).1);
        let mut config = imap::PortConfig::new("localhost", Entry::Plain);
        config.plaintext_login = true;
        let commons = imap::Commons::new(service.clone(), Gate::new(100, 100), Room::new(1 << 20), None, 100);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let imap = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(imap::Port::new(config, commons).unwrap().serve(listener, shutdown.clone()));
        let serving = Arc::new(Mutex::new(Some(serving)));
        self.nodes.lock().unwrap()[node.index()] = Some(Node { engine, service, imap, shutdown, serving });
    }

    pub async fn stop_node(&self, node: NodeId) {
        let stopped = self.nodes.lock().unwrap()[node.index()].take();
        if let Some(stopped) = stopped {
            stopped.stop().await;
        }
    }

    pub async fn create_account(&self, at: NodeId, handle: AccountHandle) {
        let mailboxes = [
            ("INBOX", None),
            ("Sent", Some(SpecialUse::Sent)),
            ("Trash", Some(SpecialUse::Trash)),
            ("Archive", Some(SpecialUse::Archive)),
        ];
        let mailboxes = mailboxes.map(|(name, special_use)| NewMailbox {
            mailbox: MailboxId(rand::random()),
            name: name.to_owned(),
            special_use,
        });
        let change = Change::CreateAccount {
            account: handle.id,
            address: handle.address,
            password: cheap_hash("pw"),
            mailboxes: mailboxes.to_vec(),
            quota_bytes: None,
        };
        self.propose(at, change).await;
    }

    /// Makes a change beside the protocols.
    pub async fn propose(&self, at: NodeId, change: Change) {
        let ticket = self.node(at).engine.propose(change, Vec::new()).await.unwrap();
        ticket.applied().await.unwrap().result.unwrap();
    }

    /// The holder of the highest epoch.
    pub fn master(&self) -> NodeId {
        let obeyed = [A, B].map(|node| self.node(node).status().obeyed);
        let highest = obeyed.into_iter().flatten().max_by_key(|obeyed| obeyed.epoch);
        highest.map_or(self.first_master, |obeyed| obeyed.holder)
    }

    /// A client on each node looks at everything; what it is told has to stay true.
    pub async fn look(&self) {
        for node in [A, B] {
            let look = Look::at(&self.node(node)).await;
            self.looks.lock().unwrap().push(look);
        }
    }

    /// Cuts the link and promotes the slave, while the master goes on.
    pub async fn part(&self) {
        self.is_whole().await;
        self.look().await;
        let shared = self.looks.lock().unwrap().last().unwrap().mailboxes.keys().copied().collect::<Vec<_>>();
        self.known.lock().unwrap().extend(shared);
        let slave = self.master().peer();
        self.cut().await;
        self.promote(slave).await;
    }

    pub async fn cut(&self) {
        self.cable.cut();
        for node in [A, B] {
            self.node(node).until("cut off", |status| matches!(status.link, Link::Disconnected { .. })).await;
        }
    }

    /// Makes a node the master, accepting loss.
    pub async fn promote(&self, node: NodeId) {
        let node = self.node(node);
        tokio::task::block_in_place(|| node.engine.promote(true)).unwrap();
        node.until("promoted", |status| status.role == Role::Master && status.serving).await;
    }

    /// Mends the link and waits until the loser is rebased. Then everything is checked.
    pub async fn heal(&self) {
        self.look().await;
        self.cable.mend();
        self.is_whole().await;
    }

    /// Waits until both nodes are connected and nothing is open, and checks that they hold the same and that every promise
    /// is kept.
    pub async fn is_whole(&self) {
        let whole = async {
            loop {
                let (master, slave) = (self.node(self.master()), self.node(self.master().peer()));
                let epoch = master.status().obeyed.map(|obeyed| obeyed.epoch);
                let follows = |status: &NodeStatus| {
                    status.role == Role::Slave
                        && status.obeyed.map(|obeyed| obeyed.epoch) == epoch
                        && matches!(status.link, Link::Connected { .. })
                        && status.serving
                };
                // A status may be of a moment ago: the roles are looked at again.
                if !slave.reaches(LOOK_AGAIN, follows).await {
                    continue;
                }
                // What the master answers says that the fork is behind: then no branch may be open, as the slave is now
                // and not as it was told a moment ago.
                let is_past_fork = master.engine.compare().await.is_ok();
                let is_whole = slave.engine.status_now().await.is_ok_and(|status| follows(&status));
                if is_past_fork
                    && is_whole
                    && let Ok(compared) = master.engine.compare().await
                {
                    return compared;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let whole = tokio::time::timeout(DEADLINE, whole).await;
        let Ok(compared) = whole else {
            panic!("the pair does not become whole: {:#?}", [A, B].map(|n| self.node(n).status()))
        };
        assert!(compared.is_equal(), "r2: {compared:?}");
        let now = [Look::at(&self.node(A)).await, Look::at(&self.node(B)).await];
        assert_eq!(now[0], now[1], "both nodes show the same");
        let (looks, known) = (self.looks.lock().unwrap().clone(), self.known.lock().unwrap().clone());
        for look in &looks {
            look.is_kept_by(&now[0], &self.node(A), &known).await;
            look.is_kept_by(&now[1], &self.node(B), &known).await;
        }
        for node in [A, B] {
            assert_eq!(self.node(node).status().counters.in_failed, 0, "l4: nothing is set aside");
        }
    }

    /// Waits until a node reports a problem, and gives its text.
    pub async fn problem(&self, node: NodeId, reason: &str) -> String {
        let node = self.node(node);
        node.until(reason, |status| status.problems.iter().any(|problem| problem.reason == reason)).await;
        let problems = node.status().problems;
        problems.into_iter().find(|problem| problem.reason == reason).unwrap().message
    }

    /// Waits until a node stops by itself, because its store is older than it was, and says why.
    pub async fn stops_with_an_old_store(&self, node: NodeId) -> String {
        let stopped = self.node(node).engine;
        let why = tokio::time::timeout(DEADLINE, stopped.stopped()).await.expect("an end in time");
        let why = why.expect("a reason");
        assert!(why.contains("older copy"), "a5: {why}");
        self.stop_node(node).await;
        why
    }

    /// From here on mailboxes may get another UIDVALIDITY: they are renamed to names that others had (U4).
    pub fn names_come_back(&self) {
        self.known.lock().unwrap().clear();
    }

    /// Both nodes still take mail, hold the same after it, and stop.
    pub async fn end(self) {
        for node in [A, B] {
            self.add(node, "INBOX", &format!("after it all at {node}")).await;
        }
        self.is_whole().await;
        self.stop_node(A).await;
        self.stop_node(B).await;
    }
}

impl Node {
    pub fn status(&self) -> NodeStatus {
        self.engine.status().borrow().as_ref().clone()
    }

    /// Whether the status becomes as wanted within this time.
    async fn reaches(&self, within: Duration, wanted: impl Fn(&NodeStatus) -> bool) -> bool {
        let mut status = self.engine.status();
        let reached = tokio::time::timeout(within, status.wait_for(|status| wanted(status))).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// Waits until the status is as wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&NodeStatus) -> bool) {
        let mut status = self.engine.status();
        let reached = tokio::time::timeout(DEADLINE, status.wait_for(|status| wanted(status))).await;
        assert!(reached.is_ok(), "{what} was not reached: {:#?}", self.status());
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        let serving = self.serving.lock().unwrap().take();
        if let Some(serving) = serving {
            tokio::time::timeout(DEADLINE, serving).await.expect("an end in time").unwrap();
        }
        self.engine.shutdown().await;
    }
}

pub fn account(address: &str) -> AccountHandle {
    AccountHandle { id: AccountId(rand::random()), address: address.to_owned() }
}

fn settings() -> Settings {
    let text = "g_domain \"example.com\"\ng_mirror_node \"0\"\ng_mirror_secret \"0123456789abcdef\"\n";
    mailserver::settings::read::from_text(text, "host").unwrap().settings
}

/// An older stored form, which is checked in no time.
fn cheap_hash(password: &str) -> String {
    let salt = b"salt";
    let mut bytes = Sha1::new().chain_update(password).chain_update(salt).finalize().to_vec();
    bytes.extend_from_slice(salt);
    format!("{{ssha}}{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}
