//! The values that the log gives and takes.

use crate::LogError;
use mailmirror_model::entry::Header;
use mailmirror_model::ids::{ChainHash, Epoch, Hlc, Position, Seq};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Bounds and sizes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Length of a segment's file. One that holds a larger entry is as long as that needs.
    pub segment_max_bytes: u64,
    /// Entries that are queued for the writer, in bytes. At the bound [`crate::AppendError::QueueFull`] is given; one
    /// call is always taken when the queue is empty.
    pub queue_max_bytes: usize,
    /// Entries that are written and flushed together, in bytes; one entry always is.
    pub batch_max_bytes: usize,
    /// Space that is kept reserved ahead of need.
    pub reserve_min_bytes: u64,
    /// Flushed entries that are kept in memory for readers. Those that are not flushed yet come on top.
    pub ring_max_bytes: usize,
    /// Bound on the length of all files together. At the bound [`crate::AppendError::NoSpace`] is given. Segments are
    /// made no longer than an eighth of it.
    pub log_max_bytes: u64,
    /// How long after space was refused it is asked for again.
    pub space_retry_interval: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_max_bytes: 64 << 20,
            queue_max_bytes: 32 << 20,
            batch_max_bytes: 4 << 20,
            reserve_min_bytes: 64 << 20,
            ring_max_bytes: 32 << 20,
            log_max_bytes: u64::MAX,
            space_retry_interval: Duration::from_secs(1),
        }
    }
}

impl LogOptions {
    /// The largest segment, so that places in it can be kept in 32 bits.
    const SEGMENT_BOUND_BYTES: u64 = 16 << 30;

    pub(crate) fn bounded(mut self) -> Self {
        let bound = Self::SEGMENT_BOUND_BYTES.min(self.log_max_bytes / 8).max(512);
        self.segment_max_bytes = self.segment_max_bytes.clamp(512, bound);
        self
    }
}

/// A segment, named by its first entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub Seq);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

/// Where the bytes of a whole entry are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The segment.
    pub segment: SegmentId,
    /// Where the entry begins in the segment's file.
    pub offset_bytes: u64,
    /// The length of the entry.
    pub length_bytes: u32,
}

/// The end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last entry; (0, 0) when there is none.
    pub position: Position,
    /// Its chained hash; [`ChainHash::ORIGIN`] when there is none.
    pub hash: ChainHash,
    /// The highest clock of any entry.
    pub clock: Hlc,
    /// The highest commit position noted in any entry.
    pub commit: Seq,
}

impl Tail {
    /// A log without entries.
    pub const EMPTY: Self = Self {
        position: Position { epoch: Epoch(0), seq: Seq::ZERO },
        hash: ChainHash::ORIGIN,
        clock: Hlc(0),
        commit: Seq::ZERO,
    };

    /// Whether an entry continues the log.
    pub fn is_followed_by(&self, header: &Header) -> bool {
        header.position.seq == self.position.seq.next()
            && header.position.epoch >= self.position.epoch
            && header.previous == self.hash
    }

    /// The tail after an entry that continues the log.
    #[must_use]
    pub fn after(&self, header: &Header, hash: ChainHash) -> Self {
        Self {
            position: header.position,
            hash,
            clock: self.clock.merge(header.clock),
            commit: self.commit.max(header.commit),
        }
    }
}

/// What is on stable storage.
#[derive(Clone, Debug)]
pub struct Flushed {
    /// Every entry up to this one is. It goes back only when the log is cut.
    pub seq: Seq,
    /// Why nothing more will ever be flushed.
    pub failed: Option<Arc<LogError>>,
}

/// How the log was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its end. Everything up to it is flushed.
    pub tail: Tail,
    /// Bytes of unfinished writes that were cut off.
    pub torn_bytes_dropped: u64,
    /// Bytes that were read to find the end.
    pub scanned_bytes: u64,
    /// Segments, the last one included.
    pub segments: usize,
    /// A cut that a crash had interrupted was finished.
    pub cut_finished: bool,
}
