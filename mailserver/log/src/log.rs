//! The log as its users see it.

use crate::cut::{self, Decision};
use crate::disk::{Disk, Hook};
use crate::error::io_error;
use crate::frame::{FRAME_BYTES, SegmentHead};
use crate::index::OpenSegment;
use crate::recover::{Found, recover};
use crate::state::{Mode, Shared, Shortage, State, WriterSide, lock};
use crate::{AppendError, Flushed, LogError, LogOptions, Recovered, Tail, space, writer};
use bytes::Bytes;
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::{ChainHash, Position, Seq};
use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long [`Log::append`] waits at most for a new segment that is not there yet.
const SPACE_WAIT_MAX: Duration = Duration::from_secs(1);

/// The log of a node. Clones are the same log. When the last one is dropped what was appended is flushed, as by
/// [`Log::close`].
#[derive(Clone)]
pub struct Log {
    pub(crate) inner: Arc<Handle>,
}

/// Ends the threads with the last clone.
pub(crate) struct Handle {
    pub shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Locked against other processes as long as it is open.
    _lock: File,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Handle {
    fn stop(&self) {
        let mut state = lock(&self.shared.state);
        if matches!(state.mode, Mode::Open | Mode::Changing) {
            state.mode = Mode::Closing;
        }
        drop(state);
        self.shared.work.notify_all();
        self.shared.chores.notify_all();
        self.shared.space_changed.notify_all();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log has panicked");
            }
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("directory", &self.inner.shared.disk.directory)
            .field("tail", &self.tail())
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in a directory, which is made when it is not there. Only the last segment is read.
    ///
    /// # Errors
    /// [`LogError::Locked`], [`LogError::Damaged`] and [`LogError::DamagedSegment`] for the last segment (damage in
    /// earlier ones is found when they are read), [`LogError::UnknownKind`], [`LogError::UnknownFormat`],
    /// [`LogError::Io`].
    pub fn open(directory: &Path, options: LogOptions) -> Result<(Self, Recovered), LogError> {
        Self::open_with(directory, options, None)
    }

    pub(crate) fn open_with(
        directory: &Path,
        options: LogOptions,
        hook: Option<Hook>,
    ) -> Result<(Self, Recovered), LogError> {
        let options = options.bounded();
        let disk = Disk::new(directory, hook);
        let lock_file = lock_directory(&disk)?;
        let mut found = recover(&disk, options.segment_max_bytes)?;
        let recovered = Recovered {
            tail: found.tail,
            torn_bytes_dropped: found.torn_bytes,
            scanned_bytes: found.scanned_bytes,
            segments: found.segments.len(),
            cut_finished: found.cut_finished,
        };
        let state = State::new(&mut found);
        let shared = Arc::new(Shared {
            disk,
            options,
            state: Mutex::new(state),
            work: Condvar::new(),
            chores: Condvar::new(),
            space_changed: Condvar::new(),
            idle: Condvar::new(),
            flushed: watch::Sender::new(Flushed { seq: recovered.tail.position.seq, failed: None }),
            writer: Mutex::new(writer_side(&mut found)),
            maintenance: Mutex::new(()),
            open_segments: Mutex::new(VecDeque::new()),
            generation: AtomicU64::new(0),
        });
        if let Some(segment) = &lock(&shared.writer).segment {
            shared.remember(segment);
        }
        let threads = vec![start("log-write", &shared, writer::run)?, start("log-space", &shared, space::run)?];
        let inner = Arc::new(Handle { shared, threads: Mutex::new(threads), _lock: lock_file });
        Ok((Self { inner }, recovered))
    }

    /// Takes entries in. They are written and flushed by the writer thread; [`Log::flushed`] says when. After `Ok` they
    /// will be flushed, or the log fails as a whole.
    ///
    /// Does not wait for the disk, but for one case: when space that is reserved ahead is used up before more could be
    /// reserved (an entry larger than a segment, a burst), it waits until the file system has answered, at most a
    /// second; then [`AppendError::QueueFull`] is given.
    ///
    /// # Errors
    /// [`AppendError`]; then nothing was taken.
    pub fn append(&self, entries: Vec<Entry<Bytes>>) -> Result<(), AppendError> {
        let shared = &self.inner.shared;
        let bytes: usize = entries.iter().map(|entry| entry.bytes().len()).sum();
        let mut state = lock(&shared.state);
        let plan = loop {
            match state.mode {
                Mode::Open => {}
                Mode::Changing => return Err(AppendError::QueueFull),
                Mode::Closing | Mode::Closed | Mode::Failed => return Err(AppendError::Closed),
            }
            state.check_chain(&entries)?;
            if state.queue_bytes > 0 && state.queue_bytes + bytes > shared.options.queue_max_bytes {
                return Err(AppendError::QueueFull);
            }
            match state.plan(&entries) {
                Ok(plan) => break plan,
                Err(shortage) => state = wait_for_space(shared, state, shortage)?,
            }
        };
        state.accept(entries, &plan);
        let ask_again = state.space.refused.is_some();
        drop(state);
        shared.work.notify_one();
        if ask_again || plan.iter().any(|planned| planned.reserve.is_some()) {
            shared.chores.notify_all();
        }
        Ok(())
    }

    /// Tells what is on stable storage, and when the log fails.
    pub fn flushed(&self) -> watch::Receiver<Flushed> {
        self.inner.shared.flushed.subscribe()
    }

    /// Waits until an entry is on stable storage.
    ///
    /// # Errors
    /// The error that the log has failed with. Waits forever for what is never appended.
    pub async fn wait_flushed(&self, seq: Seq) -> Result<(), Arc<LogError>> {
        let mut receiver = self.flushed();
        let reached = |flushed: &Flushed| flushed.seq >= seq || flushed.failed.is_some();
        let Ok(flushed) = receiver.wait_for(reached).await else { return Err(Arc::new(LogError::Closed)) };
        match &flushed.failed {
            Some(error) if flushed.seq < seq => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The last entry that was appended; it may not be flushed yet.
    pub fn tail(&self) -> Tail {
        lock(&self.inner.shared.state).tail
    }

    /// The first entry that the log still has; the next one to come when it has none.
    pub fn first_seq(&self) -> Seq {
        lock(&self.inner.shared.state).first()
    }

    /// Length of all files, reserved space included.
    pub fn size_bytes(&self) -> u64 {
        lock(&self.inner.shared.state).space.taken_bytes
    }

    /// The position and chained hash of an entry; of the beginning for [`Seq::ZERO`]; `None` for what the log does not
    /// have. This is how two logs find what they have in common.
    ///
    /// # Errors
    /// [`LogError::Damaged`], [`LogError::Io`].
    pub fn header_hash_at(&self, seq: Seq) -> Result<Option<(Position, ChainHash)>, LogError> {
        if seq == Seq::ZERO {
            return Ok(Some((Tail::EMPTY.position, Tail::EMPTY.hash)));
        }
        self.inner.shared.read_undisturbed(|| self.header_hash_now(seq))
    }

    fn header_hash_now(&self, seq: Seq) -> Result<Option<(Position, ChainHash)>, LogError> {
        let (first, tail) = {
            let state = lock(&self.inner.shared.state);
            (state.first(), state.tail)
        };
        if seq == tail.position.seq {
            return Ok(Some((tail.position, tail.hash)));
        }
        if seq > tail.position.seq || seq.next() < first {
            return Ok(None);
        }
        if seq.next() == first {
            let before = self.inner.shared.open_segment(first)?.head.before;
            return Ok(Some((before.position, before.hash)));
        }
        let entry = self.read_one(seq)?;
        Ok(Some((entry.header().position, entry.hash())))
    }

    /// Cuts off every entry after `seq`, durably. They are first written to `keep_as`, durably too (rule U2: a branch
    /// is kept); [`crate::read_entries_file`] reads that file. Nothing is done when there are none.
    ///
    /// Waits for the disk. A crash leaves the log whole or cut, never between; calling this again finishes what was
    /// begun, with the same file. Meanwhile appending gives [`AppendError::QueueFull`].
    ///
    /// # Errors
    /// [`LogError::Gone`] when `seq` is before the log's beginning, [`LogError::BranchExists`], [`LogError::Closed`],
    /// [`LogError::Damaged`], [`LogError::Io`]. When the cut was decided but could not be finished the log fails, and
    /// the next opening finishes it.
    pub fn truncate_after(&self, seq: Seq, keep_as: &Path) -> Result<Tail, LogError> {
        self.change(|log, tail| {
            if seq >= tail.position.seq {
                return Ok(None);
            }
            let first = log.first_seq();
            if seq.next() < first {
                return Err(LogError::Gone { seq, first });
            }
            let location = log.locate(seq.next())?.ok_or(LogError::Gone { seq, first })?;
            let mut next = seq.next();
            cut::keep(&log.inner.shared.disk, keep_as, || {
                let entries = log.read(next, 1 << 20)?;
                next = Seq(next.0 + entries.len() as u64);
                Ok(entries)
            })?;
            Ok(Some(Decision::Cut { segment: location.segment.0, end: location.offset_bytes - FRAME_BYTES }))
        })
    }

    /// Lets an empty log begin after `tail`: its first entry will be the one that follows (a store that was filled by a
    /// full resync, rule R4).
    ///
    /// # Errors
    /// [`LogError::NotEmpty`], [`LogError::Closed`], [`LogError::Io`].
    pub fn begin_after(&self, tail: Tail) -> Result<(), LogError> {
        let begin = |log: &Self, now: Tail| {
            if now == tail {
                return Ok(None);
            }
            if log.first_seq() <= now.position.seq {
                return Err(LogError::NotEmpty { asked: tail.position.seq, last: now.position.seq });
            }
            Ok(Some(Decision::Begin(SegmentHead::new(tail))))
        };
        self.change(begin).map(|_| ())
    }

    /// Removes whole segments whose entries are all at or before `seq`; the last segment stays. Returns the first entry
    /// that is left.
    ///
    /// # Errors
    /// [`LogError::NotFlushed`], [`LogError::Closed`], [`LogError::Io`].
    pub fn remove_through(&self, seq: Seq) -> Result<Seq, LogError> {
        let shared = &self.inner.shared;
        let _maintenance = lock(&shared.maintenance);
        let state = lock(&shared.state);
        if state.mode != Mode::Open {
            return Err(LogError::Closed);
        }
        if seq > state.flushed {
            return Err(LogError::NotFlushed { asked: seq, flushed: state.flushed });
        }
        // The last one that begins at or before the next entry holds it. It must have flushed entries itself: before
        // that it may not be on the disk, and the end of the log would go with the segments before it.
        let bound = seq.next().min(state.flushed);
        let firsts: Vec<Seq> = state.segments.range(..=bound).map(|(first, _)| *first).collect();
        drop(state);
        for &first in firsts.iter().take(firsts.len().saturating_sub(1)) {
            shared.take_away(|| {
                lock(&shared.state).forget_segment(first);
                shared.disk.remove(&shared.disk.segment_path(first))?;
                shared.disk.remove(&shared.disk.index_path(first))
            })?;
        }
        if firsts.len() > 1 {
            shared.disk.sync_directory()?;
            shared.chores.notify_all();
        }
        Ok(self.first_seq())
    }

    /// Flushes what was appended and ends the log, for all clones.
    ///
    /// # Errors
    /// The error that the log has failed with, now or before.
    pub fn close(self) -> Result<(), Arc<LogError>> {
        self.inner.stop();
        let failed = self.inner.shared.flushed.borrow().failed.clone();
        failed.map_or(Ok(()), Err)
    }

    /// Runs a change of the log's files while nothing else changes them. `prepare` may decide on one, which is then
    /// made; until it has, the log is as it was.
    fn change(
        &self,
        prepare: impl FnOnce(&Self, Tail) -> Result<Option<Decision>, LogError>,
    ) -> Result<Tail, LogError> {
        let shared = &self.inner.shared;
        let tail = quiesce(shared)?;
        let _maintenance = lock(&shared.maintenance);
        let mut writer = lock(&shared.writer);
        let decided = prepare(self, tail).and_then(|decision| {
            if let Some(decision) = &decision {
                cut::decide(&shared.disk, decision)?;
            }
            Ok(decision.is_some())
        });
        let result = match decided {
            Ok(false) => Ok(tail),
            Ok(true) => self.reload(&mut writer),
            Err(error) => {
                resume(shared);
                return Err(error);
            }
        };
        drop(writer);
        match result {
            Ok(tail) => {
                // First the number, while the writer has nothing to say; then wake those who could not append.
                shared.flushed.send_modify(|flushed| flushed.seq = tail.position.seq);
                resume(shared);
                Ok(tail)
            }
            Err(error) => {
                crate::writer::fail(shared, error);
                Err(LogError::Closed)
            }
        }
    }

    fn reload(&self, writer: &mut WriterSide) -> Result<Tail, LogError> {
        let shared = &self.inner.shared;
        let tail = shared.take_away(|| {
            cut::finish(&shared.disk)?;
            let mut found = crate::recover::recover_segments(&shared.disk)?;
            let tail = found.tail;
            lock(&shared.state).install(&mut found);
            *writer = writer_side(&mut found);
            Ok::<_, LogError>(tail)
        })?;
        if let Some(segment) = &writer.segment {
            shared.remember(segment);
        }
        Ok(tail)
    }
}

/// Stops the intake and waits until everything that was taken is flushed.
fn quiesce(shared: &Shared) -> Result<Tail, LogError> {
    let mut state = lock(&shared.state);
    if state.mode != Mode::Open {
        return Err(LogError::Closed);
    }
    state.mode = Mode::Changing;
    while state.mode == Mode::Changing && (state.writing || !state.queue.is_empty()) {
        state = shared.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    if state.mode == Mode::Changing { Ok(state.tail) } else { Err(LogError::Closed) }
}

fn resume(shared: &Shared) {
    let mut state = lock(&shared.state);
    if state.mode == Mode::Changing {
        state.mode = Mode::Open;
    }
    drop(state);
    shared.chores.notify_all();
    shared.flushed.send_modify(|_| ());
}

fn wait_for_space<'a>(
    shared: &'a Shared,
    mut state: MutexGuard<'a, State>,
    shortage: Shortage,
) -> Result<MutexGuard<'a, State>, AppendError> {
    let refused_lately = state.space.refused.is_some_and(|at| at.elapsed() < shared.options.space_retry_interval);
    if refused_lately {
        return Err(AppendError::NoSpace);
    }
    state.space.refused = None;
    let granted = state.space.granted;
    state.space.demand_bytes = state.space.demand_bytes.max(shortage.file_bytes);
    shared.chores.notify_all();
    let deadline = Instant::now() + SPACE_WAIT_MAX;
    while state.space.refused.is_none() && state.space.granted == granted {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || state.mode != Mode::Open {
            return Err(if state.mode == Mode::Open { AppendError::QueueFull } else { AppendError::Closed });
        }
        state = shared.space_changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    // Something may have been had before more was refused.
    if state.space.granted == granted { Err(AppendError::NoSpace) } else { Ok(state) }
}

fn writer_side(found: &mut Found) -> WriterSide {
    let written = found.tail;
    match found.active.take() {
        None => WriterSide { segment: None, end: 0, written },
        Some(active) => {
            let end = active.end;
            WriterSide { segment: Some(Arc::new(OpenSegment::new(active.file, active.head))), end, written }
        }
    }
}

fn lock_directory(disk: &Disk) -> Result<File, LogError> {
    let directory = &disk.directory;
    if !std::fs::exists(directory).map_err(io_error("look at", directory))? {
        std::fs::create_dir_all(directory).map_err(io_error("create", directory))?;
        if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            disk.sync_directory_of(parent)?;
        }
    }
    let path = directory.join("lock");
    let file = File::create(&path).map_err(io_error("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: directory.clone() }),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

fn start(name: &str, shared: &Arc<Shared>, run: fn(&Shared)) -> Result<JoinHandle<()>, LogError> {
    let for_thread = shared.clone();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || run(&for_thread))
        .map_err(io_error("start a thread for", &shared.disk.directory))
}
