//! POP3 (RFC 1939) with CAPA and response codes (RFC 2449, RFC 3206), STLS (RFC 2595) and AUTH
//! PLAIN (RFC 5034), without any input or output.
//!
//! * [`command`]: the grammar;
//! * [`session`]: states, and what the outside is asked to do;
//! * [`response`]: status lines and multi-line bodies.

pub mod command;
pub mod response;
pub mod session;
