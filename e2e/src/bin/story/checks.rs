//! What the story does not tell: wrong objects are refused or explained with words that help, and an upgrade that
//! changes nothing changes nothing.

use crate::kube::{self, Kube, eventually};
use crate::times::Times;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_mins(1);

/// All of them.
///
/// # Errors
/// The first that fails.
pub async fn run(kube: &Kube, times: &mut Times, helm: &[String]) -> Result<()> {
    let begun = Instant::now();
    refused(kube).await?;
    times.done("wrong pairs are refused, with words that help", begun.elapsed(), LIMIT)?;
    let begun = Instant::now();
    missing_secret(kube).await?;
    times.done("a missing Secret is explained, and enough when it comes", begun.elapsed(), LIMIT * 2)?;
    let begun = Instant::now();
    upgrade_changes_nothing(kube, helm).await?;
    times.done("a second helm upgrade changes no object of the pair", begun.elapsed(), LIMIT * 2)
}

fn pair(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "mailmirror.dev/v1alpha1",
        "kind": "MailMirrorPair",
        "metadata": { "name": name },
        "spec": spec,
    })
    .to_string()
}

async fn refused(kube: &Kube) -> Result<()> {
    let storage = json!({ "size": "1Gi" });
    let wrong = [
        (json!({ "domains": ["a.example"], "storage": storage, "replicas": 3 }), "unknown field \"spec.replicas\""),
        (json!({ "domains": ["a.example"], "storage": storage, "master": [0, 1] }), "spec.master"),
        (json!({ "domains": ["a.example"], "storage": { "size": "1Mi" } }), "storage.size must be at least 64Mi"),
        (json!({ "domains": ["a.example"], "storage": { "size": "much" } }), "spec.storage.size"),
        (json!({ "storage": storage }), "spec.domains"),
    ];
    for (spec, words) in wrong {
        let arguments = ["apply", "--dry-run=server", "--validate=strict", "--filename", "-"];
        match kube.kubectl_with(&arguments, Some(&pair("wrong", &spec)), LIMIT).await {
            Ok(_) => bail!("accepted, though wrong: {spec}"),
            Err(error) => {
                ensure!(format!("{error:#}").contains(words), "{spec} was refused without {words:?}: {error:#}");
            }
        }
    }
    Ok(())
}

async fn missing_secret(kube: &Kube) -> Result<()> {
    let spec = json!({ "domains": ["a.example"], "storage": { "size": "64Mi" }, "secret": { "name": "shared" } });
    kube.kubectl_with(&["apply", "--filename", "-"], Some(&pair("waiting", &spec)), LIMIT).await?;
    eventually("the missing Secret explained", LIMIT, || async {
        let (status, reason, message) = stalled(kube).await?;
        ensure!(
            status == "True" && reason == "SecretMissing" && message.contains("shared"),
            "{status} {reason} {message}"
        );
        Ok(())
    })
    .await?;
    kube.kubectl(&["create", "secret", "generic", "shared", "--from-literal=secret=0123456789abcdef0123456789abcdef"])
        .await?;
    eventually("the pair go on", LIMIT, || async {
        let (status, reason, message) = stalled(kube).await?;
        ensure!(status == "False", "{status} {reason} {message}");
        Ok(())
    })
    .await?;
    kube.kubectl_with(&["delete", "mmp", "waiting", "--timeout=50s"], None, LIMIT).await.map(drop)
}

/// Status, reason and message of the condition `Stalled`.
async fn stalled(kube: &Kube) -> Result<(String, String, String)> {
    let object = kube.get(&["mmp", "waiting"]).await?;
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).context("no conditions")?;
    let found = conditions.iter().find(|condition| condition["type"] == "Stalled").context("no Stalled")?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("reason"), text("message")))
}

async fn upgrade_changes_nothing(kube: &Kube, helm: &[String]) -> Result<()> {
    let before = versions(kube).await?;
    ensure!(before.len() >= 8, "a pair has more objects than {before:?}");
    let words: Vec<&str> = helm.iter().map(String::as_str).collect();
    kube::run("helm", &words, None, LIMIT * 2).await?;
    let after = versions(kube).await?;
    let changed: Vec<_> = before.symmetric_difference(&after).collect();
    ensure!(changed.is_empty(), "an upgrade without changes changed {changed:?}");
    Ok(())
}

/// What a pair is made of, with what changes when somebody writes it. A `StatefulSet` and a pod write down in their
/// status what happens to them: of these it is what was asked for, and which pod it is.
async fn versions(kube: &Kube) -> Result<BTreeSet<String>> {
    let kinds = "statefulsets,pods,services,configmaps,secrets,persistentvolumeclaims,poddisruptionbudgets,networkpolicies,serviceaccounts";
    let selector = ["--selector", "mailmirror.dev/pair=office"];
    let list = kube.get(&[&[kinds], &selector[..]].concat()).await?;
    let items = list["items"].as_array().context("no list")?;
    Ok(items
        .iter()
        .map(|item| {
            let metadata = &item["metadata"];
            let moves = ["StatefulSet", "Pod", "PodDisruptionBudget"].iter().any(|kind| item["kind"] == *kind);
            let version = if moves { &metadata["generation"] } else { &metadata["resourceVersion"] };
            format!("{}/{} {} {version}", item["kind"], metadata["name"], metadata["uid"])
        })
        .collect())
}
