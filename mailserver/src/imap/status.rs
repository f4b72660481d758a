//! STATUS.

use mailmirror_imap_proto::command::StatusItem;
use mailmirror_imap_proto::types::MailboxName;
use mailmirror_model::state::Mailbox;

use super::answer::{Done, Stop};
use super::select::uid_next;
use super::session::Session;
use crate::service::Counts;

/// A mailbox and how full it is, of one moment.
pub(super) struct Full {
    pub(super) mailbox: Mailbox,
    pub(super) counts: Counts,
}

impl Session {
    pub(super) async fn status(&mut self, mailbox: &MailboxName, items: &[StatusItem]) -> Result<Done, Stop> {
        let (account, name) = (self.account()?.id, mailbox.as_str().to_owned());
        if items.contains(&StatusItem::HighestModSeq) {
            self.enable_condstore();
        }
        let view = self.service().show().await?;
        let full = view.read(move |snapshot| {
            let Some(mailbox) = snapshot.mailbox_by_name(account, &name)? else { return Ok(None) };
            let counts = snapshot.counts(mailbox.id)?;
            Ok(Some(Full { mailbox, counts }))
        });
        let full = full.await?.ok_or_else(Stop::no_mailbox)?;
        self.wire.out.status(mailbox, &values(items, &full));
        Ok(Done::new("that is all"))
    }
}

pub(super) fn values(items: &[StatusItem], full: &Full) -> Vec<(StatusItem, u64)> {
    let Full { mailbox, counts } = full;
    let value = |item: &StatusItem| match item {
        StatusItem::Messages => counts.messages,
        StatusItem::Recent => 0,
        StatusItem::UidNext => uid_next(mailbox).into(),
        StatusItem::UidValidity => mailbox.uid_validity.get().into(),
        StatusItem::Unseen => counts.unseen,
        StatusItem::Deleted => counts.deleted,
        StatusItem::Size => counts.size_bytes,
        StatusItem::HighestModSeq => mailbox.highest_modseq.0,
    };
    items.iter().map(|item| (*item, value(item))).collect()
}
