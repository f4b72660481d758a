//! What the threads of a log share, and the pure part of it: where the next entries go.

use crate::disk::{Disk, LogFile};
use crate::frame::{ALIGN_BYTES, FRAME_BYTES, HEAD_BYTES, framed_bytes};
use crate::index::{OpenSegment, open_segment};
use crate::recover::Found;
use crate::scan::unit;
use crate::{AppendError, Flushed, LogError, LogOptions, Tail};
use bytes::Bytes;
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::Seq;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Segment files that are kept open for reading.
const OPEN_SEGMENTS_MAX: usize = 64;

pub(crate) struct Shared {
    pub disk: Disk,
    pub options: LogOptions,
    pub state: Mutex<State>,
    /// The writer waits here for entries, and for the end.
    pub work: Condvar,
    /// The maintenance thread waits here for something to do, and for the end.
    pub chores: Condvar,
    /// Who needs space waits here until it was taken or refused.
    pub space_changed: Condvar,
    /// A cut waits here until the writer has nothing left.
    pub idle: Condvar,
    pub flushed: watch::Sender<Flushed>,
    /// Held by the writer for a batch, and by who changes the log's files from outside.
    pub writer: Mutex<WriterSide>,
    /// Held for each chore, and by who changes the log's files from outside.
    pub maintenance: Mutex<()>,
    pub open_segments: Mutex<VecDeque<(Seq, Arc<OpenSegment>)>>,
    /// Counts the changes that take entries away: what was looked up before one may not be there after it. Odd while
    /// one is being made.
    pub generation: AtomicU64,
}

/// What the writer knows and nobody else changes.
pub(crate) struct WriterSide {
    /// The segment that is written to.
    pub segment: Option<Arc<OpenSegment>>,
    /// Where the next frame goes in it.
    pub end: u64,
    /// The last entry that was written.
    pub written: Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    /// The log is being cut, or its beginning changed.
    Changing,
    /// No more entries are taken; those that were are being written.
    Closing,
    Closed,
    Failed,
}

/// Where an entry is or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: Seq,
    /// Where its frame begins.
    pub at: u64,
}

/// Where an entry is going to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub place: Place,
    /// The reserved file, by its number in the list, that becomes a segment for it.
    pub reserve: Option<usize>,
}

/// An entry in memory.
pub(crate) struct Recent {
    pub entry: Entry<Bytes>,
    pub place: Place,
}

/// The end of what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub segment: Seq,
    pub end: u64,
    pub size: u64,
}

/// A preallocated file without a name of its own yet.
pub(crate) struct Reserve {
    pub file: LogFile,
    pub size: u64,
}

/// A full segment, to be trimmed and given an index.
pub(crate) struct Seal {
    pub segment: Seq,
    pub end: u64,
}

pub(crate) struct State {
    pub mode: Mode,
    pub tail: Tail,
    pub flushed: Seq,
    /// Entries the writer has not taken yet.
    pub queue: VecDeque<(Entry<Bytes>, Place)>,
    pub queue_bytes: usize,
    /// The writer is at work outside the lock.
    pub writing: bool,
    /// Segments that have a place in the order but no name on disk yet.
    pub opening: BTreeMap<Seq, Reserve>,
    pub ring: VecDeque<Recent>,
    pub ring_bytes: usize,
    /// Length of the file of each segment, by first entry.
    pub segments: BTreeMap<Seq, u64>,
    pub cursor: Option<Cursor>,
    /// Where entries begin in segments that have no index yet.
    pub frames: BTreeMap<Seq, Vec<u32>>,
    pub seals: VecDeque<Seal>,
    pub unindexed: VecDeque<Seq>,
    pub space: Space,
}

pub(crate) struct Space {
    pub reserves: VecDeque<Reserve>,
    /// Length of all files.
    pub taken_bytes: u64,
    /// Somebody waits for a file of this size; 0 when nobody does.
    pub demand_bytes: u64,
    /// When space was refused last, until it is had again.
    pub refused: Option<Instant>,
    pub next_name: u64,
    /// Files that were reserved, counted.
    pub granted: u64,
}

/// A new segment is needed for an entry, and nothing reserved is large enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub file_bytes: u64,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    pub fn new(found: &mut Found) -> Self {
        let mut state = Self {
            mode: Mode::Open,
            tail: Tail::EMPTY,
            flushed: Seq::ZERO,
            queue: VecDeque::new(),
            queue_bytes: 0,
            writing: false,
            opening: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            segments: BTreeMap::new(),
            cursor: None,
            frames: BTreeMap::new(),
            seals: VecDeque::new(),
            unindexed: VecDeque::new(),
            space: Space {
                reserves: VecDeque::new(),
                taken_bytes: 0,
                demand_bytes: 0,
                refused: None,
                next_name: 0,
                granted: 0,
            },
        };
        state.install(found);
        state
    }

    /// Takes over what was found on disk; everything was flushed, nothing is queued.
    pub fn install(&mut self, found: &mut Found) {
        self.tail = found.tail;
        self.flushed = found.tail.position.seq;
        self.ring.clear();
        self.ring_bytes = 0;
        self.segments = std::mem::take(&mut found.segments);
        self.frames.clear();
        self.seals.clear();
        self.unindexed = std::mem::take(&mut found.without_index).into();
        self.cursor = None;
        if let Some(active) = &mut found.active {
            let segment = active.head.first();
            self.cursor = Some(Cursor { segment, end: active.end, size: active.size });
            self.frames.insert(segment, std::mem::take(&mut active.frames));
        }
        for (file, size) in found.reserves.drain(..) {
            self.space.reserves.push_back(Reserve { file, size });
        }
        let reserved: u64 = self.space.reserves.iter().map(|reserve| reserve.size).sum();
        self.space.taken_bytes = self.segments.values().sum::<u64>() + reserved;
    }

    /// The first entry that the log still has; the next one when it is empty.
    pub fn first(&self) -> Seq {
        self.segments.first_key_value().map_or(self.tail.position.seq.next(), |(first, _)| *first)
    }

    /// Whether the entries follow the tail and each other.
    pub fn check_chain(&self, entries: &[Entry<Bytes>]) -> Result<(), AppendError> {
        let mut tail = self.tail;
        for entry in entries {
            if !tail.is_followed_by(entry.header()) {
                return Err(AppendError::Gap { given: entry.header().position.seq, last: tail.position.seq });
            }
            tail = tail.after(entry.header(), entry.hash());
        }
        Ok(())
    }

    /// Where the entries would go.
    pub fn plan(&self, entries: &[Entry<Bytes>]) -> Result<Vec<Planned>, Shortage> {
        let mut cursor = self.cursor;
        let mut used: Vec<usize> = Vec::new();
        let mut plan = Vec::with_capacity(entries.len());
        for entry in entries {
            let framed = framed_bytes(entry.bytes().len() as u64);
            // Behind the last entry there is always room for the frame that says that the log was closed.
            let here = cursor.filter(|cursor| cursor.end + framed + FRAME_BYTES <= cursor.size);
            let (mut target, reserve) = if let Some(cursor) = here {
                (cursor, None)
            } else {
                let file_bytes = HEAD_BYTES + framed + FRAME_BYTES;
                let mut reserves = self.space.reserves.iter().enumerate();
                let (number, reserve) = reserves
                    .find(|(number, reserve)| reserve.size >= file_bytes && !used.contains(number))
                    .ok_or(Shortage { file_bytes })?;
                used.push(number);
                let segment = entry.header().position.seq;
                (Cursor { segment, end: HEAD_BYTES, size: reserve.size }, Some(number))
            };
            plan.push(Planned { place: Place { segment: target.segment, at: target.end }, reserve });
            target.end += framed;
            cursor = Some(target);
        }
        Ok(plan)
    }

    /// Takes entries in at the places that [`State::plan`] gave.
    pub fn accept(&mut self, entries: Vec<Entry<Bytes>>, plan: &[Planned]) {
        // Only when a segment begins: the list keeps its numbers until all of them were taken.
        let begins = plan.iter().any(|planned| planned.reserve.is_some());
        let mut reserves: Vec<Option<Reserve>> =
            if begins { self.space.reserves.drain(..).map(Some).collect() } else { Vec::new() };
        for (entry, planned) in entries.into_iter().zip(plan) {
            let place = planned.place;
            if let Some(reserve) = planned.reserve.and_then(|number| reserves.get_mut(number)?.take()) {
                self.begin_segment(place.segment, reserve);
            }
            let bytes = entry.bytes().len();
            if let Some(cursor) = &mut self.cursor {
                cursor.end = place.at + framed_bytes(bytes as u64);
            }
            self.frames.entry(place.segment).or_default().push(unit(place.at));
            self.tail = self.tail.after(entry.header(), entry.hash());
            self.queue.push_back((entry.clone(), place));
            self.queue_bytes += bytes;
            self.ring.push_back(Recent { entry, place });
            self.ring_bytes += bytes;
        }
        self.space.reserves.extend(reserves.into_iter().flatten());
    }

    fn begin_segment(&mut self, first: Seq, reserve: Reserve) {
        if let Some(full) = self.cursor.filter(|cursor| cursor.segment != first) {
            self.seals.push_back(Seal { segment: full.segment, end: full.end });
        }
        self.cursor = Some(Cursor { segment: first, end: HEAD_BYTES, size: reserve.size });
        // A segment without entries and without room may have had the same first entry: its file is replaced.
        let replaced = self.segments.insert(first, reserve.size).unwrap_or(0);
        self.space.taken_bytes -= replaced.min(self.space.taken_bytes);
        self.frames.insert(first, Vec::new());
        self.opening.insert(first, reserve);
    }

    /// Leaves a segment out whose file is going to be removed.
    pub fn forget_segment(&mut self, first: Seq) {
        let bytes = self.segments.remove(&first).unwrap_or(0);
        self.space.taken_bytes -= bytes.min(self.space.taken_bytes);
        self.frames.remove(&first);
        self.seals.retain(|seal| seal.segment != first);
        self.unindexed.retain(|unindexed| *unindexed != first);
    }

    /// Forgets entries that are flushed, down to the bound.
    pub fn shrink_ring(&mut self, ring_max_bytes: usize) {
        while self.ring_bytes > ring_max_bytes
            && self.ring.front().is_some_and(|recent| recent.entry.header().position.seq <= self.flushed)
        {
            if let Some(recent) = self.ring.pop_front() {
                self.ring_bytes -= recent.entry.bytes().len();
            }
        }
    }

    /// The place in the ring of an entry that is there.
    pub fn in_ring(&self, seq: Seq) -> Option<usize> {
        let first = self.ring.front()?.entry.header().position.seq;
        let number = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        (number < self.ring.len()).then_some(number)
    }

    /// The segment that holds an entry which the log has, and how many entries that segment has.
    pub fn segment_of(&self, seq: Seq) -> Option<(Seq, usize)> {
        let (&first, _) = self.segments.range(..=seq).next_back()?;
        let next = self.segments.range(seq.next()..).next().map_or(self.tail.position.seq.next(), |(next, _)| *next);
        Some((first, usize::try_from(next.0 - first.0).unwrap_or(usize::MAX)))
    }

    /// Where an entry's frame begins, if that is known without its segment's index.
    pub fn frame_in_memory(&self, segment: Seq, seq: Seq) -> Option<u64> {
        let slot = usize::try_from(seq.0 - segment.0).ok()?;
        self.frames.get(&segment)?.get(slot).map(|place| u64::from(*place) * ALIGN_BYTES)
    }
}

impl Shared {
    /// A segment, open for reading.
    pub fn open_segment(&self, first: Seq) -> Result<Arc<OpenSegment>, LogError> {
        let cached = lock(&self.open_segments).iter().find(|(open, _)| *open == first).map(|(_, file)| file.clone());
        if let Some(segment) = cached {
            return Ok(segment);
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let opened = Arc::new(open_segment(&self.disk, first)?);
        let mut open = lock(&self.open_segments);
        // A file that was cut or removed meanwhile must not be found by later readers.
        if self.generation.load(Ordering::SeqCst) == generation {
            put_open(&mut open, &opened);
        }
        Ok(opened)
    }

    /// Takes entries away: forgets open files, and lets readers see that what they had looked up may be gone.
    pub fn take_away<T>(&self, change: impl FnOnce() -> T) -> T {
        self.count_change();
        let result = change();
        self.count_change();
        result
    }

    fn count_change(&self) {
        let mut open = lock(&self.open_segments);
        self.generation.fetch_add(1, Ordering::SeqCst);
        open.clear();
    }

    /// Reads something that must not be disturbed by a change that takes entries away: an error during such a change
    /// is no damage, so the read is done again after it.
    pub fn read_undisturbed<T>(&self, read: impl Fn() -> Result<T, LogError>) -> Result<T, LogError> {
        loop {
            let generation = self.generation.load(Ordering::SeqCst);
            let result = read();
            let undisturbed = generation.is_multiple_of(2) && self.generation.load(Ordering::SeqCst) == generation;
            if result.is_ok() || undisturbed {
                return result;
            }
            drop(lock(&self.maintenance));
        }
    }

    /// Keeps a segment open for readers, in the place of an older one.
    pub fn remember(&self, segment: &Arc<OpenSegment>) {
        put_open(&mut lock(&self.open_segments), segment);
    }
}

fn put_open(open: &mut VecDeque<(Seq, Arc<OpenSegment>)>, segment: &Arc<OpenSegment>) {
    let first = segment.head.first();
    open.retain(|(other, _)| *other != first);
    open.push_back((first, segment.clone()));
    if open.len() > OPEN_SEGMENTS_MAX {
        open.pop_front();
    }
}
