//! POP3 over TCP: a thin shell around the session of `mailmirror-smtp-proto`.
//!
//! What is behind the protocol is the [`MaildropDoor`]: it opens a [`Maildrop`], whose list of
//! messages stays the same for the session whatever happens to the mailbox meanwhile.

mod connection;
mod service_door;
#[cfg(test)]
mod service_door_tests;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use mailmirror_smtp_proto::Credentials;
pub use mailmirror_smtp_proto::pop3::session::{FetchOutcome, Listed, RemoveOutcome, SessionConfig, Uidl};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub use self::service_door::{OpenMaildrop, ServiceDoor};
use crate::net::{Gate, Timeouts, accept_loop};
use crate::settings::Settings;

/// What a client is told when there are too many connections.
const TOO_MANY: &[u8] = b"-ERR [SYS/TEMP] too many connections; try again later\r\n";

/// What the protocol needs of the mail server.
pub trait MaildropDoor: Send + Sync + 'static {
    /// An open maildrop. Dropping it unlocks it and removes nothing.
    type Maildrop: Maildrop;

    /// Verifies credentials, takes the lock of the maildrop and lists it after a read point (MIRROR.md
    /// N4). Waits at most `g_mirror_hold` (N5).
    fn log_in(&self, peer: IpAddr, credentials: Credentials) -> impl Future<Output = Login<Self::Maildrop>> + Send;
}

/// What became of a login.
#[derive(Debug)]
pub enum Login<M> {
    /// The maildrop is open.
    Opened(M),
    /// Wrong credentials: `-ERR [AUTH]`.
    Rejected,
    /// Another session has it: `-ERR [IN-USE]`.
    InUse,
    /// State cannot be shown now; the session ends with `-ERR [SYS/TEMP]`.
    Unavailable,
}

/// An open maildrop.
pub trait Maildrop: Send + Sync + 'static {
    /// Its messages. Indexes below count from 0 in this list.
    fn list(&self) -> Vec<Listed>;

    /// Reads a message.
    fn fetch(&self, index: usize) -> impl Future<Output = FetchOutcome> + Send;

    /// Removes messages; answers when that is committed.
    fn remove(&self, indexes: Vec<usize>) -> impl Future<Output = RemoveOutcome> + Send;
}

/// When TLS starts on a port.
pub use crate::smtp::Entry;

/// One port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// What is offered on it, and bounds of a session.
    pub session: SessionConfig,
    /// When TLS starts: 110 or 995.
    pub entry: Entry,
    /// How long a client may be silent (RFC 1939 section 3: at least 10 minutes).
    pub idle_timeout: Duration,
    /// How long a client may take to log in, from its connection on.
    pub login_timeout: Duration,
    /// Bounds on handshake and writing.
    pub timeouts: Timeouts,
    /// How long open sessions may take to end after a shutdown.
    pub drain_timeout: Duration,
}

impl PortConfig {
    /// A port as the settings ask for it; TLS from the start on those of `g_pops_listen`.
    pub fn from_settings(settings: &Settings, entry: Entry) -> Self {
        let mut session = SessionConfig::new(settings.server_name.clone());
        session.plaintext_login = settings.limits.plaintext_login;
        Self {
            idle_timeout: settings.limits.pop_idle_timeout,
            login_timeout: settings.limits.login_timeout,
            drain_timeout: settings.shutdown_grace,
            ..Self::new(session, entry)
        }
    }

    /// A port with the usual bounds.
    pub fn new(session: SessionConfig, entry: Entry) -> Self {
        Self {
            session,
            entry,
            idle_timeout: Duration::from_mins(10),
            login_timeout: Duration::from_mins(1),
            timeouts: Timeouts::default(),
            drain_timeout: Duration::from_secs(15),
        }
    }
}

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PortError {
    /// TLS is offered or implicit, and there is no certificate.
    #[error("failed to offer TLS on a POP3 port: there is no certificate; set one or turn STLS off for the port")]
    NoCertificate,
}

/// A port ready to be served.
#[derive(Debug)]
pub struct Port<D> {
    config: Arc<PortConfig>,
    session: Arc<SessionConfig>,
    door: Arc<D>,
    gate: Arc<Gate>,
    tls: Option<Arc<ServerConfig>>,
}

impl<D> Clone for Port<D> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            session: Arc::clone(&self.session),
            door: Arc::clone(&self.door),
            gate: Arc::clone(&self.gate),
            tls: self.tls.clone(),
        }
    }
}

impl<D: MaildropDoor> Port<D> {
    /// Puts a port together. `gate` limits connections (`pop_connections_max`, and by address).
    pub fn new(
        config: PortConfig,
        door: Arc<D>,
        gate: Arc<Gate>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self, PortError> {
        if tls.is_none() && (config.entry == Entry::ImplicitTls || config.session.stls) {
            return Err(PortError::NoCertificate);
        }
        Ok(Self { session: Arc::new(config.session.clone()), config: Arc::new(config), door, gate, tls })
    }

    /// Serves connections of `listener` until `shutdown`, and then for as long as open sessions
    /// take to end, at most [`PortConfig::drain_timeout`].
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let gate = Arc::clone(&self.gate);
        let drain_timeout = self.config.drain_timeout;
        let refusal: &[u8] = if self.config.entry == Entry::Plain { TOO_MANY } else { b"" };
        let ending = shutdown.clone();
        let handle = move |stream: TcpStream, peer: SocketAddr| {
            connection::serve(self.clone(), stream, peer.ip().to_canonical(), ending.clone())
        };
        accept_loop(listener, gate, refusal, shutdown, drain_timeout, handle).await;
    }
}
