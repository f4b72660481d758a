//! The numbers that a master gives out (rule N1): UIDs, mod-sequences and values of UIDVALIDITY.
//!
//! Entries are written before they are applied, and many are on their way at once. The [`Allocator`] therefore keeps
//! what it has given out above the state that was applied, until that is applied too.

use crate::flags::When;
use crate::ids::{AccountId, MailboxId, ModSeq, NodeId, Seq, Uid, UidValidity};
use crate::memory::MODSEQ_MAX;
use crate::operation::{Add, Change, NewMailbox, Operation, Stamp};
use crate::outcome::Refusal;
use crate::state::View;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// 2020-01-01T00:00:00Z: values of UIDVALIDITY count seconds from here, in steps of two.
const UID_VALIDITY_EPOCH_SECONDS: u64 = 1_577_836_800;

/// Why a change got no numbers. Nothing was given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllocateError<E> {
    /// It would be refused when it is applied: this is certain now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state could not be read.
    #[error("failed to read the state: {0}")]
    View(E),
}

/// What a mailbox has been given and was not applied yet.
#[derive(Clone, Copy, Debug)]
struct Given {
    uid_next: Option<Uid>,
    modseq: ModSeq,
    last: Seq,
}

#[derive(Clone, Copy, Debug)]
enum InFlight {
    Mailbox(MailboxId),
    Account(AccountId),
    Other,
}

/// Gives out the numbers of one epoch. A new master makes one after it has applied the first entry of its epoch, and
/// throws it away when the epoch ends.
#[derive(Debug)]
pub struct Allocator {
    node: NodeId,
    last_drawn: u32,
    mailboxes: HashMap<MailboxId, Given>,
    accounts: HashMap<AccountId, Seq>,
    in_flight: VecDeque<(Seq, InFlight)>,
}

impl Allocator {
    /// For the node that is master.
    pub fn new(node: NodeId) -> Self {
        Self { node, last_drawn: 0, mailboxes: HashMap::new(), accounts: HashMap::new(), in_flight: VecDeque::new() }
    }

    /// Gives `change` its numbers, as the operation that will stand at `seq`. `view` is what was applied, up to any
    /// entry that [`Self::forget_applied`] was told of or further; `now_seconds` is the time since 1970.
    ///
    /// # Errors
    /// [`AllocateError::Refused`] where it is certain that the operation would be refused, whatever is on its way.
    pub fn allocate<V: View>(
        &mut self,
        view: &V,
        seq: Seq,
        change: Change,
        when: When,
        now_seconds: u64,
    ) -> Result<Operation, AllocateError<V::Error>> {
        let mut draft =
            Draft { allocator: self, view, now_seconds, drawn: None, stamps: Vec::new(), given: Vec::new() };
        draft.change(&change)?;
        let Draft { drawn, stamps, given, .. } = draft;
        self.last_drawn = drawn.unwrap_or(self.last_drawn);
        if let Change::CreateAccount { account, .. } = &change {
            self.accounts.insert(*account, seq);
            self.in_flight.push_back((seq, InFlight::Account(*account)));
        }
        for (mailbox, uid_next, modseq) in given {
            self.mailboxes.insert(mailbox, Given { uid_next, modseq, last: seq });
            self.in_flight.push_back((seq, InFlight::Mailbox(mailbox)));
        }
        // Everything on its way counts: as long as something is, the state may still become another one.
        if self.in_flight.back().is_none_or(|(last, _)| *last != seq) {
            self.in_flight.push_back((seq, InFlight::Other));
        }
        Ok(Operation { change, stamps, when })
    }

    /// Entries up to `seq` are in every view that is given from now on.
    pub fn forget_applied(&mut self, seq: Seq) {
        while let Some((_, what)) = self.in_flight.pop_front_if(|(at, _)| *at <= seq) {
            match what {
                InFlight::Mailbox(id) => {
                    if self.mailboxes.get(&id).is_some_and(|given| given.last <= seq) {
                        self.mailboxes.remove(&id);
                    }
                }
                InFlight::Account(id) => {
                    self.accounts.remove(&id);
                }
                InFlight::Other => {}
            }
        }
    }

    /// Whether everything that got numbers was applied.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty()
    }
}

/// The numbers of one change, before they count as given out.
struct Draft<'a, V> {
    allocator: &'a Allocator,
    view: &'a V,
    now_seconds: u64,
    drawn: Option<u32>,
    stamps: Vec<Stamp>,
    given: Vec<(MailboxId, Option<Uid>, ModSeq)>,
}

type Drafted<V> = Result<(), AllocateError<<V as View>::Error>>;

impl<V: View> Draft<'_, V> {
    fn change(&mut self, change: &Change) -> Drafted<V> {
        match change {
            Change::Nothing | Change::PutSetting { .. } => Ok(()),
            Change::CreateAccount { account, address, mailboxes, .. } => {
                let settled = self.allocator.is_settled();
                if self.account_known(*account)?
                    || settled && self.view(|view| view.account_by_address(address))?.is_some()
                {
                    return Err(Refusal::AddressTaken.into());
                }
                self.create(mailboxes)
            }
            Change::SetAccount { account, .. }
            | Change::DeleteAccount { account }
            | Change::Subscribe { account, .. } => self.need_account(*account),
            Change::CreateMailbox { account, mailboxes } => {
                self.need_account(*account)?;
                if let Some(last) = mailboxes.last().filter(|_| self.allocator.is_settled())
                    && self.view(|view| view.mailbox_by_name(*account, &last.name))?.is_some()
                {
                    let inbox = last.name == "INBOX";
                    return Err(if inbox { Refusal::Inbox } else { Refusal::NameTaken }.into());
                }
                self.create(mailboxes)
            }
            Change::RenameMailbox { account, mailbox, created, moved, .. } => {
                self.create(created)?;
                self.rename(*account, *mailbox)?;
                match created.last().filter(|_| !moved.is_empty()) {
                    Some(target) => self.reserve_in_new(target.mailbox, moved.len()),
                    None => Ok(()),
                }
            }
            Change::DeleteMailbox { mailbox, .. } => {
                self.numbers(*mailbox)?;
                let inbox = self.view(|view| view.mailbox(*mailbox))?.is_some_and(|mailbox| mailbox.name == "INBOX");
                if inbox { Err(Refusal::Inbox.into()) } else { Ok(()) }
            }
            Change::Add { adds, .. } => self.add(adds),
            Change::Flags { mailbox, .. } | Change::Expunge { mailbox, .. } | Change::Touch { mailbox, .. } => {
                self.stamp(*mailbox, 0)
            }
            Change::Tombstone { mailbox, uids } => self.tombstone(*mailbox, uids),
            Change::BranchDelete { mailbox: Some(mailbox), .. } => self.stamp(*mailbox, 0),
            Change::BranchDelete { account, mailbox: None, .. } => self.branch_delete(*account),
            Change::Move { from, to, items } => {
                // Both are looked up before either gets a stamp, so that a missing one is named as such.
                self.numbers(*from)?;
                if from != to {
                    self.stamp(*from, 0)?;
                }
                self.stamp(*to, items.len())
            }
        }
    }

    fn view<T>(&self, read: impl FnOnce(&V) -> Result<T, V::Error>) -> Result<T, AllocateError<V::Error>> {
        read(self.view).map_err(AllocateError::View)
    }

    fn account_known(&self, account: AccountId) -> Result<bool, AllocateError<V::Error>> {
        Ok(self.allocator.accounts.contains_key(&account) || self.view(|view| view.account(account))?.is_some())
    }

    fn need_account(&self, account: AccountId) -> Drafted<V> {
        if self.account_known(account)? { Ok(()) } else { Err(Refusal::NoAccount.into()) }
    }

    /// UIDNEXT and HIGHESTMODSEQ with all that is on its way. A mailbox that neither the state nor anything on its way
    /// knows is gone for good: identities are never used again.
    fn numbers(&self, mailbox: MailboxId) -> Result<(Option<Uid>, ModSeq), AllocateError<V::Error>> {
        let applied = self.view(|view| view.mailbox(mailbox))?.map(|found| (found.uid_next, found.highest_modseq));
        let given = self.allocator.mailboxes.get(&mailbox).map(|given| (given.uid_next, given.modseq));
        match (applied, given) {
            (Some(applied), Some(given)) => Ok((later(applied.0, given.0), applied.1.max(given.1))),
            (Some(numbers), None) | (None, Some(numbers)) => Ok(numbers),
            (None, None) => Err(Refusal::NoMailbox.into()),
        }
    }

    /// The next mod-sequence, and `count` UIDs.
    fn stamp(&mut self, mailbox: MailboxId, count: usize) -> Drafted<V> {
        let (uid_next, modseq) = self.numbers(mailbox)?;
        if modseq.0 >= MODSEQ_MAX {
            return Err(Refusal::OutOfUids.into());
        }
        let modseq = modseq.next();
        let (first_uid, uid_next) = if count == 0 { (None, uid_next) } else { reserve(uid_next, count)? };
        self.stamps.push(Stamp { mailbox, modseq, first_uid, uid_validity: None });
        self.given.push((mailbox, uid_next, modseq));
        Ok(())
    }

    fn add(&mut self, adds: &[Add]) -> Drafted<V> {
        let mut missing = 0_usize;
        for (at, add) in adds.iter().enumerate() {
            if adds[..at].iter().any(|earlier| earlier.mailbox == add.mailbox) {
                continue;
            }
            let count = adds[at..].iter().filter(|other| other.mailbox == add.mailbox).count();
            match self.stamp(add.mailbox, count) {
                // The others get their copies all the same.
                Err(AllocateError::Refused(Refusal::NoMailbox)) => missing += count,
                result => result?,
            }
        }
        if missing == adds.len() && missing > 0 { Err(Refusal::NoMailbox.into()) } else { Ok(()) }
    }

    fn tombstone(&mut self, mailbox: MailboxId, uids: &[Uid]) -> Drafted<V> {
        self.stamp(mailbox, 0)?;
        if let (Some((_, uid_next, _)), Some(highest)) = (self.given.last_mut(), uids.iter().max()) {
            *uid_next = later(*uid_next, highest.plus(1));
        }
        Ok(())
    }

    fn create(&mut self, mailboxes: &[NewMailbox]) -> Drafted<V> {
        for NewMailbox { mailbox, .. } in mailboxes {
            match self.numbers(*mailbox) {
                Err(AllocateError::Refused(Refusal::NoMailbox)) => {}
                Ok(_) => return Err(Refusal::NameTaken.into()),
                Err(error) => return Err(error),
            }
            let uid_validity = Some(self.draw(1)?);
            self.stamps.push(Stamp { mailbox: *mailbox, modseq: ModSeq(1), first_uid: None, uid_validity });
            self.given.push((*mailbox, Some(Uid::FIRST), ModSeq(1)));
        }
        Ok(())
    }

    /// The mailbox and those below it may each need a new UIDVALIDITY; which, is known when it is applied.
    fn rename(&mut self, account: AccountId, mailbox: MailboxId) -> Drafted<V> {
        let below = self.view(|view| view.mailboxes(account))?.len() + self.allocator.mailboxes.len();
        let uid_validity = self.draw(below.max(1))?;
        self.stamp(mailbox, 0)?;
        if let Some(stamp) = self.stamps.last_mut() {
            stamp.uid_validity = Some(uid_validity);
        }
        Ok(())
    }

    /// Any mailbox of the account may lose messages; of those on their way it is not known whose they are.
    fn branch_delete(&mut self, account: AccountId) -> Drafted<V> {
        self.need_account(account)?;
        let applied = self.view(|view| view.mailboxes(account))?.into_iter().map(|mailbox| mailbox.id);
        let given: Vec<_> = self.allocator.mailboxes.keys().copied().collect();
        let all: BTreeSet<_> = applied.chain(given).collect();
        all.into_iter().try_for_each(|mailbox| self.stamp(mailbox, 0))
    }

    fn reserve_in_new(&mut self, target: MailboxId, count: usize) -> Drafted<V> {
        let (first_uid, uid_next) = reserve(Some(Uid::FIRST), count)?;
        for stamp in self.stamps.iter_mut().filter(|stamp| stamp.mailbox == target) {
            stamp.first_uid = first_uid;
        }
        for given in self.given.iter_mut().filter(|(mailbox, ..)| *mailbox == target) {
            given.1 = uid_next;
        }
        Ok(())
    }

    /// Draws `count` values, two apart, and gives the first: above everything that this node or, as far as is applied,
    /// the other one ever drew, even when the clock was set back. Odd and even keep the nodes apart (rule U4).
    fn draw(&mut self, count: usize) -> Result<UidValidity, AllocateError<V::Error>> {
        let applied = self.view(View::highest_uid_validity)?.map_or(0, UidValidity::get);
        let floor = u64::from(applied.max(self.drawn.unwrap_or(self.allocator.last_drawn)));
        let node = self.allocator.node.index() as u64;
        let by_clock = self.now_seconds.saturating_sub(UID_VALIDITY_EPOCH_SECONDS).saturating_mul(2) + node;
        let above_floor = if (floor + 1) % 2 == node { floor + 1 } else { floor + 2 };
        let first = by_clock.max(above_floor);
        let last = first.saturating_add(2 * (count as u64 - 1));
        let (first, last) = u32::try_from(first)
            .ok()
            .and_then(UidValidity::new)
            .zip(u32::try_from(last).ok())
            .ok_or(Refusal::OutOfUids)?;
        self.drawn = Some(last);
        Ok(first)
    }
}

/// The later of two values of UIDNEXT; `None`, all used up, is the latest.
fn later(one: Option<Uid>, other: Option<Uid>) -> Option<Uid> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// `count` UIDs from `next` on, at least one: the first, and UIDNEXT after them.
fn reserve(next: Option<Uid>, count: usize) -> Result<(Option<Uid>, Option<Uid>), Refusal> {
    let first = next.ok_or(Refusal::OutOfUids)?;
    let more = count.checked_sub(1).and_then(|more| u32::try_from(more).ok()).ok_or(Refusal::OutOfUids)?;
    let last = first.plus(more).ok_or(Refusal::OutOfUids)?;
    Ok((Some(first), last.plus(1)))
}

#[cfg(test)]
mod tests;
