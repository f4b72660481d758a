//! APPEND.

use std::time::{SystemTime, UNIX_EPOCH};

use mailmirror_imap_proto::command::Append;
use mailmirror_imap_proto::types::{InternalDate, NumberSet};

use super::answer::{Done, Note, Stop};
use super::convert::from_wire;
use super::session::Session;
use crate::service::NewMessage;

impl Session {
    pub(super) async fn append(&mut self, append: Append) -> Result<Done, Stop> {
        let account = self.account()?;
        if append.message.is_empty() {
            return Err(Stop::refuse("the message is empty"));
        }
        let flags = from_wire(&append.flags)?;
        // It counts for as long as it is in memory; it was let in, so it is not refused here.
        self.wire.share.set(append.message.len().saturating_add(self.wire.framer.buffered_bytes()));
        let view = self.show_for_change().await?;
        let mailbox = view.mailbox(account.id, append.mailbox.as_str()).await?.ok_or_else(Stop::try_create)?;
        let internal_date_seconds = append.date.map_or_else(now, InternalDate::unix_seconds);
        let message = NewMessage { body: append.message, flags, internal_date_seconds };
        let placed = self.service().append(&account, mailbox.id, message).await.map_err(Stop::for_target)?;
        let note = placed.map_or(Note::None, |placed| Note::AppendUid {
            uid_validity: placed.uid_validity.get(),
            uids: NumberSet::from_range(placed.uid.get()..=placed.uid.get()),
        });
        Ok(Done::with(note, "appended"))
    }
}

/// A clock before 1970 is taken for 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    i64::try_from(since).unwrap_or(i64::MAX)
}
