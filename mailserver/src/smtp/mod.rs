//! SMTP and LMTP over TCP: a thin shell around the session of `mailmirror-smtp-proto`.
//!
//! What a mail server knows and does behind the protocol is the [`MailDoor`]. The shell turns its
//! answers into replies by one rule: `250` after `DATA` is sent only when the door has said
//! [`DeliveryOutcome::Committed`], and an outcome that nobody knows closes the connection without
//! a reply (MIRROR.md N6).

mod connection;
mod service_door;
#[cfg(test)]
mod service_door_tests;
mod settings;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
pub use mailmirror_smtp_proto::session::{
    AuthOffer, AuthOutcome, DeliveryOutcome, Envelope, Limits, Protocol, Recipient, RecipientKey, RecipientOutcome,
    RecipientQuery, Security, SessionConfig, TlsOffer,
};
pub use mailmirror_smtp_proto::trace::UnixSeconds;
pub use mailmirror_smtp_proto::{Address, Credentials, ForwardPath, ReversePath};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub use self::service_door::ServiceDoor;
pub use self::settings::{PortKind, port_config};
use crate::net::{Gate, Room, Timeouts, accept_loop};

/// What a client is told when there are too many connections. RFC 5321 section 3.1 allows no other code.
const TOO_MANY: &[u8] = b"421 4.7.0 too many connections; try again later\r\n";

/// What the protocol needs of the mail server.
///
/// Every method answers within a bounded time: what must wait for the mirror waits at most
/// `g_mirror_hold`. A future that is dropped (at the end of a shutdown) must leave nothing half
/// done but what its caller would take for [`DeliveryOutcome::Unknown`].
pub trait MailDoor: Send + Sync + 'static {
    /// Verifies credentials. Limits on how many hashes run at once are the door's.
    fn authenticate(&self, peer: IpAddr, credentials: Credentials) -> impl Future<Output = AuthOutcome> + Send;

    /// Says whether a recipient is taken. While a mirror hold refuses changes, the answer is
    /// [`RecipientOutcome::Unavailable`], so that nothing is sent for nothing.
    fn resolve_recipient(&self, query: RecipientQuery) -> impl Future<Output = RecipientOutcome> + Send;

    /// Delivers a message to all its recipients and returns one outcome for each, in their order.
    /// [`DeliveryOutcome::Committed`] may be said only when the acknowledgement policy is met.
    fn deliver(&self, delivery: Delivery) -> impl Future<Output = Vec<DeliveryOutcome>> + Send;
}

/// A message to deliver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The identity of this reception, as in its `Received` field; for
    /// [`DeliveryOutcome::Committed`] and for logs. Unique across restarts.
    pub id: String,
    /// Sender, recipients and where it came from.
    pub envelope: Envelope,
    /// When it was received, as in its `Received` field.
    pub received_at: UnixSeconds,
    /// The message with `Return-Path` and `Received` in front.
    pub message: Bytes,
}

/// When TLS starts on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// In plain text; STARTTLS as the session offers it (25, 587, LMTP).
    Plain,
    /// With the first octet (465).
    ImplicitTls,
}

/// One port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// What is offered on it, and bounds of a session.
    pub session: SessionConfig,
    /// When TLS starts.
    pub entry: Entry,
    /// How long a client may be silent between commands (RFC 5321 section 4.5.3.2.7: at least 5 minutes).
    pub idle_timeout: Duration,
    /// How long a client may be silent within a message (section 4.5.3.2.5: at least 3 minutes).
    pub data_timeout: Duration,
    /// Bounds on handshake and writing.
    pub timeouts: Timeouts,
    /// How long open sessions may take to end after a shutdown.
    pub drain_timeout: Duration,
}

impl PortConfig {
    /// A port with the usual bounds.
    pub fn new(session: SessionConfig, entry: Entry) -> Self {
        Self {
            session,
            entry,
            idle_timeout: Duration::from_mins(5),
            data_timeout: Duration::from_mins(3),
            timeouts: Timeouts::default(),
            drain_timeout: Duration::from_secs(15),
        }
    }
}

/// What all SMTP and LMTP ports of a server share.
#[derive(Debug)]
pub struct Commons<D> {
    /// The mail server behind the protocol.
    pub door: Arc<D>,
    /// Limit of connections (`smtp_connections_max`, and by address).
    pub gate: Arc<Gate>,
    /// Limit of memory for messages that are being received; above it a message is answered
    /// `452 4.3.1`.
    pub room: Arc<Room>,
    /// Certificate and key; none means no TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Identities of receptions.
    pub ids: Arc<ReceptionIds>,
}

impl<D> Clone for Commons<D> {
    fn clone(&self) -> Self {
        Self {
            door: Arc::clone(&self.door),
            gate: Arc::clone(&self.gate),
            room: Arc::clone(&self.room),
            tls: self.tls.clone(),
            ids: Arc::clone(&self.ids),
        }
    }
}

/// Gives out identities of receptions: a nonce of the process run and a counter.
#[derive(Debug)]
pub struct ReceptionIds {
    nonce: u64,
    next: AtomicU64,
}

impl ReceptionIds {
    /// `nonce` must be random, so that no run repeats the identities of another.
    pub fn new(nonce: u64) -> Arc<Self> {
        Arc::new(Self { nonce, next: AtomicU64::new(1) })
    }

    fn next(&self) -> String {
        format!("{:016x}-{:x}", self.nonce, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why a port cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PortError {
    /// TLS is offered, required or implicit, and there is no certificate.
    #[error("failed to offer TLS on an SMTP port: there is no certificate; set one or turn TLS off for the port")]
    NoCertificate,
}

/// A port ready to be served.
#[derive(Debug)]
pub struct Port<D> {
    config: Arc<PortConfig>,
    session: Arc<SessionConfig>,
    commons: Commons<D>,
}

impl<D> Clone for Port<D> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config), session: Arc::clone(&self.session), commons: self.commons.clone() }
    }
}

impl<D: MailDoor> Port<D> {
    /// Puts a port together.
    pub fn new(config: PortConfig, commons: Commons<D>) -> Result<Self, PortError> {
        let needs_tls = config.entry == Entry::ImplicitTls || config.session.tls != TlsOffer::None;
        if needs_tls && commons.tls.is_none() {
            return Err(PortError::NoCertificate);
        }
        Ok(Self { session: Arc::new(config.session.clone()), config: Arc::new(config), commons })
    }

    /// Serves connections of `listener` until `shutdown`, and then for as long as open sessions
    /// take to end, at most [`PortConfig::drain_timeout`].
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let gate = Arc::clone(&self.commons.gate);
        let drain_timeout = self.config.drain_timeout;
        let refusal: &[u8] = if self.config.entry == Entry::Plain { TOO_MANY } else { b"" };
        let ending = shutdown.clone();
        let handle = move |stream: TcpStream, peer: SocketAddr| {
            connection::serve(self.clone(), stream, peer.ip().to_canonical(), ending.clone())
        };
        accept_loop(listener, gate, refusal, shutdown, drain_timeout, handle).await;
    }
}
