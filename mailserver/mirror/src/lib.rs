//! The mirroring engine of one node: the ordered log and the index behind one handle, the link to the peer, roles and
//! epochs, commitment and read points (MIRROR.md).
//!
//! [`node`] holds the rules, pure and synchronous. [`engine`] is the thin shell around them: tasks that bring events to
//! the rules and carry out what they decide.
//!
//! **Architecture invariant:** nothing above this crate changes mail state but through [`Engine::propose`], and nothing
//! shows state to a client but through [`Engine::read_point`].

mod apply;
mod branch;
pub mod clock;
pub mod compare;
pub mod engine;
mod forward;
mod link;
mod meta;
pub mod node;
mod options;
mod person;
mod read_point;
mod sequence;
mod shared;
mod status;
mod ticket;

pub use compare::{CompareError, Comparison};
pub use engine::{BodyError, Engine, StartError};
pub use options::{Authority, EngineOptions, LinkOptions};
pub use person::PersonError;
pub use ticket::{ProposeError, ShowError, Ticket, TicketError};
