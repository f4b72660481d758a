//! How many connections there may be.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts open connections, in all and by address. One gate can serve several listeners.
#[derive(Debug)]
pub struct Gate {
    connections_max: usize,
    connections_per_ip_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// The right to be connected; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    ip: IpAddr,
}

impl Gate {
    /// A gate for so many connections in all and from one address.
    pub fn new(connections_max: usize, connections_per_ip_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, connections_per_ip_max, open: Mutex::default() })
    }

    /// Lets a connection in, or not.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
        if open.all >= self.connections_max || from_ip >= self.connections_per_ip_max {
            return None;
        }
        open.all += 1;
        open.by_ip.insert(ip, from_ip + 1);
        Some(Permit { gate: Arc::clone(self), ip })
    }

    /// How many connections are open now.
    pub fn open_count(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.gate.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(count) = open.by_ip.get_mut(&self.ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_in_all_and_by_address() {
        let gate = Gate::new(3, 2);
        let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = gate.admit(a).unwrap();
        let _second = gate.admit(a).unwrap();
        assert!(gate.admit(a).is_none(), "two from one address");
        let _third = gate.admit(b).unwrap();
        assert!(gate.admit(b).is_none(), "three in all");
        drop(first);
        assert_eq!(gate.open_count(), 2);
        assert!(gate.admit(b).is_some());
        assert!(gate.admit(a).is_some());
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let gate = Gate::new(3, 2);
        drop(gate.admit("192.0.2.1".parse().unwrap()));
        assert!(gate.open.lock().unwrap().by_ip.is_empty());
    }
}
