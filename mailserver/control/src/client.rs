//! A client of a node's admin API.

use crate::auth::{EXPORTER_LABEL, SCHEME, SERVER_PROOF_HEADER, Secret, Side};
use crate::record::Record;
use crate::status::{NodeStatus, RecordAnswer};
use crate::tell::{Tell, Told};
use crate::tls::{self, EXPORTER_BYTES, TlsError};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer that is read, in bytes.
pub const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;
/// The largest status line of a watch, in bytes.
pub const STATUS_MAX_BYTES: usize = 256 * 1024;

/// How long a client waits.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For TCP, TLS and both proofs together.
    pub connect: Duration,
    /// For one answer.
    pub answer: Duration,
    /// For the next status of a watch; nodes send one a second.
    pub watch_silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(5), watch_silence: Duration::from_secs(4) }
    }
}

/// Why a node could not be asked. None of these says that the node is dead.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No TCP connection.
    #[error("failed to connect to {address}: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// The cause.
        source: std::io::Error,
    },
    /// No TLS.
    #[error("failed to set up TLS: {0}")]
    Tls(#[from] TlsError),
    /// TLS could not export keying material.
    #[error("failed to bind the proof to the connection: {0}")]
    Exporter(rustls::Error),
    /// HTTP failed.
    #[error("failed to speak with the node: {0}")]
    Http(#[from] hyper::Error),
    /// The request could not be made.
    #[error("failed to make a request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The node does not accept any of our secrets.
    #[error("failed to prove the secret to the node: its g_mirror_secret is another one")]
    Refused,
    /// The node did not prove that it knows the secret.
    #[error("failed to check the node: it does not know g_mirror_secret")]
    Impostor,
    /// Another status than 200.
    #[error("failed: the node answered {status}: {body}")]
    Status {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        body: String,
    },
    /// The answer was no JSON, or of another shape.
    #[error("failed to read the answer: {0}")]
    Json(#[from] serde_json::Error),
    /// The answer was too long or ended early.
    #[error("failed to read the answer: {0}")]
    Body(String),
    /// No answer in time.
    #[error("failed to get an answer in {0:?}")]
    Timeout(Duration),
}

/// A connection on which both ends have proven the secret. One request at a time.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    proof: String,
    host: String,
    timeouts: Timeouts,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects to `host:port`. Of several secrets (a rotation is under way) the first that the node accepts is used.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn open(address: &str, secrets: &[Secret], timeouts: Timeouts) -> Result<Self, ClientError> {
        for secret in secrets {
            let one = tokio::time::timeout(timeouts.connect, Self::open_with(address, secret, timeouts));
            match one.await.map_err(|_| ClientError::Timeout(timeouts.connect))? {
                Err(ClientError::Refused) => {}
                done => return done,
            }
        }
        Err(ClientError::Refused)
    }

    async fn open_with(address: &str, secret: &Secret, timeouts: Timeouts) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { address: address.to_owned(), source };
        let tcp = TcpStream::connect(address).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let tls = TlsConnector::from(tls::client_config()?).connect(tls::server_name(), tcp).await.map_err(failed)?;
        let exporter = tls
            .get_ref()
            .1
            .export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None)
            .map_err(ClientError::Exporter)?;
        let (sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
        // The connection ends with this client; what went wrong on it is told by the request that was under way.
        let driver = tokio::spawn(async move { drop(connection.await) });
        let proof = secret.admin_proof(Side::Client, &exporter);
        let mut client = Self { sender, proof, host: address.to_owned(), timeouts, driver };
        let hello = client.send(Method::GET, "/v1/hello", Bytes::new()).await?;
        if hello.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::Refused);
        }
        let said = hello.headers().get(SERVER_PROOF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !secret.admin_proof_holds(said, Side::Server, &exporter) {
            return Err(ClientError::Impostor);
        }
        collect(hello).await?;
        Ok(client)
    }

    /// The status of the node.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&mut self) -> Result<NodeStatus, ClientError> {
        self.call(Method::GET, "/v1/status", &()).await
    }

    /// Tells the node the record. That it was not obeyed is an answer, not an error.
    ///
    /// # Errors
    /// See [`ClientError`]; after any of them the node may have obeyed.
    pub async fn put_record(&mut self, record: &Record) -> Result<RecordAnswer, ClientError> {
        self.call(Method::PUT, "/v1/record", record).await
    }

    /// Gives a command.
    ///
    /// # Errors
    /// See [`ClientError`]; after any of them the command may have been carried out.
    pub async fn tell(&mut self, command: &Tell, answer_timeout: Duration) -> Result<Told, ClientError> {
        self.timeouts.answer = answer_timeout;
        self.call(Method::POST, "/v1/tell", command).await
    }

    /// Follows the status of the node: one now, one after each change, and one a second.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn watch(mut self) -> Result<Watch, ClientError> {
        let answer = self.send(Method::GET, "/v1/watch", Bytes::new()).await?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        Ok(Watch { body: answer.into_body(), read: BytesMut::new(), connection: self })
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        question: &Q,
    ) -> Result<A, ClientError> {
        let limit = self.timeouts.answer;
        let body = if method == Method::GET { Bytes::new() } else { serde_json::to_vec(question)?.into() };
        let exchange = async {
            let answer = self.send(method, path, body).await?;
            if answer.status() != StatusCode::OK {
                return Err(refused(answer).await);
            }
            Ok(serde_json::from_slice(&collect(answer).await?)?)
        };
        tokio::time::timeout(limit, exchange).await.map_err(|_| ClientError::Timeout(limit))?
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, format!("{SCHEME} {}", self.proof))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

/// The statuses of a node, one after the other.
pub struct Watch {
    body: Incoming,
    read: BytesMut,
    connection: Connection,
}

impl Watch {
    /// The next status; `None` when the node ended the stream.
    ///
    /// # Errors
    /// See [`ClientError`]; [`ClientError::Timeout`] when the node is silent for too long.
    pub async fn next(&mut self) -> Result<Option<NodeStatus>, ClientError> {
        let limit = self.connection.timeouts.watch_silence;
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.read.len() > STATUS_MAX_BYTES {
                return Err(ClientError::Body(format!("a status is longer than {STATUS_MAX_BYTES} bytes")));
            }
            let frame = tokio::time::timeout(limit, self.body.frame());
            match frame.await.map_err(|_| ClientError::Timeout(limit))? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

async fn collect(answer: Response<Incoming>) -> Result<Bytes, ClientError> {
    let limited = Limited::new(answer.into_body(), ANSWER_MAX_BYTES);
    let collected = limited.collect().await.map_err(|error| ClientError::Body(error.to_string()))?;
    Ok(collected.to_bytes())
}

async fn refused(answer: Response<Incoming>) -> ClientError {
    let status = answer.status();
    match collect(answer).await {
        Ok(_) if status == StatusCode::UNAUTHORIZED => ClientError::Refused,
        Ok(body) => ClientError::Status { status, body: String::from_utf8_lossy(&body).into_owned() },
        Err(error) => error,
    }
}
