//! What a branch copied or moved may have been expunged at the master: the copy, and the message in its new place, stay
//! (rule U6). Their bytes stand in this node's log before the fork; where, is written down before the index is rewound.

use crate::shared::Shared;
use bytes::Bytes;
use mailmirror_log::{Location, SegmentId};
use mailmirror_model::entry::Kind;
use mailmirror_model::ids::{BodyId, MailboxId, MessageId, Seq};
use mailmirror_model::operation::{Add, BodyMeta, Change, MoveItem, Operation};
use mailmirror_model::state::View;
use mailmirror_store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Bytes of the log that are looked through at a time.
const LOOK_BYTES: usize = 1024 * 1024;
/// Bytes that are added to one re-submission at most; what is above that stays as the master has it.
const ADDED_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Written {
    /// Messages that were moved, as they were at the end of the branch.
    moved: Vec<Add>,
    places: Vec<Place>,
}

/// Where the bytes of a body stand.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Place {
    body: BodyId,
    segment: Seq,
    entry_offset_bytes: u64,
    entry_length_bytes: u32,
    offset_in_entry: u64,
    size_bytes: u64,
}

/// What is known of the messages that a branch copied or moved.
#[derive(Debug, Default)]
pub(super) struct Copied {
    moved: BTreeMap<MessageId, Add>,
    places: BTreeMap<BodyId, Place>,
    /// Messages that the branch brings itself: they may not be seen at the master yet.
    brought: BTreeSet<MessageId>,
}

/// Writes down what will be needed, while the index still holds the branch.
pub(super) fn remember(shared: &Shared, common: Seq, tail: Seq, path: &Path) -> Result<(), String> {
    let (mut bodies, mut moved) = (BTreeSet::new(), Vec::new());
    let mut next = common.next();
    while next <= tail {
        let entries = shared.log.read(next, LOOK_BYTES).map_err(|error| error.to_string())?;
        let Some(last) = entries.last() else { break };
        next = last.header().position.seq.next();
        for entry in entries.iter().filter(|entry| entry.header().kind == Kind::Operation) {
            match Operation::decode(entry.payload()).map(|(operation, _)| operation.change) {
                Ok(Change::Add { adds, bodies: carried }) => bodies.extend(lacking(&adds, &carried)),
                Ok(Change::Move { to, items, .. }) => moved.extend(items.iter().map(|item| (to, item.message))),
                _ => {}
            }
        }
    }
    if bodies.is_empty() && moved.is_empty() {
        return Ok(());
    }
    let written = shared.reader.snapshot(|view| look(view, bodies, &moved)).map_err(|error| error.to_string())?;
    let bytes = postcard::to_stdvec(&written).map_err(|error| error.to_string())?;
    std::fs::write(path, bytes).map_err(|error| format!("failed to write {}: {error}", path.display()))
}

fn look(
    view: &mailmirror_store::Snapshot,
    mut bodies: BTreeSet<BodyId>,
    moved: &[(MailboxId, MessageId)],
) -> Result<Written, StoreError> {
    let mut written = Written::default();
    for (mailbox, id) in moved {
        let Some(message) = view.message_by_id(*mailbox, *id)? else { continue };
        bodies.insert(message.body);
        written.moved.push(Add {
            mailbox: *mailbox,
            message: *id,
            body: message.body,
            size_bytes: message.size_bytes,
            internal_date_seconds: message.internal_date_seconds,
            flags: message.flags.iter().cloned().collect(),
        });
    }
    for body in bodies {
        if let Some(place) = view.body(body)? {
            written.places.push(Place {
                body,
                segment: place.entry.segment.0,
                entry_offset_bytes: place.entry.offset_bytes,
                entry_length_bytes: place.entry.length_bytes,
                offset_in_entry: place.offset_in_entry,
                size_bytes: place.size_bytes,
            });
        }
    }
    Ok(written)
}

fn lacking(adds: &[Add], carried: &[BodyMeta]) -> Vec<BodyId> {
    adds.iter().map(|add| add.body).filter(|body| !carried.iter().any(|meta| meta.body == *body)).collect()
}

impl Place {
    const fn entry(&self) -> Location {
        Location {
            segment: SegmentId(self.segment),
            offset_bytes: self.entry_offset_bytes,
            length_bytes: self.entry_length_bytes,
        }
    }
}

impl Copied {
    /// Without the file everything stays as the master has it.
    pub fn read(path: &Path) -> Self {
        let written = std::fs::read(path).ok().and_then(|bytes| postcard::from_bytes::<Written>(&bytes).ok());
        let Written { moved, places } = written.unwrap_or_default();
        Self {
            moved: moved.into_iter().map(|add| (add.message, add)).collect(),
            places: places.into_iter().map(|place| (place.body, place)).collect(),
            brought: BTreeSet::new(),
        }
    }

    /// Completes a change of the branch that the master has not done yet: a copy gets the bytes that the master has no
    /// more, and of a move what is gone there is taken out and given back, to be added.
    pub fn complete(
        &mut self,
        shared: &Shared,
        change: &mut Change,
        carried: &mut Vec<Bytes>,
    ) -> Result<Option<(Change, Vec<Bytes>)>, StoreError> {
        let mut added = None;
        match change {
            Change::Add { adds, bodies } => {
                self.carry(shared, adds, bodies, carried)?;
                self.brought.extend(adds.iter().map(|add| add.message));
            }
            Change::Move { from, items, .. } => {
                let gone = self.take_gone(shared, *from, items)?;
                self.brought.extend(items.iter().map(|item| item.message));
                let mut adds: Vec<Add> = gone.iter().filter_map(|id| self.moved.get(id)).cloned().collect();
                let (mut bodies, mut bytes) = (Vec::new(), Vec::new());
                self.carry(shared, &adds, &mut bodies, &mut bytes)?;
                shared.reader.snapshot(|view| {
                    let mut there = BTreeSet::new();
                    for add in &adds {
                        if bodies.iter().any(|meta| meta.body == add.body) || view.has_body(add.body)? {
                            there.insert(add.message);
                        }
                    }
                    adds.retain(|add| there.contains(&add.message));
                    Ok(())
                })?;
                self.brought.extend(adds.iter().map(|add| add.message));
                added = (!adds.is_empty()).then_some((Change::Add { adds, bodies }, bytes));
            }
            _ => {}
        }
        Ok(added)
    }

    /// Takes the items out whose messages the master has no more.
    fn take_gone(
        &self,
        shared: &Shared,
        from: MailboxId,
        items: &mut Vec<MoveItem>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let (mut there, mut gone) = (Vec::with_capacity(items.len()), Vec::new());
        shared.reader.snapshot(|view| {
            for item in items.drain(..) {
                let source = item.source.message;
                if self.brought.contains(&source) || view.message_by_id(from, source)?.is_some() {
                    there.push(item);
                } else {
                    gone.push(item.message);
                }
            }
            Ok(())
        })?;
        *items = there;
        Ok(gone)
    }

    fn carry(
        &self,
        shared: &Shared,
        adds: &[Add],
        bodies: &mut Vec<BodyMeta>,
        carried: &mut Vec<Bytes>,
    ) -> Result<(), StoreError> {
        let mut total = 0;
        for body in lacking(adds, bodies) {
            let Some(&place) = self.places.get(&body) else { continue };
            let size_bytes = place.size_bytes;
            let is_carried = bodies.iter().any(|meta| meta.body == body);
            if is_carried
                || total + size_bytes > ADDED_MAX_BYTES
                || shared.reader.snapshot(|view| view.has_body(body))?
            {
                continue;
            }
            // What stood after the fork is gone, and comes with its own re-submission.
            match shared.log.read_range(place.entry(), place.offset_in_entry, size_bytes) {
                Ok(bytes) if BodyId::of(&bytes) == body => {
                    bodies.push(BodyMeta { body, size_bytes });
                    carried.push(bytes);
                    total += size_bytes;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
