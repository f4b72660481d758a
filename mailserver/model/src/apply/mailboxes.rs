//! Creating, renaming and deleting mailboxes (RFC 9051 sections 6.3.4 to 6.3.6).

use super::{ApplyError, Decided, Run, Uids, above_history};
use crate::ids::{AccountId, MailboxId, Uid};
use crate::operation::{MoveItem, NewMailbox};
use crate::outcome::{Done, Refusal, Touched};
use crate::state::{Mailbox, State};

/// The one name whose case does not matter and that is always there.
const INBOX: &str = "INBOX";

/// What is to be created, or why nothing is.
type Plan<S> = Result<Result<Vec<Mailbox>, Refusal>, ApplyError<<S as crate::state::View>::Error>>;

impl<S: State> Run<'_, S> {
    pub(super) fn create_mailbox(&mut self, account: AccountId, mailboxes: &[NewMailbox]) -> Decided<S> {
        if self.state.account(account)?.is_none() {
            return Ok(Err(Refusal::NoAccount));
        }
        if let Some(last) = mailboxes.last() {
            let taken = self.state.mailbox_by_name(account, &last.name)?.is_some();
            if last.name.eq_ignore_ascii_case(INBOX) && (taken || last.name != INBOX) {
                return Ok(Err(Refusal::Inbox));
            }
            if taken {
                return Ok(Err(Refusal::NameTaken));
            }
        }
        let plan = match self.plan_mailboxes(account, mailboxes)? {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for mailbox in &plan {
            self.state.put_mailbox(mailbox)?;
        }
        self.touched.insert(Touched::Account(account));
        Ok(Ok(Done::Plain))
    }

    /// The new mailboxes with their numbers, without those whose names are taken. Writes nothing.
    pub(super) fn plan_mailboxes(&self, account: AccountId, wanted: &[NewMailbox]) -> Plan<S> {
        let mut plan: Vec<Mailbox> = Vec::with_capacity(wanted.len());
        let existing = self.state.mailboxes(account)?;
        for new in wanted {
            if existing.iter().chain(&plan).any(|mailbox| mailbox.name == new.name) {
                continue;
            }
            if new.name.eq_ignore_ascii_case(INBOX) && new.name != INBOX {
                return Ok(Err(Refusal::Inbox));
            }
            if self.state.mailbox(new.mailbox)?.is_some() || plan.iter().any(|mailbox| mailbox.id == new.mailbox) {
                return Ok(Err(Refusal::NameTaken));
            }
            let has_role = |mailbox: &Mailbox| mailbox.special_use == new.special_use;
            if new.special_use.is_some() && existing.iter().chain(&plan).any(has_role) {
                return Ok(Err(Refusal::SpecialUseTaken));
            }
            let stamp = self.stamp(new.mailbox)?;
            let history = self.state.uid_validity_of_name(account, &new.name)?;
            let drawn = stamp.uid_validity.ok_or(ApplyError::NoStamp(new.mailbox))?;
            plan.push(Mailbox {
                id: new.mailbox,
                account,
                name: new.name.clone(),
                special_use: new.special_use,
                uid_validity: above_history(drawn, history).ok_or(ApplyError::Stamp(new.mailbox))?,
                uid_next: Some(Uid::FIRST),
                highest_modseq: stamp.modseq,
            });
        }
        Ok(Ok(plan))
    }

    pub(super) fn rename_mailbox(
        &mut self,
        account: AccountId,
        id: MailboxId,
        name: &str,
        created: &[NewMailbox],
        moved: &[MoveItem],
    ) -> Decided<S> {
        let Some(mailbox) = self.state.mailbox(id)?.filter(|mailbox| mailbox.account == account) else {
            return Ok(Err(Refusal::NoMailbox));
        };
        if name.eq_ignore_ascii_case(INBOX) {
            return Ok(Err(Refusal::Inbox));
        }
        if self.state.mailbox_by_name(account, name)?.is_some() {
            return Ok(Err(Refusal::NameTaken));
        }
        if mailbox.name == INBOX {
            return self.rename_inbox(mailbox, name, created, moved);
        }
        if is_below(name, &mailbox.name) {
            return Ok(Err(Refusal::BelowItself));
        }
        let parents = match self.plan_mailboxes(account, created)? {
            Ok(parents) => parents,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let renamed = match self.plan_rename(&mailbox, name)? {
            Ok(renamed) => renamed,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if parents.iter().any(|parent| renamed.iter().any(|mailbox| mailbox.name == parent.name)) {
            return Ok(Err(Refusal::NameTaken));
        }
        for mailbox in parents.iter().chain(&renamed) {
            self.state.put_mailbox(mailbox)?;
        }
        self.touched.insert(Touched::Account(account));
        Ok(Ok(Done::Plain))
    }

    /// The mailbox and those below it under their new names. A name that comes back to another mailbox has a higher
    /// UIDVALIDITY than it ever had (rule U4, RFC 9051 section 2.3.1.1): the stamp's, and every second one after it for
    /// the mailboxes below, in order of their names. The allocator keeps that many free.
    fn plan_rename(&self, mailbox: &Mailbox, name: &str) -> Plan<S> {
        let stamp = self.stamp(mailbox.id)?;
        let mut free = stamp.uid_validity;
        let (affected, others): (Vec<_>, Vec<_>) = self
            .state
            .mailboxes(mailbox.account)?
            .into_iter()
            .partition(|other| other.id == mailbox.id || is_below(&other.name, &mailbox.name));
        let mut plan = Vec::with_capacity(affected.len());
        for mut renamed in affected {
            let tail = renamed.name.get(mailbox.name.len()..).unwrap_or_default();
            renamed.name = format!("{name}{tail}");
            if others.iter().any(|other| other.name == renamed.name) {
                return Ok(Err(Refusal::NameTaken));
            }
            let history = self.state.uid_validity_of_name(mailbox.account, &renamed.name)?;
            if history.is_some_and(|history| history > renamed.uid_validity) {
                let drawn = free.ok_or(ApplyError::NoStamp(mailbox.id))?;
                renamed.uid_validity = above_history(drawn, history).ok_or(ApplyError::Stamp(mailbox.id))?;
                free = above_history(drawn, Some(renamed.uid_validity));
            }
            plan.push(renamed);
        }
        Ok(Ok(plan))
    }

    /// INBOX stays, with its name and all below it; its messages move to the last of `created`.
    fn rename_inbox(
        &mut self,
        mut inbox: Mailbox,
        name: &str,
        created: &[NewMailbox],
        moved: &[MoveItem],
    ) -> Decided<S> {
        let Some(new) = created.last().filter(|last| last.name == name) else {
            return Ok(Err(Refusal::NoMailbox));
        };
        let mut plan = match self.plan_mailboxes(inbox.account, created)? {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (from, to) = (self.stamp(inbox.id)?, self.stamp(new.mailbox)?);
        let Some(mut target) = plan.pop().filter(|target| target.id == new.mailbox) else {
            return Ok(Err(Refusal::NameTaken));
        };
        let sources = self.find_sources(inbox.id, target.id, moved)?;
        let Some(uids) = Uids::reserve(&target, &to, sources.len())? else {
            return Ok(Err(Refusal::OutOfUids));
        };
        for parent in &plan {
            self.state.put_mailbox(parent)?;
        }
        self.state.put_mailbox(&target)?;
        let pairs = self.carry_over((&mut inbox, from.modseq), (&mut target, to.modseq), sources, uids)?;
        self.state.put_mailbox(&inbox)?;
        self.state.put_mailbox(&target)?;
        self.touched.insert(Touched::Account(inbox.account));
        Ok(Ok(Done::Moved(pairs)))
    }

    pub(super) fn delete_mailbox(&mut self, account: AccountId, id: MailboxId) -> Decided<S> {
        let Some(mailbox) = self.state.mailbox(id)?.filter(|mailbox| mailbox.account == account) else {
            return Ok(Err(Refusal::NoMailbox));
        };
        if mailbox.name == INBOX {
            return Ok(Err(Refusal::Inbox));
        }
        self.state.remove_mailbox(id)?;
        self.touched.extend([Touched::Mailbox(id), Touched::Account(account)]);
        Ok(Ok(Done::Plain))
    }
}

/// Whether `name` is below `parent` in the hierarchy.
fn is_below(name: &str, parent: &str) -> bool {
    name.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'))
}
