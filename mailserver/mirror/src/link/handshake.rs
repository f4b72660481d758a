//! The beginning of a link: versions, then TLS or not, then both ends prove that they know the secret (DESIGN 3.6).
//!
//! After TLS each end sends `MMLK`, its oldest and newest version, its node and a fresh nonce; then, for each secret that
//! it accepts, `HMAC-SHA256(key, side ‖ hello of the caller ‖ hello of the listener ‖ exporter)`. The exporter
//! (RFC 5705) binds the proof to this TLS connection, so that somebody in the middle cannot relay it; without TLS it
//! is empty, and the link is only for networks that nobody else is in. The secret itself never travels.

use mailmirror_control::auth::{Secret, mac};
use mailmirror_control::tls::{self, EXPORTER_BYTES, TlsError};
use mailmirror_model::ids::NodeId;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The newest version of the link that this program speaks.
pub const VERSION: u16 = 1;
/// The oldest one.
pub const VERSION_OLDEST: u16 = 1;
/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

const MAGIC: [u8; 4] = *b"MMLK";
const HELLO_BYTES: usize = 4 + 2 + 2 + 1 + 32;
const SECRETS_MAX: usize = 4;
const EXPORTER_LABEL: &[u8] = b"EXPORTER-mailmirror-link";
/// The first byte of a TLS record that holds a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Nobody is there.
    #[error(
        "failed to connect to {peer}: {source}; node 0 listens there: check that it runs, g_mirror_host, and that g_mirror_node is 0 there and 1 here"
    )]
    Connect {
        /// Who was called.
        peer: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("failed to shake hands: {0}")]
    Io(#[from] std::io::Error),
    /// TLS could not be set up here.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS could not export keying material.
    #[error("failed to bind the proof to the connection: {0}")]
    Exporter(rustls::Error),
    /// The other end speaks TLS, this one does not.
    #[error("failed to shake hands: the peer uses TLS and this node has g_mirror_nossl \"TRUE\": set both alike")]
    PeerUsesTls,
    /// The other end does not speak TLS, or is no mirror.
    #[error(
        "failed to shake hands: the peer does not use TLS, or is no mirror: set g_mirror_nossl alike on both ({0})"
    )]
    PeerUsesNoTls(std::io::Error),
    /// Without TLS the other end has ended the connection at once.
    #[error(
        "failed to shake hands: the peer ended the connection at the first word; if it uses TLS, set g_mirror_nossl alike on both ({0})"
    )]
    NoWord(std::io::Error),
    /// What answers is no mirror.
    #[error("failed to shake hands: what answers is no mirror: check g_mirror_host")]
    NoMirror,
    /// No version in common.
    #[error(
        "failed to shake hands: the peer speaks link versions {oldest} to {newest}, this node {VERSION_OLDEST} to {VERSION}: update the older one"
    )]
    Version {
        /// The peer's oldest.
        oldest: u16,
        /// The peer's newest.
        newest: u16,
    },
    /// Both have the same number.
    #[error("failed to shake hands: both nodes are node {0}: set g_mirror_node to 0 on one and 1 on the other")]
    SameNode(NodeId),
    /// The peer does not know the secret.
    #[error("failed to shake hands: the peer has another g_mirror_secret")]
    Secret,
    /// It took too long.
    #[error("failed to shake hands within {HANDSHAKE_TIMEOUT:?}")]
    Timeout,
}

/// Anything that a link can run over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection whose both ends have proven the secret.
pub struct Proven {
    /// The bytes.
    pub stream: Box<dyn Stream>,
}

/// What this end brings.
pub struct Credentials<'a> {
    /// Which node it is.
    pub node: NodeId,
    /// The secrets that it accepts, at most four.
    pub secrets: &'a [Secret],
    /// Whether TLS is off.
    pub nossl: bool,
    /// Random.
    pub nonce: [u8; 32],
}

/// The end that calls.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn call(tcp: TcpStream, ours: Credentials<'_>) -> Result<Proven, HandshakeError> {
    let shaking = async {
        tcp.set_nodelay(true)?;
        if ours.nossl {
            return prove(Box::new(tcp), &[], Side::Caller, ours).await;
        }
        let connector = TlsConnector::from(tls::client_config()?);
        let stream = connector.connect(tls::server_name(), tcp).await.map_err(HandshakeError::PeerUsesNoTls)?;
        let exporter = export(|out| stream.get_ref().1.export_keying_material(out, EXPORTER_LABEL, None))?;
        prove(Box::new(stream), &exporter, Side::Caller, ours).await
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await.map_err(|_| HandshakeError::Timeout)?
}

/// The end that listens.
///
/// # Errors
/// See [`HandshakeError`].
pub async fn answer(
    tcp: TcpStream,
    config: &Arc<rustls::ServerConfig>,
    ours: Credentials<'_>,
) -> Result<Proven, HandshakeError> {
    let shaking = async {
        tcp.set_nodelay(true)?;
        let mut first = [0];
        let uses_tls = tcp.peek(&mut first).await? == 1 && first[0] == TLS_HANDSHAKE;
        if ours.nossl {
            if uses_tls {
                return Err(HandshakeError::PeerUsesTls);
            }
            return prove(Box::new(tcp), &[], Side::Listener, ours).await;
        }
        if !uses_tls {
            return Err(HandshakeError::PeerUsesNoTls(std::io::ErrorKind::InvalidData.into()));
        }
        let stream = TlsAcceptor::from(config.clone()).accept(tcp).await?;
        let exporter = export(|out| stream.get_ref().1.export_keying_material(out, EXPORTER_LABEL, None))?;
        prove(Box::new(stream), &exporter, Side::Listener, ours).await
    };
    tokio::time::timeout(HANDSHAKE_TIMEOUT, shaking).await.map_err(|_| HandshakeError::Timeout)?
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Caller,
    Listener,
}

fn export(
    with: impl FnOnce([u8; EXPORTER_BYTES]) -> Result<[u8; EXPORTER_BYTES], rustls::Error>,
) -> Result<[u8; EXPORTER_BYTES], HandshakeError> {
    with([0; EXPORTER_BYTES]).map_err(HandshakeError::Exporter)
}

async fn prove(
    mut stream: Box<dyn Stream>,
    exporter: &[u8],
    side: Side,
    ours: Credentials<'_>,
) -> Result<Proven, HandshakeError> {
    let hello = hello(&ours);
    stream.write_all(&hello).await?;
    stream.flush().await?;
    let mut theirs = [0; HELLO_BYTES];
    if let Err(error) = stream.read_exact(&mut theirs).await {
        let without_tls = exporter.is_empty();
        return Err(if without_tls { HandshakeError::NoWord(error) } else { HandshakeError::Io(error) });
    }
    let (version, node) = read_hello(&theirs)?;
    tracing::debug!(version, "the version of the link");
    if node == ours.node {
        return Err(HandshakeError::SameNode(node));
    }
    let (caller, listener) = if side == Side::Caller { (hello, theirs) } else { (theirs, hello) };
    let proof = |secret: &Secret, of: Side| {
        let side: &[u8] = if of == Side::Caller { b"caller" } else { b"listener" };
        mac(&secret.key_for("mailmirror link 1"), &[side, &caller, &listener, exporter])
    };
    let secrets = &ours.secrets[..ours.secrets.len().min(SECRETS_MAX)];
    let count = u8::try_from(secrets.len()).unwrap_or_default();
    let mut proofs = vec![count];
    for secret in secrets {
        proofs.extend_from_slice(&proof(secret, side));
    }
    stream.write_all(&proofs).await?;
    stream.flush().await?;

    let their_side = if side == Side::Caller { Side::Listener } else { Side::Caller };
    let their_count = usize::from(stream.read_u8().await?);
    if their_count > SECRETS_MAX {
        return Err(HandshakeError::NoMirror);
    }
    let mut known = false;
    for _ in 0..their_count {
        let mut said = [0; 32];
        stream.read_exact(&mut said).await?;
        known |= secrets.iter().any(|secret| bool::from(proof(secret, their_side).ct_eq(&said)));
    }
    if known { Ok(Proven { stream }) } else { Err(HandshakeError::Secret) }
}

fn hello(ours: &Credentials<'_>) -> [u8; HELLO_BYTES] {
    let mut hello = [0; HELLO_BYTES];
    hello[..4].copy_from_slice(&MAGIC);
    hello[4..6].copy_from_slice(&VERSION_OLDEST.to_le_bytes());
    hello[6..8].copy_from_slice(&VERSION.to_le_bytes());
    hello[8] = u8::from(ours.node);
    hello[9..].copy_from_slice(&ours.nonce);
    hello
}

fn read_hello(hello: &[u8; HELLO_BYTES]) -> Result<(u16, NodeId), HandshakeError> {
    if hello[..4] != MAGIC {
        return Err(if hello[0] == TLS_HANDSHAKE { HandshakeError::PeerUsesTls } else { HandshakeError::NoMirror });
    }
    let oldest = u16::from_le_bytes([hello[4], hello[5]]);
    let newest = u16::from_le_bytes([hello[6], hello[7]]);
    let version = newest.min(VERSION);
    if version < oldest.max(VERSION_OLDEST) {
        return Err(HandshakeError::Version { oldest, newest });
    }
    let node = NodeId::try_from(hello[8]).map_err(|_| HandshakeError::NoMirror)?;
    Ok((version, node))
}
