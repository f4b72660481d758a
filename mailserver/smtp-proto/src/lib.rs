//! SMTP (RFC 5321), LMTP (RFC 2033) and POP3 (RFC 1939) without any input or output.
//!
//! Bytes that arrived go in, [`session::Action`]s come out, and the results of what
//! only the outside world can do (TLS handshakes, looking up a recipient, delivering)
//! come back as [`session::Event`]s. The same session therefore runs over a socket, over
//! a simulated network and in a property test.
//!
//! * [`line`]: lines end in CRLF and in nothing else;
//! * [`address`], [`command`], [`sasl`]: the grammar of commands;
//! * [`reply`]: replies and enhanced status codes (RFC 2034, RFC 3463);
//! * [`data`]: the message after `DATA`, with an end that cannot be smuggled;
//! * [`session`]: the order of commands, its limits and what each is answered;
//! * [`trace`]: `Return-Path` and `Received`;
//! * [`pop3`]: the same for POP3.
//!
//! `SMTPUTF8` (RFC 6531) is refused, not supported: a message with an internationalised
//! header cannot be shown to an IMAP client that has not enabled `UTF8=ACCEPT` without
//! rewriting it. The extension is not announced, its parameter is answered `555 5.5.4` and an
//! address with octets above 127 is answered `553 5.6.7`, so a sender bounces with the reason.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod address;
pub mod command;
pub mod data;
pub mod line;
pub mod pop3;
pub mod reply;
pub mod sasl;
pub mod session;
pub mod trace;

pub use address::{Address, Domain, ForwardPath, ReversePath};
pub use reply::Reply;
pub use sasl::{Credentials, Password};
