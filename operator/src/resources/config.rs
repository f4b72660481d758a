//! The ini file of the pair: the same for both nodes, which find themselves by the number of their pod.

use super::{Child, ChildKind, child};
use crate::pair::ValidatedPair;
use mailmirror_model::ids::NodeId;
use serde_json::json;
use std::fmt::Write;

/// Where the secret is mounted.
pub(super) const SECRET_DIRECTORY: &str = "/run/secrets/mailmirror/mirror";
/// Where the certificate is mounted.
pub(super) const TLS_DIRECTORY: &str = "/run/secrets/mailmirror/tls";
/// The name of the file.
pub(super) const INI: &str = "mailmirror.ini";

pub(super) fn config_map(pair: &ValidatedPair) -> Child {
    child(ChildKind::ConfigMap, pair, pair.name.clone(), json!({ "data": { INI: ini(pair) } }))
}

/// A hash of the settings, for the pods that must be started anew when they change.
pub fn config_hash(pair: &ValidatedPair) -> String {
    format!("{:016x}", fnv1a(ini(pair).as_bytes()))
}

fn ini(pair: &ValidatedPair) -> String {
    let mut lines = vec![
        ("g_mirror_managed", "TRUE".to_owned()),
        ("g_mirror_node", "auto".to_owned()),
        ("g_mirror_host", host(pair, NodeId::Zero)),
        ("g_mirror_host", host(pair, NodeId::One)),
        ("g_mirror_secret_file", SECRET_DIRECTORY.to_owned()),
        ("g_server_name", server_name(pair)),
    ];
    if pair.spec.tls.is_some() {
        lines.push(("g_ssl_cert", format!("{TLS_DIRECTORY}/tls.crt")));
        lines.push(("g_ssl_key", format!("{TLS_DIRECTORY}/tls.key")));
    }
    // A setting that a person gives replaces ours of the same name; those that may not be given are refused by rule.
    lines.retain(|(name, _)| !pair.spec.settings.contains_key(*name));
    lines.extend(pair.spec.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let mut text = String::from("# Rendered from the MailMirrorPair: edit that, not this.\n");
    for (name, value) in lines {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} \"{value}\"");
    }
    for domain in &pair.spec.domains {
        let _ = writeln!(text, "vdomain name=\"{domain}\"");
    }
    text
}

fn host(pair: &ValidatedPair, node: NodeId) -> String {
    format!("{}.{}-peers.{}.svc", pair.pod(node), pair.name, pair.namespace)
}

fn server_name(pair: &ValidatedPair) -> String {
    pair.spec.hostname.clone().unwrap_or_else(|| format!("{}.{}.svc", pair.name, pair.namespace))
}

/// FNV-1a, 64 bits: stable over versions of the compiler, which `DefaultHasher` is not.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
