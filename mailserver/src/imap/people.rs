//! How many sessions each account has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mailmirror_model::ids::AccountId;

/// Counts sessions by account.
#[derive(Debug)]
pub(super) struct People {
    sessions_max: usize,
    open: Mutex<HashMap<AccountId, usize>>,
}

/// The right to a session; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    people: Arc<People>,
    account: AccountId,
}

impl People {
    pub(super) fn new(sessions_max: usize) -> Arc<Self> {
        Arc::new(Self { sessions_max, open: Mutex::default() })
    }

    /// A seat, or none where the account has too many.
    pub(super) fn seat(self: &Arc<Self>, account: AccountId) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(account).or_default();
        if *count >= self.sessions_max {
            return None;
        }
        *count += 1;
        Some(Seat { people: Arc::clone(self), account })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.people.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seats_are_limited_by_account_and_given_back() {
        let people = People::new(1);
        let first = people.seat(AccountId(1)).unwrap();
        assert!(people.seat(AccountId(1)).is_none());
        let _other = people.seat(AccountId(2)).unwrap();
        drop(first);
        drop(people.seat(AccountId(1)).unwrap());
        assert_eq!(people.open.lock().unwrap().len(), 1, "who left is forgotten");
    }
}
