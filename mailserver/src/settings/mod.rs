//! The settings of a node: `SurgeMail`'s ini syntax, read into types once, checked as a whole.
//!
//! [`ini`] knows the syntax, [`read`] the names; [`live`], [`secret`] and [`certificate`] follow what changes while the
//! server runs.

pub mod certificate;
pub mod ini;
pub mod live;
pub mod read;
pub mod secret;
pub mod units;

use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::Role;
use mailmirror_model::ids::NodeId;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of this server in greetings and trace headers (`g_server_name`; the host's name by default).
    pub server_name: String,
    /// What is mirrored, and how.
    pub mirror: MirrorSettings,
    /// Hosted domains, lower case, at least one (`vdomain name="…"` sections, `g_domain`).
    pub domains: Vec<String>,
    /// Where clients are served. An empty list: not at all.
    pub listen: Listen,
    /// Bounds of client sessions.
    pub limits: Limits,
    /// The certificate for clients; `None`: one is made at each start.
    pub tls: Option<TlsFiles>,
    /// Where the admin API is served (`g_admin_listen`).
    pub admin_listen: SocketAddr,
    /// Where health and metrics are served (`g_health_listen`); `None`: nowhere.
    pub health_listen: Option<SocketAddr>,
    /// The quota of accounts that are created without one (`g_quota_default`); `None`: no limit.
    pub quota_default_bytes: Option<u64>,
    /// How long sessions may go on after the server was told to stop (`g_shutdown_grace`).
    pub shutdown_grace: Duration,
}

/// `g_mirror_…` and `g_node_…`.
#[allow(clippy::struct_excessive_bools)] // each is a setting of its own with two values
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorSettings {
    /// Which node this is (`g_mirror_node`: `0`, `1` or `auto`, the number at the end of the host's name).
    pub node: NodeId,
    /// The first role on a plain host (`g_mirror_mode`).
    pub mode: Option<Role>,
    /// The peer, `host:port` (`g_mirror_host`); `None`: a single node.
    pub peer: Option<String>,
    /// The admin API of the peer, `host:port` (`g_mirror_peer_admin`; by default the port of this node's on the host of
    /// `g_mirror_host`).
    pub peer_admin: Option<String>,
    /// Where the link is served (`g_mirror_listen`).
    pub listen: SocketAddr,
    /// Whether the link is without TLS (`g_mirror_nossl`).
    pub nossl: bool,
    /// Where the secret is.
    pub secret: SecretSource,
    /// How long changes and reads are held before they are refused (`g_mirror_hold`, rule N6).
    pub hold: Duration,
    /// How long a slave's acknowledgement keeps the master in office (`g_mirror_lease`, rule A6).
    pub lease: Duration,
    /// Whether a cut-off node shows what it has (`g_mirror_stale`, rule N5).
    pub stale: bool,
    /// Whether an operator is the authority (`g_mirror_managed`, rule A7).
    pub managed: bool,
    /// Whether a master on a plain host grants itself (`g_mirror_alone`, rule A9).
    pub alone: bool,
    /// The acknowledgement policy on a plain host (`g_mirror_ack`).
    pub ack: AckPolicy,
    /// The most bytes of the whole log (`g_log_max`); `None`: as many as the disk has.
    pub log_max_bytes: Option<u64>,
}

/// Where `g_mirror_secret` comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The ini itself.
    Inline(String),
    /// A file, or a directory with the keys `secret` and, during a rotation, `secret-previous` or `secret-next`.
    Path(PathBuf),
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("Inline(…)"),
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
        }
    }
}

/// Where clients are served. STARTTLS is offered on the first kind, TLS from the first byte on those with an `s`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Mail from other servers (`g_smtp_listen`).
    pub smtp: Vec<SocketAddr>,
    /// Mail from users (`g_submission_listen`, RFC 6409).
    pub submission: Vec<SocketAddr>,
    /// The same with TLS from the start (`g_smtps_listen`, RFC 8314).
    pub smtps: Vec<SocketAddr>,
    /// LMTP (`g_lmtp_listen`, RFC 2033).
    pub lmtp: Vec<SocketAddr>,
    /// IMAP (`g_imap_listen`).
    pub imap: Vec<SocketAddr>,
    /// IMAP with TLS from the start (`g_imaps_listen`).
    pub imaps: Vec<SocketAddr>,
    /// POP3 (`g_pop_listen`).
    pub pop: Vec<SocketAddr>,
    /// POP3 with TLS from the start (`g_pops_listen`).
    pub pops: Vec<SocketAddr>,
}

/// Bounds of client sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message, in bytes (`g_message_max`).
    pub message_max_bytes: u64,
    /// The most recipients of one message (`g_rcpt_max`).
    pub recipients_max: usize,
    /// The most sessions of each protocol at once (`g_con_max`).
    pub connections_max: usize,
    /// The most of them from one address (`g_con_perip`): not few, as a Service may show many clients as one.
    pub connections_per_ip_max: usize,
    /// The most IMAP sessions of one account at once (`g_con_peruser`).
    pub sessions_per_account_max: usize,
    /// An SMTP session is ended after this silence (`g_smtp_timeout`).
    pub smtp_idle_timeout: Duration,
    /// An IMAP session is ended after this silence, at least 30 minutes by RFC 9051 section 5.4 (`g_imap_timeout`).
    pub imap_idle_timeout: Duration,
    /// A POP3 session is ended after this silence, at least 10 minutes by RFC 1939 (`g_pop_timeout`).
    pub pop_idle_timeout: Duration,
    /// A session without a login is ended after this time (`g_login_timeout`).
    pub login_timeout: Duration,
    /// Whether passwords are taken without TLS (`g_plaintext_login`).
    pub plaintext_login: bool,
    /// The most password hashes computed at once (`g_login_parallel`).
    pub logins_parallel_max: usize,
}

/// The certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// `g_ssl_cert`
    pub cert: PathBuf,
    /// `g_ssl_key`
    pub key: PathBuf,
}
