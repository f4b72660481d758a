//! What the log costs over the disk: entries of 8 KiB by 1, 16 and 64 producers, each of which waits until its entry is
//! flushed. Beside it, in the same run and in alternating rounds, the same bytes written by hand: a preallocated file,
//! one write and one flush for all who wait. Rates are those of the median round, as other programs disturb some.
//! Then how long it takes to open a log whose last segment is nearly full: that is the same for 10 GB as for two
//! segments. Prints a table; the directory can be given as argument.
#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use mailmirror_log::{Log, LogOptions, Tail};
use mailmirror_model::entry::{Entry, Header, Kind};
use mailmirror_model::ids::{Epoch, Hlc, Incarnation, NodeId, Origin, Position, Seq};
use std::fs::File;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const PAYLOAD_BYTES: usize = 8192;
const ENTRY_BYTES: u64 = 8192 + 96;
const ROUND: Duration = Duration::from_millis(100);
const ROUNDS: u32 = 11;
const RAW_FILE_BYTES: u64 = 512 << 20;

/// What many producers did.
#[derive(Default)]
struct Measured {
    latencies: Vec<Duration>,
    rates: Vec<f64>,
}

impl Measured {
    fn add(&mut self, latencies: Vec<Duration>, elapsed: Duration) {
        self.rates.push(f64::from(u32::try_from(latencies.len()).unwrap()) / elapsed.as_secs_f64());
        self.latencies.extend(latencies);
    }

    /// That of the median round: other programs disturb some of them.
    fn rate(&mut self) -> f64 {
        self.rates.sort_unstable_by(f64::total_cmp);
        self.rates[self.rates.len() / 2]
    }

    fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        self.latencies[at].as_secs_f64() * 1000.0
    }
}

/// The chain as its sequencer knows it: entries are made one after the other.
struct Sequencer {
    tail: Tail,
    payload: Vec<u8>,
}

impl Sequencer {
    fn next(&mut self) -> Entry<Bytes> {
        let seq = self.tail.position.seq.next();
        let header = Header {
            position: Position { epoch: Epoch(2), seq },
            kind: Kind::Operation,
            origin: Origin { node: NodeId::Zero, incarnation: Incarnation(1), counter: seq.0 },
            clock: Hlc(seq.0),
            commit: self.tail.position.seq,
            previous: self.tail.hash,
        };
        let entry = Entry::write(header, &[&self.payload]).unwrap().map_bytes(Bytes::from);
        self.tail = self.tail.after(entry.header(), entry.hash());
        entry
    }
}

fn log_round(runtime: &tokio::runtime::Runtime, log: &Log, producers: usize) -> (Vec<Duration>, Duration) {
    let sequencer = Arc::new(Mutex::new(Sequencer { tail: log.tail(), payload: vec![7; PAYLOAD_BYTES] }));
    let start = Instant::now();
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let (log, sequencer) = (log.clone(), sequencer.clone());
            runtime.spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < ROUND {
                    let begin = Instant::now();
                    let seq = {
                        let mut sequencer = sequencer.lock().unwrap();
                        let entry = sequencer.next();
                        log.append(vec![entry]).unwrap();
                        sequencer.tail.position.seq
                    };
                    log.wait_flushed(seq).await.unwrap();
                    latencies.push(begin.elapsed());
                }
                latencies
            })
        })
        .collect();
    let latencies = tasks.into_iter().flat_map(|task| runtime.block_on(task).unwrap()).collect();
    (latencies, start.elapsed())
}

#[derive(Default)]
struct RawState {
    queued: u64,
    flushed: u64,
    busy: bool,
}

/// Group commit by hand: who finds nobody writing writes for all who came before.
struct Raw {
    file: File,
    bytes: Vec<u8>,
    state: Mutex<RawState>,
    flushed: Condvar,
}

impl Raw {
    fn create(path: &Path) -> Self {
        let file = File::create(path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, RAW_FILE_BYTES).unwrap();
        file.sync_all().unwrap();
        let bytes = vec![7; usize::try_from(ENTRY_BYTES).unwrap()];
        Self { file, bytes, state: Mutex::default(), flushed: Condvar::new() }
    }

    fn append(&self) {
        let mut state = self.state.lock().unwrap();
        state.queued += 1;
        let mine = state.queued;
        while state.flushed < mine {
            if state.busy {
                state = self.flushed.wait(state).unwrap();
                continue;
            }
            let (from, to) = (state.flushed, state.queued);
            state.busy = true;
            drop(state);
            let pieces: Vec<_> = (from..to).map(|_| IoSlice::new(&self.bytes)).collect();
            let at = from * ENTRY_BYTES % (RAW_FILE_BYTES - 64 * ENTRY_BYTES);
            rustix::io::pwritev(&self.file, &pieces, at).unwrap();
            self.file.sync_data().unwrap();
            state = self.state.lock().unwrap();
            state.busy = false;
            state.flushed = to;
            self.flushed.notify_all();
        }
    }
}

fn raw_round(raw: &Raw, producers: usize) -> (Vec<Duration>, Duration) {
    let start = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..producers)
            .map(|_| {
                scope.spawn(|| {
                    let mut latencies = Vec::new();
                    while start.elapsed() < ROUND {
                        let begin = Instant::now();
                        raw.append();
                        latencies.push(begin.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (latencies, start.elapsed())
}

fn compare(runtime: &tokio::runtime::Runtime, room: &Path, producers: usize) {
    let (mut raw, mut log) = (Measured::default(), Measured::default());
    let file = Raw::create(&room.join("raw"));
    let (open, _) = Log::open(&room.join("log"), LogOptions::default()).unwrap();
    // The first segment is made, as the file beside it is.
    let first = Sequencer { tail: Tail::EMPTY, payload: vec![7; PAYLOAD_BYTES] }.next();
    open.append(vec![first]).unwrap();
    runtime.block_on(open.wait_flushed(Seq(1))).unwrap();
    for _ in 0..ROUNDS {
        let (latencies, elapsed) = raw_round(&file, producers);
        raw.add(latencies, elapsed);
        let (latencies, elapsed) = log_round(runtime, &open, producers);
        log.add(latencies, elapsed);
    }
    open.close().unwrap();
    println!(
        "{producers:9} | {:6.0}  {:6.2}  {:6.2} | {:6.0}  {:6.2}  {:6.2} | {:8.2}",
        raw.rate(),
        raw.percentile(50),
        raw.percentile(99),
        log.rate(),
        log.percentile(50),
        log.percentile(99),
        log.rate() / raw.rate()
    );
}

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).map(PathBuf::from);
    let room = given.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    println!("entries of {ENTRY_BYTES} bytes in {}", room.path().display());
    println!("producers |  raw/s  p50 ms  p99 ms |  log/s  p50 ms  p99 ms | log : raw");
    for producers in [1, 16, 64] {
        let directory = room.path().join(producers.to_string());
        std::fs::create_dir(&directory).unwrap();
        compare(&runtime, &directory, producers);
    }
    time_opening(&runtime, &room.path().join("open"));
}

fn time_opening(runtime: &tokio::runtime::Runtime, directory: &Path) {
    let (log, _) = Log::open(directory, LogOptions::default()).unwrap();
    let mut sequencer = Sequencer { tail: log.tail(), payload: vec![7; PAYLOAD_BYTES] };
    for _ in 0..1000 {
        let entries: Vec<_> = (0..15).map(|_| sequencer.next()).collect();
        log.append(entries).unwrap();
        runtime.block_on(log.wait_flushed(sequencer.tail.position.seq)).unwrap();
    }
    drop(log);
    let begin = Instant::now();
    let (log, recovered) = Log::open(directory, LogOptions::default()).unwrap();
    let elapsed = begin.elapsed().as_secs_f64() * 1000.0;
    println!("opening: {elapsed:.0} ms, {} MiB read, {} segments", recovered.scanned_bytes >> 20, recovered.segments);
    log.close().unwrap();
}
