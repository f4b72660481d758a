//! The POP3 session: AUTHORIZATION, TRANSACTION and UPDATE (RFC 1939 section 3).
//!
//! Used like the SMTP session: loop over [`Session::next_action`], feed octets, hand in events.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::command::{self, AuthCommand, Command, MessageNumber};
use super::response::{multi_line, status_line, top};
use crate::line::{LineFault, LineFramer};
use crate::sasl::{Credentials, Exchange, SaslError, Step};
use crate::session::Security;

/// What all sessions of one listener share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// The name of this server, shown in the greeting.
    pub hostname: String,
    /// Whether STLS is offered (there is a certificate).
    pub stls: bool,
    /// Whether passwords are taken in plain text (`g_plaintext_login`): they can be read on the way.
    pub plaintext_login: bool,
    /// Octets of a command line, CRLF included. RFC 2449 asks for 255.
    pub line_max_bytes: usize,
    /// Octets of a line that is too long after which the search for its end is given up.
    pub line_discard_max_bytes: usize,
    /// Commands that are unknown, malformed or out of place before the session ends.
    pub bad_commands_max: u32,
    /// Failed authentications before the session ends.
    pub auth_failures_max: u32,
}

impl SessionConfig {
    /// Usual bounds, STLS offered, no passwords in plain text.
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            stls: true,
            plaintext_login: false,
            line_max_bytes: 8192,
            line_discard_max_bytes: 64 << 10,
            bad_commands_max: 20,
            auth_failures_max: 3,
        }
    }
}

/// A message of the maildrop, as it was when the session logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Octets of the message.
    pub size: u64,
    /// The unique id (RFC 1939 section 7).
    pub uidl: Uidl,
}

/// A unique id: 1 to 70 printable octets that never mean another message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uidl(String);

impl Uidl {
    /// UIDVALIDITY and UID, which together mean one message for ever (MIRROR.md U4).
    pub fn new(uid_validity: u32, uid: u32) -> Self {
        Self(format!("{uid_validity}.{uid}"))
    }
}

/// What the outside is to do now. Actions are to be carried out in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these octets.
    Send(Vec<u8>),
    /// Start TLS as the server once everything is sent; [`Event::TlsStarted`].
    StartTls,
    /// Verify the credentials and open the maildrop; [`Event::LoggedIn`].
    LogIn(Credentials),
    /// Read the message at this index of the list that was handed in; [`Event::Fetched`].
    Fetch(usize),
    /// Remove the messages at these indexes; [`Event::Removed`].
    Remove(Vec<usize>),
    /// Close the connection once everything is sent. No action follows.
    Close,
}

/// What happened outside.
#[derive(Debug)]
pub enum Event {
    /// The TLS handshake is done.
    TlsStarted,
    /// The answer to [`Action::LogIn`].
    LoggedIn(LoginOutcome),
    /// The answer to [`Action::Fetch`].
    Fetched(FetchOutcome),
    /// The answer to [`Action::Remove`].
    Removed(RemoveOutcome),
    /// The client was silent for too long (at least 10 minutes, RFC 1939 section 3). Nothing is removed.
    IdleTimeout,
    /// The server stops. What the outside was asked for is still answered first.
    Shutdown,
}

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginOutcome {
    /// The maildrop is open and holds these messages.
    Opened(Vec<Listed>),
    /// Wrong credentials.
    Rejected,
    /// Another session has the maildrop.
    InUse,
    /// State cannot be shown now (MIRROR.md N5), or credentials cannot be checked.
    Unavailable,
}

/// What became of a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchOutcome {
    /// The message.
    Message(Bytes),
    /// It is gone since login (another session removed it).
    Gone,
    /// State cannot be shown now; the session ends (MIRROR.md N5).
    Unavailable,
}

/// What became of the removal at QUIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// Committed.
    Done,
    /// Refused before anything was written.
    Unavailable,
    /// Written, but nobody knows whether it will be committed: closed without a reply
    /// (MIRROR.md N6).
    Unknown,
}

pub use crate::session::UnexpectedEvent;

#[derive(Debug)]
enum Phase {
    Start,
    Command,
    Sasl(Exchange),
    Waiting(Wait),
    Closed,
}

#[derive(Debug)]
enum Wait {
    Tls,
    Login,
    Fetch { number: MessageNumber, top_lines: Option<u32> },
    Remove,
}

#[derive(Debug)]
enum State {
    Authorization { user: Option<String> },
    Transaction(Vec<Message>),
}

#[derive(Debug)]
struct Message {
    listed: Listed,
    deleted: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    security: Security,
    phase: Phase,
    state: State,
    input: BytesMut,
    framer: LineFramer,
    queue: VecDeque<Action>,
    bad_commands: u32,
    auth_failures: u32,
    shutting_down: bool,
}

impl Session {
    /// A session on a connection of this security.
    pub fn new(config: Arc<SessionConfig>, security: Security) -> Self {
        let framer = LineFramer::new(config.line_discard_max_bytes);
        Self {
            config,
            security,
            phase: Phase::Start,
            state: State::Authorization { user: None },
            input: BytesMut::new(),
            framer,
            queue: VecDeque::new(),
            bad_commands: 0,
            auth_failures: 0,
            shutting_down: false,
        }
    }

    /// Takes octets that arrived; those sent in plain text after STLS are dropped.
    pub fn feed(&mut self, octets: &[u8]) {
        if !matches!(self.phase, Phase::Closed | Phase::Waiting(Wait::Tls)) {
            self.input.extend_from_slice(octets);
        }
    }

    /// Whether the outside should read more.
    pub fn wants_input(&self) -> bool {
        self.queue.is_empty() && !matches!(self.phase, Phase::Waiting(_) | Phase::Closed)
    }

    /// The next thing to do, or `None` when input or an event is needed first.
    pub fn next_action(&mut self) -> Option<Action> {
        loop {
            if let Some(action) = self.queue.pop_front() {
                return Some(action);
            }
            if !self.step() {
                return None;
            }
        }
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event) -> Result<(), UnexpectedEvent> {
        match event {
            Event::IdleTimeout => self.close_with("idle for too long; closing"),
            Event::Shutdown => self.on_shutdown(),
            answer => self.on_answer(answer)?,
        }
        Ok(())
    }

    fn on_shutdown(&mut self) {
        if matches!(self.phase, Phase::Waiting(_)) {
            self.shutting_down = true;
        } else {
            self.close_with("[SYS/TEMP] server is stopping");
        }
    }

    fn on_answer(&mut self, event: Event) -> Result<(), UnexpectedEvent> {
        let wait = match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Waiting(wait) => wait,
            other => {
                self.phase = other;
                return Err(UnexpectedEvent);
            }
        };
        match (wait, event) {
            (Wait::Tls, Event::TlsStarted) => {
                self.security = Security::Tls;
                self.state = State::Authorization { user: None };
            }
            (Wait::Login, Event::LoggedIn(outcome)) => self.on_logged_in(outcome),
            (Wait::Fetch { number, top_lines }, Event::Fetched(outcome)) => {
                self.on_fetched(number, top_lines, outcome);
            }
            (Wait::Remove, Event::Removed(outcome)) => self.on_removed(outcome),
            (wait, _) => {
                self.phase = Phase::Waiting(wait);
                return Err(UnexpectedEvent);
            }
        }
        if self.shutting_down {
            self.on_shutdown();
        }
        Ok(())
    }

    fn step(&mut self) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Start => {
                let greeting = format!("{} POP3 ready", self.config.hostname);
                self.ok(&greeting);
            }
            Phase::Command => {
                let line_max_bytes = self.config.line_max_bytes;
                match self.framer.next_line(&mut self.input, line_max_bytes) {
                    None => return false,
                    Some(Ok(line)) => match command::parse(&line) {
                        Ok(command) => self.on_command(command),
                        Err(error) => self.refuse(&error.to_string()),
                    },
                    Some(Err(fault)) => self.on_line_fault(fault),
                }
            }
            Phase::Sasl(exchange) => {
                let line_max_bytes = self.config.line_max_bytes;
                match self.framer.next_line(&mut self.input, line_max_bytes) {
                    None => {
                        self.phase = Phase::Sasl(exchange);
                        return false;
                    }
                    Some(Ok(line)) => self.on_sasl(exchange.on_line(&line)),
                    Some(Err(fault)) => self.on_line_fault(fault),
                }
            }
            waiting @ (Phase::Waiting(_) | Phase::Closed) => {
                self.phase = waiting;
                return false;
            }
        }
        true
    }

    fn on_line_fault(&mut self, fault: LineFault) {
        if fault.is_recoverable() {
            self.refuse("line too long");
        } else {
            self.close_with(&format!("{fault}; closing"));
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Capa => self.on_capa(),
            Command::Quit => self.on_quit(),
            command if matches!(self.state, State::Authorization { .. }) => self.on_authorization(command),
            command => self.on_transaction(&command),
        }
    }

    fn may_authenticate(&self) -> bool {
        self.security == Security::Tls || self.config.plaintext_login
    }

    fn offers_stls(&self) -> bool {
        self.config.stls && self.security == Security::Plain
    }

    fn on_capa(&mut self) {
        let mut lines = vec!["TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER"];
        if self.offers_stls() && matches!(self.state, State::Authorization { .. }) {
            lines.push("STLS");
        }
        if self.may_authenticate() {
            lines.extend(["USER", "SASL PLAIN"]);
        }
        let body = lines.join("\r\n");
        self.send(multi_line("capabilities", body.as_bytes()));
    }

    fn on_authorization(&mut self, command: Command) {
        match command {
            Command::Stls if self.offers_stls() => {
                self.ok("ready to start TLS");
                self.queue.push_back(Action::StartTls);
                self.phase = Phase::Waiting(Wait::Tls);
                self.input.clear();
                self.framer.reset();
            }
            Command::Stls => self.refuse("STLS is not offered here"),
            Command::Apop => self.refuse("APOP is not offered; use USER and PASS under TLS"),
            Command::Auth(None) => {
                let body: &[u8] = if self.may_authenticate() { b"PLAIN" } else { b"" };
                self.send(multi_line("mechanisms", body));
            }
            Command::User(_) | Command::Pass(_) | Command::Auth(_) if !self.may_authenticate() => {
                self.refuse("[AUTH] encryption required; send STLS first");
            }
            Command::User(name) => {
                self.state = State::Authorization { user: Some(name) };
                self.ok("send PASS");
            }
            Command::Pass(password) => {
                let State::Authorization { user } = &mut self.state else { return };
                match user.take() {
                    Some(user) => self.log_in(Credentials { user, password }),
                    None => self.refuse("send USER first"),
                }
            }
            Command::Auth(Some(AuthCommand { mechanism, initial })) => {
                self.on_sasl(Exchange::start(mechanism, initial.as_deref()));
            }
            _ => self.refuse("log in first"),
        }
    }

    fn log_in(&mut self, credentials: Credentials) {
        self.queue.push_back(Action::LogIn(credentials));
        self.phase = Phase::Waiting(Wait::Login);
    }

    fn on_sasl(&mut self, step: Result<Step, SaslError>) {
        match step {
            Ok(Step::Challenge(text, exchange)) => {
                self.send(format!("+ {text}\r\n").into_bytes());
                self.phase = Phase::Sasl(exchange);
            }
            Ok(Step::Credentials(credentials)) => self.log_in(credentials),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn on_logged_in(&mut self, outcome: LoginOutcome) {
        match outcome {
            LoginOutcome::Opened(listed) => {
                let text = format!("{} messages", listed.len());
                let message = |listed| Message { listed, deleted: false };
                self.state = State::Transaction(listed.into_iter().map(message).collect());
                self.ok(&text);
            }
            LoginOutcome::Rejected => {
                self.err("[AUTH] user name or password is wrong");
                self.auth_failures += 1;
                if self.auth_failures >= self.config.auth_failures_max {
                    self.close();
                }
            }
            LoginOutcome::InUse => self.err("[IN-USE] another session has this mailbox open"),
            LoginOutcome::Unavailable => self.close_with("[SYS/TEMP] mail cannot be shown at the moment"),
        }
    }

    fn on_transaction(&mut self, command: &Command) {
        match *command {
            Command::Stat => self.on_stat(),
            Command::List(number) => self.on_listing(number, |listed| listed.size.to_string()),
            Command::Uidl(number) => self.on_listing(number, |listed| listed.uidl.0.clone()),
            Command::Retr(number) => self.fetch(number, None),
            Command::Top(number, lines) => self.fetch(number, Some(lines)),
            Command::Dele(number) => match self.live(number) {
                Some(message) => {
                    message.deleted = true;
                    self.ok("marked");
                }
                None => self.no_such_message(),
            },
            Command::Noop => self.ok("ok"),
            Command::Rset => {
                for message in self.messages() {
                    message.deleted = false;
                }
                self.ok("marks removed");
            }
            _ => self.refuse("already logged in"),
        }
    }

    fn messages(&mut self) -> &mut [Message] {
        match &mut self.state {
            State::Transaction(messages) => messages,
            State::Authorization { .. } => &mut [],
        }
    }

    /// The message of that number, unless it is marked as deleted.
    fn live(&mut self, number: MessageNumber) -> Option<&mut Message> {
        let message = self.messages().get_mut(index_of(number)?)?;
        (!message.deleted).then_some(message)
    }

    fn on_stat(&mut self) {
        let sizes: Vec<u64> =
            self.messages().iter().filter(|message| !message.deleted).map(|message| message.listed.size).collect();
        let total: u64 = sizes.iter().fold(0, |sum, size| sum.saturating_add(*size));
        self.ok(&format!("{} {total}", sizes.len()));
    }

    fn on_listing(&mut self, number: Option<MessageNumber>, show: fn(&Listed) -> String) {
        if let Some(number) = number {
            match self.live(number) {
                Some(message) => {
                    let line = format!("{number} {}", show(&message.listed));
                    self.ok(&line);
                }
                None => self.no_such_message(),
            }
            return;
        }
        let mut body = String::new();
        for (number, message) in (1_u32..).zip(self.messages().iter()) {
            if !message.deleted {
                // Writing to a String cannot fail.
                let _ = write!(body, "{number} {}\r\n", show(&message.listed));
            }
        }
        self.send(multi_line("listing follows", body.as_bytes()));
    }

    fn fetch(&mut self, number: MessageNumber, top_lines: Option<u32>) {
        match (self.live(number).is_some(), index_of(number)) {
            (true, Some(index)) => {
                self.queue.push_back(Action::Fetch(index));
                self.phase = Phase::Waiting(Wait::Fetch { number, top_lines });
            }
            _ => self.no_such_message(),
        }
    }

    fn on_fetched(&mut self, number: MessageNumber, top_lines: Option<u32>, outcome: FetchOutcome) {
        match outcome {
            FetchOutcome::Message(message) => {
                let shown = top_lines.map_or(message.as_ref(), |lines| top(&message, lines));
                self.send(multi_line(&format!("message {number}"), shown));
            }
            FetchOutcome::Gone => self.err("message was removed by another session"),
            FetchOutcome::Unavailable => self.close_with("[SYS/TEMP] mail cannot be shown at the moment"),
        }
    }

    fn on_quit(&mut self) {
        let marked: Vec<usize> =
            (0..).zip(self.messages().iter()).filter_map(|(index, message)| message.deleted.then_some(index)).collect();
        if marked.is_empty() {
            self.ok("closing");
            return self.close();
        }
        self.queue.push_back(Action::Remove(marked));
        self.phase = Phase::Waiting(Wait::Remove);
    }

    fn on_removed(&mut self, outcome: RemoveOutcome) {
        match outcome {
            RemoveOutcome::Done => self.ok("messages removed; closing"),
            RemoveOutcome::Unavailable => self.err("[SYS/TEMP] messages were not removed"),
            RemoveOutcome::Unknown => {}
        }
        self.close();
    }

    fn no_such_message(&mut self) {
        self.err("no such message");
    }

    fn send(&mut self, octets: Vec<u8>) {
        self.queue.push_back(Action::Send(octets));
    }

    fn ok(&mut self, text: &str) {
        self.send(status_line(true, text));
    }

    fn err(&mut self, text: &str) {
        self.send(status_line(false, text));
    }

    /// Refuses a bad command; the last one that is allowed ends the session.
    fn refuse(&mut self, text: &str) {
        self.err(text);
        self.bad_commands += 1;
        if self.bad_commands >= self.config.bad_commands_max {
            self.close_with("too many bad commands; closing");
        }
    }

    fn close_with(&mut self, text: &str) {
        if !matches!(self.phase, Phase::Closed) {
            self.err(text);
            self.close();
        }
    }

    fn close(&mut self) {
        self.queue.push_back(Action::Close);
        self.phase = Phase::Closed;
        self.input = BytesMut::new();
    }
}

fn index_of(number: MessageNumber) -> Option<usize> {
    usize::try_from(number.get() - 1).ok()
}
