//! Are both nodes equal? By digest (rule R2), or line by line.

use super::people::FOUND_MAX;
use super::{Answer, PeerAdmin, Teller, dir};
use crate::admin::Compared;
use mailmirror_control::client::{Connection, Timeouts};
use mailmirror_control::tell::{Tell, Told};
use serde_json::json;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The most differences that are listed.
const DIFFERENCES_MAX: usize = 200;
/// How often an account is looked at: mail that is on its way is no difference.
const LOOKS: usize = 4;
/// Time for what is on its way to arrive, between two looks.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long the peer may take for one account.
const PEER_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the peer may take for a resync of its own.
const PEER_RESYNC_TIMEOUT: Duration = Duration::from_mins(10);

impl Teller {
    pub(super) async fn verify_mirror(&self, full: bool) -> Answer {
        let compared = self.inner.parts.control.compare().await?;
        if !full {
            return if is_equal(&compared) {
                Ok((format!("equal at {} with digest {}\n", compared.position, compared.ours), data(&compared, &[])))
            } else {
                Err(different(&compared))
            };
        }
        let (accounts, differences) = self.walk().await?;
        if differences.is_empty() && is_equal(&compared) {
            let text = format!(
                "equal at {} with digest {}, and line by line in {accounts} accounts\n",
                compared.position, compared.ours
            );
            return Ok((text, data(&compared, &differences)));
        }
        let mut report = if is_equal(&compared) { String::new() } else { different(&compared) + "\n" };
        for difference in differences.iter().take(DIFFERENCES_MAX) {
            // Writing to a String cannot fail.
            let _ = writeln!(report, "{difference}");
        }
        if differences.len() > DIFFERENCES_MAX {
            let _ = writeln!(report, "and {} more", differences.len() - DIFFERENCES_MAX);
        }
        let _ = write!(report, "{} differences in {accounts} accounts", differences.len());
        Err(report)
    }

    pub(super) async fn resync_fast(&self) -> Answer {
        if self.inner.resyncing.swap(true, Ordering::AcqRel) {
            return Err("a resync is running on this node already".to_owned());
        }
        let answer = self.resync_fast_once().await;
        self.inner.resyncing.store(false, Ordering::Release);
        answer
    }

    /// Logs are the same by their chained hashes, so a difference is a damaged index: it is built anew from its log,
    /// here first, and then at the peer.
    async fn resync_fast_once(&self) -> Answer {
        let control = &self.inner.parts.control;
        let before = control.compare().await?;
        if is_equal(&before) {
            let text = format!("equal at {} with digest {}: 0 corrections\n", before.position, before.ours);
            return Ok((text, json!({ "equal": true, "corrections": 0, "digest": before.ours })));
        }
        let corrections = control.rebuild_index().await?;
        let mut after = control.compare().await?;
        let mut told = format!("{corrections} mailboxes were corrected on this node\n");
        if !is_equal(&after) {
            let peer = self.ask_peer(&Tell::ResyncFast, PEER_RESYNC_TIMEOUT).await?;
            let _ = write!(told, "the peer says: {}", peer.text);
            after = control.compare().await?;
        }
        if is_equal(&after) {
            let _ = writeln!(told, "equal at {} with digest {}", after.position, after.ours);
            Ok((told, json!({ "equal": true, "corrections": corrections, "digest": after.ours })))
        } else {
            Err(told + &different(&after))
        }
    }

    /// Every account, line by line. Accounts looked at, and what differs.
    async fn walk(&self) -> Result<(usize, Vec<String>), String> {
        let ours = self.service().find_accounts("", FOUND_MAX).await.map_err(|error| error.to_string())?;
        let told = self.ask_peer(&Tell::FindUser { pattern: String::new() }, PEER_TIMEOUT).await?;
        // That the peer has no account at all is an answer too.
        let theirs: BTreeSet<String> = if told.ok { addresses(&told) } else { BTreeSet::new() };
        let ours: BTreeSet<String> = ours.into_iter().map(|account| account.address).collect();
        let all: BTreeSet<&String> = ours.union(&theirs).collect();
        let mut differences = Vec::new();
        for address in &all {
            differences.extend(self.differences_of(address).await?);
        }
        Ok((all.len(), differences))
    }

    /// What differs in one account, at the last look.
    async fn differences_of(&self, address: &str) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for look in 0..LOOKS {
            if look > 0 {
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            let command = Tell::Dir { user: address.to_owned(), folder: None };
            let (here, there) = (self.lines_here(address).await?, self.ask_peer(&command, PEER_TIMEOUT).await?);
            let there = if there.ok { lines_of(&there) } else { BTreeSet::new() };
            found = here.difference(&there).map(|line| format!("only here:  {address} {line}")).collect();
            found.extend(there.difference(&here).map(|line| format!("only there: {address} {line}")));
            if found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    async fn lines_here(&self, address: &str) -> Result<BTreeSet<String>, String> {
        let Ok(account) = self.service().find_account(address).await else { return Ok(BTreeSet::new()) };
        let lines = dir::lines(&self.view().await, account.id, None).await.map_err(|error| error.to_string())?;
        if lines.len() > dir::LINES_MAX {
            return Err(format!("{address} has more than {} lines: compare it by digest", dir::LINES_MAX));
        }
        Ok(lines.into_iter().collect())
    }

    async fn ask_peer(&self, command: &Tell, limit: Duration) -> Result<Told, String> {
        let peer = self.inner.parts.peer.as_ref().ok_or("this node has no peer: set g_mirror_host")?;
        let PeerAdmin { address, secrets } = peer;
        let secrets = secrets.borrow().clone();
        let asked =
            async { Connection::open(address, &secrets, Timeouts::default()).await?.tell(command, limit).await };
        asked.await.map_err(|error| format!("failed to ask the peer: {error}"))
    }
}

fn is_equal(compared: &Compared) -> bool {
    compared.ours == compared.theirs
}

fn different(compared: &Compared) -> String {
    format!("NOT equal at {}: digest {} here, {} at the peer", compared.position, compared.ours, compared.theirs)
}

fn data(compared: &Compared, differences: &[String]) -> serde_json::Value {
    json!({
        "equal": is_equal(compared) && differences.is_empty(),
        "position": compared.position,
        "digest": compared.ours,
        "peerDigest": compared.theirs,
        "differences": differences,
    })
}

fn addresses(told: &Told) -> BTreeSet<String> {
    let listed = told.data.as_array().into_iter().flatten();
    listed.filter_map(|account| account["address"].as_str().map(str::to_owned)).collect()
}

fn lines_of(told: &Told) -> BTreeSet<String> {
    told.data.as_array().into_iter().flatten().filter_map(|line| line.as_str().map(str::to_owned)).collect()
}
