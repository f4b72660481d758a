//! Accounts and mailboxes that were created on both sides under one name become one (rule U5): the one that the master
//! has. What the branch did in its own is done in that.

use mailmirror_model::ids::{AccountId, MailboxId};
use mailmirror_model::operation::{Change, NewMailbox};
use mailmirror_model::state::View;
use std::collections::{BTreeMap, BTreeSet};

/// Which identities of a branch are others at the master.
#[derive(Debug, Default)]
pub(super) struct United {
    accounts: BTreeMap<AccountId, AccountId>,
    mailboxes: BTreeMap<MailboxId, MailboxId>,
    names: Names,
    /// Made by the branch: they are on their way.
    made: BTreeSet<MailboxId>,
    /// What the branch deleted or renamed: its name is free then, though `view` may not know that yet.
    given_up: BTreeSet<MailboxId>,
    accounts_given_up: BTreeSet<AccountId>,
}

/// What mailboxes of the branch were called, and whose they were.
pub(super) type Names = Vec<(MailboxId, AccountId, String)>;

impl United {
    pub fn new(names: Names) -> Self {
        Self { names, ..Self::default() }
    }

    /// A change of the branch as it is to be re-submitted; `view` is what the master has.
    pub fn change<V: View>(&mut self, view: &V, mut change: Change) -> Result<Change, V::Error> {
        if let Change::CreateAccount { account, address, mailboxes, .. } = &change
            && let Some(other) = view.account_by_address(address)?.filter(|other| other != account)
            && !self.accounts_given_up.contains(&other)
        {
            self.accounts.insert(*account, other);
            change = Change::CreateMailbox { account: *account, mailboxes: mailboxes.clone() };
        }
        if let Change::CreateAccount { mailboxes, .. } = &change {
            self.made.extend(mailboxes.iter().map(|new| new.mailbox));
        }
        self.rename_account(&mut change);
        match &mut change {
            Change::CreateMailbox { account, mailboxes } => {
                let account = *account;
                self.keep_new(view, account, mailboxes)?;
                if mailboxes.is_empty() {
                    change = Change::Nothing;
                }
            }
            Change::RenameMailbox { account, mailbox, created, .. } => {
                *mailbox = self.mailbox(*mailbox);
                let account = *account;
                self.keep_new(view, account, created)?;
            }
            Change::DeleteMailbox { mailbox, .. }
            | Change::BranchDelete { mailbox: Some(mailbox), .. }
            | Change::Flags { mailbox, .. }
            | Change::Expunge { mailbox, .. }
            | Change::Touch { mailbox, .. } => *mailbox = self.mailbox(*mailbox),
            Change::Add { adds, .. } => {
                for add in adds {
                    self.find_again(view, add.mailbox)?;
                    add.mailbox = self.mailbox(add.mailbox);
                }
            }
            Change::Move { from, to, .. } => {
                self.find_again(view, *to)?;
                (*from, *to) = (self.mailbox(*from), self.mailbox(*to));
            }
            // UIDs of the branch's own mailbox had another UIDVALIDITY: they say nothing of the master's.
            Change::Tombstone { mailbox, .. } if self.mailboxes.contains_key(mailbox) => change = Change::Nothing,
            _ => {}
        }
        self.note_given_up(&change);
        Ok(change)
    }

    fn note_given_up(&mut self, change: &Change) {
        match change {
            Change::DeleteAccount { account } | Change::BranchDelete { account, mailbox: None, .. } => {
                self.accounts_given_up.insert(*account);
            }
            Change::RenameMailbox { mailbox, .. }
            | Change::DeleteMailbox { mailbox, .. }
            | Change::BranchDelete { mailbox: Some(mailbox), .. } => {
                self.given_up.insert(*mailbox);
            }
            _ => {}
        }
    }

    fn rename_account(&self, change: &mut Change) {
        if let Change::SetAccount { account, .. }
        | Change::DeleteAccount { account }
        | Change::Subscribe { account, .. }
        | Change::CreateMailbox { account, .. }
        | Change::RenameMailbox { account, .. }
        | Change::DeleteMailbox { account, .. }
        | Change::BranchDelete { account, .. } = change
        {
            *account = self.accounts.get(account).copied().unwrap_or(*account);
        }
    }

    /// A mailbox that the master has deleted: what the branch put into it goes to the one that has its name now, or to
    /// INBOX.
    fn find_again<V: View>(&mut self, view: &V, id: MailboxId) -> Result<(), V::Error> {
        if self.mailboxes.contains_key(&id) || self.made.contains(&id) || view.mailbox(id)?.is_some() {
            return Ok(());
        }
        let Some((_, account, name)) = self.names.iter().find(|(known, ..)| *known == id) else { return Ok(()) };
        let account = self.accounts.get(account).copied().unwrap_or(*account);
        for name in [name.as_str(), "INBOX"] {
            if let Some(other) = view.mailbox_by_name(account, name)? {
                self.mailboxes.insert(id, other.id);
                break;
            }
        }
        Ok(())
    }

    fn mailbox(&self, id: MailboxId) -> MailboxId {
        self.mailboxes.get(&id).copied().unwrap_or(id)
    }

    /// Leaves out those whose names the master has, and roles that it has given to others.
    fn keep_new<V: View>(
        &mut self,
        view: &V,
        account: AccountId,
        created: &mut Vec<NewMailbox>,
    ) -> Result<(), V::Error> {
        let mut existing = view.mailboxes(account)?;
        existing.retain(|mailbox| !self.given_up.contains(&mailbox.id));
        let mut kept = Vec::with_capacity(created.len());
        for mut new in created.drain(..) {
            if existing.iter().any(|mailbox| mailbox.id == new.mailbox) {
                // It came back already, in a part of the branch that was re-submitted before.
                kept.push(new);
                continue;
            }
            if let Some(other) = existing.iter().find(|mailbox| mailbox.name == new.name) {
                self.mailboxes.insert(new.mailbox, other.id);
                continue;
            }
            if existing.iter().any(|mailbox| mailbox.special_use == new.special_use) {
                new.special_use = None;
            }
            kept.push(new);
        }
        self.made.extend(kept.iter().map(|new| new.mailbox));
        *created = kept;
        Ok(())
    }
}
