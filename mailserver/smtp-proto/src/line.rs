//! Cutting the octets of a connection into command lines.
//!
//! A line ends in CRLF and in nothing else (RFC 5321 section 2.3.8). A receiver that also takes a
//! bare LF sees other commands than the relay before it did; that difference is what SMTP smuggling
//! uses. A line with a bare LF or a bare CR is therefore a [`LineFault`], and sessions end on it.

use bytes::BytesMut;

/// Why the octets up to here are not a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// The line, CRLF included, is longer than the limit. It has been discarded up to its CRLF;
    /// the next line can be read.
    #[error("line is longer than the limit")]
    TooLong,
    /// A line feed without a carriage return before it.
    #[error("bare LF; lines must end in CRLF")]
    BareLf,
    /// A carriage return without a line feed after it.
    #[error("bare CR; lines must end in CRLF")]
    BareCr,
    /// So much was discarded in search of the CRLF that the search was given up.
    #[error("no end of line within the discard limit")]
    Endless,
}

impl LineFault {
    /// Whether the connection can go on with the next line.
    pub fn is_recoverable(self) -> bool {
        matches!(self, Self::TooLong)
    }
}

/// An incremental line framer. What it returns does not depend on how the octets were cut into
/// reads.
#[derive(Debug)]
pub struct LineFramer {
    discard_max_bytes: usize,
    /// Octets of the current line that were looked at, those already discarded included.
    length: usize,
    /// How many of them are still at the front of the input buffer.
    scanned: usize,
    after_cr: bool,
}

impl LineFramer {
    /// A framer that gives up on a line after `discard_max_bytes` octets.
    pub fn new(discard_max_bytes: usize) -> Self {
        Self { discard_max_bytes, length: 0, scanned: 0, after_cr: false }
    }

    /// Takes the next line from the front of `input` and returns it without its CRLF, or `None`
    /// when more octets are needed.
    ///
    /// `line_max_bytes` counts the CRLF. It must stay the same while a line is incomplete.
    pub fn next_line(&mut self, input: &mut BytesMut, line_max_bytes: usize) -> Option<Result<Vec<u8>, LineFault>> {
        while let Some(&byte) = input.get(self.scanned) {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            self.scanned += 1;
            self.length += 1;
            match (after_cr, byte) {
                (true, b'\n') => return Some(self.finish(input, line_max_bytes)),
                (true, _) => return Some(Err(self.drop_line(input, LineFault::BareCr))),
                (false, b'\n') => return Some(Err(self.drop_line(input, LineFault::BareLf))),
                (false, _) => {}
            }
            if self.length > self.discard_max_bytes.max(line_max_bytes) {
                return Some(Err(self.drop_line(input, LineFault::Endless)));
            }
        }
        if self.length > line_max_bytes {
            input.clear();
            self.scanned = 0;
        }
        None
    }

    /// Forgets a partly read line. To be used with a cleared input buffer (STARTTLS).
    pub fn reset(&mut self) {
        self.length = 0;
        self.scanned = 0;
        self.after_cr = false;
    }

    fn finish(&mut self, input: &mut BytesMut, line_max_bytes: usize) -> Result<Vec<u8>, LineFault> {
        if self.length > line_max_bytes {
            return Err(self.drop_line(input, LineFault::TooLong));
        }
        let mut line = input.split_to(self.scanned).to_vec();
        line.truncate(line.len().saturating_sub(2));
        self.reset();
        Ok(line)
    }

    fn drop_line(&mut self, input: &mut BytesMut, fault: LineFault) -> LineFault {
        let _dropped = input.split_to(self.scanned);
        self.reset();
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines = Vec<Result<Vec<u8>, LineFault>>;

    fn frame(input: &[u8], chunk: usize, line_max_bytes: usize) -> Lines {
        let mut framer = LineFramer::new(64);
        let mut buffer = BytesMut::new();
        let mut lines = Vec::new();
        for part in input.chunks(chunk) {
            buffer.extend_from_slice(part);
            while let Some(line) = framer.next_line(&mut buffer, line_max_bytes) {
                lines.push(line);
            }
        }
        lines
    }

    #[test]
    fn lines_end_in_crlf_only() {
        let table: [(&[u8], Lines); 7] = [
            (b"NOOP\r\n", vec![Ok(b"NOOP".to_vec())]),
            (b"\r\n", vec![Ok(vec![])]),
            (b"A\r\nB\r\nC", vec![Ok(b"A".to_vec()), Ok(b"B".to_vec())]),
            (b"A\nB\r\n", vec![Err(LineFault::BareLf), Ok(b"B".to_vec())]),
            (b"A\rB\r\n", vec![Err(LineFault::BareCr), Ok(vec![])]),
            (b"123456789\r\nB\r\n", vec![Err(LineFault::TooLong), Ok(b"B".to_vec())]),
            (b"12345678\r\n", vec![Ok(b"12345678".to_vec())]),
        ];
        for (input, want) in table {
            for chunk in 1..=input.len() {
                assert_eq!(frame(input, chunk, 10), want, "{input:?} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn the_search_for_an_end_is_bounded() {
        let endless = vec![b'x'; 65];
        assert_eq!(frame(&endless, 7, 10), vec![Err(LineFault::Endless)]);
        assert_eq!(frame(&endless[..64], 7, 10), vec![]);
    }

    #[test]
    fn discarded_octets_are_not_kept() {
        let mut framer = LineFramer::new(1 << 20);
        let mut buffer = BytesMut::from(&[b'x'; 5000][..]);
        assert_eq!(framer.next_line(&mut buffer, 100), None);
        assert!(buffer.is_empty());
    }
}
