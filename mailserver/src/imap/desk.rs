//! How much memory all sessions together may take for large messages that are read by clients.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages up to this are read without asking: there is one for each session at most.
pub(super) const SMALL_MAX_BYTES: u64 = 128 << 10;
/// What is counted.
const UNIT_BYTES: u64 = 64 << 10;

/// Room for large messages, from when they are read until they are sent.
#[derive(Debug)]
pub(super) struct Desk {
    units: Arc<Semaphore>,
    all: u32,
}

impl Desk {
    pub(super) fn new(max_bytes: u64) -> Self {
        let all = u32::try_from((max_bytes / UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let permits = usize::try_from(all).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(permits)), all }
    }

    /// Waits until there is room for a message; a message larger than all the room waits until it is alone.
    pub(super) async fn place(&self, size_bytes: u64) -> Option<OwnedSemaphorePermit> {
        if size_bytes <= SMALL_MAX_BYTES {
            return None;
        }
        let units = u32::try_from(size_bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.all);
        // It is never closed; if it were, nothing would be bounded, and nothing refused.
        Arc::clone(&self.units).acquire_many_owned(units).await.ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn large_messages_wait_for_each_other_and_small_ones_for_nobody() {
        let desk = Desk::new(10 * UNIT_BYTES);
        let first = desk.place(6 * UNIT_BYTES).await.unwrap();
        assert!(desk.place(5 * UNIT_BYTES).now_or_never().is_none());
        assert!(desk.place(SMALL_MAX_BYTES).now_or_never().unwrap().is_none());
        let _second = desk.place(4 * UNIT_BYTES).now_or_never().unwrap().unwrap();
        drop(first);
        assert!(desk.place(5 * UNIT_BYTES).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_message_larger_than_all_the_room_is_read_alone() {
        let desk = Desk::new(10 * UNIT_BYTES);
        let alone = desk.place(1000 * UNIT_BYTES).await.unwrap();
        assert!(desk.place(3 * UNIT_BYTES).now_or_never().is_none());
        drop(alone);
        assert!(desk.place(3 * UNIT_BYTES).now_or_never().is_some());
    }
}
