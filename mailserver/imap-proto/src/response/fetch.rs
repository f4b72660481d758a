//! The items of a FETCH response.

use std::borrow::Cow;
use std::fmt;

use bytes::BytesMut;

use super::text::{put_astring, put_flags, put_format, put_literal, put_nstring, put_string};
use crate::command::{FieldName, Partial, Section, SectionKind};
use crate::message::{Address, BodyPart, BodyStructure, ContentKind, Disposition, Envelope, Parameter};
use crate::types::{Flag, InternalDate, ModSeq};

/// The bytes of a section; `None` when the message has no such part.
pub type SectionData<'a> = Option<Cow<'a, [u8]>>;

/// Writes the items of one FETCH response, each with its name and value.
#[derive(Debug)]
pub struct FetchWriter<'a> {
    buf: &'a mut BytesMut,
    start: usize,
}

impl<'a> FetchWriter<'a> {
    pub(super) fn new(buf: &'a mut BytesMut) -> Self {
        let start = buf.len();
        Self { buf, start }
    }

    /// Was nothing written yet?
    pub fn is_empty(&self) -> bool {
        self.buf.len() == self.start
    }

    /// `UID n`
    pub fn uid(&mut self, uid: u32) {
        self.item(format_args!("UID {uid}"));
    }

    /// `FLAGS (…)`; `recent`: with `\Recent`.
    pub fn flags(&mut self, flags: &[Flag], recent: bool) {
        self.item(format_args!("FLAGS "));
        put_flags(self.buf, flags, recent.then_some("\\Recent"));
    }

    /// `MODSEQ (n)`
    pub fn mod_seq(&mut self, mod_seq: ModSeq) {
        self.item(format_args!("MODSEQ ({mod_seq})"));
    }

    /// `INTERNALDATE "…"`
    pub fn internal_date(&mut self, date: InternalDate) {
        self.item(format_args!("INTERNALDATE \"{date}\""));
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, bytes: u64) {
        self.item(format_args!("RFC822.SIZE {bytes}"));
    }

    /// `ENVELOPE (…)`
    pub fn envelope(&mut self, envelope: &Envelope<'_>) {
        self.item(format_args!("ENVELOPE "));
        put_envelope(self.buf, envelope);
    }

    /// `BODYSTRUCTURE (…)`
    pub fn body_structure(&mut self, body: &BodyStructure<'_>) {
        self.item(format_args!("BODYSTRUCTURE "));
        put_body(self.buf, body, true);
    }

    /// `BODY (…)`: the structure without extension data.
    pub fn body(&mut self, body: &BodyStructure<'_>) {
        self.item(format_args!("BODY "));
        put_body(self.buf, body, false);
    }

    /// `BODY[section]<first> …`. The data is that of [`crate::message::MessageView::section`], already cut to the
    /// window; a section that does not exist is NIL.
    pub fn section(&mut self, section: &Section, partial: Option<Partial>, data: Option<&[u8]>) {
        self.item(format_args!("BODY["));
        put_section(self.buf, section);
        self.buf.extend_from_slice(b"]");
        if let Some(partial) = partial {
            put_format(self.buf, format_args!("<{}>", partial.first));
        }
        self.buf.extend_from_slice(b" ");
        self.data(data);
    }

    /// `RFC822 …`
    pub fn rfc822(&mut self, data: Option<&[u8]>) {
        self.item(format_args!("RFC822 "));
        self.data(data);
    }

    /// `RFC822.HEADER …`
    pub fn rfc822_header(&mut self, data: Option<&[u8]>) {
        self.item(format_args!("RFC822.HEADER "));
        self.data(data);
    }

    /// `RFC822.TEXT …`
    pub fn rfc822_text(&mut self, data: Option<&[u8]>) {
        self.item(format_args!("RFC822.TEXT "));
        self.data(data);
    }

    /// What is empty is a quoted string, since some clients stumble over `{0}`; everything else a literal.
    fn data(&mut self, data: Option<&[u8]>) {
        match data {
            Some(b"") => self.buf.extend_from_slice(b"\"\""),
            Some(data) => put_literal(self.buf, data),
            None => self.buf.extend_from_slice(b"NIL"),
        }
    }

    fn item(&mut self, text: fmt::Arguments<'_>) {
        if !self.is_empty() {
            self.buf.extend_from_slice(b" ");
        }
        put_format(self.buf, text);
    }
}

fn put_section(buf: &mut BytesMut, section: &Section) {
    for (index, number) in section.part().iter().enumerate() {
        let dot = if index > 0 { "." } else { "" };
        put_format(buf, format_args!("{dot}{number}"));
    }
    let (name, fields): (&str, &[FieldName]) = match section.kind() {
        SectionKind::Full => return,
        SectionKind::Header => ("HEADER", &[]),
        SectionKind::HeaderFields(fields) => ("HEADER.FIELDS", fields),
        SectionKind::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", fields),
        SectionKind::Text => ("TEXT", &[]),
        SectionKind::Mime => ("MIME", &[]),
    };
    if !section.part().is_empty() {
        buf.extend_from_slice(b".");
    }
    buf.extend_from_slice(name.as_bytes());
    for (index, field) in fields.iter().enumerate() {
        buf.extend_from_slice(if index > 0 { b" " } else { b" (" });
        put_astring(buf, field.as_str().as_bytes());
    }
    if !fields.is_empty() {
        buf.extend_from_slice(b")");
    }
}

fn put_envelope(buf: &mut BytesMut, envelope: &Envelope<'_>) {
    buf.extend_from_slice(b"(");
    put_nstring(buf, envelope.date.as_deref());
    sp(buf);
    put_nstring(buf, envelope.subject.as_deref());
    for list in [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc, &envelope.bcc] {
        sp(buf);
        put_addresses(buf, list);
    }
    sp(buf);
    put_nstring(buf, envelope.in_reply_to.as_deref());
    sp(buf);
    put_nstring(buf, envelope.message_id.as_deref());
    buf.extend_from_slice(b")");
}

fn put_addresses(buf: &mut BytesMut, addresses: &[Address<'_>]) {
    if addresses.is_empty() {
        buf.extend_from_slice(b"NIL");
        return;
    }
    buf.extend_from_slice(b"(");
    for address in addresses {
        buf.extend_from_slice(b"(");
        put_nstring(buf, address.name.as_deref());
        sp(buf);
        put_nstring(buf, address.route.as_deref());
        sp(buf);
        put_nstring(buf, address.mailbox.as_deref());
        sp(buf);
        put_nstring(buf, address.host.as_deref());
        buf.extend_from_slice(b")");
    }
    buf.extend_from_slice(b")");
}

/// The depth of the recursion is that of the structure, which is bounded when it is built.
fn put_body(buf: &mut BytesMut, body: &BodyStructure<'_>, extended: bool) {
    buf.extend_from_slice(b"(");
    match body {
        BodyStructure::Multipart(multipart) => {
            for part in &multipart.parts {
                put_body(buf, part, extended);
            }
            sp(buf);
            put_string(buf, &multipart.subtype);
            if extended {
                sp(buf);
                put_parameters(buf, &multipart.parameters);
                put_extension(buf, multipart.disposition.as_ref(), &multipart.languages, multipart.location.as_deref());
            }
        }
        BodyStructure::Single(part) => put_single(buf, part, extended),
    }
    buf.extend_from_slice(b")");
}

fn put_single(buf: &mut BytesMut, part: &BodyPart<'_>, extended: bool) {
    put_string(buf, &part.content_type);
    sp(buf);
    put_string(buf, &part.subtype);
    sp(buf);
    put_parameters(buf, &part.parameters);
    sp(buf);
    put_nstring(buf, part.id.as_deref());
    sp(buf);
    put_nstring(buf, part.description.as_deref());
    sp(buf);
    put_string(buf, &part.encoding);
    put_format(buf, format_args!(" {}", part.octets));
    match &part.kind {
        ContentKind::Basic => {}
        ContentKind::Text { lines } => put_format(buf, format_args!(" {lines}")),
        ContentKind::Message { envelope, body, lines } => {
            sp(buf);
            put_envelope(buf, envelope);
            sp(buf);
            put_body(buf, body, extended);
            put_format(buf, format_args!(" {lines}"));
        }
    }
    if extended {
        sp(buf);
        put_nstring(buf, part.md5.as_deref());
        put_extension(buf, part.disposition.as_ref(), &part.languages, part.location.as_deref());
    }
}

fn put_extension(
    buf: &mut BytesMut,
    disposition: Option<&Disposition<'_>>,
    languages: &[Cow<'_, [u8]>],
    location: Option<&[u8]>,
) {
    sp(buf);
    match disposition {
        Some(disposition) => {
            buf.extend_from_slice(b"(");
            put_string(buf, &disposition.kind);
            sp(buf);
            put_parameters(buf, &disposition.parameters);
            buf.extend_from_slice(b")");
        }
        None => buf.extend_from_slice(b"NIL"),
    }
    sp(buf);
    for (index, language) in languages.iter().enumerate() {
        buf.extend_from_slice(if index > 0 { b" " } else { b"(" });
        put_string(buf, language);
    }
    buf.extend_from_slice(if languages.is_empty() { b"NIL" } else { b")" });
    sp(buf);
    put_nstring(buf, location);
}

fn put_parameters(buf: &mut BytesMut, parameters: &[Parameter<'_>]) {
    if parameters.is_empty() {
        buf.extend_from_slice(b"NIL");
        return;
    }
    for (index, parameter) in parameters.iter().enumerate() {
        buf.extend_from_slice(if index > 0 { b" " } else { b"(" });
        put_string(buf, &parameter.name);
        sp(buf);
        put_string(buf, &parameter.value);
    }
    buf.extend_from_slice(b")");
}

fn sp(buf: &mut BytesMut) {
    buf.extend_from_slice(b" ");
}
