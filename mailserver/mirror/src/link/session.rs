//! One connection, from the first word to the last. What a node does on it follows from its role: [`super::serve`] for
//! a master, [`super::follow`] for a slave; heartbeats and standings are common to both.

use super::frame::{self, FrameError, FrameType, Parts};
use super::message::{Message, Standing};
use super::sender::{self, SendError};
use super::{OUT_QUEUE_MAX_MESSAGES, follow, serve};
use crate::node::Time;
use crate::shared::{Inner, Session, Shared};
use bytes::Bytes;
use mailmirror_control::status::{Link, Role};
use mailmirror_model::entry::EntryError;
use mailmirror_model::ids::{Epoch, Hlc, StoreId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

/// Numbers connections, so that what belongs to an old one is not taken for the new one's.
static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("failed to read a message: {0}")]
    Json(#[from] serde_json::Error),
    #[error("failed to read an entry from the peer: {0}")]
    Entry(#[from] EntryError),
    #[error("failed to read a forwarded change: {0}")]
    Forward(String),
    #[error("the peer said: {0}")]
    Goodbye(String),
    #[error("{0}")]
    Refused(String),
    #[error("the role of this node has changed")]
    NewRole,
    #[error("the connection ended")]
    Ended,
}

/// One connection as its reading half sees it.
pub(super) struct Reading {
    pub id: u64,
    pub peer: Option<Standing>,
    pub follow: follow::Follow,
    /// Forwards of this round and before are not taken: one of them was refused for the moment.
    pub refused_round: Option<u64>,
}

/// Runs one connection to its end.
pub(crate) async fn run<S: AsyncRead + AsyncWrite + Send>(shared: &Arc<Shared>, stream: S) {
    let id = SESSIONS.fetch_add(1, Ordering::Relaxed);
    let (reader, writer) = tokio::io::split(stream);
    let (out, queue) = mpsc::channel(OUT_QUEUE_MAX_MESSAGES);
    // From before the standing is told: what changes after it is not missed.
    let generation;
    {
        let now = shared.now();
        let mut inner = shared.lock();
        inner.session = Some(Session { id, out });
        // What was acknowledged or told on an earlier connection does not count on this one (rule A5).
        forget_connection(&mut inner, now);
        generation = shared.link_generation.subscribe();
        let standing = standing(shared, &inner);
        super::send(&mut inner, Message::Standing(standing));
    }
    let _guard = EndOfSession { shared, id };
    let ended = tokio::select! {
        sent = sender::run(shared, writer, queue) => sent.err().map_or(SessionError::Ended, SessionError::from),
        read = read(shared, reader, id) => match read { Ok(never) => match never {}, Err(error) => error },
        () = beat(shared, id, generation) => SessionError::NewRole,
    };
    let text = ended.to_string();
    if !matches!(ended, SessionError::NewRole) {
        tracing::info!(why = text, "the link to the peer ended");
    }
    let mut inner = shared.lock();
    if inner.session.as_ref().is_none_or(|session| session.id == id) {
        inner.link = Link::Disconnected { since: shared.clock.wall_millis(), error: Some(text) };
    }
}

/// Takes a connection out of the engine however its task ends.
struct EndOfSession<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Drop for EndOfSession<'_> {
    fn drop(&mut self) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        if inner.session.as_ref().is_some_and(|session| session.id != self.id) {
            return;
        }
        inner.session = None;
        if matches!(inner.link, Link::Connected { .. }) {
            inner.link = Link::Disconnected { since: self.shared.clock.wall_millis(), error: None };
        }
        forget_connection(&mut inner, now);
        self.shared.publish(&mut inner);
    }
}

fn forget_connection(inner: &mut Inner, now: Time) {
    inner.node.on_following(false);
    inner.node.on_peer_gone(now);
    // Those who wait for a read point ask again when there is a link.
    inner.reads.asked = None;
    inner.reads.waiting.clear();
}

/// Pings the peer; ends when the link has to begin anew.
async fn beat(shared: &Shared, id: u64, mut generation: watch::Receiver<u64>) {
    let mut ticks = tokio::time::interval(shared.options.timing.lease / 8);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let mut inner = shared.lock();
                if inner.session.as_ref().is_none_or(|session| session.id != id) {
                    return;
                }
                ping(shared, &mut inner);
            }
            changed = generation.changed() => {
                drop(changed);
                return;
            }
        }
    }
}

pub(crate) fn ping(shared: &Shared, inner: &mut Inner) {
    // A node that has obeyed nobody asks for nothing; epochs begin at 1.
    let epoch = inner.node.obeyed().map_or(Epoch(0), |obeyed| obeyed.epoch);
    let (sent, office) = (shared.now().0, inner.node.wants_office());
    super::send(inner, Message::Ping { sent, epoch, office });
}

enum Never {}

async fn read<R: AsyncRead + Unpin>(shared: &Arc<Shared>, mut reader: R, id: u64) -> Result<Never, SessionError> {
    let mut reading = Reading { id, peer: None, follow: follow::Follow::default(), refused_round: None };
    let silence = shared.options.link.silence_timeout;
    let mut parts = Parts::default();
    loop {
        let (kind, payload) = frame::read(&mut reader, silence).await?;
        let Some((kind, payload)) = parts.take(kind, payload)? else { continue };
        match kind {
            FrameType::Part => {}
            FrameType::Control => control(shared, &mut reading, &payload)?,
            FrameType::Entries => follow::entries(shared, &mut reading, payload).await?,
            FrameType::Forward => serve::forward(shared, &mut reading, payload)?,
        }
    }
}

fn control(shared: &Arc<Shared>, reading: &mut Reading, payload: &Bytes) -> Result<(), SessionError> {
    let message: Message = serde_json::from_slice(payload)?;
    let now = shared.now();
    let mut guard = shared.lock();
    let inner = &mut *guard;
    match message {
        Message::Standing(standing) => stand(shared, inner, reading, standing)?,
        Message::Probe { samples } => serve::probe(shared, inner, &samples)?,
        Message::Probed { common, differs, first } => {
            let fork = follow::probed(shared, inner, reading, common, differs, first)?;
            drop(guard);
            if let Some(common) = fork {
                follow::start(shared, reading, common)?;
            }
        }
        Message::Follow { after, flushed, busy } => {
            serve::follow(shared, inner, reading, after, flushed.min(after), busy)?;
        }
        Message::Ack { flushed, busy } => {
            inner.node.on_peer_flushed(flushed, busy, now);
            crate::apply::note_sent(inner);
            shared.publish(inner);
        }
        Message::Commit { seq } => {
            inner.node.on_commit_told(seq, now);
            shared.publish(inner);
        }
        Message::Ping { sent, epoch, office } => {
            let lease = inner.node.give_lease(epoch, office, now);
            super::send(inner, Message::Pong { sent, epoch, lease });
        }
        Message::Pong { sent, epoch, lease } => {
            if lease && sent <= now.0 {
                inner.node.on_lease(epoch, Time(sent));
                shared.publish(inner);
            }
        }
        Message::AskReadPoint { id } => {
            let from = inner.node.read_point(now);
            super::send(inner, Message::ReadPoint { id, from });
        }
        Message::ReadPoint { id, from } => crate::read_point::answered(inner, id, from),
        Message::ForwardRefused { origin, round, why } => crate::forward::refused(inner, origin, round, &why, now),
        Message::ForwardKnown { origin } => crate::forward::known(inner, origin),
        Message::AskMark { mark } => {
            // The one who asked finds out that there is none when the time is up.
            crate::compare::write_mark(shared, inner, mark);
        }
        Message::MarkDigest { mark, digest } => {
            if let Ok(digest) = u128::from_str_radix(&digest, 16) {
                inner.marks.note_theirs(mark, digest);
                shared.publish(inner);
            }
        }
        Message::Record(record) => {
            drop(guard);
            if !shared.is_managed()
                && let Err(error) = shared.obey(&record)
            {
                tracing::info!(error = error.to_string(), "a record of the peer is not obeyed");
            }
        }
        Message::Goodbye { why } => return Err(SessionError::Goodbye(why)),
        Message::Unknown => {}
    }
    Ok(())
}

/// The peer says where it stands: this node may have to step down, or can resume its role (rules A7, A8).
fn stand(
    shared: &Arc<Shared>,
    inner: &mut Inner,
    reading: &mut Reading,
    standing: Standing,
) -> Result<(), SessionError> {
    let now = shared.now();
    if standing.node == shared.options.node {
        return Err(SessionError::Refused(format!("both nodes are node {}", standing.node)));
    }
    lacks_committed(shared, inner, &standing)?;
    if reading.peer.is_none() {
        inner.link = Link::Connected {
            since: shared.clock.wall_millis(),
            peer_store: standing.store,
            peer_incarnation: standing.incarnation,
        };
    }
    let before = (inner.node.role(), inner.node.obeyed().copied());
    let mut actions = Vec::new();
    if let Some(obeyed) = standing.obeyed {
        let same_authority = inner.node.obeyed().is_none_or(|ours| ours.authority == obeyed.authority);
        if same_authority || !shared.is_managed() {
            actions.extend(inner.node.see_epoch(obeyed, now));
        }
        actions.extend(inner.node.resume(obeyed.epoch, now));
    }
    // This very connection tells the peer of the new standing: it need not begin anew.
    actions.retain(|action| *action != crate::node::Action::RestartLink);
    shared.carry_out(inner, actions);
    let peer_epoch = standing.obeyed.map(|obeyed| obeyed.epoch);
    reading.peer = Some(standing);
    if before != (inner.node.role(), inner.node.obeyed().copied()) {
        inner.allocator = mailmirror_model::allocate::Allocator::new(shared.options.node);
        let standing = self::standing(shared, inner);
        super::send(inner, Message::Standing(standing));
    }
    // A record that promotes the peer may not have reached it: the link begins anew when this node steps down.
    if !shared.is_managed()
        && let Some(record) = inner.meta.get().record.clone()
        && (inner.node.role() == Role::Master || Some(record.epoch) > peer_epoch)
    {
        super::send(inner, Message::Record(Box::new(record)));
    }
    follow::begin(shared, inner, reading)
}

pub(super) fn standing(shared: &Shared, inner: &Inner) -> Standing {
    let identity = inner.node.identity();
    Standing {
        node: identity.node,
        store: identity.store,
        incarnation: identity.incarnation,
        role: inner.node.role(),
        obeyed: inner.node.obeyed().copied(),
        tail: inner.node.tail(),
        // One that cannot be read is not known.
        committed: shared.log.header_hash_at(inner.node.committed()).ok().flatten().map(|(position, _)| position),
    }
}

/// The peer knows an entry of this node's own epoch to be committed that is not here: this store has lost something, or
/// is an older one (rule A5). It becomes another store before anything else, so that the record does not count on it.
fn lacks_committed(shared: &Shared, inner: &mut Inner, standing: &Standing) -> Result<(), SessionError> {
    let (Some(ours), Some(theirs), Some(committed)) = (inner.node.obeyed(), standing.obeyed, standing.committed) else {
        return Ok(());
    };
    let is_own_epoch = ours.holder == shared.options.node
        && (ours.authority, ours.epoch) == (theirs.authority, theirs.epoch)
        && committed.epoch == ours.epoch;
    if !is_own_epoch || committed.seq <= inner.node.tail().seq {
        return Ok(());
    }
    let message = format!(
        "this store ends at {}, but its peer has entries of it up to {committed}: it is an older copy, or has lost \
         something. It is taken for a new store from now on: the peer can be promoted, and fills it",
        inner.node.tail()
    );
    let written = inner.meta.update(|remembered| {
        remembered.store = StoreId(rand::random());
        remembered.obeyed = None;
    });
    match written {
        Ok(()) => shared.fail(inner, "StoreRolledBack", &message),
        Err(error) => shared.fail(inner, "StoreFailed", &error.to_string()),
    }
    Err(SessionError::Refused(message))
}

/// Whether this node follows that peer: both obey one epoch, and the peer is its master, in its role.
pub(super) fn follows(inner: &Inner, peer: &Standing) -> bool {
    let Some(obeyed) = inner.node.obeyed() else { return false };
    inner.node.role() == Role::Slave
        && peer.role == Role::Master
        && peer.obeyed.is_some_and(|theirs| theirs.epoch == obeyed.epoch && theirs.authority == obeyed.authority)
        && obeyed.holder == peer.node
}

/// Whether that peer may follow this node.
pub(super) fn serves(inner: &Inner, peer: &Standing) -> bool {
    let Some(obeyed) = inner.node.obeyed() else { return false };
    inner.node.role() == Role::Master && peer.obeyed.is_some_and(|theirs| theirs.epoch == obeyed.epoch)
}

/// What was seen of another node's clock moves ours forward.
pub(super) fn see_clock(inner: &mut Inner, clock: Hlc) {
    inner.hlc = inner.hlc.merge(clock);
}
