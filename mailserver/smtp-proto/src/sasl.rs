//! The SASL exchanges that SMTP (RFC 4954) and POP3 (RFC 5034) share: PLAIN (RFC 4616) and LOGIN
//! (never standardised, still the only one some clients know).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// A password. It is not shown by `Debug` and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps a password.
    pub fn new(password: String) -> Self {
        Self(Zeroizing::new(password))
    }

    /// The password, for the one place that verifies it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What a client says to prove who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name as sent.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN, RFC 4616.
    Plain,
    /// LOGIN: user name and password in two steps.
    Login,
}

impl Mechanism {
    /// The mechanism of that name, in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("PLAIN") {
            Some(Self::Plain)
        } else if name.eq_ignore_ascii_case("LOGIN") {
            Some(Self::Login)
        } else {
            None
        }
    }
}

/// Why an exchange ended without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client sent `*`.
    #[error("authentication cancelled")]
    Cancelled,
    /// Not base64, or not in the form of the mechanism.
    #[error("authentication data cannot be decoded")]
    Malformed,
    /// PLAIN with an authorisation identity other than the authentication identity: acting for
    /// somebody else is not offered.
    #[error("authorisation identity must be empty or the user itself")]
    ActingForOther,
}

/// A started exchange that waits for a client line.
#[derive(Debug)]
pub struct Exchange(Waiting);

#[derive(Debug)]
enum Waiting {
    Plain,
    LoginUser,
    LoginPassword(String),
}

/// What comes after a client line.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge (base64, may be empty) and feed the next line to the exchange.
    Challenge(String, Exchange),
    /// The client has said all.
    Credentials(Credentials),
}

impl Exchange {
    /// Starts a mechanism. `initial` is the initial response as sent (base64; `=` is an empty one).
    pub fn start(mechanism: Mechanism, initial: Option<&str>) -> Result<Step, SaslError> {
        let waiting = match mechanism {
            Mechanism::Plain => Waiting::Plain,
            Mechanism::Login => Waiting::LoginUser,
        };
        match initial {
            Some("=") => Self(waiting).on_response(""),
            Some(response) => Self(waiting).on_response(response),
            None => Ok(Self(waiting).challenge()),
        }
    }

    /// Goes on with one line of the client (without CRLF).
    pub fn on_line(self, line: &[u8]) -> Result<Step, SaslError> {
        let line = std::str::from_utf8(line).map_err(|_| SaslError::Malformed)?;
        if line == "*" {
            return Err(SaslError::Cancelled);
        }
        self.on_response(line)
    }

    fn challenge(self) -> Step {
        let prompt = match self.0 {
            Waiting::Plain => "",
            Waiting::LoginUser => "Username:",
            Waiting::LoginPassword(_) => "Password:",
        };
        Step::Challenge(STANDARD.encode(prompt), self)
    }

    fn on_response(self, response: &str) -> Result<Step, SaslError> {
        let decoded = STANDARD.decode(response).map_err(|_| SaslError::Malformed)?;
        let text = String::from_utf8(decoded).map_err(|_| SaslError::Malformed)?;
        match self.0 {
            Waiting::Plain => plain(&text).map(Step::Credentials),
            Waiting::LoginUser if text.is_empty() || text.contains('\0') => Err(SaslError::Malformed),
            Waiting::LoginUser => Ok(Self(Waiting::LoginPassword(text)).challenge()),
            Waiting::LoginPassword(_) if text.contains('\0') => Err(SaslError::Malformed),
            Waiting::LoginPassword(user) => Ok(Step::Credentials(Credentials { user, password: Password::new(text) })),
        }
    }
}

fn plain(message: &str) -> Result<Credentials, SaslError> {
    let mut parts = message.split('\0');
    let (Some(acting_for), Some(user), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(SaslError::Malformed);
    };
    if user.is_empty() {
        return Err(SaslError::Malformed);
    }
    if !acting_for.is_empty() && acting_for != user {
        return Err(SaslError::ActingForOther);
    }
    Ok(Credentials { user: user.to_owned(), password: Password::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain_line(message: &str) -> Result<Step, SaslError> {
        Exchange::start(Mechanism::Plain, Some(&STANDARD.encode(message)))
    }

    type Wanted = Result<(&'static str, &'static str), SaslError>;

    #[test]
    fn plain_forms() {
        let table: [(&str, Wanted); 7] = [
            ("\0ann\0pw", Ok(("ann", "pw"))),
            ("ann\0ann\0pw", Ok(("ann", "pw"))),
            ("\0ann\0", Ok(("ann", ""))),
            ("bob\0ann\0pw", Err(SaslError::ActingForOther)),
            ("\0\0pw", Err(SaslError::Malformed)),
            ("\0ann", Err(SaslError::Malformed)),
            ("\0ann\0p\0w", Err(SaslError::Malformed)),
        ];
        for (message, want) in table {
            match (plain_line(message), want) {
                (Ok(Step::Credentials(got)), Ok((user, password))) => {
                    assert_eq!((got.user.as_str(), got.password.reveal()), (user, password));
                }
                (Err(got), Err(want)) => assert_eq!(got, want, "{message:?}"),
                (got, want) => panic!("{message:?}: {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn login_asks_twice_and_can_be_cancelled() {
        let Ok(Step::Challenge(prompt, exchange)) = Exchange::start(Mechanism::Login, None) else {
            panic!("no challenge");
        };
        assert_eq!(STANDARD.decode(prompt).unwrap(), b"Username:");
        let Ok(Step::Challenge(prompt, exchange)) = exchange.on_line(STANDARD.encode("ann").as_bytes()) else {
            panic!("no second challenge");
        };
        assert_eq!(STANDARD.decode(prompt).unwrap(), b"Password:");
        assert_eq!(exchange.on_line(b"*").unwrap_err(), SaslError::Cancelled);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert!(!format!("{:?}", Password::new("geheim".into())).contains("geheim"));
    }
}
