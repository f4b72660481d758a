//! STORE and UID STORE.

use std::collections::BTreeSet;

use mailmirror_imap_proto::command::{Store, StoreOperation};
use mailmirror_imap_proto::response::Code;
use mailmirror_imap_proto::types::NumberSet;
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{MailboxId, ModSeq};
use mailmirror_model::operation::MessageRef;

use super::answer::{Done, Note, Stop};
use super::convert::{flags_of, from_wire};
use super::rows::Pages;
use super::session::Session;
use super::sync::Told;
use crate::service::{FlagAction, MessageRow};

/// Messages that are changed at once.
const PAGE: usize = 2000;
/// Flags that one command may name.
const FLAGS_MAX: usize = 100;

/// What is done to each message.
struct Doing {
    mailbox: MailboxId,
    action: FlagAction,
    flags: Vec<Flag>,
    silent: bool,
    unchanged_since: Option<ModSeq>,
}

impl Session {
    pub(super) async fn store(&mut self, store: Store) -> Result<Done, Stop> {
        let mailbox = self.writable()?.id;
        if store.flags.len() > FLAGS_MAX {
            return Err(Stop::no(Code::Limit, format!("one command may name {FLAGS_MAX} flags")));
        }
        let action = match store.operation {
            StoreOperation::Replace => FlagAction::Replace,
            StoreOperation::Add => FlagAction::Add,
            StoreOperation::Remove => FlagAction::Remove,
        };
        let doing = Doing {
            mailbox,
            action,
            flags: from_wire(&store.flags)?,
            silent: store.silent,
            unchanged_since: store.unchanged_since.map(ModSeq),
        };
        if doing.unchanged_since.is_some() {
            self.enable_condstore();
        }
        let view = self.show_for_change().await?;
        self.follow(&view, &Told::default()).await?;
        let places = self.find(&store.set, store.uid)?;
        let mut pages = Pages::new(self.selected()?, &places);
        let mut modified = NumberSet::new();
        loop {
            let rows = pages.next(&view, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            self.store_page(&doing, rows, store.uid, &mut modified).await?;
        }
        if !modified.is_empty() {
            return Ok(Done::with(Note::Modified(modified), "some messages were changed meanwhile"));
        }
        if pages.missed_some() && !store.uid {
            return Ok(Done::coded(Code::ExpungeIssued, "some of the messages are gone"));
        }
        Ok(Done::new("stored"))
    }

    async fn store_page(
        &mut self,
        doing: &Doing,
        rows: Vec<MessageRow>,
        uid: bool,
        modified: &mut NumberSet,
    ) -> Result<(), Stop> {
        let account = self.account()?;
        let targets: Vec<MessageRef> = rows.iter().map(MessageRow::target).collect();
        let left = self
            .service()
            .store_flags(&account, doing.mailbox, &targets, doing.action, &doing.flags, doing.unchanged_since)
            .await?;
        let selected = self.selected()?;
        for uid_left in &left {
            let number = if uid { Some(uid_left.get()) } else { selected.sequence_of(uid_left.get()) };
            modified.extend(number);
        }
        let mailbox = doing.mailbox;
        let view = self.service().peek();
        let read = view.read(move |snapshot| {
            let mut pairs = Vec::with_capacity(rows.len());
            for before in rows {
                if let Some(now) = snapshot.message(mailbox, before.uid)?.filter(|now| now.id == before.id) {
                    pairs.push((before, now));
                }
            }
            Ok(pairs)
        });
        let mut told = Told::default();
        for (before, now) in read.await? {
            if left.contains(&now.uid) {
                continue;
            }
            // Whoever else changed it meanwhile: then the client hears of it, silent or not.
            let silent = doing.silent && doing.expected(&before) == now.flags.iter().cloned().collect();
            self.tell_stored(&now, silent).await?;
            told.insert(&now);
        }
        self.follow(&view, &told).await
    }

    async fn tell_stored(&mut self, row: &MessageRow, silent: bool) -> Result<(), Stop> {
        let condstore = self.enabled.condstore;
        let Some(sequence) = self.selected()?.sequence_of(row.uid.get()) else { return Ok(()) };
        if silent && !condstore {
            return Ok(());
        }
        self.wire.out.fetch(sequence, |items| {
            items.uid(row.uid.get());
            if !silent {
                items.flags(&flags_of(row), false);
            }
            if condstore {
                items.mod_seq(row.modseq.0);
            }
        });
        self.wire.spill().await
    }
}

impl Doing {
    /// The flags that a message has after the change, if nobody else changes it.
    fn expected(&self, before: &MessageRow) -> BTreeSet<Flag> {
        let named = || self.flags.iter().cloned();
        let mut flags: BTreeSet<Flag> = before.flags.iter().cloned().collect();
        match self.action {
            FlagAction::Add => flags.extend(named()),
            FlagAction::Remove => flags.retain(|flag| !self.flags.contains(flag)),
            FlagAction::Replace => flags = named().collect(),
        }
        flags
    }
}
