//! Following the log: entries go in, the state and the position move on together (rule L5).

use crate::set_aside::{self, Frozen, Scope, SetAside};
use crate::sql::{Id, run};
use crate::state::IndexState;
use crate::store::WriterLease;
use crate::{StoreError, changes, digests, reader, schema};
use mailmirror_log::Location;
use mailmirror_model::apply::{Applied, ApplyError, apply};
use mailmirror_model::digest::Digest;
use mailmirror_model::entry::{Entry, Kind};
use mailmirror_model::ids::{ChainHash, NodeId, Position, Seq};
use mailmirror_model::operation::{EpochStart, Grant, Mark, Operation, PayloadError, Seal, decode};
use mailmirror_model::outcome::{Done, Outcome};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;

/// What became of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppliedEntry {
    /// An operation.
    Operation(Outcome),
    /// A new epoch; with a gap, the numbers of every mailbox are raised.
    Epoch(EpochStart),
    /// A grant. The index does not change.
    Grant(Grant),
    /// The end of an epoch. The index does not change.
    Seal(Seal),
    /// A mark, and the digest of everything at this place (rule R2).
    Mark(Mark, Digest),
    /// It could not be applied and waits (rule L4); why, in words.
    SetAside(String),
}

/// The one who changes the index.
#[derive(Debug)]
pub struct Writer {
    state: IndexState,
    frozen: Frozen,
    file: PathBuf,
    position: Position,
    hash: ChainHash,
    _lease: WriterLease,
}

impl Writer {
    pub(crate) fn new(db: Connection, file: PathBuf, lease: WriterLease) -> Result<Self, StoreError> {
        let (position, hash) = reader::position(&db)?;
        let frozen = Frozen::load(&db)?;
        Ok(Self { state: IndexState::new(db), frozen, file, position, hash, _lease: lease })
    }

    /// The last entry that was committed to the index, and its hash: the log is replayed from the next one on.
    pub const fn position(&self) -> (Position, ChainHash) {
        (self.position, self.hash)
    }

    /// Begins a transaction for many entries.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn batch(&mut self) -> Result<Batch<'_>, StoreError> {
        self.state.db().execute_batch("BEGIN IMMEDIATE")?;
        let (position, hash) = (self.position, self.hash);
        Ok(Batch { writer: self, position, hash, counts: BTreeMap::new(), committed: false })
    }

    /// Empties the index: the log is replayed from its first entry (rules L5, U2). Readers that are at it keep what
    /// they see.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; then nothing has changed.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        schema::reset(self.state.db())?;
        self.state.forget();
        self.frozen = Frozen::default();
        (self.position, self.hash) = reader::position(self.state.db())?;
        Ok(())
    }

    /// Puts what was committed on the disk, so that not even a power cut takes it back, and gives its position: the log
    /// is needed for replay only after it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn sync(&self) -> Result<Position, StoreError> {
        // SQLite flushes the file itself whenever it copies its log there. The file must not be opened here: closing it
        // would drop the locks that SQLite has on it.
        let mut wal = self.file.clone().into_os_string();
        wal.push("-wal");
        match std::fs::File::open(wal) {
            Ok(wal) => wal.sync_all()?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(directory) = self.file.parent() {
            std::fs::File::open(directory)?.sync_all()?;
        }
        Ok(self.position)
    }

    /// Tries the entries that were set aside again, in order. `read` gets them from the log. Gives what became of those
    /// that were applied; the others stay aside.
    ///
    /// # Errors
    /// [`StoreError::SetAsideUnreadable`], [`StoreError::Sqlite`]; then nothing has changed.
    pub fn retry_set_aside<B: AsRef<[u8]>, E: Display>(
        &mut self,
        mut read: impl FnMut(Seq, Location) -> Result<Entry<B>, E>,
    ) -> Result<Vec<(Seq, AppliedEntry)>, StoreError> {
        let mut batch = self.batch()?;
        let waiting = set_aside::list(batch.writer.state.db())?;
        set_aside::clear(batch.writer.state.db())?;
        batch.writer.frozen = Frozen::default();
        let mut applied = Vec::new();
        for SetAside { seq, location, .. } in waiting {
            let entry = read(seq, location)
                .map_err(|error| StoreError::SetAsideUnreadable { seq, reason: error.to_string() })?;
            let became = batch.apply_anywhere(&entry, location)?;
            if !matches!(became, AppliedEntry::SetAside(_)) {
                applied.push((seq, became));
            }
        }
        batch.commit()?;
        Ok(applied)
    }
}

/// Entries that become visible together. Dropped without [`Self::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Batch<'w> {
    writer: &'w mut Writer,
    position: Position,
    hash: ChainHash,
    counts: BTreeMap<&'static str, u64>,
    committed: bool,
}

impl Batch<'_> {
    /// Applies the entry that follows the last one. `location` is where the log has it.
    ///
    /// # Errors
    /// [`StoreError::Order`] for an entry that does not follow, and then nothing has changed; after any other error the
    /// batch must be dropped. What breaks a rule is no error: it is set aside.
    pub fn apply<B: AsRef<[u8]>>(&mut self, entry: &Entry<B>, location: Location) -> Result<AppliedEntry, StoreError> {
        let header = entry.header();
        if header.position.seq != self.position.seq.next() || header.previous != self.hash {
            return Err(StoreError::Order { expected: self.position, found: header.position });
        }
        let became = self.apply_anywhere(entry, location)?;
        (self.position, self.hash) = (header.position, entry.hash());
        Ok(became)
    }

    /// Adds to a durable counter.
    pub fn count(&mut self, name: &'static str, add: u64) {
        if add > 0 {
            *self.counts.entry(name).or_default() += add;
        }
    }

    /// The state, for corrections that a resync makes beside the log (rule R2).
    pub const fn state(&mut self) -> &mut IndexState {
        &mut self.writer.state
    }

    /// Lets the index go on after this entry, for a state that a resync brought.
    pub const fn continue_after(&mut self, position: Position, hash: ChainHash) {
        (self.position, self.hash) = (position, hash);
    }

    /// Forgets all but the `keep_max` latest tombstones of each mailbox (rule L6), and says how many.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn prune_tombstones(&mut self, keep_max: u64) -> Result<usize, StoreError> {
        changes::prune(self.writer.state.db(), keep_max)
    }

    /// Forgets the origins of a node's operations up to `seq`, and says how many: those of which that node knows that
    /// it will not send them again (rule L6).
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn forget_origins(&mut self, node: NodeId, seq: Seq) -> Result<usize, StoreError> {
        let sql = "DELETE FROM origins WHERE node = ? AND seq <= ?";
        run(self.writer.state.db(), sql, params![u8::from(node), seq.0.cast_signed()])
    }

    /// Makes everything visible, and the position with it.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; then nothing has changed.
    pub fn commit(mut self) -> Result<Position, StoreError> {
        self.writer.state.flush()?;
        let db = self.writer.state.db();
        for (name, add) in std::mem::take(&mut self.counts) {
            let sql = "INSERT INTO counters (name, value) VALUES (?, ?) \
                ON CONFLICT (name) DO UPDATE SET value = value + excluded.value";
            run(db, sql, params![name, add.cast_signed()])?;
        }
        let Position { epoch, seq } = self.position;
        let values = params![epoch.0.cast_signed(), seq.0.cast_signed(), Id::new(self.hash.0)];
        run(db, "UPDATE state SET epoch = ?, seq = ?, hash = ?", values)?;
        db.execute_batch("COMMIT")?;
        self.committed = true;
        (self.writer.position, self.writer.hash) = (self.position, self.hash);
        Ok(self.position)
    }

    fn apply_anywhere<B: AsRef<[u8]>>(
        &mut self,
        entry: &Entry<B>,
        location: Location,
    ) -> Result<AppliedEntry, StoreError> {
        let payload = entry.payload();
        let read = match entry.header().kind {
            Kind::Operation => match Operation::decode(payload) {
                Ok((operation, bodies)) => {
                    let (seq, origin) = (entry.header().position.seq, entry.header().origin);
                    let applied = Applied::Operation { seq, origin, operation: &operation, bodies: &bodies };
                    return self.operation(&operation, applied, location);
                }
                Err(error) => Err(error),
            },
            Kind::Epoch => decode::<EpochStart>(payload).map(|(start, _)| AppliedEntry::Epoch(start)),
            Kind::Grant => decode(payload).map(|(grant, _)| AppliedEntry::Grant(grant)),
            Kind::Seal => decode(payload).map(|(seal, _)| AppliedEntry::Seal(seal)),
            Kind::Mark => decode(payload).map(|(mark, _)| AppliedEntry::Mark(mark, Digest::ZERO)),
        };
        match read {
            Ok(AppliedEntry::Epoch(start)) => {
                match apply(&mut self.writer.state, Applied::Epoch(&start)) {
                    Err(ApplyError::State(error)) => return Err(error),
                    // An epoch has no stamps that could be wrong.
                    Ok(_) | Err(_) => self.count("applied", 1),
                }
                Ok(AppliedEntry::Epoch(start))
            }
            Ok(AppliedEntry::Mark(mark, _)) => {
                self.writer.state.flush()?;
                Ok(AppliedEntry::Mark(mark, digests::root(self.writer.state.db())?))
            }
            Ok(other) => Ok(other),
            Err(error) => self.unreadable(entry.header().position.seq, location, &error),
        }
    }

    fn operation(
        &mut self,
        operation: &Operation,
        applied: Applied<'_>,
        location: Location,
    ) -> Result<AppliedEntry, StoreError> {
        let Applied::Operation { seq, .. } = applied else { return Err(StoreError::Damaged("an operation")) };
        let scopes = Scope::of(&operation.change);
        let Writer { state, frozen, .. } = &mut *self.writer;
        if frozen.blocks(state, &operation.change, &scopes)? {
            let reason = "it waits for an entry that was set aside before it".to_owned();
            return self.set_aside(SetAside { seq, reason, location, scopes });
        }
        state.set_source(location);
        match apply(state, applied) {
            Ok(outcome) => {
                self.count(
                    match &outcome.result {
                        Ok(Done::Known) => "known",
                        Ok(_) => "applied",
                        Err(_) => "refused",
                    },
                    1,
                );
                Ok(AppliedEntry::Operation(outcome))
            }
            Err(ApplyError::State(error)) => Err(error),
            // A broken rule is found before anything is written: there is nothing to take back.
            Err(broken) => self.set_aside(SetAside { seq, reason: broken.to_string(), location, scopes }),
        }
    }

    /// What it would change is not known, so nothing can be made to wait for it; it is counted and shown.
    fn unreadable(&mut self, seq: Seq, location: Location, error: &PayloadError) -> Result<AppliedEntry, StoreError> {
        self.set_aside(SetAside { seq, reason: error.to_string(), location, scopes: Vec::new() })
    }

    fn set_aside(&mut self, set_aside: SetAside) -> Result<AppliedEntry, StoreError> {
        tracing::error!(seq = set_aside.seq.0, reason = set_aside.reason, "an entry is set aside");
        set_aside::put(self.writer.state.db(), &set_aside)?;
        self.writer.frozen.freeze(&set_aside.scopes);
        self.count("failed", 1);
        Ok(AppliedEntry::SetAside(set_aside.reason))
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let writer = &mut *self.writer;
        writer.state.forget();
        // On a full disk SQLite may have rolled back by itself.
        if !writer.state.db().is_autocommit()
            && let Err(error) = writer.state.db().execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        match Frozen::load(writer.state.db()) {
            Ok(frozen) => writer.frozen = frozen,
            // Kept: too much waits rather than too little.
            Err(error) => tracing::warn!(%error, "what waits could not be read again"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Store;
    use mailmirror_log::SegmentId;
    use mailmirror_model::memory::MemoryState;
    use mailmirror_model::sample::{Master, apply_entry};

    #[test]
    fn a_full_disk_takes_nothing_along_and_the_rest_follows_when_there_is_space() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut writer = store.writer().unwrap();
        let mut master = Master::new(3, 0);
        let entries: Vec<_> = (0..400).map(|_| master.write().unwrap()).collect();
        let location = Location { segment: SegmentId(Seq(1)), offset_bytes: 0, length_bytes: 1 };
        let follow = |writer: &mut Writer| {
            let from = usize::try_from(writer.position().0.seq.0).unwrap();
            let mut batch = writer.batch()?;
            for entry in entries[from..].iter().take(20) {
                batch.apply(entry, location)?;
            }
            batch.commit()
        };
        let limit = |writer: &Writer, pages: u32| {
            let db = writer.state.db();
            let used: u32 = db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
            db.pragma_update(None, "max_page_count", used + pages).unwrap();
        };
        limit(&writer, 0);
        let mut full = 0;
        while writer.position().0.seq.0 < entries.len() as u64 {
            let before = writer.position();
            if let Err(error) = follow(&mut writer) {
                assert!(error.is_disk_full(), "{error}");
                assert_eq!(writer.position(), before);
                full += 1;
                assert!(full < 100, "space is back, and it is still full");
                limit(&writer, full);
            }
        }
        assert!(full > 2, "the disk was full {full} times only");
        let mut memory = MemoryState::default();
        for entry in &entries {
            apply_entry(&mut memory, entry).unwrap();
        }
        assert_eq!(digests::root(writer.state.db()).unwrap(), memory.digests().root());
    }
}
