//! The commands, one method each, and the answers that some of them wait for.

use super::{
    Action, AuthOffer, AuthOutcome, DeliveryOutcome, Envelope, Greeting, Phase, Protocol, Recipient, RecipientOutcome,
    RecipientQuery, Security, Session, TlsOffer, Wait,
};
use crate::address::ForwardPath;
use crate::command::{Command, HeloName, MailCommand};
use crate::data::{DataFault, DataReceiver};
use crate::reply::Reply;
use crate::sasl::{Exchange, Mechanism};

impl Session {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Helo(name) => self.on_hello(name, Protocol::Smtp, false),
            Command::Ehlo(name) => self.on_hello(name, Protocol::Smtp, true),
            Command::Lhlo(name) => self.on_hello(name, Protocol::Lmtp, true),
            Command::Mail(mail) => self.on_mail(mail),
            Command::Rcpt(recipient) => self.on_rcpt(recipient),
            Command::Data => self.on_data(),
            Command::Rset => {
                self.reset_transaction();
                self.reply(&Reply::new(250, (0, 0), "reset"));
            }
            Command::Noop => self.reply(&Reply::new(250, (0, 0), "ok")),
            Command::Quit => self.close_with(&Reply::new(221, (0, 0), "closing")),
            // RFC 5321 section 3.5.3: the honest answer of a server that does not tell who exists.
            Command::Vrfy => self.reply(&Reply::new(252, (5, 0), "send mail to find out")),
            Command::Expn => self.reply(&Reply::new(502, (5, 1), "EXPN is not offered")),
            Command::Help => self.reply(&Reply::new(214, (0, 0), "see RFC 5321")),
            Command::StartTls => self.on_starttls(),
            Command::Auth { mechanism, initial } => self.on_auth(mechanism, initial.as_deref()),
        }
    }

    fn sequence_error(&mut self, text: &str) {
        self.refuse(&Reply::new(503, (5, 1), text));
    }

    fn on_hello(&mut self, name: HeloName, protocol: Protocol, extended: bool) {
        if protocol != self.config.protocol {
            return self.refuse(&Reply::new(500, (5, 1), "wrong greeting for this protocol"));
        }
        self.reset_transaction();
        let first = format!("{} greets {name}", self.config.hostname);
        self.greeting = Some(Greeting { name, extended });
        if !extended {
            return self.reply(&Reply::plain(250, first));
        }
        let mut lines = vec![first];
        lines.extend(["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"].map(str::to_owned));
        lines.push(format!("SIZE {}", self.config.limits.data.message_max_bytes));
        if self.config.offers_starttls(self.security) {
            lines.push("STARTTLS".to_owned());
        }
        if self.config.offers_auth(self.security) && self.user.is_none() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        self.reply(&Reply::multi(250, lines));
    }

    fn on_mail(&mut self, mail: MailCommand) {
        let Some(greeting) = self.greeting.clone() else {
            return self.sequence_error("send EHLO first");
        };
        if self.transaction.is_some() {
            return self.sequence_error("a transaction is open; send RSET first");
        }
        if self.config.tls == TlsOffer::Required && self.security == Security::Plain {
            return self.refuse(&Reply::new(530, (7, 0), "send STARTTLS first"));
        }
        if self.config.auth == AuthOffer::Required && self.user.is_none() {
            return self.refuse(&Reply::new(530, (7, 0), "authentication required"));
        }
        if mail.size.is_some_and(|size| size > self.config.limits.data.message_max_bytes) {
            return self.reply(&DataFault::TooLarge.reply());
        }
        self.rcpt_seen = 0;
        self.transaction = Some(Envelope {
            greeting,
            peer: self.peer,
            protocol: self.config.protocol,
            security: self.security,
            user: self.user.clone(),
            reverse_path: mail.reverse_path,
            recipients: Vec::new(),
            declared_size: mail.size,
            body: mail.body,
        });
        self.reply(&Reply::new(250, (1, 0), "sender ok"));
    }

    fn on_rcpt(&mut self, recipient: ForwardPath) {
        let Some(envelope) = &self.transaction else {
            return self.sequence_error("send MAIL first");
        };
        if envelope.recipients.len() >= self.config.limits.rcpt_max {
            return self.reply(&Reply::new(452, (5, 3), "too many recipients"));
        }
        let query = RecipientQuery {
            recipient: recipient.clone(),
            reverse_path: envelope.reverse_path.clone(),
            user: self.user.clone(),
            declared_size: envelope.declared_size,
        };
        self.queue.push_back(Action::ResolveRecipient(query));
        self.phase = Phase::Waiting(Wait::Recipient(recipient));
    }

    pub(super) fn on_resolved(&mut self, path: ForwardPath, outcome: RecipientOutcome) {
        self.rcpt_seen += 1;
        if let (RecipientOutcome::Accepted(key), Some(envelope)) = (outcome, &mut self.transaction) {
            // Each RCPT of LMTP has its own reply, so there a repetition is kept.
            let known = |known: &Recipient| known.key == key;
            let repeated = envelope.protocol == Protocol::Smtp && envelope.recipients.iter().any(known);
            if !repeated {
                envelope.recipients.push(Recipient { path, key });
            }
        }
        self.reply(&outcome.reply());
    }

    fn on_data(&mut self) {
        let taken = self.transaction.as_ref().map(|envelope| envelope.recipients.len());
        match taken {
            None => self.sequence_error("send MAIL first"),
            Some(0) if self.rcpt_seen == 0 => self.sequence_error("send RCPT first"),
            // RFC 2033 section 4.2 asks LMTP for 503 here; RFC 5321 section 3.3 allows 554 too.
            Some(0) if self.config.protocol == Protocol::Lmtp => {
                self.sequence_error("no valid recipients");
            }
            Some(0) => self.reply(&Reply::new(554, (5, 1), "no valid recipients")),
            Some(_) => {
                self.reply(&Reply::plain(354, "send the message; end with <CRLF>.<CRLF>"));
                self.phase = Phase::Data(DataReceiver::new(self.config.limits.data));
            }
        }
    }

    pub(super) fn on_delivered(&mut self, recipients: usize, mut outcomes: Vec<DeliveryOutcome>) {
        outcomes.resize(recipients, DeliveryOutcome::Unknown);
        self.reset_transaction();
        if self.config.protocol == Protocol::Smtp {
            outcomes.sort_by_key(|outcome| std::cmp::Reverse(outcome.severity()));
            outcomes.truncate(1);
        }
        for outcome in outcomes {
            match outcome.reply() {
                Some(reply) => self.reply(&reply),
                // A later reply would be taken for this one's: nothing more is said.
                None => return self.close(),
            }
        }
    }

    fn on_starttls(&mut self) {
        if !self.config.offers_starttls(self.security) {
            return self.refuse(&Reply::new(502, (5, 1), "STARTTLS is not offered here"));
        }
        if self.greeting.is_none() {
            return self.sequence_error("send EHLO first");
        }
        if self.transaction.is_some() {
            return self.sequence_error("STARTTLS is not allowed inside a transaction");
        }
        self.reply(&Reply::new(220, (0, 0), "ready to start TLS"));
        self.queue.push_back(Action::StartTls);
        self.phase = Phase::Waiting(Wait::Tls);
        // Commands sent along in plain text may be an attacker's; under TLS they would look like the
        // client's own.
        self.input.clear();
        self.framer.reset();
    }

    pub(super) fn on_tls_started(&mut self) {
        self.security = Security::Tls;
        self.greeting = None;
        self.user = None;
        self.reset_transaction();
    }

    fn on_auth(&mut self, mechanism: Mechanism, initial: Option<&str>) {
        if self.config.auth == AuthOffer::None {
            return self.refuse(&Reply::new(502, (5, 1), "AUTH is not offered here"));
        }
        if !self.config.offers_auth(self.security) {
            return self.refuse(&Reply::new(538, (7, 11), "encryption required; send STARTTLS first"));
        }
        if self.greeting.is_none() {
            return self.sequence_error("send EHLO first");
        }
        if self.user.is_some() {
            return self.sequence_error("already authenticated");
        }
        if self.transaction.is_some() {
            return self.sequence_error("AUTH is not allowed inside a transaction");
        }
        self.on_sasl(Exchange::start(mechanism, initial));
    }

    pub(super) fn on_authenticated(&mut self, outcome: AuthOutcome) {
        match outcome {
            AuthOutcome::Accepted { account } => {
                self.user = Some(account);
                self.reply(&Reply::new(235, (7, 0), "authenticated"));
            }
            AuthOutcome::Rejected => {
                self.reply(&Reply::new(535, (7, 8), "user name or password is wrong"));
                self.auth_failures += 1;
                if self.auth_failures >= self.config.limits.auth_failures_max {
                    self.close_with(&Reply::new(421, (7, 0), "too many failed authentications; closing"));
                }
            }
            AuthOutcome::Unavailable => {
                self.reply(&Reply::new(454, (7, 0), "cannot authenticate at the moment; try again later"));
            }
        }
    }
}
