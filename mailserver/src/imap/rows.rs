//! Messages of a mailbox, page by page.

use std::ops::Range;

use mailmirror_model::ids::{MailboxId, Uid};

use super::mailbox_view::MailboxView;
use crate::service::{MessageRow, ReadError, Snapshot, View};

/// Messages that are still to be read.
#[derive(Debug)]
pub(super) struct Pages {
    mailbox: MailboxId,
    /// First and last UID, the next ones at the end.
    spans: Vec<(Uid, Uid)>,
    wanted: usize,
    found: usize,
}

impl Pages {
    /// The messages at these places.
    pub(super) fn new(mailbox: &MailboxView, places: &[Range<usize>]) -> Self {
        let mut spans = mailbox.spans(places);
        spans.reverse();
        Self { mailbox: mailbox.id, spans, wanted: places.iter().map(Range::len).sum(), found: 0 }
    }

    /// All messages.
    pub(super) fn all(mailbox: &MailboxView) -> Self {
        let everything = 0..mailbox.uids().len();
        Self::new(mailbox, std::slice::from_ref(&everything))
    }

    /// The next messages, at most `limit`; none at the end.
    pub(super) async fn next(&mut self, view: &View, limit: usize) -> Result<Vec<MessageRow>, ReadError> {
        if self.spans.is_empty() {
            return Ok(Vec::new());
        }
        let (mailbox, mut spans) = (self.mailbox, std::mem::take(&mut self.spans));
        let (rows, spans) = view
            .read(move |snapshot| {
                let rows = take(snapshot, mailbox, &mut spans, limit)?;
                Ok((rows, spans))
            })
            .await?;
        self.spans = spans;
        self.found += rows.len();
        Ok(rows)
    }

    /// Whether messages were not there any more, once all pages were read.
    pub(super) const fn missed_some(&self) -> bool {
        self.found < self.wanted
    }
}

/// Reads from the spans and shortens them.
fn take(
    snapshot: &dyn Snapshot,
    mailbox: MailboxId,
    spans: &mut Vec<(Uid, Uid)>,
    limit: usize,
) -> Result<Vec<MessageRow>, ReadError> {
    let mut rows = Vec::new();
    while rows.len() < limit {
        let Some((first, last)) = spans.pop() else { break };
        let room = limit - rows.len();
        let found = snapshot.messages_between(mailbox, first, last, room)?;
        let next = found.last().filter(|_| found.len() == room).and_then(|row| row.uid.plus(1));
        spans.extend(next.filter(|next| *next <= last).map(|next| (next, last)));
        rows.extend(found);
    }
    Ok(rows)
}

/// Every UID of a mailbox, in order, and what else a pass over all messages may collect.
pub(super) fn for_each_row(
    snapshot: &dyn Snapshot,
    mailbox: MailboxId,
    mut each: impl FnMut(&MessageRow),
) -> Result<(), ReadError> {
    /// Messages that are in memory at once.
    const PAGE: usize = 4096;
    let last = Uid(std::num::NonZeroU32::MAX);
    let mut first = Some(Uid::FIRST);
    while let Some(from) = first {
        let page = snapshot.messages_between(mailbox, from, last, PAGE)?;
        page.iter().for_each(&mut each);
        first = page.last().filter(|_| page.len() == PAGE).and_then(|row| row.uid.plus(1));
    }
    Ok(())
}
