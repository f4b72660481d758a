//! `make bench`: how many messages a pair takes, beside what the same disk can do, in the same run; and how soon the
//! other node shows a message. Prints two tables.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use mailmirror_control::record::AckPolicy;
use mailmirror_e2e::load::{Load, LoadOptions};
use mailmirror_e2e::mail;
use mailmirror_e2e::pair::{BOB, Pair, PairOptions, Roles};
use mailmirror_e2e::process::local;
use mailmirror_model::ids::NodeId;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SENDER: &str = "ann@sender.example";
const RAW_FILE_BYTES: u64 = 256 << 20;
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Delivery rates and lag of a pair.
#[derive(Parser)]
struct Arguments {
    /// How long each rate is measured, in seconds.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The size of each message, in bytes.
    #[arg(long, default_value_t = 8192)]
    size_bytes: usize,
    /// Messages of which the lag is measured.
    #[arg(long, default_value_t = 300)]
    lag_messages: u32,
}

/// Durations of many of the same.
struct Measured {
    latencies: Vec<Duration>,
    elapsed: Duration,
}

impl Measured {
    #[allow(clippy::cast_precision_loss)] // counts far below 2^52
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// In milliseconds.
    fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default().as_secs_f64() * 1000.0
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let room = tempfile::tempdir()?;
    println!("messages of {} bytes; both nodes and the load share this machine and its disk\n", arguments.size_bytes);
    println!("connections |    disk alone     |          ack local          |          ack peer           ");
    println!("            |    /s     p99 ms  |    /s   p50 ms  p99 ms  ratio |    /s   p50 ms  p99 ms  ratio");
    for connections in [1, 16, 64] {
        let file = room.path().join("raw");
        let (size_bytes, length) = (arguments.size_bytes, Duration::from_secs(arguments.seconds));
        let mut raw = tokio::task::spawn_blocking(move || raw(&file, connections, size_bytes, length)).await??;
        let mut line = format!("{connections:11} | {:7.0}  {:7.2}  ", raw.rate(), raw.percentile(99));
        for policy in [AckPolicy::Local, AckPolicy::Peer] {
            let mut measured = deliver(&arguments, policy, connections).await?;
            let (rate, p50, p99) = (measured.rate(), measured.percentile(50), measured.percentile(99));
            write!(line, "| {rate:7.0}  {p50:6.2}  {p99:6.2}  {:5.2} ", rate / raw.rate())?;
        }
        println!("{}", line.trim_end());
    }
    println!("\nfrom the 250 of the master to the message shown by IMAP on the slave");
    println!("ack   |  p50 ms   p99 ms   max ms");
    for policy in [AckPolicy::Local, AckPolicy::Peer] {
        let mut lag = lag(&arguments, policy).await?;
        let [p50, p99, most] = [50, 99, 100].map(|percent| lag.percentile(percent));
        println!("{:5} | {p50:7.2}  {p99:7.2}  {most:7.2}", policy.to_string());
    }
    Ok(())
}

async fn pair(policy: AckPolicy) -> Result<Pair> {
    let roles = if policy == AckPolicy::Local { Roles::Plain } else { Roles::Managed };
    Pair::start(PairOptions { roles, policy, ..PairOptions::default() }).await
}

async fn stop(mut pair: Pair) -> Result<()> {
    for node in &mut pair.nodes {
        node.stop(STOP_LIMIT).await?;
    }
    Ok(())
}

/// Messages by SMTP into the master.
async fn deliver(arguments: &Arguments, policy: AckPolicy, connections: usize) -> Result<Measured> {
    let pair = pair(policy).await?;
    let length = Duration::from_secs(arguments.seconds);
    let load = Load::begin(LoadOptions {
        name: "bench".to_owned(),
        messages: 10_000_000,
        size_bytes: arguments.size_bytes,
        connections,
        targets: vec![local(pair.ports(NodeId::Zero).smtp)],
        recipient: BOB.0.to_owned(),
        limit: length + STOP_LIMIT,
    });
    // Connections open and files grow before it counts.
    load.until(connections * 4).await?;
    let (begun, before) = (Instant::now(), load.so_far().acknowledged);
    tokio::time::sleep(length).await;
    let (elapsed, after) = (begun.elapsed(), load.so_far().acknowledged);
    load.stop();
    load.end().await;
    let latencies = after.into_iter().filter(|(name, _)| !before.contains_key(name)).map(|(_, took)| took).collect();
    stop(pair).await?;
    Ok(Measured { latencies, elapsed })
}

/// The time from the `250` to the moment at which a client that idles at the slave learns of the message.
async fn lag(arguments: &Arguments, policy: AckPolicy) -> Result<Measured> {
    let pair = pair(policy).await?;
    let mut smtp = pair.smtp(NodeId::Zero).await?;
    let mut imap = pair.imap(NodeId::One).await?;
    imap.select("INBOX").await?;
    let begun = Instant::now();
    let mut latencies = Vec::new();
    for number in 1..=arguments.lag_messages {
        let message = mail::message(&format!("lag-{number}"), arguments.size_bytes);
        let (answered, seen) = tokio::join!(
            async {
                let answer = smtp.send(SENDER, BOB.0, &message).await.accepted();
                (answer, Instant::now())
            },
            async { (imap.idle_until(number).await, Instant::now()) }
        );
        answered.0?;
        seen.0?;
        // It may be shown before the 250 has gone its way.
        latencies.push(seen.1.saturating_duration_since(answered.1));
    }
    let shown = imap.fetch(1, false).await?.len();
    ensure!(shown == usize::try_from(arguments.lag_messages)?, "{shown} messages are shown");
    stop(pair).await?;
    Ok(Measured { latencies, elapsed: begun.elapsed() })
}

#[derive(Default)]
struct RawState {
    queued: u64,
    flushed: u64,
    busy: bool,
    failed: bool,
}

/// Group commit by hand, as fast as this disk does it: a preallocated file, one write and one flush for all who wait.
struct Raw {
    file: File,
    bytes: Vec<u8>,
    state: Mutex<RawState>,
    changed: Condvar,
}

impl Raw {
    fn append(&self) -> Result<()> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        state.queued += 1;
        let mine = state.queued;
        while state.flushed < mine {
            ensure!(!state.failed, "failed to write the raw file");
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (from, to) = (state.flushed, state.queued);
            state.busy = true;
            drop(state);
            let done = self.write(from, to);
            state = lock();
            state.busy = false;
            state.failed = done.is_err();
            state.flushed = to;
            self.changed.notify_all();
            done?;
        }
        Ok(())
    }

    fn write(&self, from: u64, to: u64) -> Result<()> {
        let one = self.bytes.len() as u64;
        let batch = self.bytes.repeat(usize::try_from(to - from)?);
        let at = from * one % (RAW_FILE_BYTES - batch.len() as u64);
        self.file.write_all_at(&batch, at).context("failed to write the raw file")?;
        self.file.sync_data().context("failed to flush the raw file")
    }
}

fn raw(path: &Path, producers: usize, size_bytes: usize, length: Duration) -> Result<Measured> {
    let mut file = File::create(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..RAW_FILE_BYTES / zeros.len() as u64 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    let raw = Raw { file, bytes: vec![7; size_bytes], state: Mutex::default(), changed: Condvar::new() };
    let begun = Instant::now();
    let one = || {
        let mut latencies = Vec::new();
        while begun.elapsed() < length {
            let begin = Instant::now();
            raw.append()?;
            latencies.push(begin.elapsed());
        }
        anyhow::Ok(latencies)
    };
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..producers).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(Measured { latencies: latencies.concat(), elapsed: begun.elapsed() })
}
