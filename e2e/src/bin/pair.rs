//! `make pair`: two mail servers as two processes on loopback, followed until Ctrl-C. Whoever ends is started again, as
//! a supervisor would do.

use anyhow::{Context, Result};
use clap::Parser;
use mailmirror_control::record::AckPolicy;
use mailmirror_control::tell::Tell;
use mailmirror_e2e::pair::{Pair, PairOptions, Roles};
use mailmirror_e2e::process::Programs;
use mailmirror_model::ids::NodeId;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior};

const USER: (&str, &str) = ("bob@office.example", "mirrored-mail");
/// How often both nodes are asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A node that ended is started again after this time: long enough to look at the other one.
const RESTART_AFTER: Duration = Duration::from_secs(5);
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Two mail servers as two processes on loopback, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// End by itself after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// The message of the commands to try.
    #[arg(long, default_value = "examples/mail/report.eml")]
    message: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let options = PairOptions { roles: Roles::Plain, policy: AckPolicy::Local, ..PairOptions::default() };
    let begun = Instant::now();
    let mut pair = Pair::create(options).await?;
    let ended = tokio::select! {
        ended = run(&mut pair, &arguments, begun) => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    println!("\nstopping both nodes");
    for node in &mut pair.nodes {
        if node.runs() {
            node.stop(STOP_LIMIT).await?;
        }
    }
    println!("stopped; nothing is left");
    ended
}

async fn run(pair: &mut Pair, arguments: &Arguments, begun: Instant) -> Result<()> {
    pair.start_nodes().await?;
    pair.add_user(USER).await?;
    println!("Two mail servers mirror each other ({:.1} s).\n", begun.elapsed().as_secs_f64());
    explain(pair, &arguments.message)?;
    let end = arguments.seconds.map(|seconds| begun + Duration::from_secs(seconds));
    follow(pair, end).await
}

fn explain(pair: &Pair, message: &Path) -> Result<()> {
    let message = std::path::absolute(message)?;
    let message = message.display();
    let [zero, one] = NodeId::BOTH.map(|node| pair.ports(node));
    let (user, password) = USER;
    for (name, ports) in [("node 0", zero), ("node 1", one)] {
        println!(
            "{name}: SMTP {}  submission {}  IMAP {}  IMAPS {}  POP3 {}  POP3S {}  health and status http://127.0.0.1:{}/",
            ports.smtp, ports.submission, ports.imap, ports.imaps, ports.pop, ports.pops, ports.health
        );
    }
    let tellmail = Programs::find()?.tellmail;
    let tellmail =
        |node: NodeId| format!("{} --config {}", tellmail.display(), pair.nodes[node.index()].ini().display());
    println!("\naccount: {user}   password: {password}\n\nTo try in another terminal:\n");
    let say = |what: &str, command: String| println!("# {what}\n{command}\n");
    say(
        "a message into node 0 (with curl, or with swaks)",
        format!(
            "curl -sS smtp://127.0.0.1:{port}/client.example --mail-from ann@sender.example --mail-rcpt {user} --upload-file {message}\n\
             swaks --server 127.0.0.1:{port} --from ann@sender.example --to {user} --data @{message}",
            port = zero.smtp
        ),
    );
    say(
        "read it from node 1",
        format!("curl -sSk --user {user}:{password} 'imaps://127.0.0.1:{}/INBOX;MAILINDEX=1'", one.imaps),
    );
    say(
        "the same by hand: flag it on node 1, and see the flag on node 0",
        format!(
            "printf 'a LOGIN {user} {password}\\r\\nb SELECT INBOX\\r\\nc STORE 1 +FLAGS (\\\\Flagged)\\r\\nd LOGOUT\\r\\n' | openssl s_client -quiet -ign_eof -connect 127.0.0.1:{} 2>/dev/null\n\
             printf 'a LOGIN {user} {password}\\r\\nb SELECT INBOX\\r\\nc FETCH 1:* (UID FLAGS)\\r\\nd LOGOUT\\r\\n' | openssl s_client -quiet -ign_eof -connect 127.0.0.1:{} 2>/dev/null",
            one.imaps, zero.imaps
        ),
    );
    say("what both nodes hold, and whether it is the same", format!("{} verify_mirror --full", tellmail(NodeId::Zero)));
    let [at_zero, at_one] = NodeId::BOTH.map(tellmail);
    say("swap the roles without loss; only the master can be told", format!("{at_zero} swap || {at_one} swap"));
    let Some(pid) = pair.nodes[0].id() else { return Ok(()) };
    say(
        "kill node 0 and make node 1 the master; node 0 is started again after 5 s and follows",
        format!("kill -9 {pid}; {} promote --accept-loss", tellmail(NodeId::One)),
    );
    Ok(())
}

/// Tells what changes, until the time is over.
async fn follow(pair: &mut Pair, end: Option<Instant>) -> Result<()> {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = [String::new(), String::new()];
    let mut gone: [Option<Instant>; 2] = [None, None];
    println!("tellmail status of both nodes, whenever it changes; Ctrl-C ends all of it\n");
    while end.is_none_or(|end| Instant::now() < end) {
        ticks.tick().await;
        for node in NodeId::BOTH {
            let now = if pair.node(node).runs() {
                gone[node.index()] = None;
                status(pair, node).await
            } else {
                let since = *gone[node.index()].get_or_insert_with(Instant::now);
                if since.elapsed() >= RESTART_AFTER {
                    pair.node(node).restart().await?;
                }
                "    has ended; it is started again in a moment\n".to_owned()
            };
            if now != told[node.index()] {
                println!("node {node}:\n{now}");
                told[node.index()] = now;
            }
        }
    }
    Ok(())
}

/// The lines of `tellmail status` that say something new when they change.
async fn status(pair: &Pair, node: NodeId) -> String {
    let text = match pair.tell(node, Tell::Status).await {
        Ok(told) => told.text,
        Err(error) => return format!("    does not answer: {error:#}\n"),
    };
    let wanted = ["Mirror out", "Mirror  in", "Role:", "Link:", "Lag:", "Holds:", "Progress:", "Swap:", "Problem:"];
    let lines = text.lines().filter(|line| wanted.iter().any(|begin| line.starts_with(begin)));
    lines.flat_map(|line| ["    ".to_owned(), without_duration(line), "\n".to_owned()]).collect()
}

/// How long the link has been as it is changes all the time.
fn without_duration(line: &str) -> String {
    let duration = line.split_once(" for ").filter(|_| line.starts_with("Link:"));
    let Some((state, rest)) = duration else { return line.to_owned() };
    let end = [" to store", " ("].iter().filter_map(|mark| rest.find(mark)).min().unwrap_or(rest.len());
    format!("{state}{}", &rest[end..])
}
