//! The shells of the operator against an API server in memory: what they write, what they leave alone, and that a
//! fault at any request changes nothing of where it ends.
#![allow(clippy::unwrap_used)]

mod election;
mod fake;
mod leases;
mod passes;
