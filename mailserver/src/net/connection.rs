//! One connection: a TCP stream that may become a TLS stream, with a buffer for what is to be sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Octets of one read.
const READ_BYTES: usize = 16 << 10;
/// Octets that are gathered before they are sent without being asked to.
const GATHER_BYTES: usize = 16 << 10;
/// How long, and how many octets, a closing connection reads what the client still sends. A socket
/// closed with unread octets sends a reset, which can destroy the last reply on its way.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: usize = 256 << 10;

/// Bounds on how long a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For taking what is sent to it.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { handshake: Duration::from_secs(30), write: Duration::from_mins(1) }
    }
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The network or the client ended it.
    #[error("failed to use the connection: {0}")]
    Io(#[from] io::Error),
    /// The handshake took too long.
    #[error("TLS handshake took too long")]
    HandshakeTimeout,
    /// The client does not take what is sent.
    #[error("client does not read what it is sent")]
    WriteTimeout,
    /// There is no certificate, or TLS runs already.
    #[error("TLS cannot be started on this connection")]
    NoTls,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// In a handshake that has failed.
    Gone,
}

/// A connection.
pub struct Connection {
    stream: Stream,
    timeouts: Timeouts,
    input: BytesMut,
    output: Vec<u8>,
}

impl Connection {
    /// Takes an accepted stream.
    pub fn new(stream: TcpStream, timeouts: Timeouts) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "failed to set TCP_NODELAY; replies may be late");
        }
        Self { stream: Stream::Plain(stream), timeouts, input: BytesMut::new(), output: Vec::new() }
    }

    /// Gathers octets to send; they go out with [`Self::flush`], or before when there are many.
    pub async fn send(&mut self, octets: &[u8]) -> Result<(), ConnectionError> {
        if self.output.is_empty() && octets.len() >= GATHER_BYTES {
            return self.write_out(octets).await;
        }
        self.output.extend_from_slice(octets);
        if self.output.len() >= GATHER_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = std::mem::take(&mut self.output);
        self.write_out(&output).await?;
        if output.capacity() <= 2 * GATHER_BYTES {
            self.output = output;
            self.output.clear();
        }
        Ok(())
    }

    /// Waits for octets; an empty slice is the end of the stream. May be cancelled without loss.
    pub async fn read(&mut self) -> Result<&[u8], ConnectionError> {
        self.input.clear();
        self.input.reserve(READ_BYTES);
        match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.input).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.input).await?,
            Stream::Gone => 0,
        };
        Ok(&self.input)
    }

    /// Sends what was gathered and starts TLS as the server. Octets that were read in plain text and not
    /// handed out are dropped.
    pub async fn start_tls(&mut self, tls: Option<&Arc<ServerConfig>>) -> Result<(), ConnectionError> {
        self.flush().await?;
        let tls = tls.ok_or(ConnectionError::NoTls)?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            return Err(ConnectionError::NoTls);
        };
        self.input.clear();
        let handshake = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        let stream =
            timeout(self.timeouts.handshake, handshake).await.map_err(|_| ConnectionError::HandshakeTimeout)??;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// Sends what was gathered and closes, so that the client can read it all.
    pub async fn close(mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        let write_timeout = self.timeouts.write;
        let closing = async {
            match &mut self.stream {
                Stream::Plain(stream) => linger(stream, write_timeout).await,
                Stream::Tls(stream) => linger(stream.as_mut(), write_timeout).await,
                Stream::Gone => Ok(()),
            }
        };
        closing.await
    }

    async fn write_out(&mut self, octets: &[u8]) -> Result<(), ConnectionError> {
        let write_timeout = self.timeouts.write;
        match &mut self.stream {
            Stream::Plain(stream) => write_pieces(stream, octets, write_timeout).await,
            Stream::Tls(stream) => write_pieces(stream.as_mut(), octets, write_timeout).await,
            Stream::Gone => Err(ConnectionError::NoTls),
        }
    }
}

/// The bound holds for each piece, so a slow client may take long over a large message, but not stop.
async fn write_pieces<S: AsyncWrite + Unpin>(
    stream: &mut S,
    octets: &[u8],
    write_timeout: Duration,
) -> Result<(), ConnectionError> {
    for piece in octets.chunks(GATHER_BYTES) {
        let written = timeout(write_timeout, stream.write_all(piece)).await;
        written.map_err(|_| ConnectionError::WriteTimeout)??;
    }
    timeout(write_timeout, stream.flush()).await.map_err(|_| ConnectionError::WriteTimeout)??;
    Ok(())
}

async fn linger<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    write_timeout: Duration,
) -> Result<(), ConnectionError> {
    timeout(write_timeout, stream.shutdown()).await.map_err(|_| ConnectionError::WriteTimeout)??;
    let drain = async {
        let mut dropped = 0;
        let mut buffer = vec![0; 4096];
        while dropped < LINGER_MAX_BYTES {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => dropped += count,
            }
        }
    };
    // A client that stays silent and open is left after the bound; that is no fault.
    let _ = timeout(LINGER, drain).await;
    Ok(())
}
