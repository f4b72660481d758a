//! The clocks of this machine. Everything below [`crate::engine`] gets the time as a value.

use crate::node::Time;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the engine reads the time. Tests may give another one.
pub trait Clock: Send + Sync + 'static {
    /// A clock that never goes back and runs while the machine is suspended (rule A6).
    fn now(&self) -> Time;
    /// The wall clock, in milliseconds since 1970. It may jump.
    fn wall_millis(&self) -> u64;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
        Time(seconds * 1000 + millis)
    }

    fn wall_millis(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
