//! The maintenance thread: takes space ahead of need, trims full segments and writes their indexes.

use crate::LogError;
use crate::disk::LogFile;
use crate::error::io_error;
use crate::index;
use crate::state::{Mode, Reserve, Seal, Shared, State, lock};
use mailmirror_model::ids::Seq;
use std::io::ErrorKind;
use std::sync::PoisonError;
use std::time::Instant;

enum Chore {
    Reserve { size: u64, name: u64 },
    Seal(Seal),
    Index(Seq),
}

/// Runs until the log is closed or fails.
pub(crate) fn run(shared: &Shared) {
    while let Some(chore) = next_chore(shared) {
        match chore {
            Chore::Reserve { size, name } => reserve(shared, size, name),
            Chore::Seal(seal) => {
                if let Err(error) = trim(shared, &seal) {
                    tracing::warn!(%error, "a full segment was not trimmed");
                }
            }
            Chore::Index(segment) => {
                if let Err(error) = index_again(shared, segment) {
                    tracing::warn!(%error, "a segment was not indexed");
                }
            }
        }
    }
}

fn next_chore(shared: &Shared) -> Option<Chore> {
    let mut state = lock(&shared.state);
    loop {
        if matches!(state.mode, Mode::Closing | Mode::Closed | Mode::Failed) {
            return None;
        }
        if let Some(size) = wanted(shared, &state) {
            let name = state.space.next_name;
            state.space.next_name += 1;
            state.space.taken_bytes = state.space.taken_bytes.saturating_add(size);
            return Some(Chore::Reserve { size, name });
        }
        if state.mode == Mode::Open {
            // A segment is sealed only when all of it is flushed.
            let ready = state.seals.front().is_some_and(|seal| {
                state.segments.range(seal.segment.next()..).next().is_some_and(|(next, _)| state.flushed >= *next)
            });
            if ready && let Some(seal) = state.seals.pop_front() {
                return Some(Chore::Seal(seal));
            }
            if let Some(segment) = state.unindexed.pop_front() {
                return Some(Chore::Index(segment));
            }
        }
        state = shared.chores.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// The size of the file that should be reserved now.
fn wanted(shared: &Shared, state: &State) -> Option<u64> {
    let options = &shared.options;
    let space = &state.space;
    if space.demand_bytes > 0 {
        return Some(space.demand_bytes.max(options.segment_max_bytes));
    }
    let reserved: u64 = space.reserves.iter().map(|reserve| reserve.size).sum();
    let may_ask = space.refused.is_none_or(|at| at.elapsed() >= options.space_retry_interval);
    (reserved < options.reserve_min_bytes && may_ask).then_some(options.segment_max_bytes)
}

fn reserve(shared: &Shared, size: u64, name: u64) {
    let within_bound = lock(&shared.state).space.taken_bytes <= shared.options.log_max_bytes;
    let result = if within_bound { make_reserve(shared, size, name).map(Some) } else { Ok(None) };
    let mut state = lock(&shared.state);
    let space = &mut state.space;
    space.demand_bytes = 0;
    match result {
        Ok(Some(reserve)) => {
            space.reserves.push_back(reserve);
            space.refused = None;
            space.granted += 1;
        }
        Ok(None) => {
            space.taken_bytes -= size.min(space.taken_bytes);
            space.refused = Some(Instant::now());
            tracing::debug!(log_max_bytes = shared.options.log_max_bytes, "the log has reached its bound");
        }
        Err(error) => {
            space.taken_bytes -= size.min(space.taken_bytes);
            if space.refused.is_none() {
                tracing::warn!(%error, "no space for the log could be reserved");
            }
            space.refused = Some(Instant::now());
        }
    }
    drop(state);
    shared.space_changed.notify_all();
}

fn make_reserve(shared: &Shared, size: u64, name: u64) -> Result<Reserve, LogError> {
    let disk = &shared.disk;
    let mut name = name;
    let path = loop {
        let path = disk.directory.join(format!("{name:08}.reserve"));
        // One that was adopted at opening may have this name.
        if !std::fs::exists(&path).map_err(io_error("look at", &path))? {
            break path;
        }
        name += 1;
    };
    let file = disk.create(&path)?;
    // Not flushed here: that would keep those waiting who need the space. The writer does it with the segment's head.
    if let Err(error) = disk.reserve(&file, size) {
        if let Err(second) = disk.remove(&path) {
            tracing::debug!(%second, "a file without space was not removed");
        }
        return Err(error);
    }
    Ok(Reserve { file, size })
}

/// Gives back what a full segment did not need, and writes its index.
fn trim(shared: &Shared, seal: &Seal) -> Result<(), LogError> {
    let _guard = lock(&shared.maintenance);
    if !still_sealed(shared, seal.segment) {
        return Ok(());
    }
    set_length(shared, seal.segment, seal.end)?;
    let frames = lock(&shared.state).frames.get(&seal.segment).cloned();
    let segment = shared.open_segment(seal.segment)?;
    let written = frames.map_or(Ok(()), |frames| index::write(&shared.disk, &segment.head, &frames));
    // Written or not, memory does not grow with the log: readers build an index that is missing.
    lock(&shared.state).frames.remove(&seal.segment);
    written
}

fn set_length(shared: &Shared, segment: Seq, end: u64) -> Result<(), LogError> {
    let disk = &shared.disk;
    let file = LogFile::open_to_write(&disk.segment_path(segment))?;
    let before = file.length()?;
    if before > end {
        disk.set_length(&file, end)?;
        disk.sync_all(&file)?;
        let mut state = lock(&shared.state);
        state.segments.insert(segment, end);
        state.space.taken_bytes -= (before - end).min(state.space.taken_bytes);
    }
    Ok(())
}

/// Does for a segment without a good index, as a crash may leave it, what [`trim`] does.
fn index_again(shared: &Shared, segment: Seq) -> Result<(), LogError> {
    let _guard = lock(&shared.maintenance);
    if !still_sealed(shared, segment) {
        return Ok(());
    }
    let Some((_, count)) = lock(&shared.state).segment_of(segment) else { return Ok(()) };
    let open = match shared.open_segment(segment) {
        Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let Some(at) = open.index_again(&shared.disk, count)? else { return Ok(()) };
    if let Some(frame) = crate::scan::read_frame(&open.file, &open.key, at)? {
        set_length(shared, segment, at + crate::frame::framed_bytes(u64::from(frame.length)))?;
    }
    Ok(())
}

fn still_sealed(shared: &Shared, segment: Seq) -> bool {
    let state = lock(&shared.state);
    state.segments.contains_key(&segment) && state.cursor.is_some_and(|cursor| cursor.segment != segment)
}
