//! What is new in the selected mailbox, told between commands.

use mailmirror_model::ids::{MailboxId, ModSeq};

use super::answer::Stop;
use super::convert::flags_of;
use super::mailbox_view::{Delta, News, Went};
use super::rows::for_each_row;
use super::session::Session;
use crate::service::{MessageRow, ReadError, Snapshot, Vanished, View};

/// What the client knows already: it is not told again.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// UID and mod-sequence, by UID.
    messages: Vec<(u32, ModSeq)>,
}

impl Told {
    pub(super) fn insert(&mut self, row: &MessageRow) {
        self.messages.push((row.uid.get(), row.modseq));
    }

    fn has(&self, row: &MessageRow) -> bool {
        // Rows come in order of UID, so this is sorted.
        let found = self.messages.binary_search_by_key(&row.uid.get(), |(uid, _)| *uid);
        found.is_ok_and(|at| self.messages[at].1 == row.modseq)
    }
}

/// What changed in a mailbox since a mod-sequence; `None` once it was deleted.
pub(super) fn delta_since(
    snapshot: &dyn Snapshot,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Option<Delta>, ReadError> {
    let Some(found) = snapshot.mailbox(mailbox)? else { return Ok(None) };
    if found.highest_modseq <= since {
        return Ok(Some(Delta { mailbox: found, changed: Vec::new(), went: Went::These(Vec::new()) }));
    }
    let went = match snapshot.vanished_since(mailbox, since)? {
        Vanished::Uids(uids) => Went::These(uids),
        Vanished::AllAbsent => {
            let mut present = Vec::new();
            for_each_row(snapshot, mailbox, |row| present.push(row.uid.get()))?;
            Went::AllBut(present)
        }
    };
    Ok(Some(Delta { mailbox: found, changed: snapshot.changed_since(mailbox, since)?, went }))
}

impl Session {
    /// Follows the selected mailbox to what a view shows, and tells what is new but for expunged messages.
    pub(super) async fn follow(&mut self, view: &View, told: &Told) -> Result<(), Stop> {
        let Some(selected) = self.selected_mut() else { return Ok(()) };
        let (id, since) = (selected.id, selected.modseq());
        let delta = view.read(move |snapshot| delta_since(snapshot, id, since)).await?;
        let Some(delta) = delta else {
            return Err(Stop::Bye(None, "the mailbox was deleted".to_owned()));
        };
        let Some(selected) = self.selected_mut() else { return Ok(()) };
        let news = selected.absorb(delta).map_err(|diverged| {
            tracing::error!(mailbox = %id, %diverged, "a session cannot follow its mailbox");
            Stop::Bye(None, "the mailbox has changed too much; select it again".to_owned())
        })?;
        self.tell(news, told).await
    }

    /// What is new after a command of one's own, and with `expunges` which messages went.
    pub(super) async fn settle(&mut self, expunges: bool) -> Result<(), Stop> {
        if self.user.as_ref().is_none_or(|user| user.selected.is_none()) {
            return Ok(());
        }
        let view = self.service().peek();
        self.follow(&view, &Told::default()).await?;
        if expunges {
            self.tell_expunged().await?;
        }
        Ok(())
    }

    async fn tell(&mut self, news: News, told: &Told) -> Result<(), Stop> {
        let enabled = self.enabled;
        for row in &news.changed {
            let Some(selected) = self.user.as_ref().and_then(|user| user.selected.as_ref()) else { break };
            let Some(sequence) = selected.sequence_of(row.uid.get()) else { continue };
            if told.has(row) {
                continue;
            }
            self.wire.out.fetch(sequence, |items| {
                items.uid(row.uid.get());
                items.flags(&flags_of(row), false);
                if enabled.condstore {
                    items.mod_seq(row.modseq.0);
                }
            });
            self.wire.spill().await?;
        }
        if news.more
            && let Some(selected) = self.user.as_ref().and_then(|user| user.selected.as_ref())
        {
            self.wire.out.exists(selected.count());
        }
        Ok(())
    }

    /// Tells which messages went: EXPUNGE, or VANISHED with QRESYNC (RFC 7162 section 3.2.10).
    pub(super) async fn tell_expunged(&mut self) -> Result<(), Stop> {
        let qresync = self.enabled.qresync;
        let Some(selected) = self.selected_mut().filter(|selected| selected.has_gone()) else { return Ok(()) };
        let (uids, sequences) = selected.release();
        if qresync {
            self.wire.out.vanished(false, &uids);
        } else {
            for sequence in sequences {
                self.wire.out.expunge(sequence);
                self.wire.spill().await?;
            }
        }
        Ok(())
    }
}
