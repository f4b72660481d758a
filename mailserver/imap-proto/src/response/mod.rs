//! Writes what a server sends (RFC 3501 section 7 and the extensions).
//!
//! A [`ResponseBuffer`] gathers whole responses; take them out with [`ResponseBuffer::take`] and send them. Whatever is
//! put in, what comes out is well formed: strings become quoted strings or literals as they need, mailbox names
//! modified UTF-7, human text one line of ASCII.

mod code;
mod fetch;
mod text;

pub use code::{Code, Status};
pub use fetch::{FetchWriter, SectionData};

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use crate::command::{EnableCapability, SearchReturn, StatusItem};
use crate::parse::ParseError;
use crate::types::{DELIMITER, Flag, MailboxName, ModSeq, NumberSet, SpecialUse, Tag};
use text::{number_set, put_mailbox, put_nstring, put_string, put_text};

/// What a LIST or LSUB response says of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// Its name.
    pub name: &'a MailboxName,
    /// Its attributes.
    pub attributes: &'a [ListAttribute],
    /// Why a name that does not match itself is listed (`CHILDINFO`, RFC 5258 section 4): a child of it is subscribed.
    pub child_info_subscribed: bool,
}

/// Attributes of LIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum ListAttribute {
    NoInferiors,
    NoSelect,
    NonExistent,
    Marked,
    Unmarked,
    HasChildren,
    HasNoChildren,
    Subscribed,
    SpecialUse(SpecialUse),
}

impl ListAttribute {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoInferiors => "\\Noinferiors",
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::Marked => "\\Marked",
            Self::Unmarked => "\\Unmarked",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::SpecialUse(special_use) => special_use.as_str(),
        }
    }
}

/// Responses, ready to be sent.
#[derive(Debug, Default)]
pub struct ResponseBuffer {
    buf: BytesMut,
}

impl ResponseBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what was written so far.
    pub fn take(&mut self) -> Bytes {
        self.buf.split().freeze()
    }

    /// Octets waiting to be taken: when they are many, send them before writing more.
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Is nothing waiting?
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The completion of a command: `a OK [code] text`.
    pub fn tagged(&mut self, tag: &Tag, status: Status, code: Option<&Code<'_>>, text: &str) {
        self.buf.extend_from_slice(tag.as_bytes());
        self.status_line(status.as_str(), code, text);
    }

    /// `* OK [code] text`; also what greets the client, and the answer to what has no tag.
    pub fn untagged(&mut self, status: Status, code: Option<&Code<'_>>, text: &str) {
        self.put("*");
        self.status_line(status.as_str(), code, text);
    }

    /// `* BYE [code] text`; then close.
    pub fn bye(&mut self, code: Option<&Code<'_>>, text: &str) {
        self.put("*");
        self.status_line("BYE", code, text);
    }

    /// The answer to a command that was not understood: under its tag where that is known.
    pub fn parse_error(&mut self, error: &ParseError) {
        let (status, code) = error.problem.answer();
        self.completion(error.tag.as_ref(), status, code.as_ref(), &error.to_string());
    }

    /// The answer to a literal that is too large and was not sent ([`crate::framing::FrameEvent::Refused`]).
    pub fn refused(&mut self, tag: Option<&Tag>, limit_bytes: u64) {
        let text = format!("literal is larger than the {limit_bytes} bytes allowed");
        self.completion(tag, Status::No, Some(&Code::TooBig), &text);
    }

    /// Without a tag there is no command to complete: it is an error of the protocol (`* BAD`).
    fn completion(&mut self, tag: Option<&Tag>, status: Status, code: Option<&Code<'_>>, text: &str) {
        match tag {
            Some(tag) => self.tagged(tag, status, code, text),
            None => self.untagged(Status::Bad, code, text),
        }
    }

    fn status_line(&mut self, status: &str, code: Option<&Code<'_>>, text: &str) {
        self.put(" ");
        self.put(status);
        self.put(" ");
        if let Some(code) = code {
            self.put("[");
            code.put(&mut self.buf);
            self.put("] ");
        }
        put_text(&mut self.buf, text);
        self.crlf();
    }

    /// `+ text`: go on with the literal, or with IDLE.
    pub fn continuation(&mut self, text: &str) {
        self.put("+ ");
        put_text(&mut self.buf, text);
        self.crlf();
    }

    /// `+ base64`: a SASL challenge, possibly empty.
    pub fn challenge(&mut self, data: &[u8]) {
        self.put("+ ");
        self.put(&STANDARD.encode(data));
        self.crlf();
    }

    /// `* CAPABILITY …`
    pub fn capability<'s>(&mut self, capabilities: impl IntoIterator<Item = &'s str>) {
        self.put("* CAPABILITY");
        for capability in capabilities {
            self.put(" ");
            self.put(capability);
        }
        self.crlf();
    }

    /// `* ENABLED …`, also with nothing in it. What is not known is not repeated.
    pub fn enabled(&mut self, capabilities: &[EnableCapability]) {
        self.put("* ENABLED");
        for capability in capabilities {
            match capability {
                EnableCapability::CondStore => self.put(" CONDSTORE"),
                EnableCapability::QResync => self.put(" QRESYNC"),
                EnableCapability::Other(_) => {}
            }
        }
        self.crlf();
    }

    /// `* n EXISTS`
    pub fn exists(&mut self, messages: u32) {
        self.line(format_args!("* {messages} EXISTS"));
    }

    /// `* n RECENT`
    pub fn recent(&mut self, messages: u32) {
        self.line(format_args!("* {messages} RECENT"));
    }

    /// `* n EXPUNGE`, with the sequence number.
    pub fn expunge(&mut self, sequence: u32) {
        self.line(format_args!("* {sequence} EXPUNGE"));
    }

    /// `* VANISHED [(EARLIER)] uids` (RFC 7162 section 3.2.10). Nothing is written for no UIDs.
    pub fn vanished(&mut self, earlier: bool, uids: &NumberSet) {
        if !uids.is_empty() {
            let earlier = if earlier { "(EARLIER) " } else { "" };
            self.line(format_args!("* VANISHED {earlier}{uids}"));
        }
    }

    /// `* FLAGS (…)`: the flags in use in the mailbox.
    pub fn flags(&mut self, flags: &[Flag]) {
        self.put("* FLAGS ");
        text::put_flags(&mut self.buf, flags, None);
        self.crlf();
    }

    /// `* LIST (…) "/" name`
    pub fn list(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LIST", entry);
    }

    /// `* LSUB (…) "/" name`
    pub fn lsub(&mut self, entry: &ListEntry<'_>) {
        self.list_line("LSUB", entry);
    }

    /// `* LIST (\Noselect) "/" ""`: the answer to the empty pattern.
    pub fn list_root(&mut self) {
        self.line(format_args!("* LIST (\\Noselect) \"{DELIMITER}\" \"\""));
    }

    fn list_line(&mut self, name: &str, entry: &ListEntry<'_>) {
        self.put("* ");
        self.put(name);
        self.put(" (");
        for (index, attribute) in entry.attributes.iter().enumerate() {
            if index > 0 {
                self.put(" ");
            }
            self.put(attribute.as_str());
        }
        self.format(format_args!(") \"{DELIMITER}\" "));
        put_mailbox(&mut self.buf, entry.name);
        if entry.child_info_subscribed {
            self.put(" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        self.crlf();
    }

    /// `* NAMESPACE (("" "/")) NIL NIL`: one personal name space (RFC 2342).
    pub fn namespace(&mut self) {
        self.line(format_args!("* NAMESPACE ((\"\" \"{DELIMITER}\")) NIL NIL"));
    }

    /// `* STATUS name (…)`
    pub fn status(&mut self, mailbox: &MailboxName, values: &[(StatusItem, u64)]) {
        self.put("* STATUS ");
        put_mailbox(&mut self.buf, mailbox);
        self.put(" (");
        for (index, (item, value)) in values.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            self.format(format_args!("{space}{} {value}", item.as_str()));
        }
        self.put(")");
        self.crlf();
    }

    /// `* SEARCH n … [(MODSEQ m)]`; the modification sequence only when the program asked for one and something was
    /// found (RFC 7162 section 3.1.5).
    pub fn search(&mut self, found: impl IntoIterator<Item = u32>, mod_seq: Option<ModSeq>) {
        self.put("* SEARCH");
        let mut any = false;
        for number in found {
            any = true;
            self.format(format_args!(" {number}"));
        }
        if let Some(mod_seq) = mod_seq.filter(|_| any) {
            self.format(format_args!(" (MODSEQ {mod_seq})"));
        }
        self.crlf();
    }

    /// `* ESEARCH (TAG "a") [UID] …` (RFC 4731): what was asked for of what was found. Of nothing found, only COUNT is
    /// told.
    pub fn esearch(&mut self, tag: &Tag, uid: bool, returns: SearchReturn, found: &NumberSet, mod_seq: Option<ModSeq>) {
        self.put("* ESEARCH (TAG ");
        put_string(&mut self.buf, tag.as_bytes());
        self.put(")");
        if uid {
            self.put(" UID");
        }
        if let Some(min) = found.min().filter(|_| returns.min) {
            self.format(format_args!(" MIN {min}"));
        }
        if let Some(max) = found.max().filter(|_| returns.max) {
            self.format(format_args!(" MAX {max}"));
        }
        if returns.all && !found.is_empty() {
            self.put(" ALL ");
            number_set(&mut self.buf, found);
        }
        if returns.count {
            self.format(format_args!(" COUNT {}", found.len()));
        }
        if let Some(mod_seq) = mod_seq.filter(|_| !found.is_empty()) {
            self.format(format_args!(" MODSEQ {mod_seq}"));
        }
        self.crlf();
    }

    /// `* ID (…)`, or `* ID NIL` for nothing.
    pub fn id(&mut self, pairs: &[(&str, Option<&str>)]) {
        self.put("* ID ");
        if pairs.is_empty() {
            self.put("NIL");
        } else {
            for (index, (field, value)) in pairs.iter().enumerate() {
                self.put(if index > 0 { " " } else { "(" });
                put_string(&mut self.buf, field.as_bytes());
                self.put(" ");
                put_nstring(&mut self.buf, value.map(str::as_bytes));
            }
            self.put(")");
        }
        self.crlf();
    }

    /// `* n FETCH (…)`; `items` writes what is inside. A response without items is not written.
    pub fn fetch(&mut self, sequence: u32, items: impl FnOnce(&mut FetchWriter<'_>)) {
        let before = self.buf.len();
        self.format(format_args!("* {sequence} FETCH ("));
        let mut writer = FetchWriter::new(&mut self.buf);
        items(&mut writer);
        if writer.is_empty() {
            self.buf.truncate(before);
        } else {
            self.put(")");
            self.crlf();
        }
    }

    fn put(&mut self, text: &str) {
        self.buf.extend_from_slice(text.as_bytes());
    }

    fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into a BytesMut cannot fail: it grows.
        let _ = self.buf.write_fmt(arguments);
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.format(arguments);
        self.crlf();
    }

    fn crlf(&mut self) {
        self.put("\r\n");
    }
}

#[cfg(test)]
mod tests;
