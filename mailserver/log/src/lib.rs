//! The ordered, durable log of a node (rules L1, L2): the write-ahead log, the queue for the peer and the stream of the
//! mirror in one.
//!
//! One writer thread takes everything that is queued, writes it with one call and flushes it once (group commit).
//! Entries lie in segments that are preallocated ahead of need, so a full disk is known before an entry is accepted and
//! never after. A body is written once and, on the normal path, not read back: recent entries are kept in memory.
//!
//! **What a crash leaves:** every entry up to [`Flushed::seq`], nothing that breaks the chain of hashes, and maybe some
//! entries after it. Segments before the last are complete; only the last one is read when the log is opened.
//! Damage to flushed entries is an error that names the place; nothing is ever cut off silently that was flushed.
//!
//! **Architecture invariant:** the log knows entries, not operations. What they mean is decided above it.

mod cut;
mod disk;
mod error;
mod frame;
mod index;
mod log;
mod read;
mod recover;
mod scan;
mod space;
mod state;
mod types;
mod writer;

#[cfg(test)]
mod tests;

pub use cut::{EntriesFile, read_entries_file};
pub use error::{AppendError, LogError};
pub use log::Log;
pub use types::{Flushed, Location, LogOptions, Recovered, SegmentId, Tail};
