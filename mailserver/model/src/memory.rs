//! A [`State`] in memory: for tests, for models, and as the oracle of the index on disk.

use crate::digest::Digests;
use crate::ids::{AccountId, BodyId, MailboxId, MessageId, ModSeq, Origin, Seq, Uid, UidValidity};
use crate::operation::BodyPlace;
use crate::state::{Account, Mailbox, Message, State, View};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// The highest mod-sequence of RFC 7162 section 3.1: 63 bits.
pub const MODSEQ_MAX: u64 = i64::MAX as u64;

/// The whole state as ordered maps, with its digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryState {
    accounts: BTreeMap<AccountId, Account>,
    mailboxes: BTreeMap<MailboxId, Mailbox>,
    messages: BTreeMap<(MailboxId, Uid), Message>,
    uids: BTreeMap<(MailboxId, MessageId), Uid>,
    tombstones: BTreeMap<(MailboxId, Uid), ModSeq>,
    bodies: BTreeMap<BodyId, (BodyPlace, usize)>,
    subscriptions: BTreeSet<(AccountId, String)>,
    settings: BTreeMap<String, Vec<String>>,
    name_history: BTreeMap<(AccountId, String), UidValidity>,
    origins: BTreeMap<Origin, Seq>,
    highest_uid_validity: Option<UidValidity>,
    digests: Digests,
}

impl MemoryState {
    /// All accounts.
    pub fn all_accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// All mailboxes of all accounts.
    pub fn all_mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.values()
    }

    /// All messages, by mailbox and UID.
    pub fn all_messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.values()
    }

    /// The UIDs of a mailbox that mean nothing any more, with the mod-sequence of that.
    pub fn tombstones(&self, mailbox: MailboxId) -> impl Iterator<Item = (Uid, ModSeq)> {
        self.tombstones.iter().filter(move |((at, _), _)| *at == mailbox).map(|((_, uid), modseq)| (*uid, *modseq))
    }

    /// All bodies that a message has, and how many have it.
    pub fn all_bodies(&self) -> impl Iterator<Item = (BodyId, usize)> {
        self.bodies.iter().map(|(body, (_, count))| (*body, *count))
    }

    /// Names that are subscribed.
    pub fn subscriptions(&self, account: AccountId) -> impl Iterator<Item = &str> {
        self.subscriptions.iter().filter(move |(at, _)| *at == account).map(|(_, name)| name.as_str())
    }

    /// The digests, kept with every change.
    pub const fn digests(&self) -> &Digests {
        &self.digests
    }

    /// The digests, computed from nothing.
    pub fn digests_computed(&self) -> Digests {
        let mut digests = Digests::default();
        for account in self.accounts.values() {
            digests.change_account(account.id, None, Some(account));
        }
        for mailbox in self.mailboxes.values() {
            digests.change_mailbox(None, Some(mailbox));
        }
        for message in self.messages.values() {
            if let Some(account) = self.account_of(message.mailbox) {
                digests.change_message(account, None, Some(message));
            }
        }
        for (account, name) in &self.subscriptions {
            digests.change_subscription(*account, name, false, true);
        }
        for (name, values) in &self.settings {
            digests.change_setting(name, &[], values);
        }
        digests
    }

    fn account_of(&self, mailbox: MailboxId) -> Option<AccountId> {
        self.mailboxes.get(&mailbox).map(|mailbox| mailbox.account)
    }

    fn uids_of(&self, mailbox: MailboxId) -> Vec<Uid> {
        self.messages
            .range((mailbox, Uid::FIRST)..)
            .map_while(|((at, uid), _)| (*at == mailbox).then_some(*uid))
            .collect()
    }
}

impl View for MemoryState {
    type Error = Infallible;

    fn account(&self, id: AccountId) -> Result<Option<Account>, Infallible> {
        Ok(self.accounts.get(&id).cloned())
    }

    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, Infallible> {
        Ok(self.accounts.values().find(|account| account.address == address).map(|account| account.id))
    }

    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, Infallible> {
        Ok(self.mailboxes.get(&id).cloned())
    }

    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, Infallible> {
        Ok(self.mailboxes.values().find(|mailbox| mailbox.account == account && mailbox.name == name).cloned())
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, Infallible> {
        let mut found: Vec<_> = self.mailboxes.values().filter(|mailbox| mailbox.account == account).cloned().collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn uid_validity_of_name(&self, account: AccountId, name: &str) -> Result<Option<UidValidity>, Infallible> {
        Ok(self.name_history.get(&(account, name.to_owned())).copied())
    }

    fn highest_uid_validity(&self) -> Result<Option<UidValidity>, Infallible> {
        Ok(self.highest_uid_validity)
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Message>, Infallible> {
        Ok(self.messages.get(&(mailbox, uid)).cloned())
    }

    fn message_by_id(&self, mailbox: MailboxId, id: MessageId) -> Result<Option<Message>, Infallible> {
        Ok(self.uids.get(&(mailbox, id)).and_then(|uid| self.messages.get(&(mailbox, *uid))).cloned())
    }

    fn messages(&self, mailbox: MailboxId) -> Result<Vec<Message>, Infallible> {
        let uids = self.uids_of(mailbox);
        Ok(uids.into_iter().filter_map(|uid| self.messages.get(&(mailbox, uid)).cloned()).collect())
    }

    fn has_body(&self, body: BodyId) -> Result<bool, Infallible> {
        Ok(self.bodies.contains_key(&body))
    }

    fn subscribed(&self, account: AccountId, name: &str) -> Result<bool, Infallible> {
        Ok(self.subscriptions.contains(&(account, name.to_owned())))
    }

    fn setting(&self, name: &str) -> Result<Vec<String>, Infallible> {
        Ok(self.settings.get(name).cloned().unwrap_or_default())
    }

    fn origin(&self, origin: Origin) -> Result<Option<Seq>, Infallible> {
        Ok(self.origins.get(&origin).copied())
    }
}

impl State for MemoryState {
    fn put_account(&mut self, account: &Account) -> Result<(), Infallible> {
        let old = self.accounts.insert(account.id, account.clone());
        self.digests.change_account(account.id, old.as_ref(), Some(account));
        Ok(())
    }

    fn remove_account(&mut self, id: AccountId) -> Result<(), Infallible> {
        let names: Vec<_> = self.subscriptions(id).map(str::to_owned).collect();
        for name in names {
            self.set_subscribed(id, &name, false)?;
        }
        self.name_history.retain(|(account, _), _| *account != id);
        let old = self.accounts.remove(&id);
        self.digests.change_account(id, old.as_ref(), None);
        Ok(())
    }

    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), Infallible> {
        let old = self.mailboxes.insert(mailbox.id, mailbox.clone());
        self.digests.change_mailbox(old.as_ref(), Some(mailbox));
        let name = (mailbox.account, mailbox.name.clone());
        let history = self.name_history.entry(name).or_insert(mailbox.uid_validity);
        *history = mailbox.uid_validity.max(*history);
        self.highest_uid_validity = self.highest_uid_validity.max(Some(mailbox.uid_validity));
        Ok(())
    }

    fn remove_mailbox(&mut self, id: MailboxId) -> Result<(), Infallible> {
        for uid in self.uids_of(id) {
            self.remove_message(id, uid)?;
        }
        self.tombstones.retain(|(mailbox, _), _| *mailbox != id);
        let old = self.mailboxes.remove(&id);
        self.digests.change_mailbox(old.as_ref(), None);
        Ok(())
    }

    fn put_message(&mut self, message: &Message) -> Result<(), Infallible> {
        let old = self.messages.insert((message.mailbox, message.uid), message.clone());
        self.uids.insert((message.mailbox, message.id), message.uid);
        if old.is_none()
            && let Some((_, count)) = self.bodies.get_mut(&message.body)
        {
            *count += 1;
        }
        if let Some(account) = self.account_of(message.mailbox) {
            self.digests.change_message(account, old.as_ref(), Some(message));
        }
        Ok(())
    }

    fn remove_message(&mut self, mailbox: MailboxId, uid: Uid) -> Result<(), Infallible> {
        let Some(old) = self.messages.remove(&(mailbox, uid)) else { return Ok(()) };
        self.uids.remove(&(mailbox, old.id));
        if let Some((_, count)) = self.bodies.get_mut(&old.body) {
            *count -= 1;
            if *count == 0 {
                self.bodies.remove(&old.body);
            }
        }
        if let Some(account) = self.account_of(mailbox) {
            self.digests.change_message(account, Some(&old), None);
        }
        Ok(())
    }

    fn put_tombstone(&mut self, mailbox: MailboxId, uid: Uid, modseq: ModSeq) -> Result<(), Infallible> {
        self.tombstones.insert((mailbox, uid), modseq);
        Ok(())
    }

    fn put_body(&mut self, place: &BodyPlace) -> Result<(), Infallible> {
        self.bodies.entry(place.body).or_insert((*place, 0));
        Ok(())
    }

    fn set_subscribed(&mut self, account: AccountId, name: &str, subscribed: bool) -> Result<(), Infallible> {
        let key = (account, name.to_owned());
        let before = self.subscriptions.contains(&key);
        self.digests.change_subscription(account, name, before, subscribed);
        if subscribed {
            self.subscriptions.insert(key);
        } else {
            self.subscriptions.remove(&key);
        }
        Ok(())
    }

    fn put_setting(&mut self, name: &str, values: &[String]) -> Result<(), Infallible> {
        let before = self.setting(name)?;
        self.digests.change_setting(name, &before, values);
        if values.is_empty() {
            self.settings.remove(name);
        } else {
            self.settings.insert(name.to_owned(), values.to_vec());
        }
        Ok(())
    }

    fn put_origin(&mut self, origin: Origin, seq: Seq) -> Result<(), Infallible> {
        self.origins.insert(origin, seq);
        Ok(())
    }

    fn raise_all(&mut self, uids: u32, modseqs: u64) -> Result<(), Infallible> {
        for mailbox in self.mailboxes.values_mut() {
            let old = mailbox.clone();
            mailbox.uid_next = mailbox.uid_next.and_then(|next| next.plus(uids));
            mailbox.highest_modseq = ModSeq(mailbox.highest_modseq.0.saturating_add(modseqs).min(MODSEQ_MAX));
            self.digests.change_mailbox(Some(&old), Some(mailbox));
        }
        Ok(())
    }
}
