//! Tests of the log as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod basics;
mod crash;
mod damage;
mod full;
mod power;

use crate::{Log, LogOptions, Tail};
use bytes::Bytes;
use mailmirror_model::entry::{Entry, Header, Kind};
use mailmirror_model::ids::{Epoch, Hlc, Incarnation, NodeId, Origin, Position, Seq};
use std::path::Path;
use std::time::Duration;

/// Segments of a few kilobytes, so that every test crosses their borders.
pub(crate) fn small() -> LogOptions {
    LogOptions {
        segment_max_bytes: 4096,
        queue_max_bytes: 1 << 20,
        batch_max_bytes: 64 << 10,
        reserve_min_bytes: 4096,
        ring_max_bytes: 2048,
        log_max_bytes: u64::MAX,
        space_retry_interval: Duration::from_millis(1),
    }
}

pub(crate) fn open(directory: &Path) -> Log {
    Log::open(directory, small()).unwrap().0
}

/// A directory in memory where there is such a thing: for tests whose power cuts are made by [`power`], where a real
/// flush proves nothing and takes long.
pub(crate) fn memory_room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// The entry after `tail`, with a payload of its own.
pub(crate) fn entry_after(tail: Tail, epoch: u64, payload: &[u8]) -> Entry<Bytes> {
    let seq = tail.position.seq.next();
    let header = Header {
        position: Position { epoch: Epoch(epoch), seq },
        kind: Kind::Operation,
        origin: Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: seq.0 },
        clock: Hlc(seq.0 << 16),
        commit: tail.position.seq,
        previous: tail.hash,
    };
    Entry::write(header, &[payload]).unwrap().map_bytes(Bytes::from)
}

/// Entries with payloads of these lengths.
pub(crate) fn entries_after(mut tail: Tail, epoch: u64, lengths: &[usize]) -> Vec<Entry<Bytes>> {
    lengths
        .iter()
        .map(|length| {
            let number = tail.position.seq.0.to_le_bytes()[0];
            let payload: Vec<u8> =
                (0..*length).map(|at| number.wrapping_mul(31).wrapping_add(at.to_le_bytes()[0])).collect();
            let entry = entry_after(tail, epoch, &payload);
            tail = tail.after(entry.header(), entry.hash());
            entry
        })
        .collect()
}

/// Appends one by one, so that they may go out in any number of batches.
pub(crate) fn append_all(log: &Log, entries: &[Entry<Bytes>]) {
    for entry in entries {
        log.append(vec![entry.clone()]).unwrap();
    }
}

pub(crate) fn wait_flushed(log: &Log, seq: Seq) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.wait_flushed(seq)).unwrap();
}

/// Everything that the log has.
pub(crate) fn read_all(log: &Log) -> Vec<Entry<Bytes>> {
    let mut all: Vec<Entry<Bytes>> = Vec::new();
    let mut from = log.first_seq();
    loop {
        let some = log.read(from, 1000).unwrap();
        if some.is_empty() {
            return all;
        }
        from = Seq(from.0 + some.len() as u64);
        all.extend(some);
    }
}

pub(crate) fn assert_same(found: &[Entry<Bytes>], expected: &[Entry<Bytes>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.header(), expected.header());
        assert_eq!(found.bytes(), expected.bytes());
    }
}
