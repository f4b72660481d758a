//! Damage is named, never taken for the end of the log, and does not hide what is whole.

use super::power::{image_of, put};
use super::*;
use crate::disk::{Hook, Step};
use crate::{AppendError, LogError, SegmentId};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Changes one bit of an entry on disk; the log must not be open.
fn damage(log: Log, seq: u64, offset: u64) -> (SegmentId, PathBuf) {
    let location = log.locate(Seq(seq)).unwrap().unwrap();
    let directory = log.inner.shared.disk.directory.clone();
    drop(log);
    let path = directory.join(format!("{}.log", location.segment));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(location.offset_bytes + offset).unwrap()] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    (location.segment, directory)
}

fn filled(directory: &Path) -> (Log, Vec<Entry<Bytes>>) {
    let log = open(directory);
    let entries = entries_after(Tail::EMPTY, 2, &[300; 40]);
    for entry in &entries {
        log.append(vec![entry.clone()]).unwrap();
        wait_flushed(&log, entry.header().position.seq);
    }
    (log, entries)
}

#[test]
fn damage_in_a_sealed_segment_is_named_and_hides_nothing_else() {
    for (offset, index_is_lost) in [(100, false), (100, true), (4, true)] {
        let room = tempfile::tempdir().unwrap();
        let (log, entries) = filled(room.path());
        let (segment, directory) = damage(log, 14, offset);
        if index_is_lost {
            std::fs::remove_file(directory.join(format!("{segment}.idx"))).unwrap();
        }
        let log = open(&directory);
        for entry in &entries {
            let seq = entry.header().position.seq;
            let read = log.read(seq, 0);
            if seq == Seq(14) {
                assert!(
                    matches!(read, Err(LogError::Damaged { segment: named, seq: Seq(14), .. }) if named == segment)
                );
                assert!(matches!(log.header_hash_at(seq), Err(LogError::Damaged { .. })));
            } else {
                assert_same(&read.unwrap(), std::slice::from_ref(entry));
            }
        }
        assert!(matches!(log.read(Seq(13), 100_000), Err(LogError::Damaged { seq: Seq(14), .. })));
        let more = entries_after(log.tail(), 2, &[10]);
        log.append(more).unwrap();
    }
}

#[test]
fn a_damaged_frame_hides_only_its_own_entry() {
    let room = tempfile::tempdir().unwrap();
    let (log, entries) = filled(room.path());
    let location = log.locate(Seq(14)).unwrap().unwrap();
    drop(log);
    let path = room.path().join(format!("{}.log", location.segment));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(location.offset_bytes).unwrap() - 3] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for keep_index in [true, false] {
        if !keep_index {
            std::fs::remove_file(room.path().join(format!("{}.idx", location.segment))).unwrap();
        }
        let log = open(room.path());
        assert!(matches!(log.read(Seq(14), 0), Err(LogError::Damaged { seq: Seq(14), .. })));
        assert!(matches!(log.locate(Seq(14)), Err(LogError::Damaged { seq: Seq(14), .. })));
        assert_same(&log.read(Seq(15), 0).unwrap(), &entries[14..15]);
        assert_same(&log.read(Seq(13), 0).unwrap(), &entries[12..13]);
    }
}

#[test]
fn an_index_that_lies_is_built_again() {
    let room = tempfile::tempdir().unwrap();
    let (log, entries) = filled(room.path());
    drop(log);
    let indexes: Vec<PathBuf> = std::fs::read_dir(room.path())
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .collect();
    assert!(indexes.len() > 2);
    for (number, path) in indexes.iter().enumerate() {
        let mut bytes = std::fs::read(path).unwrap();
        match number % 3 {
            0 => bytes.rotate_right(4),
            1 => bytes.truncate(bytes.len() - 4),
            _ => bytes[40..].reverse(),
        }
        std::fs::write(path, bytes).unwrap();
    }
    assert_same(&read_all(&open(room.path())), &entries);
    assert_same(&read_all(&open(room.path())), &entries);
}

#[test]
fn flushed_entries_that_are_damaged_in_the_last_segment_are_not_cut_off() {
    // Not closed properly, with later entries; and closed properly, where the very last entry is damaged.
    for (last, closed) in [(39, false), (40, true)] {
        let room = tempfile::tempdir().unwrap();
        let (log, _) = filled(room.path());
        let copy = room.path().join("copy");
        let location = log.locate(Seq(last)).unwrap().unwrap();
        if closed {
            log.close().unwrap();
        }
        put(&image_of(room.path()), room.path(), &copy);
        let path = copy.join(format!("{}.log", location.segment));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[usize::try_from(location.offset_bytes).unwrap() + 150] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let opened = Log::open(&copy, small());
        let Err(LogError::Damaged { segment, seq, offset_bytes, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!((segment, seq), (location.segment, Seq(last)));
        assert_eq!(offset_bytes, location.offset_bytes - 24);
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was changed");
    }
}

#[test]
fn a_message_that_looks_like_a_log_is_only_a_message() {
    let room = tempfile::tempdir().unwrap();
    // The bytes of another log, whose frames claim that the next entries were flushed.
    let other = room.path().join("other");
    let (log, _) = filled(&other);
    drop(log);
    let mut stolen = Vec::new();
    for first in std::fs::read_dir(&other).unwrap().map(|item| item.unwrap().path()) {
        if first.extension().is_some_and(|extension| extension == "log") {
            stolen.extend(std::fs::read(first).unwrap());
        }
    }
    let directory = room.path().join("log");
    let options = LogOptions { segment_max_bytes: 1 << 20, ..small() };
    let (log, _) = Log::open(&directory, options).unwrap();
    let before = entries_after(Tail::EMPTY, 2, &[10; 5]);
    append_all(&log, &before);
    wait_flushed(&log, Seq(5));
    log.append(vec![entry_after(log.tail(), 2, &stolen)]).unwrap();
    wait_flushed(&log, Seq(6));
    let copy = room.path().join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    let name = format!("{:016x}.log", 1);
    let mut bytes = std::fs::read(directory.join(&name)).unwrap();
    let location = log.locate(Seq(6)).unwrap().unwrap();
    bytes[usize::try_from(location.offset_bytes).unwrap() + 100] ^= 1;
    std::fs::write(copy.join(&name), bytes).unwrap();
    let (log, recovered) = Log::open(&copy, options).unwrap();
    assert!(recovered.torn_bytes_dropped > 10_000);
    assert_same(&read_all(&log), &before);
}

#[test]
fn l7_an_entry_of_an_unknown_kind_is_not_taken_for_a_torn_one() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    append_all(&log, &entries_after(Tail::EMPTY, 2, &[10]));
    wait_flushed(&log, Seq(1));
    drop(log);
    let path = room.path().join(format!("{:016x}.log", 1));
    let mut bytes = std::fs::read(&path).unwrap();
    let entry = &mut bytes[152..152 + 106];
    entry[24] = 200;
    let hash = blake3::hash(&entry[..90]);
    entry[90..].copy_from_slice(&hash.as_bytes()[..16]);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Log::open(room.path(), small()), Err(LogError::UnknownKind { seq: Seq(1), kind: 200 })));
}

#[test]
fn a_damaged_head_is_named() {
    let room = tempfile::tempdir().unwrap();
    let (log, _) = filled(room.path());
    let last = log.locate(Seq(40)).unwrap().unwrap().segment;
    drop(log);
    let path = room.path().join(format!("{last}.log"));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[30] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(
        matches!(Log::open(room.path(), small()), Err(LogError::DamagedSegment { segment, .. }) if segment == last)
    );
}

#[test]
fn l2_after_a_failed_write_or_flush_nothing_is_taken_and_nothing_is_said_to_be_flushed() {
    for failing in 0..2 {
        let room = tempfile::tempdir().unwrap();
        let broken = Arc::new(AtomicBool::new(false));
        let flag = broken.clone();
        let flushes = Arc::new(AtomicUsize::new(0));
        let counted = flushes.clone();
        let hook: Hook = Arc::new(move |step| {
            let fails = matches!((step, failing), (Step::Write(..), 0) | (Step::Sync(_), 1));
            if !flag.load(Ordering::SeqCst) || !fails {
                return Ok(());
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Err(io::Error::from(rustix::io::Errno::IO))
        });
        let options = LogOptions { segment_max_bytes: 1 << 20, reserve_min_bytes: 0, ..small() };
        let (log, _) = Log::open_with(room.path(), options, Some(hook)).unwrap();
        let entries = entries_after(Tail::EMPTY, 2, &[100; 10]);
        append_all(&log, &entries[..5]);
        wait_flushed(&log, Seq(5));
        broken.store(true, Ordering::SeqCst);
        append_all(&log, &entries[5..6]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let failed = runtime.block_on(log.wait_flushed(Seq(6))).unwrap_err();
        assert!(matches!(*failed, LogError::Io { .. }), "{failed}");
        broken.store(false, Ordering::SeqCst);
        assert_eq!(log.append(entries[6..7].to_vec()), Err(AppendError::Closed));
        let receiver = log.flushed();
        assert!(receiver.borrow().failed.is_some() && receiver.borrow().seq == Seq(5));
        assert!(matches!(log.truncate_after(Seq(2), &room.path().join("branch")), Err(LogError::Closed)));
        assert!(log.close().is_err());
        assert_eq!(flushes.load(Ordering::SeqCst), 1, "a failed flush is not tried again");
        let log = open(room.path());
        assert_same(&read_all(&log)[..5], &entries[..5]);
    }
}
