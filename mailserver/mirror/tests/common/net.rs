//! Two engines with something between them that cuts, holds and slows down what they say to each other.

use super::{ACCOUNT, INBOX, TestAuthority, create_account, mail, until};
use mailmirror_control::auth::Secret;
use mailmirror_control::record::{AckPolicy, Member};
use mailmirror_control::status::{Link, NodeStatus, Role};
use mailmirror_mirror::{Authority, CompareError, Engine, EngineOptions, LinkOptions};
use mailmirror_model::ids::{MessageId, NodeId};
use mailmirror_model::operation::Change;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub const ZERO: NodeId = NodeId::Zero;
pub const ONE: NodeId = NodeId::One;

/// What is done with the bytes between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Connections end, and new ones too.
    Cut,
    /// Connections stay, but nothing gets through to these.
    Hold {
        to_zero: bool,
        to_one: bool,
    },
    /// So many bytes in 10 ms.
    Slow(usize),
}

pub struct Between {
    pub address: SocketAddr,
    /// Bytes that went to node 0.
    pub to_zero: Arc<AtomicU64>,
    mode: watch::Sender<Mode>,
}

impl Between {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = watch::Sender::new(Mode::Pass);
        let modes = mode.subscribe();
        let to_zero = Arc::new(AtomicU64::new(0));
        let counted = to_zero.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                if *modes.borrow() == Mode::Cut {
                    continue;
                }
                let Ok(listening) = TcpStream::connect(target).await else { continue };
                let ((caller_in, caller_out), (zero_in, zero_out)) = (caller.into_split(), listening.into_split());
                let (up, down) = (modes.clone(), modes.clone());
                let counted = counted.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(caller_in, zero_out, up, Some(&counted)) => {}
                        () = carry(zero_in, caller_out, down, None) => {}
                    }
                });
            }
        });
        Self { address, to_zero, mode }
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut modes: watch::Receiver<Mode>,
    counted: Option<&AtomicU64>,
) {
    let is_to_zero = counted.is_some();
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let mode = *modes.borrow_and_update();
        let (size, pause) = match mode {
            Mode::Cut => return,
            Mode::Hold { to_zero, to_one } if is_to_zero && to_zero || !is_to_zero && to_one => {
                if modes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Mode::Slow(size) => (size.min(64 * 1024), true),
            Mode::Pass | Mode::Hold { .. } => (64 * 1024, false),
        };
        tokio::select! {
            read = from.read(&mut bytes[..size]) => match read {
                Ok(length) if length > 0 => {
                    // What was read before the mode changed stays on its side.
                    while matches!(*modes.borrow(), Mode::Hold { to_zero, to_one } if is_to_zero && to_zero || !is_to_zero && to_one) {
                        if modes.changed().await.is_err() {
                            return;
                        }
                    }
                    if *modes.borrow() == Mode::Cut || to.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                    if let Some(counted) = counted {
                        counted.fetch_add(length as u64, Ordering::Relaxed);
                    }
                    if pause {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                _ => return,
            },
            changed = modes.changed() => if changed.is_err() { return },
        }
    }
}

/// Two nodes, what is between them, and what they need to be started again.
pub struct Nodes {
    pub dir: tempfile::TempDir,
    pub listen: SocketAddr,
    pub between: Between,
    pub authority: Authority,
    pub secrets: [watch::Sender<Vec<Secret>>; 2],
    pub nossl: [bool; 2],
    pub hold: Duration,
    /// Whom node 1 calls, if not node 0.
    pub call: Option<SocketAddr>,
    pub engines: [Option<Engine>; 2],
}

pub fn secret(text: &str) -> Secret {
    Secret::new(&format!("a secret that only tests know: {text}")).unwrap()
}

impl Nodes {
    pub async fn new(authority: Authority) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], super::free_port()));
        Self {
            dir: tempfile::tempdir().unwrap(),
            listen,
            between: Between::start(listen).await,
            authority,
            secrets: [watch::Sender::new(vec![secret("one")]), watch::Sender::new(vec![secret("one")])],
            nossl: [false, false],
            hold: Duration::from_secs(20),
            call: None,
            engines: [None, None],
        }
    }

    pub fn store_dir(&self, node: NodeId) -> std::path::PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    pub async fn start(&mut self, node: NodeId) -> Engine {
        let mut link = LinkOptions::new(self.listen, Some(self.call.unwrap_or(self.between.address).to_string()));
        link.nossl = self.nossl[node.index()];
        link.retry_max = Duration::from_millis(200);
        let authority = match self.authority {
            Authority::Managed => Authority::Managed,
            Authority::Person { policy, alone, .. } => {
                let first_role = Some(if node == ZERO { Role::Master } else { Role::Slave });
                Authority::Person { first_role, policy, alone }
            }
        };
        let secrets = self.secrets[node.index()].subscribe();
        let mut options = EngineOptions::new(node, self.store_dir(node), link, secrets, authority);
        options.segment_max_bytes = 4 * 1024 * 1024;
        options.timing.hold = self.hold;
        // Tasks that end may hold the store a little longer.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        let engine = loop {
            match Engine::start(options.clone()).await {
                Err(error) if error.to_string().contains("has it open") && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                started => break started.unwrap(),
            }
        };
        self.engines[node.index()] = Some(engine.clone());
        engine
    }

    pub async fn stop(&mut self, node: NodeId) {
        if let Some(engine) = self.engines[node.index()].take() {
            engine.shutdown().await;
        }
    }

    pub async fn stop_all(&mut self) {
        self.stop(ZERO).await;
        self.stop(ONE).await;
    }

    /// Both started, mirrored, recorded, with one account; node 0 is master.
    pub async fn mirrored(policy: AckPolicy) -> (Self, Engine, Engine, Arc<TestAuthority>) {
        let mut nodes = Self::new(Authority::Managed).await;
        let (zero, one) = (nodes.start(ZERO).await, nodes.start(ONE).await);
        let authority = TestAuthority::begin(policy, &zero);
        authority.serve(&zero);
        authority.serve(&one);
        zero.propose(create_account(), vec![]).await.unwrap().applied().await.unwrap().result.unwrap();
        whole(&authority, &zero, &one).await;
        (nodes, zero, one, authority)
    }
}

/// Waits until the slave follows and is recorded.
pub async fn whole(authority: &TestAuthority, master: &Engine, slave: &Engine) {
    until(slave, "following", |status| status.role == Role::Slave && is_up(status)).await;
    let local = authority.current().policy == AckPolicy::Local;
    let lacks_none = |status: &NodeStatus| status.role == Role::Master && status.lag_entries == Some(0);
    until(master, "mirrored", |status| lacks_none(status) && (local || !status.alone && status.in_office)).await;
    until(slave, "all of it", |status| {
        status.applied == status.tail.seq && status.tail == master.status().borrow().tail
    })
    .await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !local && !authority.current().is_member(member(slave)) {
        assert!(tokio::time::Instant::now() < deadline, "not recorded: {:?}", authority.current());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn is_up(status: &NodeStatus) -> bool {
    matches!(status.link, Link::Connected { .. })
}

pub fn member(engine: &Engine) -> Member {
    let status = engine.status().borrow().clone();
    Member { node: status.node, store: status.store }
}

pub async fn put(engine: &Engine, number: u64) {
    let (change, bodies) = mail(number, "acknowledged");
    engine.propose(change, bodies).await.unwrap().committed().await.unwrap();
}

pub async fn do_it(engine: &Engine, change: Change) -> mailmirror_model::outcome::Outcome {
    engine.propose(change, vec![]).await.unwrap().applied().await.unwrap()
}

/// Puts mail in until it is told to stop; gives the numbers that were acknowledged.
pub fn load(engine: &Engine, first: u64, stop: watch::Receiver<bool>) -> tokio::task::JoinHandle<Vec<u64>> {
    let engine = engine.clone();
    tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in first.. {
            if *stop.borrow() {
                break;
            }
            let (change, bodies) = mail(number, "under load");
            let Ok(mut ticket) = engine.propose(change, bodies).await else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            if ticket.committed().await.is_ok() {
                acknowledged.push(number);
            }
        }
        acknowledged
    })
}

/// What INBOX holds on a node, without a read point.
pub fn rows(engine: &Engine) -> BTreeMap<u32, MessageId> {
    tokio::task::block_in_place(|| {
        let found = engine.reader().snapshot(|view| view.rows(INBOX)).unwrap();
        found.iter().map(|row| (row.uid.get(), row.id)).collect()
    })
}

/// Both nodes hold the same, every one of these messages once, and nothing is set aside.
pub async fn assert_holds(one: &Engine, other: &Engine, numbers: &[u64]) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let compared = loop {
        match one.compare().await {
            // A new role begins the link anew.
            Err(CompareError::NoLink) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            compared => break compared.unwrap(),
        }
    };
    assert!(compared.is_equal(), "{compared:?}");
    let (here, there) = (rows(one), rows(other));
    assert_eq!(here, there);
    let mut times: BTreeMap<MessageId, usize> = BTreeMap::new();
    for id in here.values() {
        *times.entry(*id).or_default() += 1;
    }
    for number in numbers {
        let id = MessageId(u128::from(*number) + 1);
        assert_eq!(times.get(&id), Some(&1), "message {number} of {}", here.len());
    }
    for engine in [one, other] {
        let status = engine.status().borrow().clone();
        assert_eq!(status.counters.in_failed, 0, "{:?}", status.problems);
    }
}

pub fn delete_account() -> Change {
    Change::DeleteAccount { account: ACCOUNT }
}
