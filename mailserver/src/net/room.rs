//! How much memory all connections together may take for messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A budget of octets shared by many connections.
#[derive(Debug)]
pub struct Room {
    max_bytes: usize,
    used_bytes: AtomicUsize,
}

/// What one connection takes of a [`Room`]; given back when dropped.
#[derive(Debug)]
pub struct RoomShare {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// A room of so many octets.
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { max_bytes, used_bytes: AtomicUsize::new(0) })
    }

    /// An empty share.
    pub fn share(self: &Arc<Self>) -> RoomShare {
        RoomShare { room: Arc::clone(self), bytes: 0 }
    }

    /// Octets taken now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl RoomShare {
    /// Changes the share to `bytes`; false when all shares together are above the budget now.
    pub fn set(&mut self, bytes: usize) -> bool {
        let used = if bytes >= self.bytes {
            let more = bytes - self.bytes;
            self.room.used_bytes.fetch_add(more, Ordering::Relaxed).saturating_add(more)
        } else {
            let less = self.bytes - bytes;
            self.room.used_bytes.fetch_sub(less, Ordering::Relaxed).saturating_sub(less)
        };
        self.bytes = bytes;
        used <= self.room.max_bytes
    }
}

impl Drop for RoomShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_and_are_given_back() {
        let room = Room::new(100);
        let (mut one, mut two) = (room.share(), room.share());
        assert!(one.set(60));
        assert!(two.set(40));
        assert!(!two.set(41));
        assert!(two.set(10));
        drop(one);
        assert_eq!(room.used_bytes(), 10);
    }
}
