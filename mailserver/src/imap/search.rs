//! SEARCH and UID SEARCH, with ESEARCH (RFC 4731).

use std::sync::Arc;

use mailmirror_imap_proto::command::Search;
use mailmirror_imap_proto::response::{Code, Status};
use mailmirror_imap_proto::search::{BoundProgram, MessageText, SearchProgram, SearchTarget};
use mailmirror_imap_proto::types::{Flag, InternalDate, ModSeq, NumberSet, Tag};
use tokio::time::Instant;

use super::answer::{Done, Stop};
use super::convert::{date_of, has};
use super::rows::Pages;
use super::session::Session;
use super::sync::Told;
use super::wire::stopping;
use crate::service::{BodyError, MessageRow};

/// Messages of which the flags and numbers are in memory at once.
const PAGE: usize = 2000;
/// Larger messages are searched beside the event loop.
const INLINE_MAX_BYTES: usize = 64 << 10;
/// How often a client is told that a search goes on.
const STILL: std::time::Duration = std::time::Duration::from_secs(20);

/// A message as the program sees it.
struct Target<'a> {
    sequence: u32,
    row: &'a MessageRow,
}

impl SearchTarget for Target<'_> {
    fn sequence(&self) -> u32 {
        self.sequence
    }

    fn uid(&self) -> u32 {
        self.row.uid.get()
    }

    fn has_flag(&self, flag: &Flag) -> bool {
        has(self.row, flag)
    }

    fn is_recent(&self) -> bool {
        false
    }

    fn internal_date(&self) -> InternalDate {
        date_of(self.row)
    }

    fn size(&self) -> u64 {
        self.row.size_bytes
    }

    fn mod_seq(&self) -> ModSeq {
        self.row.modseq.0
    }
}

/// What a program is bound to.
#[derive(Clone, Copy)]
struct Bounds {
    last_sequence: Option<u32>,
    last_uid: Option<u32>,
}

/// What was found, in ascending order.
#[derive(Default)]
struct Found {
    numbers: NumberSet,
    first: Option<ModSeq>,
    last: Option<ModSeq>,
    highest: Option<ModSeq>,
}

impl Found {
    fn insert(&mut self, number: u32, mod_seq: ModSeq) {
        self.numbers.insert(number);
        self.first = self.first.or(Some(mod_seq));
        self.last = Some(mod_seq);
        self.highest = self.highest.max(Some(mod_seq));
    }
}

impl Session {
    pub(super) async fn search(&mut self, tag: &Tag, search: Search) -> Result<Done, Stop> {
        let Search { uid, returns, program } = search;
        let tells_mod_seq = program.uses_mod_seq();
        if tells_mod_seq {
            self.enable_condstore();
        }
        let view = self.service().show().await?;
        self.follow(&view, &Told::default()).await?;
        let selected = self.selected()?;
        let bounds = Bounds {
            last_sequence: Some(selected.count()).filter(|count| *count > 0),
            last_uid: selected.uids().last().copied(),
        };
        let mut pages = Pages::all(selected);
        let (program, mut found) = (Arc::new(program), Found::default());
        let bound = program.bind(bounds.last_sequence, bounds.last_uid);
        let mut tell_at = Instant::now() + STILL;
        loop {
            let rows = pages.next(&view, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let Some(sequence) = self.selected()?.sequence_of(row.uid.get()) else { continue };
                let target = Target { sequence, row: &row };
                let matches = match bound.matches_without_message(&target) {
                    Some(known) => known,
                    None => self.matches_message(&program, &bound, bounds, &target).await?,
                };
                if matches {
                    found.insert(if uid { row.uid.get() } else { sequence }, row.modseq.0);
                }
                if Instant::now() >= tell_at {
                    tell_at = Instant::now() + STILL;
                    self.wire.out.untagged(Status::Ok, None, "still searching");
                    self.wire.flush().await?;
                    if self.wire.shutdown.is_cancelled() {
                        return Err(stopping());
                    }
                }
            }
        }
        let Some(returns) = returns else {
            let highest = found.highest.filter(|_| tells_mod_seq);
            self.wire.out.search(found.numbers.iter(), highest);
            return Ok(Done::new("searched"));
        };
        // Of MIN and MAX alone the mod-sequences are those of the messages that are told (RFC 7162 section 3.1.5).
        let mod_seq = match (returns.all || returns.count, returns.min, returns.max) {
            (false, true, false) => found.first,
            (false, false, true) => found.last,
            (false, true, true) => found.first.max(found.last),
            _ => found.highest,
        };
        self.wire.out.esearch(tag, uid, returns, &found.numbers, mod_seq.filter(|_| tells_mod_seq));
        Ok(Done::new("searched"))
    }

    async fn matches_message(
        &self,
        program: &Arc<SearchProgram>,
        bound: &BoundProgram<'_>,
        bounds: Bounds,
        target: &Target<'_>,
    ) -> Result<bool, Stop> {
        let _place = self.port.commons.desk.place(target.row.size_bytes).await;
        let message = match self.service().body(target.row.body).await {
            Ok(message) => message,
            Err(BodyError::Gone) => return Ok(false),
            Err(error @ BodyError::Read(_)) => {
                tracing::error!(%error, uid = %target.row.uid, "failed to read a message for a search");
                return Err(Stop::no(Code::ServerBug, "some messages could not be read"));
            }
        };
        if message.len() <= INLINE_MAX_BYTES {
            return Ok(bound.matches(target, &MessageText::new(&message)));
        }
        let (program, row, sequence) = (Arc::clone(program), target.row.clone(), target.sequence);
        let matching = tokio::task::spawn_blocking(move || {
            // Binding again is cheap beside a message of this size.
            let bound = program.bind(bounds.last_sequence, bounds.last_uid);
            bound.matches(&Target { sequence, row: &row }, &MessageText::new(&message))
        });
        matching.await.map_err(|error| Stop::Bye(Some(Code::ServerBug), error.to_string()))
    }
}
