//! Applying entries: the one place where mail state changes, the same on both nodes (rule L3).
//!
//! Everything is decided by the state before the operation. A refusal changes nothing but the memory of its origin. An
//! [`ApplyError`] that is no failure of the state means that a rule was broken before: nothing was written, and the
//! caller sets the entry aside (rule L4).

mod accounts;
mod branch;
mod mailboxes;
mod messages;

use crate::ids::{MailboxId, Origin, Seq, Uid, UidValidity};
use crate::operation::{BodyPlace, Change, EpochStart, Operation, Stamp};
use crate::outcome::{Done, Outcome, Refusal, Touched};
use crate::state::{Mailbox, State};
use std::collections::BTreeSet;

/// By how much an epoch with a gap raises UIDNEXT (rule U1).
pub const GAP_UIDS: u32 = 1 << 20;
/// By how much an epoch with a gap raises HIGHESTMODSEQ (rule U1).
pub const GAP_MODSEQS: u64 = 1 << 32;

/// An entry that changes state.
#[derive(Clone, Copy, Debug)]
pub enum Applied<'a> {
    /// An operation.
    Operation {
        /// Its place in the log.
        seq: Seq,
        /// Who first wanted it.
        origin: Origin,
        /// What it does.
        operation: &'a Operation,
        /// Where its bodies stand in the payload.
        bodies: &'a [BodyPlace],
    },
    /// The first entry of an epoch.
    Epoch(&'a EpochStart),
}

/// Why an entry was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError<E> {
    /// Numbers that were given out already: two masters wrote, or entries are missing.
    #[error("failed to apply an operation: its numbers for mailbox {0} were given out before; run `tellmail resync`")]
    Stamp(MailboxId),
    /// A mailbox that is changed without numbers.
    #[error("failed to apply an operation: it has no numbers for mailbox {0}; run `tellmail resync`")]
    NoStamp(MailboxId),
    /// The state could not be read or written.
    #[error("failed to apply an operation: {0}")]
    State(E),
}

impl<E> From<E> for ApplyError<E> {
    fn from(error: E) -> Self {
        Self::State(error)
    }
}

/// Applies one entry.
///
/// # Errors
/// See [`ApplyError`]. After [`ApplyError::State`] the state may hold a part of the operation: its transaction must be
/// rolled back. After the others nothing was written.
pub fn apply<S: State>(state: &mut S, entry: Applied<'_>) -> Result<Outcome, ApplyError<S::Error>> {
    match entry {
        Applied::Epoch(start) => {
            if start.gap {
                state.raise_all(GAP_UIDS, GAP_MODSEQS)?;
            }
            Ok(Outcome { result: Ok(Done::Plain), touched: Vec::new() })
        }
        Applied::Operation { seq, origin, operation, bodies } => {
            if state.origin(origin)?.is_some() {
                return Ok(Outcome { result: Ok(Done::Known), touched: Vec::new() });
            }
            let mut run = Run { state: &mut *state, seq, operation, bodies, touched: BTreeSet::new() };
            run.check_stamps()?;
            let result = run.change()?;
            let touched = run.touched.into_iter().collect();
            state.put_origin(origin, seq)?;
            Ok(Outcome { result, touched })
        }
    }
}

/// A decision: an answer for the one who asked, or a broken rule.
type Decided<S> = Result<Result<Done, Refusal>, ApplyError<<S as crate::state::View>::Error>>;

/// One operation while it is applied.
struct Run<'a, S> {
    state: &'a mut S,
    seq: Seq,
    operation: &'a Operation,
    bodies: &'a [BodyPlace],
    touched: BTreeSet<Touched>,
}

impl<S: State> Run<'_, S> {
    /// Numbers only ever grow (rule U4); a violation is found before anything is written.
    fn check_stamps(&self) -> Result<(), ApplyError<S::Error>> {
        if matches!(self.operation.change, Change::CreateAccount { .. } | Change::CreateMailbox { .. }) {
            // What is created has no numbers yet; an identity that is there already is a refusal.
            return Ok(());
        }
        for stamp in &self.operation.stamps {
            let Some(mailbox) = self.state.mailbox(stamp.mailbox)? else { continue };
            let uid_is_new = match (stamp.first_uid, mailbox.uid_next) {
                (None, _) => true,
                (Some(first), Some(next)) => first >= next,
                (Some(_), None) => false,
            };
            if stamp.modseq <= mailbox.highest_modseq || !uid_is_new {
                return Err(ApplyError::Stamp(mailbox.id));
            }
        }
        Ok(())
    }

    fn stamp(&self, mailbox: MailboxId) -> Result<Stamp, ApplyError<S::Error>> {
        let mut stamps = self.operation.stamps.iter();
        stamps.find(|stamp| stamp.mailbox == mailbox).copied().ok_or(ApplyError::NoStamp(mailbox))
    }

    fn change(&mut self) -> Decided<S> {
        match &self.operation.change {
            Change::Nothing => Ok(Ok(Done::Plain)),
            Change::CreateAccount { account, address, password, mailboxes, quota_bytes } => {
                self.create_account(*account, address, password, mailboxes, *quota_bytes)
            }
            Change::SetAccount { account, password, enabled, quota_bytes } => {
                self.set_account(*account, password.as_deref(), *enabled, *quota_bytes)
            }
            Change::DeleteAccount { account } => self.delete_account(*account),
            Change::Subscribe { account, name, subscribed } => self.subscribe(*account, name, *subscribed),
            Change::PutSetting { name, values } => self.put_setting(name, values),
            Change::CreateMailbox { account, mailboxes } => self.create_mailbox(*account, mailboxes),
            Change::RenameMailbox { account, mailbox, name, created, moved } => {
                self.rename_mailbox(*account, *mailbox, name, created, moved)
            }
            Change::DeleteMailbox { account, mailbox } => self.delete_mailbox(*account, *mailbox),
            Change::Add { adds, .. } => self.add(adds),
            Change::Flags { mailbox, items, unchanged_since } => self.flags(*mailbox, items, *unchanged_since),
            Change::Expunge { mailbox, items } => self.expunge(*mailbox, items),
            Change::Move { from, to, items } => self.move_messages(*from, *to, items),
            Change::Tombstone { mailbox, uids } => self.tombstone(*mailbox, uids),
            Change::Touch { mailbox, items } => self.touch(*mailbox, items),
            Change::BranchDelete { account, mailbox, through, items } => {
                self.branch_delete(*account, *mailbox, *through, items)
            }
        }
    }
}

/// Gives out the UIDs of one operation in one mailbox, one after the other.
struct Uids {
    next: Option<Uid>,
}

impl Uids {
    /// `None` when there are not `count` of them: it is found out before anything is written.
    fn reserve<E>(mailbox: &Mailbox, stamp: &Stamp, count: usize) -> Result<Option<Self>, ApplyError<E>> {
        let Some(more) = count.checked_sub(1) else { return Ok(Some(Self { next: None })) };
        match (stamp.first_uid, mailbox.uid_next) {
            (_, None) => Ok(None),
            (None, Some(_)) => Err(ApplyError::NoStamp(mailbox.id)),
            (Some(first), Some(_)) => {
                let last = u32::try_from(more).ok().and_then(|more| first.plus(more));
                Ok(last.map(|_| Self { next: Some(first) }))
            }
        }
    }

    fn take<E>(&mut self, mailbox: &mut Mailbox) -> Result<Uid, ApplyError<E>> {
        let uid = self.next.ok_or(ApplyError::NoStamp(mailbox.id))?;
        self.next = uid.plus(1);
        mailbox.uid_next = self.next;
        Ok(uid)
    }
}

/// `wanted`, or the lowest value of the same parity that is above what the name had (rule U4). The parity is the node
/// that drew it: values of the two nodes stay disjoint. `None` when there is none.
fn above_history(wanted: UidValidity, history: Option<UidValidity>) -> Option<UidValidity> {
    let Some(history) = history.filter(|history| *history >= wanted) else { return Some(wanted) };
    let step = if history.get() % 2 == wanted.get() % 2 { 2 } else { 1 };
    history.get().checked_add(step).and_then(UidValidity::new)
}

#[cfg(test)]
mod tests;
