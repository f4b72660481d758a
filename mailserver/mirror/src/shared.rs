//! What the tasks of an engine share: one lock around the rules and the numbers, and signals beside it.
//!
//! **Architecture invariant:** nothing waits while it holds the lock, but for the durable words of rule A7, which have
//! to be written before anything else happens.

use crate::branch::Branches;
use crate::clock::Clock;
use crate::link::Outgoing;
use crate::meta::Meta;
use crate::node::{Action, Node, Time};
use crate::options::EngineOptions;
use crate::ticket::Waiter;
use bytes::Bytes;
use mailmirror_control::record::{Ready, Record, Wish};
use mailmirror_control::status::{Counters, Link, NodeStatus, Problem, Progress, ProvenEqual, SwapProgress};
use mailmirror_log::{Log, LogError};
use mailmirror_model::allocate::Allocator;
use mailmirror_model::ids::{ChainHash, Hlc, Origin, Position, Seq};
use mailmirror_model::outcome::Touched;
use mailmirror_store::{Reader, Writer};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Everything that the tasks of one engine share.
pub(crate) struct Shared {
    pub options: EngineOptions,
    pub clock: Box<dyn Clock>,
    pub log: Log,
    pub reader: Reader,
    pub writer: Mutex<Writer>,
    pub inner: Mutex<Inner>,
    /// Bumped after every change of what the lock guards.
    pub changed: watch::Sender<u64>,
    /// The end of the log, for whoever sends it.
    pub tail: watch::Sender<Seq>,
    /// What is committed, for whoever applies or tells it.
    pub committed: watch::Sender<Seq>,
    pub applied: watch::Sender<Seq>,
    pub touched: broadcast::Sender<Arc<[Touched]>>,
    pub status: watch::Sender<Arc<NodeStatus>>,
    /// Bumped when the link has to begin anew.
    pub link_generation: watch::Sender<u64>,
    pub stop: CancellationToken,
    pub started_at: u64,
}

/// What the lock guards.
pub(crate) struct Inner {
    pub node: Node,
    pub meta: Meta,
    pub allocator: Allocator,
    pub tail_hash: ChainHash,
    pub hlc: Hlc,
    pub next_counter: u64,
    /// Changes in the log that somebody waits for.
    pub waiters: BTreeMap<Seq, Waiter>,
    /// Up to where waiters have been told that theirs is committed.
    pub told_committed: Seq,
    /// Changes that the master has not put in order yet (rule N2).
    pub forwards: BTreeMap<Origin, PendingForward>,
    pub forward_bytes: usize,
    pub next_forward: u64,
    /// Counts how often forwards were begun to be sent anew: those of an earlier round are not taken, so that none
    /// overtakes one that was refused for the moment.
    pub forward_round: u64,
    /// The master takes none for the moment: one is offered, not before this time, until one is taken.
    pub forward_pause: Option<Time>,
    /// Forwards of the peer that are in the log and not applied yet.
    pub origins: HashMap<Origin, Seq>,
    pub reads: ReadPoints,
    pub session: Option<Session>,
    pub link: Link,
    pub unsent: VecDeque<Unsent>,
    pub unsent_is_full: bool,
    pub counters: Counters,
    /// What was sent and is not in the kept counters yet.
    pub sent_since: Counters,
    /// What the ticker saw last: it tells when time alone has changed something.
    pub seen: Option<Seen>,
    pub proven_equal: Option<ProvenEqual>,
    pub marks: Marks,
    pub progress: Option<Progress>,
    /// Branch files whose operations are not all back in the log (rule U2).
    pub branches: Branches,
    pub problems: BTreeMap<&'static str, Problem>,
}

/// What follows from the rules and the time, and that others wait for.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub wish: Option<Wish>,
    pub ready: Option<Ready>,
    pub in_office: bool,
    pub holding: bool,
    pub swap: Option<SwapProgress>,
}

/// A forward that has no place in the log yet.
pub(crate) struct PendingForward {
    /// Counted through all of them: the order in which they are wanted.
    pub number: u64,
    pub frame: Bytes,
    /// `None`: nobody waits any more, or it comes from a branch.
    pub waiter: Option<Waiter>,
    /// The connection that it was sent on last; `None` when it is to be sent.
    pub sent_on: Option<u64>,
    /// Whether the master may have it.
    pub was_sent: bool,
    /// Whether it was sent on an earlier connection that ended without an answer: then a refusal says nothing of that.
    pub in_doubt: bool,
    pub since: Time,
}

/// Read points that are being asked for: one question at a time, shared by all who wait (rule N4).
#[derive(Default)]
pub(crate) struct ReadPoints {
    pub next_id: u64,
    pub asked: Option<(u64, Vec<oneshot::Sender<Option<Seq>>>)>,
    pub waiting: Vec<oneshot::Sender<Option<Seq>>>,
}

/// The link as the rest of the engine sees it.
pub(crate) struct Session {
    pub id: u64,
    pub out: mpsc::Sender<Outgoing>,
}

/// An entry that the peer lacks, for the durable counters.
pub(crate) struct Unsent {
    pub seq: Seq,
    pub adds: u64,
    pub add_bytes: u64,
    pub dels: u64,
    pub since: Time,
}

/// Digests at marks, here and there; the latest few.
#[derive(Default)]
pub(crate) struct Marks {
    ours: VecDeque<(u64, Position, u128)>,
    theirs: VecDeque<(u64, u128)>,
}

/// Marks that are remembered.
const MARKS_MAX: usize = 16;

impl Marks {
    pub fn note_ours(&mut self, mark: u64, position: Position, digest: u128) {
        self.ours.push_back((mark, position, digest));
        self.ours.keep_latest(MARKS_MAX);
    }

    pub fn note_theirs(&mut self, mark: u64, digest: u128) {
        self.theirs.push_back((mark, digest));
        self.theirs.keep_latest(MARKS_MAX);
    }

    /// What both nodes have at a mark, as soon as both have told.
    pub fn both(&self, mark: u64) -> Option<(Position, u128, u128)> {
        let (_, position, ours) = self.ours.iter().find(|(id, ..)| *id == mark)?;
        let (_, theirs) = self.theirs.iter().find(|(id, _)| *id == mark)?;
        Some((*position, *ours, *theirs))
    }
}

trait KeepLatest {
    fn keep_latest(&mut self, most: usize);
}

impl<T> KeepLatest for VecDeque<T> {
    fn keep_latest(&mut self, most: usize) {
        while self.len() > most {
            self.pop_front();
        }
    }
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held has ended one task; what it guards is changed by small steps that are whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Carries out what the rules have decided, in order, and tells everybody.
    pub fn carry_out(&self, inner: &mut Inner, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist(obeyed) => {
                    let record = inner.node.record().cloned().filter(|_| !self.is_managed());
                    let written = inner.meta.update(|remembered| {
                        remembered.obeyed = Some(obeyed);
                        if record.is_some() {
                            remembered.record = record;
                        }
                    });
                    if let Err(error) = written {
                        self.fail(inner, "StoreFailed", &error.to_string());
                        return;
                    }
                }
                Action::WriteEpoch(start) => self.write_control(inner, mailmirror_model::entry::Kind::Epoch, &start),
                Action::WriteGrant(grant) => self.write_control(inner, mailmirror_model::entry::Kind::Grant, &grant),
                Action::WriteSeal(seal) => {
                    self.write_control(inner, mailmirror_model::entry::Kind::Seal, &seal);
                    // Says that this master is out of office (rule A6).
                    crate::link::ping(self, inner);
                }
                Action::RestartLink => {
                    inner.allocator = Allocator::new(self.options.node);
                    self.link_generation.send_modify(|generation| *generation += 1);
                }
            }
        }
        self.publish(inner);
    }

    /// Tells everybody what has changed: those who wait for a commit, the applier, the link, and who watches.
    pub fn publish(&self, inner: &mut Inner) {
        let committed = inner.node.committed();
        if committed > inner.told_committed {
            let told = (std::ops::Bound::Excluded(inner.told_committed), std::ops::Bound::Included(committed));
            for (_, waiter) in inner.waiters.range_mut(told) {
                waiter.tell_committed();
            }
            inner.told_committed = committed;
            self.committed.send_if_modified(|seq| std::mem::replace(seq, committed) < committed);
        }
        let tail = inner.node.tail().seq;
        self.tail.send_if_modified(|seq| std::mem::replace(seq, tail) != tail);
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }

    pub fn is_managed(&self) -> bool {
        self.options.authority == crate::options::Authority::Managed
    }

    /// Something is broken that only a person or a restart can mend: said in the status, and nothing is taken any more.
    pub fn fail(&self, inner: &mut Inner, reason: &'static str, message: &str) {
        tracing::error!(reason, message, "this node stops taking changes");
        inner.problems.insert(reason, Problem { reason: reason.to_owned(), message: message.to_owned() });
        self.stop.cancel();
    }

    pub fn note_problem(inner: &mut Inner, reason: &'static str, message: String) {
        let problem = Problem { reason: reason.to_owned(), message };
        if inner.problems.get(reason) != Some(&problem) {
            tracing::warn!(reason, message = problem.message, "a problem");
            inner.problems.insert(reason, problem);
        }
    }

    pub fn log_failed(&self, error: &LogError) {
        let mut inner = self.lock();
        self.fail(&mut inner, "LogFailed", &error.to_string());
        self.publish(&mut inner);
    }

    /// Obeys a record, and on plain hosts keeps it.
    pub fn obey(&self, record: &Record) -> Result<(), mailmirror_control::status::ObeyRefusal> {
        self.obey_locked(&mut self.lock(), record)
    }

    /// The same, by one who holds the lock.
    pub fn obey_locked(
        &self,
        inner: &mut Inner,
        record: &Record,
    ) -> Result<(), mailmirror_control::status::ObeyRefusal> {
        let actions = inner.node.obey(record, self.now())?;
        if !self.is_managed()
            && let Err(error) = inner.meta.update(|remembered| remembered.record = Some(record.clone()))
        {
            self.fail(inner, "StoreFailed", &error.to_string());
        }
        self.carry_out(inner, actions);
        Ok(())
    }
}
