//! The engine of one node: the handle that the mail server holds, and the tasks behind it.

use crate::apply;
use crate::branch::Branches;
use crate::clock::{Clock, SystemClock};
use crate::link;
use crate::meta::{Meta, MetaError};
use crate::node::{AcceptState, Identity, Node};
use crate::options::EngineOptions;
use crate::shared::{Inner, Marks, ReadPoints, Shared};
use crate::ticket::{ProposeError, ShowError, Ticket};
use bytes::Bytes;
use mailmirror_control::record::Record;
use mailmirror_control::status::{Counters, Link, NodeStatus, ObeyRefusal, RecordAnswer, Role};
use mailmirror_log::{Log, LogError, LogOptions};
use mailmirror_model::allocate::Allocator;
use mailmirror_model::ids::{BodyId, Incarnation, StoreId};
use mailmirror_model::operation::Change;
use mailmirror_model::outcome::Touched;
use mailmirror_store::{Reader, Store, StoreError, Totals};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often time alone is looked at.
const TICK: Duration = Duration::from_millis(50);
/// A status follows a change within this time; many changes make one status.
const STATUS_PAUSE: Duration = Duration::from_millis(20);
/// A status is told at least this often.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Sets of changes that somebody who looks on may be behind.
const TOUCHED_QUEUE_MAX: usize = 1024;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder.
    #[error("failed to use the store {dir}: {source}")]
    Dir {
        /// Which.
        dir: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index.
    #[error(transparent)]
    Index(#[from] StoreError),
    /// What the node remembers of itself.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// The port of the link.
    #[error("failed to listen on {address} for the peer: {source}; set g_mirror_listen to a free address")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The thread of the index.
    #[error("failed to start a thread: {0}")]
    Thread(std::io::Error),
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// No message has it any more.
    #[error("failed to read a message: its bytes are no longer kept")]
    Gone,
    /// The node is about to stop.
    #[error("failed to read a message: this node is shutting down")]
    Stopping,
    /// The bytes are not those that were written.
    #[error("failed to read a message: its bytes are damaged on this node; run `tellmail resync_fast`")]
    Damaged,
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index.
    #[error(transparent)]
    Index(#[from] StoreError),
}

/// A handle to the engine of this node. A clone is cheap.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    applier: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
}

impl Engine {
    /// Opens the store, and begins: the link is called, the index follows the log, a role is waited for.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(options: EngineOptions) -> Result<Self, StartError> {
        let listener = match (link::listens(options.node), &options.link.peer) {
            (true, Some(_)) => {
                let address = options.link.listen;
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| StartError::Listen { address, source })?)
            }
            _ => None,
        };
        let shared = tokio::task::block_in_place(|| open(options, Box::new(SystemClock)))?;
        let engine = Self { shared, tasks: TaskTracker::new(), applier: Arc::default() };
        engine.begin(listener)?;
        Ok(engine)
    }

    /// Takes a change: puts it in order here, or sends it to the master. It waits at most `g_mirror_hold` until one of
    /// these is possible.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was written then.
    pub async fn propose(&self, change: Change, bodies: Vec<Bytes>) -> Result<Ticket, ProposeError> {
        let shared = &self.shared;
        let mut changed = shared.changed.subscribe();
        let mut wanted = change;
        let deadline = tokio::time::Instant::now() + shared.options.timing.hold;
        loop {
            changed.borrow_and_update();
            match self.try_propose(wanted, &bodies)? {
                Ok(ticket) => return Ok(ticket),
                Err(again) => wanted = again,
            }
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep_until(deadline) => return Err(ProposeError::Holding),
                () = shared.stop.cancelled() => return Err(ProposeError::ShuttingDown),
            }
        }
    }

    /// One try: a ticket, or the change back where it has to wait.
    fn try_propose(&self, change: Change, bodies: &[Bytes]) -> Result<Result<Ticket, Change>, ProposeError> {
        let shared = &self.shared;
        if shared.stop.is_cancelled() {
            return Err(ProposeError::ShuttingDown);
        }
        let mut inner = shared.lock();
        match inner.node.accept(shared.now()) {
            AcceptState::NoRole | AcceptState::Wait => Ok(Err(change)),
            AcceptState::Holding => Err(ProposeError::Holding),
            AcceptState::Forward => {
                let (ticket, waiter) = Ticket::new();
                shared.forward(&mut inner, change, bodies, waiter)?;
                Ok(Ok(ticket))
            }
            AcceptState::Here => {
                let (ticket, waiter) = Ticket::new();
                let (origin, when) = shared.new_origin(&mut inner);
                match shared.sequence(&mut inner, change, bodies, origin, when, Some(waiter)) {
                    Ok(_) => Ok(Ok(ticket)),
                    Err((error, _)) => Err(error),
                }
            }
        }
    }

    /// Waits until this node may show state that is as new as anything that was answered before (rules N4, N5).
    ///
    /// # Errors
    /// See [`ShowError`].
    pub async fn read_point(&self) -> Result<Reader, ShowError> {
        self.shared.read_point().await?;
        Ok(self.shared.reader.clone())
    }

    /// What is applied here, however old that is: for logins, look-ups of addresses, and administration.
    pub fn reader(&self) -> Reader {
        self.shared.reader.clone()
    }

    /// The bytes of a message.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn body(&self, body: BodyId) -> Result<Bytes, BodyError> {
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || {
            let place = shared.reader.snapshot(|view| view.body(body))?.ok_or(BodyError::Gone)?;
            let bytes = shared.log.read_range(place.entry, place.offset_in_entry, place.size_bytes)?;
            if BodyId::of(&bytes) == body { Ok(bytes) } else { Err(BodyError::Damaged) }
        });
        read.await.map_err(|_| BodyError::Stopping)?
    }

    /// What changes, as it is applied. Whoever is told that it lags behind looks at everything again.
    pub fn touched(&self) -> broadcast::Receiver<Arc<[Touched]>> {
        self.shared.touched.subscribe()
    }

    /// The status of this node, after every change and once a second.
    pub fn status(&self) -> watch::Receiver<Arc<NodeStatus>> {
        self.shared.status.subscribe()
    }

    /// The status as it is at this very moment, for whoever must not see one that is some milliseconds old.
    ///
    /// # Errors
    /// [`ObeyRefusal::ShuttingDown`].
    pub async fn status_now(&self) -> Result<NodeStatus, ObeyRefusal> {
        let shared = self.shared.clone();
        let reading = tokio::task::spawn_blocking(move || current_status(&shared));
        reading.await.map_err(|_| ObeyRefusal::ShuttingDown)
    }

    /// Obeys a record of the authority, and answers with the status after it.
    ///
    /// # Errors
    /// [`ObeyRefusal::ShuttingDown`].
    pub async fn obey(&self, record: Record) -> Result<RecordAnswer, ObeyRefusal> {
        let shared = self.shared.clone();
        let obeying = tokio::task::spawn_blocking(move || {
            let refused = shared.obey(&record).err();
            RecordAnswer { refused, status: current_status(&shared) }
        });
        obeying.await.map_err(|_| ObeyRefusal::ShuttingDown)
    }

    /// Whether this node is in office: only then may be done what must happen once (rules A6, A11).
    pub fn in_office(&self) -> bool {
        self.shared.lock().node.in_office(self.shared.now())
    }

    /// The size of the log, in bytes.
    pub fn log_size_bytes(&self) -> u64 {
        self.shared.log.size_bytes()
    }

    /// Returns when the engine has stopped, by [`Self::shutdown`] or because something is broken: then with the reason.
    pub async fn stopped(&self) -> Option<String> {
        self.shared.stop.cancelled().await;
        let inner = self.shared.lock();
        inner.problems.values().find(|problem| FATAL.contains(&problem.reason.as_str())).map(|p| p.message.clone())
    }

    /// Ends the link, lets the index finish its batch, and closes the log.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let applier = self.applier.lock().unwrap_or_else(PoisonError::into_inner).take();
        tokio::task::block_in_place(|| {
            if let Some(applier) = applier
                && applier.join().is_err()
            {
                tracing::error!("the thread of the index ended by a panic");
            }
            if let Err(error) = self.shared.log.clone().close() {
                tracing::error!(error = error.to_string(), "failed to close the log");
            }
        });
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn begin(&self, listener: Option<TcpListener>) -> Result<(), StartError> {
        let shared = &self.shared;
        let (for_applier, runtime) = (shared.clone(), tokio::runtime::Handle::current());
        let applier = std::thread::Builder::new()
            .name("apply".to_owned())
            .spawn(move || apply::run(&for_applier, &runtime))
            .map_err(StartError::Thread)?;
        *self.applier.lock().unwrap_or_else(PoisonError::into_inner) = Some(applier);
        crate::person::begin(shared);
        self.tasks.spawn(link::run(shared.clone(), listener));
        self.tasks.spawn(flushing(shared.clone()));
        self.tasks.spawn(ticking(shared.clone()));
        self.tasks.spawn(telling(shared.clone()));
        Ok(())
    }
}

/// Reasons that end the engine.
const FATAL: [&str; 5] = ["LogFailed", "IndexFailed", "StoreFailed", "LinkFailed", "StoreRolledBack"];

fn open(options: EngineOptions, clock: Box<dyn Clock>) -> Result<Arc<Shared>, StartError> {
    let dir = options.dir.clone();
    let failed = |source| StartError::Dir { dir: dir.clone(), source };
    std::fs::create_dir_all(&dir).map_err(failed)?;
    let log_options = LogOptions {
        segment_max_bytes: options.segment_max_bytes,
        log_max_bytes: options.log_max_bytes.unwrap_or(u64::MAX),
        ..LogOptions::default()
    };
    let (log, recovered) = Log::open(&dir.join("log"), log_options)?;
    let tail = recovered.tail;
    let meta = Meta::open(&dir, || StoreId(rand::random()))?;
    let branches = Branches::find(&dir).map_err(failed)?;
    let store = Store::open(&dir.join("index"))?;
    let mut writer = store.writer()?;
    let (applied, hash) = writer.position();
    if log.header_hash_at(applied.seq)?.is_none_or(|(_, known)| known != hash) {
        tracing::warn!(%applied, "the index does not follow from the log: it is built anew");
        writer.reset()?;
    }
    let applied = writer.position().0.seq;
    let reader = store.reader();
    let counters = apply::counters_from(&reader.snapshot(mailmirror_store::Snapshot::counters)?);
    let now = clock.now();
    let identity = Identity { node: options.node, store: meta.get().store, incarnation: Incarnation(rand::random()) };
    let node = Node::start(
        identity,
        options.timing,
        options.stale,
        meta.get().obeyed,
        (tail.position, tail.commit),
        applied,
        now,
    );
    let started_at = clock.wall_millis();
    let committed = node.committed();
    let inner = Inner {
        node,
        meta,
        allocator: Allocator::new(options.node),
        tail_hash: tail.hash,
        hlc: tail.clock,
        next_counter: 1,
        waiters: BTreeMap::new(),
        told_committed: committed,
        forwards: BTreeMap::new(),
        forward_bytes: 0,
        next_forward: 0,
        forward_round: 0,
        forward_pause: None,
        origins: HashMap::new(),
        reads: ReadPoints::default(),
        session: None,
        link: Link::Disconnected { since: started_at, error: None },
        unsent: VecDeque::new(),
        unsent_is_full: false,
        counters,
        sent_since: Counters::default(),
        seen: None,
        proven_equal: None,
        marks: Marks::default(),
        progress: None,
        branches,
        problems: BTreeMap::new(),
    };
    let status = watch::Sender::new(Arc::new(crate::status::build_first(&inner, started_at)));
    let shared = Arc::new(Shared {
        clock,
        log,
        reader,
        writer: Mutex::new(writer),
        inner: Mutex::new(inner),
        changed: watch::Sender::new(0),
        tail: watch::Sender::new(tail.position.seq),
        committed: watch::Sender::new(committed),
        applied: watch::Sender::new(applied),
        touched: broadcast::Sender::new(TOUCHED_QUEUE_MAX),
        status,
        link_generation: watch::Sender::new(0),
        stop: CancellationToken::new(),
        started_at,
        options,
    });
    shared.status.send_replace(Arc::new(current_status(&shared)));
    Ok(shared)
}

/// The disk has flushed: entries are committed, the master is told.
async fn flushing(shared: Arc<Shared>) {
    let mut flushed = shared.log.flushed();
    loop {
        let failed = flushed.borrow().failed.clone();
        if let Some(error) = failed {
            shared.log_failed(&error);
            return;
        }
        {
            let mut inner = shared.lock();
            // Read while nobody cuts the log: a number of before the cut may be that of another entry now.
            let seq = flushed.borrow_and_update().seq;
            inner.node.on_flushed(seq, shared.now());
            link::acknowledge(&mut inner);
            shared.publish(&mut inner);
        }
        tokio::select! {
            changed = flushed.changed() => if changed.is_err() { return },
            () = shared.stop.cancelled() => return,
        }
    }
}

/// Time passes.
async fn ticking(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.stop.cancelled() => return,
        }
        crate::person::tick(&shared);
        let mut guard = shared.lock();
        let inner = &mut *guard;
        let actions = inner.node.tick(shared.now());
        if !actions.is_empty() {
            shared.carry_out(inner, actions);
        }
        shared.tick_forwards(inner);
        if inner.node.role() == Role::Slave && inner.node.is_following() && inner.branches.is_open() {
            crate::branch::resubmit(&shared, inner);
            link::acknowledge(inner);
        }
        if inner.node.accept(shared.now()) == AcceptState::Here {
            if inner.branches.is_open() {
                crate::branch::resubmit(&shared, inner);
            }
            shared.forward_to_self(inner);
        }
        if inner.node.is_holding(shared.now()) {
            // Whoever has waited for so long is not answered (rule N6).
            let committed = inner.node.committed();
            inner.waiters.split_off(&committed.next());
        }
        let seen = crate::status::seen(&shared, inner);
        if inner.seen.as_ref() != Some(&seen) {
            inner.seen = Some(seen);
            shared.publish(inner);
        }
    }
}

/// Tells the status.
async fn telling(shared: Arc<Shared>) {
    let mut changed = shared.changed.subscribe();
    let mut totals = Totals::default();
    let mut counted_at: Option<tokio::time::Instant> = None;
    loop {
        changed.borrow_and_update();
        // Counting everything costs some time in a large store: once a second is enough.
        if counted_at.is_none_or(|at| at.elapsed() >= STATUS_INTERVAL) {
            let reader = shared.reader.clone();
            let counting = tokio::task::spawn_blocking(move || reader.snapshot(mailmirror_store::Snapshot::totals));
            if let Ok(Ok(counted)) = counting.await {
                totals = counted;
            }
            counted_at = Some(tokio::time::Instant::now());
        }
        let status = crate::status::build(&shared, &shared.lock(), &totals);
        shared.status.send_replace(Arc::new(status));
        tokio::select! {
            () = tokio::time::sleep(STATUS_PAUSE) => {}
            () = shared.stop.cancelled() => return,
        }
        tokio::select! {
            _ = tokio::time::timeout(STATUS_INTERVAL, changed.changed()) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}

fn current_status(shared: &Shared) -> NodeStatus {
    let totals = shared.reader.snapshot(mailmirror_store::Snapshot::totals).unwrap_or_default();
    crate::status::build(shared, &shared.lock(), &totals)
}
