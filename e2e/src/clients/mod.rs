//! Small clients that check what they are told: they are strict where a mail program would be lenient.

pub mod imap;
pub mod smtp;
mod stream;

pub use stream::Security;
