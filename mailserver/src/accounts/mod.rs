//! nwauth: who may log in. Accounts themselves are mail state; here are their addresses and passwords.

mod address;
mod hasher;
mod password;

pub use address::{ADDRESS_MAX_BYTES, Address};
pub use hasher::{Busy, Hasher};
pub use password::{HashError, PASSWORD_MAX_BYTES};
