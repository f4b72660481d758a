//! SMTP and LMTP ports as the settings ask for them.

use super::{AuthOffer, Entry, Limits, PortConfig, Protocol, SessionConfig, TlsOffer};
use crate::settings::Settings;

/// Octets kept free below `g_message_max` for the trace fields that are put in front of a message; they are
/// bounded by the bounds of paths and names.
const TRACE_MAX_BYTES: u64 = 4096;

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortKind {
    /// Mail from other servers (`g_smtp_listen`).
    Smtp,
    /// Mail from users (`g_submission_listen`): login required.
    Submission,
    /// The same with TLS from the start (`g_smtps_listen`).
    Smtps,
    /// LMTP (`g_lmtp_listen`).
    Lmtp,
}

/// The configuration of a port of this kind.
pub fn port_config(settings: &Settings, kind: PortKind) -> PortConfig {
    let message_max_bytes = settings.limits.message_max_bytes.saturating_sub(TRACE_MAX_BYTES);
    let mut limits = Limits { rcpt_max: settings.limits.recipients_max, ..Limits::default() };
    limits.data.message_max_bytes = message_max_bytes;
    limits.data.discard_max_bytes = message_max_bytes.saturating_mul(4);
    let plaintext_login = settings.limits.plaintext_login;
    let (protocol, tls, auth) = match kind {
        PortKind::Smtp => (Protocol::Smtp, TlsOffer::Offered, AuthOffer::Offered),
        PortKind::Submission if plaintext_login => (Protocol::Smtp, TlsOffer::Offered, AuthOffer::Required),
        PortKind::Submission => (Protocol::Smtp, TlsOffer::Required, AuthOffer::Required),
        PortKind::Smtps => (Protocol::Smtp, TlsOffer::None, AuthOffer::Required),
        PortKind::Lmtp => (Protocol::Lmtp, TlsOffer::Offered, AuthOffer::None),
    };
    let entry = if kind == PortKind::Smtps { Entry::ImplicitTls } else { Entry::Plain };
    let session =
        SessionConfig { hostname: settings.server_name.clone(), protocol, tls, auth, plaintext_login, limits };
    PortConfig {
        idle_timeout: settings.limits.smtp_idle_timeout,
        drain_timeout: settings.shutdown_grace,
        ..PortConfig::new(session, entry)
    }
}
