//! A message as sessions keep it.

use mailmirror_model::flags::Flag;
use mailmirror_model::ids::{BodyId, MessageId, ModSeq, Uid};
use mailmirror_model::operation::MessageRef;
use mailmirror_model::state::Message;

/// A message of a mailbox, small enough to keep a hundred thousand of them in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageRow {
    /// Its UID.
    pub uid: Uid,
    /// Its identity.
    pub id: MessageId,
    /// Its bytes.
    pub body: BodyId,
    /// Their number.
    pub size_bytes: u64,
    /// INTERNALDATE, in seconds since 1970.
    pub internal_date_seconds: i64,
    /// Of its last change.
    pub modseq: ModSeq,
    /// The flags that are set, in a fixed order.
    pub flags: Box<[Flag]>,
}

impl MessageRow {
    /// Whether a flag is set.
    pub fn has(&self, flag: &Flag) -> bool {
        self.flags.contains(flag)
    }

    /// Both of its names, as changes want them.
    pub const fn target(&self) -> MessageRef {
        MessageRef { uid: self.uid, message: self.id }
    }
}

impl From<&Message> for MessageRow {
    fn from(message: &Message) -> Self {
        Self {
            uid: message.uid,
            id: message.id,
            body: message.body,
            size_bytes: message.size_bytes,
            internal_date_seconds: message.internal_date_seconds,
            modseq: message.modseq,
            flags: message.flags.iter().cloned().collect(),
        }
    }
}
