//! What a node has that the master of the highest epoch does not: kept aside, durably, and re-submitted (rules U2, U3).

mod copied;
mod unite;

use crate::forward;
use crate::shared::{Inner, Shared};
use mailmirror_control::status::Role;
use mailmirror_log::{EntriesFile, read_entries_file};
use mailmirror_model::entry::Kind;
use mailmirror_model::ids::{Incarnation, MailboxId, MessageId, Origin, Seq, Uid};
use mailmirror_model::operation::{Change, MessageRef, Operation, Stamp};
use mailmirror_model::state::View;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

const FOLDER: &str = "branches";
const ENDING: &str = "branch";
const COPIED_ENDING: &str = "copied";
/// The number beside an operation of what is added in the place of a move.
const COPIED_NUMBER: usize = 250;
const NAMES_ENDING: &str = "names";
/// Bytes of the log that are looked through at a time.
const LOOK_BYTES: usize = 1024 * 1024;
/// Re-submissions that are on their way at once.
const RESUBMIT_MAX: usize = 256;
/// Their bytes; a single larger one goes alone.
const RESUBMIT_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The branches of a node that are not re-submitted to the end.
#[derive(Debug, Default)]
pub(crate) struct Branches {
    files: BTreeSet<PathBuf>,
    on_their_way: BTreeSet<Origin>,
    first: Reading,
    /// An entry after all re-submissions, and where it came back: when that is committed, the branch is done with.
    end: Option<(Origin, Option<Seq>)>,
    /// What the master had when this node began to follow it: nothing is re-submitted before that is applied.
    after: Option<Seq>,
}

/// How far the first branch is read.
#[derive(Debug, Default)]
struct Reading {
    entries: Option<EntriesFile>,
    is_read: bool,
    /// Messages that the branch added (rule U6).
    added: Vec<MessageId>,
    united: unite::United,
    copied: copied::Copied,
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

    /// A forward came back in the log.
    pub fn note_place(&mut self, origin: Origin, seq: Seq) {
        if let Some((end, place)) = &mut self.end
            && *end == origin
        {
            *place = Some(seq);
        }
    }

    /// A master is followed that has all this. What was on its way to another one may have been lost.
    pub fn begin(&mut self, after: Seq) {
        self.after = Some(after);
        self.end = None;
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
    // The hash tells it from another branch between the same places.
    let name = format!("{:020}-{:020}-{:020}-{:032x}.{ENDING}", common.0, committed.0, tail.seq.0, inner.tail_hash.0);
    let file = shared.options.dir.join(FOLDER).join(name);
    remember_names(shared, common, tail.seq, &file.with_extension(NAMES_ENDING))?;
    copied::remember(shared, common, tail.seq, &file.with_extension(COPIED_ENDING))?;
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
    inner.origins.retain(|_, seq| *seq <= common);
    inner.branches.end = None;
    shared.committed.send_replace(inner.node.committed());
    Ok(())
}

/// Writes down what the mailboxes are called that the branch added to: where the master has deleted one, its new mail is
/// still wanted.
fn remember_names(shared: &Shared, common: Seq, tail: Seq, path: &Path) -> Result<(), String> {
    let mut mailboxes = BTreeSet::new();
    let mut next = common.next();
    while next <= tail {
        let entries = shared.log.read(next, LOOK_BYTES).map_err(|error| error.to_string())?;
        let Some(last) = entries.last() else { break };
        next = last.header().position.seq.next();
        for entry in entries.iter().filter(|entry| entry.header().kind == Kind::Operation) {
            match Operation::decode(entry.payload()).map(|(operation, _)| operation.change) {
                Ok(Change::Add { adds, .. }) => mailboxes.extend(adds.iter().map(|add| add.mailbox)),
                Ok(Change::Move { to, .. }) => {
                    mailboxes.insert(to);
                }
                _ => {}
            }
        }
    }
    let look = |view: &mailmirror_store::Snapshot| {
        let mut names = unite::Names::new();
        for id in mailboxes {
            if let Some(mailbox) = view.mailbox(id)? {
                names.push((id, mailbox.account, mailbox.name));
            }
        }
        Ok(names)
    };
    let names = shared.reader.snapshot(look).map_err(|error| error.to_string())?;
    let text = serde_json::to_vec(&names).map_err(|error| error.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("failed to write {}: {error}", path.display()))
}

fn read_names(path: &Path) -> unite::Names {
    // Without them nothing is known: what cannot be put anywhere is told as a conflict.
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Offers operations of branches to the master, in order, some at a time; a branch whose operations are all back in the
/// log, and committed, is done with.
pub(crate) fn resubmit(shared: &Arc<Shared>, inner: &mut Inner) {
    inner.branches.on_their_way.retain(|origin| inner.forwards.contains_key(origin));
    let knows_the_master = inner.node.role() == Role::Master || Some(inner.node.applied()) >= inner.branches.after;
    if !knows_the_master {
        return;
    }
    while let Some(file) = inner.branches.files.first().cloned() {
        if !inner.branches.first.is_read
            && let Err(error) = offer(shared, inner, &file)
        {
            // It is read anew from its beginning: what is known already is not done again.
            inner.branches.first = Reading::default();
            Shared::note_problem(inner, "BranchUnreadable", error);
            return;
        }
        if !inner.branches.first.is_read || !inner.branches.on_their_way.is_empty() {
            return;
        }
        let safe = inner.node.committed().min(inner.node.flushed());
        match inner.branches.end {
            Some((_, Some(seq))) if seq <= safe => finish(inner, &file),
            // A master that was promoted meanwhile puts it in order itself, or it was lost with the old one.
            Some((origin, None)) if inner.node.role() == Role::Master && !inner.forwards.contains_key(&origin) => {
                inner.branches.end = None;
            }
            Some(_) => return,
            None => {
                let (origin, when) = shared.new_origin(inner);
                match forward::encode(origin, when, Change::Nothing, &[]) {
                    Ok(frame) => shared.enqueue(inner, origin, frame, None),
                    Err(error) => Shared::note_problem(inner, "BranchUnreadable", error.to_string()),
                }
                inner.branches.end = Some((origin, None));
                return;
            }
        }
    }
}

fn finish(inner: &mut Inner, file: &Path) {
    // It stays as a file for a person to look at, under a name that is not taken up again.
    if let Err(error) = std::fs::rename(file, file.with_extension("done")) {
        tracing::warn!(error = error.to_string(), "failed to put a finished branch away");
    }
    inner.branches.files.remove(file);
    inner.branches.first = Reading::default();
    inner.branches.end = None;
    inner.problems.remove("BranchUnreadable");
    tracing::info!("a branch is back in the log");
}

fn offer(shared: &Arc<Shared>, inner: &mut Inner, file: &Path) -> Result<(), String> {
    let announced = place_in_name(file, 1);
    let mut entries = if let Some(entries) = inner.branches.first.entries.take() {
        entries
    } else {
        inner.branches.first.copied = copied::Copied::read(&file.with_extension(COPIED_ENDING));
        inner.branches.first.united = unite::United::new(read_names(&file.with_extension(NAMES_ENDING)));
        read_entries_file(file).map_err(|error| error.to_string())?
    };
    while inner.branches.on_their_way.len() < RESUBMIT_MAX && inner.forward_bytes < RESUBMIT_MAX_BYTES {
        let Some(read) = entries.next() else {
            inner.branches.first.is_read = true;
            return Ok(());
        };
        let entry = read.map_err(|error| error.to_string())?;
        let header = *entry.header();
        if header.kind != Kind::Operation {
            continue;
        }
        let (operation, places) = Operation::decode(entry.payload()).map_err(|error| error.to_string())?;
        let mut bodies: Vec<_> = places
            .iter()
            .filter_map(|place| {
                let from = usize::try_from(place.offset_bytes).ok()? + mailmirror_model::entry::HEADER_BYTES;
                let to = from + usize::try_from(place.size_bytes).ok()?;
                (to <= entry.bytes().len()).then(|| entry.bytes().slice(from..to))
            })
            .collect();
        let was_announced = header.position.seq <= announced;
        let mut changes = Vec::new();
        for (number, change) in around(&operation, was_announced).into_iter().enumerate() {
            changes.push((beside(header.origin, number), change, Vec::new()));
        }
        note_added(&mut inner.branches.first.added, &operation.change);
        let when = operation.when;
        let mut change = as_of_branch(operation.change, place_in_name(file, 0), &inner.branches.first.added);
        let known = shared.reader.snapshot(|view| View::origin(view, header.origin));
        if known.map_err(|error| error.to_string())?.is_none() {
            let added = inner.branches.first.copied.complete(shared, &mut change, &mut bodies);
            if let Some((add, bytes)) = added.map_err(|error| error.to_string())? {
                changes.push((beside(header.origin, COPIED_NUMBER), add, bytes));
            }
        }
        changes.push((header.origin, change, bodies));
        for (origin, change, bodies) in changes {
            let united = &mut inner.branches.first.united;
            let change = shared.reader.snapshot(|view| united.change(view, change));
            let change = change.map_err(|error| error.to_string())?;
            let frame = forward::encode(origin, when, change, &bodies).map_err(|error| error.to_string())?;
            shared.enqueue(inner, origin, frame, None);
            inner.branches.on_their_way.insert(origin);
        }
    }
    inner.branches.first.entries = Some(entries);
    Ok(())
}

fn note_added(added: &mut Vec<MessageId>, change: &Change) {
    match change {
        Change::Add { adds, .. } => added.extend(adds.iter().map(|add| add.message)),
        Change::Move { items, .. } => added.extend(items.iter().map(|item| item.message)),
        _ => {}
    }
}

/// A branch's delete of a mailbox or an account removes what the branch knew, not what came since (rule U6).
fn as_of_branch(change: Change, through: Seq, added: &[MessageId]) -> Change {
    let items = added.to_vec();
    match change {
        Change::DeleteMailbox { account, mailbox } => {
            Change::BranchDelete { account, mailbox: Some(mailbox), through, items }
        }
        Change::DeleteAccount { account } => Change::BranchDelete { account, mailbox: None, through, items },
        other => other,
    }
}

/// The name of a branch's file tells the fork point, and what was committed when the branch was cut.
fn place_in_name(file: &Path, which: usize) -> Seq {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let place = name.split('-').nth(which).and_then(|number| number.parse().ok());
    // Not readable: everything may have been announced, and nothing was there before.
    Seq(place.unwrap_or(if which == 0 { 0 } else { u64::MAX }))
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
