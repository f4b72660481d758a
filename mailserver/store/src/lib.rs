//! The index of a node: the mail state that follows from the committed log, in `SQLite` (rule L5).
//!
//! The log is the truth; the index is what it adds up to, and can be thrown away and built again at any time. It keeps
//! the position that it has followed the log to in the same transaction as the changes, so that a crash at any moment
//! leaves a state that is exactly that of some position, and the rest is replayed.
//!
//! * [`Store`] opens the files. [`Writer`] is the one that changes them, entry by entry, many in one transaction.
//! * [`Reader`] gives any number of threads consistent views. Its calls block: use a thread where blocking is allowed.
//!
//! **Architecture invariant:** the rules are in `mailmirror-model`; nothing here decides what an operation does.

mod changes;
mod digests;
mod error;
mod look;
mod pool;
mod reader;
mod rows;
mod schema;
mod set_aside;
mod sql;
mod state;
mod store;
mod writer;

pub use changes::{Changes, Vanished};
pub use error::StoreError;
pub use pool::Reader;
pub use reader::{Snapshot, Totals};
pub use rows::{BodyLocation, MailboxStatus, MessageRow, SegmentUse, SystemFlags};
pub use set_aside::{Scope, SetAside};
pub use state::IndexState;
pub use store::{READERS_MAX, Store};
pub use writer::{AppliedEntry, Batch, Writer};
