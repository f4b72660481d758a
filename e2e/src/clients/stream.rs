//! A connection that is read line by line, in the clear or with TLS, with a limit on every wait.

use anyhow::{Context, Result, bail};
use mailmirror_control::tls;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest line that is read, in bytes.
const LINE_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The largest literal that is read, in bytes.
const LITERAL_MAX_BYTES: usize = 128 * 1024 * 1024;

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// In the clear.
    Plain,
    /// With TLS, whatever the certificate: test servers make their own.
    Tls,
}

trait Both: AsyncBufRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncBufRead + AsyncWrite + Unpin + Send> Both for T {}

/// A connection.
pub(super) struct LineStream {
    inner: Box<dyn Both>,
    patience: Duration,
}

impl LineStream {
    pub(super) async fn connect(address: SocketAddr, security: Security, patience: Duration) -> Result<Self> {
        let connecting = async {
            let tcp = TcpStream::connect(address).await.with_context(|| format!("failed to connect to {address}"))?;
            tcp.set_nodelay(true)?;
            let inner: Box<dyn Both> = match security {
                Security::Plain => Box::new(BufReader::new(tcp)),
                Security::Tls => {
                    let connector = TlsConnector::from(tls::client_config()?);
                    let stream = connector.connect(tls::server_name(), tcp).await.context("failed to set up TLS")?;
                    Box::new(BufReader::new(stream))
                }
            };
            Ok(Self { inner, patience })
        };
        tokio::time::timeout(patience, connecting).await.context("the connection took too long")?
    }

    /// A line without its CRLF.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.inner).take(LINE_MAX_BYTES);
        let reading = limited.read_until(b'\n', &mut line);
        tokio::time::timeout(self.patience, reading).await.context("no line in time")??;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.is_empty() => bail!("the server closed the connection"),
            None => bail!("a line that does not end in CRLF: {:?}", String::from_utf8_lossy(&line)),
        }
    }

    /// The bytes of a literal.
    pub(super) async fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        if count > LITERAL_MAX_BYTES {
            bail!("a literal of {count} bytes is too large");
        }
        let mut bytes = vec![0; count];
        let reading = self.inner.read_exact(&mut bytes);
        tokio::time::timeout(self.patience, reading).await.context("no literal in time")??;
        Ok(bytes)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let writing = async {
            self.inner.write_all(bytes).await?;
            self.inner.flush().await
        };
        tokio::time::timeout(self.patience, writing).await.context("failed to write in time")??;
        Ok(())
    }
}
