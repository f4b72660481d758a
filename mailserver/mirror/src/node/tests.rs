//! The rules of one node by table, and of two nodes and the record by exploring what can happen to them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod insync;
mod leases;
mod tables;
mod world;
