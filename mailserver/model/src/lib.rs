//! The rules of the mirror, pure: what operations are, what they do, which numbers they get, and what equality means.
//!
//! **Architecture invariant:** nothing here does I/O, reads a clock, draws random numbers or knows tokio. Time and
//! identities come in as values, so that every run can be repeated exactly.

pub mod allocate;
pub mod apply;
pub mod digest;
pub mod entry;
pub mod flags;
pub mod ids;
pub mod memory;
pub mod operation;
pub mod outcome;
pub mod sample;
pub mod state;
