//! One session: reads commands and carries them out, one after the other.

use std::net::IpAddr;

use mailmirror_imap_proto::command::{Command, Request};
use mailmirror_imap_proto::parse::parse;
use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_imap_proto::types::Tag;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Done, Note, Stop};
use super::capability::{Asker, Enabled, capabilities};
use super::mailbox_view::MailboxView;
use super::people::Seat;
use super::wire::{Patience, Wire, stopping};
use super::{Entry, Port};
use crate::net::Connection;
use crate::service::{AccountHandle, Service, View};

/// A session.
pub(super) struct Session {
    pub(super) port: Port,
    pub(super) peer: IpAddr,
    pub(super) wire: Wire,
    pub(super) secure: bool,
    pub(super) enabled: Enabled,
    pub(super) user: Option<User>,
    /// What a stranger did wrong so far.
    pub(super) failures: u32,
    login_deadline: Instant,
}

/// Somebody who has logged in.
pub(super) struct User {
    pub(super) account: AccountHandle,
    pub(super) selected: Option<MailboxView>,
    pub(super) _seat: Seat,
}

pub(super) async fn serve(port: Port, stream: TcpStream, peer: IpAddr, shutdown: CancellationToken) {
    let connection = Connection::new(stream, port.config.timeouts);
    let wire = Wire::new(connection, port.commons.room.share(), shutdown);
    let login_deadline = Instant::now() + port.config.login_timeout;
    let mut session = Session {
        port,
        peer,
        wire,
        secure: false,
        enabled: Enabled::default(),
        user: None,
        failures: 0,
        login_deadline,
    };
    let stop = session.run().await;
    session.end(stop).await;
}

impl Session {
    async fn run(&mut self) -> Stop {
        match self.greet().await {
            Ok(()) => {}
            Err(stop) => return stop,
        }
        loop {
            if let Err(stop) = self.next().await {
                return stop;
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Stop> {
        if self.port.config.entry == Entry::ImplicitTls {
            self.wire.connection.start_tls(self.port.commons.tls.as_ref()).await?;
            self.secure = true;
        }
        let capabilities = capabilities(self.asker());
        let greeting = format!("{} IMAP ready", self.port.config.server_name);
        self.wire.out.untagged(Status::Ok, Some(&Code::Capability(&capabilities)), &greeting);
        self.wire.flush().await
    }

    async fn next(&mut self) -> Result<(), Stop> {
        if self.wire.shutdown.is_cancelled() {
            return Err(stopping());
        }
        // A stranger who keeps talking is no less late.
        if self.user.is_none() && Instant::now() >= self.login_deadline {
            return Err(Stop::Bye(None, "no login in time".to_owned()));
        }
        let frame = self.wire.command(self.patience()).await?;
        let request = match parse(&frame) {
            Ok(request) => request,
            Err(error) => {
                self.wire.out.parse_error(&error);
                return self.count_failure();
            }
        };
        drop(frame);
        let Request { tag, command } = request;
        match self.perform(&tag, command).await {
            Ok(Done { note: Note::Said, .. }) => {}
            Ok(done) => self.wire.out.tagged(&tag, Status::Ok, done.note.code().as_ref(), &done.text),
            Err(Stop::Answer(status, code, text)) => self.wire.out.tagged(&tag, status, code.as_ref(), &text),
            Err(Stop::LoggedOut) => {
                self.wire.out.bye(None, "see you");
                self.wire.out.tagged(&tag, Status::Ok, None, "logged out");
                return Err(Stop::LoggedOut);
            }
            Err(stop) => return Err(stop),
        }
        // What an APPEND held is given back.
        self.wire.share.set(self.wire.framer.buffered_bytes());
        self.wire.spill().await
    }

    async fn perform(&mut self, tag: &Tag, command: Command) -> Result<Done, Stop> {
        let tells_expunges = tells_expunges(&command);
        let shows_news = shows_news(&command);
        let result = self.carry_out(tag, command).await;
        // A command that was refused tells the news too.
        if shows_news && matches!(result, Ok(_) | Err(Stop::Answer(..))) {
            self.settle(tells_expunges).await?;
        }
        result
    }

    async fn carry_out(&mut self, tag: &Tag, command: Command) -> Result<Done, Stop> {
        match command {
            Command::Capability => Ok(self.capability()),
            Command::Noop | Command::Check => self.noop().await,
            Command::Logout => Err(Stop::LoggedOut),
            Command::Id(said) => Ok(self.id(&said)),
            Command::StartTls => self.start_tls(tag).await,
            Command::Login { user, password } => self.login(&user, &password).await,
            Command::Authenticate { mechanism, initial } => self.authenticate(&mechanism, initial).await,
            command => {
                self.user()?;
                self.carry_out_for_user(tag, command).await
            }
        }
    }

    async fn carry_out_for_user(&mut self, tag: &Tag, command: Command) -> Result<Done, Stop> {
        match command {
            Command::Enable(wanted) => Ok(self.enable(wanted)),
            Command::Namespace => {
                self.wire.out.namespace();
                Ok(Done::new("that is all"))
            }
            Command::Select(select) => self.select(select).await,
            Command::Create { mailbox, special_use } => self.create(&mailbox, &special_use).await,
            Command::Delete(mailbox) => self.delete(&mailbox).await,
            Command::Rename { from, to } => self.rename(&from, &to).await,
            Command::Subscribe(mailbox) => self.subscribe(&mailbox, true).await,
            Command::Unsubscribe(mailbox) => self.subscribe(&mailbox, false).await,
            Command::List(list) => self.list(&list).await,
            Command::Lsub { reference, pattern } => self.lsub(&reference, &pattern).await,
            Command::Status { mailbox, items } => self.status(&mailbox, &items).await,
            Command::Append(append) => self.append(append).await,
            Command::Idle => self.idle().await,
            command => {
                self.selected()?;
                self.carry_out_on_messages(tag, command).await
            }
        }
    }

    async fn carry_out_on_messages(&mut self, tag: &Tag, command: Command) -> Result<Done, Stop> {
        match command {
            Command::Close => self.close().await,
            Command::Unselect => Ok(self.unselect()),
            Command::Expunge { uids } => self.expunge(uids.as_ref()).await,
            Command::Search(search) => self.search(tag, search).await,
            Command::Fetch(fetch) => self.fetch(fetch).await,
            Command::Store(store) => self.store(store).await,
            Command::Copy { uid, set, to } => self.copy(uid, &set, &to).await,
            Command::Move { uid, set, to } => self.move_to(uid, &set, &to).await,
            _ => Err(Stop::bad("command is not known here")),
        }
    }

    async fn end(mut self, stop: Stop) {
        let peer = self.peer;
        match stop {
            Stop::Bye(code, text) => {
                tracing::debug!(%peer, %text, "session is ended");
                self.wire.out.bye(code.as_ref(), &text);
            }
            Stop::Answer(_, code, text) => self.wire.out.bye(code.as_ref(), &text),
            Stop::LoggedOut => tracing::debug!(%peer, "session ended"),
            Stop::Silent => tracing::warn!(%peer, "outcome of a change is unknown; closed without an answer"),
            Stop::Gone => tracing::debug!(%peer, "client has gone"),
            Stop::Broken(error) => {
                tracing::debug!(%peer, %error, "connection broke");
                return;
            }
        }
        // Given back before the client can know that the session is over.
        self.user = None;
        if let Err(Stop::Broken(error)) = self.wire.flush().await {
            tracing::debug!(%peer, %error, "connection broke");
            return;
        }
        if let Err(error) = self.wire.connection.close().await {
            tracing::debug!(%peer, %error, "connection broke while it was closed");
        }
    }

    pub(super) fn service(&self) -> &Service {
        &self.port.commons.service
    }

    pub(super) fn asker(&self) -> Asker {
        Asker {
            logged_in: self.user.is_some(),
            can_start_tls: !self.secure && self.port.commons.tls.is_some(),
            may_log_in: self.secure || self.port.config.plaintext_login,
        }
    }

    pub(super) fn patience(&self) -> Patience {
        let config = &self.port.config;
        let idle = Instant::now() + config.idle_timeout;
        let until = if self.user.is_some() { idle } else { idle.min(self.login_deadline) };
        Patience { until, within: config.command_timeout }
    }

    /// A stranger may not try for ever.
    pub(super) fn count_failure(&mut self) -> Result<(), Stop> {
        if self.user.is_some() {
            return Ok(());
        }
        self.failures += 1;
        if self.failures >= self.port.config.failures_max {
            return Err(Stop::Bye(None, "too many failures".to_owned()));
        }
        Ok(())
    }

    pub(super) fn user(&self) -> Result<&User, Stop> {
        self.user.as_ref().ok_or_else(|| Stop::bad("log in first"))
    }

    pub(super) fn account(&self) -> Result<AccountHandle, Stop> {
        Ok(self.user()?.account.clone())
    }

    pub(super) fn selected(&self) -> Result<&MailboxView, Stop> {
        self.user()?.selected.as_ref().ok_or_else(|| Stop::bad("select a mailbox first"))
    }

    pub(super) fn selected_mut(&mut self) -> Option<&mut MailboxView> {
        self.user.as_mut()?.selected.as_mut()
    }

    /// The mailbox to change messages in.
    pub(super) fn writable(&self) -> Result<&MailboxView, Stop> {
        let selected = self.selected()?;
        if selected.read_only {
            return Err(Stop::refuse("the mailbox is opened read-only"));
        }
        Ok(selected)
    }

    /// A read point for a command that changes something; it is refused where there is none (rule N6).
    pub(super) async fn show_for_change(&self) -> Result<View, Stop> {
        self.service().show().await.map_err(Stop::for_change)
    }
}

/// No EXPUNGE while a command that counts by sequence numbers is answered (RFC 3501 section 7.4.1).
fn tells_expunges(command: &Command) -> bool {
    match command {
        Command::Fetch(fetch) => fetch.uid,
        Command::Store(store) => store.uid,
        Command::Search(search) => search.uid,
        _ => true,
    }
}

/// Commands after which the client is told what is new in the selected mailbox.
fn shows_news(command: &Command) -> bool {
    !matches!(
        command,
        Command::Capability
            | Command::Logout
            | Command::Id(_)
            | Command::StartTls
            | Command::Login { .. }
            | Command::Authenticate { .. }
            | Command::Enable(_)
            | Command::Namespace
            | Command::Select(_)
            | Command::Close
            | Command::Unselect
            | Command::Noop
            | Command::Check
    )
}
