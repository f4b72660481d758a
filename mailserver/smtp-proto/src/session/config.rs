//! What a session offers and where its limits are.

use crate::data::DataLimits;

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP, RFC 5321.
    Smtp,
    /// LMTP, RFC 2033: LHLO, and one reply for each recipient after the message.
    Lmtp,
}

impl Protocol {
    /// The name in the greeting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "ESMTP",
            Self::Lmtp => "LMTP",
        }
    }
}

/// Whether a connection is encrypted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Plain text.
    Plain,
    /// TLS.
    Tls,
}

/// What is offered and asked for as to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsOffer {
    /// No STARTTLS (there is no certificate, or the port is TLS from the start).
    None,
    /// STARTTLS is offered.
    Offered,
    /// STARTTLS is offered, and there is no MAIL without it. Not for port 25 (RFC 3207 section 4).
    Required,
}

/// What is offered and asked for as to AUTH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthOffer {
    /// No AUTH.
    None,
    /// AUTH.
    Offered,
    /// AUTH, and no MAIL without it (submission, RFC 6409 section 4.3).
    Required,
}

/// Bounds of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a command line, CRLF included. RFC 5321 asks for 512, extensions for more.
    pub line_max_bytes: usize,
    /// Octets of a line of a SASL exchange (RFC 4954 section 4 names 12288).
    pub sasl_line_max_bytes: usize,
    /// Octets of a line that is too long after which the search for its end is given up.
    pub line_discard_max_bytes: usize,
    /// Recipients of one message; above it `452 4.5.3`. RFC 5321 asks for at least 100.
    pub rcpt_max: usize,
    /// Commands that are unknown, malformed or out of order before `421`.
    pub bad_commands_max: u32,
    /// Failed authentications before `421`.
    pub auth_failures_max: u32,
    /// `Received` fields of a message above which it is in a loop (RFC 5321 section 6.3).
    pub hops_max: usize,
    /// Bounds of a message. `message_max_bytes` is announced with SIZE.
    pub data: DataLimits,
}

impl Default for Limits {
    fn default() -> Self {
        let message_max_bytes = 64 << 20;
        Self {
            line_max_bytes: 2048,
            sasl_line_max_bytes: 12_288,
            line_discard_max_bytes: 64 << 10,
            rcpt_max: 1000,
            bad_commands_max: 20,
            auth_failures_max: 3,
            hops_max: 100,
            data: DataLimits { message_max_bytes, line_max_bytes: 1 << 20, discard_max_bytes: 4 * message_max_bytes },
        }
    }
}

/// What all sessions of one listener share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// The name this server gives itself in the greeting, EHLO and `Received`.
    pub hostname: String,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// TLS.
    pub tls: TlsOffer,
    /// AUTH.
    pub auth: AuthOffer,
    /// Whether AUTH is also offered in plain text (`g_plaintext_login`): passwords can be read on the way.
    pub plaintext_login: bool,
    /// Bounds.
    pub limits: Limits,
}

impl SessionConfig {
    /// Whether AUTH may be used on a connection of this security.
    pub fn offers_auth(&self, security: Security) -> bool {
        self.auth != AuthOffer::None && (security == Security::Tls || self.plaintext_login)
    }

    /// Whether STARTTLS may be used on a connection of this security.
    pub fn offers_starttls(&self, security: Security) -> bool {
        self.tls != TlsOffer::None && security == Security::Plain
    }
}
