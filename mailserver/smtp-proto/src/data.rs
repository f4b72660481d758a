//! The message after `DATA`: dot-unstuffing, limits, and an end that cannot be smuggled.
//!
//! The message ends at CRLF `.` CRLF and at nothing that resembles it (RFC 5321 section 4.1.1.4). A
//! message that holds a bare LF or a bare CR is read to its real end and then refused: some
//! other program on its way might see an end of data where this one does not, and what follows
//! would be commands to it. A NUL is refused as well: RFC 5322 does not allow it and an IMAP
//! literal cannot carry it, so a message stored with one could not be shown as it is.

use bytes::{Buf as _, BytesMut};

use crate::reply::Reply;

/// Bounds of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLimits {
    /// Octets of a message after dot-unstuffing. Past it the rest is read, dropped and refused.
    pub message_max_bytes: u64,
    /// Octets of one line, CRLF included. RFC 5321 asks for 1000; real mail has longer ones,
    /// which are taken as they are up to this bound.
    pub line_max_bytes: usize,
    /// Octets read of one message in all. Past it the connection ends.
    pub discard_max_bytes: u64,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataFault {
    /// A line feed without a carriage return.
    #[error("message holds a bare LF; lines must end in CRLF")]
    BareLf,
    /// A carriage return without a line feed.
    #[error("message holds a bare CR; lines must end in CRLF")]
    BareCr,
    /// An octet of value 0.
    #[error("message holds a NUL octet")]
    Nul,
    /// More than [`DataLimits::message_max_bytes`].
    #[error("message is larger than the limit of this server")]
    TooLarge,
    /// A line above [`DataLimits::line_max_bytes`].
    #[error("message holds a line longer than the limit of this server")]
    LineTooLong,
    /// More `Received` fields than a message without a loop has.
    #[error("too many hops; mail loop")]
    TooManyHops,
    /// The server has no room for another message in memory now.
    #[error("too many messages are being received; try again later")]
    NoRoom,
}

impl DataFault {
    /// The reply to the message.
    pub fn reply(self) -> Reply {
        let (code, detail) = match self {
            Self::BareLf | Self::BareCr | Self::Nul | Self::LineTooLong => (550, (6, 0)),
            Self::TooLarge => (552, (3, 4)),
            Self::TooManyHops => (554, (4, 6)),
            Self::NoRoom => (452, (3, 1)),
        };
        Reply::new(code, detail, self.to_string())
    }
}

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataEnd {
    /// The message, dots unstuffed. Empty or ending in CRLF.
    Message(Vec<u8>),
    /// Read to its end and refused. The connection can go on.
    Refused(DataFault),
    /// No end within [`DataLimits::discard_max_bytes`]; the connection must end.
    Endless,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After CRLF, or at the start of the data.
    LineStart,
    InLine,
    /// After a CR inside a line.
    Cr,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot at the start of a line and a CR.
    DotCr,
}

/// Receives one message. What comes out does not depend on how the octets were cut into reads.
#[derive(Debug)]
pub struct DataReceiver {
    limits: DataLimits,
    at: At,
    body: Vec<u8>,
    size: u64,
    line_bytes: usize,
    consumed: u64,
    fault: Option<DataFault>,
}

impl DataReceiver {
    /// Starts after the CRLF of the `DATA` command.
    pub fn new(limits: DataLimits) -> Self {
        Self { limits, at: At::LineStart, body: Vec::new(), size: 0, line_bytes: 0, consumed: 0, fault: None }
    }

    /// Octets of the message that are held in memory now.
    pub fn held_bytes(&self) -> usize {
        self.body.len()
    }

    /// Refuses the message for `fault` (unless it is refused already) and drops what is held. The
    /// rest is still read to its end.
    pub fn refuse(&mut self, fault: DataFault) {
        self.fault.get_or_insert(fault);
        self.body = Vec::new();
    }

    /// Consumes from the front of `input` up to the end of the message and returns how it
    /// ended, or `None` when more octets are needed. Octets after the end stay in `input`.
    pub fn receive(&mut self, input: &mut BytesMut) -> Option<DataEnd> {
        let mut used = 0;
        let mut ended = false;
        while let Some(&byte) = input.get(used) {
            if self.at == At::InLine && !is_special(byte) {
                let run = input.get(used..).unwrap_or_default();
                let length = run.iter().position(|&byte| is_special(byte)).unwrap_or(run.len());
                self.store(run.get(..length).unwrap_or_default());
                used += length;
                continue;
            }
            used += 1;
            if self.on_byte(byte) {
                ended = true;
                break;
            }
        }
        input.advance(used);
        self.consumed = self.consumed.saturating_add(used as u64);
        if self.consumed > self.limits.discard_max_bytes {
            return Some(DataEnd::Endless);
        }
        ended.then(|| match self.fault {
            Some(fault) => DataEnd::Refused(fault),
            None => DataEnd::Message(std::mem::take(&mut self.body)),
        })
    }

    /// Goes on by one octet; true at the end of the message.
    fn on_byte(&mut self, byte: u8) -> bool {
        match (self.at, byte) {
            (At::DotCr, b'\n') => return true,
            (At::LineStart, b'.') => self.at = At::Dot,
            (At::Dot, b'\r') => self.at = At::DotCr,
            (At::Cr, b'\n') => {
                self.store(b"\r\n");
                self.line_bytes = 0;
                self.at = At::LineStart;
            }
            (At::Cr | At::DotCr, b'\r') => {
                self.refuse(DataFault::BareCr);
                self.at = At::Cr;
            }
            (At::Cr | At::DotCr, _) => {
                self.refuse(DataFault::BareCr);
                self.at = At::InLine;
                self.on_text(byte);
            }
            (At::LineStart | At::InLine, b'\r') => self.at = At::Cr,
            (At::LineStart | At::InLine | At::Dot, _) => {
                self.at = At::InLine;
                self.on_text(byte);
            }
        }
        false
    }

    fn on_text(&mut self, byte: u8) {
        match byte {
            b'\n' => self.refuse(DataFault::BareLf),
            0 => self.refuse(DataFault::Nul),
            _ => self.store(&[byte]),
        }
    }

    fn store(&mut self, octets: &[u8]) {
        self.size = self.size.saturating_add(octets.len() as u64);
        self.line_bytes = self.line_bytes.saturating_add(octets.len());
        // The bound that is exceeded by more was crossed first, whatever the size of the reads.
        let over_message = self.size.saturating_sub(self.limits.message_max_bytes);
        let over_line = self.line_bytes.saturating_sub(self.limits.line_max_bytes) as u64;
        if over_message > 0 && over_message >= over_line {
            self.refuse(DataFault::TooLarge);
        } else if over_line > 0 {
            self.refuse(DataFault::LineTooLong);
        }
        if self.fault.is_none() {
            self.body.extend_from_slice(octets);
        }
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Appends `message` in the form of a multi-line transfer (`DATA`, POP3 `RETR`): every line ends in CRLF,
/// a dot at the start of a line is doubled, and CRLF `.` CRLF ends it.
///
/// A bare LF in a stored message (IMAP APPEND can bring one) becomes CRLF, so that no reader can
/// take it for an end of line that was not stuffed.
pub fn write_stuffed(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(message.len() + message.len() / 64 + 5);
    let body = message.strip_suffix(b"\n").unwrap_or(message);
    if !message.is_empty() {
        for line in body.split(|&byte| byte == b'\n') {
            if line.first() == Some(&b'.') {
                out.push(b'.');
            }
            out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(b".\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_that_is_crossed_first_is_named_however_the_reads_are_cut() {
        let limits = DataLimits { message_max_bytes: 40, line_max_bytes: 30, discard_max_bytes: 1000 };
        let table =
            [("x".repeat(50), DataFault::LineTooLong), ("y\r\n".repeat(12) + &"x".repeat(50), DataFault::TooLarge)];
        for (text, want) in table {
            let wire = text + "\r\n.\r\n";
            for chunk in [1, 7, wire.len()] {
                let mut receiver = DataReceiver::new(limits);
                let mut input = BytesMut::new();
                let mut end = None;
                for part in wire.as_bytes().chunks(chunk) {
                    input.extend_from_slice(part);
                    end = end.or(receiver.receive(&mut input));
                }
                assert_eq!(end, Some(DataEnd::Refused(want)), "chunks of {chunk}");
            }
        }
    }
}
