//! Free ports below those that the system gives to outgoing connections, so that a server which is killed finds its
//! port free when it is started again.

use anyhow::{Result, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 10_240;
const COUNT: u32 = 20_000;

/// Where the next search begins. Processes begin at different places, so that two that run at once seldom meet.
static CURSOR: AtomicU32 = AtomicU32::new(0);

/// As many ports of 127.0.0.1 as are asked for, which nobody uses now.
///
/// # Errors
/// When there are not that many.
pub fn free<const N: usize>() -> Result<[u16; N]> {
    let offset = std::process::id().wrapping_mul(131);
    let mut kept = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let step = CURSOR.fetch_add(1, Ordering::Relaxed);
            if step > COUNT * 8 {
                bail!("failed to find {N} free ports from {FIRST} to {}", FIRST + COUNT);
            }
            let candidate = u16::try_from(FIRST + offset.wrapping_add(step) % COUNT)?;
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, candidate)) {
                kept.push(listener);
                break candidate;
            }
        };
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_are_free_and_each_is_given_once() {
        let given: BTreeSet<u16> = free::<20>().unwrap().into_iter().chain(free::<20>().unwrap()).collect();
        assert_eq!(given.len(), 40);
        assert!(given.iter().all(|port| (10_240..32_768).contains(port)));
    }
}
