//! What can go wrong, and what to do about it.

use crate::SegmentId;
use mailmirror_model::ids::Seq;
use std::io;
use std::path::PathBuf;

/// Why the log could not be opened, read or cut.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused something.
    #[error("failed to {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes that were written and flushed are not there any more.
    #[error(
        "failed to read entry {seq} in segment {segment} at byte {offset_bytes}: {what}; \
         the disk lost or changed flushed bytes: resync this node from its peer"
    )]
    Damaged {
        /// The segment that holds it.
        segment: SegmentId,
        /// The first entry that cannot be read.
        seq: Seq,
        /// Where in the segment's file.
        offset_bytes: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A segment's file does not begin as a segment does.
    #[error("failed to read the head of segment {segment}: {what}; resync this node from its peer")]
    DamagedSegment {
        /// The segment.
        segment: SegmentId,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The log was written by a newer program (rule L7).
    #[error("failed to read entry {seq} of kind {kind}: update this program")]
    UnknownKind {
        /// The entry.
        seq: Seq,
        /// Its kind, unknown here.
        kind: u8,
    },
    /// A segment was written in a newer format.
    #[error("failed to read segment {segment} of format {format}: update this program")]
    UnknownFormat {
        /// The segment.
        segment: SegmentId,
        /// Its format, unknown here.
        format: u32,
    },
    /// The entry is not in the log any more: only later ones are kept.
    #[error("failed to read entry {seq}: the log begins at entry {first}")]
    Gone {
        /// What was asked for.
        seq: Seq,
        /// What there is.
        first: Seq,
    },
    /// A range that is not inside the entry.
    #[error("failed to read {length} bytes at {offset} of an entry of {entry_bytes} bytes: out of range")]
    Range {
        /// Where the range begins in the entry.
        offset: u64,
        /// Its length.
        length: u64,
        /// The length of the entry.
        entry_bytes: u32,
    },
    /// The place does not hold an entry of this log (any more).
    #[error("failed to read at byte {offset_bytes} of segment {segment}: no such entry; look its place up again")]
    NotThere {
        /// The segment.
        segment: SegmentId,
        /// Where.
        offset_bytes: u64,
    },
    /// Another process has the log open.
    #[error("failed to open the log in {path}: another process has it open; stop that one first")]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file for the removed entries holds other ones.
    #[error("failed to keep removed entries in {path}: it holds other entries; give another name")]
    BranchExists {
        /// The file.
        path: PathBuf,
    },
    /// A branch file ends or breaks in the middle of an entry.
    #[error("failed to read entries from {path} at byte {offset_bytes}: {what}")]
    BranchDamaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset_bytes: u64,
        /// What is wrong there.
        what: String,
    },
    /// The log is not empty, and only an empty one can be given another beginning.
    #[error("failed to begin the log after entry {asked}: it holds entries up to {last}")]
    NotEmpty {
        /// The asked beginning.
        asked: Seq,
        /// What it holds.
        last: Seq,
    },
    /// The entries up to the last are needed.
    #[error("failed to remove entries up to {asked}: only entries that are flushed can go, up to {flushed}")]
    NotFlushed {
        /// What was asked to go.
        asked: Seq,
        /// What is flushed.
        flushed: Seq,
    },
    /// The log was closed, or a write failed before (see [`crate::Flushed::failed`]).
    #[error("failed to change the log: it is closed or has failed; restart this node")]
    Closed,
}

/// Why entries were not taken. Nothing of the call was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// They do not fit into the space that is reserved, and no more can be had. Ask again later: it is taken again by
    /// itself when there is space.
    #[error("failed to append: no space left for the log; free space on its volume")]
    NoSpace,
    /// More is queued than [`crate::LogOptions::queue_max_bytes`], or the log is just being cut. Wait for a change of
    /// [`crate::Log::flushed`].
    #[error("failed to append: the disk is behind; try again when something was flushed")]
    QueueFull,
    /// They do not continue the log: sequence number, epoch or chained hash do not follow its tail.
    #[error("failed to append: entry {given} does not follow entry {last} of the log")]
    Gap {
        /// The first entry that does not follow.
        given: Seq,
        /// The entry that it should have followed.
        last: Seq,
    },
    /// The log was closed, or a write failed (see [`crate::Flushed::failed`]).
    #[error("failed to append: the log is closed or has failed; restart this node")]
    Closed,
}

pub(crate) fn io_error(action: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io { action, path, source }
}
