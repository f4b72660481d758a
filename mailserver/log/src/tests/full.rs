//! A full disk: refused before anything is accepted, without harm to what was, and over by itself when there is space.

use super::*;
use crate::AppendError;
use crate::disk::{Hook, Step};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn at_the_bound_entries_are_refused_and_accepted_ones_are_kept() {
    let room = tempfile::tempdir().unwrap();
    let options = LogOptions { log_max_bytes: 10 * 4096, ..small() };
    let (log, _) = Log::open(room.path(), options).unwrap();
    let entries = entries_after(Tail::EMPTY, 2, &[600; 100]);
    let accepted = entries.iter().take_while(|entry| log.append(vec![(*entry).clone()]).is_ok()).count();
    assert!((30..=55).contains(&accepted), "{accepted}");
    assert_eq!(log.append(entries[accepted..].to_vec()), Err(AppendError::NoSpace));
    assert_eq!(log.append(entries[accepted..=accepted].to_vec()), Err(AppendError::NoSpace));
    wait_flushed(&log, Seq(accepted as u64));
    assert!(log.size_bytes() <= options.log_max_bytes);
    assert_same(&read_all(&log), &entries[..accepted]);

    // A restart changes nothing, and space that comes back is used without one.
    drop(log);
    let (log, _) = Log::open(room.path(), options).unwrap();
    assert_same(&read_all(&log), &entries[..accepted]);
    let first = log.remove_through(Seq(20)).unwrap();
    let mut next = accepted;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while next < accepted + 5 {
        match log.append(vec![entries[next].clone()]) {
            Ok(()) => next += 1,
            Err(error) => {
                assert_eq!(error, AppendError::NoSpace);
                assert!(std::time::Instant::now() < deadline, "space is not asked for again");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    assert_same(&read_all(&log), &entries[usize::try_from(first.0).unwrap() - 1..next]);
}

#[test]
fn a_small_bound_makes_small_segments() {
    let room = tempfile::tempdir().unwrap();
    let options = LogOptions { log_max_bytes: 100_000, ..LogOptions::default() };
    let (log, _) = Log::open(room.path(), options).unwrap();
    append_all(&log, &entries_after(Tail::EMPTY, 2, &[5000; 10]));
    wait_flushed(&log, Seq(10));
    assert!(log.size_bytes() <= 100_000);
    assert!(log.remove_through(Seq(10)).unwrap() > Seq(1));
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let room = tempfile::tempdir().unwrap();
    let full = Arc::new(AtomicBool::new(false));
    let flag = full.clone();
    let hook: Hook = Arc::new(move |step| match step {
        Step::Reserve(..) if flag.load(Ordering::SeqCst) => Err(io::Error::from(rustix::io::Errno::NOSPC)),
        _ => Ok(()),
    });
    let (log, _) = Log::open_with(room.path(), small(), Some(hook)).unwrap();
    let entries = entries_after(Tail::EMPTY, 2, &[500; 200]);
    let mut next = 0;
    for round in 0..4 {
        full.store(round % 2 == 0, Ordering::SeqCst);
        for _ in 0..30 {
            let deadline = std::time::Instant::now() + Duration::from_secs(10);
            loop {
                let result = log.append(vec![entries[next].clone()]);
                if result.is_ok() {
                    next += 1;
                    break;
                }
                assert_eq!(result, Err(AppendError::NoSpace));
                if round % 2 == 0 {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "space is not asked for again");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(log.tail().position.seq, Seq(next as u64));
    }
    assert!((60..110).contains(&next), "{next}");
    wait_flushed(&log, Seq(next as u64));
    assert_same(&read_all(&log), &entries[..next]);
    drop(log);
    assert_same(&read_all(&open(room.path())), &entries[..next]);
}

#[test]
fn recent_entries_are_read_from_memory_and_memory_is_bounded() {
    let room = tempfile::tempdir().unwrap();
    let log = open(room.path());
    let entries = entries_after(Tail::EMPTY, 2, &[500; 50]);
    append_all(&log, &entries);
    wait_flushed(&log, Seq(50));
    let bytes: usize = {
        let state = crate::state::lock(&log.inner.shared.state);
        assert_eq!(state.ring_bytes, state.ring.iter().map(|recent| recent.entry.bytes().len()).sum::<usize>());
        state.ring_bytes
    };
    assert!(bytes <= 2048 && bytes > 1000, "{bytes}");
    log.inner.shared.open_segments.lock().unwrap().clear();
    let segments = std::fs::read_dir(room.path()).unwrap().map(|item| item.unwrap().path());
    for path in segments.filter(|path| path.extension().is_some_and(|extension| extension == "log")) {
        std::fs::remove_file(path).unwrap();
    }
    assert!(log.read(Seq(1), 0).is_err());
    assert_same(&log.read(Seq(48), 10_000).unwrap(), &entries[47..]);
    let location = log.locate(Seq(50)).unwrap().unwrap();
    assert_eq!(log.read_range(location, 80, 500).unwrap(), entries[49].payload());
}

#[test]
fn readers_follow_a_writer_through_segments_cuts_and_memory() {
    let room = tempfile::tempdir().unwrap();
    let log = open(&room.path().join("log"));
    let count = 3000_u64;
    std::thread::scope(|scope| {
        for flushed_only in [true, false] {
            let log = log.clone();
            scope.spawn(move || {
                let mut seen: Vec<Entry<Bytes>> = Vec::new();
                while (seen.len() as u64) < count {
                    let from = Seq(seen.len() as u64 + 1);
                    let some = if flushed_only { log.read_flushed(from, 5000) } else { log.read(from, 5000) }.unwrap();
                    if flushed_only {
                        let flushed = log.flushed().borrow().seq;
                        assert!(some.iter().all(|entry| entry.header().position.seq <= flushed));
                    }
                    if some.is_empty() {
                        std::thread::yield_now();
                    }
                    for entry in some {
                        let previous = seen.last().map_or(Tail::EMPTY.hash, Entry::hash);
                        assert_eq!(entry.header().previous, previous);
                        seen.push(entry);
                    }
                }
            });
        }
        for number in 0..count {
            let length = usize::try_from(number % 700).unwrap();
            while log.append(entries_after(log.tail(), 2, &[length])) == Err(AppendError::QueueFull) {
                wait_flushed(&log, log.tail().position.seq);
            }
        }
    });
    log.truncate_after(Seq(10), &room.path().join("branch")).unwrap();
    assert_eq!(read_all(&log).len(), 10);
}

#[test]
fn a_reader_never_takes_a_cut_for_damage() {
    let room = tempfile::tempdir().unwrap();
    let log = open(&room.path().join("log"));
    append_all(&log, &entries_after(Tail::EMPTY, 2, &[600; 60]));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                for seq in (1..=60).map(Seq) {
                    match log.read(seq, 2000) {
                        Ok(some) => assert!(some.first().is_none_or(|entry| entry.header().position.seq == seq)),
                        Err(crate::LogError::Gone { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    log.locate(seq).map(drop).or_else(only_gone).unwrap();
                    log.header_hash_at(seq).unwrap();
                }
            }
        });
        for round in 0..15_u64 {
            let cut = 20 + round;
            log.truncate_after(Seq(cut), &room.path().join(round.to_string())).unwrap();
            let lengths = vec![usize::try_from(400 + round * 13).unwrap(); usize::try_from(60 - cut).unwrap()];
            append_all(&log, &entries_after(log.tail(), 3 + round, &lengths));
        }
        wait_flushed(&log, Seq(60));
        log.remove_through(Seq(30)).unwrap();
        over.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    drop(log);
    assert_eq!(open(&room.path().join("log")).tail().position, Position { epoch: Epoch(17), seq: Seq(60) });
}

fn only_gone(error: crate::LogError) -> Result<(), crate::LogError> {
    if matches!(error, crate::LogError::Gone { .. }) { Ok(()) } else { Err(error) }
}
