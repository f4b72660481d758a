//! The sidecar of a sealed segment: where each of its entries begins. It is a cache: lost or damaged, it is rebuilt
//! from the segment; what it says is believed only when a frame with the right number stands there.
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
    /// In memory, where the file could not be written.
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
    /// Opens the sidecar of a segment of `count` entries, or builds it again.
    pub fn open(disk: &Disk, file: &LogFile, head: &SegmentHead, count: usize) -> Result<Self, LogError> {
        match Self::open_file(disk, head, count) {
            Some(index) => Ok(index),
            None => Self::rebuild(disk, file, head, count),
        }
    }

    fn open_file(disk: &Disk, head: &SegmentHead, count: usize) -> Option<Self> {
        let file = File::open(disk.index_path(head.first())).ok()?;
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let expected_bytes = (HEAD_BYTES + 4 * count) as u64;
        let good = bytes[..] == head_bytes(head, count)[..] && file.metadata().ok()?.len() == expected_bytes;
        good.then_some(Self::File(file))
    }

    /// Builds the sidecar from the segment, and writes it if that can be done.
    pub fn rebuild(disk: &Disk, file: &LogFile, head: &SegmentHead, count: usize) -> Result<Self, LogError> {
        let frames = scan::find_frames(file, head, count)?;
        if let Err(error) = write(disk, head, &frames) {
            tracing::warn!(%error, "the index of a segment is kept in memory only");
            return Ok(Self::Memory(frames));
        }
        Ok(Self::open_file(disk, head, count).unwrap_or(Self::Memory(frames)))
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

    /// Where the frame of an entry of this sealed segment of `count` entries begins.
    pub fn find(&self, disk: &Disk, seq: Seq, count: usize) -> Result<u64, LogError> {
        let slot = usize::try_from(seq.0 - self.head.first().0).unwrap_or(usize::MAX);
        let mut guard = self.index.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let index = match guard.take() {
            Some(index) => index,
            None => Index::open(disk, &self.file, &self.head, count)?,
        };
        let place = self.checked(&index, seq, slot)?;
        if let Some(at) = place {
            *guard = Some(index);
            return Ok(at);
        }
        let rebuilt = Index::rebuild(disk, &self.file, &self.head, count)?;
        let place = self.checked(&rebuilt, seq, slot)?;
        *guard = Some(rebuilt);
        place.ok_or_else(|| self.lost(seq))
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
