//! Who the client is, and what was agreed on.

use mailmirror_imap_proto::command::EnableCapability;
use mailmirror_imap_proto::framing::FrameLimits;
use mailmirror_imap_proto::parse::{SaslResponse, sasl_response};
use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_imap_proto::types::{Secret, Tag};

use super::answer::{Done, Note, Stop};
use super::capability::capabilities;
use super::session::{Session, User};
use super::wire::stopping;
use crate::service::AuthError;

impl Session {
    pub(super) fn capability(&mut self) -> Done {
        let offered = capabilities(self.asker());
        self.wire.out.capability(offered);
        Done::new("that is all")
    }

    /// ID (RFC 2971): what the client says of itself is for the log only.
    pub(super) fn id(&mut self, said: &[(String, Option<String>)]) -> Done {
        tracing::debug!(peer = %self.peer, ?said, "client says what it is");
        self.wire.out.id(&[("name", Some("Mailmirror")), ("version", Some(env!("CARGO_PKG_VERSION")))]);
        Done::new("nice to meet you")
    }

    pub(super) fn enable(&mut self, wanted: Vec<EnableCapability>) -> Done {
        let had_condstore = self.enabled.condstore;
        let enabled = self.enabled.enable(wanted);
        self.wire.out.enabled(&enabled);
        if !had_condstore && self.enabled.condstore {
            self.tell_highest_modseq();
        }
        Done::new("enabled")
    }

    /// A command that names a mod-sequence enables CONDSTORE (RFC 7162 section 3.1).
    pub(super) fn enable_condstore(&mut self) {
        if !self.enabled.condstore {
            self.enabled.condstore = true;
            self.tell_highest_modseq();
        }
    }

    fn tell_highest_modseq(&mut self) {
        if let Some(selected) = self.user.as_ref().and_then(|user| user.selected.as_ref()) {
            let code = Code::HighestModSeq(selected.modseq().0);
            self.wire.out.untagged(Status::Ok, Some(&code), "highest so far");
        }
    }

    pub(super) async fn start_tls(&mut self, tag: &Tag) -> Result<Done, Stop> {
        if !self.asker().can_start_tls || self.user.is_some() {
            return Err(Stop::bad("TLS cannot be started now"));
        }
        self.wire.out.tagged(tag, Status::Ok, None, "begin TLS");
        self.wire.flush().await?;
        // What came in plain text behind the command must not count as said under TLS.
        self.wire.framer.discard_buffered();
        self.wire.connection.start_tls(self.port.commons.tls.as_ref()).await?;
        self.secure = true;
        Ok(Done::said())
    }

    pub(super) async fn login(&mut self, user: &str, password: &Secret) -> Result<Done, Stop> {
        self.may_log_in()?;
        self.verify(user, password.expose()).await
    }

    /// AUTHENTICATE PLAIN (RFC 4616).
    pub(super) async fn authenticate(&mut self, mechanism: &str, initial: Option<Secret>) -> Result<Done, Stop> {
        self.may_log_in()?;
        if mechanism != "PLAIN" {
            return Err(Stop::refuse("only PLAIN is offered"));
        }
        let response = if let Some(initial) = initial {
            initial
        } else {
            self.wire.out.challenge(b"");
            let line = self.wire.line(self.patience()).await?;
            match sasl_response(&line).map_err(|problem| Stop::bad(problem.to_string()))? {
                SaslResponse::Data(data) => data,
                SaslResponse::Cancelled => return Err(Stop::bad("cancelled")),
            }
        };
        let mut fields = response.expose().splitn(3, |byte| *byte == 0);
        let (Some(acting_for), Some(user), Some(password)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(Stop::bad("expected the form of PLAIN"));
        };
        if !acting_for.is_empty() && acting_for != user {
            return Err(Stop::no(Code::AuthorizationFailed, "acting for somebody else is not offered"));
        }
        let user = String::from_utf8_lossy(user).into_owned();
        self.verify(&user, password).await
    }

    fn may_log_in(&self) -> Result<(), Stop> {
        if self.user.is_some() {
            return Err(Stop::bad("logged in already"));
        }
        if !self.asker().may_log_in {
            return Err(Stop::no(Code::PrivacyRequired, "start TLS first"));
        }
        Ok(())
    }

    async fn verify(&mut self, login: &str, password: &[u8]) -> Result<Done, Stop> {
        self.wire.flush().await?;
        // No stored password can match what is no UTF-8.
        let verified = match std::str::from_utf8(password) {
            Ok(password) => self.service().authenticate(login, password).await,
            Err(_) => Err(AuthError::Denied),
        };
        let account = match verified {
            Ok(account) => account,
            Err(AuthError::Denied) => return self.deny(login).await,
            Err(error @ (AuthError::Busy | AuthError::Unavailable(_))) => {
                tracing::warn!(peer = %self.peer, %error, "failed to check a login");
                return Err(Stop::no(Code::Unavailable, "logins cannot be checked now; try again later"));
            }
        };
        let Some(seat) = self.port.commons.people.seat(account.id) else {
            return Err(Stop::no(Code::Limit, "too many sessions of this account; close some"));
        };
        tracing::info!(peer = %self.peer, account = %account.address, "logged in");
        self.user = Some(User { account, selected: None, _seat: seat });
        self.failures = 0;
        self.wire.framer.set_limits(FrameLimits::authenticated(self.port.config.message_max_bytes));
        Ok(Done::with(Note::Capabilities(capabilities(self.asker())), "welcome"))
    }

    async fn deny(&mut self, login: &str) -> Result<Done, Stop> {
        tracing::info!(peer = %self.peer, user = %login, "login denied");
        let counted = self.count_failure();
        let delay = self.port.config.failure_delay * self.failures;
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.wire.shutdown.cancelled() => return Err(stopping()),
        }
        counted?;
        Err(Stop::no(Code::AuthenticationFailed, "the name or the password is wrong"))
    }
}
