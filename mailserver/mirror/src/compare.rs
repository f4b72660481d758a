//! Marks and digests: are both nodes equal, and if not, what is done (rule R2).
//!
//! Both logs are the same by their chained hashes, which the link checks all the time, and the index is what the log
//! adds up to. So a digest that differs at a mark means that an index is damaged, and the correction is to build that
//! index anew from its own log: nothing has to travel but the digests.

use crate::engine::Engine;
use crate::node::AcceptState;
use crate::shared::{Inner, Shared};
use mailmirror_control::status::{ProvenEqual, Role};
use mailmirror_model::entry::Kind;
use mailmirror_model::ids::{MailboxId, Position, Seq};
use mailmirror_model::operation::Mark;
use mailmirror_store::StoreError;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// How long both nodes may take to reach a mark.
pub const MARK_TIMEOUT: Duration = Duration::from_secs(30);

/// Both nodes at one mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where.
    pub position: Position,
    /// The digest of everything here.
    pub ours: u128,
    /// The digest of everything at the peer.
    pub theirs: u128,
}

impl Comparison {
    /// Whether both nodes hold the same.
    pub const fn is_equal(&self) -> bool {
        self.ours == self.theirs
    }
}

/// Why nodes could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// No link, or a master that takes nothing now.
    #[error("failed to compare: there is no link to the peer, or the master takes no changes now")]
    NoLink,
    /// The mark was not reached on both nodes in time.
    #[error("failed to compare: the mark was not reached on both nodes within {MARK_TIMEOUT:?}")]
    Timeout,
    /// The index could not be read or built.
    #[error("failed to compare: {0}")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Has both nodes hash everything at one place of the log.
    ///
    /// # Errors
    /// See [`CompareError`].
    pub async fn compare(&self) -> Result<Comparison, CompareError> {
        let shared = self.shared();
        let mark = rand::random::<u64>();
        let mut changed = shared.changed.subscribe();
        {
            let mut inner = shared.lock();
            let has_link = inner.node.is_following() || inner.node.peer().is_some();
            let asked = has_link
                && match inner.node.role() {
                    Role::Master => write_mark(shared, &mut inner, mark),
                    Role::Slave => crate::link::send(&mut inner, crate::link::message::Message::AskMark { mark }),
                    Role::None => false,
                };
            if !asked {
                return Err(CompareError::NoLink);
            }
        }
        let both = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = shared.lock().marks.both(mark) {
                    return found;
                }
                // The sender lives as long as this.
                let _changed = changed.changed().await;
            }
        };
        let (position, ours, theirs) =
            tokio::time::timeout(MARK_TIMEOUT, both).await.map_err(|_| CompareError::Timeout)?;
        let comparison = Comparison { position, ours, theirs };
        if comparison.is_equal() {
            let at = shared.clock.wall_millis();
            shared.lock().proven_equal = Some(ProvenEqual { at, position, digest: format!("{ours:032x}") });
        }
        Ok(comparison)
    }

    /// Builds the index anew from the log, and says how many mailboxes are different now. State is not shown until the
    /// index is where it was.
    ///
    /// # Errors
    /// See [`CompareError`].
    pub async fn rebuild_index(&self) -> Result<u64, CompareError> {
        let shared = self.shared().clone();
        let before = tokio::task::block_in_place(|| mailbox_digests(&shared))?;
        let target = tokio::task::block_in_place(|| {
            let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let mut inner = shared.lock();
            writer.reset()?;
            inner.node.on_rewound();
            shared.applied.send_replace(Seq::ZERO);
            Ok::<_, StoreError>(inner.node.committed())
        })?;
        // Wakes the applier, which finds that it is behind.
        shared.committed.send_modify(|_| {});
        let mut applied = shared.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= target);
        tokio::select! {
            _ = reached => {}
            () = shared.stop.cancelled() => return Err(CompareError::Timeout),
        }
        let after = tokio::task::block_in_place(|| mailbox_digests(&shared))?;
        let changed = after.iter().filter(|(mailbox, digest)| before.get(mailbox) != Some(digest)).count();
        let gone = before.keys().filter(|mailbox| !after.contains_key(mailbox)).count();
        Ok((changed + gone) as u64)
    }
}

fn mailbox_digests(shared: &Shared) -> Result<BTreeMap<MailboxId, u128>, StoreError> {
    shared.reader.snapshot(|view| {
        let mut digests = BTreeMap::new();
        for account in view.accounts()? {
            for (mailbox, digest) in view.mailbox_digests(account.id)? {
                digests.insert(mailbox, digest.0);
            }
        }
        Ok(digests)
    })
}

/// The master writes a mark, if it takes anything now; both nodes tell their digest when they apply it.
pub(crate) fn write_mark(shared: &Shared, inner: &mut Inner, mark: u64) -> bool {
    let written = inner.node.accept(shared.now()) == AcceptState::Here
        && shared.try_write_control(inner, Kind::Mark, &Mark { id: mark }).is_ok();
    if !written {
        tracing::info!("no mark is written: this node takes no changes now");
    }
    written
}
