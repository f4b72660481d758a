//! A load of messages that knows which of them were acknowledged.

use crate::clients::imap::View;
use crate::clients::smtp::{Delivery, Smtp};
use crate::mail;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The pause before a sender tries again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a sender waits for an answer: longer than `g_mirror_hold` of any test.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a load sends, where, and in how many sessions at once.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Stands in every message.
    pub name: String,
    /// How many messages.
    pub messages: usize,
    /// How large each is, in bytes.
    pub size_bytes: usize,
    /// How many sessions at once. Each begins with another address.
    pub connections: usize,
    /// Where it can be delivered. After a failure the next one is tried.
    pub targets: Vec<SocketAddr>,
    /// To whom.
    pub recipient: String,
    /// After this time nothing is tried any more.
    pub limit: Duration,
}

/// What became of the messages.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Acknowledged, with the time from the first try to the `250`.
    pub acknowledged: BTreeMap<String, Duration>,
    /// How often it was not known whether the server had taken a message.
    pub unknown: BTreeMap<String, usize>,
    /// How often a server said no.
    pub refused: usize,
}

impl Ledger {
    /// That every acknowledged message is there, and none more often than it may be: once for its acknowledgement, and
    /// once for each try whose outcome is unknown. Says how many are there twice.
    ///
    /// # Errors
    /// Which are lost, or too many.
    pub fn check(&self, view: &View) -> Result<usize> {
        self.check_kept(view)?;
        let found = view.by_subject();
        let mut twice = 0;
        for (marker, uids) in &found {
            let acknowledged = usize::from(self.acknowledged.contains_key(marker));
            let most = acknowledged + self.unknown.get(marker).copied().unwrap_or_default();
            if uids.len() > most {
                bail!("{marker} is there {} times, and was sent {most} times: {uids:?}", uids.len());
            }
            twice += uids.len() - 1;
        }
        Ok(twice)
    }

    /// That every acknowledged message is there.
    ///
    /// # Errors
    /// Which are lost.
    pub fn check_kept(&self, view: &View) -> Result<()> {
        let found = view.by_subject();
        let lost: Vec<_> = self.acknowledged.keys().filter(|marker| !found.contains_key(*marker)).collect();
        if lost.is_empty() {
            return Ok(());
        }
        bail!("{} of {} acknowledged messages are lost: {lost:?}", lost.len(), self.acknowledged.len());
    }

    /// Takes over what another load did.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
        self.refused += other.refused;
    }
}

/// A load that is under way.
pub struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<()>,
}

struct Shared {
    options: LoadOptions,
    waiting: Mutex<VecDeque<String>>,
    ledger: Mutex<Ledger>,
    count: watch::Sender<usize>,
    end: Instant,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// Begins.
    pub fn begin(options: LoadOptions) -> Self {
        let waiting = (0..options.messages).map(|number| format!("{}-{number}", options.name)).collect();
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            ledger: Mutex::default(),
            count: watch::Sender::new(0),
            end: Instant::now() + options.limit,
            options,
        });
        let mut senders = JoinSet::new();
        for index in 0..shared.options.connections {
            senders.spawn(sender(shared.clone(), index));
        }
        Self { shared, senders }
    }

    /// Waits until this many messages are acknowledged, or the load has ended.
    ///
    /// # Errors
    /// When the time of the load is over.
    pub async fn until(&self, acknowledged: usize) -> Result<()> {
        let mut count = self.shared.count.subscribe();
        let reached = count.wait_for(|count| *count >= acknowledged);
        match tokio::time::timeout_at(self.shared.end, reached).await {
            Ok(_) => Ok(()),
            Err(_) => bail!("{} of {acknowledged} messages were acknowledged in time", *self.shared.count.borrow()),
        }
    }

    /// Nothing that has not been tried yet is sent any more.
    pub fn stop(&self) {
        lock(&self.shared.waiting).clear();
    }

    /// What is known now.
    pub fn so_far(&self) -> Ledger {
        lock(&self.shared.ledger).clone()
    }

    /// Waits until every message is acknowledged, or the time is over: those that are not then are not in the ledger.
    pub async fn end(mut self) -> Ledger {
        while self.senders.join_next().await.is_some() {}
        lock(&self.shared.ledger).clone()
    }
}

async fn sender(shared: Arc<Shared>, index: usize) {
    let options = &shared.options;
    let mut session: Option<Smtp> = None;
    let mut at = index;
    loop {
        let Some(marker) = lock(&shared.waiting).pop_front() else { return };
        let message = mail::message(&marker, options.size_bytes);
        let begun = Instant::now();
        while Instant::now() < shared.end {
            let target = options.targets[at % options.targets.len()];
            let delivery = match session.take() {
                Some(open) => deliver(open, &options.recipient, &message).await,
                None => match Smtp::connect(target, PATIENCE).await {
                    Ok(open) => deliver(open, &options.recipient, &message).await,
                    Err(error) => (Delivery::NotSent(error), None),
                },
            };
            match delivery {
                (Delivery::Accepted(_), open) => {
                    lock(&shared.ledger).acknowledged.insert(marker.clone(), begun.elapsed());
                    shared.count.send_modify(|count| *count += 1);
                    session = open;
                    break;
                }
                (Delivery::Refused(_), _) => lock(&shared.ledger).refused += 1,
                (Delivery::NotSent(_), _) => {}
                (Delivery::Unknown(_), _) => {
                    *lock(&shared.ledger).unknown.entry(marker.clone()).or_default() += 1;
                }
            }
            at += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What became of a message, and the session where it can be used again.
async fn deliver(mut open: Smtp, recipient: &str, message: &[u8]) -> (Delivery, Option<Smtp>) {
    match open.send("load@sender.example", recipient, message).await {
        accepted @ Delivery::Accepted(_) => (accepted, Some(open)),
        other => (other, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clients::imap::Shown;

    fn view(markers: &[&str]) -> View {
        let shown = |marker: &&str| Shown { body: mail::message(marker, 10), ..Shown::default() };
        View { uid_validity: 1, uid_next: 100, messages: (1..).zip(markers.iter().map(shown)).collect() }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_only_unknown_tries_may_be_twice() {
        let ledger = Ledger {
            acknowledged: ["a", "b"].map(|marker| (marker.to_owned(), Duration::ZERO)).into(),
            unknown: [("b".to_owned(), 1)].into(),
            refused: 0,
        };
        assert_eq!(ledger.check(&view(&["a", "b"])).unwrap(), 0);
        assert_eq!(ledger.check(&view(&["a", "b", "b"])).unwrap(), 1);
        assert!(ledger.check(&view(&["b"])).unwrap_err().to_string().contains("lost"));
        assert!(ledger.check(&view(&["a", "a", "b"])).unwrap_err().to_string().contains("2 times"));
        assert!(ledger.check(&view(&["a", "b", "c"])).is_err());
    }
}
