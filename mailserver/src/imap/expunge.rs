//! EXPUNGE and UID EXPUNGE (RFC 4315).

use mailmirror_imap_proto::response::Code;
use mailmirror_imap_proto::types::SequenceSet;
use mailmirror_model::flags::Flag;

use super::answer::{Done, Stop};
use super::copy_move::collect;
use super::rows::Pages;
use super::session::Session;
use super::sync::Told;

impl Session {
    pub(super) async fn expunge(&mut self, uids: Option<&SequenceSet>) -> Result<Done, Stop> {
        self.writable()?;
        let any = self.expunge_deleted(uids).await?;
        let view = self.service().peek();
        self.follow(&view, &Told::default()).await?;
        self.tell_expunged().await?;
        if any && self.enabled.condstore {
            // RFC 7162 section 3.2.7: what is told now is all up to here.
            let code = Code::HighestModSeq(self.selected()?.modseq().0);
            return Ok(Done::coded(code, "expunged"));
        }
        Ok(Done::new("expunged"))
    }

    /// Removes what is marked, and says whether there was something.
    pub(super) async fn expunge_deleted(&mut self, uids: Option<&SequenceSet>) -> Result<bool, Stop> {
        let account = self.account()?;
        let view = self.show_for_change().await?;
        self.follow(&view, &Told::default()).await?;
        let selected = self.selected()?;
        let mailbox = selected.id;
        if view.counts(mailbox).await?.deleted == 0 {
            return Ok(false);
        }
        let pages = match uids {
            Some(uids) => Pages::new(selected, &self.find(uids, true)?),
            None => Pages::all(selected),
        };
        let targets = collect(pages, &view, |row| row.has(&Flag::Deleted)).await?;
        if !targets.is_empty() {
            self.service().expunge(&account, mailbox, &targets).await?;
        }
        Ok(!targets.is_empty())
    }
}
