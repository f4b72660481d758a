//! One FETCH response.

use mailmirror_imap_proto::command::{FetchItem, Section, SectionKind};
use mailmirror_imap_proto::message::{MessageView, window};
use mailmirror_imap_proto::response::{FetchWriter, ResponseBuffer};

use super::convert::{date_of, flags_of};
use crate::service::MessageRow;

/// What is wanted of each message.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) items: Vec<FetchItem>,
    /// Flags that change by the fetch itself are told with the mod-sequence (RFC 7162 section 3.1).
    pub(super) condstore: bool,
}

/// Writes the response for one message. `flags_changed`: the fetch has set `\Seen`.
pub(super) fn render(
    out: &mut ResponseBuffer,
    sequence: u32,
    row: &MessageRow,
    wanted: &Wanted,
    message: Option<&[u8]>,
    flags_changed: bool,
) {
    let view = MessageView::new(message.unwrap_or_default());
    let asked = |item: &FetchItem| wanted.items.contains(item);
    out.fetch(sequence, |writer| {
        for item in &wanted.items {
            write_item(writer, row, item, &view);
        }
        if flags_changed && !asked(&FetchItem::Flags) {
            writer.flags(&flags_of(row), false);
        }
        if flags_changed && wanted.condstore && !asked(&FetchItem::ModSeq) {
            writer.mod_seq(row.modseq.0);
        }
    });
}

fn write_item(writer: &mut FetchWriter<'_>, row: &MessageRow, item: &FetchItem, message: &MessageView<'_>) {
    let header = || Section::new(Vec::new(), SectionKind::Header).and_then(|section| message.section(&section));
    let text = || Section::new(Vec::new(), SectionKind::Text).and_then(|section| message.section(&section));
    match item {
        FetchItem::Uid => writer.uid(row.uid.get()),
        FetchItem::Flags => writer.flags(&flags_of(row), false),
        FetchItem::ModSeq => writer.mod_seq(row.modseq.0),
        FetchItem::InternalDate => writer.internal_date(date_of(row)),
        FetchItem::Rfc822Size => writer.size(row.size_bytes),
        FetchItem::Envelope => writer.envelope(&message.envelope()),
        FetchItem::Body => writer.body(&message.body_structure()),
        FetchItem::BodyStructure => writer.body_structure(&message.body_structure()),
        FetchItem::Rfc822 => writer.rfc822(Some(message.raw())),
        FetchItem::Rfc822Header => writer.rfc822_header(header().as_deref()),
        FetchItem::Rfc822Text => writer.rfc822_text(text().as_deref()),
        FetchItem::Section(item) => {
            let data = message.section(&item.section);
            let data = data.as_deref().map(|data| window(data, item.partial));
            writer.section(&item.section, item.partial, data);
        }
    }
}
