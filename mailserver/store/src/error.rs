//! What can go wrong with the index.

use mailmirror_model::ids::{Position, Seq};

/// Why the index could not be read or written. No rule of the mirror is among these: what breaks a rule is set aside.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `SQLite` reports an error, the disk's included.
    #[error("failed to use the index: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The directory of the index could not be used.
    #[error("failed to use the directory of the index: {0}")]
    Io(#[from] std::io::Error),
    /// Something in the index has no meaning.
    #[error("failed to read the index: {0} has no meaning; run `tellmail resync_fast`")]
    Damaged(&'static str),
    /// Something could not be brought into its stored form.
    #[error("failed to write to the index: {0}")]
    Encoding(postcard::Error),
    /// There is a writer already.
    #[error("failed to open the index for writing: it is open for writing already")]
    WriterTaken,
    /// An entry that does not follow the one before it.
    #[error("failed to follow the log: after {expected} came {found}")]
    Order {
        /// The position that the index has.
        expected: Position,
        /// The entry that was given.
        found: Position,
    },
    /// An entry that was set aside could not be read from the log again.
    #[error("failed to read entry {seq}, which was set aside, from the log: {reason}")]
    SetAsideUnreadable {
        /// Its place.
        seq: Seq,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether it will go away when there is space on the disk again.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::Io(error) => error.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// Whether the files are no index that can be used: they are made anew and the log is replayed.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Sqlite(error) => matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            Self::Damaged(_) => true,
            _ => false,
        }
    }
}
