//! FETCH and UID FETCH: one message in memory at a time.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mailmirror_imap_proto::command::{Fetch, FetchItem};
use mailmirror_imap_proto::response::{Code, ResponseBuffer};
use mailmirror_imap_proto::types::{NumberSet, SequenceSet};
use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{MailboxId, ModSeq, Uid};
use mailmirror_model::operation::MessageRef;

use super::answer::{Done, Stop};
use super::desk::SMALL_MAX_BYTES;
use super::mailbox_view::NoSuchNumber;
use super::render::{Wanted, render};
use super::rows::Pages;
use super::select::uid_next;
use super::session::Session;
use super::sync::Told;
use crate::service::{BodyError, ChangeError, FlagAction, MessageRow, Vanished, View};

/// Messages of which the flags and numbers are in memory at once.
const PAGE: usize = 1000;
/// The same where `\Seen` is set for a page before it is sent: a client that goes has not seen the others.
const SEEN_PAGE: usize = 50;

/// What a fetch has met with.
#[derive(Debug, Default)]
struct Met {
    told: Told,
    gone: bool,
    unreadable: bool,
}

/// Where the messages come from.
enum Source {
    Pages(Pages),
    /// Those that changed since.
    Changed(std::vec::IntoIter<MessageRow>),
}

impl Source {
    async fn next(&mut self, view: &View, limit: usize) -> Result<Vec<MessageRow>, Stop> {
        Ok(match self {
            Self::Pages(pages) => pages.next(view, limit).await?,
            Self::Changed(rows) => rows.take(limit).collect(),
        })
    }
}

impl Session {
    pub(super) async fn fetch(&mut self, fetch: Fetch) -> Result<Done, Stop> {
        if fetch.vanished && !self.enabled.qresync {
            return Err(Stop::bad("enable QRESYNC first"));
        }
        if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
            self.enable_condstore();
        }
        let view = self.service().show().await?;
        self.follow(&view, &Told::default()).await?;
        let places = self.find(&fetch.set, fetch.uid)?;
        let selected = self.selected()?;
        let (mailbox, marks) = (selected.id, fetch.sets_seen() && !selected.read_only);
        let mut source = match fetch.changed_since {
            None => Source::Pages(Pages::new(selected, &places)),
            Some(since) => {
                if fetch.vanished {
                    self.tell_vanished(&view, mailbox, ModSeq(since), &fetch.set).await?;
                }
                Source::Changed(self.changed_among(&view, mailbox, ModSeq(since), &places).await?.into_iter())
            }
        };
        let needs_message = fetch.needs_message();
        let wanted = Arc::new(Wanted { items: fetch.items, condstore: self.enabled.condstore });
        let mut met = Met::default();
        loop {
            let mut rows = source.next(&view, if marks { SEEN_PAGE } else { PAGE }).await?;
            if rows.is_empty() {
                break;
            }
            let marked = if marks { self.mark_seen(mailbox, &mut rows, &mut met.told).await? } else { Vec::new() };
            for row in &rows {
                self.send(row, &wanted, needs_message, marked.contains(&row.uid), &mut met).await?;
            }
        }
        if let Source::Pages(pages) = &source {
            met.gone |= pages.missed_some();
        }
        if marks {
            let view = self.service().peek();
            self.follow(&view, &met.told).await?;
        }
        if met.unreadable {
            return Err(Stop::no(Code::ServerBug, "some messages could not be read"));
        }
        if met.gone && !fetch.uid {
            return Err(Stop::no(Code::ExpungeIssued, "some of the messages are gone"));
        }
        Ok(Done::new("fetched"))
    }

    /// The messages that a set names.
    pub(super) fn find(&self, set: &SequenceSet, uid: bool) -> Result<Vec<Range<usize>>, Stop> {
        let found = self.selected()?.find(set, uid);
        found.map_err(|NoSuchNumber| Stop::bad("there is no message with such a number"))
    }

    async fn changed_among(
        &self,
        view: &View,
        mailbox: MailboxId,
        since: ModSeq,
        places: &[Range<usize>],
    ) -> Result<Vec<MessageRow>, Stop> {
        let mut rows = view.read(move |snapshot| snapshot.changed_since(mailbox, since)).await?;
        let spans = self.selected()?.spans(places);
        // Both are in order of UID.
        rows.retain(|row| {
            let at = spans.partition_point(|(_, last)| *last < row.uid);
            spans.get(at).is_some_and(|(first, _)| *first <= row.uid)
        });
        Ok(rows)
    }

    /// `VANISHED (EARLIER)` of RFC 7162 section 3.2.6.
    async fn tell_vanished(
        &mut self,
        view: &View,
        mailbox: MailboxId,
        since: ModSeq,
        set: &SequenceSet,
    ) -> Result<(), Stop> {
        let read = view.read(move |snapshot| {
            let last = snapshot.mailbox(mailbox)?.map_or(0, |mailbox| uid_next(&mailbox).saturating_sub(1));
            Ok((last, snapshot.vanished_since(mailbox, since)?))
        });
        let (last, vanished) = read.await?;
        let asked = set.resolve(Some(last.max(1))).clipped(last);
        let vanished = match vanished {
            Vanished::Uids(uids) => asked.intersection(&uids.iter().map(|uid| uid.get()).collect()),
            Vanished::AllAbsent => {
                let present: NumberSet = self.selected()?.uids().iter().copied().collect();
                asked.difference(&present)
            }
        };
        self.wire.out.vanished(true, &vanished);
        Ok(())
    }

    /// Sets `\Seen` on those that have it not, in one change, and reads them again. Where it cannot be set now the
    /// messages are shown all the same.
    async fn mark_seen(
        &mut self,
        mailbox: MailboxId,
        rows: &mut [MessageRow],
        told: &mut Told,
    ) -> Result<Vec<Uid>, Stop> {
        let unseen: Vec<MessageRef> = rows.iter().filter(|row| !row.has(&Flag::Seen)).map(MessageRow::target).collect();
        if unseen.is_empty() {
            return Ok(Vec::new());
        }
        let account = self.account()?;
        let stored = self.service().store_flags(&account, mailbox, &unseen, FlagAction::Add, &[Flag::Seen], None).await;
        match stored {
            Ok(_) => {}
            Err(ChangeError::Unknown) => return Err(Stop::Silent),
            Err(error) => {
                tracing::info!(%error, "messages are shown without being marked as seen");
                return Ok(Vec::new());
            }
        }
        let uids: Vec<Uid> = unseen.iter().map(|target| target.uid).collect();
        let asked = uids.clone();
        let view = self.service().peek();
        let read = view.read(move |snapshot| {
            let mut found = Vec::with_capacity(asked.len());
            for uid in asked {
                found.extend(snapshot.message(mailbox, uid)?);
            }
            Ok(found)
        });
        for now in read.await? {
            told.insert(&now);
            if let Ok(at) = rows.binary_search_by_key(&now.uid, |row| row.uid) {
                rows[at] = now;
            }
        }
        Ok(uids)
    }

    async fn send(
        &mut self,
        row: &MessageRow,
        wanted: &Arc<Wanted>,
        needs_message: bool,
        flags_changed: bool,
        met: &mut Met,
    ) -> Result<(), Stop> {
        let Some(sequence) = self.selected()?.sequence_of(row.uid.get()) else { return Ok(()) };
        let desk = Arc::clone(&self.port.commons.desk);
        let _place = if needs_message { desk.place(row.size_bytes).await } else { None };
        let message = if needs_message {
            match self.service().body(row.body).await {
                Ok(message) => Some(message),
                Err(BodyError::Gone) => {
                    met.gone = true;
                    return Ok(());
                }
                Err(error @ BodyError::Read(_)) => {
                    tracing::error!(%error, uid = %row.uid, "failed to read a message for IMAP");
                    met.unreadable = true;
                    return Ok(());
                }
            }
        } else {
            None
        };
        if message.as_ref().is_some_and(|message| message.len() as u64 > SMALL_MAX_BYTES) {
            // Beside the event loop: taking it apart takes its time.
            self.wire.flush().await?;
            let octets = render_aside(sequence, row.clone(), Arc::clone(wanted), message, flags_changed).await?;
            self.wire.connection.send(&octets).await?;
            return Ok(());
        }
        render(&mut self.wire.out, sequence, row, wanted, message.as_deref(), flags_changed);
        self.wire.spill().await
    }
}

async fn render_aside(
    sequence: u32,
    row: MessageRow,
    wanted: Arc<Wanted>,
    message: Option<Bytes>,
    flags_changed: bool,
) -> Result<Bytes, Stop> {
    let rendering = tokio::task::spawn_blocking(move || {
        let mut out = ResponseBuffer::new();
        render(&mut out, sequence, &row, &wanted, message.as_deref(), flags_changed);
        out.take()
    });
    rendering.await.map_err(|error| Stop::Bye(Some(Code::ServerBug), error.to_string()))
}
