//! The files of the index.

use crate::pool::Reader;
use crate::writer::Writer;
use crate::{StoreError, schema};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Connections for reading. A session needs one for the time of a query only.
pub const READERS_MAX: usize = 8;

const FILE: &str = "index.db";
/// What `SQLite` keeps beside the file.
const FILES: [&str; 3] = [FILE, "index.db-wal", "index.db-shm"];

/// An index on disk.
#[derive(Debug)]
pub struct Store {
    file: PathBuf,
    reader: Reader,
    writer_taken: Arc<AtomicBool>,
}

impl Store {
    /// Opens the index in `directory`, or makes an empty one. One that is damaged or of another version is made anew:
    /// it follows from the log, which is replayed from [`Writer::position`] on.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Sqlite`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let file = directory.join(FILE);
        let opened = schema::open_writer(&file).and_then(|db| crate::reader::position(&db).map(|_| ()));
        match opened {
            Ok(()) => {}
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "the index is damaged and is built again from the log");
                remove(directory)?;
                schema::open_writer(&file)?;
            }
            Err(error) => return Err(error),
        }
        let reader = Reader::new(file.clone(), READERS_MAX);
        Ok(Self { file, reader, writer_taken: Arc::default() })
    }

    /// The one who changes the index. There is one at a time.
    ///
    /// # Errors
    /// [`StoreError::WriterTaken`], [`StoreError::Sqlite`].
    pub fn writer(&self) -> Result<Writer, StoreError> {
        let lease = WriterLease::take(&self.writer_taken)?;
        Writer::new(schema::open_writer(&self.file)?, self.file.clone(), lease)
    }

    /// For those who read.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }
}

/// Given back when the writer goes.
#[derive(Debug)]
pub(crate) struct WriterLease(Arc<AtomicBool>);

impl WriterLease {
    fn take(taken: &Arc<AtomicBool>) -> Result<Self, StoreError> {
        if taken.swap(true, Ordering::AcqRel) {
            return Err(StoreError::WriterTaken);
        }
        Ok(Self(Arc::clone(taken)))
    }
}

impl Drop for WriterLease {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn remove(directory: &Path) -> Result<(), StoreError> {
    for name in FILES {
        match std::fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
