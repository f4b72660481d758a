//! The text of a message, decoded and folded for searching.

use std::borrow::Cow;
use std::cell::OnceCell;

use jiff::civil::Date;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;
use mail_parser::{DateTime, HeaderValue};

use super::SearchText;
use crate::command::FieldName;
use crate::message::{Content, Header, MessageView, MimePart};

/// Folds text so that case does not matter: full Unicode lower case, and ß like ss.
pub(super) fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.to_lowercase().replace('ß', "ss")
}

/// A message that is being searched. What is decoded once is kept for the next key.
#[derive(Debug)]
pub struct MessageText<'a> {
    view: MessageView<'a>,
    /// The decoded text of headers and text parts, those of embedded messages too.
    body: OnceCell<Vec<String>>,
    header: OnceCell<String>,
    sent: OnceCell<Option<Date>>,
}

impl<'a> MessageText<'a> {
    /// Looks at a message.
    pub fn new(raw: &'a [u8]) -> Self {
        Self { view: MessageView::new(raw), body: OnceCell::new(), header: OnceCell::new(), sent: OnceCell::new() }
    }

    /// The day of the `Date:` header, in the time zone that it names (RFC 3501: time and zone are disregarded).
    pub(super) fn sent_date(&self) -> Option<Date> {
        *self.sent.get_or_init(|| {
            let value = self.view.header().unfolded("Date")?;
            let date = DateTime::parse_rfc822(&String::from_utf8_lossy(&value))?;
            let (year, month, day) = (date.year, date.month, date.day);
            Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
        })
    }

    /// Has a field with this name the text in it, decoded or as it stands there?
    pub(super) fn header_has(&self, field: &FieldName, text: &SearchText) -> bool {
        self.view.header().all(field.as_str()).any(|value| text.0.is_empty() || folded_field(value).contains(&text.0))
    }

    /// Is the text anywhere in the header?
    pub(super) fn any_header_has(&self, text: &SearchText) -> bool {
        self.header.get_or_init(|| folded_header(&self.view.header())).contains(&text.0)
    }

    /// Is the text in the body?
    pub(super) fn body_has(&self, text: &SearchText) -> bool {
        text.0.is_empty()
            || self
                .body
                .get_or_init(|| {
                    let mut texts = Vec::new();
                    gather(self.view.root(), &mut texts);
                    texts
                })
                .iter()
                .any(|part| part.contains(&text.0))
    }
}

/// The field decoded, then as it stands there: both can be looked for.
fn folded_field(value: &[u8]) -> String {
    let mut with_end = value.trim_ascii_end().to_vec();
    with_end.extend_from_slice(b"\r\n");
    let decoded = match MessageStream::new(&with_end).parse_unstructured() {
        HeaderValue::Text(text) => fold(&text),
        _ => String::new(),
    };
    let raw = fold(&String::from_utf8_lossy(&crate::message::unfold(value)));
    if raw == decoded { raw } else { format!("{decoded}\n{raw}") }
}

fn folded_header(header: &Header<'_>) -> String {
    let mut folded = String::new();
    for field in header.fields() {
        folded.push_str(&fold(&String::from_utf8_lossy(field.name)));
        folded.push_str(": ");
        folded.push_str(&folded_field(field.value));
        folded.push('\n');
    }
    folded
}

/// The depth of the recursion is that of the part, which is bounded.
fn gather(part: &MimePart<'_>, texts: &mut Vec<String>) {
    match &part.content {
        Content::Multipart(parts) => parts.iter().for_each(|part| gather(part, texts)),
        Content::Message(inner) => {
            texts.push(folded_header(&inner.header));
            gather(inner, texts);
        }
        Content::Leaf if part.media.is_main("text") => texts.push(fold(&decoded_text(part))),
        Content::Leaf => {}
    }
}

/// The text of a part: transfer encoding and charset undone as far as they can be.
fn decoded_text<'a>(part: &MimePart<'a>) -> Cow<'a, str> {
    let encoding = part.encoding().unwrap_or_default().to_ascii_lowercase();
    let decoded = match encoding.as_slice() {
        b"base64" => base64_decode(part.body),
        b"quoted-printable" => quoted_printable_decode(part.body),
        _ => None,
    };
    let bytes = decoded.map_or(Cow::Borrowed(part.body), Cow::Owned);
    let charset = part.media.parameter("charset").and_then(charset_decoder);
    match (charset, bytes) {
        // Mail that says nothing, or ASCII, is often UTF-8.
        (_, bytes) if bytes.is_ascii() && charset.is_none() => lossy(bytes),
        (Some(decode), bytes) => Cow::Owned(decode(&bytes)),
        (None, bytes) => lossy(bytes),
    }
}

fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}
