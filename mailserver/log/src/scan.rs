//! Reads a segment from its beginning: where its entries are, where they end, and what the end means.

use crate::disk::LogFile;
use crate::error::io_error;
use crate::frame::{
    ALIGN_BYTES, ALIGN_LENGTH, FRAME_BYTES, FRAME_LENGTH, Frame, FrameKey, HEAD_BYTES, HEAD_LENGTH, HeadError,
    SegmentHead, framed_bytes,
};
use crate::{LogError, SegmentId, Tail};
use bytes::Bytes;
use mailmirror_model::entry::{ENTRY_MAX_BYTES, Entry, EntryError};
use mailmirror_model::ids::Seq;
use std::os::unix::fs::FileExt;

const WINDOW_BYTES: usize = 1 << 20;

/// A moving window on a file that is read from front to back.
pub(crate) struct Window<'a> {
    file: &'a LogFile,
    file_bytes: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(file: &'a LogFile) -> Result<Self, LogError> {
        Ok(Self { file, file_bytes: file.length()?, start: 0, buffer: Vec::new() })
    }

    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The bytes at a place; `None` when the file ends before their end.
    pub fn get(&mut self, at: u64, length: usize) -> Result<Option<&[u8]>, LogError> {
        let end = at.saturating_add(length as u64);
        if end > self.file_bytes {
            return Ok(None);
        }
        if at < self.start || end > self.start + self.buffer.len() as u64 {
            let left = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX);
            self.buffer.resize(length.max(WINDOW_BYTES).min(left), 0);
            self.file.file.read_exact_at(&mut self.buffer, at).map_err(io_error("read", &self.file.path))?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..from.saturating_add(length)))
    }
}

/// The head of a segment's file.
pub(crate) fn read_head(file: &LogFile, segment: SegmentId) -> Result<SegmentHead, LogError> {
    let mut bytes = [0; HEAD_LENGTH];
    if file.length()? >= HEAD_BYTES {
        file.file.read_exact_at(&mut bytes, 0).map_err(io_error("read", &file.path))?;
    }
    SegmentHead::read(&bytes, segment.0).map_err(|error| match error {
        HeadError::Damaged(what) => LogError::DamagedSegment { segment, what },
        HeadError::UnknownFormat(format) => LogError::UnknownFormat { segment, format },
    })
}

/// What a segment holds.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The log as it ends with the segment's last whole entry.
    pub tail: Tail,
    /// Where the next frame goes.
    pub end: u64,
    /// Where each entry's frame begins, in units of [`ALIGN_BYTES`]; 0 where that is not known.
    pub frames: Vec<u32>,
    /// Bytes after `end` up to the last one that is not zero.
    pub rest_bytes: u64,
}

/// Reads the last segment: every entry is checked, and the chain between them.
///
/// What follows the last whole entry is a torn write, to be cut off; unless something in it says that it was flushed.
///
/// # Errors
/// [`LogError::Damaged`] when flushed entries are missing, [`LogError::UnknownKind`] (rule L7), [`LogError::Io`].
pub(crate) fn scan_last(file: &LogFile, head: &SegmentHead) -> Result<Scanned, LogError> {
    let segment = SegmentId(head.first());
    let key = head.key();
    let mut window = Window::new(file)?;
    let mut scanned = Scanned { tail: head.before, end: HEAD_BYTES, frames: Vec::new(), rest_bytes: 0 };
    let mut closed_here = false;
    let what = loop {
        let expected = scanned.tail.position.seq.next();
        let Some(bytes) = window.get(scanned.end, FRAME_LENGTH)? else { break "the segment ends" };
        let Some(frame) = Frame::read(&key, scanned.end, bytes) else { break "no entry starts there" };
        if frame.seq != expected {
            break "another entry is in its place";
        }
        if frame.length == 0 {
            closed_here = true;
            break "the log was closed before it";
        }
        let Some(bytes) = window.get(scanned.end + FRAME_BYTES, frame.length as usize)? else {
            break "the segment ends in it";
        };
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(EntryError::UnknownKind(kind)) => return Err(LogError::UnknownKind { seq: expected, kind }),
            Err(_) => break "its hash does not match its bytes",
        };
        if !scanned.tail.is_followed_by(entry.header()) {
            break "it does not continue the chain of hashes";
        }
        scanned.tail = scanned.tail.after(entry.header(), entry.hash());
        scanned.frames.push(unit(scanned.end));
        scanned.end += framed_bytes(u64::from(frame.length));
    };
    let rest = examine_rest(&mut window, &key, scanned.end, scanned.tail.position.seq.next())?;
    if rest.was_flushed {
        let (seq, offset_bytes) = (scanned.tail.position.seq.next(), scanned.end);
        return Err(LogError::Damaged { segment, seq, offset_bytes, what });
    }
    let marker_bytes = if closed_here { FRAME_BYTES } else { 0 };
    scanned.rest_bytes = rest.end.saturating_sub(scanned.end + marker_bytes);
    Ok(scanned)
}

/// Where a frame begins, as it is kept in lists.
pub(crate) fn unit(at: u64) -> u32 {
    // Segments are bounded far below 2^35 bytes (LogOptions).
    u32::try_from(at / ALIGN_BYTES).unwrap_or(0)
}

struct Rest {
    /// The end of the last byte that is not zero.
    end: u64,
    /// Something says that an entry from `missing` on was flushed.
    was_flushed: bool,
}

/// Looks through the bytes from `from` on, in which entry `missing` was not found.
fn examine_rest(window: &mut Window<'_>, key: &FrameKey, from: u64, missing: Seq) -> Result<Rest, LogError> {
    let mut rest = Rest { end: from, was_flushed: false };
    let mut at = from;
    while at < window.file_bytes() {
        let chunk = usize::try_from(window.file_bytes() - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
        let Some(bytes) = window.get(at, chunk)? else { break };
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            rest.end = at + last as u64 + 1;
            if claims_flushed(key, at, bytes, missing) {
                rest.was_flushed = true;
                return Ok(rest);
            }
        }
        // Frames may lie across the border of two chunks.
        at += if chunk == WINDOW_BYTES { chunk as u64 - FRAME_BYTES } else { chunk as u64 };
    }
    Ok(rest)
}

fn claims_flushed(key: &FrameKey, start: u64, bytes: &[u8], missing: Seq) -> bool {
    (0..bytes.len()).step_by(ALIGN_LENGTH).any(|from| {
        let candidate = &bytes[from..];
        Frame::unchecked(candidate).is_some_and(|frame| plausible(frame, missing) && frame.flushed() >= missing)
            && Frame::read(key, start + from as u64, candidate).is_some()
    })
}

/// Cheap bounds that no frame of the same segment breaks.
fn plausible(frame: Frame, from: Seq) -> bool {
    frame.seq >= from && frame.seq.0 - from.0 < u64::from(u32::MAX) && frame.length as usize <= ENTRY_MAX_BYTES
}

/// Finds the entries of a sealed segment, whatever its state: entries that cannot be found have a 0 in the list. Only
/// frames are read, not entries: those are checked when they are read.
pub(crate) fn find_frames(file: &LogFile, head: &SegmentHead, count: usize) -> Result<Vec<u32>, LogError> {
    let key = head.key();
    let first = head.first();
    let mut window = Window::new(file)?;
    let mut frames = vec![0; count];
    let mut at = HEAD_BYTES;
    let mut lost = false;
    while let Some(bytes) = window.get(at, FRAME_LENGTH)? {
        let found = Frame::unchecked(bytes)
            .filter(|frame| plausible(*frame, first))
            .and_then(|_| Frame::read(&key, at, bytes))
            .filter(|frame| frame.length > 0);
        let Some(frame) = found else {
            lost = true;
            at += ALIGN_BYTES;
            continue;
        };
        let slot = usize::try_from(frame.seq.0 - first.0).unwrap_or(usize::MAX);
        match frames.get_mut(slot) {
            Some(place) => *place = unit(at),
            None => break,
        }
        if slot + 1 == count {
            break;
        }
        at += framed_bytes(u64::from(frame.length));
    }
    if lost {
        tracing::warn!(segment = %SegmentId(first), "entries of a sealed segment cannot be found: it is damaged");
    }
    Ok(frames)
}

/// Reads and checks one entry. `at` is where its frame begins.
pub(crate) fn read_entry(
    file: &LogFile,
    key: &FrameKey,
    segment: SegmentId,
    seq: Seq,
    at: u64,
) -> Result<Entry<Bytes>, LogError> {
    let damaged = |what| LogError::Damaged { segment, seq, offset_bytes: at, what };
    let frame = read_frame(file, key, at)?.ok_or_else(|| damaged("no entry starts there"))?;
    if frame.seq != seq {
        return Err(damaged("another entry is in its place"));
    }
    let mut bytes = vec![0; frame.length as usize];
    match file.file.read_exact_at(&mut bytes, at + FRAME_BYTES) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damaged("the segment ends in it"));
        }
        Err(error) => return Err(io_error("read", &file.path)(error)),
    }
    check_entry(bytes.into(), segment, seq, at)
}

/// Bytes that should be this entry, as an entry.
pub(crate) fn check_entry(bytes: Bytes, segment: SegmentId, seq: Seq, at: u64) -> Result<Entry<Bytes>, LogError> {
    let damaged = |what| LogError::Damaged { segment, seq, offset_bytes: at, what };
    let entry = Entry::read(bytes).map_err(|error| match error {
        EntryError::UnknownKind(kind) => LogError::UnknownKind { seq, kind },
        _ => damaged("its hash does not match its bytes"),
    })?;
    if entry.header().position.seq == seq { Ok(entry) } else { Err(damaged("another entry is in its place")) }
}

/// The frame at a place; `None` when there is none.
pub(crate) fn read_frame(file: &LogFile, key: &FrameKey, at: u64) -> Result<Option<Frame>, LogError> {
    let mut bytes = [0; FRAME_LENGTH];
    match file.file.read_exact_at(&mut bytes, at) {
        Ok(()) => Ok(Frame::read(key, at, &bytes).filter(|frame| frame.length > 0)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(io_error("read", &file.path)(error)),
    }
}
