//! The executor: it does what a plan says, and decides nothing.

mod children;
mod error;
mod events;
mod nodes;

pub use children::owned;
pub use children::{Applied, ChildProblem, Children};
pub use error::{ActError, bounded};
pub use events::{Events, Reference};
pub use nodes::Pods;
