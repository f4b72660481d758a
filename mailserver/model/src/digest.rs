//! What equality means (rule R2): a 128-bit multiset hash over what follows from the log, kept up to date with every
//! change.
//!
//! Each item (account, mailbox, message, subscription, setting) has a hash; the digest of many is their sum modulo
//! 2^128, so that an item is added and taken away without looking at the others. A mailbox's digest covers itself and
//! its messages, an account's itself, its subscriptions and its mailboxes, the root all accounts and the settings.
//! Tombstones, origins, the times of flags and places on the disk are in none: they may differ between two nodes that
//! show the same to every client.

use crate::ids::{AccountId, MailboxId, first_128_bits};
use crate::operation::SpecialUse;
use crate::state::{Account, Mailbox, Message};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The digest of a set of items; zero for none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub u128);

impl Digest {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Of an account's own record.
    pub fn of_account(account: &Account) -> Self {
        let mut item = Item::new(1);
        item.number128(account.id.0);
        item.text(&account.address);
        item.text(&account.password);
        item.number(u64::from(account.enabled));
        item.option(account.quota_bytes);
        item.digest()
    }

    /// Of a mailbox's own record, its numbers included.
    pub fn of_mailbox(mailbox: &Mailbox) -> Self {
        let mut item = Item::new(2);
        item.number128(mailbox.id.0);
        item.number128(mailbox.account.0);
        item.text(&mailbox.name);
        item.option(mailbox.special_use.map(|special_use| match special_use {
            SpecialUse::Archive => 1,
            SpecialUse::Drafts => 2,
            SpecialUse::Junk => 3,
            SpecialUse::Sent => 4,
            SpecialUse::Trash => 5,
        }));
        item.number(u64::from(mailbox.uid_validity.get()));
        item.option(mailbox.uid_next.map(|uid| u64::from(uid.get())));
        item.number(mailbox.highest_modseq.0);
        item.digest()
    }

    /// Of a message: what a client can see of it, and its identities. Keywords count without regard to case.
    pub fn of_message(message: &Message) -> Self {
        let mut item = Item::new(3);
        item.number128(message.mailbox.0);
        item.number(u64::from(message.uid.get()));
        item.number128(message.id.0);
        item.number128(message.body.0);
        item.number(message.size_bytes);
        item.number(message.internal_date_seconds.cast_unsigned());
        item.number(message.modseq.0);
        for flag in message.flags.iter() {
            item.text(&flag.to_string().to_ascii_lowercase());
        }
        item.digest()
    }

    /// Of a subscription.
    pub fn of_subscription(account: AccountId, name: &str) -> Self {
        let mut item = Item::new(4);
        item.number128(account.0);
        item.text(name);
        item.digest()
    }

    /// Of a mirrored setting; one without values is no item.
    pub fn of_setting(name: &str, values: &[String]) -> Self {
        if values.is_empty() {
            return Self::ZERO;
        }
        let mut item = Item::new(5);
        item.text(name);
        for value in values {
            item.text(value);
        }
        item.digest()
    }

    /// With the items of `other` too.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Without the items of `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }

    /// With `old` replaced by `new`.
    pub fn replace(&mut self, old: Option<Self>, new: Option<Self>) {
        *self = self.minus(old.unwrap_or_default()).plus(new.unwrap_or_default());
    }
}

impl std::iter::Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        digests.fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:032x})", self.0)
    }
}

/// One item's bytes: a number that says what it is, then its fields, each with its length where it has one.
struct Item(Vec<u8>);

impl Item {
    fn new(kind: u8) -> Self {
        let mut bytes = Vec::with_capacity(160);
        bytes.push(kind);
        Self(bytes)
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn number128(&mut self, number: u128) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn option(&mut self, number: Option<u64>) {
        self.0.push(u8::from(number.is_some()));
        self.number(number.unwrap_or_default());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn digest(self) -> Digest {
        Digest(first_128_bits(blake3::hash(&self.0)))
    }
}

/// The digests of a whole state, kept by telling it of every change. Two are equal when all their digests are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    root: Digest,
    accounts: BTreeMap<AccountId, Digest>,
    mailboxes: BTreeMap<MailboxId, Digest>,
}

impl Digests {
    /// Of everything.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// Of one account with all it holds.
    pub fn account(&self, id: AccountId) -> Digest {
        self.accounts.get(&id).copied().unwrap_or_default()
    }

    /// Of one mailbox with its messages.
    pub fn mailbox(&self, id: MailboxId) -> Digest {
        self.mailboxes.get(&id).copied().unwrap_or_default()
    }

    /// An account's record is another one now.
    pub fn change_account(&mut self, id: AccountId, old: Option<&Account>, new: Option<&Account>) {
        self.change(Some(id), None, old.map(Digest::of_account), new.map(Digest::of_account));
    }

    /// A subscription is there now, or no longer.
    pub fn change_subscription(&mut self, account: AccountId, name: &str, old: bool, new: bool) {
        let digest = Digest::of_subscription(account, name);
        self.change(Some(account), None, old.then_some(digest), new.then_some(digest));
    }

    /// A setting has other values now.
    pub fn change_setting(&mut self, name: &str, old: &[String], new: &[String]) {
        self.change(None, None, Some(Digest::of_setting(name, old)), Some(Digest::of_setting(name, new)));
    }

    /// A mailbox's record is another one now.
    pub fn change_mailbox(&mut self, old: Option<&Mailbox>, new: Option<&Mailbox>) {
        if let Some(Mailbox { id, account, .. }) = new.or(old) {
            self.change(Some(*account), Some(*id), old.map(Digest::of_mailbox), new.map(Digest::of_mailbox));
        }
    }

    /// A message of a mailbox of this account is another one now.
    pub fn change_message(&mut self, account: AccountId, old: Option<&Message>, new: Option<&Message>) {
        if let Some(Message { mailbox, .. }) = new.or(old) {
            let (old, new) = (old.map(Digest::of_message), new.map(Digest::of_message));
            self.change(Some(account), Some(*mailbox), old, new);
        }
    }

    fn change(
        &mut self,
        account: Option<AccountId>,
        mailbox: Option<MailboxId>,
        old: Option<Digest>,
        new: Option<Digest>,
    ) {
        self.root.replace(old, new);
        if let Some(account) = account {
            let digest = self.accounts.entry(account).or_default();
            digest.replace(old, new);
            if *digest == Digest::ZERO {
                self.accounts.remove(&account);
            }
        }
        if let Some(mailbox) = mailbox {
            let digest = self.mailboxes.entry(mailbox).or_default();
            digest.replace(old, new);
            if *digest == Digest::ZERO {
                self.mailboxes.remove(&mailbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Flag, FlagSet, When};
    use crate::ids::{BodyId, Hlc, MessageId, ModSeq, NodeId, Seq, Uid};

    fn message(flags: &[&str]) -> Message {
        let when = When { clock: Hlc(3), node: NodeId::Zero };
        Message {
            mailbox: MailboxId(1),
            uid: Uid::FIRST,
            id: MessageId(2),
            body: BodyId(3),
            size_bytes: 4,
            internal_date_seconds: -5,
            flags: FlagSet::new(flags.iter().filter_map(|flag| Flag::parse(flag).ok()), when),
            modseq: ModSeq(6),
            added: Seq(7),
        }
    }

    #[test]
    fn r2_what_no_client_sees_is_not_in_the_digest() {
        let plain = message(&["\\Seen", "$Work"]);
        let mut other = message(&["$WORK", "\\seen"]);
        other.added = Seq(99);
        other.flags.change(&Flag::Draft, false, When { clock: Hlc(9), node: NodeId::One });
        assert_ne!(plain, other);
        assert_eq!(Digest::of_message(&plain), Digest::of_message(&other));
    }

    #[test]
    fn r2_everything_that_a_client_sees_is_in_the_digest() {
        let plain = message(&["\\Seen"]);
        let mut changed = vec![message(&[]), message(&["\\Seen", "\\Draft"])];
        let changes: [fn(&mut Message); 7] = [
            |message| message.mailbox = MailboxId(9),
            |message| message.uid = Uid::FIRST.plus(1).unwrap_or(Uid::FIRST),
            |message| message.id = MessageId(9),
            |message| message.body = BodyId(9),
            |message| message.size_bytes = 9,
            |message| message.internal_date_seconds = 9,
            |message| message.modseq = ModSeq(9),
        ];
        for change in changes {
            let mut other = plain.clone();
            change(&mut other);
            changed.push(other);
        }
        for other in changed {
            assert_ne!(Digest::of_message(&plain), Digest::of_message(&other), "{other:?}");
        }
    }

    #[test]
    fn r2_an_item_that_goes_leaves_nothing_behind() {
        let mut digests = Digests::default();
        let account = AccountId(5);
        digests.change_message(account, None, Some(&message(&[])));
        digests.change_subscription(account, "INBOX", false, true);
        digests.change_setting("g_x", &[], &["1".to_owned()]);
        assert_eq!(
            digests.account(account),
            digests.mailbox(MailboxId(1)).plus(Digest::of_subscription(account, "INBOX"))
        );
        digests.change_setting("g_x", &["1".to_owned()], &[]);
        digests.change_subscription(account, "INBOX", true, false);
        digests.change_message(account, Some(&message(&[])), None);
        assert_eq!(digests, Digests::default());
    }
}
