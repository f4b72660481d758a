//! Two real mail servers under load, either of which is killed at random moments: nothing that was acknowledged is
//! lost, and both nodes are equal afterwards, as IMAP shows them.
//!
//! A run can be repeated with the seed that it prints: `MAILMIRROR_TEST_SEED=... cargo test -p mailmirror-e2e --test kill`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use anyhow::{Context, Result, bail};
use mailmirror_control::record::AckPolicy;
use mailmirror_e2e::clients::imap::{Imap, Shown};
use mailmirror_e2e::load::{Ledger, Load, LoadOptions};
use mailmirror_e2e::pair::{BOB, Pair, PairOptions, Roles};
use mailmirror_e2e::process::local;
use mailmirror_model::ids::NodeId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Each round has one kill.
const ROUNDS: usize = 11;
const MESSAGES: usize = 200;
const LOAD_LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn peer_kills_of_either_node_lose_nothing_that_was_acknowledged() {
    run("peer", Roles::Managed, AckPolicy::Peer, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn local_kills_of_either_node_lose_nothing_that_was_acknowledged() {
    run("local", Roles::Plain, AckPolicy::Local, 1).await.unwrap();
}

async fn run(name: &str, roles: Roles, policy: AckPolicy, stream: u64) -> Result<()> {
    let seed: u64 = match std::env::var("MAILMIRROR_TEST_SEED") {
        Ok(given) => given.parse().context("MAILMIRROR_TEST_SEED is no number")?,
        Err(_) => rand::random(),
    };
    println!("{name}: MAILMIRROR_TEST_SEED={seed}");
    let options = PairOptions {
        roles,
        policy,
        hold: Duration::from_secs(4),
        lease: Duration::from_secs(1),
        ..PairOptions::default()
    };
    let mut test = Test {
        name,
        pair: Pair::start(options).await?,
        chance: StdRng::seed_from_u64(seed ^ stream),
        ledger: Ledger::default(),
        known: BTreeMap::new(),
    };
    for round in 0..ROUNDS {
        let done = test.round(round).await;
        done.with_context(|| format!("{name}, round {round}, MAILMIRROR_TEST_SEED={seed}\n{}", test.evidence()))?;
    }
    let view = test.pair.equal_views("INBOX").await?;
    let twice = test.ledger.check(&view)?;
    if view.messages.keys().ne(test.known.keys()) {
        bail!("a message was expunged by nobody");
    }
    println!(
        "{name}: {ROUNDS} kills, {} messages acknowledged, {} tries refused, {} of unknown outcome, {twice} there twice",
        test.ledger.acknowledged.len(),
        test.ledger.refused,
        test.ledger.unknown.values().sum::<usize>()
    );
    for node in &mut test.pair.nodes {
        node.stop(Duration::from_secs(20)).await?;
    }
    Ok(())
}

struct Test<'a> {
    name: &'a str,
    pair: Pair,
    chance: StdRng,
    ledger: Ledger,
    /// What has been seen so far: a UID never means another message.
    known: BTreeMap<u32, Vec<u8>>,
}

impl Test<'_> {
    async fn round(&mut self, round: usize) -> Result<()> {
        let begun = Instant::now();
        let load = Load::begin(LoadOptions {
            name: format!("{}-{round}", self.name),
            messages: MESSAGES,
            size_bytes: self.chance.random_range(200..6000),
            connections: 4,
            targets: NodeId::BOTH.map(|node| local(self.pair.ports(node).smtp)).into(),
            recipient: BOB.0.to_owned(),
            limit: LOAD_LIMIT,
        });
        load.until(self.chance.random_range(1..MESSAGES - 20)).await?;
        tokio::time::sleep(Duration::from_micros(self.chance.random_range(0..20_000))).await;
        let killed = if self.chance.random() { NodeId::One } else { NodeId::Zero };
        let at = load.so_far().acknowledged.len();
        self.pair.node(killed).kill().await?;
        let promoted = self.promote_the_other(killed);
        self.pair.node(killed).start().await?;
        let back = begun.elapsed();
        let ledger = load.end().await;
        if ledger.acknowledged.len() < MESSAGES {
            bail!("only {} messages were acknowledged in {LOAD_LIMIT:?}", ledger.acknowledged.len());
        }
        self.ledger.merge(ledger);
        self.pair.until_mirrored().await?;
        let equal = begun.elapsed();
        self.look().await?;
        println!(
            "{} round {round}: node {killed} killed after {at} messages{}, back {back:.1?}, equal {equal:.1?}, compared {:.1?}",
            self.name,
            if promoted { ", the other one promoted" } else { "" },
            begun.elapsed()
        );
        Ok(())
    }

    /// After most kills of a master, if the record lets it.
    fn promote_the_other(&mut self, killed: NodeId) -> bool {
        let wanted = self.chance.random_bool(0.7);
        let Ok(authority) = self.pair.authority() else { return false };
        wanted && self.pair.master().is_ok_and(|master| master == killed) && authority.promote(killed.peer()).is_ok()
    }

    /// Both nodes show the same: flags and dates of everything, the bytes of what is new; and all that was acknowledged.
    async fn look(&mut self) -> Result<()> {
        let from = self.known.keys().next_back().map_or(1, |uid| uid + 1);
        let mut shown = Vec::new();
        for node in NodeId::BOTH {
            let mut imap = self.pair.imap(node).await?;
            let selected = imap.select("INBOX").await?;
            let (all, new) = (imap.fetch(1, false).await?, imap.fetch(from, true).await?);
            imap.logout().await?;
            shown.push((selected, all, new));
        }
        if shown[0] != shown[1] {
            let uids = difference(&shown[0].1, &shown[1].1);
            bail!("the nodes differ: {:?} and {:?}, messages {uids:?}", shown[0].0, shown[1].0);
        }
        let (_, all, new) = shown.swap_remove(0);
        self.change_flags(&new).await?;
        self.known.extend(new.into_iter().map(|(uid, message)| (uid, message.body)));
        if all.keys().ne(self.known.keys()) {
            bail!("UIDs were {:?} and are {:?}", self.known.keys(), all.keys());
        }
        let subjects = self.known.values().filter_map(|body| mailmirror_e2e::mail::subject(body));
        let subjects: std::collections::BTreeSet<_> = subjects.collect();
        let lost: Vec<_> = self.ledger.acknowledged.keys().filter(|name| !subjects.contains(name.as_str())).collect();
        if lost.is_empty() { Ok(()) } else { bail!("acknowledged messages are lost: {lost:?}") }
    }

    /// Some flags, which the next round has to find on both nodes.
    async fn change_flags(&mut self, new: &BTreeMap<u32, Shown>) -> Result<()> {
        let at = if self.chance.random() { NodeId::One } else { NodeId::Zero };
        let mut imap: Imap = self.pair.imap(at).await?;
        imap.select("INBOX").await?;
        for uid in new.keys().step_by(37) {
            imap.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Flagged $round)")).await?;
        }
        imap.logout().await
    }

    fn evidence(&mut self) -> String {
        let logs: Vec<_> = self.pair.nodes.iter().map(|node| node.told("was in this test")).collect();
        format!("{}\nkept in {}", logs.join("\n"), self.pair.keep().display())
    }
}

fn difference(one: &BTreeMap<u32, Shown>, two: &BTreeMap<u32, Shown>) -> Vec<u32> {
    let uids: std::collections::BTreeSet<_> = one.keys().chain(two.keys()).copied().collect();
    uids.into_iter().filter(|uid| one.get(uid) != two.get(uid)).collect()
}
