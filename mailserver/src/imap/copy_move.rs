//! COPY and MOVE (RFC 6851) with COPYUID (RFC 4315).

use mailmirror_imap_proto::response::Status;
use mailmirror_imap_proto::types::{MailboxName, NumberSet, SequenceSet};
use mailmirror_model::ids::{MailboxId, Uid};
use mailmirror_model::operation::MessageRef;
use mailmirror_model::outcome::Placed;

use super::answer::{CopyUid, Done, Note, Stop};
use super::rows::Pages;
use super::session::Session;
use super::sync::Told;
use crate::service::{MessageRow, View};

/// Messages that are looked up at once.
const PAGE: usize = 4000;

impl Session {
    pub(super) async fn copy(&mut self, uid: bool, set: &SequenceSet, to: &MailboxName) -> Result<Done, Stop> {
        let (from, to, targets) = self.prepare(uid, set, to).await?;
        let account = self.account()?;
        let copied = self.service().copy(&account, from, &targets, to).await.map_err(Stop::for_target)?;
        let note = copy_uid(&copied).map_or(Note::None, Note::CopyUid);
        Ok(Done::with(note, "copied"))
    }

    pub(super) async fn move_to(&mut self, uid: bool, set: &SequenceSet, to: &MailboxName) -> Result<Done, Stop> {
        self.writable()?;
        let (from, to, targets) = self.prepare(uid, set, to).await?;
        let account = self.account()?;
        let moved = self.service().move_messages(&account, from, &targets, to).await.map_err(Stop::for_target)?;
        // Before the EXPUNGE responses, so that the client knows what became of the messages (RFC 6851 section 4.3).
        if let Some(moved) = copy_uid(&moved) {
            self.wire.out.untagged(Status::Ok, Some(&moved.code()), "moved");
        }
        Ok(Done::new("done"))
    }

    /// Where from, where to, and which messages.
    async fn prepare(
        &mut self,
        uid: bool,
        set: &SequenceSet,
        to: &MailboxName,
    ) -> Result<(MailboxId, MailboxId, Vec<MessageRef>), Stop> {
        let account = self.account()?.id;
        let view = self.show_for_change().await?;
        self.follow(&view, &Told::default()).await?;
        let places = self.find(set, uid)?;
        let to = view.mailbox(account, to.as_str()).await?.ok_or_else(Stop::try_create)?.id;
        let selected = self.selected()?;
        let (from, pages) = (selected.id, Pages::new(selected, &places));
        Ok((from, to, collect(pages, &view, |_| true).await?))
    }
}

/// Both names of the messages that are wanted.
pub(super) async fn collect(
    mut pages: Pages,
    view: &View,
    wanted: impl Fn(&MessageRow) -> bool,
) -> Result<Vec<MessageRef>, Stop> {
    let mut targets = Vec::new();
    loop {
        let rows = pages.next(view, PAGE).await?;
        if rows.is_empty() {
            return Ok(targets);
        }
        targets.extend(rows.iter().filter(|row| wanted(row)).map(MessageRow::target));
    }
}

/// `None` for no messages. Both lists ascend, as UIDs are given out in the order of the messages.
fn copy_uid(copied: &[(Uid, Placed)]) -> Option<CopyUid> {
    let uid_validity = copied.first()?.1.uid_validity.get();
    let source: NumberSet = copied.iter().map(|(uid, _)| uid.get()).collect();
    let target = copied.iter().map(|(_, placed)| placed.uid.get()).collect();
    Some(CopyUid { uid_validity, source, target })
}
