//! Between the words of the protocol and those of the model.

use mailmirror_imap_proto::types::{Flag as WireFlag, InternalDate, SpecialUse as WireUse};
use mailmirror_model::flags::Flag;
use mailmirror_model::operation::SpecialUse;

use super::answer::Stop;
use crate::service::MessageRow;
use mailmirror_imap_proto::response::Code;

/// The flags that are set, as they are sent.
pub(super) fn flags_of(row: &MessageRow) -> Vec<WireFlag> {
    row.flags.iter().filter_map(to_wire).collect()
}

pub(super) fn to_wire(flag: &Flag) -> Option<WireFlag> {
    match flag {
        Flag::Seen => Some(WireFlag::Seen),
        Flag::Answered => Some(WireFlag::Answered),
        Flag::Flagged => Some(WireFlag::Flagged),
        Flag::Deleted => Some(WireFlag::Deleted),
        Flag::Draft => Some(WireFlag::Draft),
        Flag::Keyword(keyword) => WireFlag::parse(keyword.as_str().as_bytes()).ok(),
    }
}

/// The flags that a client names.
pub(super) fn from_wire(flags: &[WireFlag]) -> Result<Vec<Flag>, Stop> {
    let one = |flag: &WireFlag| Flag::parse(flag.as_str()).map_err(|error| Stop::no(Code::Cannot, error.to_string()));
    flags.iter().map(one).collect()
}

/// Whether a message has a flag that a client names.
pub(super) fn has(row: &MessageRow, flag: &WireFlag) -> bool {
    row.flags.iter().any(|set| match (set, flag) {
        (Flag::Keyword(set), WireFlag::Keyword(flag)) => set.as_str().eq_ignore_ascii_case(flag.as_str()),
        (set, flag) => to_wire(set).as_ref() == Some(flag),
    })
}

pub(super) fn date_of(row: &MessageRow) -> InternalDate {
    InternalDate::from_unix_seconds(row.internal_date_seconds)
}

pub(super) const fn use_to_wire(special_use: SpecialUse) -> WireUse {
    match special_use {
        SpecialUse::Archive => WireUse::Archive,
        SpecialUse::Drafts => WireUse::Drafts,
        SpecialUse::Junk => WireUse::Junk,
        SpecialUse::Sent => WireUse::Sent,
        SpecialUse::Trash => WireUse::Trash,
    }
}

/// The special use that a client wants for a new mailbox; `None` where it is not supported.
pub(super) const fn use_from_wire(special_use: WireUse) -> Option<SpecialUse> {
    match special_use {
        WireUse::Archive => Some(SpecialUse::Archive),
        WireUse::Drafts => Some(SpecialUse::Drafts),
        WireUse::Junk => Some(SpecialUse::Junk),
        WireUse::Sent => Some(SpecialUse::Sent),
        WireUse::Trash => Some(SpecialUse::Trash),
        WireUse::All | WireUse::Flagged => None,
    }
}
