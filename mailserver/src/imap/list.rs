//! LIST and LSUB.

use std::collections::BTreeMap;

use mailmirror_imap_proto::command::{List, StatusItem};
use mailmirror_imap_proto::listing::{self, Known};
use mailmirror_imap_proto::types::{ListPattern, MailboxName};
use mailmirror_model::ids::AccountId;

use super::answer::{Done, Stop};
use super::convert::use_to_wire;
use super::session::Session;
use super::status::{Full, values};
use crate::service::{Listing, ReadError, Snapshot};

impl Session {
    pub(super) async fn list(&mut self, list: &List) -> Result<Done, Stop> {
        if list.patterns.iter().any(ListPattern::is_empty) {
            self.wire.out.list_root();
        }
        let account = self.account()?.id;
        let status = list.returns.status.clone();
        if status.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let view = self.service().show().await?;
        let listed = listing::list(list, &known(view.list(account).await?));
        let wanted: Vec<String> =
            listed.iter().filter(|line| line.exists).map(|line| line.name.as_str().to_owned()).collect();
        let mut full = if status.is_empty() {
            BTreeMap::new()
        } else {
            view.read(move |snapshot| full_by_name(snapshot, account, &wanted)).await?
        };
        for line in &listed {
            self.wire.out.list(&line.entry());
            if let Some(full) = full.remove(line.name.as_str()) {
                self.wire.out.status(&line.name, &values(&status, &full));
            }
            self.wire.spill().await?;
        }
        Ok(Done::new("listed"))
    }

    pub(super) async fn lsub(&mut self, reference: &ListPattern, pattern: &ListPattern) -> Result<Done, Stop> {
        let account = self.account()?.id;
        let view = self.service().show().await?;
        for line in listing::lsub(reference, pattern, &known(view.list(account).await?)) {
            self.wire.out.lsub(&line.entry());
            self.wire.spill().await?;
        }
        Ok(Done::new("listed"))
    }
}

/// Every name with what is known of it. A name that the protocol cannot carry is left out.
fn known(listing: Listing) -> Vec<Known> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for mailbox in listing.mailboxes {
        let Some(name) = wire_name(&mailbox.name) else { continue };
        let special_use = mailbox.special_use.map(use_to_wire);
        known.insert(mailbox.name, Known { name, exists: true, subscribed: false, special_use });
    }
    for subscribed in listing.subscriptions {
        if let Some(known) = known.get_mut(&subscribed) {
            known.subscribed = true;
        } else if let Some(name) = wire_name(&subscribed) {
            known.insert(subscribed, Known { name, exists: false, subscribed: true, special_use: None });
        }
    }
    known.into_values().collect()
}

fn wire_name(name: &str) -> Option<MailboxName> {
    let found = MailboxName::new(name);
    if let Err(error) = &found {
        tracing::warn!(%name, %error, "a mailbox cannot be listed; rename it");
    }
    found.ok()
}

fn full_by_name(
    snapshot: &dyn Snapshot,
    account: AccountId,
    names: &[String],
) -> Result<BTreeMap<String, Full>, ReadError> {
    let mut found = BTreeMap::new();
    for name in names {
        if let Some(mailbox) = snapshot.mailbox_by_name(account, name)? {
            let counts = snapshot.counts(mailbox.id)?;
            found.insert(name.clone(), Full { mailbox, counts });
        }
    }
    Ok(found)
}
