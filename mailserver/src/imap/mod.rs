//! `IMAP4rev1` (RFC 3501) with its extensions over TCP: the shell around `mailmirror-imap-proto`.
//!
//! A session is a task that reads commands one after the other, so that pipelined commands are carried out in order. A
//! command that shows state takes a read point first (MIRROR.md N4, N5): `BYE [UNAVAILABLE]` where there is none in
//! time. A command that changes state is answered when the change is applied here; where nobody knows what became of it
//! the connection is closed without an answer (N6).
//!
//! What a session keeps of the selected mailbox are the UIDs of its messages, 4 bytes each (`mailbox_view`); all else
//! is read in pages.

mod answer;
mod append;
mod auth;
mod capability;
mod convert;
mod copy_move;
mod desk;
mod expunge;
mod fetch;
mod idle;
mod list;
mod mailbox;
mod mailbox_view;
mod people;
mod render;
mod rows;
mod search;
mod select;
mod session;
mod status;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::desk::Desk;
use self::people::People;
use crate::net::{Gate, Room, Timeouts, accept_loop};
use crate::service::Service;
use crate::settings::Settings;
/// When TLS starts on a port: with STARTTLS (143), or with the first octet (993).
pub use crate::smtp::Entry;

/// What a client is told when there are too many connections.
const TOO_MANY: &[u8] = b"* BYE [UNAVAILABLE] too many connections; try again later\r\n";

/// Memory for large messages that clients read, of all sessions together, in bytes.
const FETCH_ROOM_BYTES: u64 = 256 << 20;

/// One port.
#[derive(Clone, Debug)]
pub struct PortConfig {
    /// When TLS starts.
    pub entry: Entry,
    /// The name of the server in its greeting.
    pub server_name: String,
    /// Whether passwords are taken without TLS; otherwise `LOGINDISABLED` is said there.
    pub plaintext_login: bool,
    /// The largest message that is taken by APPEND, in bytes.
    pub message_max_bytes: u64,
    /// How long a client may be silent (RFC 3501 section 5.4: at least 30 minutes), in IDLE too.
    pub idle_timeout: Duration,
    /// How long a client may pause within a command.
    pub command_timeout: Duration,
    /// How long a client may take to log in, from its connection on.
    pub login_timeout: Duration,
    /// How often a client in IDLE is told that the server is there. It keeps translated addresses alive.
    pub keepalive_interval: Duration,
    /// How much longer each failed login takes than the one before it.
    pub failure_delay: Duration,
    /// Failed logins, or commands that were not understood before a login, until the connection is closed.
    pub failures_max: u32,
    /// Bounds on handshake and writing.
    pub timeouts: Timeouts,
    /// How long open sessions may take to end after a shutdown.
    pub drain_timeout: Duration,
}

impl PortConfig {
    /// A port with the usual bounds.
    pub fn new(server_name: impl Into<String>, entry: Entry) -> Self {
        Self {
            entry,
            server_name: server_name.into(),
            plaintext_login: false,
            message_max_bytes: 50 << 20,
            idle_timeout: Duration::from_mins(31),
            command_timeout: Duration::from_mins(5),
            login_timeout: Duration::from_mins(1),
            keepalive_interval: Duration::from_mins(2),
            failure_delay: Duration::from_secs(1),
            failures_max: 5,
            timeouts: Timeouts::default(),
            drain_timeout: Duration::from_secs(15),
        }
    }

    /// A port as the settings ask for it; TLS from the start on those of `g_imaps_listen`.
    pub fn from_settings(settings: &Settings, entry: Entry) -> Self {
        Self {
            plaintext_login: settings.limits.plaintext_login,
            message_max_bytes: settings.limits.message_max_bytes,
            idle_timeout: settings.limits.imap_idle_timeout,
            login_timeout: settings.limits.login_timeout,
            drain_timeout: settings.shutdown_grace,
            ..Self::new(settings.server_name.clone(), entry)
        }
    }
}

/// What all IMAP ports of a server share. Cheap to clone.
#[derive(Clone)]
pub struct Commons {
    service: Service,
    gate: Arc<Gate>,
    room: Arc<Room>,
    tls: Option<Arc<ServerConfig>>,
    people: Arc<People>,
    desk: Arc<Desk>,
}

impl Commons {
    /// `gate` limits connections in all and by address, `room` the memory for messages that are being received; an
    /// account may have `sessions_per_account_max` sessions at once.
    pub fn new(
        service: Service,
        gate: Arc<Gate>,
        room: Arc<Room>,
        tls: Option<Arc<ServerConfig>>,
        sessions_per_account_max: usize,
    ) -> Self {
        let (people, desk) = (People::new(sessions_per_account_max), Arc::new(Desk::new(FETCH_ROOM_BYTES)));
        Self { service, gate, room, tls, people, desk }
    }
}

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PortError {
    /// TLS is implicit, or the only way to log in, and there is no certificate.
    #[error("failed to offer TLS on an IMAP port: there is no certificate; set one or allow g_plaintext_login")]
    NoCertificate,
}

/// A port ready to be served.
#[derive(Clone)]
pub struct Port {
    config: Arc<PortConfig>,
    commons: Commons,
}

impl Port {
    /// Puts a port together.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn new(config: PortConfig, commons: Commons) -> Result<Self, PortError> {
        if commons.tls.is_none() && (config.entry == Entry::ImplicitTls || !config.plaintext_login) {
            return Err(PortError::NoCertificate);
        }
        Ok(Self { config: Arc::new(config), commons })
    }

    /// Serves connections of `listener` until `shutdown`, and then for as long as open sessions
    /// take to end, at most [`PortConfig::drain_timeout`].
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let gate = Arc::clone(&self.commons.gate);
        let drain_timeout = self.config.drain_timeout;
        let refusal: &[u8] = if self.config.entry == Entry::Plain { TOO_MANY } else { b"" };
        let ending = shutdown.clone();
        let handle = move |stream: TcpStream, peer: SocketAddr| {
            session::serve(self.clone(), stream, peer.ip().to_canonical(), ending.clone())
        };
        accept_loop(listener, gate, refusal, shutdown, drain_timeout, handle).await;
    }
}
