//! What a node has that the master of the highest epoch does not: kept aside, durably, and re-submitted (rules U2, U3).

use crate::forward;
use crate::shared::{Inner, Shared};
use mailmirror_log::read_entries_file;
use mailmirror_model::entry::Kind;
use mailmirror_model::ids::{Incarnation, MailboxId, MessageId, Origin, Seq, Uid};
use mailmirror_model::operation::{Change, MessageRef, Operation, Stamp};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

const FOLDER: &str = "branches";
const ENDING: &str = "branch";
/// Re-submissions that are on their way at once.
const RESUBMIT_MAX: usize = 256;

/// The branches of a node that are not re-submitted to the end.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    files: BTreeSet<PathBuf>,
    on_their_way: BTreeSet<Origin>,
    read_of_first: u64,
    first_is_read: bool,
}

impl Branches {
    /// The branches that a store holds.
    pub fn find(dir: &Path) -> std::io::Result<Self> {
        let folder = dir.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let mut files = BTreeSet::new();
        for found in std::fs::read_dir(&folder)? {
            let path = found?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                files.insert(path);
            }
        }
        Ok(Self { files, ..Self::default() })
    }

    /// Whether a rebase is open: then no state is shown, and the node is not reported for the set.
    pub fn is_open(&self) -> bool {
        !self.files.is_empty()
    }
}

/// Cuts this node's log to what it has in common with the master's, keeps what was cut, and rewinds the index if it had
/// applied some of that. Nothing is done when there is no branch.
pub(crate) fn leave(shared: &Arc<Shared>, session: u64, common: Seq) -> Result<(), String> {
    // First the index, then the rules: the order that the applier keeps.
    let mut writer = shared.writer.lock().unwrap_or_else(PoisonError::into_inner);
    let mut guard = shared.lock();
    let inner = &mut *guard;
    if inner.session.as_ref().is_none_or(|current| current.id != session) {
        return Err("the connection was replaced".to_owned());
    }
    let tail = inner.node.tail();
    if tail.seq <= common {
        return Ok(());
    }
    if common == Seq::ZERO {
        return Err(format!(
            "this store and the peer's have nothing in common, and this one has entries up to {tail}: it is not given \
             up by itself (U8). If it is the wrong one, stop this node and remove {}",
            shared.options.dir.display()
        ));
    }
    let committed = inner.node.committed();
    let name = format!("{:020}-{:020}-{:020}.{ENDING}", common.0, committed.0, tail.seq.0);
    let file = shared.options.dir.join(FOLDER).join(name);
    let cut = shared.log.truncate_after(common, &file).map_err(|error| error.to_string())?;
    tracing::warn!(fork = %common, end = %tail, "this node has a branch: it is kept and re-submitted to the master");
    inner.branches.files.insert(file);
    if inner.node.applied() > common {
        writer.reset().map_err(|error| error.to_string())?;
        shared.applied.send_replace(Seq::ZERO);
        inner.node.on_rewound();
    }
    inner.node.on_truncated(cut.position);
    inner.tail_hash = cut.hash;
    inner.told_committed = inner.told_committed.min(cut.position.seq);
    // Whoever waits for an entry of the branch is not answered (rule N6).
    inner.waiters.split_off(&common.next());
    shared.committed.send_replace(inner.node.committed());
    Ok(())
}

/// Offers operations of branches to the master, in order, some at a time; a branch whose operations are all back in the
/// log is done with.
pub(crate) fn resubmit(shared: &Arc<Shared>, inner: &mut Inner) {
    let branches = &mut inner.branches;
    branches.on_their_way.retain(|origin| inner.forwards.contains_key(origin));
    while let Some(file) = inner.branches.files.first().cloned() {
        if inner.branches.first_is_read {
            if !inner.branches.on_their_way.is_empty() {
                return;
            }
            finish(inner, &file);
            continue;
        }
        if let Err(error) = offer(shared, inner, &file) {
            Shared::note_problem(inner, "BranchUnreadable", error);
            return;
        }
        if !inner.branches.first_is_read {
            return;
        }
    }
}

fn finish(inner: &mut Inner, file: &Path) {
    // It stays as a file for a person to look at, under a name that is not taken up again.
    if let Err(error) = std::fs::rename(file, file.with_extension("done")) {
        tracing::warn!(error = error.to_string(), "failed to put a finished branch away");
    }
    inner.branches.files.remove(file);
    inner.branches.read_of_first = 0;
    inner.branches.first_is_read = false;
    tracing::info!("a branch is back in the log");
}

fn offer(shared: &Arc<Shared>, inner: &mut Inner, file: &Path) -> Result<(), String> {
    let announced = announced_up_to(file);
    let skip = usize::try_from(inner.branches.read_of_first).unwrap_or(usize::MAX);
    for read in read_entries_file(file).map_err(|error| error.to_string())?.skip(skip) {
        if inner.branches.on_their_way.len() >= RESUBMIT_MAX {
            return Ok(());
        }
        let entry = read.map_err(|error| error.to_string())?;
        inner.branches.read_of_first += 1;
        let header = *entry.header();
        if header.kind != Kind::Operation {
            continue;
        }
        let (operation, places) = Operation::decode(entry.payload()).map_err(|error| error.to_string())?;
        let bodies: Vec<_> = places
            .iter()
            .filter_map(|place| {
                let from = usize::try_from(place.offset_bytes).ok()? + mailmirror_model::entry::HEADER_BYTES;
                let to = from + usize::try_from(place.size_bytes).ok()?;
                (to <= entry.bytes().len()).then(|| entry.bytes().slice(from..to))
            })
            .collect();
        let was_announced = header.position.seq <= announced;
        for (number, change) in around(&operation, was_announced).into_iter().enumerate() {
            let origin = beside(header.origin, number);
            let frame = forward::encode(origin, operation.when, change, &[]).map_err(|error| error.to_string())?;
            shared.enqueue(inner, origin, frame, None);
            inner.branches.on_their_way.insert(origin);
        }
        let frame = forward::encode(header.origin, operation.when, operation.change, &bodies)
            .map_err(|error| error.to_string())?;
        shared.enqueue(inner, header.origin, frame, None);
        inner.branches.on_their_way.insert(header.origin);
    }
    inner.branches.first_is_read = true;
    Ok(())
}

/// What was committed when the branch was cut: a part of the file's name.
fn announced_up_to(file: &Path) -> Seq {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let committed = name.split('-').nth(1).and_then(|number| number.parse().ok());
    // Not readable: everything may have been announced.
    Seq(committed.unwrap_or(u64::MAX))
}

/// Identities for what goes with a re-submission: in the space of one that no process ever has.
fn beside(origin: Origin, number: usize) -> Origin {
    let number = number as u64 + 1;
    Origin { incarnation: Incarnation(origin.incarnation.0 ^ (number << 56)), ..origin }
}

/// What else has to be done when an announced operation is re-submitted: tombstones for the UIDs that it gave out, on
/// both nodes (rule U2), and new mod-sequences for the messages that it touched (rule U3).
fn around(operation: &Operation, announced: bool) -> Vec<Change> {
    if !announced {
        return Vec::new();
    }
    let mut given: BTreeMap<MailboxId, u32> = BTreeMap::new();
    let mut touched: Vec<(MailboxId, Vec<MessageId>)> = Vec::new();
    let ids = |items: &[MessageRef]| items.iter().map(|item| item.message).collect::<Vec<_>>();
    match &operation.change {
        Change::Add { adds, .. } => adds.iter().for_each(|add| *given.entry(add.mailbox).or_default() += 1),
        Change::Move { from, to, items } => {
            given.insert(*to, u32::try_from(items.len()).unwrap_or(u32::MAX));
            touched.push((*from, items.iter().map(|item| item.source.message).collect()));
        }
        Change::Flags { mailbox, items, .. } => {
            touched.push((*mailbox, items.iter().map(|item| item.target.message).collect()));
        }
        Change::Expunge { mailbox, items } => touched.push((*mailbox, ids(items))),
        Change::Touch { mailbox, items } => touched.push((*mailbox, items.clone())),
        _ => {}
    }
    let uids_of = |mailbox: &MailboxId, count: u32| {
        let stamp: Option<&Stamp> = operation.stamps.iter().find(|stamp| stamp.mailbox == *mailbox);
        let first = stamp.and_then(|stamp| stamp.first_uid)?;
        Some((0..count).filter_map(|more| first.plus(more)).collect::<Vec<Uid>>())
    };
    let tombstones = given
        .iter()
        .filter_map(|(mailbox, count)| Some(Change::Tombstone { mailbox: *mailbox, uids: uids_of(mailbox, *count)? }));
    let touches = touched.into_iter().map(|(mailbox, items)| Change::Touch { mailbox, items });
    tombstones.chain(touches).collect()
}
