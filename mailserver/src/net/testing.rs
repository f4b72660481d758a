//! Certificates and a client for tests over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Nothing on loopback takes this long; a test that waits longer has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A server's and a client's side of TLS for `localhost`.
pub fn tls_pair() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A client that says lines and reads lines.
pub struct LineClient {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
}

impl LineClient {
    pub fn plain(stream: TcpStream) -> Self {
        Self { wire: Box::new(stream), unread: Vec::new() }
    }

    pub async fn start_tls(self, config: Arc<ClientConfig>) -> Self {
        assert!(self.unread.is_empty());
        let name = ServerName::try_from("localhost").unwrap();
        let wire = tokio::time::timeout(DEADLINE, TlsConnector::from(config).connect(name, self.wire)).await;
        Self { wire: Box::new(wire.expect("handshake in time").unwrap()), unread: Vec::new() }
    }

    pub async fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.wire.write_all(octets.as_ref()).await.unwrap();
        self.wire.flush().await.unwrap();
    }

    /// The next line without its CRLF, or `None` at the end of the stream.
    pub async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.unread.split_off(at + 2);
                let mut line = std::mem::replace(&mut self.unread, rest);
                line.truncate(at);
                return Some(String::from_utf8(line).unwrap());
            }
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(DEADLINE, self.wire.read(&mut buffer)).await.expect("a line in time");
            match read {
                Ok(0) | Err(_) => {
                    assert!(self.unread.is_empty(), "half a line: {:?}", self.unread);
                    return None;
                }
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Says something and reads one SMTP reply (or POP3 status line): its last line.
    pub async fn ask(&mut self, octets: impl AsRef<[u8]>) -> String {
        self.say(octets).await;
        self.reply().await.expect("a reply")
    }

    /// The last line of the next reply.
    pub async fn reply(&mut self) -> Option<String> {
        loop {
            let line = self.line().await?;
            if line.as_bytes().get(3) != Some(&b'-') || !line.as_bytes()[0].is_ascii_digit() {
                return Some(line);
            }
        }
    }

    /// Reads, whatever it is, to the end of the stream.
    pub async fn end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = tokio::time::timeout(DEADLINE, self.wire.read_to_end(&mut rest)).await.expect("an end in time");
    }

    /// Lines up to a line with a dot alone.
    pub async fn body(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await.expect("the end of the body");
            if line == "." {
                return lines;
            }
            lines.push(line);
        }
    }
}
