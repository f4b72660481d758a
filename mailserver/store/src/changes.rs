//! What changed in a mailbox since a mod-sequence (RFC 7162).

use crate::StoreError;
use crate::look;
use crate::rows::{MessageRow, read_uid};
use crate::sql::{all, run};
use mailmirror_model::ids::{MailboxId, ModSeq, Uid};
use rusqlite::{Connection, params};

/// The changes of a mailbox since a mod-sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Messages that are new or have other flags, in order of UID.
    pub changed: Vec<MessageRow>,
    /// Messages that are gone.
    pub vanished: Vanished,
    /// HIGHESTMODSEQ: what to ask with the next time.
    pub highest_modseq: ModSeq,
}

/// UIDs that mean nothing any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// Exactly these, in order, went since.
    These(Vec<Uid>),
    /// It is too long ago to know: every UID below UIDNEXT that has no message is reported (rule L6).
    AllAbsent,
}

/// `None` where there is no such mailbox.
pub(crate) fn since(db: &Connection, id: MailboxId, modseq: ModSeq) -> Result<Option<Changes>, StoreError> {
    let Some(mailbox) = look::mailbox(db, id)? else { return Ok(None) };
    let since = params![mailbox.key, modseq.0.min(i64::MAX as u64).cast_signed()];
    let sql = "SELECT uid, id, body, size_bytes, date, modseq, bits, flags FROM messages \
        WHERE mailbox = ? AND modseq > ? ORDER BY uid";
    let changed = all(db, sql, since, MessageRow::read)?;
    let vanished = if modseq < mailbox.status.tombstone_floor {
        Vanished::AllAbsent
    } else {
        let sql = "SELECT uid FROM tombstones WHERE mailbox = ? AND modseq > ? ORDER BY uid";
        Vanished::These(all(db, sql, since, read_uid)?)
    };
    Ok(Some(Changes { changed, vanished, highest_modseq: mailbox.status.mailbox.highest_modseq }))
}

/// Keeps at most the `keep_max` latest tombstones of each mailbox, and says how many went.
pub(crate) fn prune(db: &Connection, keep_max: u64) -> Result<usize, StoreError> {
    let keep_max = i64::try_from(keep_max).unwrap_or(i64::MAX);
    let sql = "SELECT mailbox FROM tombstones GROUP BY mailbox HAVING count(*) > ?";
    let long: Vec<i64> = all(db, sql, [keep_max], |row| Ok(row.get(0)?))?;
    let mut gone = 0;
    for key in long {
        let sql = "SELECT modseq FROM tombstones WHERE mailbox = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?";
        for floor in all(db, sql, params![key, keep_max], |row| Ok(row.get::<_, i64>(0)?))? {
            let sql = "UPDATE mailboxes SET tombstone_floor = max(tombstone_floor, ?) WHERE key = ?";
            run(db, sql, params![floor, key])?;
            gone += run(db, "DELETE FROM tombstones WHERE mailbox = ? AND modseq <= ?", params![key, floor])?;
        }
    }
    Ok(gone)
}
