//! FETCH.

use std::num::NonZeroU32;

use super::cursor::{Cursor, Result};
use super::error::Problem;
use crate::command::{Command, Fetch, FetchItem, FieldName, Partial, Section, SectionItem, SectionKind};

const ITEMS_MAX: usize = 256;
const FIELDS_MAX: usize = 256;
/// How deep a part may lie. Messages nested deeper than this are not taken apart either.
const PART_DEPTH_MAX: usize = 64;

pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command> {
    cursor.sp()?;
    let set = cursor.sequence_set()?;
    cursor.sp()?;
    let mut items = Vec::new();
    if cursor.peek() == Some(b'(') {
        cursor.list("items", ITEMS_MAX, |cursor| {
            let item = item(cursor)?;
            add(&mut items, item);
            Ok(())
        })?;
    } else {
        macro_or_item(cursor, &mut items)?;
    }
    if items.is_empty() {
        return Err(Problem::Expected("something to fetch"));
    }
    let mut fetch = Fetch { uid, set, items, changed_since: None, vanished: false };
    if cursor.more() {
        modifiers(cursor, &mut fetch)?;
    }
    // The answer must have them although they were not asked for (RFC 3501 section 6.4.8, RFC 7162 section 3.1.4.1).
    if uid {
        add(&mut fetch.items, FetchItem::Uid);
    }
    if fetch.changed_since.is_some() {
        add(&mut fetch.items, FetchItem::ModSeq);
    }
    Ok(Command::Fetch(fetch))
}

fn add(items: &mut Vec<FetchItem>, item: FetchItem) {
    if !items.contains(&item) {
        items.push(item);
    }
}

fn modifiers(cursor: &mut Cursor<'_>, fetch: &mut Fetch) -> Result<()> {
    cursor.list("modifiers", 8, |cursor| {
        match cursor.keyword()?.as_str() {
            "CHANGEDSINCE" => {
                cursor.sp()?;
                fetch.changed_since = Some(cursor.mod_seq()?);
            }
            "VANISHED" => fetch.vanished = true,
            _ => return Err(Problem::Expected("CHANGEDSINCE or VANISHED")),
        }
        Ok(())
    })?;
    if fetch.vanished && !(fetch.uid && fetch.changed_since.is_some()) {
        return Err(Problem::Expected("VANISHED in UID FETCH together with CHANGEDSINCE"));
    }
    Ok(())
}

fn macro_or_item(cursor: &mut Cursor<'_>, items: &mut Vec<FetchItem>) -> Result<()> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    let name = item_name(cursor);
    let expansion: &[FetchItem] = match name.as_str() {
        "ALL" => &[Flags, InternalDate, Rfc822Size, Envelope],
        "FAST" => &[Flags, InternalDate, Rfc822Size],
        "FULL" => &[Flags, InternalDate, Rfc822Size, Envelope, Body],
        _ => {
            items.push(named_item(cursor, &name)?);
            return Ok(());
        }
    };
    items.extend_from_slice(expansion);
    Ok(())
}

fn item(cursor: &mut Cursor<'_>) -> Result<FetchItem> {
    let name = item_name(cursor);
    named_item(cursor, &name)
}

fn item_name(cursor: &mut Cursor<'_>) -> String {
    let name = cursor.take_while(|b| b.is_ascii_alphanumeric() || b == b'.');
    String::from_utf8_lossy(&name).to_ascii_uppercase()
}

fn named_item(cursor: &mut Cursor<'_>, name: &str) -> Result<FetchItem> {
    Ok(match name {
        "ENVELOPE" => FetchItem::Envelope,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "UID" => FetchItem::Uid,
        "MODSEQ" => FetchItem::ModSeq,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        "BODY" if cursor.peek() != Some(b'[') => FetchItem::Body,
        "BODY" | "BODY.PEEK" => FetchItem::Section(section_item(cursor, name == "BODY.PEEK")?),
        _ => return Err(Problem::Expected("a fetch item")),
    })
}

fn section_item(cursor: &mut Cursor<'_>, peek: bool) -> Result<SectionItem> {
    if !cursor.eat(b'[') {
        return Err(Problem::Expected("["));
    }
    let section = section(cursor)?;
    if !cursor.eat(b']') {
        return Err(Problem::Expected("]"));
    }
    let mut partial = None;
    if cursor.eat(b'<') {
        let first = cursor.number()?;
        if !cursor.eat(b'.') {
            return Err(Problem::Expected("."));
        }
        let count = cursor.nz_number()?;
        if !cursor.eat(b'>') {
            return Err(Problem::Expected(">"));
        }
        partial = Some(Partial { first, count });
    }
    Ok(SectionItem { section, peek, partial })
}

fn section(cursor: &mut Cursor<'_>) -> Result<Section> {
    let mut part: Vec<NonZeroU32> = Vec::new();
    while cursor.peek().is_some_and(|b| b.is_ascii_digit()) {
        if part.len() == PART_DEPTH_MAX {
            let (what, limit) = ("levels in a part number", PART_DEPTH_MAX);
            return Err(Problem::Limit { what, limit });
        }
        part.push(cursor.nz_number()?);
        if !cursor.eat(b'.') {
            return Section::new(part, SectionKind::Full).ok_or(Problem::Expected("a section"));
        }
    }
    let numbered = !part.is_empty();
    let name = cursor.take_while(|b| b.is_ascii_alphabetic() || b == b'.');
    let kind = match name.to_ascii_uppercase().as_slice() {
        b"" if !numbered => SectionKind::Full,
        b"HEADER" => SectionKind::Header,
        b"HEADER.FIELDS" => SectionKind::HeaderFields(fields(cursor)?),
        b"HEADER.FIELDS.NOT" => SectionKind::HeaderFieldsNot(fields(cursor)?),
        b"TEXT" => SectionKind::Text,
        b"MIME" => SectionKind::Mime,
        _ => return Err(Problem::Expected("a section")),
    };
    Section::new(part, kind).ok_or(Problem::Expected("a part number before MIME"))
}

fn fields(cursor: &mut Cursor<'_>) -> Result<Vec<FieldName>> {
    cursor.sp()?;
    let fields = cursor.list("header fields", FIELDS_MAX, |cursor| {
        FieldName::new(&cursor.astring()?).ok_or(Problem::Expected("a header field name"))
    })?;
    if fields.is_empty() {
        return Err(Problem::Expected("a header field name"));
    }
    Ok(fields)
}
