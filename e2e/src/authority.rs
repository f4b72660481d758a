//! An authority for two nodes: what the operator is in a cluster, by the same rules of the record (MIRROR.md section
//! 4), over the nodes' admin API. The record is in memory: it is as durable as the test that made it.

use anyhow::{Context, Result, bail};
use mailmirror_control::auth::Secret;
use mailmirror_control::client::{ClientError, Connection, Timeouts};
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_control::status::{Link, NodeStatus, Role, SwapProgress};
use mailmirror_model::ids::{AuthorityId, NodeId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The pause before a node that did not answer is asked again.
const PAUSE: Duration = Duration::from_millis(50);
/// A node that is silent for longer is not waited for.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    answer: Duration::from_secs(2),
    watch_silence: Duration::from_millis(2500),
};

/// What a node said last, while it is connected.
pub type Seen = Option<Arc<NodeStatus>>;

/// The authority of one pair.
#[derive(Clone)]
pub struct Authority {
    shared: Arc<Shared>,
    _tasks: Arc<JoinSet<()>>,
}

struct Shared {
    admin: [SocketAddr; 2],
    secrets: Vec<Secret>,
    record: watch::Sender<Option<Record>>,
    silent: watch::Sender<bool>,
    seen: [watch::Sender<Seen>; 2],
}

impl Authority {
    /// Follows both nodes. As soon as node `first` answers, the record is written with it as master.
    pub fn begin(admin: [SocketAddr; 2], secret: Secret, policy: AckPolicy, first: NodeId) -> Self {
        let shared = Arc::new(Shared {
            admin,
            secrets: vec![secret],
            record: watch::Sender::new(None),
            silent: watch::Sender::new(false),
            seen: [watch::Sender::new(None), watch::Sender::new(None)],
        });
        let mut tasks = JoinSet::new();
        for node in NodeId::BOTH {
            let shared = shared.clone();
            tasks.spawn(async move {
                loop {
                    let first = (node == first).then_some(policy);
                    // Why it ended is told by whoever waits for the node.
                    let _ended = follow(&shared, node, first).await;
                    shared.seen[node.index()].send_replace(None);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { shared, _tasks: Arc::new(tasks) }
    }

    /// The record as it is.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn record(&self) -> Result<Record> {
        self.shared.record.borrow().clone().context("the authority has no record yet")
    }

    /// What a node said last; `None` while it is not connected.
    pub fn seen(&self, node: NodeId) -> Seen {
        self.shared.seen[node.index()].borrow().clone()
    }

    /// Waits until a node is as wanted.
    ///
    /// # Errors
    /// When it is not after `limit`, with its last status.
    pub async fn until(
        &self,
        node: NodeId,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&NodeStatus) -> bool,
    ) -> Result<Arc<NodeStatus>> {
        let mut seen = self.shared.seen[node.index()].subscribe();
        let reached = seen.wait_for(|seen| seen.as_ref().is_some_and(|status| wanted(status)));
        if let Ok(Ok(found)) = tokio::time::timeout(limit, reached).await {
            return found.clone().context("the node is gone");
        }
        bail!("node {node} was not {what} in {limit:?}: {:#?}\nrecord: {:#?}", self.seen(node), self.record().ok());
    }

    /// Waits until both nodes have everything and the record names both.
    ///
    /// # Errors
    /// When they have not after `limit`.
    pub async fn until_mirrored(&self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        let mut changes = [self.shared.seen[0].subscribe(), self.shared.seen[1].subscribe()];
        let mut record = self.shared.record.subscribe();
        loop {
            for seen in &mut changes {
                seen.borrow_and_update();
            }
            record.borrow_and_update();
            if self.is_mirrored() {
                return Ok(());
            }
            let [one, two] = &mut changes;
            let changed = async {
                tokio::select! {
                    changed = one.changed() => changed,
                    changed = two.changed() => changed,
                    changed = record.changed() => changed,
                }
            };
            if !matches!(tokio::time::timeout_at(end, changed).await, Ok(Ok(()))) {
                let both = NodeId::BOTH.map(|node| self.seen(node));
                bail!("the pair was not mirrored in {limit:?}: {both:#?}\nrecord: {:#?}", self.record().ok());
            }
        }
    }

    fn is_mirrored(&self) -> bool {
        let Ok(record) = self.record() else { return false };
        let [Some(zero), Some(one)] = NodeId::BOTH.map(|node| self.seen(node)) else { return false };
        let (master, slave) = if record.holder == NodeId::Zero { (zero, one) } else { (one, zero) };
        let has_all = |node: &NodeStatus| node.applied == node.tail.seq && node.progress.is_none();
        let told = |node: &NodeStatus| node.obeyed.is_some_and(|obeyed| obeyed.epoch == record.epoch);
        let in_set = record.policy == AckPolicy::Local || record.members.len() == 2;
        let office = record.policy == AckPolicy::Local || master.in_office && !master.alone;
        in_set
            && office
            && told(&master)
            && told(&slave)
            && (master.role, slave.role) == (Role::Master, Role::Slave)
            && matches!(slave.link, Link::Connected { .. })
            && has_all(&master)
            && has_all(&slave)
            && master.tail == slave.tail
    }

    /// From now on it looks on and says nothing, or it speaks again.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// Promotes a node that answers, if that loses nothing (rule A4).
    ///
    /// # Errors
    /// When it does not answer, or may not be promoted.
    pub fn promote(&self, node: NodeId) -> Result<()> {
        let status = self.seen(node).with_context(|| format!("node {node} does not answer"))?;
        self.write(|record| Ok(Some(record.promote(Member { node, store: status.store }, false)?)))
    }

    /// Swaps the roles without loss (rule A10): hold, drain, seal, promote. Returns when the new master is in office.
    ///
    /// # Errors
    /// When that is not done after `limit`; the swap is called off then.
    pub async fn swap(&self, limit: Duration) -> Result<()> {
        self.write(|record| Ok(Some(record.begin_swap())))?;
        let record = self.record()?;
        let (old, new) = (record.holder, record.holder.peer());
        let ordered = record.last_swap;
        let sealed = self
            .until(
                old,
                "sealed",
                limit,
                |status| matches!(status.swap, Some(SwapProgress::Sealed { number, .. }) if number == ordered),
            )
            .await;
        let promoted = sealed.and_then(|_| {
            let status = self.seen(new).with_context(|| format!("node {new} does not answer"))?;
            self.write(|record| Ok(Some(record.promote(Member { node: new, store: status.store }, true)?)))
        });
        if let Err(error) = promoted {
            self.write(|record| Ok(Some(record.cancel_swap()?)))?;
            return Err(error);
        }
        self.until(new, "master in office", limit, |status| status.role == Role::Master && status.in_office).await?;
        Ok(())
    }

    fn write(&self, change: impl FnOnce(&Record) -> Result<Option<Record>>) -> Result<()> {
        let mut result = Ok(());
        self.shared.record.send_if_modified(|slot| {
            let changed = slot.as_ref().context("there is no record").and_then(change);
            match changed {
                Ok(Some(next)) => *slot = Some(next),
                Ok(None) => return false,
                Err(error) => {
                    result = Err(error);
                    return false;
                }
            }
            true
        });
        result
    }
}

impl Shared {
    /// Does what the status asks for (rules A2, A3): written before anyone is told.
    fn judge(&self, status: &NodeStatus) {
        self.record.send_if_modified(|slot| {
            let Some(record) = slot.as_ref().filter(|_| !*self.silent.borrow()) else { return false };
            let granted = status.wish.and_then(|wish| record.grant(&wish).ok().flatten());
            let expanded = status.ready.and_then(|ready| record.expand(&ready).ok().flatten());
            let Some(next) = granted.or(expanded) else { return false };
            *slot = Some(next);
            true
        });
    }
}

/// Follows one node until the connection ends. With `first`, the record begins with this node.
async fn follow(shared: &Shared, node: NodeId, first: Option<AckPolicy>) -> Result<(), ClientError> {
    let address = shared.admin[node.index()].to_string();
    let mut statuses = Connection::open(&address, &shared.secrets, TIMEOUTS).await?.watch().await?;
    let mut teller = Connection::open(&address, &shared.secrets, TIMEOUTS).await?;
    let (mut record, mut silent) = (shared.record.subscribe(), shared.silent.subscribe());
    let mut told = 0;
    loop {
        let current = record.borrow_and_update().clone();
        let quiet = *silent.borrow_and_update();
        if let Some(current) = current.filter(|current| current.serial != told && !quiet) {
            told = current.serial;
            let answer = teller.put_record(&current).await?;
            shared.seen[node.index()].send_replace(Some(Arc::new(answer.status)));
        }
        tokio::select! {
            status = statuses.next() => {
                let Some(status) = status? else { return Ok(()) };
                if let Some(policy) = first {
                    let member = Member { node, store: status.store };
                    let above = status.obeyed.map(|obeyed| obeyed.epoch);
                    shared.record.send_if_modified(|slot| {
                        let begins = slot.is_none();
                        if begins {
                            *slot = Some(Record::first(AuthorityId(1), policy, member, above));
                        }
                        begins
                    });
                }
                shared.judge(&status);
                shared.seen[node.index()].send_replace(Some(Arc::new(status)));
            }
            // The senders live as long as this.
            _changed = record.changed() => {}
            _changed = silent.changed() => {}
        }
    }
}
