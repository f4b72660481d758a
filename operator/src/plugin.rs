//! `kubectl mailmirror`: this program under the name `kubectl-mailmirror`. It writes orders into the object as a person
//! with `kubectl annotate` would, and waits for what the operator says of them.

use crate::act::bounded;
use crate::api::{FIELD_MANAGER, MailMirrorPair, MailMirrorPairStatus, SWAP_ANNOTATION};
use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use kube::api::{Patch, PatchParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often the object is looked at while an order is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Looks after pairs of mail servers.
#[derive(Debug, Parser)]
#[command(name = "kubectl mailmirror", version)]
pub struct Arguments {
    /// Namespace of the pair. Default: that of the context.
    #[arg(short, long, global = true)]
    namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    context: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows both nodes and what is not as it should be.
    Status {
        /// The pair.
        pair: String,
    },
    /// Swaps the roles without losing a message, and waits for the end.
    Swap {
        /// The pair.
        pair: String,
        /// How long is waited, in seconds. The operator gives up by itself after `spec.swap.timeout`.
        #[arg(long, default_value_t = 60)]
        wait: u64,
    },
}

/// Runs the command and returns what is printed.
///
/// # Errors
/// What failed, and what to do.
pub async fn run(arguments: Arguments) -> anyhow::Result<String> {
    let options = KubeConfigOptions { context: arguments.context, ..KubeConfigOptions::default() };
    let config = Config::from_kubeconfig(&options).await.context("failed to read the kubeconfig")?;
    let namespace = arguments.namespace.unwrap_or_else(|| config.default_namespace.clone());
    let api = Api::namespaced(Client::try_from(config)?, &namespace);
    match arguments.command {
        Command::Status { pair } => Ok(describe(&get(&api, &pair).await?)),
        Command::Swap { pair, wait } => swap(&api, &pair, Duration::from_secs(wait)).await,
    }
}

/// Orders a swap and waits for its end.
///
/// # Errors
/// When it was not done in time, or given up.
pub async fn swap(api: &Api<MailMirrorPair>, name: &str, wait: Duration) -> anyhow::Result<String> {
    // The value only has to be another one than before.
    let order = format!("{:016x}", rand::random::<u64>());
    let patch = json!({ "metadata": { "annotations": { SWAP_ANNOTATION: order } } });
    let params = PatchParams { field_manager: Some(format!("{FIELD_MANAGER}-kubectl")), ..PatchParams::default() };
    bounded("order the swap", api.patch(name, &params, &Patch::Merge(&patch))).await?;
    let deadline = Instant::now() + wait;
    loop {
        let pair = get(api, name).await?;
        let swap = pair.status.as_ref().and_then(|status| status.last_swap.as_ref());
        if let Some(swap) = swap.filter(|swap| swap.annotation.as_ref() == Some(&order) && swap.result != "UnderWay") {
            if swap.result != "Done" {
                bail!("the swap was given up ({}): the old master goes on", swap.result);
            }
            let took = swap.took_milliseconds.unwrap_or_default();
            return Ok(format!("{} is master after {took} ms\n", swap.to));
        }
        if Instant::now() >= deadline {
            let why = condition(&pair, "Progressing").unwrap_or_default();
            bail!("failed to see the end of the swap in {wait:?}: {why}");
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn get(api: &Api<MailMirrorPair>, name: &str) -> anyhow::Result<MailMirrorPair> {
    Ok(bounded(format!("read the pair {name}"), api.get(name)).await?)
}

fn condition(pair: &MailMirrorPair, kind: &str) -> Option<String> {
    let found = pair.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)?;
    Some(format!("{}: {}", found.reason, found.message))
}

/// Both nodes in a line each, and what is not as it should be.
pub fn describe(pair: &MailMirrorPair) -> String {
    let mut text = String::new();
    let Some(status) = &pair.status else { return "the operator has not looked at it yet\n".to_owned() };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:<20} {:<12} {:<8} {:<6} {:<13} MESSAGES", "POD", "STATE", "ROLE", "EPOCH", "LINK");
    for node in &status.nodes {
        let or = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".to_owned());
        let number = |value: Option<i64>| value.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let (epoch, messages) = (number(node.epoch), number(node.messages));
        let (role, link) = (or(&node.role), or(&node.link));
        let _ = writeln!(text, "{:<20} {:<12} {role:<8} {epoch:<6} {link:<13} {messages}", node.pod, node.state);
        for line in [&node.mirror_out, &node.mirror_in, &node.progress, &node.unknown].into_iter().flatten() {
            let _ = writeln!(text, "    {line}");
        }
        for problem in &node.problems {
            let _ = writeln!(text, "    {problem}");
        }
    }
    for (kind, well) in WELL {
        not_well(status, kind, well, &mut text);
    }
    text
}

/// What the conditions say when there is nothing to do.
const WELL: [(&str, &str); 7] = [
    ("Ready", "True"),
    ("Mirrored", "True"),
    ("Progressing", "False"),
    ("Degraded", "False"),
    ("FailoverBlocked", "False"),
    ("MasterNotPreferred", "False"),
    ("Stalled", "False"),
];

fn not_well(status: &MailMirrorPairStatus, kind: &str, well: &str, text: &mut String) {
    for condition in status.conditions.iter().filter(|it| it.type_ == kind && it.status != well) {
        let _ = writeln!(text, "{kind} is {}: {}: {}", condition.status, condition.reason, condition.message);
    }
}
