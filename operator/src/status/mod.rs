//! What the status says. Pure: the same knowledge gives the same status, so that nothing is written in vain.

mod conditions;
mod report;
#[cfg(test)]
mod tests;

pub use conditions::{ConditionKind, Facts, conditions, invalid};
pub use report::{differs, status};
