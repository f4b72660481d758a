//! The SMTP and LMTP session: which command is allowed when, what it is answered, and what the
//! outside is asked to do.
//!
//! The caller loops: [`Session::next_action`] until it returns `None`, then read from the socket and
//! [`Session::feed`], or hand in the [`Event`] that the last action asked for. Commands that arrived
//! early (PIPELINING) wait in the session and are answered in order.

mod config;
mod transaction;
mod verbs;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::BytesMut;

pub use config::{AuthOffer, Limits, Protocol, Security, SessionConfig, TlsOffer};
pub use transaction::{
    AuthOutcome, DeliveryOutcome, Envelope, Greeting, Recipient, RecipientKey, RecipientOutcome, RecipientQuery,
    Transaction,
};

use crate::address::ForwardPath;
use crate::command::{self, CommandError};
use crate::data::{DataEnd, DataFault, DataReceiver};
use crate::line::{LineFault, LineFramer};
use crate::reply::Reply;
use crate::sasl::{Credentials, Exchange, SaslError, Step};
use crate::trace::count_hops;

/// What the outside is to do now. Actions are to be carried out in order.
#[derive(Debug)]
pub enum Action {
    /// Send these octets. Several may be put together; they must be flushed before the outside
    /// waits for anything.
    Send(Vec<u8>),
    /// Start TLS as the server once everything is sent, drop whatever was read in plain text, and
    /// answer with [`Event::TlsStarted`].
    StartTls,
    /// Verify these credentials; [`Event::Authenticated`].
    Authenticate(Credentials),
    /// Say whether this recipient is taken; [`Event::RecipientResolved`].
    ResolveRecipient(RecipientQuery),
    /// Deliver this message; [`Event::Delivered`].
    Deliver(Box<Transaction>),
    /// Close the connection once everything is sent. No action follows.
    Close,
}

/// What happened outside.
#[derive(Debug)]
pub enum Event {
    /// The TLS handshake is done.
    TlsStarted,
    /// The answer to [`Action::Authenticate`].
    Authenticated(AuthOutcome),
    /// The answer to [`Action::ResolveRecipient`].
    RecipientResolved(RecipientOutcome),
    /// The answer to [`Action::Deliver`]: one outcome for each recipient, in their order. A missing one
    /// counts as [`DeliveryOutcome::Unknown`].
    Delivered(Vec<DeliveryOutcome>),
    /// The client was silent for too long.
    IdleTimeout,
    /// The server stops. What the outside was asked for is still answered first.
    Shutdown,
}

/// An event that answers no action. The session has not changed; the caller has a fault and should
/// close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event does not answer the action the session waits for")]
pub struct UnexpectedEvent;

#[derive(Debug)]
enum Phase {
    Start,
    Command,
    Sasl(Exchange),
    Data(DataReceiver),
    Waiting(Wait),
    Closed,
}

#[derive(Debug)]
enum Wait {
    Tls,
    Authentication,
    Recipient(ForwardPath),
    Delivery { recipients: usize },
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    peer: IpAddr,
    security: Security,
    phase: Phase,
    input: BytesMut,
    framer: LineFramer,
    queue: VecDeque<Action>,
    greeting: Option<Greeting>,
    user: Option<String>,
    transaction: Option<Envelope>,
    /// RCPT commands of the transaction that were answered, refused ones included.
    rcpt_seen: usize,
    bad_commands: u32,
    auth_failures: u32,
    shutting_down: bool,
}

impl Session {
    /// A session with the client at `peer`. `security` is [`Security::Tls`] when the connection was
    /// encrypted before the first octet (implicit TLS).
    pub fn new(config: Arc<SessionConfig>, peer: IpAddr, security: Security) -> Self {
        let framer = LineFramer::new(config.limits.line_discard_max_bytes);
        Self {
            config,
            peer,
            security,
            phase: Phase::Start,
            input: BytesMut::new(),
            framer,
            queue: VecDeque::new(),
            greeting: None,
            user: None,
            transaction: None,
            rcpt_seen: 0,
            bad_commands: 0,
            auth_failures: 0,
            shutting_down: false,
        }
    }

    /// Takes octets that arrived. While the session waits for TLS to start, or is closed, they are
    /// dropped: what was sent in plain text must not be read as sent under TLS (RFC 3207
    /// section 4.2).
    pub fn feed(&mut self, octets: &[u8]) {
        if !matches!(self.phase, Phase::Closed | Phase::Waiting(Wait::Tls)) {
            self.input.extend_from_slice(octets);
        }
    }

    /// Whether the outside should read more. False while an event is waited for and after the end; so a client
    /// cannot fill memory by sending ahead.
    pub fn wants_input(&self) -> bool {
        self.queue.is_empty() && !matches!(self.phase, Phase::Waiting(_) | Phase::Closed)
    }

    /// Octets held for this client: unread input and the message being received.
    pub fn held_bytes(&self) -> usize {
        let message = match &self.phase {
            Phase::Data(receiver) => receiver.held_bytes(),
            _ => 0,
        };
        self.input.len() + message
    }

    /// Whether a message is being received (its own, longer timeout applies: RFC 5321 section 4.5.3.2).
    pub fn is_receiving_message(&self) -> bool {
        matches!(self.phase, Phase::Data(_))
    }

    /// Refuses the message that is being received with `452 4.3.1`, because all messages together
    /// take too much memory. Without effect at other times.
    pub fn refuse_message_for_room(&mut self) {
        if let Phase::Data(receiver) = &mut self.phase {
            receiver.refuse(DataFault::NoRoom);
        }
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
            Event::IdleTimeout => self.close_with(&Reply::new(421, (4, 2), "idle for too long; closing")),
            Event::Shutdown => self.on_shutdown(),
            answer => self.on_answer(answer)?,
        }
        Ok(())
    }

    fn on_shutdown(&mut self) {
        match self.phase {
            Phase::Waiting(_) => self.shutting_down = true,
            Phase::Closed => {}
            _ => self.close_with(&Reply::new(421, (3, 2), "server is stopping; try again later")),
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
            (Wait::Tls, Event::TlsStarted) => self.on_tls_started(),
            (Wait::Authentication, Event::Authenticated(outcome)) => self.on_authenticated(outcome),
            (Wait::Recipient(recipient), Event::RecipientResolved(outcome)) => {
                self.on_resolved(recipient, outcome);
            }
            (Wait::Delivery { recipients }, Event::Delivered(outcomes)) => {
                self.on_delivered(recipients, outcomes);
            }
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

    /// Goes on by one command, line or message; false when there is nothing to go on with.
    fn step(&mut self) -> bool {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Start => {
                let text = format!("{} {} ready", self.config.hostname, self.config.protocol.name());
                self.reply(&Reply::plain(220, text));
                true
            }
            Phase::Command => self.step_command(),
            Phase::Sasl(exchange) => self.step_sasl(exchange),
            Phase::Data(receiver) => self.step_data(receiver),
            waiting @ (Phase::Waiting(_) | Phase::Closed) => {
                self.phase = waiting;
                false
            }
        }
    }

    fn step_command(&mut self) -> bool {
        let line_max_bytes = self.config.limits.line_max_bytes;
        let Some(line) = self.framer.next_line(&mut self.input, line_max_bytes) else { return false };
        match line {
            Ok(line) => match command::parse(&line) {
                Ok(command) => self.on_command(command),
                Err(error) => self.on_syntax_error(error),
            },
            Err(fault) => self.on_line_fault(fault),
        }
        true
    }

    fn on_syntax_error(&mut self, error: CommandError) {
        self.refuse(&error.reply());
    }

    fn on_line_fault(&mut self, fault: LineFault) {
        match fault {
            LineFault::TooLong => self.refuse(&Reply::new(500, (5, 2), "line too long")),
            // 521 as Postfix does it: the client is not to be read from again.
            LineFault::BareLf | LineFault::BareCr | LineFault::Endless => {
                self.close_with(&Reply::new(521, (5, 2), format!("{fault}; closing")));
            }
        }
    }

    fn step_sasl(&mut self, exchange: Exchange) -> bool {
        let line_max_bytes = self.config.limits.sasl_line_max_bytes;
        match self.framer.next_line(&mut self.input, line_max_bytes) {
            None => {
                self.phase = Phase::Sasl(exchange);
                return false;
            }
            Some(Ok(line)) => self.on_sasl(exchange.on_line(&line)),
            Some(Err(LineFault::TooLong)) => {
                self.refuse(&Reply::new(500, (5, 6), "authentication exchange line is too long"));
            }
            Some(Err(fault)) => self.on_line_fault(fault),
        }
        true
    }

    fn on_sasl(&mut self, step: Result<Step, SaslError>) {
        match step {
            Ok(Step::Challenge(text, exchange)) => {
                self.reply(&Reply::plain(334, text));
                self.phase = Phase::Sasl(exchange);
            }
            Ok(Step::Credentials(credentials)) => {
                self.phase = Phase::Waiting(Wait::Authentication);
                self.queue.push_back(Action::Authenticate(credentials));
            }
            Err(error @ SaslError::Cancelled) => self.refuse(&Reply::new(501, (7, 0), error.to_string())),
            Err(error @ SaslError::Malformed) => self.refuse(&Reply::new(501, (5, 2), error.to_string())),
            Err(error @ SaslError::ActingForOther) => self.refuse(&Reply::new(535, (7, 8), error.to_string())),
        }
    }

    fn step_data(&mut self, mut receiver: DataReceiver) -> bool {
        match receiver.receive(&mut self.input) {
            None => {
                self.phase = Phase::Data(receiver);
                return false;
            }
            Some(DataEnd::Message(body)) => self.on_message(body),
            Some(DataEnd::Refused(fault)) => self.refuse_message(fault),
            Some(DataEnd::Endless) => {
                self.close_with(&Reply::new(552, (3, 4), "message has no end within the limit; closing"));
            }
        }
        true
    }

    fn on_message(&mut self, body: Vec<u8>) {
        let hops_max = self.config.limits.hops_max;
        if count_hops(&body, hops_max) > hops_max {
            return self.refuse_message(DataFault::TooManyHops);
        }
        let Some(envelope) = self.transaction.take() else { return };
        self.phase = Phase::Waiting(Wait::Delivery { recipients: envelope.recipients.len() });
        self.queue.push_back(Action::Deliver(Box::new(Transaction { envelope, body })));
    }

    /// LMTP answers for each recipient, also when the message itself is refused (RFC 2033
    /// section 4.2).
    fn refuse_message(&mut self, fault: DataFault) {
        let replies = match self.config.protocol {
            Protocol::Smtp => 1,
            Protocol::Lmtp => self.transaction.as_ref().map_or(1, |envelope| envelope.recipients.len()),
        };
        for _ in 0..replies {
            self.reply(&fault.reply());
        }
        self.reset_transaction();
    }

    fn reset_transaction(&mut self) {
        self.transaction = None;
        self.rcpt_seen = 0;
    }

    fn reply(&mut self, reply: &Reply) {
        self.queue.push_back(Action::Send(reply.to_bytes()));
    }

    /// Sends a refusal of a bad command; the last one that is allowed ends the session.
    fn refuse(&mut self, reply: &Reply) {
        self.reply(reply);
        self.bad_commands += 1;
        if self.bad_commands >= self.config.limits.bad_commands_max {
            self.close_with(&Reply::new(421, (7, 0), "too many bad commands; closing"));
        }
    }

    fn close_with(&mut self, reply: &Reply) {
        if !matches!(self.phase, Phase::Closed) {
            self.reply(reply);
            self.close();
        }
    }

    fn close(&mut self) {
        self.queue.push_back(Action::Close);
        self.phase = Phase::Closed;
        self.input = BytesMut::new();
        self.reset_transaction();
    }
}
