//! Connections for reading: a bounded number, opened when they are needed and kept.

use crate::StoreError;
use crate::reader::Snapshot;
use crate::schema;
use crate::sql::run;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Pool {
    file: PathBuf,
    connections_max: usize,
    slots: Mutex<Slots>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Slots {
    idle: Vec<Snapshot>,
    open: usize,
}

/// Gives consistent views of the index to any number of threads. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Pool>);

impl Reader {
    pub(crate) fn new(file: PathBuf, connections_max: usize) -> Self {
        let slots = Mutex::default();
        Self(Arc::new(Pool { file, connections_max: connections_max.max(1), slots, returned: Condvar::new() }))
    }

    /// Runs `read` on the state of one position of the log: all that it reads belongs together. It blocks, and waits
    /// while all connections are in use: do not call it from within itself, and do not keep the view for long.
    ///
    /// # Errors
    /// Those of the connection, and those of `read`.
    pub fn snapshot<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let lease = self.lease()?;
        let snapshot = lease.snapshot.as_ref().ok_or(StoreError::Damaged("a connection"))?;
        run(snapshot.db(), "BEGIN", [])?;
        let result = read(snapshot);
        run(snapshot.db(), "COMMIT", [])?;
        result
    }

    fn lease(&self) -> Result<Lease<'_>, StoreError> {
        let mut slots = self.slots();
        loop {
            if let Some(snapshot) = slots.idle.pop() {
                return Ok(Lease { reader: self, snapshot: Some(snapshot) });
            }
            if slots.open < self.0.connections_max {
                slots.open += 1;
                drop(slots);
                // Counted before it is opened, and given back where that fails.
                let mut lease = Lease { reader: self, snapshot: None };
                lease.snapshot = Some(Snapshot::new(schema::open_reader(&self.0.file)?));
                return Ok(lease);
            }
            slots = self.0.returned.wait(slots).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that goes back into the pool, whatever happens.
struct Lease<'a> {
    reader: &'a Reader,
    snapshot: Option<Snapshot>,
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let ended =
            |snapshot: &Snapshot| snapshot.db().is_autocommit() || snapshot.db().execute_batch("ROLLBACK").is_ok();
        let usable = self.snapshot.take().filter(ended);
        let mut slots = self.reader.slots();
        match usable {
            Some(snapshot) => slots.idle.push(snapshot),
            None => slots.open -= 1,
        }
        drop(slots);
        self.reader.0.returned.notify_one();
    }
}
