//! One SMTP or LMTP connection: carries out the actions of its session.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use mailmirror_smtp_proto::session::{Action, Event, Session, Transaction, UnexpectedEvent};
use mailmirror_smtp_proto::trace::UnixSeconds;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Delivery, DeliveryOutcome, Entry, MailDoor, Port, Security};
use crate::net::{Connection, ConnectionError, RoomShare};

/// Why a connection ended other than by the protocol.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Session(#[from] UnexpectedEvent),
}

pub(super) async fn serve<D: MailDoor>(port: Port<D>, stream: TcpStream, peer: IpAddr, shutdown: CancellationToken) {
    let connection = Connection::new(stream, port.config.timeouts);
    let security = match port.config.entry {
        Entry::Plain => Security::Plain,
        Entry::ImplicitTls => Security::Tls,
    };
    let client = Client {
        session: Session::new(Arc::clone(&port.session), peer, security),
        share: port.commons.room.share(),
        port,
        peer,
        connection,
        shutdown,
    };
    match client.run().await {
        Ok(()) => tracing::debug!(%peer, "connection ended"),
        Err(error) => tracing::debug!(%peer, %error, "connection broke"),
    }
}

struct Client<D> {
    port: Port<D>,
    peer: IpAddr,
    connection: Connection,
    session: Session,
    share: RoomShare,
    shutdown: CancellationToken,
}

impl<D: MailDoor> Client<D> {
    async fn run(mut self) -> Result<(), Broken> {
        if self.port.config.entry == Entry::ImplicitTls {
            self.connection.start_tls(self.port.commons.tls.as_ref()).await?;
        }
        loop {
            while let Some(action) = self.session.next_action() {
                if matches!(action, Action::Close) {
                    return Ok(self.connection.close().await?);
                }
                self.act(action).await?;
            }
            self.connection.flush().await?;
            if !self.wait_for_input().await? {
                return Ok(());
            }
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), Broken> {
        let door = Arc::clone(&self.port.commons.door);
        let event = match action {
            Action::Send(octets) => return Ok(self.connection.send(&octets).await?),
            Action::Close => return Ok(()),
            Action::StartTls => {
                self.connection.start_tls(self.port.commons.tls.as_ref()).await?;
                Event::TlsStarted
            }
            Action::Authenticate(credentials) => {
                Event::Authenticated(self.flush_while(door.authenticate(self.peer, credentials)).await?)
            }
            Action::ResolveRecipient(query) => {
                Event::RecipientResolved(self.flush_while(door.resolve_recipient(query)).await?)
            }
            Action::Deliver(transaction) => Event::Delivered(self.deliver(*transaction, &door).await?),
        };
        self.session.on(event)?;
        if self.shutdown.is_cancelled() {
            self.session.on(Event::Shutdown)?;
        }
        Ok(())
    }

    /// Waits for an answer of the door. Replies to earlier commands are sent only when the answer
    /// is not there at once, so those of a pipeline share packets.
    async fn flush_while<T>(&mut self, answer: impl Future<Output = T>) -> Result<T, ConnectionError> {
        let mut answer = pin!(answer);
        if let std::task::Poll::Ready(answer) = futures::poll!(answer.as_mut()) {
            return Ok(answer);
        }
        self.connection.flush().await?;
        Ok(answer.await)
    }

    async fn deliver(&mut self, transaction: Transaction, door: &D) -> Result<Vec<DeliveryOutcome>, ConnectionError> {
        let Transaction { envelope, body } = transaction;
        let id = self.port.commons.ids.next();
        let received_at = now();
        let mut message = envelope.trace_fields(&self.port.session.hostname, &id, received_at).into_bytes();
        message.reserve_exact(body.len());
        message.extend_from_slice(&body);
        drop(body);
        // The message counts for as long as it is in memory; it was let in, so it is not refused here.
        self.share.set(message.len());
        let (from, recipients, bytes) = (envelope.reverse_path.clone(), envelope.recipients.len(), message.len());
        let delivery = Delivery { id: id.clone(), envelope, received_at, message: Bytes::from(message) };
        // What the client is told depends on the delivery alone: a client that does not read its
        // earlier replies must not end it.
        let outcomes = door.deliver(delivery).await;
        self.share.set(self.session.held_bytes());
        let committed = outcomes.iter().filter(|outcome| matches!(outcome, DeliveryOutcome::Committed { .. })).count();
        tracing::info!(%id, %from, recipients, committed, bytes, peer = %self.peer, "message received");
        Ok(outcomes)
    }

    /// Reads once and feeds the session; false when the client has gone.
    async fn wait_for_input(&mut self) -> Result<bool, Broken> {
        let patience = self.patience();
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => self.session.on(Event::Shutdown)?,
            read = tokio::time::timeout(patience, self.connection.read()) => match read {
                Err(_) => self.session.on(Event::IdleTimeout)?,
                Ok(octets) => {
                    let octets = octets?;
                    if octets.is_empty() {
                        return Ok(false);
                    }
                    self.session.feed(octets);
                    if !self.share.set(self.session.held_bytes()) {
                        self.session.refuse_message_for_room();
                        self.share.set(self.session.held_bytes());
                    }
                }
            },
        }
        Ok(true)
    }

    fn patience(&self) -> Duration {
        if self.session.is_receiving_message() { self.port.config.data_timeout } else { self.port.config.idle_timeout }
    }
}

/// A clock before 1970 is shown as 1970 in `Received`; nothing else depends on it.
fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
