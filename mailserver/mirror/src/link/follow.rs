//! What a slave does on the link: finds the fork point, keeps its branch aside, takes entries and acknowledges them.

use super::message::{Message, Sample, probe_places};
use super::send;
use super::session::{Reading, SessionError, follows, see_clock};
use crate::shared::{Inner, Shared};
use bytes::{Buf, Bytes};
use mailmirror_log::AppendError;
use mailmirror_model::entry::{self, Entry};
use mailmirror_model::ids::Seq;
use std::sync::Arc;
use std::time::Duration;

/// Where a slave is on its way to following.
#[derive(Debug, Default)]
pub(super) enum Follow {
    /// Not a slave of this peer, or not yet.
    #[default]
    Not,
    /// Looking for the fork point: both have everything up to `common`, and differ from `differs` on.
    Probing { common: Seq, differs: Seq },
    /// Entries come in.
    Following,
}

/// Begins to follow if the peer is the master of the epoch that this node obeys.
pub(super) fn begin(shared: &Arc<Shared>, inner: &mut Inner, reading: &mut Reading) -> Result<(), SessionError> {
    let is_master = reading.peer.as_ref().is_some_and(|peer| follows(inner, peer));
    if is_master && matches!(reading.follow, Follow::Not) {
        let differs = inner.node.tail().seq.next();
        reading.follow = Follow::Probing { common: Seq::ZERO, differs };
        ask(shared, inner, Seq::ZERO, differs)?;
    }
    Ok(())
}

/// The master has answered: the fork point is known, or lies between narrower bounds and is asked for again.
pub(super) fn probed(
    shared: &Arc<Shared>,
    inner: &mut Inner,
    reading: &mut Reading,
    found: Seq,
    differs_from: Option<Seq>,
    first: Seq,
) -> Result<Option<Seq>, SessionError> {
    let Follow::Probing { common, differs } = reading.follow else { return Ok(None) };
    let common = common.max(found);
    let differs = differs_from.map_or(differs, |seq| seq.min(differs));
    if common >= differs {
        return Err(SessionError::Refused("the peer contradicts itself about its log".to_owned()));
    }
    reading.follow = Follow::Probing { common, differs };
    if common.next() < differs {
        ask(shared, inner, common, differs)?;
        return Ok(None);
    }
    if common.next() < first {
        let message =
            format!("the peer's log begins at {first}, this node has entries up to {common}: run `tellmail resync`");
        Shared::note_problem(inner, "ResyncNeeded", message.clone());
        return Err(SessionError::Refused(message));
    }
    Ok(Some(common))
}

/// The fork point is known: what this node has after it is put aside, and the master is followed from there.
pub(super) fn start(shared: &Arc<Shared>, reading: &mut Reading, common: Seq) -> Result<(), SessionError> {
    let left = tokio::task::block_in_place(|| crate::branch::leave(shared, reading.id, common));
    if let Err(message) = left {
        let mut inner = shared.lock();
        Shared::note_problem(&mut inner, "BranchKept", message.clone());
        return Err(SessionError::Refused(message));
    }
    let mut guard = shared.lock();
    let inner = &mut *guard;
    let is_still_slave = reading.peer.as_ref().is_some_and(|peer| follows(inner, peer));
    if !is_still_slave || inner.session.as_ref().is_none_or(|session| session.id != reading.id) {
        return Err(SessionError::NewRole);
    }
    reading.follow = Follow::Following;
    let busy = inner.branches.is_open();
    let flushed = inner.node.flushed().min(common);
    send(inner, Message::Follow { after: common, flushed, busy });
    inner.node.on_following(true);
    inner.problems.remove("ResyncNeeded");
    inner.problems.remove("BranchKept");
    inner.branches.begin(reading.peer.as_ref().map_or(Seq::ZERO, |peer| peer.tail.seq));
    crate::branch::resubmit(shared, inner);
    crate::forward::send_pending(inner, shared.now());
    shared.publish(inner);
    tracing::info!(after = %common, "following the master");
    Ok(())
}

fn ask(shared: &Shared, inner: &mut Inner, common: Seq, differs: Seq) -> Result<(), SessionError> {
    let mut samples = Vec::new();
    for seq in probe_places(common, differs) {
        match shared.log.header_hash_at(seq).map_err(|error| SessionError::Refused(error.to_string()))? {
            Some((_, hash)) => samples.push(Sample { seq, hash }),
            // This log begins later: what is before it is common, as only that is ever removed (rule L6).
            None => break,
        }
    }
    send(inner, Message::Probe { samples });
    Ok(())
}

/// Entries of the master: checked against the chain, appended, and known to those who wait for them.
pub(super) async fn entries(
    shared: &Arc<Shared>,
    reading: &mut Reading,
    mut payload: Bytes,
) -> Result<(), SessionError> {
    if !matches!(reading.follow, Follow::Following) {
        return Err(SessionError::Refused("entries came that were not asked for".to_owned()));
    }
    if payload.len() < 8 {
        return Err(SessionError::Refused("a frame of entries is too short".to_owned()));
    }
    let commit = Seq(payload.get_u64_le());
    let mut entries = Vec::new();
    while !payload.is_empty() {
        let length = entry::length(&payload)?.min(payload.len());
        entries.push(Entry::read(payload.split_to(length))?);
    }
    let mut flushed = shared.log.flushed();
    let mut rest = entries;
    while !rest.is_empty() {
        // The queue of the log is bounded: then the master is not read from until the disk has caught up (back-pressure).
        rest = append(shared, reading, rest)?;
        if !rest.is_empty() && tokio::time::timeout(Duration::from_secs(1), flushed.changed()).await.is_err() {
            ping_on(shared);
        }
    }
    let now = shared.now();
    let mut inner = shared.lock();
    inner.node.on_commit_told(commit, now);
    shared.publish(&mut inner);
    Ok(())
}

/// Appends entries; gives back those that the log cannot take yet.
fn append(shared: &Shared, reading: &Reading, entries: Vec<Entry<Bytes>>) -> Result<Vec<Entry<Bytes>>, SessionError> {
    let Some((last_position, last_hash)) = entries.last().map(|entry| (entry.header().position, entry.hash())) else {
        return Ok(entries);
    };
    let now = shared.now();
    let mut guard = shared.lock();
    let inner = &mut *guard;
    if inner.session.as_ref().is_none_or(|session| session.id != reading.id) {
        return Err(SessionError::Ended);
    }
    match shared.log.append(entries.clone()) {
        Ok(()) => {}
        Err(AppendError::QueueFull) => return Ok(entries),
        Err(AppendError::NoSpace) => {
            let message = "no space left for what the master sends: free space on this node's volume".to_owned();
            Shared::note_problem(inner, "DiskFull", message.clone());
            return Err(SessionError::Refused(message));
        }
        Err(error) => return Err(SessionError::Refused(error.to_string())),
    }
    inner.problems.remove("DiskFull");
    inner.tail_hash = last_hash;
    for entry in &entries {
        let header = entry.header();
        see_clock(inner, header.clock);
        // One of a branch may have its origin at either node.
        crate::forward::arrived(inner, header.origin, header.position.seq);
    }
    inner.node.on_appended(last_position, now);
    shared.publish(inner);
    Ok(Vec::new())
}

fn ping_on(shared: &Shared) {
    let mut inner = shared.lock();
    super::session::ping(shared, &mut inner);
}

/// The disk has flushed: the master is told (rule L2).
pub(crate) fn acknowledge(inner: &mut Inner) {
    if inner.node.is_following() {
        let (flushed, busy) = (inner.node.flushed(), inner.branches.is_open());
        send(inner, Message::Ack { flushed, busy });
    }
}
