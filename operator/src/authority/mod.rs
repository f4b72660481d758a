//! The authority over a pair: the Lease `NAME-mirror`, changed by compare-and-swap alone (rule A1).

mod lease;
mod memory;

pub use lease::{Found, Leases};
pub use memory::{Memory, SwapEnd, SwapResult, SwapTask, SwapWhy};
