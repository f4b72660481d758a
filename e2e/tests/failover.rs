//! Two real mail servers: failover, swap, changes at the slave, and what a node shows that does not know whether it is
//! up to date.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use anyhow::{Context, Result, bail, ensure};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::Role;
use mailmirror_e2e::clients::Security;
use mailmirror_e2e::clients::imap::Imap;
use mailmirror_e2e::clients::smtp::Delivery;
use mailmirror_e2e::load::{Load, LoadOptions};
use mailmirror_e2e::mail;
use mailmirror_e2e::pair::{BOB, PATIENCE, Pair, PairOptions, Roles};
use mailmirror_e2e::process::{Signal, local};
use mailmirror_e2e::wait;
use mailmirror_model::ids::NodeId;
use std::time::{Duration, Instant};

const MASTER: NodeId = NodeId::Zero;
const SLAVE: NodeId = NodeId::One;
const SENDER: &str = "ann@sender.example";
/// Generous: what is measured is printed.
const SOON: Duration = Duration::from_secs(30);

/// What a failed test has to say: the error and what the nodes logged.
fn done(pair: &mut Pair, result: Result<()>) {
    if let Err(error) = result {
        let logs = pair.nodes.iter().map(|node| node.told("was in this test")).collect::<Vec<_>>();
        panic!("{error:#}\n{}\nkept in {}", logs.join("\n"), pair.keep().display());
    }
}

fn load(pair: &Pair, name: &str, messages: usize, targets: &[NodeId]) -> Load {
    Load::begin(LoadOptions {
        name: name.to_owned(),
        messages,
        size_bytes: 2000,
        connections: 8,
        targets: targets.iter().map(|node| local(pair.ports(*node).smtp)).collect(),
        recipient: BOB.0.to_owned(),
        limit: Duration::from_mins(1),
    })
}

async fn deliver(pair: &Pair, node: NodeId, subject: &str) -> Result<()> {
    let mut smtp = pair.smtp(node).await?;
    smtp.send(SENDER, BOB.0, &mail::message(subject, 500)).await.accepted()?;
    smtp.quit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p2_a4_a_master_killed_with_its_link_is_replaced_by_a_slave_that_has_everything() {
    let mut pair = Pair::start(PairOptions { cable: true, ..PairOptions::default() }).await.unwrap();
    let result = killed_with_its_link(&mut pair).await;
    done(&mut pair, result);
}

async fn killed_with_its_link(pair: &mut Pair) -> Result<()> {
    let load = load(pair, "failover", 400, &[MASTER, SLAVE]);
    load.until(100).await?;
    let seen = pair.view(MASTER, "INBOX").await?;
    load.until(200).await?;
    pair.cable.as_ref().context("no cable")?.cut();
    pair.node(MASTER).kill().await?;
    let killed = Instant::now();
    let promised = load.so_far();
    pair.authority()?.promote(SLAVE)?;
    let after = wait::until("mail on the promoted node", SOON, || pair.view(SLAVE, "INBOX")).await?;
    let shown = killed.elapsed();
    promised.check_kept(&after)?;
    ensure!(after.uid_validity == seen.uid_validity, "UIDVALIDITY has changed");
    for (uid, message) in &seen.messages {
        ensure!(after.messages.get(uid) == Some(message), "UID {uid} is not what it was");
    }
    deliver(pair, SLAVE, "after the failover").await?;
    let answered = killed.elapsed();
    let ledger = load.end().await;
    ensure!(ledger.acknowledged.len() == 400, "only {} messages were acknowledged", ledger.acknowledged.len());

    pair.cable.as_ref().context("no cable")?.mend();
    let returned = Instant::now();
    pair.node(MASTER).start().await?;
    pair.until_mirrored().await?;
    println!(
        "killed with its link: shown {shown:.1?}, answered {answered:.1?}, equal {:.1?} after the return",
        returned.elapsed()
    );
    let status = pair.status(MASTER).await?;
    ensure!(status.role == Role::Slave, "the old master came back as {:?}", status.role);
    let view = pair.equal_views("INBOX").await?;
    ensure!(view.by_subject().contains_key("after the failover"), "a message after the failover is lost");
    ledger.check_kept(&view)
}

#[tokio::test(flavor = "multi_thread")]
async fn n2_n4_a_change_at_the_slave_is_a_change_of_the_pair() {
    let mut pair = Pair::start(PairOptions::default()).await.unwrap();
    let result = changes_at_the_slave(&pair).await;
    done(&mut pair, result);
}

async fn changes_at_the_slave(pair: &Pair) -> Result<()> {
    deliver(pair, SLAVE, "forwarded").await?;
    let at_master = pair.view(MASTER, "INBOX").await?;
    ensure!(at_master.by_subject().contains_key("forwarded"), "what the slave accepted is not on the master");
    ensure!(pair.view(SLAVE, "INBOX").await? == at_master, "the slave does not show what it accepted");

    let mut imap = pair.imap(SLAVE).await?;
    imap.ok("CREATE Projects").await?;
    let sent = mail::message("appended", 3000);
    let (validity, uid) = imap.append("Projects", "\\Seen $label", &sent).await?;
    let selected = imap.select("Projects").await?;
    ensure!((selected.uid_validity, selected.exists) == (validity, 1), "{selected:?} after APPENDUID {validity} {uid}");
    let shown = imap.fetch(1, true).await?;
    ensure!(shown.get(&uid).is_some_and(|message| message.body == sent), "the appended bytes are others");
    imap.ok(&format!("UID STORE {uid} FLAGS (\\Flagged)")).await?;
    imap.ok(&format!("UID COPY {uid} INBOX")).await?;
    let projects = pair.view(MASTER, "Projects").await?;
    ensure!(
        projects.messages[&uid].flags.iter().eq(["\\Flagged"]),
        "flags at the master: {:?}",
        projects.messages[&uid]
    );
    ensure!(pair.equal_views("INBOX").await?.messages.len() == 2, "the copy is missing");
    imap.ok(&format!("UID STORE {uid} +FLAGS (\\Deleted)")).await?;
    imap.ok("EXPUNGE").await?;
    ensure!(pair.view(MASTER, "Projects").await?.messages.is_empty(), "the master has what was expunged");

    // A client that idles at the slave learns of a message that came in at the master.
    let exists = imap.select("INBOX").await?.exists;
    let begun = Instant::now();
    let (idle, sent) = tokio::join!(imap.idle_until(exists + 1), deliver(pair, MASTER, "for the idle one"));
    sent.and(idle)?;
    println!("an idle client of the slave learnt of a message after {:.0?}", begun.elapsed());
    imap.logout().await?;
    let compared = pair.nodes[1].tellmail(&["verify_mirror", "--full"]).await?;
    println!("verify_mirror: {}", compared.trim_end());
    pair.equal_views("INBOX").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a10_a_swap_under_load_loses_nothing() {
    let mut pair = Pair::start(PairOptions::default()).await.unwrap();
    let result = swapped(&pair).await;
    done(&mut pair, result);
}

async fn swapped(pair: &Pair) -> Result<()> {
    let load = load(pair, "swap", 400, &[MASTER, SLAVE]);
    for (round, acknowledged) in [100, 200].into_iter().enumerate() {
        load.until(acknowledged).await?;
        let begun = Instant::now();
        pair.authority()?.swap(Duration::from_secs(10)).await?;
        let took = begun.elapsed();
        pair.until_mirrored().await?;
        println!("swap {round} took {took:.2?}, mirrored after {:.2?}", begun.elapsed());
    }
    ensure!(pair.master()? == MASTER, "two swaps lead back to the first master");
    let ledger = load.end().await;
    ensure!(ledger.acknowledged.len() == 400, "only {} messages were acknowledged", ledger.acknowledged.len());
    pair.until_mirrored().await?;
    let twice = ledger.check(&pair.equal_views("INBOX").await?)?;
    println!("{} refused, {} of unknown outcome, {twice} there twice", ledger.refused, ledger.unknown.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a6_n5_c76_a_master_that_slept_through_its_replacement_never_shows_what_it_knew() {
    let mut pair = Pair::start(PairOptions::default()).await.unwrap();
    let result = slept(&mut pair).await;
    done(&mut pair, result);
}

async fn slept(pair: &mut Pair) -> Result<()> {
    deliver(pair, MASTER, "before").await?;
    let mut sessions = vec![pair.imap(MASTER).await?, pair.imap(MASTER).await?];
    for session in &mut sessions {
        session.select("INBOX").await?;
    }
    let smtp = pair.smtp(MASTER).await?;
    pair.until_mirrored().await?;
    pair.node(MASTER).signal(Signal::STOP)?;
    pair.authority()?.promote(SLAVE)?;
    let mut imap = wait::until("mail on the promoted node", SOON, || async {
        let mut imap = pair.imap(SLAVE).await?;
        imap.select("INBOX").await?;
        Ok(imap)
    })
    .await?;
    imap.ok("UID STORE 1 +FLAGS (\\Flagged)").await?;
    deliver(pair, SLAVE, "while the old master slept").await?;

    // These commands wait in the old master's sockets: the first thing that it does is to answer them, or not.
    let second = sessions.pop().context("no session")?;
    let [first, second] = [sessions.pop().context("no session")?, second];
    let asked = [tokio::spawn(flags_of_the_first(first)), tokio::spawn(flags_of_the_first(second))];
    let late = tokio::spawn(async move {
        let mut smtp = smtp;
        smtp.send(SENDER, BOB.0, &mail::message("late", 500)).await
    });
    let woken = Instant::now();
    pair.node(MASTER).signal(Signal::CONT)?;
    let fresh = wait::until("an answer of the old master", SOON, || pair.view(MASTER, "INBOX")).await?;
    println!("the old master shows mail again {:.1?} after it woke up", woken.elapsed());
    ensure!(fresh.messages[&1].flags.contains("\\Flagged"), "the old master shows what it knew: {:?}", fresh.messages);
    ensure!(fresh.by_subject().contains_key("while the old master slept"), "the old master does not show a message");
    for asked in asked {
        match asked.await? {
            Ok(flags) => ensure!(flags.contains("\\Flagged"), "an old session was shown what the node knew: {flags}"),
            Err(error) => println!("an old session: {error:#}"),
        }
    }
    pair.until_mirrored().await?;
    let view = pair.equal_views("INBOX").await?;
    match late.await? {
        Delivery::Accepted(_) => ensure!(view.by_subject().contains_key("late"), "an accepted message is lost"),
        Delivery::Refused(reply) => println!("a message for the sleeping node was refused: {reply}"),
        Delivery::NotSent(why) | Delivery::Unknown(why) => println!("a message for the sleeping node: {why:#}"),
    }
    Ok(())
}

async fn flags_of_the_first(mut imap: Imap) -> Result<String> {
    let answer = imap.ok("UID FETCH 1 (FLAGS)").await?;
    let lines = answer.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    Ok(lines.filter(|line| line.contains("FETCH")).collect::<Vec<_>>().join("\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn n5_n6_a_master_without_slave_and_authority_holds_then_refuses_and_goes_on_when_the_link_is_back() {
    let hold = Duration::from_secs(3);
    let mut pair = Pair::start(PairOptions { cable: true, hold, ..PairOptions::default() }).await.unwrap();
    let result = held(&pair, hold).await;
    done(&mut pair, result);
}

async fn held(pair: &Pair, hold: Duration) -> Result<()> {
    deliver(pair, MASTER, "before").await?;
    let mut smtp = pair.smtp(MASTER).await?;
    pair.authority()?.silence(true);
    let cable = pair.cable.as_ref().context("no cable")?;
    cable.cut();
    let begun = Instant::now();
    match smtp.send(SENDER, BOB.0, &mail::message("held", 500)).await {
        Delivery::Unknown(_) => {}
        other => bail!("a held change was answered: {other:?}"),
    }
    ensure!(begun.elapsed() >= hold / 2, "it was held for {:?} only", begun.elapsed());
    match pair.smtp(MASTER).await?.send(SENDER, BOB.0, &mail::message("refused", 500)).await {
        Delivery::Refused(reply) => ensure!((400..500).contains(&reply.code), "refused for ever: {reply}"),
        other => bail!("a change was taken while another one is held: {other:?}"),
    }
    for node in NodeId::BOTH {
        let view = pair.view(node, "INBOX").await;
        ensure!(view.is_err(), "node {node} shows mail and cannot know whether it is up to date");
    }
    cable.mend();
    pair.authority()?.silence(false);
    pair.until_mirrored().await?;
    deliver(pair, SLAVE, "after").await?;
    let view = pair.equal_views("INBOX").await?;
    let found = view.by_subject();
    ensure!(found.contains_key("before") && found.contains_key("after"), "a message is lost: {:?}", found.keys());
    ensure!(!found.contains_key("refused"), "a refused message is there");
    ensure!(found.contains_key("held"), "nothing that is in the log is taken back (rule N6)");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a8_a_pair_that_restarts_resumes_its_roles_without_the_authority() {
    let mut pair = Pair::start(PairOptions::default()).await.unwrap();
    let result = resumed(&mut pair).await;
    done(&mut pair, result);
}

async fn resumed(pair: &mut Pair) -> Result<()> {
    deliver(pair, SLAVE, "before").await?;
    pair.until_mirrored().await?;
    pair.authority()?.silence(true);
    for node in NodeId::BOTH {
        pair.node(node).kill().await?;
    }
    let [zero, one] = &mut pair.nodes;
    tokio::try_join!(zero.start(), one.start())?;
    for (node, role) in [(MASTER, Role::Master), (SLAVE, Role::Slave)] {
        wait::until("the old role", SOON, || async {
            let status = pair.status(node).await?;
            if status.role == role { Ok(()) } else { bail!("node {node} is {status:#?}") }
        })
        .await?;
    }
    wait::until("a delivery", SOON, || deliver(pair, SLAVE, "after")).await?;
    let at_master = pair.view(MASTER, "INBOX").await?;
    let found = at_master.by_subject();
    ensure!(found.contains_key("before") && found.contains_key("after"), "a message is lost: {:?}", found.keys());
    // Whether the slave is in the recorded set, and so may show mail, only the authority knows (rule N5).
    pair.authority()?.silence(false);
    pair.until_mirrored().await?;
    ensure!(pair.equal_views("INBOX").await? == at_master, "the mailbox is another one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_n2_plain_hosts_are_swapped_and_promoted_by_a_person_with_tellmail() {
    let options = PairOptions { roles: Roles::Plain, policy: AckPolicy::Local, ..PairOptions::default() };
    let mut pair = Pair::start(options).await.unwrap();
    let result = by_hand(&mut pair).await;
    done(&mut pair, result);
}

async fn by_hand(pair: &mut Pair) -> Result<()> {
    pair.nodes[1].tellmail(&["add_user", "carol@office.example", "a password for Carol"]).await?;
    let carol = ("carol@office.example", "a password for Carol");
    let mut imap = Imap::login(local(pair.ports(MASTER).imap), Security::Plain, carol, PATIENCE).await?;
    imap.append("INBOX", "", &mail::message("for Carol", 400)).await?;
    imap.logout().await?;
    deliver(pair, MASTER, "one").await?;
    pair.until_mirrored().await?;
    let refused = pair.nodes[1].tellmail(&["promote"]).await;
    ensure!(refused.is_err(), "a promotion that may lose mail needs a person who accepts that");
    pair.nodes[0].tellmail(&["swap"]).await?;
    wait::until("the new slave", SOON, || async {
        let status = pair.status(MASTER).await?;
        if status.role == Role::Slave { Ok(()) } else { bail!("{status:#?}") }
    })
    .await?;
    pair.until_mirrored().await?;
    deliver(pair, MASTER, "two").await?;
    pair.until_mirrored().await?;
    pair.node(SLAVE).kill().await?;
    pair.nodes[0].tellmail(&["promote", "--accept-loss"]).await?;
    deliver(pair, MASTER, "three").await?;
    pair.node(SLAVE).start().await?;
    pair.until_mirrored().await?;
    let status = pair.nodes[1].tellmail(&["status"]).await?;
    ensure!(status.starts_with("Mirror out: Que/sent add="), "{status}");
    let found = pair.equal_views("INBOX").await?.by_subject();
    ensure!(found.keys().eq(["one", "three", "two"]), "messages {:?}", found.keys());
    Ok(())
}
