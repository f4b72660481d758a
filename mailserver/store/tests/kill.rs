//! L5: a process that follows the log is killed at any moment, many times. What it leaves is the state of exactly the
//! position that it noted, and it gets to the end.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use mailmirror_log::{Location, SegmentId};
use mailmirror_model::entry::Entry;
use mailmirror_model::ids::{ChainHash, Seq};
use mailmirror_model::memory::MemoryState;
use mailmirror_model::sample::{Master, Random, apply_entry};
use mailmirror_store::{Snapshot, Store};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ENTRIES: usize = 1500;
const SEED: u64 = 11;
const KILLS_MAX: u32 = 200;

fn history() -> Vec<Entry<Vec<u8>>> {
    let mut master = Master::new(SEED, 5);
    (0..ENTRIES).map(|_| master.write().unwrap()).collect()
}

/// Follows the log to its end, a few entries to a transaction.
fn follow(directory: &Path) {
    let entries = history();
    let store = Store::open(directory).unwrap();
    let mut writer = store.writer().unwrap();
    let mut random = Random(SEED);
    loop {
        let from = usize::try_from(writer.position().0.seq.0).unwrap();
        if from == entries.len() {
            return;
        }
        let count = 1 + usize::try_from(random.below(9)).unwrap();
        let mut batch = writer.batch().unwrap();
        for entry in entries[from..].iter().take(count) {
            let location = Location { segment: SegmentId(Seq(1)), offset_bytes: 0, length_bytes: 1 };
            batch.apply(entry, location).unwrap();
        }
        batch.commit().unwrap();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("follow") {
        follow(Path::new(&arguments.next().expect("a directory")));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let entries = history();
    let (mut memory, mut applied) = (MemoryState::default(), 0);
    let mut random = Random(SEED);
    let mut kills = 0;
    while applied < entries.len() {
        assert!(kills < KILLS_MAX, "after {kills} kills it had got to {applied}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["follow".as_ref(), directory.path().as_os_str()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The moment of a kill is what this test is about; a child that never gets far is given more time.
        let deadline = Instant::now() + Duration::from_millis(20 + random.below(120) + 5 * u64::from(kills));
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                break true;
            }
            if Instant::now() >= deadline {
                break false;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if !ended {
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        }
        let store = Store::open(directory.path()).unwrap();
        let (position, hash) = store.reader().snapshot(Snapshot::position).unwrap();
        let reached = usize::try_from(position.seq.0).unwrap();
        assert!(reached >= applied, "what was committed is never lost to a kill");
        for entry in &entries[applied..reached] {
            apply_entry(&mut memory, entry).unwrap();
        }
        applied = reached;
        let last = applied.checked_sub(1).map_or(ChainHash::ORIGIN, |last| entries[last].hash());
        assert_eq!(hash, last);
        assert_eq!(store.reader().snapshot(Snapshot::root_digest).unwrap(), memory.digests().root());
    }
    println!("l5_killed_at_any_moment: {kills} kills, {applied} entries ... ok");
}
