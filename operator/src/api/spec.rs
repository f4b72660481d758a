//! The `MailMirrorPair` object: what a person asks for.
//!
//! Variants of enums carry no doc comments: with them the schema of an optional field loses its own description. The
//! field says what each of them means.
#![allow(missing_docs)]

use super::schema;
use super::status::MailMirrorPairStatus;
use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A mirrored pair of mail servers.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "mailmirror.dev",
    version = "v1alpha1",
    kind = "MailMirrorPair",
    plural = "mailmirrorpairs",
    singular = "mailmirrorpair",
    namespaced,
    status = "MailMirrorPairStatus",
    derive = "PartialEq",
    shortname = "mmp",
    category = "mail",
    doc = "A mirrored pair of mail servers that fails over, swaps and resynchronises by itself.",
    annotation("helm.sh/resource-policy", "keep"),
    label("app.kubernetes.io/name", "mailmirror"),
    selectable = ".spec.acknowledgement",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether mail is served and the objects of the pair are written"
    ),
    printcolumn(
        name = "Master",
        type_ = "string",
        json_path = ".status.master",
        description = "The pod that puts changes in order"
    ),
    printcolumn(
        name = "Slave",
        type_ = "string",
        json_path = ".status.slave",
        description = "The pod that mirrors it"
    ),
    printcolumn(
        name = "Mirrored",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Mirrored')].status",
        description = "Whether both nodes have everything that was acknowledged"
    ),
    printcolumn(
        name = "Lag",
        type_ = "integer",
        json_path = ".status.lag",
        description = "Changes that the slave has not confirmed yet"
    ),
    printcolumn(name = "Epoch", type_ = "integer", json_path = ".status.epoch", priority = 1),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name becomes the name of Services: use at most 40 characters a-z, 0-9 and '-', beginning with a letter"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.failover) || !has(self.failover.maxLagEntries) || self.failover.maxLagEntries == 0 || (has(self.acknowledgement) && self.acknowledgement == 'Local')")
        .message("failover.maxLagEntries accepts the loss of acknowledged mail and has a meaning under acknowledgement: Local only; remove it, or set acknowledgement: Local")
        .field_path(".failover.maxLagEntries"),
    validation = Rule::new("has(self.secret) == has(oldSelf.secret) && (!has(self.secret) || self.secret == oldSelf.secret)")
        .message("secret cannot point to another Secret afterwards; to rotate it write the new value into the same Secret (key secret-next first, see the documentation)")
        .field_path(".secret")
)]
pub struct MailMirrorPairSpec {
    /// Image with `mailserver`. Without it: the image the operator was told to use when the pair was made; it then
    /// stays until this field is set, so that a newer operator restarts nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// When the image is pulled. Default: `IfNotPresent`.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub image_pull_secrets: Vec<LocalReference>,
    /// Which node shall be master: 0, 1 or `Any`. An order that is carried out once each time it is changed, by a
    /// swap that loses nothing; after a failover nothing swaps back by itself. Default: `Any`.
    #[serde(default)]
    #[schemars(schema_with = "schema::master_order")]
    pub master: MasterOrder,
    /// When a message counts as accepted: `Local` flushed on the master, `Peer` flushed on both nodes while the slave
    /// is in sync, `Both` always on both, or not at all. Default: `Peer`.
    #[serde(default)]
    pub acknowledgement: Acknowledgement,
    /// What happens when the master is lost.
    #[serde(default)]
    pub failover: Failover,
    /// How roles are swapped.
    #[serde(default)]
    pub swap: SwapSettings,
    /// The volume of each node.
    pub storage: Storage,
    /// Mail domains that the pair hosts, at least one.
    #[schemars(schema_with = "schema::domains")]
    pub domains: Vec<String>,
    /// Name by which the servers greet, and under which clients find them. Default: the name of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub hostname: Option<String>,
    /// Where `g_mirror_secret` is. Without it one is generated into the Secret `NAME-mirror`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretReference>,
    /// The certificate that clients see. Without it the servers make one of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Settings of the server by `SurgeMail`'s names (`g_…`). They are managed: a server refuses to change them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::settings")]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^g_[a-z0-9_]{1,60}$'))")
            .message("names of settings are g_ followed by a-z, 0-9 and _"),
        validation = Rule::new("self.all(k, !k.endsWith('_listen') && !(k in ['g_mirror_managed','g_mirror_node','g_mirror_mode','g_mirror_host','g_mirror_secret','g_mirror_secret_file','g_mirror_ack','g_mirror_alone','g_mirror_nossl']))")
            .message("the operator sets this one itself: use spec.acknowledgement, spec.master, spec.secret and spec.service instead of g_mirror_ack, g_mirror_mode, g_mirror_secret and g_…_listen")
    )]
    pub settings: BTreeMap<String, String>,
    /// The Services that clients and other mail servers connect to.
    #[serde(default)]
    pub service: ServiceSettings,
    /// CPU and memory of each mail server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// Labels of the nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Whether the two pods must (`Required`) or should (`Preferred`) run on two nodes. Default: `Preferred`.
    #[serde(default)]
    pub anti_affinity: AntiAffinity,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Under which user and group the pods run.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// `Paused`: the operator observes and reports, and changes nothing but the status. Default: `Active`.
    #[serde(default)]
    pub reconciliation: Reconciliation,
    /// What becomes of the volumes when the pair is deleted. Default: `Retain`.
    #[serde(default)]
    pub persistent_volume_claim_retention: VolumeRetention,
}

/// When the image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    Always,
    #[default]
    IfNotPresent,
    Never,
}

/// A name in the namespace of the pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalReference {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which node shall be master.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "serde_json::Value", try_from = "serde_json::Value")]
pub enum MasterOrder {
    /// Whichever it is.
    #[default]
    Any,
    /// This one.
    Node(mailmirror_model::ids::NodeId),
}

impl From<MasterOrder> for serde_json::Value {
    fn from(order: MasterOrder) -> Self {
        match order {
            MasterOrder::Any => "Any".into(),
            MasterOrder::Node(node) => u8::from(node).into(),
        }
    }
}

/// `spec.master` is neither 0 nor 1 nor `Any`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no order for a master: give 0, 1 or Any")]
pub struct NoMasterOrder(String);

impl TryFrom<serde_json::Value> for MasterOrder {
    type Error = NoMasterOrder;
    fn try_from(value: serde_json::Value) -> Result<Self, NoMasterOrder> {
        match (value.as_u64(), value.as_str()) {
            (Some(0), _) => Ok(Self::Node(mailmirror_model::ids::NodeId::Zero)),
            (Some(1), _) => Ok(Self::Node(mailmirror_model::ids::NodeId::One)),
            (_, Some("Any")) => Ok(Self::Any),
            _ => Err(NoMasterOrder(value.to_string())),
        }
    }
}

impl std::fmt::Display for MasterOrder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Node(node) => write!(f, "{node}"),
        }
    }
}

/// When a change counts as accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Acknowledgement {
    Local,
    #[default]
    Peer,
    Both,
}

/// Whether the operator promotes the slave by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailoverMode {
    #[default]
    Automatic,
    Manual,
}

/// What happens when the master is lost.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.delay) || (duration(self.delay) >= duration('0s') && duration(self.delay) <= duration('1h'))")
        .message("failover.delay must be between 0s and 1h").field_path(".delay"),
    validation = Rule::new("!has(self.minimumInterval) || (duration(self.minimumInterval) >= duration('0s') && duration(self.minimumInterval) <= duration('24h'))")
        .message("failover.minimumInterval must be between 0s and 24h").field_path(".minimumInterval")
)]
pub struct Failover {
    /// `Automatic`: a slave that has everything is promoted when the master is lost. `Manual`: only by an order.
    #[serde(default)]
    pub mode: FailoverMode,
    /// How long the master may be silent before it counts as lost. Default: `1s`.
    #[serde(default = "Failover::default_delay")]
    #[schemars(schema_with = "schema::duration")]
    pub delay: String,
    /// The least time between two automatic failovers. Default: `10s`.
    #[serde(default = "Failover::default_minimum_interval")]
    #[schemars(schema_with = "schema::duration")]
    pub minimum_interval: String,
    /// Under `Local`: how many changes that the slave lacks may be lost by an automatic failover. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_lag_entries: i64,
}

impl Failover {
    fn default_delay() -> String {
        "1s".into()
    }

    fn default_minimum_interval() -> String {
        "10s".into()
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            mode: FailoverMode::default(),
            delay: Self::default_delay(),
            minimum_interval: Self::default_minimum_interval(),
            max_lag_entries: 0,
        }
    }
}

/// How roles are swapped.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.timeout) || (duration(self.timeout) >= duration('1s') && duration(self.timeout) <= duration('1h'))")
        .message("swap.timeout must be between 1s and 1h").field_path(".timeout")
)]
pub struct SwapSettings {
    /// After this time a swap that did not come to its end is given up and the old master goes on. Default: `30s`.
    #[serde(default = "SwapSettings::default_timeout")]
    #[schemars(schema_with = "schema::duration")]
    pub timeout: String,
}

impl SwapSettings {
    fn default_timeout() -> String {
        "30s".into()
    }
}

impl Default for SwapSettings {
    fn default() -> Self {
        Self { timeout: Self::default_timeout() }
    }
}

/// The volume of each node.
#[derive(Clone, Debug, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity('64Mi')) >= 0")
        .message("storage.size must be at least 64Mi").field_path(".size"),
    validation = Rule::new("quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0")
        .message("storage.size can only grow: volumes cannot be made smaller").field_path(".size"),
    validation = Rule::new("has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)")
        .message("storage.storageClassName cannot be changed: make a new pair and let it mirror, or delete one volume at a time").field_path(".storageClassName")
)]
pub struct Storage {
    /// Size of each volume, for example `10Gi`. It can grow where the storage class allows that.
    #[schemars(schema_with = "schema::quantity")]
    pub size: String,
    /// Storage class. Without it: the default of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
}

/// Where a secret is: in the namespace of the pair.
#[derive(Clone, Debug, PartialEq, Eq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its key: 16 to 1024 bytes of text. During a rotation `KEY-next` and `KEY-previous` count as well.
    /// Default: `secret`.
    #[serde(default = "SecretReference::default_key")]
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

impl SecretReference {
    /// The key that is used where none is named.
    pub fn default_key() -> String {
        "secret".into()
    }
}

/// The certificate that clients see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Secret of the type `kubernetes.io/tls`.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// How the Services are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    #[default]
    ClusterIP,
    NodePort,
    LoadBalancer,
}

/// Where traffic from outside may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalTrafficPolicy {
    Cluster,
    Local,
}

/// The Services `NAME` (the master, for clients) and `NAME-mx2` (the slave, as backup MX).
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.loadBalancerClass) || (has(self.type) && self.type == 'LoadBalancer')")
        .message("service.loadBalancerClass needs service.type: LoadBalancer").field_path(".loadBalancerClass"),
    validation = Rule::new("!has(self.externalTrafficPolicy) || (has(self.type) && self.type != 'ClusterIP')")
        .message("service.externalTrafficPolicy needs service.type: LoadBalancer or NodePort").field_path(".externalTrafficPolicy")
)]
pub struct ServiceSettings {
    /// Type of both Services. Default: `ClusterIP`.
    #[serde(default, rename = "type")]
    pub service_type: ServiceType,
    /// Annotations of both Services, for load balancers and external DNS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
    /// Class of the load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub load_balancer_class: Option<String>,
    /// `Local` keeps the address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// Whether the two pods must run on two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AntiAffinity {
    #[default]
    Preferred,
    Required,
}

/// Who chooses user and group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Identity {
    #[default]
    Fixed,
    Platform,
}

/// Under which user and group the pods run.
#[derive(Clone, Debug, Default, PartialEq, KubeSchema, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.identity) || self.identity == 'Fixed' || (!has(self.runAsUser) && !has(self.fsGroup))")
        .message("podSecurity.runAsUser and fsGroup are chosen by the platform under identity: Platform; remove them, or set identity: Fixed")
        .field_path(".identity")
)]
pub struct PodSecurity {
    /// `Fixed`: the ids below. `Platform`: the cluster gives them, as `OpenShift` does. Default: `Fixed`.
    #[serde(default)]
    pub identity: Identity,
    /// User id. Default: 65532.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: Option<i64>,
    /// Group that owns the volume. Default: 65532.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub fs_group: Option<i64>,
}

/// Whether the operator acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reconciliation {
    #[default]
    Active,
    Paused,
}

/// What becomes of the volumes when the pair is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum VolumeRetention {
    #[default]
    Retain,
    Delete,
}
