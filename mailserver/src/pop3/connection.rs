//! One POP3 connection: carries out the actions of its session.

use std::net::IpAddr;
use std::sync::Arc;

use mailmirror_smtp_proto::pop3::session::{
    Action, Event, FetchOutcome, LoginOutcome, RemoveOutcome, Session, UnexpectedEvent,
};
use mailmirror_smtp_proto::session::Security;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Credentials, Entry, Login, Maildrop as _, MaildropDoor, Port};
use crate::net::{Connection, ConnectionError};

/// Why a connection ended other than by the protocol.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Session(#[from] UnexpectedEvent),
}

pub(super) async fn serve<D: MaildropDoor>(
    port: Port<D>,
    stream: TcpStream,
    peer: IpAddr,
    shutdown: CancellationToken,
) {
    let connection = Connection::new(stream, port.config.timeouts);
    let security = match port.config.entry {
        Entry::Plain => Security::Plain,
        Entry::ImplicitTls => Security::Tls,
    };
    let session = Session::new(Arc::clone(&port.session), security);
    let login_deadline = Instant::now() + port.config.login_timeout;
    let client = Client { port, peer, connection, session, maildrop: None, login_deadline, shutdown };
    match client.run().await {
        Ok(()) => tracing::debug!(%peer, "connection ended"),
        Err(error) => tracing::debug!(%peer, %error, "connection broke"),
    }
}

struct Client<D: MaildropDoor> {
    port: Port<D>,
    peer: IpAddr,
    connection: Connection,
    session: Session,
    maildrop: Option<D::Maildrop>,
    login_deadline: Instant,
    shutdown: CancellationToken,
}

impl<D: MaildropDoor> Client<D> {
    async fn run(mut self) -> Result<(), Broken> {
        if self.port.config.entry == Entry::ImplicitTls {
            self.connection.start_tls(self.port.tls.as_ref()).await?;
        }
        loop {
            while let Some(action) = self.session.next_action() {
                if matches!(action, Action::Close) {
                    // Unlocked before the client can know that the session is over.
                    self.maildrop = None;
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
        let event = match action {
            Action::Send(octets) => return Ok(self.connection.send(&octets).await?),
            Action::Close => return Ok(()),
            Action::StartTls => {
                self.connection.start_tls(self.port.tls.as_ref()).await?;
                Event::TlsStarted
            }
            Action::LogIn(credentials) => {
                self.connection.flush().await?;
                Event::LoggedIn(self.log_in(credentials).await)
            }
            Action::Fetch(index) => Event::Fetched(match &self.maildrop {
                Some(maildrop) => maildrop.fetch(index).await,
                None => FetchOutcome::Unavailable,
            }),
            Action::Remove(indexes) => Event::Removed(match &self.maildrop {
                Some(maildrop) => maildrop.remove(indexes).await,
                None => RemoveOutcome::Unavailable,
            }),
        };
        self.session.on(event)?;
        if self.shutdown.is_cancelled() {
            self.session.on(Event::Shutdown)?;
        }
        Ok(())
    }

    async fn log_in(&mut self, credentials: Credentials) -> LoginOutcome {
        match self.port.door.log_in(self.peer, credentials).await {
            Login::Opened(maildrop) => LoginOutcome::Opened(self.maildrop.insert(maildrop).list()),
            Login::Rejected => LoginOutcome::Rejected,
            Login::InUse => LoginOutcome::InUse,
            Login::Unavailable => LoginOutcome::Unavailable,
        }
    }

    /// Reads once and feeds the session; false when the client has gone.
    async fn wait_for_input(&mut self) -> Result<bool, Broken> {
        let idle_deadline = Instant::now() + self.port.config.idle_timeout;
        let deadline = if self.maildrop.is_some() { idle_deadline } else { idle_deadline.min(self.login_deadline) };
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => self.session.on(Event::Shutdown)?,
            read = tokio::time::timeout_at(deadline, self.connection.read()) => match read {
                Err(_) => self.session.on(Event::IdleTimeout)?,
                Ok(octets) => {
                    let octets = octets?;
                    if octets.is_empty() {
                        return Ok(false);
                    }
                    self.session.feed(octets);
                }
            },
        }
        Ok(true)
    }
}
