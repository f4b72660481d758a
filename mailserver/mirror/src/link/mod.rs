//! The link between the two nodes (DESIGN 3.6): node 1 calls, node 0 listens; whoever is master sends its log.

mod follow;
pub mod frame;
pub mod handshake;
pub mod message;
mod sender;
mod serve;
mod session;

pub(crate) use follow::acknowledge;
pub(crate) use serve::read_forward;
pub(crate) use session::ping;

use crate::shared::{Inner, Session, Shared};
use bytes::Bytes;
use handshake::{Credentials, HandshakeError, Proven};
use mailmirror_control::status::Link;
use mailmirror_control::tls;
use mailmirror_model::ids::{NodeId, Seq};
use message::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Messages that wait to be sent on one connection. A peer that does not read for so long is gone.
pub(crate) const OUT_QUEUE_MAX_MESSAGES: usize = 4096;
/// Handshakes that run at once; more callers wait in the listen queue.
const HANDSHAKES_MAX: usize = 8;
const RETRY_MIN: Duration = Duration::from_millis(50);

/// What one task asks the sender of a connection to write.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Message(Message),
    Forward {
        /// How often forwards were begun to be sent anew.
        round: u64,
        frame: Bytes,
    },
    /// From now on, the entries after this one.
    Stream(Seq),
}

/// Keeps the link up until the engine stops.
pub(crate) async fn run(shared: Arc<Shared>, listener: Option<TcpListener>) {
    let stop = shared.stop.clone();
    let work = async {
        match listener {
            Some(listener) => listen(shared, listener).await,
            None => call(shared).await,
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    let nobody = "node 1 has not called yet: check that it runs, its g_mirror_host, and that its g_mirror_node is 1";
    note_down(&shared, Some(nobody.to_owned()));
    let config = match tls::server_config() {
        Ok(config) => config,
        Err(error) => {
            let mut inner = shared.lock();
            shared.fail(&mut inner, "LinkFailed", &error.to_string());
            return;
        }
    };
    let handshakes = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
    let (proven_tx, mut proven_rx) = mpsc::channel::<Proven>(1);
    let accepting = {
        let shared = shared.clone();
        async move {
            loop {
                let Ok(permit) = handshakes.clone().acquire_owned().await else { return };
                let tcp = match listener.accept().await {
                    Ok((tcp, _)) => tcp,
                    Err(error) => {
                        note_down(&shared, Some(format!("failed to accept a connection: {error}")));
                        tokio::time::sleep(RETRY_MIN).await;
                        continue;
                    }
                };
                let (shared, config, proven_tx) = (shared.clone(), config.clone(), proven_tx.clone());
                tokio::spawn(async move {
                    let secrets = shared.options.secrets.borrow().clone();
                    match handshake::answer(tcp, &config, credentials(&shared, &secrets)).await {
                        // The session loop is there as long as the engine is.
                        Ok(proven) => drop(proven_tx.send(proven).await),
                        Err(error) => note_refused(&shared, &error),
                    }
                    drop(permit);
                });
            }
        }
    };
    let sessions = async {
        let mut next = proven_rx.recv().await;
        while let Some(proven) = next.take() {
            // A new connection of the peer ends the old one: the peer has given that up.
            let mut running = std::pin::pin!(session::run(&shared, proven.stream));
            next = tokio::select! {
                () = &mut running => proven_rx.recv().await,
                newer = proven_rx.recv() => newer,
            };
        }
    };
    tokio::select! { () = accepting => {}, () = sessions => {} }
}

async fn call(shared: Arc<Shared>) {
    let Some(peer) = shared.options.link.peer.clone() else { return };
    let mut pause = RETRY_MIN;
    loop {
        let secrets = shared.options.secrets.borrow().clone();
        let connected = tokio::time::timeout(handshake::HANDSHAKE_TIMEOUT, TcpStream::connect(&peer)).await;
        let shaken = match connected {
            Err(_) => Err(HandshakeError::Timeout),
            Ok(Err(source)) => Err(HandshakeError::Connect { peer: peer.clone(), source }),
            Ok(Ok(tcp)) => handshake::call(tcp, credentials(&shared, &secrets)).await,
        };
        match shaken {
            Ok(proven) => {
                let begun = tokio::time::Instant::now();
                session::run(&shared, proven.stream).await;
                // One that ends at once, again and again, is not tried without a pause.
                if begun.elapsed() > shared.options.link.retry_max {
                    pause = RETRY_MIN;
                }
            }
            Err(error) => note_refused(&shared, &error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(shared.options.link.retry_max);
    }
}

fn credentials<'a>(shared: &Shared, secrets: &'a [mailmirror_control::auth::Secret]) -> Credentials<'a> {
    Credentials { node: shared.options.node, secrets, nossl: shared.options.link.nossl, nonce: rand::random() }
}

fn note_refused(shared: &Shared, error: &HandshakeError) {
    let text = error.to_string();
    let inner = shared.lock();
    let is_known = matches!(&inner.link, Link::Disconnected { error: Some(known), .. } if *known == text);
    if !is_known && inner.session.is_none() {
        tracing::warn!(error = text, "no link to the peer");
    }
    drop(inner);
    note_down(shared, Some(text));
}

fn note_down(shared: &Shared, error: Option<String>) {
    let mut inner = shared.lock();
    if inner.session.is_some() {
        return;
    }
    let since = match inner.link {
        Link::Disconnected { since, .. } => since,
        Link::Connected { .. } => shared.clock.wall_millis(),
    };
    inner.link = Link::Disconnected { since, error };
    shared.publish(&mut inner);
}

/// Whether this node is the one that listens.
pub(crate) const fn listens(node: NodeId) -> bool {
    matches!(node, NodeId::Zero)
}

/// Sends a message on the connection that there is. A full queue ends the connection: then nothing is half told.
pub(crate) fn send(inner: &mut Inner, message: Message) -> bool {
    send_out(inner, Outgoing::Message(message))
}

pub(crate) fn send_out(inner: &mut Inner, out: Outgoing) -> bool {
    let Some(Session { out: queue, .. }) = &inner.session else { return false };
    let sent = queue.try_send(out).is_ok();
    if !sent {
        inner.session = None;
    }
    sent
}

pub(crate) fn send_mark_digest(inner: &mut Inner, mark: u64, digest: u128) {
    send(inner, Message::MarkDigest { mark, digest: format!("{digest:032x}") });
}
