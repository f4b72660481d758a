//! The status of a pair: everything here can be lost and is rebuilt from the Lease and the pods.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator found and did.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MailMirrorPairStatus {
    /// The generation of the object that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, `MasterAvailable`, Mirrored, Progressing, Degraded, `FailoverBlocked`, `MasterNotPreferred`, Stalled.
    #[serde(default)]
    #[schemars(schema_with = "super::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The pod that is master by the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The other one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slave: Option<String>,
    /// The pod that is about to become master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_master: Option<String>,
    /// The epoch: grows with each promotion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The pods that have everything acknowledged, by the record.
    #[serde(default)]
    pub in_sync: Vec<String>,
    /// Changes that the slave has not confirmed yet, as far as the master knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// When the latest failover was, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failover: Option<String>,
    /// The latest swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_swap: Option<SwapReport>,
    /// The latest order by annotation that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_command: Option<CommandReport>,
    /// Both nodes, in order.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["node".into()]))]
    pub nodes: Vec<NodeReport>,
    /// DNS records to publish, one a line as in a zone file.
    #[serde(default)]
    pub dns_records: Vec<String>,
    /// Label selector of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

/// How a swap went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SwapReport {
    /// Counted through all swaps of the record.
    pub number: i64,
    /// The pod that was to become master.
    pub to: String,
    /// The value of the annotation that ordered it; nothing where something else did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
    /// When it began, RFC 3339.
    pub began: String,
    /// Milliseconds from the order written down to the promotion written down; nothing while it is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_milliseconds: Option<i64>,
    /// `UnderWay`, `Done`, `TimedOut`, `Cancelled`.
    pub result: String,
}

/// An annotation that was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandReport {
    /// Name of the annotation.
    pub annotation: String,
    /// Its value at that time.
    pub value: String,
    /// What came of it.
    pub result: String,
}

/// A node of the pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReport {
    /// 0 or 1.
    pub node: i32,
    /// Its pod.
    pub pod: String,
    /// `Absent`, `Starting`, `Running`, `Stuck`, `Terminating`, `NodeLost`.
    pub state: String,
    /// What it says that it is: `Master`, `Slave`, `None`; nothing while it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// The epoch that it obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// Identity of its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Identity of the run of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Whether it shows mail to clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// Whether it answers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<bool>,
    /// `Connected`, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Since when the link is as it is, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_since: Option<String>,
    /// Version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accounts: Option<i64>,
    /// Messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<i64>,
    /// The line `Mirror out` of `tellmail status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_out: Option<String>,
    /// The line `Mirror  in`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror_in: Option<String>,
    /// A resync or rebase that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What a person should know.
    #[serde(default)]
    pub problems: Vec<String>,
}
