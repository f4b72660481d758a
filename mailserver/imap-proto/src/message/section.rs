//! Body sections (RFC 3501 section 6.4.5).

use std::borrow::Cow;
use std::num::NonZeroU32;

use super::MessageView;
use super::header::Header;
use super::mime::{Content, MimePart};
use crate::command::{FieldName, Partial, Section, SectionKind};

/// The window of some bytes that a partial fetch asks for: less than asked for at the end, nothing beyond it.
pub fn window(data: &[u8], partial: Option<Partial>) -> &[u8] {
    let Some(Partial { first, count }) = partial else {
        return data;
    };
    let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let rest = data.get(size(first)..).unwrap_or_default();
    &rest[..rest.len().min(size(count.get()))]
}

pub(super) fn of<'a>(view: &MessageView<'a>, section: &Section) -> Option<Cow<'a, [u8]>> {
    if section.part().is_empty() {
        // No need to look at the structure.
        let (header, body) = Header::split(view.raw());
        return match section.kind() {
            SectionKind::Full => Some(Cow::Borrowed(view.raw())),
            SectionKind::Text => Some(Cow::Borrowed(body)),
            kind => of_header(&header, kind),
        };
    }
    let found = find(view.root(), section.part())?;
    match section.kind() {
        SectionKind::Full => Some(Cow::Borrowed(found.body)),
        SectionKind::Mime => Some(Cow::Borrowed(found.header.bytes())),
        kind => {
            // The others are sections of an embedded message.
            let Content::Message(inner) = &found.content else {
                return None;
            };
            match kind {
                SectionKind::Text => Some(Cow::Borrowed(inner.body)),
                kind => of_header(&inner.header, kind),
            }
        }
    }
}

/// The part with this number. A message that is no multipart has one part, which is itself.
fn find<'p, 'a>(root: &'p MimePart<'a>, path: &[NonZeroU32]) -> Option<&'p MimePart<'a>> {
    let mut message = Some(root);
    let mut part = root;
    for number in path {
        let index = usize::try_from(number.get() - 1).ok()?;
        if let (None, Content::Message(inner)) = (message, &part.content) {
            message = Some(inner);
            part = inner;
        }
        part = match &part.content {
            Content::Multipart(parts) => parts.get(index)?,
            _ if message.is_some() && index == 0 => part,
            _ => return None,
        };
        message = None;
    }
    Some(part)
}

fn of_header<'a>(header: &Header<'a>, kind: &SectionKind) -> Option<Cow<'a, [u8]>> {
    match kind {
        SectionKind::Header => Some(Cow::Borrowed(header.bytes())),
        SectionKind::HeaderFields(names) => Some(Cow::Owned(selected(header, names, true))),
        SectionKind::HeaderFieldsNot(names) => Some(Cow::Owned(selected(header, names, false))),
        SectionKind::Full | SectionKind::Text | SectionKind::Mime => None,
    }
}

/// The fields that are among the names, or those that are not, and the empty line.
fn selected(header: &Header<'_>, names: &[FieldName], among: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in header.fields() {
        if names.iter().any(|name| name.matches(field.name)) == among {
            bytes.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                bytes.extend_from_slice(b"\r\n");
            }
        }
    }
    match header.blank_line() {
        b"" => bytes.extend_from_slice(b"\r\n"),
        blank => bytes.extend_from_slice(blank),
    }
    bytes
}
