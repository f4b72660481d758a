//! What a node remembers of itself beside its log: its store id, and what it has obeyed (rules A5, A7).
//!
//! One small JSON file, replaced as a whole: written beside, flushed, renamed, and the directory flushed.

use mailmirror_control::record::Record;
use mailmirror_control::status::Obeyed;
use mailmirror_model::ids::StoreId;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FILE: &str = "node.json";

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The disk.
    #[error("failed to {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Its text is damaged. It is written as a whole or not at all, so this was not a crash.
    #[error(
        "failed to read {path}: {source}; restore it, or remove the whole store so that it is filled from the peer"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The store.
    pub store: StoreId,
    /// What was obeyed last.
    pub obeyed: Option<Obeyed>,
    /// On plain hosts the record itself: there the nodes keep it (rule A9).
    pub record: Option<Record>,
}

/// The file, and what it holds.
#[derive(Debug)]
pub struct Meta {
    dir: PathBuf,
    remembered: Remembered,
}

impl Meta {
    /// Reads the file, or makes it for a new store.
    ///
    /// # Errors
    /// See [`MetaError`].
    pub fn open(dir: &Path, new_store: impl FnOnce() -> StoreId) -> Result<Self, MetaError> {
        let path = dir.join(FILE);
        match fs::read(&path) {
            Ok(text) => {
                let remembered = serde_json::from_slice(&text).map_err(|source| MetaError::Damaged { path, source })?;
                Ok(Self { dir: dir.to_owned(), remembered })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let remembered = Remembered { store: new_store(), obeyed: None, record: None };
                let mut meta = Self { dir: dir.to_owned(), remembered: remembered.clone() };
                meta.write(remembered)?;
                Ok(meta)
            }
            Err(source) => Err(MetaError::Io { what: "read", path, source }),
        }
    }

    /// What it holds.
    pub const fn get(&self) -> &Remembered {
        &self.remembered
    }

    /// Changes what it holds; durable when this returns.
    ///
    /// # Errors
    /// [`MetaError::Io`]; what it holds is unchanged then.
    pub fn update(&mut self, change: impl FnOnce(&mut Remembered)) -> Result<(), MetaError> {
        let mut next = self.remembered.clone();
        change(&mut next);
        if next == self.remembered { Ok(()) } else { self.write(next) }
    }

    fn write(&mut self, next: Remembered) -> Result<(), MetaError> {
        let path = self.dir.join(FILE);
        let beside = self.dir.join("node.json.new");
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| MetaError::Io { what, path, source }
        };
        let text =
            serde_json::to_vec_pretty(&next).map_err(|source| MetaError::Damaged { path: path.clone(), source })?;
        let mut file = File::create(&beside).map_err(failed("create", &beside))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed("write", &beside))?;
        fs::rename(&beside, &path).map_err(failed("replace", &path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(failed("flush", &self.dir))?;
        self.remembered = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_store_keeps_its_identity_and_a_damaged_file_is_not_a_new_store() {
        let dir = tempfile::tempdir().unwrap();
        let first = Meta::open(dir.path(), || StoreId(7)).unwrap();
        assert_eq!(first.get().store, StoreId(7));
        let again = Meta::open(dir.path(), || StoreId(8)).unwrap();
        assert_eq!(again.get().store, StoreId(7));
        fs::write(dir.path().join(FILE), b"{").unwrap();
        assert!(matches!(Meta::open(dir.path(), || StoreId(8)), Err(MetaError::Damaged { .. })));
    }
}
