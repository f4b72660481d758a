//! HTTP over a stream, bounded.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// How long a client may take for the head of a request, and be silent between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take for the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest head of a request, in bytes.
const HEAD_MAX_BYTES: usize = 16 * 1024;

/// Serves one connection until the client ends it; after `shutdown` until its request is answered.
pub(super) async fn serve<I>(stream: I, router: Router, shutdown: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}

/// Reads a JSON body of at most `max_bytes`.
pub(super) async fn json<T: DeserializeOwned>(body: Body, max_bytes: usize) -> Result<T, Response> {
    let refused = |status: StatusCode, why: String| (status, why).into_response();
    let read = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, max_bytes));
    let bytes = read
        .await
        .map_err(|_| refused(StatusCode::REQUEST_TIMEOUT, "the body took too long".to_owned()))?
        .map_err(|error| refused(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| refused(StatusCode::BAD_REQUEST, error.to_string()))
}
