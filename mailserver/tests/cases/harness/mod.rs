//! Two nodes, what is done on them, and what has to hold afterwards.

pub mod cable;
pub mod client;
pub mod deeds;
pub mod pair;
pub mod promises;

pub use pair::{A, B, Pair, each_way};
