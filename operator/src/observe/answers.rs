//! What the nodes say, kept up to date by one task for each pod that follows its status stream: a wish reaches the
//! planner when it is spoken, not at the next poll.

use super::{Answer, Clock, Millis, ToldMark};
use mailmirror_control::auth::Secret;
use mailmirror_control::client::{ClientError, Connection, Timeouts};
use mailmirror_control::record::Record;
use mailmirror_control::status::{Link, NodeStatus, RecordAnswer};
use mailmirror_model::ids::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// How long is waited for a node. A status comes once a second.
pub const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(1),
    answer: Duration::from_secs(3),
    watch_silence: Duration::from_millis(2500),
};
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(500);
/// Numbers that only grow are passed on once in this time, in milliseconds.
const NUMBERS_EVERY_MS: u64 = 10_000;

/// A pair by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A node of a pair.
type NodeKey = (PairKey, NodeId);

/// Where a node is, and with which secrets it is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The identity of its pod.
    pub pod_uid: String,
    /// `host:port` of its admin API.
    pub address: String,
    /// The secrets, the current one first.
    pub secrets: Vec<Secret>,
}

struct Entry {
    answer: Answer,
    told: Option<ToldMark>,
    passed_on: Millis,
    place: Option<Place>,
    task: Option<AbortHandle>,
}

/// The answers of all nodes.
#[derive(Clone)]
pub struct Answers {
    shared: Arc<Shared>,
}

struct Shared {
    entries: Mutex<HashMap<NodeKey, Entry>>,
    clock: Clock,
    trigger: mpsc::Sender<PairKey>,
}

impl Answers {
    /// Nothing is known yet. `trigger` hears of every pair whose nodes said something new.
    pub fn new(clock: Clock, trigger: mpsc::Sender<PairKey>) -> Self {
        Self { shared: Arc::new(Shared { entries: Mutex::new(HashMap::new()), clock, trigger }) }
    }

    /// Follows the node at this place, and no other. `Err`: why it cannot be asked at all.
    pub fn follow(&self, pair: &PairKey, node: NodeId, place: Result<Place, String>) {
        let key = (pair.clone(), node);
        let mut entries = self.shared.lock();
        let entry = entries.entry(key.clone()).or_insert_with(|| Entry {
            answer: Answer::Unknown { why: "not asked yet".to_owned(), since: self.shared.clock.now(), last: None },
            told: None,
            passed_on: 0,
            place: None,
            task: None,
        });
        if entry.place.as_ref() == place.as_ref().ok() && entry.place.is_some() {
            return;
        }
        if let Some(task) = entry.task.take() {
            task.abort();
        }
        entry.place = place.as_ref().ok().cloned();
        match place {
            Err(why) => entry.silence(why, self.shared.clock.now()),
            Ok(place) => {
                let shared = Arc::clone(&self.shared);
                entry.task = Some(tokio::spawn(async move { shared.keep_following(key, place).await }).abort_handle());
            }
        }
    }

    /// What a node says, and what it was told.
    pub fn get(&self, pair: &PairKey, node: NodeId) -> (Answer, Option<ToldMark>) {
        let entries = self.shared.lock();
        let not_asked =
            || Answer::Unknown { why: "not asked yet".to_owned(), since: self.shared.clock.now(), last: None };
        entries
            .get(&(pair.clone(), node))
            .map_or_else(|| (not_asked(), None), |entry| (entry.answer.clone(), entry.told))
    }

    /// Tells a node the record, and notes what it says to that.
    ///
    /// # Errors
    /// Why it could not be told; it may have obeyed nevertheless.
    pub async fn tell(&self, pair: &PairKey, node: NodeId, record: &Record) -> Result<RecordAnswer, ClientError> {
        let key = (pair.clone(), node);
        let place = self.shared.lock().get(&key).and_then(|entry| entry.place.clone());
        let Some(place) = place else { return Err(ClientError::Body("the node has no address".to_owned())) };
        let answer = Connection::open(&place.address, &place.secrets, TIMEOUTS).await?.put_record(record).await?;
        let mut entries = self.shared.lock();
        if let Some(entry) = entries.get_mut(&key).filter(|entry| entry.place.as_ref() == Some(&place)) {
            entry.told = Some(ToldMark {
                incarnation: answer.status.incarnation,
                authority: record.authority,
                serial: record.serial,
                refused: answer.refused.is_some(),
                at: self.shared.clock.now(),
            });
            entry.answer = Answer::Status(Box::new(answer.status.clone()));
        }
        Ok(answer)
    }

    /// Forgets the pairs that are gone.
    pub fn retain(&self, keep: impl Fn(&PairKey) -> bool) {
        self.shared.lock().retain(|(pair, _), entry| {
            let kept = keep(pair);
            if let Some(task) = entry.task.take_if(|_| !kept) {
                task.abort();
            }
            kept
        });
    }
}

impl Entry {
    fn silence(&mut self, why: String, since: Millis) {
        self.answer =
            match std::mem::replace(&mut self.answer, Answer::Unknown { why: String::new(), since, last: None }) {
                Answer::Status(status) => Answer::Unknown { why, since, last: Some(status) },
                Answer::Unknown { since, last, .. } => Answer::Unknown { why, since, last },
            };
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeKey, Entry>> {
        // Nothing that is done under this lock can stop half way.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn keep_following(&self, key: NodeKey, place: Place) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let mut heard = self.clock.now();
            let why = match self.follow_once(&key, &place, &mut heard).await {
                Ok(()) => "the node ended the connection".to_owned(),
                Err(error) => error.to_string(),
            };
            if heard > 0 {
                backoff = BACKOFF_FIRST;
            }
            self.lost(&key, &place, why, heard);
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// `heard` becomes the time of the last word, or 0 if there was none.
    async fn follow_once(&self, key: &NodeKey, place: &Place, heard: &mut Millis) -> Result<(), ClientError> {
        *heard = 0;
        let connection = Connection::open(&place.address, &place.secrets, TIMEOUTS).await?;
        let mut watch = tokio::time::timeout(TIMEOUTS.answer, connection.watch())
            .await
            .map_err(|_| ClientError::Timeout(TIMEOUTS.answer))??;
        while let Some(status) = watch.next().await? {
            if status.node != key.1 {
                return Err(ClientError::Body(format!(
                    "node {} answers at the address of node {}",
                    status.node, key.1
                )));
            }
            *heard = self.clock.now();
            self.heard(key, place, status);
        }
        Ok(())
    }

    fn heard(&self, key: &NodeKey, place: &Place, status: NodeStatus) {
        let now = self.clock.now();
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(key).filter(|entry| entry.place.as_ref() == Some(place)) else { return };
        let news = match &entry.answer {
            Answer::Unknown { .. } => true,
            Answer::Status(before) => {
                essence(before) != essence(&status) || **before != status && now >= entry.passed_on + NUMBERS_EVERY_MS
            }
        };
        entry.answer = Answer::Status(Box::new(status));
        if news {
            entry.passed_on = now;
            drop(entries);
            self.pull_trigger(&key.0);
        }
    }

    fn lost(&self, key: &NodeKey, place: &Place, why: String, heard: Millis) {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(key).filter(|entry| entry.place.as_ref() == Some(place)) else { return };
        let news = matches!(entry.answer, Answer::Status(_));
        entry.silence(why, if heard > 0 { heard } else { self.clock.now() });
        drop(entries);
        if news {
            self.pull_trigger(&key.0);
        }
    }

    fn pull_trigger(&self, pair: &PairKey) {
        // A full channel means that a look at everything is due anyway, and the answers stay in the store.
        if self.trigger.try_send(pair.clone()).is_err() {
            tracing::warn!(pair = pair.name, "the trigger is full: the next look is the regular one");
        }
    }
}

/// What a decision may follow from: everything but the numbers that change with every message.
fn essence(status: &NodeStatus) -> NodeStatus {
    let mut essence = status.clone();
    essence.tail = mailmirror_model::ids::Position { epoch: mailmirror_model::ids::Epoch(0), seq: status.tail.seq };
    essence.tail.seq = mailmirror_model::ids::Seq(0);
    essence.committed = mailmirror_model::ids::Seq(0);
    essence.applied = mailmirror_model::ids::Seq(0);
    essence.peer_flushed = None;
    essence.lag_entries = None;
    essence.oldest_unsent_ms = None;
    essence.counters = mailmirror_control::status::Counters::default();
    essence.accounts = 0;
    essence.messages = 0;
    essence.log_bytes = 0;
    if let Some(progress) = &mut essence.progress {
        progress.done = 0;
        progress.done_bytes = 0;
        progress.total = None;
    }
    if let Link::Disconnected { error, .. } = &mut essence.link {
        *error = None;
    }
    essence
}
