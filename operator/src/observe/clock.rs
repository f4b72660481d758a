//! Time as the planner sees it.

use super::Millis;
use std::time::Instant;

/// The time of day at the start of the process, carried on by a clock that does not jump.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Millis,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        let started_at = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
        Self { started: Instant::now(), started_at }
    }

    /// Now.
    pub fn now(&self) -> Millis {
        self.started_at + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}
