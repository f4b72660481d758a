//! The state that the rules write to: the index inside a transaction.

use crate::StoreError;
use crate::look;
use crate::rows::{MailboxRow, MailboxStatus, SystemFlags, special_use_code};
use crate::sql::{Id, all, one, run};
use mailmirror_log::Location;
use mailmirror_model::digest::Digest;
use mailmirror_model::entry::HEADER_BYTES;
use mailmirror_model::ids::{AccountId, BodyId, MailboxId, MessageId, ModSeq, Origin, Seq, Uid, UidValidity};
use mailmirror_model::memory::MODSEQ_MAX;
use mailmirror_model::operation::BodyPlace;
use mailmirror_model::state::{Account, Mailbox, Message, State, View};
use rusqlite::{Connection, params};
use std::cell::{Ref, RefCell, RefMut};
use std::collections::HashMap;

/// Mailboxes that are kept in memory from one transaction to the next.
const MAILBOXES_MAX: usize = 10_000;

/// The index as [`State`]: only inside of a [`crate::Batch`].
///
/// The numbers and counters of mailboxes change with every message; they are kept in memory and written once for each
/// transaction.
#[derive(Debug)]
pub struct IndexState {
    db: Connection,
    mailboxes: RefCell<HashMap<MailboxId, Slot>>,
    source: Option<Location>,
    carried: Vec<BodyPlace>,
}

#[derive(Debug)]
struct Slot {
    row: MailboxRow,
    dirty: bool,
}

impl IndexState {
    pub(crate) fn new(db: Connection) -> Self {
        Self { db, mailboxes: RefCell::default(), source: None, carried: Vec::new() }
    }

    /// The entry that the next bodies come with.
    pub fn set_source(&mut self, entry: Location) {
        self.source = Some(entry);
        self.carried.clear();
    }

    pub(crate) const fn db(&self) -> &Connection {
        &self.db
    }

    /// Forgets what is in memory: the transaction was rolled back.
    pub(crate) fn forget(&mut self) {
        self.mailboxes.get_mut().clear();
        self.carried.clear();
    }

    /// Writes down what is in memory.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        let mailboxes = self.mailboxes.get_mut();
        for slot in mailboxes.values_mut().filter(|slot| slot.dirty) {
            let MailboxRow { key, status, messages_digest, .. } = &slot.row;
            let sql = "UPDATE mailboxes SET uid_next = ?, highest_modseq = ?, messages = ?, unseen = ?, deleted = ?, \
                size_bytes = ?, digest = ? WHERE key = ?";
            let values = params![
                status.mailbox.uid_next.map(Uid::get),
                status.mailbox.highest_modseq.0.cast_signed(),
                status.messages.cast_signed(),
                status.unseen.cast_signed(),
                status.deleted.cast_signed(),
                status.size_bytes.cast_signed(),
                Id::new(messages_digest.0),
                key,
            ];
            run(&self.db, sql, values)?;
            slot.dirty = false;
        }
        if mailboxes.len() > MAILBOXES_MAX {
            mailboxes.clear();
        }
        Ok(())
    }

    fn load(&self, id: MailboxId) -> Result<bool, StoreError> {
        if self.mailboxes.borrow().contains_key(&id) {
            return Ok(true);
        }
        let Some(row) = look::mailbox(&self.db, id)? else { return Ok(false) };
        self.mailboxes.borrow_mut().insert(id, Slot { row, dirty: false });
        Ok(true)
    }

    fn slot(&self, id: MailboxId) -> Result<Option<Ref<'_, MailboxRow>>, StoreError> {
        if !self.load(id)? {
            return Ok(None);
        }
        let slots = self.mailboxes.borrow();
        Ok(Ref::filter_map(slots, |slots| slots.get(&id).map(|slot| &slot.row)).ok())
    }

    /// For a change; what is changed is written with the transaction.
    fn slot_mut(&self, id: MailboxId) -> Result<RefMut<'_, MailboxRow>, StoreError> {
        self.load(id)?;
        RefMut::filter_map(self.mailboxes.borrow_mut(), |slots| {
            let slot = slots.get_mut(&id)?;
            slot.dirty = true;
            Some(&mut slot.row)
        })
        .map_err(|_| StoreError::Damaged("a message without its mailbox"))
    }

    fn key(&self, id: MailboxId) -> Result<Option<i64>, StoreError> {
        Ok(self.slot(id)?.map(|row| row.key))
    }

    fn need_key(&self, id: MailboxId) -> Result<i64, StoreError> {
        self.key(id)?.ok_or(StoreError::Damaged("a message without its mailbox"))
    }

    fn need_account(&self, account: AccountId) -> Result<i64, StoreError> {
        look::account_key(&self.db, account)?.ok_or(StoreError::Damaged("a mailbox without its account"))
    }

    fn count_message(&self, old: Option<&Message>, new: Option<&Message>) -> Result<(), StoreError> {
        let Some(Message { mailbox, .. }) = new.or(old) else { return Ok(()) };
        let mut row = self.slot_mut(*mailbox)?;
        row.messages_digest.replace(old.map(Digest::of_message), new.map(Digest::of_message));
        let status = &mut row.status;
        if let Some(message) = old {
            let flags = SystemFlags::of(&message.flags);
            status.messages -= 1;
            status.unseen -= u64::from(!flags.seen());
            status.deleted -= u64::from(flags.deleted());
            status.size_bytes -= message.size_bytes;
        }
        if let Some(message) = new {
            let flags = SystemFlags::of(&message.flags);
            status.messages += 1;
            status.unseen += u64::from(!flags.seen());
            status.deleted += u64::from(flags.deleted());
            status.size_bytes += message.size_bytes;
        }
        Ok(())
    }

    /// One more message has the body; the first one writes down where it is.
    fn hold_body(&self, body: BodyId) -> Result<(), StoreError> {
        let id = Id::new(body.0);
        let more = "UPDATE bodies SET messages = messages + 1 WHERE id = ?";
        let Some(place) = self.carried.iter().find(|place| place.body == body) else {
            return match run(&self.db, more, [id])? {
                0 => Err(StoreError::Damaged("a message without its body")),
                _ => Ok(()),
            };
        };
        let source = self.source.ok_or(StoreError::Damaged("a body without its entry"))?;
        let sql = "INSERT INTO bodies (id, messages, size_bytes, segment, entry_at, entry_bytes, body_at) \
            VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET messages = messages + 1";
        let values = params![
            id,
            place.size_bytes.cast_signed(),
            source.segment.0.0.cast_signed(),
            source.offset_bytes.cast_signed(),
            source.length_bytes,
            (HEADER_BYTES as u64 + place.offset_bytes).cast_signed(),
        ];
        run(&self.db, sql, values)?;
        Ok(())
    }

    fn release_body(&self, body: Id, count: u64) -> Result<(), StoreError> {
        let sql = "UPDATE bodies SET messages = messages - ? WHERE id = ? RETURNING messages";
        let left = one(&self.db, sql, params![count.cast_signed(), body], |row| Ok(row.get::<_, i64>(0)?))?;
        if left.is_some_and(|left| left <= 0) {
            run(&self.db, "DELETE FROM bodies WHERE id = ?", [body])?;
        }
        Ok(())
    }

    fn insert_message(&self, message: &Message) -> Result<(), StoreError> {
        let sql = "INSERT INTO messages (mailbox, uid, id, body, size_bytes, date, bits, flags, modseq, added) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let values = params![
            self.need_key(message.mailbox)?,
            message.uid.get(),
            Id::new(message.id.0),
            Id::new(message.body.0),
            message.size_bytes.cast_signed(),
            message.internal_date_seconds,
            SystemFlags::of(&message.flags).bits(),
            postcard::to_allocvec(&message.flags).map_err(StoreError::Encoding)?,
            message.modseq.0.cast_signed(),
            message.added.0.cast_signed(),
        ];
        run(&self.db, sql, values)?;
        self.hold_body(message.body)?;
        self.count_message(None, Some(message))
    }

    /// A message that was there: its flags and mod-sequence change, nothing else ever does.
    fn update_message(&self, old: &Message, new: &Message) -> Result<(), StoreError> {
        let sql = "UPDATE messages SET bits = ?, flags = ?, modseq = ? WHERE mailbox = ? AND uid = ?";
        let values = params![
            SystemFlags::of(&new.flags).bits(),
            postcard::to_allocvec(&new.flags).map_err(StoreError::Encoding)?,
            new.modseq.0.cast_signed(),
            self.need_key(new.mailbox)?,
            new.uid.get(),
        ];
        run(&self.db, sql, values)?;
        self.count_message(Some(old), Some(new))
    }

    fn insert_mailbox(&self, mailbox: &Mailbox) -> Result<(), StoreError> {
        let account_key = self.need_account(mailbox.account)?;
        let sql = "INSERT INTO mailboxes (id, account, name, special_use, uid_validity, uid_next, highest_modseq, digest) \
            VALUES (?, ?, ?, ?, ?, ?, ?, zeroblob(16))";
        let values = params![
            Id::new(mailbox.id.0),
            account_key,
            mailbox.name,
            mailbox.special_use.and_then(special_use_code),
            mailbox.uid_validity.get(),
            mailbox.uid_next.map(Uid::get),
            mailbox.highest_modseq.0.cast_signed(),
        ];
        run(&self.db, sql, values)?;
        let status = MailboxStatus {
            mailbox: mailbox.clone(),
            messages: 0,
            unseen: 0,
            deleted: 0,
            size_bytes: 0,
            tombstone_floor: ModSeq(0),
        };
        let key = self.db.last_insert_rowid();
        let row = MailboxRow { key, account_key, status, messages_digest: Digest::ZERO };
        self.note_name(&row)?;
        self.mailboxes.borrow_mut().insert(mailbox.id, Slot { row, dirty: false });
        Ok(())
    }

    /// What a name had, and the highest value of all, only ever rise (rule U4).
    fn note_name(&self, row: &MailboxRow) -> Result<(), StoreError> {
        let Mailbox { name, uid_validity, .. } = &row.status.mailbox;
        let sql = "INSERT INTO name_history (account, name, uid_validity) VALUES (?, ?, ?) \
            ON CONFLICT (account, name) DO UPDATE SET uid_validity = max(uid_validity, excluded.uid_validity)";
        run(&self.db, sql, params![row.account_key, name, uid_validity.get()])?;
        run(&self.db, "UPDATE state SET uid_validity = max(uid_validity, ?)", [uid_validity.get()])?;
        Ok(())
    }
}

impl View for IndexState {
    type Error = StoreError;

    fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        look::account(&self.db, id)
    }

    fn account_by_address(&self, address: &str) -> Result<Option<AccountId>, StoreError> {
        look::account_by_address(&self.db, address)
    }

    fn mailbox(&self, id: MailboxId) -> Result<Option<Mailbox>, StoreError> {
        Ok(self.slot(id)?.map(|row| row.status.mailbox.clone()))
    }

    fn mailbox_by_name(&self, account: AccountId, name: &str) -> Result<Option<Mailbox>, StoreError> {
        match look::mailbox_by_name(&self.db, account, name)? {
            // What is in memory is newer.
            Some(row) => self.mailbox(row.status.mailbox.id),
            None => Ok(None),
        }
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        let rows = look::mailboxes(&self.db, account)?;
        let slots = self.mailboxes.borrow();
        let newest = |row: MailboxRow| match slots.get(&row.status.mailbox.id) {
            Some(slot) => slot.row.status.mailbox.clone(),
            None => row.status.mailbox,
        };
        Ok(rows.into_iter().map(newest).collect())
    }

    fn uid_validity_of_name(&self, account: AccountId, name: &str) -> Result<Option<UidValidity>, StoreError> {
        look::uid_validity_of_name(&self.db, account, name)
    }

    fn highest_uid_validity(&self) -> Result<Option<UidValidity>, StoreError> {
        look::highest_uid_validity(&self.db)
    }

    fn message(&self, mailbox: MailboxId, uid: Uid) -> Result<Option<Message>, StoreError> {
        match self.key(mailbox)? {
            Some(key) => look::message(&self.db, key, mailbox, uid),
            None => Ok(None),
        }
    }

    fn message_by_id(&self, mailbox: MailboxId, id: MessageId) -> Result<Option<Message>, StoreError> {
        match self.key(mailbox)? {
            Some(key) => look::message_by_id(&self.db, key, mailbox, id),
            None => Ok(None),
        }
    }

    fn messages(&self, mailbox: MailboxId) -> Result<Vec<Message>, StoreError> {
        match self.key(mailbox)? {
            Some(key) => look::messages(&self.db, key, mailbox),
            None => Ok(Vec::new()),
        }
    }

    fn has_body(&self, body: BodyId) -> Result<bool, StoreError> {
        look::has_body(&self.db, body)
    }

    fn subscribed(&self, account: AccountId, name: &str) -> Result<bool, StoreError> {
        look::subscribed(&self.db, account, name)
    }

    fn setting(&self, name: &str) -> Result<Vec<String>, StoreError> {
        look::setting(&self.db, name)
    }

    fn origin(&self, origin: Origin) -> Result<Option<Seq>, StoreError> {
        look::origin(&self.db, origin)
    }
}

impl State for IndexState {
    fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let sql = "INSERT INTO accounts (id, address, password, enabled, quota_bytes) VALUES (?, ?, ?, ?, ?) \
            ON CONFLICT (id) DO UPDATE SET address = excluded.address, password = excluded.password, \
            enabled = excluded.enabled, quota_bytes = excluded.quota_bytes";
        let quota = account.quota_bytes.map(u64::cast_signed);
        run(&self.db, sql, params![Id::new(account.id.0), account.address, account.password, account.enabled, quota])?;
        Ok(())
    }

    fn remove_account(&mut self, id: AccountId) -> Result<(), StoreError> {
        let Some(key) = look::account_key(&self.db, id)? else { return Ok(()) };
        run(&self.db, "DELETE FROM subscriptions WHERE account = ?", [key])?;
        run(&self.db, "DELETE FROM name_history WHERE account = ?", [key])?;
        run(&self.db, "DELETE FROM accounts WHERE key = ?", [key])?;
        Ok(())
    }

    fn put_mailbox(&mut self, mailbox: &Mailbox) -> Result<(), StoreError> {
        if !self.load(mailbox.id)? {
            return self.insert_mailbox(mailbox);
        }
        let mut row = self.slot_mut(mailbox.id)?;
        let old = std::mem::replace(&mut row.status.mailbox, mailbox.clone());
        let same = (&old.name, old.special_use, old.uid_validity);
        if same != (&mailbox.name, mailbox.special_use, mailbox.uid_validity) {
            let sql = "UPDATE mailboxes SET name = ?, special_use = ?, uid_validity = ? WHERE key = ?";
            let special_use = mailbox.special_use.and_then(special_use_code);
            run(&self.db, sql, params![mailbox.name, special_use, mailbox.uid_validity.get(), row.key])?;
            self.note_name(&row)?;
        }
        Ok(())
    }

    fn remove_mailbox(&mut self, id: MailboxId) -> Result<(), StoreError> {
        let Some(key) = self.key(id)? else { return Ok(()) };
        let sql = "SELECT body, count(*) FROM messages WHERE mailbox = ? GROUP BY body";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Id>(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
        for (body, count) in all(&self.db, sql, [key], read)? {
            self.release_body(body, count)?;
        }
        run(&self.db, "DELETE FROM messages WHERE mailbox = ?", [key])?;
        run(&self.db, "DELETE FROM tombstones WHERE mailbox = ?", [key])?;
        run(&self.db, "DELETE FROM mailboxes WHERE key = ?", [key])?;
        self.mailboxes.get_mut().remove(&id);
        Ok(())
    }

    fn put_message(&mut self, message: &Message) -> Result<(), StoreError> {
        let is_new = |row: Ref<'_, MailboxRow>| row.status.mailbox.uid_next.is_some_and(|next| message.uid >= next);
        if self.slot(message.mailbox)?.is_some_and(is_new) {
            return self.insert_message(message);
        }
        match self.message(message.mailbox, message.uid)? {
            Some(old) if (old.id, old.body, old.added) == (message.id, message.body, message.added) => {
                self.update_message(&old, message)
            }
            Some(_) => {
                self.remove_message(message.mailbox, message.uid)?;
                self.insert_message(message)
            }
            None => self.insert_message(message),
        }
    }

    fn remove_message(&mut self, mailbox: MailboxId, uid: Uid) -> Result<(), StoreError> {
        let Some(old) = self.message(mailbox, uid)? else { return Ok(()) };
        let key = self.need_key(mailbox)?;
        run(&self.db, "DELETE FROM messages WHERE mailbox = ? AND uid = ?", params![key, uid.get()])?;
        self.release_body(Id::new(old.body.0), 1)?;
        self.count_message(Some(&old), None)
    }

    fn put_tombstone(&mut self, mailbox: MailboxId, uid: Uid, modseq: ModSeq) -> Result<(), StoreError> {
        let key = self.need_key(mailbox)?;
        let sql = "INSERT OR REPLACE INTO tombstones (mailbox, uid, modseq) VALUES (?, ?, ?)";
        run(&self.db, sql, params![key, uid.get(), modseq.0.cast_signed()])?;
        Ok(())
    }

    fn put_body(&mut self, place: &BodyPlace) -> Result<(), StoreError> {
        // Written with the first message that has it.
        if !self.carried.contains(place) {
            self.carried.push(*place);
        }
        Ok(())
    }

    fn set_subscribed(&mut self, account: AccountId, name: &str, subscribed: bool) -> Result<(), StoreError> {
        let key = self.need_account(account)?;
        let sql = if subscribed {
            "INSERT OR IGNORE INTO subscriptions (account, name) VALUES (?, ?)"
        } else {
            "DELETE FROM subscriptions WHERE account = ? AND name = ?"
        };
        run(&self.db, sql, params![key, name])?;
        Ok(())
    }

    fn put_setting(&mut self, name: &str, values: &[String]) -> Result<(), StoreError> {
        if values.is_empty() {
            run(&self.db, "DELETE FROM settings WHERE name = ?", [name])?;
        } else {
            let bytes = postcard::to_allocvec(values).map_err(StoreError::Encoding)?;
            run(&self.db, "INSERT OR REPLACE INTO settings (name, settings) VALUES (?, ?)", params![name, bytes])?;
        }
        Ok(())
    }

    fn put_origin(&mut self, origin: Origin, seq: Seq) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO origins (incarnation, counter, node, seq) VALUES (?, ?, ?, ?)";
        let (incarnation, counter) = (origin.incarnation.0.cast_signed(), origin.counter.cast_signed());
        run(&self.db, sql, params![incarnation, counter, u8::from(origin.node), seq.0.cast_signed()])?;
        Ok(())
    }

    fn raise_all(&mut self, uids: u32, modseqs: u64) -> Result<(), StoreError> {
        self.flush()?;
        self.mailboxes.get_mut().clear();
        let sql = "UPDATE mailboxes SET uid_next = iif(uid_next + ?1 > ?2, NULL, uid_next + ?1), \
            highest_modseq = iif(highest_modseq > ?4 - ?3, ?4, highest_modseq + ?3)";
        let modseqs = modseqs.min(MODSEQ_MAX);
        run(&self.db, sql, params![uids, u32::MAX, modseqs.cast_signed(), MODSEQ_MAX.cast_signed()])?;
        Ok(())
    }
}
