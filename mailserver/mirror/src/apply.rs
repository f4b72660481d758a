//! The index follows the committed log (rules L5, N3): one thread reads what is committed and applies it, many entries
//! in one transaction.

use crate::node::Time;
use crate::shared::{Inner, Shared, Unsent};
use mailmirror_control::status::Counters;
use mailmirror_log::{Location, LogError};
use mailmirror_model::digest::Digest;
use mailmirror_model::entry::{Entry, Kind};
use mailmirror_model::ids::{Position, Seq};
use mailmirror_model::operation::{Change, Operation};
use mailmirror_model::outcome::{Done, Outcome, Touched};
use mailmirror_store::{AppliedEntry, Batch, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Entries of one transaction, in bytes; a single larger one is a transaction of its own.
const BATCH_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Entries of one transaction: readers see them when it ends.
const BATCH_MAX_ENTRIES: usize = 512;
/// Entries that are counted one by one while the peer lacks them.
const UNSENT_MAX: usize = 16 * 1024;
/// How soon a full disk is tried again.
const SPACE_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What one entry did, in numbers.
#[derive(Clone, Copy, Default)]
struct Tally {
    adds: u64,
    add_bytes: u64,
    expunges: u64,
    renames: u64,
}

/// What was applied of one entry.
struct Settled {
    position: Position,
    written_here: bool,
    tally: Tally,
    outcome: Option<Outcome>,
    mark: Option<(u64, Digest)>,
}

/// Applies until the engine stops. Runs on a thread of its own, as the index blocks.
pub(crate) fn run(shared: &Arc<Shared>, runtime: &tokio::runtime::Handle) {
    let mut committed = shared.committed.subscribe();
    let mut is_full = false;
    loop {
        committed.borrow_and_update();
        match apply_some(shared) {
            Ok(did) => {
                if std::mem::take(&mut is_full) {
                    shared.lock().problems.remove("IndexDiskFull");
                }
                if did && !shared.stop.is_cancelled() {
                    continue;
                }
            }
            Err(ApplyFailure::DiskFull(why)) => {
                // Nothing is lost: the log has it, and the index goes on when there is space.
                let message = format!("{why}: free space on this node's volume");
                Shared::note_problem(&mut shared.lock(), "IndexDiskFull", message);
                is_full = true;
                let stopped = runtime.block_on(async {
                    tokio::select! {
                        () = tokio::time::sleep(SPACE_RETRY_INTERVAL) => false,
                        () = shared.stop.cancelled() => true,
                    }
                });
                if stopped {
                    return;
                }
                continue;
            }
            Err(ApplyFailure::Broken(why)) => {
                let mut inner = shared.lock();
                shared.fail(&mut inner, "IndexFailed", &why);
                shared.publish(&mut inner);
                return;
            }
        }
        let stopped = runtime.block_on(async {
            tokio::select! {
                changed = committed.changed() => changed.is_err(),
                () = shared.stop.cancelled() => true,
            }
        });
        if stopped {
            return;
        }
    }
}

/// Why a batch was not applied.
enum ApplyFailure {
    /// There is no space for the index now.
    DiskFull(String),
    /// Something that does not mend itself.
    Broken(String),
}

impl From<StoreError> for ApplyFailure {
    fn from(error: StoreError) -> Self {
        let why = format!("failed to follow the log: {error}");
        if error.is_disk_full() { Self::DiskFull(why) } else { Self::Broken(why) }
    }
}

impl From<LogError> for ApplyFailure {
    fn from(error: LogError) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Applies one batch; says whether there was one.
fn apply_some(shared: &Shared) -> Result<bool, ApplyFailure> {
    let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let (from, to, sent) = {
        let inner = shared.lock();
        let to = inner.node.committed().min(inner.node.flushed());
        (inner.node.applied().next(), to, inner.sent_since)
    };
    if from > to && sent == Counters::default() {
        return Ok(false);
    }
    let entries = if from > to { Vec::new() } else { shared.log.read(from, BATCH_MAX_BYTES)? };
    let mut batch = writer.batch()?;
    count_sent(&mut batch, &sent);
    let mut settled = Vec::new();
    for entry in entries.iter().take(BATCH_MAX_ENTRIES).take_while(|entry| entry.header().position.seq <= to) {
        let seq = entry.header().position.seq;
        let location = shared.log.locate(seq)?;
        let location =
            location.ok_or_else(|| ApplyFailure::Broken(format!("failed to find entry {seq} in the log")))?;
        settled.push(apply_one(shared, &mut batch, entry, location)?);
    }
    batch.commit()?;
    {
        let kept = &mut shared.lock().sent_since;
        kept.out_add_sent -= sent.out_add_sent;
        kept.out_add_bytes -= sent.out_add_bytes;
        kept.out_del_sent -= sent.out_del_sent;
    }
    settle(shared, settled);
    // Not before: whoever resets the index tells the rules that it is empty, and that has to be the last word.
    drop(writer);
    Ok(true)
}

fn apply_one<B: AsRef<[u8]>>(
    shared: &Shared,
    batch: &mut Batch<'_>,
    entry: &Entry<B>,
    location: Location,
) -> Result<Settled, StoreError> {
    let position = entry.header().position;
    let written_here = position.epoch.parity() == shared.options.node;
    let mut settled = Settled { position, written_here, tally: Tally::default(), outcome: None, mark: None };
    match batch.apply(entry, location)? {
        AppliedEntry::Operation(outcome) => {
            if outcome.result.as_ref().is_ok_and(|done| *done != Done::Known) {
                settled.tally = tally(entry);
            }
            settled.outcome = Some(outcome);
        }
        AppliedEntry::Mark(mark, digest) => settled.mark = Some((mark.id, digest)),
        AppliedEntry::SetAside(reason) => {
            tracing::error!(%position, reason, "an entry is set aside: what it belongs to is not served");
            batch.count("in_failed", 1);
        }
        AppliedEntry::Epoch(_) | AppliedEntry::Grant(_) | AppliedEntry::Seal(_) => {}
    }
    let Tally { adds, expunges, renames, .. } = settled.tally;
    if written_here {
        batch.count("out_add_queued", adds);
        batch.count("out_del_queued", expunges);
    } else {
        batch.count("in_add", adds);
        batch.count("in_del", expunges);
        batch.count("in_rename", renames);
    }
    Ok(settled)
}

fn tally<B: AsRef<[u8]>>(entry: &Entry<B>) -> Tally {
    if entry.header().kind != Kind::Operation {
        return Tally::default();
    }
    let Ok((operation, _)) = Operation::decode(entry.payload()) else { return Tally::default() };
    let mut tally = Tally::default();
    match &operation.change {
        Change::Add { adds, .. } => {
            tally.adds = adds.len() as u64;
            tally.add_bytes = adds.iter().map(|add| add.size_bytes).sum();
        }
        Change::Expunge { items, .. } => tally.expunges = items.len() as u64,
        Change::Move { items, .. } => {
            tally.adds = items.len() as u64;
            tally.expunges = items.len() as u64;
        }
        Change::RenameMailbox { .. } => tally.renames = 1,
        _ => {}
    }
    tally
}

fn count_sent(batch: &mut Batch<'_>, sent: &Counters) {
    batch.count("out_add_sent", sent.out_add_sent);
    batch.count("out_add_bytes", sent.out_add_bytes);
    batch.count("out_del_sent", sent.out_del_sent);
}

/// The counters as they were kept.
pub(crate) fn counters_from(kept: &BTreeMap<String, u64>) -> Counters {
    let get = |name: &str| kept.get(name).copied().unwrap_or_default();
    Counters {
        out_add_queued: get("out_add_queued"),
        out_add_sent: get("out_add_sent"),
        out_add_bytes: get("out_add_bytes"),
        out_del_queued: get("out_del_queued"),
        out_del_sent: get("out_del_sent"),
        in_add: get("in_add"),
        in_del: get("in_del"),
        in_rename: get("in_rename"),
        in_failed: get("in_failed"),
    }
}

/// Tells everybody what was applied.
fn settle(shared: &Shared, settled: Vec<Settled>) {
    let Some(last) = settled.last().map(|settled| settled.position.seq) else { return };
    let mut touched: Vec<Touched> = Vec::new();
    let now = shared.now();
    let mut guard = shared.lock();
    let inner = &mut *guard;
    inner.node.on_applied(last);
    inner.allocator.forget_applied(last);
    inner.origins.retain(|_, seq| *seq > last);
    for Settled { position, written_here, tally, outcome, mark } in settled {
        if written_here {
            inner.counters.out_add_queued += tally.adds;
            inner.counters.out_del_queued += tally.expunges;
            note_unsent(inner, position.seq, &tally, now);
        } else {
            inner.counters.in_add += tally.adds;
            inner.counters.in_del += tally.expunges;
            inner.counters.in_rename += tally.renames;
        }
        if let Some((id, digest)) = mark {
            inner.marks.note_ours(id, position, digest.0);
            crate::link::send_mark_digest(inner, id, digest.0);
        }
        if let Some(outcome) = outcome {
            touched.extend_from_slice(&outcome.touched);
            if let Some(waiter) = inner.waiters.remove(&position.seq) {
                waiter.tell_applied(outcome);
            }
        } else {
            // What became of one that is set aside nobody knows yet (rule L4): it is not answered.
            inner.waiters.remove(&position.seq);
        }
    }
    note_sent(inner);
    shared.publish(inner);
    drop(guard);
    shared.applied.send_modify(|seq| *seq = last.max(*seq));
    if !touched.is_empty() {
        touched.sort_unstable();
        touched.dedup();
        // Nobody may be listening.
        let _nobody = shared.touched.send(touched.into());
    }
}

/// Keeps what the peer lacks for the counters; past the bound the newest ones are told together.
fn note_unsent(inner: &mut Inner, seq: Seq, tally: &Tally, since: Time) {
    let Tally { adds, add_bytes, expunges: dels, .. } = *tally;
    match inner.unsent.back_mut() {
        Some(last) if inner.unsent_is_full => {
            last.seq = seq;
            last.adds += adds;
            last.add_bytes += add_bytes;
            last.dels += dels;
        }
        _ => inner.unsent.push_back(Unsent { seq, adds, add_bytes, dels, since }),
    }
    inner.unsent_is_full = inner.unsent.len() >= UNSENT_MAX;
}

/// Moves counters from queued to sent for what the peer has acknowledged.
pub(crate) fn note_sent(inner: &mut Inner) {
    let Some(flushed) = inner.node.peer().map(|peer| peer.flushed) else { return };
    while let Some(unsent) = inner.unsent.pop_front_if(|unsent| unsent.seq <= flushed) {
        for counters in [&mut inner.counters, &mut inner.sent_since] {
            counters.out_add_sent += unsent.adds;
            counters.out_add_bytes += unsent.add_bytes;
            counters.out_del_sent += unsent.dels;
        }
    }
    inner.unsent_is_full = inner.unsent.len() >= UNSENT_MAX;
}
