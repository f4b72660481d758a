//! A pair of engines in one process, with real sockets, and an authority that follows the rules of the record.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

pub mod net;

use mailmirror_control::auth::Secret;
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::{NodeStatus, Role, SwapProgress};
use mailmirror_mirror::{Authority, Engine, EngineOptions, LinkOptions};
use mailmirror_model::ids::{AccountId, AuthorityId, BodyId, MailboxId, MessageId, NodeId, UidValidity};
use mailmirror_model::operation::{Add, BodyMeta, Change, NewMailbox};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

pub const ACCOUNT: AccountId = AccountId(0xacc);
pub const INBOX: MailboxId = MailboxId(0x1b0);
const PATIENCE: Duration = Duration::from_secs(20);

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Two nodes and what they need to be started again.
pub struct Pair {
    pub dir: tempfile::TempDir,
    pub address: SocketAddr,
    pub nodes: [Option<Engine>; 2],
    pub authority: Authority,
    secrets: watch::Sender<Vec<Secret>>,
}

impl Pair {
    pub fn new(authority: Authority) -> Self {
        let secret = Secret::new("a secret that only tests know").unwrap();
        Self {
            dir: tempfile::tempdir().unwrap(),
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            nodes: [None, None],
            authority,
            secrets: watch::Sender::new(vec![secret]),
        }
    }

    pub fn store_dir(&self, node: NodeId) -> PathBuf {
        self.dir.path().join(format!("node{node}"))
    }

    pub async fn start(&mut self, node: NodeId) -> Engine {
        let link = LinkOptions::new(self.address, Some(self.address.to_string()));
        let authority = match self.authority {
            Authority::Managed => Authority::Managed,
            Authority::Person { policy, alone, .. } => {
                let first_role = Some(if node == NodeId::Zero { Role::Master } else { Role::Slave });
                Authority::Person { first_role, policy, alone }
            }
        };
        let mut options = EngineOptions::new(node, self.store_dir(node), link, self.secrets.subscribe(), authority);
        options.segment_max_bytes = 4 * 1024 * 1024;
        options.timing.hold = Duration::from_secs(5);
        let engine = Engine::start(options).await.unwrap();
        self.nodes[node.index()] = Some(engine.clone());
        engine
    }

    pub async fn stop(&mut self, node: NodeId) {
        if let Some(engine) = self.nodes[node.index()].take() {
            engine.shutdown().await;
        }
    }

    pub fn node(&self, node: NodeId) -> &Engine {
        self.nodes[node.index()].as_ref().unwrap()
    }
}

/// Waits until the status of a node is as wanted.
pub async fn until(engine: &Engine, what: &str, wanted: impl Fn(&NodeStatus) -> bool) -> Arc<NodeStatus> {
    let mut status = engine.status();
    let reached = status.wait_for(|status| wanted(status));
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(found) => found.unwrap().clone(),
        Err(tokio::time::error::Elapsed { .. }) => panic!("{what} was not reached: {:#?}", engine.status().borrow()),
    }
}

/// An authority as an operator would be one: the record, written before anyone is told, and told to all that it reaches.
pub struct TestAuthority {
    pub record: Mutex<Record>,
}

impl TestAuthority {
    pub fn begin(policy: AckPolicy, master: &Engine) -> Arc<Self> {
        let status = master.status().borrow().clone();
        let first = Member { node: status.node, store: status.store };
        let record = Record::first(AuthorityId(77), policy, first, None);
        Arc::new(Self { record: Mutex::new(record) })
    }

    pub fn current(&self) -> Record {
        self.record.lock().unwrap().clone()
    }

    pub fn write(&self, record: Record) {
        *self.record.lock().unwrap() = record;
    }

    /// Tells a node, and serves its wishes until it stops.
    pub fn serve(self: &Arc<Self>, engine: &Engine) -> tokio::task::JoinHandle<()> {
        let (authority, engine) = (self.clone(), engine.clone());
        tokio::spawn(async move {
            let mut status = engine.status();
            let mut told = 0;
            loop {
                let now = status.borrow_and_update().clone();
                {
                    let mut record = authority.record.lock().unwrap();
                    let granted = now.wish.and_then(|wish| record.grant(&wish).ok().flatten());
                    let expanded = now.ready.and_then(|ready| record.expand(&ready).ok().flatten());
                    if let Some(next) = granted.or(expanded) {
                        *record = next;
                    }
                }
                let record = authority.current();
                if record.serial != told {
                    told = record.serial;
                    engine.obey(record).await.unwrap();
                }
                tokio::select! {
                    changed = status.changed() => if changed.is_err() { return },
                    _ = engine.stopped() => return,
                    () = tokio::time::sleep(Duration::from_millis(50)) => {}
                }
            }
        })
    }

    pub fn promote(&self, engine: &Engine) -> bool {
        let status = engine.status().borrow().clone();
        let mut record = self.record.lock().unwrap();
        let sealed = matches!(status.swap, Some(SwapProgress::Sealed { .. }));
        match record.promote(Member { node: status.node, store: status.store }, sealed) {
            Ok(next) => {
                *record = next;
                true
            }
            Err(_) => false,
        }
    }
}

pub fn create_account() -> Change {
    let inbox = NewMailbox { mailbox: INBOX, name: "INBOX".to_owned(), special_use: None };
    Change::CreateAccount {
        account: ACCOUNT,
        address: "a@example.com".to_owned(),
        password: "x".to_owned(),
        mailboxes: vec![inbox],
        quota_bytes: None,
    }
}

pub fn mail(number: u64, text: &str) -> (Change, Vec<bytes::Bytes>) {
    let bytes = bytes::Bytes::from(format!("Subject: {number}\r\n\r\n{text}\r\n"));
    let body = BodyId::of(&bytes);
    let size_bytes = bytes.len() as u64;
    let add = Add {
        mailbox: INBOX,
        message: MessageId(u128::from(number) + 1),
        body,
        size_bytes,
        internal_date_seconds: 1,
        flags: Vec::new(),
    };
    (Change::Add { adds: vec![add], bodies: vec![BodyMeta { body, size_bytes }] }, vec![bytes])
}

/// UID, identity and flags of everything in INBOX, as it may be shown.
pub async fn shown(engine: &Engine) -> (Option<UidValidity>, Vec<(u32, MessageId)>) {
    let reader = engine.read_point().await.unwrap();
    tokio::task::block_in_place(|| {
        reader
            .snapshot(|view| {
                let validity = view.mailbox_status(INBOX)?.map(|status| status.mailbox.uid_validity);
                let rows = view.rows(INBOX)?;
                Ok((validity, rows.iter().map(|row| (row.uid.get(), row.id)).collect()))
            })
            .unwrap()
    })
}

pub fn exists(path: &Path) -> bool {
    path.exists()
}
