//! Reading: from memory where the entry is recent, else from its segment, without a lock.

use crate::frame::{FRAME_BYTES, FRAME_LENGTH, Frame, framed_bytes};
use crate::state::{Shared, State, lock};
use crate::{Location, Log, LogError, SegmentId, scan};
use bytes::Bytes;
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::Seq;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use crate::error::io_error;

/// Where to read an entry from the disk.
struct OnDisk {
    segment: Seq,
    /// Entries of that segment.
    count: usize,
    /// Where its frame begins, when that is known without the index.
    at: Option<u64>,
}

impl Log {
    /// Entries from `from` on, in order: at least one when there is one, then as many as fit into `max_bytes`, maybe
    /// fewer. They may not be flushed yet.
    ///
    /// # Errors
    /// [`LogError::Gone`] when the log begins later, [`LogError::Damaged`], [`LogError::Io`].
    pub fn read(&self, from: Seq, max_bytes: usize) -> Result<Vec<Entry<Bytes>>, LogError> {
        self.inner.shared.read_undisturbed(|| self.read_up_to(from, max_bytes, |state| state.tail.position.seq))
    }

    /// As [`Log::read`], of the entries that are on stable storage.
    ///
    /// # Errors
    /// As [`Log::read`].
    pub fn read_flushed(&self, from: Seq, max_bytes: usize) -> Result<Vec<Entry<Bytes>>, LogError> {
        // What is read here was announced before.
        self.inner.shared.read_undisturbed(|| {
            let announced = self.inner.shared.flushed.borrow().seq;
            self.read_up_to(from, max_bytes, |state| state.flushed.min(announced))
        })
    }

    /// Where an entry's bytes are; `None` when it was not appended yet.
    ///
    /// # Errors
    /// [`LogError::Gone`], [`LogError::Damaged`], [`LogError::Io`].
    pub fn locate(&self, seq: Seq) -> Result<Option<Location>, LogError> {
        self.inner.shared.read_undisturbed(|| self.locate_now(seq))
    }

    fn locate_now(&self, seq: Seq) -> Result<Option<Location>, LogError> {
        let shared = &self.inner.shared;
        let state = lock(&shared.state);
        if seq > state.tail.position.seq {
            return Ok(None);
        }
        if let Some(recent) = state.in_ring(seq).and_then(|number| state.ring.get(number)) {
            let length_bytes = u32::try_from(recent.entry.bytes().len()).unwrap_or(u32::MAX);
            let offset_bytes = recent.place.at + FRAME_BYTES;
            return Ok(Some(Location { segment: SegmentId(recent.place.segment), offset_bytes, length_bytes }));
        }
        let place = place_on_disk(&state, seq)?;
        drop(state);
        let (segment, at) = find(shared, &place, seq)?;
        let frame = scan::read_frame(&segment.file, &segment.key, at)?.filter(|frame| frame.seq == seq);
        let what = "no entry starts there";
        let frame = frame.ok_or(LogError::Damaged { segment: segment.id(), seq, offset_bytes: at, what })?;
        Ok(Some(Location { segment: segment.id(), offset_bytes: at + FRAME_BYTES, length_bytes: frame.length }))
    }

    /// Bytes of an entry, such as a message body. They are not checked against a hash: that of the entry covers all of
    /// it, and that of a body is its name.
    ///
    /// # Errors
    /// [`LogError::Range`], [`LogError::NotThere`] when no such entry is at the location (any more), [`LogError::Io`].
    pub fn read_range(&self, location: Location, offset_in_entry: u64, length: u64) -> Result<Bytes, LogError> {
        let entry_bytes = location.length_bytes;
        let end = offset_in_entry.checked_add(length).filter(|end| *end <= u64::from(entry_bytes));
        let Some(end) = end else { return Err(LogError::Range { offset: offset_in_entry, length, entry_bytes }) };
        let shared = &self.inner.shared;
        let not_there = || LogError::NotThere { segment: location.segment, offset_bytes: location.offset_bytes };
        if let Some(entry) = recent_at(&lock(&shared.state), location) {
            let whole = entry.map_err(|()| not_there())?;
            let (from, to) = (usize::try_from(offset_in_entry), usize::try_from(end));
            let (Ok(from), Ok(to)) = (from, to) else { return Err(not_there()) };
            return Ok(whole.slice(from..to));
        }
        let segment = match shared.open_segment(location.segment.0) {
            Err(LogError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Err(not_there()),
            other => other?,
        };
        let at = location.offset_bytes.checked_sub(FRAME_BYTES).ok_or_else(not_there)?;
        let frame = scan::read_frame(&segment.file, &segment.key, at)?;
        if frame.is_none_or(|frame| frame.length != entry_bytes) {
            return Err(not_there());
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| not_there())?];
        match segment.file.file.read_exact_at(&mut bytes, location.offset_bytes + offset_in_entry) {
            Ok(()) => Ok(bytes.into()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(not_there()),
            Err(error) => Err(io_error("read", &segment.file.path)(error)),
        }
    }

    pub(crate) fn read_one(&self, seq: Seq) -> Result<Entry<Bytes>, LogError> {
        let entry = self.read(seq, 0)?.pop();
        entry.ok_or(LogError::Gone { seq, first: self.first_seq() })
    }

    fn read_up_to(
        &self,
        from: Seq,
        max_bytes: usize,
        last: impl FnOnce(&State) -> Seq,
    ) -> Result<Vec<Entry<Bytes>>, LogError> {
        let shared = &self.inner.shared;
        let state = lock(&shared.state);
        let last = last(&state);
        if from < state.first() {
            return Err(LogError::Gone { seq: from, first: state.first() });
        }
        if from > last {
            return Ok(Vec::new());
        }
        if let Some(number) = state.in_ring(from) {
            return Ok(from_ring(&state, number, last, max_bytes));
        }
        let place = place_on_disk(&state, from)?;
        // What is not flushed may be half written at this moment: it is read from memory, by the next call.
        let last = last.min(state.flushed);
        drop(state);
        let (segment, at) = find(shared, &place, from)?;
        let end = Seq((place.segment.0 + place.count as u64).min(last.0 + 1));
        read_run(&segment, from, end, at, max_bytes)
    }
}

fn from_ring(state: &State, number: usize, last: Seq, max_bytes: usize) -> Vec<Entry<Bytes>> {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for recent in state.ring.range(number..) {
        bytes += recent.entry.bytes().len();
        if recent.entry.header().position.seq > last || (!entries.is_empty() && bytes > max_bytes) {
            break;
        }
        entries.push(recent.entry.clone());
    }
    entries
}

/// The bytes of the entry in memory whose place this is; an error when the place is not that of an entry there.
fn recent_at(state: &State, location: Location) -> Option<Result<Bytes, ()>> {
    let front = state.ring.front()?.place;
    let wanted = (location.segment.0, location.offset_bytes.checked_sub(FRAME_BYTES)?);
    if wanted < (front.segment, front.at) {
        return None;
    }
    let found = state.ring.binary_search_by_key(&wanted, |recent| (recent.place.segment, recent.place.at));
    let entry = found.ok().and_then(|number| state.ring.get(number)).map(|recent| recent.entry.bytes());
    Some(entry.filter(|bytes| bytes.len() == location.length_bytes as usize).cloned().ok_or(()))
}

fn place_on_disk(state: &State, seq: Seq) -> Result<OnDisk, LogError> {
    let gone = || LogError::Gone { seq, first: state.first() };
    let (segment, count) = state.segment_of(seq).ok_or_else(gone)?;
    Ok(OnDisk { segment, count, at: state.frame_in_memory(segment, seq) })
}

type OpenSegment = std::sync::Arc<crate::index::OpenSegment>;

fn find(shared: &Shared, place: &OnDisk, seq: Seq) -> Result<(OpenSegment, u64), LogError> {
    let segment = shared.open_segment(place.segment)?;
    let (at, without_index) = match place.at {
        Some(at) => (at, false),
        None => segment.find(&shared.disk, seq, place.count)?,
    };
    if without_index {
        let mut state = lock(&shared.state);
        if !state.unindexed.contains(&place.segment) {
            state.unindexed.push_back(place.segment);
        }
        drop(state);
        shared.chores.notify_all();
    }
    Ok((segment, at))
}

/// Reads entries that stand one after the other, from the one at `at` up to before `end`.
fn read_run(
    segment: &OpenSegment,
    from: Seq,
    end: Seq,
    at: u64,
    max_bytes: usize,
) -> Result<Vec<Entry<Bytes>>, LogError> {
    let first = scan::read_entry(&segment.file, &segment.key, segment.id(), from, at)?;
    let mut left = max_bytes.saturating_sub(first.bytes().len());
    let mut at = at + framed_bytes(first.bytes().len() as u64);
    let mut entries = vec![first];
    if left == 0 || from.next() >= end {
        return Ok(entries);
    }
    let chunk = read_chunk(segment, at, left)?;
    let mut offset = 0;
    let mut seq = from.next();
    while seq < end {
        let Some(frame) = Frame::read(&segment.key, at, chunk.get(offset..).unwrap_or_default()) else { break };
        let begin = offset + FRAME_LENGTH;
        let length = frame.length as usize;
        if frame.seq != seq || length > left || begin + length > chunk.len() {
            break;
        }
        let entry = scan::check_entry(chunk.slice(begin..begin + length), segment.id(), seq, at)?;
        if entries.last().is_some_and(|before| before.hash() != entry.header().previous) {
            let what = "it does not continue the chain of hashes";
            return Err(LogError::Damaged { segment: segment.id(), seq, offset_bytes: at, what });
        }
        entries.push(entry);
        left -= length;
        let framed = framed_bytes(u64::from(frame.length));
        at += framed;
        offset += usize::try_from(framed).unwrap_or(usize::MAX);
        seq = seq.next();
    }
    Ok(entries)
}

/// As many bytes as there are, up to `length`.
fn read_chunk(segment: &OpenSegment, at: u64, length: usize) -> Result<Bytes, LogError> {
    let there = segment.file.length()?.saturating_sub(at);
    let mut bytes = vec![0; length.min(usize::try_from(there).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < bytes.len() {
        match segment.file.file.read_at(&mut bytes[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("read", &segment.file.path)(error)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.into())
}
