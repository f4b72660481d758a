//! `make demo`: the story of a mirrored pair on Kubernetes, with real mail. It is played on the cluster of `KUBECONFIG`,
//! with the image `IMAGE`; `e2e/on-cluster` brings up a local one where none is given. With `--assert` it is a test.

mod checks;
mod kube;
mod pair;
mod times;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use kube::Kube;
use mailmirror_e2e::clients::imap::View;
use mailmirror_e2e::load::{Load, LoadOptions};
use mailmirror_e2e::wait;
use pair::{Pair, USER, uid_of};
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use times::Times;

const RELEASE: &str = "mailmirror";
const RELEASE_NAMESPACE: &str = "mailmirror-system";
const CHART: &str = "charts/mailmirror";
const PAIR_FILE: &str = "examples/office.yaml";
const PAIR: &str = "office";
/// Messages of examples/mail: the first is the one that is followed.
const MESSAGES: [&str; 4] = ["report.eml", "plain.eml", "encoded-headers.eml", "forwarded.eml"];
/// A node that is cut off is noticed by Kubernetes after 16 to 20 seconds, or 50 where nobody has tuned that.
const CUT_LIMIT: Duration = Duration::from_mins(2);
const LIMIT: Duration = Duration::from_mins(1);

/// The story of a mirrored pair on Kubernetes.
#[derive(Parser)]
struct Arguments {
    /// Fail when a step takes too long, try wrong objects too, and remove everything at the end.
    #[arg(long)]
    assert: bool,
    /// Write the time of each step there, a JSON object a line.
    #[arg(long)]
    times: Option<PathBuf>,
    /// The namespace of the pair: what is in it is removed at the start.
    #[arg(long, default_value = "mailmirror-demo")]
    namespace: String,
    /// The image of mailserver and operator.
    #[arg(long, env = "IMAGE")]
    image: String,
    /// The tool of the local cluster; empty on a cluster that is not ours.
    #[arg(long, env = "CLUSTER", default_value = "")]
    cluster: String,
    /// Remove what an earlier run left, and end.
    #[arg(long)]
    remove: bool,
}

struct Story {
    arguments: Arguments,
    pair: Pair,
    times: Times,
    /// Messages as they were sent.
    mail: Vec<Vec<u8>>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let tool = Some(arguments.cluster.clone()).filter(|tool| !tool.is_empty());
    let kube = Kube { namespace: arguments.namespace.clone(), tool };
    let mail = MESSAGES.map(|name| std::fs::read(format!("examples/mail/{name}")).context("start it in the checkout"));
    let times = Times::new(arguments.times.as_deref(), arguments.assert)?;
    let mail = mail.into_iter().collect::<Result<_>>()?;
    let mut story = Story { arguments, pair: Pair { kube, name: PAIR.to_owned() }, times, mail };
    if story.arguments.remove {
        return story.remove().await;
    }
    story.play().await?;
    println!("story: {:7.2} s  all of it", story.times.total().as_secs_f64());
    if story.arguments.assert { story.remove().await } else { story.goodbye().await }
}

impl Story {
    async fn play(&mut self) -> Result<()> {
        self.install().await?;
        self.begin().await?;
        self.deliver_and_read().await?;
        self.show_status().await?;
        self.kill_master().await?;
        if self.pair.kube.tool.is_some() {
            self.cut_master().await?;
        } else {
            times::say("(nodes of this cluster are not ours to cut off)");
        }
        self.swap().await?;
        if self.arguments.assert {
            let helm = self.helm_arguments();
            checks::run(&self.pair.kube, &mut self.times, &helm).await?;
        }
        Ok(())
    }

    fn helm_arguments(&self) -> Vec<String> {
        let (repository, tag) = self.arguments.image.rsplit_once(':').unwrap_or((&self.arguments.image, "latest"));
        let mut words: Vec<String> =
            ["upgrade", "--install", RELEASE, CHART, "--namespace", RELEASE_NAMESPACE].map(str::to_owned).into();
        words.extend(["--create-namespace", "--wait", "--timeout", "120s"].map(str::to_owned));
        for value in [format!("image.repository={repository}"), format!("image.tag={tag}")] {
            words.extend(["--set".to_owned(), value]);
        }
        words
    }

    async fn install(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.pair.kube.delete_namespace().await?;
        if begun.elapsed() > Duration::from_secs(1) {
            self.times.done("what an earlier run left is removed", begun.elapsed(), CUT_LIMIT)?;
        }
        let begun = Instant::now();
        let words = self.helm_arguments();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        kube::run("helm", &words, None, CUT_LIMIT).await?;
        self.times.done(&format!("helm installed {CHART}: the operator is ready"), begun.elapsed(), CUT_LIMIT)
    }

    async fn begin(&mut self) -> Result<()> {
        let begun = Instant::now();
        let kube = &self.pair.kube;
        kube::run("kubectl", &["create", "namespace", &kube.namespace], None, LIMIT).await?;
        kube.kubectl(&["apply", "--filename", PAIR_FILE]).await?;
        kube.wait_for(&format!("mmp/{PAIR}"), "Ready", CUT_LIMIT).await?;
        self.times.done(&format!("{PAIR_FILE} applied: mmp/{PAIR} is Ready"), begun.elapsed(), CUT_LIMIT)?;
        let begun = Instant::now();
        self.pair.add_user().await?;
        self.times.done(&format!("account {} created with tellmail", USER.0), begun.elapsed(), LIMIT)
    }

    /// Step 1.
    async fn deliver_and_read(&mut self) -> Result<()> {
        // Each node's proxy learns of a Service's pods a moment after the pair is ready.
        wait::until("the Service lead to the master", LIMIT, || self.pair.connect()).await?;
        for (name, message) in MESSAGES.iter().zip(&self.mail) {
            let begun = Instant::now();
            self.pair.deliver(message).await.with_context(|| format!("failed to deliver {name}"))?;
            let (_, slave) = self.pair.roles().await?;
            let uid = uid_of(&self.pair.view_of_pod(&slave).await?, message)?;
            let step = format!(
                "1. examples/mail/{name} by SMTP through the Service, read by IMAP from the slave {slave}: UID {uid}, {} bytes, equal",
                message.len()
            );
            self.times.done(&step, begun.elapsed(), LIMIT)?;
        }
        Ok(())
    }

    /// Step 2.
    async fn show_status(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.pair.wait_mirrored(LIMIT).await?;
        let object = wait::until("a lag of 0", LIMIT, || async {
            let object = self.pair.object().await?;
            let lag = object.pointer("/status/lag").and_then(Value::as_i64);
            ensure!(lag == Some(0), "status.lag is {lag:?}");
            Ok(object)
        })
        .await?;
        let in_sync = object.pointer("/status/inSync").and_then(Value::as_array).map(Vec::len);
        ensure!(in_sync == Some(2), "status.inSync has {in_sync:?} pods");
        let shown = self.pair.kube.kubectl(&["get", "mmp"]).await?;
        self.times.done("2. kubectl get mmp:", begun.elapsed(), LIMIT)?;
        times::say(&shown);
        Ok(())
    }

    /// Steps 3 and 4, first run.
    async fn kill_master(&mut self) -> Result<()> {
        let (master, slave) = self.pair.roles().await?;
        let before = self.pair.view_of_service().await?;
        let uid = uid_of(&before, &self.mail[0])?;
        let begun = Instant::now();
        let how = self.pair.kube.kill(&master).await?;
        let view = self.answers_again("killed", uid, &before).await?;
        self.times.done(
            &format!("3. {master} killed ({how}): the Service answers SMTP and IMAP, the message has UID {uid}"),
            begun.elapsed(),
            LIMIT,
        )?;
        self.pair.wait_master(&slave, LIMIT).await?;
        self.times.done(&format!("3. {slave} is the master"), begun.elapsed(), LIMIT)?;
        self.returned(&master, &view, begun, LIMIT).await
    }

    /// Steps 3 and 4, second run: the whole node.
    async fn cut_master(&mut self) -> Result<()> {
        let (master, slave) = self.pair.roles().await?;
        let before = self.pair.view_of_service().await?;
        let uid = uid_of(&before, &self.mail[0])?;
        let pod = self.pair.kube.get(&["pod", &master]).await?;
        let node = pod.pointer("/spec/nodeName").and_then(Value::as_str).context("the pod has no node")?;
        let begun = Instant::now();
        self.pair.kube.set_link(node, false).await?;
        let seen = self.answers_again("cut", uid, &before).await;
        let answered = begun.elapsed();
        let promoted = match &seen {
            Ok(_) => self.pair.wait_master(&slave, CUT_LIMIT).await,
            Err(_) => Ok(()),
        };
        // Whatever was seen, the cluster is whole again.
        self.pair.kube.set_link(node, true).await?;
        let view = seen?;
        promoted?;
        let step = format!("3. node {node} of {master} cut off: {slave} answers, the message has UID {uid}");
        self.times.done(&step, answered, CUT_LIMIT)?;
        self.returned(&master, &view, Instant::now(), CUT_LIMIT).await
    }

    /// Waits until the Service takes a new message and shows everything that was there.
    async fn answers_again(&self, what: &str, uid: u32, before: &View) -> Result<View> {
        let fresh = mailmirror_e2e::mail::message(&format!("after-{what}-{uid}"), 400);
        wait::until("the Service take mail", CUT_LIMIT, || self.pair.deliver(&fresh)).await?;
        let view = wait::until("the Service show mail", CUT_LIMIT, || self.pair.view_of_service()).await?;
        ensure!(view.uid_validity == before.uid_validity, "UIDVALIDITY has changed");
        for (uid, message) in &before.messages {
            ensure!(view.messages.get(uid) == Some(message), "UID {uid} is not what it was");
        }
        uid_of(&view, &fresh).context("the new message is lost")?;
        Ok(view)
    }

    /// Step 4.
    async fn returned(&mut self, old: &str, seen: &View, since: Instant, limit: Duration) -> Result<()> {
        wait::until("the old master as slave", limit, || async {
            let slave = self.pair.status("slave").await?;
            ensure!(slave == old, "the slave is {slave}");
            Ok(())
        })
        .await?;
        self.pair.wait_mirrored(limit).await?;
        let view = self.pair.equal_views(limit).await?;
        for (uid, message) in &seen.messages {
            ensure!(view.messages.get(uid) == Some(message), "UID {uid} is not what it was");
        }
        let step = format!("4. {old} is back as slave, both show the same {} messages", view.messages.len());
        self.times.done(&step, since.elapsed(), limit)
    }

    /// Step 5.
    async fn swap(&mut self) -> Result<()> {
        let (master, slave) = self.pair.roles().await?;
        let number = slave.rsplit_once('-').context("the pod has no number")?.1;
        let door = self.pair.kube.door(&format!("svc/{PAIR}"), 25).await?;
        let load = Load::begin(LoadOptions {
            name: "swap".to_owned(),
            messages: 100_000,
            size_bytes: 2000,
            connections: 4,
            targets: vec![door.address],
            recipient: USER.0.to_owned(),
            limit: LIMIT * 2,
        });
        load.until(50).await?;
        let begun = Instant::now();
        let patch = format!("{{\"spec\": {{\"master\": {number}}}}}");
        self.pair.kube.kubectl(&["patch", "mmp", PAIR, "--type=merge", "--patch", &patch]).await?;
        self.pair.wait_master(&slave, LIMIT).await?;
        let took = begun.elapsed();
        let acknowledged = load.so_far().acknowledged.len();
        load.until(acknowledged + 50).await?;
        load.stop();
        let ledger = load.end().await;
        self.pair.wait_mirrored(LIMIT).await?;
        let view = self.pair.equal_views(LIMIT).await?;
        ledger.check_kept(&view)?;
        let longest = ledger.acknowledged.values().max().copied().unwrap_or_default();
        let object = self.pair.object().await?;
        let report = object.pointer("/status/lastSwap").context("status.lastSwap is missing")?;
        let said =
            (report.get("result").and_then(Value::as_str), report.get("tookMilliseconds").and_then(Value::as_i64));
        let (Some("Done"), Some(milliseconds)) = said else { bail!("status.lastSwap is {report}") };
        let step = format!(
            "5. spec.master: {number} swapped {master} and {slave} in {:.2} s under load: {} messages, none lost, the longest wait {:.2} s",
            Duration::from_millis(milliseconds.unsigned_abs()).as_secs_f64(),
            ledger.acknowledged.len(),
            longest.as_secs_f64()
        );
        self.times.done(&step, took, LIMIT)
    }

    async fn remove(&self) -> Result<()> {
        self.pair.kube.delete_namespace().await?;
        let words = ["uninstall", RELEASE, "--namespace", RELEASE_NAMESPACE, "--wait", "--ignore-not-found"];
        kube::run("helm", &words, None, CUT_LIMIT).await.map(drop)
    }

    async fn goodbye(&self) -> Result<()> {
        let tool = self.pair.kube.tool.as_deref();
        let service = self.pair.kube.get(&["svc", PAIR]).await?;
        let ip = service.pointer("/spec/clusterIP").and_then(Value::as_str).unwrap_or_default();
        let namespace = &self.pair.kube.namespace;
        let (user, password) = USER;
        println!("\nThe pair is yours (account {user}, password {password}):\n");
        if let Some(tool) = tool {
            println!("  eval \"$({tool} env)\"");
        }
        println!("  kubectl -n {namespace} get mmp,pods -o wide");
        println!("  kubectl -n {namespace} exec {PAIR}-0 -- tellmail status");
        if tool.is_some() {
            println!("  curl -sSk --user {user}:{password} 'imaps://{ip}/INBOX;MAILINDEX=1'");
        }
        println!("\n`make demo-down` removes all of it.");
        Ok(())
    }
}
