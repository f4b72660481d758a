//! The names of the settings, their defaults and their checks.

use super::ini::{self, Entry, Ini, LineError, Value};
use super::{Limits, Listen, MirrorSettings, SecretSource, Settings, TlsFiles, units};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::Role;
use mailmirror_model::ids::NodeId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The port of the mirror link where `g_mirror_host` names none.
pub const MIRROR_PORT: u16 = 7025;

/// Settings, and what was odd about them.
#[derive(Clone, Debug)]
pub struct Read {
    /// The settings.
    pub settings: Settings,
    /// Lines that have no effect, each with its line number.
    pub warnings: Vec<LineError>,
}

/// Reads the text of an ini file on a host of this name (the name of the pod).
///
/// # Errors
/// The first line that is wrong, or line 0 where something is missing.
pub fn from_text(text: &str, host_name: &str) -> Result<Read, LineError> {
    let ini = ini::parse(text)?;
    let lines = Lines::new(&ini)?;
    let settings = settings(&lines, &ini, host_name)?;
    check(&settings)?;
    let mut warnings = lines.unknown();
    for section in &ini.domains {
        warnings.extend(section.entries.iter().map(|entry| LineError {
            line: entry.line,
            why: format!("{} has no effect in a vdomain section of this version", entry.name),
        }));
    }
    Ok(Read { settings, warnings })
}

fn settings(lines: &Lines<'_>, ini: &Ini, host_name: &str) -> Result<Settings, LineError> {
    let server_name = lines.one("g_server_name")?.map_or_else(|| host_name.to_owned(), |found| found.1.to_owned());
    let admin_listen = lines.parsed("g_admin_listen", SocketAddr::from(([0, 0, 0, 0], 7026)), socket)?;
    let mirror = mirror(lines, host_name, admin_listen.port())?;
    let quota = lines.parsed("g_quota_default", 0, units::size)?;
    let health = lines.listen("g_health_listen", "0.0.0.0:7027")?;
    Ok(Settings {
        domains: domains(lines, ini, &server_name)?,
        server_name,
        mirror,
        listen: Listen {
            smtp: lines.listen("g_smtp_listen", "0.0.0.0:2525")?,
            submission: lines.listen("g_submission_listen", "0.0.0.0:2587")?,
            smtps: lines.listen("g_smtps_listen", "0.0.0.0:2465")?,
            lmtp: lines.listen("g_lmtp_listen", "off")?,
            imap: lines.listen("g_imap_listen", "0.0.0.0:2143")?,
            imaps: lines.listen("g_imaps_listen", "0.0.0.0:2993")?,
            pop: lines.listen("g_pop_listen", "0.0.0.0:2110")?,
            pops: lines.listen("g_pops_listen", "0.0.0.0:2995")?,
        },
        limits: limits(lines)?,
        tls: tls(lines)?,
        admin_listen,
        health_listen: health.first().copied(),
        quota_default_bytes: (quota > 0).then_some(quota),
        shutdown_grace: lines.parsed("g_shutdown_grace", Duration::from_secs(20), units::duration)?,
    })
}

fn mirror(lines: &Lines<'_>, host_name: &str, admin_port: u16) -> Result<MirrorSettings, LineError> {
    let node = match lines.one("g_mirror_node")? {
        None => NodeId::Zero,
        Some((line, "auto")) => ordinal(host_name).ok_or_else(|| LineError {
            line,
            why: format!("the host's name {host_name:?} does not end in -0 or -1: write g_mirror_node \"0\" or \"1\""),
        })?,
        Some((line, text)) => {
            text.parse::<u8>().ok().and_then(|number| NodeId::try_from(number).ok()).ok_or_else(|| LineError {
                line,
                why: format!("g_mirror_node is {text:?}: write \"0\", \"1\" or \"auto\""),
            })?
        }
    };
    let mode = lines.parsed("g_mirror_mode", None, |text| match text.to_ascii_lowercase().as_str() {
        "master" => Ok(Some(Role::Master)),
        "slave" => Ok(Some(Role::Slave)),
        _ => Err("write \"master\" or \"slave\"".to_owned()),
    })?;
    let ack = lines.parsed("g_mirror_ack", AckPolicy::Local, |text| match text.to_ascii_lowercase().as_str() {
        "local" => Ok(AckPolicy::Local),
        "peer" => Ok(AckPolicy::Peer),
        "both" => Ok(AckPolicy::Both),
        _ => Err("write \"local\", \"peer\" or \"both\"".to_owned()),
    })?;
    let peer = peer(lines, node, host_name)?;
    let peer_admin = match (lines.one("g_mirror_peer_admin")?, &peer) {
        (Some((_, address)), _) => Some(address.to_owned()),
        (None, Some(peer)) => peer.rsplit_once(':').map(|(host, _)| format!("{host}:{admin_port}")),
        (None, None) => None,
    };
    Ok(MirrorSettings {
        node,
        mode,
        peer,
        peer_admin,
        listen: lines.parsed("g_mirror_listen", SocketAddr::from(([0, 0, 0, 0], MIRROR_PORT)), socket)?,
        nossl: lines.parsed("g_mirror_nossl", false, units::boolean)?,
        secret: secret(lines)?,
        hold: lines.parsed("g_mirror_hold", Duration::from_secs(10), units::duration)?,
        lease: lines.parsed("g_mirror_lease", Duration::from_secs(2), units::duration)?,
        stale: lines.parsed("g_mirror_stale", false, units::boolean)?,
        managed: lines.parsed("g_mirror_managed", false, units::boolean)?,
        alone: lines.parsed("g_mirror_alone", false, units::boolean)?,
        ack,
        log_max_bytes: lines.parsed("g_log_max", None, |text| units::size(text).map(Some))?,
    })
}

/// The peer; or one line for each node, of which the peer is the other one; or `auto`, the other pod of the set.
fn peer(lines: &Lines<'_>, node: NodeId, host_name: &str) -> Result<Option<String>, LineError> {
    let hosts = lines.list("g_mirror_host");
    let (line, host) = match hosts.as_slice() {
        [] => return Ok(None),
        [one] => *one,
        [zero, one] => match node {
            NodeId::Zero => *one,
            NodeId::One => *zero,
        },
        [.., (line, _)] => {
            return Err(LineError { line: *line, why: "g_mirror_host: a pair has two nodes".to_owned() });
        }
    };
    if host.is_empty() {
        return Err(LineError { line, why: "g_mirror_host is empty: write the host name of the peer".to_owned() });
    }
    if host == "auto" {
        let first = host_name.split('.').next().unwrap_or_default();
        let set = first.rsplit_once('-').map(|(set, _)| set).ok_or_else(|| LineError {
            line,
            why: format!("the host's name {host_name:?} is not that of a pod of a set: name the peer in g_mirror_host"),
        })?;
        return Ok(Some(format!("{set}-{}.{set}-peers:{MIRROR_PORT}", node.peer())));
    }
    let bare_v6 = host.matches(':').count() > 1 && !host.starts_with('[');
    let has_port = !bare_v6 && host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok(Some(match (has_port, bare_v6) {
        (true, _) => host.to_owned(),
        (false, true) => format!("[{host}]:{MIRROR_PORT}"),
        (false, false) => format!("{host}:{MIRROR_PORT}"),
    }))
}

fn secret(lines: &Lines<'_>) -> Result<SecretSource, LineError> {
    let hint = "write g_mirror_secret \"…\" (`openssl rand -hex 32`) or g_mirror_secret_file \"/path\"";
    match (lines.one("g_mirror_secret")?, lines.one("g_mirror_secret_file")?) {
        (Some((line, text)), None) => {
            mailmirror_control::auth::Secret::new(text).map_err(|error| LineError { line, why: error.to_string() })?;
            Ok(SecretSource::Inline(text.to_owned()))
        }
        (None, Some((_, path))) => Ok(SecretSource::Path(PathBuf::from(path))),
        (Some(_), Some((line, _))) => Err(LineError { line, why: format!("the secret is given twice: {hint}") }),
        (None, None) => Err(LineError { line: 0, why: format!("there is no secret: {hint}") }),
    }
}

fn limits(lines: &Lines<'_>) -> Result<Limits, LineError> {
    let seconds = Duration::from_secs;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Ok(Limits {
        message_max_bytes: lines.parsed("g_message_max", 50 << 20, units::size)?,
        recipients_max: lines.parsed("g_rcpt_max", 1000, count)?,
        connections_max: lines.parsed("g_con_max", 2000, count)?,
        connections_per_ip_max: lines.parsed("g_con_perip", 500, count)?,
        sessions_per_account_max: lines.parsed("g_con_peruser", 50, count)?,
        smtp_idle_timeout: lines.parsed("g_smtp_timeout", seconds(300), units::duration)?,
        imap_idle_timeout: lines.parsed("g_imap_timeout", seconds(1860), units::duration)?,
        pop_idle_timeout: lines.parsed("g_pop_timeout", seconds(600), units::duration)?,
        login_timeout: lines.parsed("g_login_timeout", seconds(60), units::duration)?,
        plaintext_login: lines.parsed("g_plaintext_login", false, units::boolean)?,
        logins_parallel_max: lines.parsed("g_login_parallel", cores, count)?,
    })
}

fn tls(lines: &Lines<'_>) -> Result<Option<TlsFiles>, LineError> {
    match (lines.one("g_ssl_cert")?, lines.one("g_ssl_key")?) {
        (None, None) => Ok(None),
        (Some((_, cert)), Some((_, key))) => Ok(Some(TlsFiles { cert: PathBuf::from(cert), key: PathBuf::from(key) })),
        (Some((line, _)), None) => Err(LineError { line, why: "g_ssl_cert needs g_ssl_key".to_owned() }),
        (None, Some((line, _))) => Err(LineError { line, why: "g_ssl_key needs g_ssl_cert".to_owned() }),
    }
}

/// `g_domain` lines, then `vdomain` sections; without any, the domain of the server's name.
fn domains(lines: &Lines<'_>, ini: &Ini, server_name: &str) -> Result<Vec<String>, LineError> {
    let mut found: Vec<(usize, &str)> = lines.list("g_domain");
    for section in &ini.domains {
        let name = section.fields.iter().find(|(key, _)| key == "name").map(|(_, value)| value.as_str());
        let missing = || LineError { line: section.line, why: "write vdomain name=\"example.com\"".to_owned() };
        found.push((section.line, name.ok_or_else(missing)?));
    }
    let mut domains: Vec<String> = Vec::new();
    for (line, text) in found {
        let domain = text.trim().trim_end_matches('.').to_lowercase();
        if !is_domain(&domain) {
            return Err(LineError { line, why: format!("{text:?} is no domain: write one such as example.com") });
        }
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    if domains.is_empty() {
        domains.push(server_name.to_lowercase());
    }
    Ok(domains)
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// What no single line can say.
fn check(settings: &Settings) -> Result<(), LineError> {
    let wrong = |why: &str| Err(LineError { line: 0, why: why.to_owned() });
    let mirror = &settings.mirror;
    if mirror.lease.is_zero() || mirror.hold.is_zero() {
        return wrong("g_mirror_lease and g_mirror_hold must be longer than nothing");
    }
    if mirror.lease > mirror.hold {
        return wrong(
            "g_mirror_lease must not be longer than g_mirror_hold: a change would be refused before a lease ends",
        );
    }
    if mirror.managed && mirror.alone {
        return wrong("g_mirror_alone is for plain hosts: with g_mirror_managed the operator gives grants");
    }
    if settings.limits.message_max_bytes > 120 << 20 {
        return wrong("g_message_max may be 120M: larger messages do not fit into one entry of the log");
    }
    Ok(())
}

/// The number at the end of a `StatefulSet` pod's name.
fn ordinal(host_name: &str) -> Option<NodeId> {
    let first = host_name.split('.').next().unwrap_or_default();
    let number = first.rsplit_once('-')?.1;
    number.parse::<u8>().ok().and_then(|number| NodeId::try_from(number).ok())
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| format!("{text:?} is no number above 0"))
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let any =
        || text.strip_prefix(':').and_then(|port| port.parse().ok()).map(|port| SocketAddr::from(([0, 0, 0, 0], port)));
    text.parse().ok().or_else(any).ok_or_else(|| format!("{text:?} is no address: write ip:port, such as 0.0.0.0:2525"))
}

/// The lines before the first `vdomain`, by name, and which of them somebody asked for.
struct Lines<'a> {
    by_name: BTreeMap<&'a str, Vec<(usize, &'a str)>>,
    known: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Lines<'a> {
    fn new(ini: &'a Ini) -> Result<Self, LineError> {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for Entry { line, name, value } in &ini.global {
            match value {
                Value::Plain(text) => by_name.entry(name.as_str()).or_default().push((*line, text.as_str())),
                Value::Fields(_) => {
                    return Err(LineError {
                        line: *line,
                        why: format!("{name} has one value: write {name} \"value\""),
                    });
                }
            }
        }
        Ok(Self { by_name, known: RefCell::default() })
    }

    fn list(&self, name: &'static str) -> Vec<(usize, &'a str)> {
        self.known.borrow_mut().insert(name);
        self.by_name.get(name).cloned().unwrap_or_default()
    }

    fn one(&self, name: &'static str) -> Result<Option<(usize, &'a str)>, LineError> {
        match self.list(name).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            [(first, _), .., (line, _)] => Err(LineError {
                line: *line,
                why: format!("{name} has one value and was given on line {first} already"),
            }),
        }
    }

    fn parsed<T>(
        &self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, LineError> {
        match self.one(name)? {
            None => Ok(default),
            Some((line, text)) => parse(text).map_err(|why| LineError { line, why: format!("{name}: {why}") }),
        }
    }

    /// Addresses, or `off`.
    fn listen(&self, name: &'static str, default: &str) -> Result<Vec<SocketAddr>, LineError> {
        let given = self.list(name);
        let texts = if given.is_empty() { vec![(0, default)] } else { given };
        let on = texts.iter().filter(|(_, text)| !text.is_empty() && !text.eq_ignore_ascii_case("off"));
        on.map(|(line, text)| socket(text).map_err(|why| LineError { line: *line, why: format!("{name}: {why}") }))
            .collect()
    }

    fn unknown(&self) -> Vec<LineError> {
        let known = self.known.borrow();
        let unknown = self.by_name.iter().filter(|(name, _)| !known.contains(*name));
        let mut warnings: Vec<_> = unknown
            .flat_map(|(name, lines)| lines.iter().map(move |(line, _)| (name, *line)))
            .map(|(name, line)| LineError {
                line,
                why: format!("{name} is not known to this version and has no effect"),
            })
            .collect();
        warnings.sort_by_key(|warning| warning.line);
        warnings
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &str = "g_mirror_secret \"0123456789abcdef\"\n";

    fn read(text: &str) -> Result<Read, LineError> {
        from_text(&format!("{SECRET}{text}"), "office-1.office-peers.mail")
    }

    #[test]
    fn an_ini_with_nothing_but_a_secret_has_the_documented_defaults() {
        let settings = read("").unwrap().settings;
        assert_eq!(settings.mirror.hold, Duration::from_secs(10));
        assert_eq!(settings.mirror.lease, Duration::from_secs(2));
        assert_eq!(settings.mirror.ack, AckPolicy::Local, "the default on a plain host (rule A9)");
        assert_eq!(settings.mirror.listen.port(), 7025);
        assert_eq!(settings.admin_listen.port(), 7026);
        assert_eq!(settings.health_listen.unwrap().port(), 7027);
        assert_eq!(settings.listen.smtp, ["0.0.0.0:2525".parse().unwrap()]);
        assert!(settings.listen.lmtp.is_empty());
        assert_eq!(settings.domains, ["office-1.office-peers.mail"]);
        assert_eq!((settings.mirror.node, settings.mirror.peer), (NodeId::Zero, None));
    }

    #[test]
    fn a_pod_knows_its_number_and_its_peer() {
        let both =
            "g_mirror_host \"office-0.office-peers.mail.svc\"\ng_mirror_host \"office-1.office-peers.mail.svc:7\"\n";
        let settings = read(&format!("g_mirror_node \"auto\"\n{both}")).unwrap().settings;
        assert_eq!(settings.mirror.node, NodeId::One);
        assert_eq!(settings.mirror.peer.as_deref(), Some("office-0.office-peers.mail.svc:7025"));
        let settings = read(&format!("g_mirror_node \"0\"\n{both}")).unwrap().settings;
        assert_eq!(settings.mirror.peer.as_deref(), Some("office-1.office-peers.mail.svc:7"));
        assert_eq!(settings.mirror.peer_admin.as_deref(), Some("office-1.office-peers.mail.svc:7026"));
        let auto = read("g_mirror_node \"auto\"\ng_mirror_host \"auto\"\n").unwrap().settings;
        assert_eq!(auto.mirror.peer.as_deref(), Some("office-0.office-peers:7025"));
        assert_eq!(read("g_mirror_host \"fd00::1\"").unwrap().settings.mirror.peer.as_deref(), Some("[fd00::1]:7025"));
        let error = from_text(&format!("{SECRET}g_mirror_node \"auto\"\n"), "laptop").unwrap_err();
        assert_eq!(error.line, 2);
    }

    #[test]
    fn domains_come_from_lines_and_sections_once_each() {
        let text = "g_domain \"A.example\"\nvdomain name=\"b.example\"\nvdomain name=\"a.example.\"\nx \"y\"\n";
        let read = read(text).unwrap();
        assert_eq!(read.settings.domains, ["a.example", "b.example"]);
        assert_eq!(read.warnings[0].line, 5);
    }

    #[test]
    fn an_unknown_name_warns_and_a_wrong_value_stops_with_its_line() {
        let warnings = read("g_later \"x\"\n").unwrap().warnings;
        assert_eq!((warnings.len(), warnings[0].line), (1, 2));
        for (text, line, why) in [
            ("g_mirror_hold \"soon\"", 2, "no duration"),
            ("g_smtp_listen \"2525\"", 2, "ip:port"),
            ("g_mirror_mode \"boss\"", 2, "master"),
            ("g_mirror_node \"2\"", 2, "\"auto\""),
            ("g_con_max \"0\"", 2, "above 0"),
            ("g_mirror_ack \"peer\"\ng_mirror_ack \"both\"", 3, "line 2"),
            ("g_domain \"not a domain\"", 2, "no domain"),
            ("vdomain x=\"y\"", 2, "vdomain name="),
            ("g_ssl_cert \"/x\"", 2, "g_ssl_key"),
            ("g_mirror_secret_file \"/x\"", 2, "twice"),
            ("g_mirror_lease \"11s\"", 0, "g_mirror_hold"),
            ("g_mirror_managed \"TRUE\"\ng_mirror_alone \"TRUE\"", 0, "plain hosts"),
            ("g_message_max \"1G\"", 0, "120M"),
            ("g_mirror_host k=\"v\"", 2, "one value"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.why.contains(why), "{text}: {error}");
        }
        assert!(from_text("", "x").unwrap_err().why.contains("openssl rand"));
        assert!(from_text("g_mirror_secret \"short\"", "x").unwrap_err().why.contains("16"));
    }

    #[test]
    fn a_listener_is_given_twice_or_off() {
        let settings =
            read("g_imap_listen \"off\"\ng_pop_listen \"127.0.0.1:1\"\ng_pop_listen \"[::1]:1\"\n").unwrap().settings;
        assert!(settings.listen.imap.is_empty());
        assert_eq!(settings.listen.pop.len(), 2);
        assert_eq!(read("g_smtp_listen \":25\"").unwrap().settings.listen.smtp, ["0.0.0.0:25".parse().unwrap()]);
    }

    #[test]
    fn every_setting_is_documented_and_nothing_else() {
        let ini = ini::parse(SECRET).unwrap();
        let lines = Lines::new(&ini).unwrap();
        settings(&lines, &ini, "host").unwrap();
        let known: BTreeSet<String> = lines.known.borrow().iter().map(|name| format!("`{name}`")).collect();
        let page = include_str!("../../../docs/settings.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let documented: BTreeSet<String> = rows.filter(|name| name.starts_with("`g_")).map(str::to_owned).collect();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert!(!format!("{:?}", read("").unwrap().settings).contains("0123456789abcdef"));
    }
}
