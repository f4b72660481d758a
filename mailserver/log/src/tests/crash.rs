//! Power cuts and kills at any step: what was flushed is there, and the log goes on.

use super::power::{Dice, Image, Power, image_of, put};
use super::*;
use crate::disk::Hook;
use crate::{LogError, read_entries_file};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

/// Opens with a disk that is watched; the log's files and those beside them are below `room`.
fn open_watched(room: &Path, hook: Hook) -> Log {
    Log::open_with(&room.join("log"), small(), Some(hook)).unwrap().0
}

/// What was promised when the power went.
struct Cut {
    image: Image,
    flushed: Seq,
}

/// Runs a load and cuts the power at some steps.
fn run_and_cut(room: &Path, entries: &[Entry<Bytes>], at: &[usize], seed: u64) -> Vec<Cut> {
    let power = Power::default();
    let cuts: Arc<Mutex<Vec<Cut>>> = Arc::default();
    let flushed: Arc<OnceLock<tokio::sync::watch::Receiver<crate::Flushed>>> = Arc::default();
    let (into, known, steps) = (cuts.clone(), flushed.clone(), at.to_vec());
    let hook = power.hook(Box::new(move |step, power| {
        if steps.contains(&step) {
            let flushed = known.get().map_or(Seq::ZERO, |receiver| receiver.borrow().seq);
            let mut dice = Dice::new(seed ^ u64::try_from(step).unwrap());
            let image = if seed.is_multiple_of(4) { power.seen() } else { power.after_cut(&mut dice) };
            into.lock().unwrap().push(Cut { image, flushed });
        }
    }));
    let log = open_watched(room, hook);
    flushed.set(log.flushed()).unwrap();
    for (number, group) in entries.chunks(3).enumerate() {
        log.append(group.to_vec()).unwrap();
        if number % 4 == 0 {
            wait_flushed(&log, group[0].header().position.seq);
        }
    }
    drop(log);
    Arc::into_inner(cuts).unwrap().into_inner().unwrap()
}

/// Opens what a cut left, and goes on with it.
fn check(room: &Path, cut: &Cut, entries: &[Entry<Bytes>]) {
    let later = memory_room();
    put(&cut.image, room, later.path());
    let directory = later.path().join("log");
    std::fs::create_dir_all(&directory).unwrap();
    // The power goes again while the log is being opened.
    let power = Power::holding(&image_of(&directory));
    let again: Arc<Mutex<Vec<Image>>> = Arc::default();
    let into = again.clone();
    let hook = power.hook(Box::new(move |step, power| {
        let mut dice = Dice::new(u64::try_from(step).unwrap());
        into.lock().unwrap().push(power.after_cut(&mut dice));
    }));
    let (log, _) = Log::open_with(&directory, small(), Some(hook)).unwrap();
    let during_open = again.lock().unwrap().clone();
    go_on(&log, cut.flushed, entries);
    drop(log);
    let log = open(&directory);
    assert_same(&read_all(&log), entries);
    for image in during_open {
        let third = memory_room();
        put(&image, &directory, third.path());
        go_on(&open(third.path()), cut.flushed, entries);
    }
}

/// The log holds a beginning of the entries, at least what was flushed, and takes the rest.
fn go_on(log: &Log, flushed: Seq, entries: &[Entry<Bytes>]) {
    let tail = log.tail();
    assert!(tail.position.seq >= flushed, "{} was flushed, {} is there", flushed, tail.position.seq);
    let count = usize::try_from(tail.position.seq.0).unwrap();
    assert_same(&read_all(log), &entries[..count]);
    append_all(log, &entries[count..]);
    wait_flushed(log, Seq(entries.len() as u64));
    assert_same(&read_all(log), entries);
}

/// Few by default, as every case writes to a real disk; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn l2_no_power_cut_loses_what_was_flushed(
        lengths in proptest::collection::vec(0_usize..2500, 1..60),
        at in proptest::collection::vec(1_usize..200, 4),
        seed in any::<u64>(),
    ) {
        let room = memory_room();
        let entries = entries_after(Tail::EMPTY, 2, &lengths);
        for cut in run_and_cut(room.path(), &entries, &at, seed) {
            check(room.path(), &cut, &entries);
        }
    }

    #[test]
    fn a_garbled_end_is_dropped_and_what_was_flushed_before_it_stays(
        lengths in proptest::collection::vec(0_usize..600, 1..30),
        torn_length in 0_usize..2500,
        how in 0..3,
        at in any::<prop::sample::Index>(),
        seed in any::<u8>(),
    ) {
        let room = memory_room();
        let mut entries = entries_after(Tail::EMPTY, 2, &lengths);
        let log = open(room.path());
        append_all(&log, &entries);
        wait_flushed(&log, Seq(entries.len() as u64));
        let last = entries_after(log.tail(), 2, &[torn_length]);
        log.append(last.clone()).unwrap();
        wait_flushed(&log, Seq(entries.len() as u64 + 1));
        let location = log.locate(last[0].header().position.seq).unwrap().unwrap();
        let image = image_of(room.path());
        let torn = room.path().join("torn");
        put(&image, room.path(), &torn);
        let path = torn.join(format!("{}.log", location.segment));
        let mut bytes = std::fs::read(&path).unwrap();
        let begin = usize::try_from(location.offset_bytes).unwrap() - 24;
        let end = begin + 24 + location.length_bytes as usize;
        let from = begin + at.index(end - begin);
        match how {
            0 => bytes.truncate(from),
            1 => bytes[from..end].fill(0),
            _ => bytes[from..end].iter_mut().for_each(|byte| *byte ^= seed | 1),
        }
        std::fs::write(&path, &bytes).unwrap();
        let (log, _) = Log::open(&torn, small()).unwrap();
        // Zeros for the last bytes of padding or of a hash that ends in zero change nothing.
        if log.tail().position.seq.0 > entries.len() as u64 {
            entries.extend(last.clone());
        }
        assert_same(&read_all(&log), &entries);
        drop(log);
        let (log, recovered) = Log::open(&torn, small()).unwrap();
        assert_eq!(recovered.torn_bytes_dropped, 0, "nothing is left of it");
        let more = entries_after(log.tail(), 2, &[100, 2000, 0]);
        append_all(&log, &more);
        entries.extend(more);
        drop(log);
        assert_same(&read_all(&open(&torn)), &entries);
    }
}

/// A log of 60 entries, to be cut after the 25th, with the power going at every step of that.
#[test]
fn u2_a_cut_that_is_interrupted_is_done_as_a_whole_or_not_at_all() {
    let room = memory_room();
    let entries = entries_after(Tail::EMPTY, 2, &[700; 60]);
    let base = room.path().join("base");
    let log = open(&base.join("log"));
    append_all(&log, &entries);
    drop(log);
    let files = image_of(&base.join("log"));
    let power = Power::holding(&files);
    let images: Arc<Mutex<Vec<Image>>> = Arc::default();
    let into = images.clone();
    let hook = power.hook(Box::new(move |step, power| {
        let step = u64::try_from(step).unwrap();
        let mut into = into.lock().unwrap();
        into.push(power.seen());
        into.extend((0..8).map(|variant| power.after_cut(&mut Dice::new(step * 8 + variant))));
    }));
    let log = open_watched(&base, hook);
    let tail = log.truncate_after(Seq(25), &base.join("branch")).unwrap();
    assert_eq!(tail.position.seq, Seq(25));
    assert_same(&read_all(&log), &entries[..25]);
    drop(log);
    let images = std::mem::take(&mut *images.lock().unwrap());
    assert!(power.steps() > 15);
    let (mut whole, mut cut) = (0, 0);
    for image in &images {
        let room = memory_room();
        put(image, &base, room.path());
        let branch = room.path().join("branch");
        let log = open(&room.path().join("log"));
        match log.tail().position.seq.0 {
            60 => whole += 1,
            25 => {
                cut += 1;
                assert_same(&read_branch(&branch), &entries[25..]);
            }
            other => panic!("cut at {other}"),
        }
        // Done again, it ends the same way.
        log.truncate_after(Seq(25), &branch).unwrap();
        assert_same(&read_all(&log), &entries[..25]);
        assert_same(&read_branch(&branch), &entries[25..]);
        let others = entries_after(log.tail(), 4, &[700; 20]);
        append_all(&log, &others);
        drop(log);
        let found = read_all(&open(&room.path().join("log")));
        assert_same(&found[..25], &entries[..25]);
        assert_same(&found[25..], &others);
    }
    assert!(whole > 10 && cut > 10, "{whole} whole, {cut} cut");
}

#[test]
fn a_new_beginning_that_is_interrupted_is_made_as_a_whole_or_not_at_all() {
    let room = memory_room();
    let base = room.path().join("base");
    let power = Power::default();
    let images: Arc<Mutex<Vec<Image>>> = Arc::default();
    let into = images.clone();
    let hook = power.hook(Box::new(move |step, power| {
        let step = u64::try_from(step).unwrap();
        into.lock().unwrap().extend((0..4).map(|variant| power.after_cut(&mut Dice::new(step * 7 + variant))));
    }));
    let log = open_watched(&base, hook);
    let mut before = Tail::EMPTY;
    for entry in entries_after(Tail::EMPTY, 2, &[10; 9]) {
        before = before.after(entry.header(), entry.hash());
    }
    log.begin_after(before).unwrap();
    drop(log);
    let images = std::mem::take(&mut *images.lock().unwrap());
    let mut begun = 0;
    for image in &images {
        let room = memory_room();
        put(image, &base, room.path());
        std::fs::create_dir_all(room.path().join("log")).unwrap();
        let log = open(&room.path().join("log"));
        assert!(log.tail() == Tail::EMPTY || log.tail() == before);
        begun += usize::from(log.tail() == before);
        log.begin_after(before).unwrap();
        append_all(&log, &entries_after(before, 2, &[1000; 9]));
        assert_eq!(log.first_seq(), Seq(10));
    }
    assert!(begun > 3 && begun < images.len());
}

fn read_branch(path: &Path) -> Vec<Entry<Bytes>> {
    read_entries_file(path).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_branch_file_is_never_replaced_by_other_entries() {
    let room = memory_room();
    let branch = room.path().join("branch");
    let log = open(&room.path().join("log"));
    let entries = entries_after(Tail::EMPTY, 2, &[100; 10]);
    append_all(&log, &entries);
    log.truncate_after(Seq(5), &branch).unwrap();
    append_all(&log, &entries_after(log.tail(), 3, &[200; 5]));
    let refused = log.truncate_after(Seq(5), &branch);
    assert!(matches!(refused, Err(LogError::BranchExists { .. })));
    assert_eq!(log.tail().position.seq, Seq(10), "a refused cut leaves the log as it was");
    assert_same(&read_branch(&branch), &entries[5..]);
    append_all(&log, &entries_after(log.tail(), 3, &[10]));
    log.truncate_after(Seq(0), &room.path().join("all")).unwrap();
    assert_eq!((log.tail(), log.first_seq()), (Tail::EMPTY, Seq(1)));
    assert_eq!(read_branch(&room.path().join("all")).len(), 11);
    append_all(&log, &entries);
    drop(log);
    assert_same(&read_all(&open(&room.path().join("log"))), &entries);
}

#[test]
fn a_damaged_branch_file_says_where_and_ends() {
    let room = memory_room();
    let branch = room.path().join("branch");
    let log = open(&room.path().join("log"));
    append_all(&log, &entries_after(Tail::EMPTY, 2, &[100; 10]));
    log.truncate_after(Seq(0), &branch).unwrap();
    let mut bytes = std::fs::read(&branch).unwrap();
    bytes[196 * 4 + 100] ^= 1;
    std::fs::write(&branch, &bytes).unwrap();
    let read: Vec<_> = read_entries_file(&branch).unwrap().collect();
    assert_eq!(read.len(), 5);
    assert!(matches!(read[4], Err(LogError::BranchDamaged { offset_bytes: 784, .. })));
    std::fs::write(&branch, &bytes[..300]).unwrap();
    let read: Vec<_> = read_entries_file(&branch).unwrap().collect();
    assert!(read.len() == 2 && read[1].is_err());
}

/// The child of [`a_killed_process_loses_nothing_that_it_saw_flushed`]: appends until it is killed.
#[test]
fn child_that_appends() {
    let Some(directory) = std::env::var_os("MAILMIRROR_LOG_CHILD").map(PathBuf::from) else { return };
    let log = open(&directory);
    let report = directory.join("reported");
    loop {
        let entries = entries_after(log.tail(), 2, &[50, 900, 0, 3000]);
        log.append(entries).unwrap();
        let seq = log.tail().position.seq;
        wait_flushed(&log, seq);
        std::fs::write(directory.join("report"), seq.0.to_string()).unwrap();
        std::fs::rename(directory.join("report"), &report).unwrap();
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_saw_flushed() {
    let room = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut before = 0;
    for kill in 0_u64..6 {
        let mut child = std::process::Command::new(&program)
            .args(["--exact", "tests::crash::child_that_appends", "--nocapture"])
            .env("MAILMIRROR_LOG_CHILD", room.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let enough = before + 20 + kill * 17;
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        let reported = || {
            let text = std::fs::read_to_string(room.path().join("reported")).unwrap_or_default();
            text.parse::<u64>().unwrap_or(0)
        };
        while reported() < enough {
            assert!(std::time::Instant::now() < deadline, "the child does not get on");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let reported = reported();
        let log = open(room.path());
        assert!(log.tail().position.seq.0 >= reported);
        assert_eq!(read_all(&log).len() as u64, log.tail().position.seq.0);
        before = log.tail().position.seq.0;
    }
}
