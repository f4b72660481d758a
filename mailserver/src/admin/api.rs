//! The admin API: TLS whose keying material a proof of the secret is bound to, and behind it a few paths.
//!
//! ```text
//! GET  /v1/hello    both ends prove that they know the secret
//! GET  /v1/status   NodeStatus
//! GET  /v1/watch    one NodeStatus a line: now, after each change, and once a second
//! PUT  /v1/record   Record -> RecordAnswer
//! POST /v1/tell     Tell -> Told
//! ```

use super::control::Control;
use super::http;
use crate::net::{Gate, accept_loop};
use crate::tell::Teller;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use futures::stream;
use mailmirror_control::auth::{EXPORTER_LABEL, SCHEME, SERVER_PROOF_HEADER, Secret, Side};
use mailmirror_control::record::Record;
use mailmirror_control::status::NodeStatus;
use mailmirror_control::tell::Tell;
use mailmirror_control::tls::{EXPORTER_BYTES, TlsError, server_config};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The largest record, in bytes.
const RECORD_MAX_BYTES: usize = 64 * 1024;
/// The largest command, in bytes.
const TELL_MAX_BYTES: usize = 64 * 1024;
/// Connections at once, and from one address.
const CONNECTIONS_MAX: usize = 128;
const CONNECTIONS_PER_IP_MAX: usize = 64;
/// For the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long requests may go on after a shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A watch tells a status at least this often.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// What the API needs.
#[derive(Clone)]
pub struct AdminApi {
    /// The engine.
    pub control: Arc<dyn Control>,
    /// The commands of `tellmail`.
    pub teller: Teller,
    /// Secrets that are taken.
    pub secrets: watch::Receiver<Vec<Secret>>,
}

/// What both proofs on this connection are bound to.
#[derive(Clone, Copy)]
struct Keying([u8; EXPORTER_BYTES]);

/// Serves the API until `shutdown`.
///
/// # Errors
/// [`TlsError`], before anything is served.
pub async fn serve_admin(api: AdminApi, listener: TcpListener, shutdown: CancellationToken) -> Result<(), TlsError> {
    let acceptor = TlsAcceptor::from(server_config()?);
    let gate = Gate::new(CONNECTIONS_MAX, CONNECTIONS_PER_IP_MAX);
    let router = router(api, shutdown.clone());
    let ending = shutdown.clone();
    let handle = move |stream: TcpStream, peer: SocketAddr| {
        connection(acceptor.clone(), router.clone(), stream, peer, ending.clone())
    };
    accept_loop(listener, gate, b"", shutdown, DRAIN_TIMEOUT, handle).await;
    Ok(())
}

async fn connection(
    acceptor: TlsAcceptor,
    router: Router,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "failed to set TCP_NODELAY; answers may be late");
    }
    let stream = match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS on the admin port"),
        Err(_) => return tracing::debug!(%peer, "a handshake on the admin port took too long"),
    };
    match stream.get_ref().1.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None) {
        Ok(keying) => http::serve(stream, router.layer(Extension(Keying(keying))), shutdown).await,
        Err(error) => tracing::warn!(%peer, %error, "a connection cannot be bound to a proof"),
    }
}

fn router(api: AdminApi, shutdown: CancellationToken) -> Router {
    Router::new()
        .route("/v1/hello", get(|| async { StatusCode::NO_CONTENT }))
        .route("/v1/status", get(status))
        .route("/v1/watch", get(watch_status))
        .route("/v1/record", put(record))
        .route("/v1/tell", post(tell))
        .layer(middleware::from_fn_with_state(api.secrets.clone(), prove))
        .layer(Extension(shutdown))
        .with_state(api)
}

/// Nothing is answered but 401 to one who does not prove the secret, and nothing without our own proof.
async fn prove(
    State(secrets): State<watch::Receiver<Vec<Secret>>>,
    Extension(Keying(keying)): Extension<Keying>,
    request: Request,
    next: Next,
) -> Response {
    let said = proof(request.headers());
    let holds = |secret: &&Secret| said.is_some_and(|said| secret.admin_proof_holds(said, Side::Client, &keying));
    let ours = secrets.borrow().iter().find(holds).map(|secret| secret.admin_proof(Side::Server, &keying));
    let Some(ours) = ours.and_then(|proof| HeaderValue::from_str(&proof).ok()) else {
        return (StatusCode::UNAUTHORIZED, [(CONNECTION, "close")]).into_response();
    };
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(SERVER_PROOF_HEADER, ours);
    answer
}

fn proof(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix(SCHEME)?.strip_prefix(' ')
}

async fn status(State(api): State<AdminApi>) -> Json<NodeStatus> {
    Json(api.control.status().borrow().as_ref().clone())
}

async fn watch_status(State(api): State<AdminApi>, Extension(shutdown): Extension<CancellationToken>) -> Response {
    let lines = stream::unfold((api.control.status(), true), move |(mut status, first)| {
        let shutdown = shutdown.clone();
        async move {
            if !first {
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    changed = timeout(WATCH_INTERVAL, status.changed()) => if let Ok(Err(_)) = changed { return None },
                }
            }
            let now = status.borrow_and_update().clone();
            let mut line = serde_json::to_vec(now.as_ref()).ok()?;
            line.push(b'\n');
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), (status, false)))
        }
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

async fn record(State(api): State<AdminApi>, body: Body) -> Response {
    match http::json::<Record>(body, RECORD_MAX_BYTES).await {
        // The engine carries out a record as a whole, whether the one who sent it waits for the answer or not.
        Ok(record) => match tokio::spawn(async move { api.control.obey(record).await }).await {
            Ok(answer) => Json(answer).into_response(),
            Err(stopped) => (StatusCode::INTERNAL_SERVER_ERROR, stopped.to_string()).into_response(),
        },
        Err(refused) => refused,
    }
}

async fn tell(State(api): State<AdminApi>, body: Body) -> Response {
    match http::json::<Tell>(body, TELL_MAX_BYTES).await {
        Ok(command) => match tokio::spawn(async move { api.teller.run(command).await }).await {
            Ok(told) => Json(told).into_response(),
            Err(stopped) => (StatusCode::INTERNAL_SERVER_ERROR, stopped.to_string()).into_response(),
        },
        Err(refused) => refused,
    }
}
