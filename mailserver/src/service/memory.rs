//! An engine without disk and peer: the rules of the model behind the door, for the tests of everything above it.
#![allow(clippy::unwrap_used)]

use super::core::{Core, Counts, Pending, Snapshot, Source, Vanished};
use super::error::{BodyError, ChangeError, ReadError, ShowError};
use super::{MessageRow, Service};
use crate::settings::{Settings, read};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use mailmirror_control::status::{Counters, Link, NodeStatus, Role};
use mailmirror_model::allocate::{AllocateError, Allocator};
use mailmirror_model::apply::{Applied, apply};
use mailmirror_model::flags::{Flag, When};
use mailmirror_model::ids::{
    AccountId, BodyId, Epoch, Hlc, Incarnation, MailboxId, ModSeq, NodeId, Origin, Position, Seq, StoreId, Uid,
};
use mailmirror_model::memory::MemoryState;
use mailmirror_model::operation::{BodyPlace, Change};
use mailmirror_model::outcome::{Outcome, Touched};
use mailmirror_model::state::{Account, Mailbox, Message};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{broadcast, watch};

/// What the engine does to those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// All is well.
    Serving,
    /// Changes and read points are refused (rules N5, N6).
    Holding,
    /// Changes are written and their outcome is not known (rule N6).
    Losing,
    /// The disk is full.
    Full,
}

/// The engine.
pub struct MemoryCore {
    inner: Arc<Mutex<Inner>>,
    touched: broadcast::Sender<Arc<[Touched]>>,
    status: watch::Sender<Arc<NodeStatus>>,
}

struct Inner {
    state: MemoryState,
    allocator: Allocator,
    seq: u64,
    bodies: HashMap<BodyId, Bytes>,
    mood: Mood,
    /// What a peek sees, while it lags behind a read point.
    stale: Option<MemoryState>,
}

struct MemoryPending(Result<Outcome, ChangeError>);

/// Settings as an empty ini with one hosted domain gives them.
pub fn settings() -> Settings {
    read::from_text("g_domain \"example.com\"\ng_mirror_node \"0\"\ng_mirror_secret \"0123456789abcdef\"\n", "host")
        .unwrap()
        .settings
}

/// A door to an engine in memory, and the engine.
pub fn service() -> (Service, Arc<MemoryCore>) {
    service_with(settings())
}

/// The same with these settings.
pub fn service_with(settings: Settings) -> (Service, Arc<MemoryCore>) {
    let core = Arc::new(MemoryCore::new());
    let (_, settings) = watch::channel(Arc::new(settings));
    (Service::new(core.clone(), settings), core)
}

impl MemoryCore {
    fn new() -> Self {
        let inner = Inner {
            state: MemoryState::default(),
            allocator: Allocator::new(NodeId::Zero),
            seq: 0,
            bodies: HashMap::new(),
            mood: Mood::Serving,
            stale: None,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            touched: broadcast::channel(64).0,
            status: watch::channel(Arc::new(status())).0,
        }
    }

    /// From now on.
    pub fn set_mood(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
    }

    /// From now on readers without a read point see what is here now.
    pub fn lag(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.stale = Some(inner.state.clone());
    }

    /// How many bodies are kept.
    pub fn bodies(&self) -> usize {
        self.inner.lock().unwrap().state.all_bodies().count()
    }

    fn run(&self, change: Change, bodies: Vec<Bytes>) -> Result<Outcome, ChangeError> {
        let mut inner = self.inner.lock().unwrap();
        let inner = &mut *inner;
        match inner.mood {
            Mood::Holding => return Err(ChangeError::Unavailable { why: "no peer".to_owned() }),
            Mood::Full => return Err(ChangeError::NoSpace),
            Mood::Serving | Mood::Losing => {}
        }
        let seq = Seq(inner.seq + 1);
        let clock = Hlc::tick(Hlc(0), seq.0);
        let when = When { clock, node: NodeId::Zero };
        let operation = match inner.allocator.allocate(&inner.state, seq, change, when, 1_900_000_000) {
            Ok(operation) => operation,
            Err(AllocateError::Refused(refusal)) => return Err(refusal.into()),
            Err(AllocateError::View(never)) => match never {},
        };
        inner.seq = seq.0;
        let mut places = Vec::new();
        for body in bodies {
            places.push(BodyPlace { body: BodyId::of(&body), offset_bytes: 0, size_bytes: body.len() as u64 });
            inner.bodies.insert(BodyId::of(&body), body);
        }
        let origin = Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: seq.0 };
        let entry = Applied::Operation { seq, origin, operation: &operation, bodies: &places };
        let outcome = apply(&mut inner.state, entry).unwrap();
        inner.allocator.forget_applied(seq);
        if !outcome.touched.is_empty() {
            drop(self.touched.send(outcome.touched.clone().into()));
        }
        if inner.mood == Mood::Losing { Err(ChangeError::Unknown) } else { Ok(outcome) }
    }
}

impl Core for MemoryCore {
    fn propose(&self, change: Change, bodies: Vec<Bytes>) -> BoxFuture<'_, Result<Box<dyn Pending>, ChangeError>> {
        async move {
            match self.run(change, bodies) {
                done @ (Ok(_) | Err(ChangeError::Unknown)) => Ok(Box::new(MemoryPending(done)) as Box<dyn Pending>),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn read_point(&self) -> BoxFuture<'_, Result<Arc<dyn Source>, ShowError>> {
        async move {
            let inner = self.inner.lock().unwrap();
            if inner.mood == Mood::Holding {
                return Err(ShowError::Unavailable { why: "no peer".to_owned() });
            }
            Ok(Arc::new(inner.state.clone()) as Arc<dyn Source>)
        }
        .boxed()
    }

    fn reader(&self) -> Arc<dyn Source> {
        let inner = self.inner.lock().unwrap();
        Arc::new(inner.stale.as_ref().unwrap_or(&inner.state).clone())
    }

    fn body(&self, body: BodyId) -> BoxFuture<'_, Result<Bytes, BodyError>> {
        async move { self.inner.lock().unwrap().bodies.get(&body).cloned().ok_or(BodyError::Gone) }.boxed()
    }

    fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>> {
        self.touched.subscribe()
    }

    fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.status.subscribe()
    }
}

impl Pending for MemoryPending {
    fn committed(&mut self) -> BoxFuture<'_, Result<(), ChangeError>> {
        let committed = self.0.as_ref().map(|_| ()).map_err(Clone::clone);
        async move { committed }.boxed()
    }

    fn applied(self: Box<Self>) -> BoxFuture<'static, Result<Outcome, ChangeError>> {
        async move { self.0 }.boxed()
    }
}

impl Source for MemoryState {
    fn look(&self, question: &mut dyn FnMut(&dyn Snapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        question(self)
    }
}

impl Snapshot for MemoryState {
    fn account(&self, id: AccountId) -> Result<Option<Account>, ReadError> {
        Ok(self.all_accounts().find(|account| account.id == id).cloned())
    }

    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, ReadError> {
        Ok(self.all_accounts().find(|account| account.address == address).map(|account| account.id))
    }

    fn find_accounts(&self, part: &str, limit: usize) -> Result<Vec<Account>, ReadError> {
        let mut found: Vec<_> = self.all_accounts().filter(|account| account.address.contains(part)).cloned().collect();
        found.sort_by(|a, b| a.address.cmp(&b.address));
        found.truncate(limit);
        Ok(found)
    }

    fn used_bytes(&self, account: AccountId) -> Result<u64, ReadError> {
        let mailboxes = Snapshot::mailboxes(self, account)?;
        let mine = |message: &&Message| mailboxes.iter().any(|mailbox| mailbox.id == message.mailbox);
        Ok(self.all_messages().filter(mine).map(|message| message.size_bytes).sum())
    }

    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, ReadError> {
        Ok(self.all_mailboxes().find(|mailbox| mailbox.id == id).cloned())
    }

    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, ReadError> {
        Ok(self.all_mailboxes().find(|mailbox| mailbox.account == account && mailbox.name == name).cloned())
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, ReadError> {
        let mut found: Vec<_> = self.all_mailboxes().filter(|mailbox| mailbox.account == account).cloned().collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn subscriptions(&self, account: AccountId) -> Result<Vec<String>, ReadError> {
        Ok(MemoryState::subscriptions(self, account).map(str::to_owned).collect())
    }

    fn counts(&self, mailbox: MailboxId) -> Result<Counts, ReadError> {
        let mut counts = Counts::default();
        for message in self.all_messages().filter(|message| message.mailbox == mailbox) {
            counts.messages += 1;
            counts.unseen += u64::from(!message.flags.contains(&Flag::Seen));
            counts.deleted += u64::from(message.flags.contains(&Flag::Deleted));
            counts.size_bytes += message.size_bytes;
        }
        Ok(counts)
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<MessageRow>, ReadError> {
        let Ok(found) = mailmirror_model::state::View::message(self, mailbox, uid);
        Ok(found.as_ref().map(MessageRow::from))
    }

    fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageRow>, ReadError> {
        let Ok(found) = mailmirror_model::state::View::messages(self, mailbox);
        Ok(found.iter().map(MessageRow::from).collect())
    }

    fn changed_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<MessageRow>, ReadError> {
        Ok(Snapshot::messages(self, mailbox)?.into_iter().filter(|message| message.modseq > since).collect())
    }

    fn vanished_since(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vanished, ReadError> {
        let gone = self.tombstones(mailbox).filter(|(_, modseq)| *modseq > since).map(|(uid, _)| uid);
        Ok(Vanished::Uids(gone.collect()))
    }
}

/// The status of a node that is alone.
pub fn status() -> NodeStatus {
    let origin = Position { epoch: Epoch(0), seq: Seq(0) };
    NodeStatus {
        version: "0".to_owned(),
        node: NodeId::Zero,
        store: StoreId(1),
        incarnation: Incarnation(1),
        started_at: 0,
        role: Role::Master,
        obeyed: None,
        in_office: true,
        alone: true,
        degraded_since: None,
        serving: true,
        tail: origin,
        committed: Seq(0),
        applied: Seq(0),
        peer_flushed: None,
        link: Link::Disconnected { since: 0, error: None },
        lag_entries: None,
        oldest_unsent_ms: None,
        wish: None,
        ready: None,
        swap: None,
        progress: None,
        counters: Counters::default(),
        conflicts: 0,
        proven_equal: None,
        accounts: 0,
        messages: 0,
        log_bytes: 0,
        problems: Vec::new(),
    }
}
