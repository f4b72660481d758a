//! What is put in comes out, across segments, restarts and memory bounds.

use super::*;
use crate::{AppendError, LogError};
use mailmirror_model::ids::ChainHash;

#[test]
fn an_empty_log_has_the_origin_as_its_tail() {
    let room = tempfile::tempdir().unwrap();
    let directory = room.path().join("made/when/missing");
    let (log, recovered) = Log::open(&directory, small()).unwrap();
    assert_eq!(recovered.tail, Tail::EMPTY);
    assert_eq!((log.tail(), log.first_seq()), (Tail::EMPTY, Seq(1)));
    assert!(log.read(Seq(1), 1000).unwrap().is_empty());
    assert_eq!(log.header_hash_at(Seq::ZERO).unwrap(), Some((Tail::EMPTY.position, ChainHash::ORIGIN)));
    assert_eq!(log.header_hash_at(Seq(1)).unwrap(), None);
    assert_eq!(log.locate(Seq(1)).unwrap(), None);
}

#[test]
fn what_is_appended_reads_back_across_segments_and_restarts() {
    let room = tempfile::tempdir().unwrap();
    let lengths: Vec<usize> = (0..200).map(|number| number * 7 % 900).collect();
    let entries = entries_after(Tail::EMPTY, 2, &lengths);
    let log = open(room.path());
    append_all(&log, &entries[..150]);
    assert_same(&read_all(&log), &entries[..150]);
    wait_flushed(&log, Seq(150));
    assert_same(&read_all(&log), &entries[..150]);
    log.close().unwrap();

    let (log, recovered) = Log::open(room.path(), small()).unwrap();
    assert_eq!(recovered.tail.position, entries[149].header().position);
    assert_eq!(recovered.tail.hash, entries[149].hash());
    assert_eq!(recovered.tail.commit, Seq(149));
    assert_eq!(recovered.tail.clock, entries[149].header().clock);
    assert_eq!(recovered.torn_bytes_dropped, 0);
    assert!(recovered.segments > 5);
    assert!(recovered.scanned_bytes <= 4096);
    assert_same(&read_all(&log), &entries[..150]);
    append_all(&log, &entries[150..]);
    assert_same(&read_all(&log), &entries);
    drop(log);
    assert_same(&read_all(&open(room.path())), &entries);
}

#[test]
fn every_entry_is_found_by_number_and_by_place() {
    let room = tempfile::tempdir().unwrap();
    let lengths: Vec<usize> = (0..100).map(|number| number * 13 % 500).collect();
    let entries = entries_after(Tail::EMPTY, 2, &lengths);
    let log = open(room.path());
    append_all(&log, &entries);
    let check = |log: &Log| {
        for entry in &entries {
            let seq = entry.header().position.seq;
            assert_eq!(log.header_hash_at(seq).unwrap(), Some((entry.header().position, entry.hash())));
            let location = log.locate(seq).unwrap().unwrap();
            let length = u64::from(location.length_bytes);
            assert_eq!(log.read_range(location, 0, length).unwrap(), entry.bytes());
            assert_eq!(log.read_range(location, 80, length - 96).unwrap(), entry.payload());
            assert!(matches!(log.read_range(location, 80, length - 79), Err(LogError::Range { .. })));
            assert!(matches!(log.read_range(location, u64::MAX, 2), Err(LogError::Range { .. })));
        }
    };
    check(&log);
    wait_flushed(&log, Seq(100));
    check(&log);
    drop(log);
    check(&open(room.path()));
}

#[test]
fn a_read_gives_at_least_one_entry_and_not_more_than_asked() {
    let room = tempfile::tempdir().unwrap();
    let entries = entries_after(Tail::EMPTY, 2, &[1000; 30]);
    let log = open(room.path());
    append_all(&log, &entries);
    wait_flushed(&log, Seq(30));
    for from in 1..=30 {
        assert_eq!(log.read(Seq(from), 0).unwrap().len(), 1);
        let some = log.read(Seq(from), 2500).unwrap();
        assert!((1..=2).contains(&some.len()));
        assert_eq!(some[0].header().position.seq, Seq(from));
    }
    assert!(log.read(Seq(31), 100).unwrap().is_empty());
    assert!(matches!(log.read(Seq(0), 100), Err(LogError::Gone { first: Seq(1), .. })));
}

#[test]
fn l1_only_what_continues_the_chain_is_taken_and_a_refused_call_takes_nothing() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    let entries = entries_after(Tail::EMPTY, 4, &[10, 10, 10]);
    let gap = AppendError::Gap { given: Seq(2), last: Seq(0) };
    assert_eq!(log.append(entries[1..].to_vec()), Err(gap));
    let gap = AppendError::Gap { given: Seq(3), last: Seq(1) };
    assert_eq!(log.append(vec![entries[0].clone(), entries[2].clone()]), Err(gap));
    assert_eq!(log.tail(), Tail::EMPTY);
    append_all(&log, &entries);
    let other_chain = entries_after(Tail { hash: ChainHash(9), ..log.tail() }, 4, &[10]);
    assert!(matches!(log.append(other_chain), Err(AppendError::Gap { .. })));
    let older_epoch = entries_after(log.tail(), 3, &[10]);
    assert!(matches!(log.append(older_epoch), Err(AppendError::Gap { .. })));
    let newer_epoch = entries_after(log.tail(), 5, &[10]);
    log.append(newer_epoch).unwrap();
    assert_eq!(log.tail().position, Position { epoch: Epoch(5), seq: Seq(4) });
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_of_its_own() {
    let room = tempfile::tempdir().unwrap();
    let entries = entries_after(Tail::EMPTY, 2, &[100, 50_000, 100, 5000, 100]);
    let log = open(room.path());
    log.append(entries.clone()).unwrap();
    wait_flushed(&log, Seq(5));
    assert_same(&read_all(&log), &entries);
    drop(log);
    assert_same(&read_all(&open(room.path())), &entries);
}

#[test]
fn a_second_process_is_kept_out_and_a_closed_log_takes_nothing() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    assert!(matches!(Log::open(room.path(), small()), Err(LogError::Locked { .. })));
    let entries = entries_after(Tail::EMPTY, 2, &[10, 10]);
    log.append(entries[..1].to_vec()).unwrap();
    let other = log.clone();
    log.close().unwrap();
    assert_eq!(other.append(entries[1..].to_vec()), Err(AppendError::Closed));
    assert_eq!(other.flushed().borrow().seq, Seq(1));
    assert_same(&read_all(&other), &entries[..1]);
    drop(other);
    assert_same(&read_all(&open(room.path())), &entries[..1]);
}

#[test]
fn the_queue_is_bounded_but_takes_one_call_when_it_is_empty() {
    let room = tempfile::tempdir().unwrap();
    let options = LogOptions { queue_max_bytes: 1000, ..small() };
    let (log, _) = Log::open(room.path(), options).unwrap();
    let entries = entries_after(Tail::EMPTY, 2, &[3000; 200]);
    log.append(vec![entries[0].clone()]).unwrap();
    let mut refused = 0;
    for entry in &entries[1..] {
        while let Err(error) = log.append(vec![entry.clone()]) {
            assert_eq!(error, AppendError::QueueFull);
            refused += 1;
            wait_flushed(&log, log.tail().position.seq);
        }
    }
    assert!(refused > 0, "the writer is never faster than 200 appends without a pause");
    assert_same(&read_all(&log), &entries);
}

#[test]
fn a_new_beginning_needs_an_empty_log_and_survives_a_restart() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    let origin = entries_after(Tail::EMPTY, 6, &[10; 5]);
    let mut tail = Tail::EMPTY;
    for entry in &origin {
        tail = tail.after(entry.header(), entry.hash());
    }
    log.begin_after(tail).unwrap();
    assert_eq!((log.tail(), log.first_seq()), (tail, Seq(6)));
    assert_eq!(log.header_hash_at(Seq(5)).unwrap(), Some((tail.position, tail.hash)));
    assert_eq!(log.header_hash_at(Seq(4)).unwrap(), None);
    assert!(matches!(log.read(Seq(5), 10), Err(LogError::Gone { first: Seq(6), .. })));
    let entries = entries_after(tail, 6, &[1000; 10]);
    append_all(&log, &entries);
    assert!(matches!(log.begin_after(Tail::EMPTY), Err(LogError::NotEmpty { .. })));
    drop(log);
    let log = open(room.path());
    assert_eq!(log.first_seq(), Seq(6));
    assert_same(&read_all(&log), &entries);
}

#[test]
fn old_segments_are_removed_whole() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    let entries = entries_after(Tail::EMPTY, 2, &[1000; 40]);
    append_all(&log, &entries);
    wait_flushed(&log, Seq(40));
    let first = log.remove_through(Seq(20)).unwrap();
    assert!(first > Seq(10) && first <= Seq(21));
    assert!(matches!(log.read(Seq(1), 10), Err(LogError::Gone { .. })));
    assert_same(&read_all(&log), &entries[usize::try_from(first.0).unwrap() - 1..]);
    let last = log.remove_through(Seq(40)).unwrap();
    assert!(last <= Seq(40));
    assert!(matches!(log.remove_through(Seq(41)), Err(LogError::NotFlushed { .. })));
    drop(log);
    let log = open(room.path());
    assert_eq!((log.first_seq(), log.tail().position.seq), (last, Seq(40)));
    assert_eq!(log.tail().hash, entries[39].hash());
}
