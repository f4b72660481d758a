//! The one thread that writes: everything that is queued goes out in one write and one flush.

use crate::disk::LogFile;
use crate::frame::{FRAME_BYTES, Frame, HEAD_BYTES, SegmentHead, framed_bytes};
use crate::index::OpenSegment;
use crate::state::{Mode, Place, Shared, State, WriterSide, lock};
use crate::{Flushed, LogError};
use bytes::Bytes;
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::Seq;
use std::io::IoSlice;
use std::sync::{Arc, MutexGuard, PoisonError};

const PADDING: [u8; 8] = [0; 8];

type Batch = Vec<(Entry<Bytes>, Place)>;

/// Runs until the log is closed or fails.
pub(crate) fn run(shared: &Shared) {
    loop {
        let Some((batch, flushed, reserve)) = next_batch(shared) else { break };
        let result = write_batch(shared, &mut lock(&shared.writer), &batch, flushed, reserve);
        let last = batch.last().map_or(flushed, |(entry, _)| entry.header().position.seq);
        drop(batch);
        match result {
            Ok(()) => publish(shared, last),
            Err(error) => return fail(shared, error),
        }
    }
    let result = mark_closed(shared, &lock(&shared.writer));
    let mut state = lock(&shared.state);
    if state.mode == Mode::Closing {
        state.mode = Mode::Closed;
    }
    drop(state);
    if let Err(error) = result {
        fail(shared, error);
    }
}

/// Waits for entries; `None` when the log is closed and none are left.
fn next_batch(shared: &Shared) -> Option<(Batch, Seq, Option<crate::state::Reserve>)> {
    let mut state: MutexGuard<'_, State> = lock(&shared.state);
    loop {
        if !state.queue.is_empty() {
            break;
        }
        if matches!(state.mode, Mode::Closing | Mode::Closed | Mode::Failed) {
            return None;
        }
        shared.idle.notify_all();
        state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let mut batch = Vec::new();
    let mut bytes = 0;
    let segment = state.queue.front().map(|(_, place)| place.segment)?;
    while let Some((entry, place)) = state.queue.front() {
        let entry_bytes = entry.bytes().len();
        let full = bytes > 0 && bytes + entry_bytes > shared.options.batch_max_bytes;
        if place.segment != segment || full {
            break;
        }
        bytes += entry_bytes;
        batch.extend(state.queue.pop_front());
    }
    state.queue_bytes -= bytes;
    state.writing = true;
    let reserve = state.opening.remove(&segment);
    Some((batch, state.flushed, reserve))
}

fn publish(shared: &Shared, last: Seq) {
    let mut state = lock(&shared.state);
    state.flushed = last;
    state.writing = false;
    state.shrink_ring(shared.options.ring_max_bytes);
    let seals = !state.seals.is_empty();
    drop(state);
    shared.flushed.send_modify(|flushed| flushed.seq = last);
    if seals {
        shared.chores.notify_all();
    }
}

/// Ends the log for good: after a failed write or flush nobody knows what is on the disk, and a second flush would
/// report success for data that the kernel has thrown away.
pub(crate) fn fail(shared: &Shared, error: LogError) {
    tracing::error!(%error, "the log has failed; this node must be restarted");
    let mut state = lock(&shared.state);
    state.mode = Mode::Failed;
    state.writing = false;
    state.queue.clear();
    state.queue_bytes = 0;
    let flushed = Flushed { seq: state.flushed, failed: Some(Arc::new(error)) };
    drop(state);
    shared.flushed.send_replace(flushed);
    shared.idle.notify_all();
    shared.chores.notify_all();
    shared.space_changed.notify_all();
}

fn write_batch(
    shared: &Shared,
    writer: &mut WriterSide,
    batch: &Batch,
    flushed: Seq,
    reserve: Option<crate::state::Reserve>,
) -> Result<(), LogError> {
    if let Some(reserve) = reserve {
        open_next(shared, writer, reserve.file)?;
    }
    let Some(segment) = writer.segment.clone() else { return Err(LogError::Closed) };
    let mut frames = Vec::with_capacity(batch.len());
    for (entry, place) in batch {
        let seq = entry.header().position.seq;
        let unflushed = u32::try_from(seq.0.saturating_sub(flushed.0)).unwrap_or(u32::MAX);
        let length = u32::try_from(entry.bytes().len()).unwrap_or(u32::MAX);
        frames.push(Frame { seq, unflushed, length }.write(&segment.key, place.at));
    }
    let mut pieces = Vec::with_capacity(batch.len() * 3);
    for ((entry, _), frame) in batch.iter().zip(&frames) {
        let entry_bytes = entry.bytes().len() as u64;
        pieces.push(IoSlice::new(frame));
        pieces.push(IoSlice::new(entry.bytes()));
        let padding = framed_bytes(entry_bytes) - FRAME_BYTES - entry_bytes;
        if padding > 0 {
            pieces.push(IoSlice::new(&PADDING[..usize::try_from(padding).unwrap_or(0)]));
        }
    }
    shared.disk.write(&segment.file, writer.end, &pieces)?;
    shared.disk.sync(&segment.file)?;
    writer.end += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
    for (entry, _) in batch {
        writer.written = writer.written.after(entry.header(), entry.hash());
    }
    Ok(())
}

/// Gives a reserved file its head and its name. Everything in the segments before it is flushed already, so only the
/// last segment of a log can be torn.
fn open_next(shared: &Shared, writer: &mut WriterSide, file: LogFile) -> Result<(), LogError> {
    let disk = &shared.disk;
    let head = SegmentHead::new(writer.written);
    disk.write(&file, 0, &[IoSlice::new(&head.write())])?;
    disk.sync_all(&file)?;
    let path = disk.segment_path(head.first());
    disk.rename(&file.path, &path)?;
    disk.sync_directory()?;
    let segment = Arc::new(OpenSegment::new(LogFile { file: file.file, path }, head));
    shared.remember(&segment);
    writer.segment = Some(segment);
    writer.end = HEAD_BYTES;
    Ok(())
}

/// Writes that the log ended here: later damage to its last entries is then seen as damage.
fn mark_closed(shared: &Shared, writer: &WriterSide) -> Result<(), LogError> {
    let state = lock(&shared.state);
    let has_room = state.cursor.is_some_and(|cursor| cursor.end + FRAME_BYTES <= cursor.size);
    if state.mode != Mode::Closing || !has_room {
        return Ok(());
    }
    drop(state);
    let Some(segment) = &writer.segment else { return Ok(()) };
    let frame = Frame { seq: writer.written.position.seq.next(), unflushed: 1, length: 0 };
    shared.disk.write(&segment.file, writer.end, &[IoSlice::new(&frame.write(&segment.key, writer.end))])?;
    shared.disk.sync(&segment.file)
}
