//! The tables, and how connections are set up.

use crate::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Written into the file; another number means: make it anew from the log.
const SCHEMA_VERSION: i64 = 1;
/// How long a connection waits for another one that is starting up or checkpointing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// All statements of this crate fit.
const STATEMENTS_MAX: usize = 128;
/// Pages of the log of `SQLite` after which the writer copies them into the file, 4 KiB each.
const CHECKPOINT_PAGES: i64 = 4000;
/// What the log of `SQLite` is cut back to.
const WAL_MAX_BYTES: i64 = 64 << 20;
/// Page cache of the writer, in KiB (negative by `SQLite`'s convention), and of each reader.
const WRITER_CACHE: i64 = -16_384;
const READER_CACHE: i64 = -2048;

/// Mailboxes and accounts have a small local number each (`key`), which keeps the rows of messages short; it is not the
/// same on both nodes. Identities and digests are 16 bytes. There is no unique index over mailbox names: a rename of a
/// tree goes through states in which two are equal.
const TABLES: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL,
    uid_validity INTEGER NOT NULL
) STRICT;
CREATE TABLE accounts (
    key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, address TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL, enabled INTEGER NOT NULL, quota_bytes INTEGER
) STRICT;
CREATE TABLE mailboxes (
    key INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, account INTEGER NOT NULL, name TEXT NOT NULL,
    special_use INTEGER, uid_validity INTEGER NOT NULL, uid_next INTEGER, highest_modseq INTEGER NOT NULL,
    tombstone_floor INTEGER NOT NULL DEFAULT 0,
    messages INTEGER NOT NULL DEFAULT 0, unseen INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,
    size_bytes INTEGER NOT NULL DEFAULT 0, digest BLOB NOT NULL
) STRICT;
CREATE INDEX mailboxes_by_name ON mailboxes (account, name);
CREATE TABLE messages (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, id BLOB NOT NULL, body BLOB NOT NULL,
    size_bytes INTEGER NOT NULL, date INTEGER NOT NULL, bits INTEGER NOT NULL, flags BLOB NOT NULL,
    modseq INTEGER NOT NULL, added INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_id ON messages (id);
CREATE INDEX messages_by_modseq ON messages (mailbox, modseq);
CREATE TABLE tombstones (
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, modseq INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_modseq ON tombstones (mailbox, modseq);
CREATE TABLE bodies (
    id BLOB NOT NULL PRIMARY KEY, messages INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    segment INTEGER NOT NULL, entry_at INTEGER NOT NULL, entry_bytes INTEGER NOT NULL, body_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE subscriptions (
    account INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE name_history (
    account INTEGER NOT NULL, name TEXT NOT NULL, uid_validity INTEGER NOT NULL, PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, settings BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE origins (
    incarnation INTEGER NOT NULL, counter INTEGER NOT NULL, node INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (incarnation, counter, node)
) STRICT, WITHOUT ROWID;
CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE set_aside (
    seq INTEGER PRIMARY KEY, reason TEXT NOT NULL,
    segment INTEGER NOT NULL, entry_at INTEGER NOT NULL, entry_bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE set_aside_scope (
    seq INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY (seq, kind, id)
) STRICT, WITHOUT ROWID;
INSERT INTO state VALUES (1, 0, 0, zeroblob(16), 0);
";

/// Opens the file for writing, and makes its tables where they are missing or of another version.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What a power cut takes from the end is replayed from the log.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_MAX_BYTES)?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        reset(&connection)?;
    }
    Ok(connection)
}

/// Opens the file for reading.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.pragma_update(None, "cache_size", READER_CACHE)?;
    Ok(connection)
}

/// Empties the index in one transaction. Readers keep what they see until they end.
pub(crate) fn reset(connection: &Connection) -> Result<(), StoreError> {
    connection.flush_prepared_statement_cache();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let transaction = connection.unchecked_transaction()?;
    for table in tables {
        transaction.execute_batch(&format!("DROP TABLE \"{table}\""))?;
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()?;
    Ok(())
}
