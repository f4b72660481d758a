//! The sidecar of a sealed segment: where each of its entries begins. It is a cache: lost or damaged, it is rebuilt
//! from the segment; what it says is believed only when a frame with the right number stands there. Only the
//! maintenance thread writes it; a reader that finds none keeps one in memory as long as the segment is open.
//!
//! ```text
//! magic 8 | salt of the segment 16 | first seq u64 | count u32 | crc32c of these u32 | place of each entry u32 …
//! ```

use crate::disk::{Disk, LogFile};
use crate::frame::{ALIGN_BYTES, SegmentHead};
use crate::{LogError, error::io_error, scan};
use mailmirror_model::ids::Seq;
use std::fs::File;
use std::os::unix::fs::FileExt;

const MAGIC: [u8; 8] = *b"MMINDEX\n";
const HEAD_BYTES: usize = 40;

/// Where the entries of a sealed segment are.
#[derive(Debug)]
pub(crate) enum Index {
    /// In its file.
    File(File),
    /// In memory, where there is no good file.
    Memory(Vec<u32>),
}

fn head_bytes(head: &SegmentHead, count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&head.salt);
    bytes.extend_from_slice(&head.first().0.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Writes the sidecar.
pub(crate) fn write(disk: &Disk, head: &SegmentHead, frames: &[u32]) -> Result<(), LogError> {
    let mut bytes = head_bytes(head, frames.len());
    bytes.extend(frames.iter().flat_map(|place| place.to_le_bytes()));
    disk.write_whole(&disk.index_path(head.first()), &bytes)
}

impl Index {
    fn open_file(disk: &Disk, head: &SegmentHead, count: usize) -> Option<Self> {
        let file = File::open(disk.index_path(head.first())).ok()?;
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let expected_bytes = (HEAD_BYTES + 4 * count) as u64;
        let good = bytes[..] == head_bytes(head, count)[..] && file.metadata().ok()?.len() == expected_bytes;
        good.then_some(Self::File(file))
    }

    /// The byte at which the frame of the `slot`th entry should begin.
    pub fn get(&self, slot: usize) -> Option<u64> {
        let place = match self {
            Self::Memory(frames) => frames.get(slot).copied()?,
            Self::File(file) => {
                let mut bytes = [0; 4];
                file.read_exact_at(&mut bytes, (HEAD_BYTES + 4 * slot) as u64).ok()?;
                u32::from_le_bytes(bytes)
            }
        };
        (place != 0).then_some(u64::from(place) * ALIGN_BYTES)
    }
}

/// The file and the index of a segment, kept open while it is in use.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub file: LogFile,
    pub head: SegmentHead,
    pub key: crate::frame::FrameKey,
    index: std::sync::Mutex<Option<Index>>,
}

impl OpenSegment {
    pub fn new(file: LogFile, head: SegmentHead) -> Self {
        Self { file, key: head.key(), head, index: std::sync::Mutex::new(None) }
    }

    pub fn id(&self) -> crate::SegmentId {
        crate::SegmentId(self.head.first())
    }

    /// Where the frame of an entry of this sealed segment of `count` entries begins; and whether the sidecar should be
    /// written again, because it was of no use.
    pub fn find(&self, disk: &Disk, seq: Seq, count: usize) -> Result<(u64, bool), LogError> {
        let slot = usize::try_from(seq.0 - self.head.first().0).unwrap_or(usize::MAX);
        let mut guard = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if guard.is_none() {
            *guard = Index::open_file(disk, &self.head, count);
        }
        if let Some(index) = guard.as_ref() {
            if let Some(at) = self.checked(index, seq, slot)? {
                return Ok((at, false));
            }
            if matches!(index, Index::Memory(_)) {
                return Err(self.lost(seq));
            }
        }
        let index = Index::Memory(scan::find_frames(&self.file, &self.head, count)?);
        let place = self.checked(&index, seq, slot)?;
        *guard = Some(index);
        place.map(|at| (at, true)).ok_or_else(|| self.lost(seq))
    }

    /// Builds the sidecar of this sealed segment of `count` entries from the segment, and writes it. Returns where the
    /// last entry begins, if it is there.
    pub fn index_again(&self, disk: &Disk, count: usize) -> Result<Option<u64>, LogError> {
        let frames = scan::find_frames(&self.file, &self.head, count)?;
        write(disk, &self.head, &frames)?;
        *self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        Ok(frames.last().filter(|place| **place != 0).map(|place| u64::from(*place) * ALIGN_BYTES))
    }

    fn checked(&self, index: &Index, seq: Seq, slot: usize) -> Result<Option<u64>, LogError> {
        let Some(at) = index.get(slot) else { return Ok(None) };
        let frame = scan::read_frame(&self.file, &self.key, at)?;
        Ok(frame.filter(|frame| frame.seq == seq).map(|_| at))
    }

    fn lost(&self, seq: Seq) -> LogError {
        let what = "it cannot be found in its segment";
        LogError::Damaged { segment: self.id(), seq, offset_bytes: 0, what }
    }
}

/// Opens the file of a segment and reads its head.
pub(crate) fn open_segment(disk: &Disk, first: Seq) -> Result<OpenSegment, LogError> {
    let path = disk.segment_path(first);
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let file = LogFile { file, path };
    let head = scan::read_head(&file, crate::SegmentId(first))?;
    Ok(OpenSegment::new(file, head))
}
