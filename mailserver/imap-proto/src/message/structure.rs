//! BODYSTRUCTURE (RFC 3501 section 7.4.2).

use std::borrow::Cow;

use super::envelope::Envelope;
use super::field::{Parameterized, tokens};
use super::header::Header;
use super::mime::{Content, MimePart};

/// The structure of a body. BODY is this with the extension data left out when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyStructure<'a> {
    /// A part that is not a multipart.
    Single(Box<BodyPart<'a>>),
    /// A multipart.
    Multipart(MultipartBody<'a>),
}

/// A multipart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartBody<'a> {
    /// The parts, at least one.
    pub parts: Vec<BodyStructure<'a>>,
    /// The media subtype, such as `mixed`.
    pub subtype: Cow<'a, [u8]>,
    /// Extension data: the parameters, of which `boundary` is one.
    pub parameters: Vec<Parameter<'a>>,
    /// Extension data: Content-Disposition.
    pub disposition: Option<Disposition<'a>>,
    /// Extension data: Content-Language.
    pub languages: Vec<Cow<'a, [u8]>>,
    /// Extension data: Content-Location.
    pub location: Option<Cow<'a, [u8]>>,
}

/// A part that is not a multipart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyPart<'a> {
    /// The media type, such as `text`.
    pub content_type: Cow<'a, [u8]>,
    /// The media subtype, such as `plain`.
    pub subtype: Cow<'a, [u8]>,
    /// The parameters of the media type, in raw form.
    pub parameters: Vec<Parameter<'a>>,
    /// Content-ID.
    pub id: Option<Cow<'a, [u8]>>,
    /// Content-Description.
    pub description: Option<Cow<'a, [u8]>>,
    /// Content-Transfer-Encoding; `7bit` when it is not said.
    pub encoding: Cow<'a, [u8]>,
    /// Octets of the content, as it is in the message.
    pub octets: u64,
    /// What depends on the type.
    pub kind: ContentKind<'a>,
    /// Extension data: Content-MD5.
    pub md5: Option<Cow<'a, [u8]>>,
    /// Extension data: Content-Disposition.
    pub disposition: Option<Disposition<'a>>,
    /// Extension data: Content-Language.
    pub languages: Vec<Cow<'a, [u8]>>,
    /// Extension data: Content-Location.
    pub location: Option<Cow<'a, [u8]>>,
}

/// What is told of a part depending on its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentKind<'a> {
    /// Nothing more.
    Basic,
    /// `text/*`
    Text {
        /// Line ends (LF) in the content.
        lines: u64,
    },
    /// `message/rfc822`
    Message {
        /// The envelope of the embedded message.
        envelope: Box<Envelope<'a>>,
        /// Its structure.
        body: BodyStructure<'a>,
        /// Line ends (LF) in the content.
        lines: u64,
    },
}

/// A parameter of a field, in raw form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// Its name, as spelled; with the `*` of RFC 2231.
    pub name: Cow<'a, [u8]>,
    /// Its value, without quotes.
    pub value: Cow<'a, [u8]>,
}

/// Content-Disposition (RFC 2183).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition<'a> {
    /// Such as `attachment`.
    pub kind: Cow<'a, [u8]>,
    /// The parameters, in raw form.
    pub parameters: Vec<Parameter<'a>>,
}

/// The depth of the recursion is that of the part, which is bounded.
pub(super) fn of<'a>(part: &MimePart<'a>) -> BodyStructure<'a> {
    let header = &part.header;
    let media = &part.media;
    let languages = header.first("Content-Language").map(tokens);
    let languages = languages.unwrap_or_default();
    let location = header.unfolded("Content-Location");
    let lines = || {
        let lines = memchr::memchr_iter(b'\n', part.body).count();
        u64::try_from(lines).unwrap_or(u64::MAX)
    };
    let kind = match &part.content {
        Content::Multipart(parts) => {
            return BodyStructure::Multipart(MultipartBody {
                parts: parts.iter().map(of).collect(),
                subtype: media.sub.clone(),
                parameters: media.parameters.clone(),
                disposition: disposition(header),
                languages,
                location,
            });
        }
        Content::Message(inner) => {
            ContentKind::Message { envelope: Box::new(Envelope::of(&inner.header)), body: of(inner), lines: lines() }
        }
        Content::Leaf if media.is_main("text") => ContentKind::Text { lines: lines() },
        Content::Leaf => ContentKind::Basic,
    };
    BodyStructure::Single(Box::new(BodyPart {
        content_type: media.main.clone(),
        subtype: media.sub.clone(),
        parameters: media.parameters.clone(),
        id: header.unfolded("Content-ID"),
        description: header.unfolded("Content-Description"),
        encoding: part.encoding().unwrap_or(Cow::Borrowed(b"7bit")),
        octets: u64::try_from(part.body.len()).unwrap_or(u64::MAX),
        kind,
        md5: header.unfolded("Content-MD5"),
        disposition: disposition(header),
        languages,
        location,
    }))
}

fn disposition<'a>(header: &Header<'a>) -> Option<Disposition<'a>> {
    let parsed = Parameterized::parse(header.first("Content-Disposition")?);
    (!parsed.value.is_empty()).then_some(Disposition { kind: parsed.value, parameters: parsed.parameters })
}
