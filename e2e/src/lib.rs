//! Two real mail servers as processes, their clients, and an authority for them: what tests, benchmarks and
//! demonstrations of the whole are made of. Nothing here looks into a server: everything goes through its ports.

pub mod authority;
pub mod cable;
pub mod clients;
pub mod load;
pub mod mail;
pub mod pair;
pub mod ports;
pub mod process;
pub mod wait;
