//! Cuts the client's bytes into commands (RFC 3501 section 2.2.1, RFC 7888).
//!
//! A command is one or more lines; a line that ends in `{n}` is followed by a literal of n octets and then goes on.
//! The [`Framer`] owns the input buffer, so that a literal is a slice of what was read and is not copied. It does not
//! know the grammar; it knows APPEND, because the message there may be larger than any other literal.

use bytes::{Bytes, BytesMut};

use crate::types::Tag;

/// What a client may send before somebody says no. Each is per command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Octets of all lines of a command together, without the literals. Past it the connection ends.
    pub line_max_bytes: usize,
    /// Octets of all literals of a command together, but for the message of an APPEND.
    pub literal_max_bytes: u64,
    /// Octets of the message of an APPEND.
    pub append_max_bytes: u64,
    /// Literals in a command.
    pub literals_max: usize,
}

impl FrameLimits {
    /// For clients that have not proven who they are: enough for LOGIN and AUTHENTICATE.
    pub const UNAUTHENTICATED: Self =
        Self { line_max_bytes: 8 * 1024, literal_max_bytes: 4 * 1024, append_max_bytes: 4 * 1024, literals_max: 4 };

    /// For authenticated clients, with this much for an appended message.
    pub const fn authenticated(append_max_bytes: u64) -> Self {
        Self { line_max_bytes: 64 * 1024, literal_max_bytes: 64 * 1024, append_max_bytes, literals_max: 256 }
    }
}

/// How much the input buffer offers to read at once, but for literals.
pub const READ_BYTES: usize = 8 * 1024;

/// A piece of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text of a line, without the line end and without the `{n}`.
    Text(Bytes),
    /// A literal.
    Literal {
        /// The octets.
        data: Bytes,
        /// Announced with `~{n}` (RFC 3516): may hold NUL.
        binary: bool,
    },
}

/// A complete command: text and literals in turn, beginning and ending with text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    parts: Vec<Part>,
}

impl Frame {
    /// Text and literals in turn, beginning and ending with text.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// A command of one line, without its line end.
    pub fn from_line(line: impl Into<Bytes>) -> Self {
        Self { parts: vec![Part::Text(line.into())] }
    }
}

/// What the framer has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameEvent {
    /// More bytes are needed.
    NeedMore,
    /// The client waits: send a continuation request (`+ …`), then feed what comes.
    Continue,
    /// A command is complete.
    Command(Frame),
    /// The client asked to send a literal that is too large, and waits. It has not sent it and will not when it is
    /// answered `NO` under this tag (`BAD` without one). The stream goes on with the next command.
    Refused {
        /// The tag of the command, when it could be read.
        tag: Option<Tag>,
        /// How large the literal was to be.
        size_bytes: u64,
        /// What would have been allowed.
        limit_bytes: u64,
    },
}

/// The stream cannot be followed any longer: say `BYE` and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The lines of a command are too long.
    #[error("command line is longer than {limit_bytes} bytes")]
    LineTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// A literal that the client sends without waiting is too large.
    #[error("literal of {size_bytes} bytes is larger than the {limit_bytes} allowed")]
    LiteralTooLarge {
        /// How large it is said to be.
        size_bytes: u64,
        /// What would have been allowed.
        limit_bytes: u64,
    },
    /// Too many literals in one command.
    #[error("command has more than {limit} literals")]
    TooManyLiterals {
        /// The limit.
        limit: usize,
    },
}

/// The incremental framer: put bytes into it, take events out.
///
/// ```
/// use mailmirror_imap_proto::framing::{FrameEvent, FrameLimits, Framer};
/// let mut framer = Framer::new(FrameLimits::UNAUTHENTICATED);
/// framer.feed(b"a LOGIN {3}\r\n");
/// assert_eq!(framer.next_event()?, FrameEvent::Continue);
/// framer.feed(b"bob secret\r\n");
/// assert!(matches!(framer.next_event()?, FrameEvent::Command(_)));
/// assert_eq!(framer.next_event()?, FrameEvent::NeedMore);
/// # Ok::<(), mailmirror_imap_proto::framing::FrameError>(())
/// ```
#[derive(Debug)]
pub struct Framer {
    limits: FrameLimits,
    buffer: BytesMut,
    /// Octets of the buffer known to hold no line end.
    scanned: usize,
    parts: Vec<Part>,
    text_bytes: usize,
    literal_bytes: u64,
    append_bytes: u64,
    pending: Option<PendingLiteral>,
    failed: Option<FrameError>,
}

#[derive(Debug, Clone, Copy)]
struct PendingLiteral {
    size: usize,
    binary: bool,
}

impl Framer {
    /// A framer at the start of a connection.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            scanned: 0,
            parts: Vec::new(),
            text_bytes: 0,
            literal_bytes: 0,
            append_bytes: 0,
            pending: None,
            failed: None,
        }
    }

    /// Changes the limits, for what is read from now on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Adds bytes that were read elsewhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The input buffer: read from the socket to its end, and change nothing else. It has room for the literal that is
    /// awaited, or for [`READ_BYTES`].
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    /// How many bytes are buffered and not yet part of an event.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Is a command begun but not complete? (Bytes of its first line count.) A server that shuts down, or an idle timer,
    /// asks this.
    pub fn is_mid_command(&self) -> bool {
        !self.buffer.is_empty() || !self.parts.is_empty()
    }

    /// Throws away what is buffered. Needed after STARTTLS: what came in clear text before the handshake must not be
    /// taken for something that came under TLS (CVE-2011-0411 and its kin).
    pub fn discard_buffered(&mut self) {
        self.buffer = BytesMut::new();
        self.reset();
        self.pending = None;
    }

    /// The next event. After an error the framer stays at it.
    pub fn next_event(&mut self) -> Result<FrameEvent, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
        }
        result
    }

    /// The next line, without its end and without looking for literals: for `DONE` of IDLE and for the answers within
    /// AUTHENTICATE. `None` when more bytes are needed. To be called between commands only.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let line = self.take_line().inspect_err(|&error| {
            self.failed = Some(error);
        })?;
        if line.is_some() {
            self.reset();
        }
        Ok(line)
    }

    fn advance(&mut self) -> Result<FrameEvent, FrameError> {
        loop {
            if let Some(PendingLiteral { size, binary }) = self.pending {
                if self.buffer.len() < size {
                    self.buffer.reserve(size - self.buffer.len());
                    return Ok(FrameEvent::NeedMore);
                }
                let data = self.buffer.split_to(size).freeze();
                self.parts.push(Part::Literal { data, binary });
                self.pending = None;
            }
            let Some(line) = self.take_line()? else {
                return Ok(FrameEvent::NeedMore);
            };
            let Some(header) = LiteralHeader::at_end_of(&line) else {
                self.parts.push(Part::Text(line));
                let parts = std::mem::take(&mut self.parts);
                self.reset();
                return Ok(FrameEvent::Command(Frame { parts }));
            };
            if let Some(event) = self.begin_literal(&line, header)? {
                return Ok(event);
            }
        }
    }

    /// The next line without its end. A bare LF ends a line too: some clients send it.
    fn take_line(&mut self) -> Result<Option<Bytes>, FrameError> {
        let found = self.buffer[self.scanned..].iter().position(|&b| b == b'\n').map(|at| self.scanned + at);
        let length = found.unwrap_or(self.buffer.len());
        if self.text_bytes + length > self.limits.line_max_bytes {
            return Err(FrameError::LineTooLong { limit_bytes: self.limits.line_max_bytes });
        }
        let Some(end) = found else {
            self.scanned = self.buffer.len();
            return Ok(None);
        };
        self.text_bytes += length;
        self.scanned = 0;
        let mut line = self.buffer.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }

    /// Takes up a literal: `Some` when the client must be told something first.
    fn begin_literal(&mut self, line: &Bytes, header: LiteralHeader) -> Result<Option<FrameEvent>, FrameError> {
        let text = line.slice(..header.start);
        self.parts.push(Part::Text(text));
        let is_message = is_append_message(&self.parts);
        let (used, limit_bytes) = if is_message {
            (&mut self.append_bytes, self.limits.append_max_bytes)
        } else {
            (&mut self.literal_bytes, self.limits.literal_max_bytes)
        };
        let total = used.saturating_add(header.size);
        let size = usize::try_from(header.size).ok();
        let Some(size) = size.filter(|_| total <= limit_bytes) else {
            let size_bytes = header.size;
            if header.synchronizing {
                let tag = recover_tag(&self.parts);
                self.reset();
                return Ok(Some(FrameEvent::Refused { tag, size_bytes, limit_bytes }));
            }
            return Err(FrameError::LiteralTooLarge { size_bytes, limit_bytes });
        };
        *used = total;
        if self.parts.len() / 2 >= self.limits.literals_max {
            return Err(FrameError::TooManyLiterals { limit: self.limits.literals_max });
        }
        self.pending = Some(PendingLiteral { size, binary: header.binary });
        Ok(header.synchronizing.then_some(FrameEvent::Continue))
    }

    fn reset(&mut self) {
        self.parts.clear();
        self.scanned = 0;
        self.text_bytes = 0;
        self.literal_bytes = 0;
        self.append_bytes = 0;
    }
}

/// `{n}`, `{n+}`, `~{n}` or `~{n+}` at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LiteralHeader {
    /// Where in the line it begins.
    start: usize,
    size: u64,
    synchronizing: bool,
    binary: bool,
}

impl LiteralHeader {
    fn at_end_of(line: &[u8]) -> Option<Self> {
        let inner = line.strip_suffix(b"}")?;
        let (digits, synchronizing) = match inner.strip_suffix(b"+") {
            Some(digits) => (digits, false),
            None => (inner, true),
        };
        let open = digits.iter().rposition(|b| !b.is_ascii_digit())?;
        let number = &digits[open + 1..];
        if digits[open] != b'{' || number.is_empty() {
            return None;
        }
        // A number that does not fit is a literal all the same, and too large for any limit.
        let size = number.iter().fold(0u64, |n, &b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')));
        let binary = open > 0 && digits[open - 1] == b'~';
        Some(Self { start: if binary { open - 1 } else { open }, size, synchronizing, binary })
    }
}

/// Is the literal that follows these parts the message of an APPEND? It is when the mailbox name went before.
fn is_append_message(parts: &[Part]) -> bool {
    let Some(Part::Text(first)) = parts.first() else {
        return false;
    };
    let mut words = first.splitn(3, |&b| b == b' ');
    let (Some(_), Some(name), Some(arguments)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    name.eq_ignore_ascii_case(b"APPEND") && (parts.len() > 1 || arguments.trim_ascii_start().contains(&b' '))
}

/// The tag of the command that these parts begin, when it has one.
pub(crate) fn recover_tag(parts: &[Part]) -> Option<Tag> {
    let Some(Part::Text(first)) = parts.first() else {
        return None;
    };
    let end = first.iter().position(|&b| b == b' ').unwrap_or(first.len());
    Tag::new(first.slice(..end))
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
