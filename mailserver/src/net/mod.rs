//! What the listeners of all protocols share: accepting within limits, TLS at the start or later,
//! writing with a bound on time, and ending without cutting off the last reply.

mod connection;
mod gate;
mod room;
#[cfg(test)]
pub(crate) mod testing;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use connection::{Connection, ConnectionError, Timeouts};
pub use gate::{Gate, Permit};
pub use room::{Room, RoomShare};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long to wait before accepting again when accepting failed, which it does when the process is out of
/// file descriptors; no event tells when one is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until `shutdown`, hands each that `gate` admits to `handle`, and returns when all have
/// ended or `drain_timeout` after the shutdown has passed; those still open then are dropped.
///
/// A connection above the limits is sent `refusal` and closed.
pub async fn accept_loop<H, F>(
    listener: TcpListener,
    gate: Arc<Gate>,
    refusal: &'static [u8],
    shutdown: CancellationToken,
    drain_timeout: Duration,
    handle: H,
) where
    H: Fn(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let connections = TaskTracker::new();
    let abandon = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection; trying again");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let Some(permit) = gate.admit(peer.ip()) else {
            tracing::info!(peer = %peer.ip(), "refused a connection above the limit");
            connections.spawn(refuse(stream, refusal));
            continue;
        };
        let abandon = abandon.clone();
        let handled = handle(stream, peer);
        connections.spawn(async move {
            tokio::select! {
                () = abandon.cancelled() => {}
                () = handled => {}
            }
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "dropped connections that did not end in time");
        abandon.cancel();
        connections.wait().await;
    }
}

/// The reply fits into the empty buffer of a new socket, so this takes no time worth a bound of its own.
async fn refuse(mut stream: TcpStream, refusal: &'static [u8]) {
    let said = async {
        stream.write_all(refusal).await?;
        stream.shutdown().await
    };
    if let Err(error) = said.await {
        tracing::debug!(%error, "failed to tell a client that there are too many connections");
    }
}
