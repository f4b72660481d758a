//! The MIME structure of a message (RFC 2045, RFC 2046).

use std::borrow::Cow;

use super::field::{Parameterized, token};
use super::header::{Header, line_end};
use super::structure::Parameter;

/// How deep multiparts and embedded messages are taken apart; what lies deeper is one part.
pub const DEPTH_MAX: usize = 40;

/// How many parts of a message are told apart; the last of them holds the rest.
pub const PARTS_MAX: usize = 2_000;

/// A part, or a message. Its bytes are slices of the raw message.
#[derive(Debug)]
pub(crate) struct MimePart<'a> {
    pub(crate) header: Header<'a>,
    pub(crate) body: &'a [u8],
    pub(crate) media: MediaType<'a>,
    pub(crate) content: Content<'a>,
}

#[derive(Debug)]
pub(crate) enum Content<'a> {
    Leaf,
    /// Never empty.
    Multipart(Vec<MimePart<'a>>),
    Message(Box<MimePart<'a>>),
}

#[derive(Debug)]
pub(crate) struct MediaType<'a> {
    pub(crate) main: Cow<'a, [u8]>,
    pub(crate) sub: Cow<'a, [u8]>,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

impl MediaType<'_> {
    pub(crate) fn is(&self, main: &str, sub: &str) -> bool {
        self.is_main(main) && self.sub.eq_ignore_ascii_case(sub.as_bytes())
    }

    pub(crate) fn is_main(&self, main: &str) -> bool {
        self.main.eq_ignore_ascii_case(main.as_bytes())
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name.eq_ignore_ascii_case(name.as_bytes()))
            .map(|parameter| &*parameter.value)
    }
}

/// What a part is when it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Implied {
    Text,
    /// Inside multipart/digest (RFC 2046 section 5.1.5).
    Message,
}

struct Budget {
    parts: usize,
}

impl<'a> MimePart<'a> {
    /// Takes a message apart.
    pub(crate) fn parse(raw: &'a [u8]) -> Self {
        Self::parse_at(raw, Implied::Text, 0, &mut Budget { parts: PARTS_MAX })
    }

    /// Does it say that its content is encoded?
    pub(crate) fn encoding(&self) -> Option<Cow<'a, [u8]>> {
        self.header.first("Content-Transfer-Encoding").and_then(token)
    }

    /// The recursion is as deep as `depth` may get.
    fn parse_at(raw: &'a [u8], implied: Implied, depth: usize, budget: &mut Budget) -> Self {
        let (header, body) = Header::split(raw);
        let mut part = Self { header, body, media: media_type(&header, implied), content: Content::Leaf };
        let is_multipart = part.media.is_main("multipart");
        let is_message = part.media.is("message", "rfc822");
        if depth >= DEPTH_MAX || (is_message && !part.is_identity_encoded()) {
            // It cannot be shown as what it is: both need what is inside.
            if is_multipart || is_message {
                part.media = opaque(part.media);
            }
        } else if is_multipart {
            part.content = Content::Multipart(part.split_multipart(depth, budget));
        } else if is_message {
            budget.parts = budget.parts.saturating_sub(1);
            let inner = Self::parse_at(body, Implied::Text, depth + 1, budget);
            part.content = Content::Message(Box::new(inner));
        }
        part
    }

    fn is_identity_encoded(&self) -> bool {
        self.encoding().is_none_or(|encoding| {
            !encoding.eq_ignore_ascii_case(b"base64") && !encoding.eq_ignore_ascii_case(b"quoted-printable")
        })
    }

    fn split_multipart(&self, depth: usize, budget: &mut Budget) -> Vec<Self> {
        let implied = if self.media.is("multipart", "digest") { Implied::Message } else { Implied::Text };
        let boundary = self.media.parameter("boundary").unwrap_or_default();
        let boundary = boundary.trim_ascii_end();
        let mut parts = Vec::new();
        for raw in split_at_boundary(self.body, boundary, budget) {
            parts.push(Self::parse_at(raw, implied, depth + 1, budget));
        }
        if parts.is_empty() {
            // A multipart must have a part: the body is shown as one, so that the client can read it.
            parts.push(Self::undivided(self.body));
        }
        parts
    }

    fn undivided(body: &'a [u8]) -> Self {
        let (header, _) = Header::split(&body[..0]);
        Self { header, body, media: default_type(Implied::Text), content: Content::Leaf }
    }
}

/// The bytes of the parts between the delimiters. The line end before a delimiter belongs to the delimiter.
fn split_at_boundary<'a>(body: &'a [u8], boundary: &[u8], budget: &mut Budget) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    if boundary.is_empty() {
        return parts;
    }
    let mut start = None;
    let mut at = 0;
    while at < body.len() {
        let next = line_end(body, at);
        if let Some(delimiter) = delimiter(&body[at..next], boundary) {
            if let Some(start) = start.take() {
                parts.push(&body[start..before_line_end(body, at).max(start)]);
            }
            if delimiter == Delimiter::Close {
                return parts;
            }
            start = Some(next);
            if budget.parts <= 1 {
                break;
            }
            budget.parts -= 1;
        }
        at = next;
    }
    if let Some(start) = start {
        // The closing delimiter is missing, or there are too many parts.
        parts.push(&body[start..]);
    }
    parts
}

#[derive(Debug, PartialEq, Eq)]
enum Delimiter {
    Open,
    Close,
}

fn delimiter(line: &[u8], boundary: &[u8]) -> Option<Delimiter> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary)?;
    let (kind, padding) = match rest.strip_prefix(b"--") {
        Some(padding) => (Delimiter::Close, padding),
        None => (Delimiter::Open, rest),
    };
    padding.trim_ascii().is_empty().then_some(kind)
}

/// Where the content before the line that begins at `at` ends: before the line end.
fn before_line_end(body: &[u8], at: usize) -> usize {
    match &body[..at] {
        [.., b'\r', b'\n'] => at - 2,
        [.., b'\n'] => at - 1,
        _ => at,
    }
}

/// What the header says, or what is implied when it says nothing or nonsense (RFC 2045 section 5.2).
fn media_type<'a>(header: &Header<'a>, implied: Implied) -> MediaType<'a> {
    let Some(value) = header.first("Content-Type") else {
        return default_type(implied);
    };
    let parsed = Parameterized::parse(value);
    let slash = parsed.value.iter().position(|&b| b == b'/');
    let Some(slash) = slash.filter(|&at| at > 0 && at + 1 < parsed.value.len()) else {
        return default_type(Implied::Text);
    };
    let (main, sub) = match parsed.value {
        Cow::Borrowed(value) => (Cow::Borrowed(&value[..slash]), Cow::Borrowed(&value[slash + 1..])),
        Cow::Owned(value) => (Cow::Owned(value[..slash].to_vec()), Cow::Owned(value[slash + 1..].to_vec())),
    };
    MediaType { main, sub, parameters: parsed.parameters }
}

fn default_type(implied: Implied) -> MediaType<'static> {
    let (main, sub, parameters) = match implied {
        Implied::Message => ("message", "rfc822", Vec::new()),
        Implied::Text => {
            ("text", "plain", vec![Parameter { name: Cow::Borrowed(b"charset"), value: Cow::Borrowed(b"us-ascii") }])
        }
    };
    MediaType { main: Cow::Borrowed(main.as_bytes()), sub: Cow::Borrowed(sub.as_bytes()), parameters }
}

fn opaque(media: MediaType<'_>) -> MediaType<'_> {
    MediaType { main: Cow::Borrowed(b"application"), sub: Cow::Borrowed(b"octet-stream"), parameters: media.parameters }
}
