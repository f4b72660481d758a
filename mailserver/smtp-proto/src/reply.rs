//! SMTP replies (RFC 5321 section 4.2) with enhanced status codes (RFC 2034).

/// Octets of text on one reply line, so that with code and CRLF it stays within the 512 of RFC 5321
/// section 4.5.3.1.5.
pub const REPLY_TEXT_MAX_BYTES: usize = 480;

/// One reply, of one or more lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    detail: Option<(u16, u16)>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply of one line with an enhanced status code. Its class is the first digit of
    /// `code`, `subject_detail` are the other two numbers (RFC 3463): `new(550, (1, 1), …)` is
    /// `550 5.1.1 …`.
    pub fn new(code: u16, subject_detail: (u16, u16), text: impl Into<String>) -> Self {
        Self { code, detail: Some(subject_detail), lines: vec![text.into()] }
    }

    /// A reply without an enhanced status code: greetings, EHLO and 3yz replies have none.
    pub fn plain(code: u16, text: impl Into<String>) -> Self {
        Self { code, detail: None, lines: vec![text.into()] }
    }

    /// A reply of several lines without enhanced status codes. An empty list is one empty line.
    pub fn multi(code: u16, lines: Vec<String>) -> Self {
        let lines = if lines.is_empty() { vec![String::new()] } else { lines };
        Self { code, detail: None, lines }
    }

    /// The reply code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Whether it refuses (4yz or 5yz).
    pub fn is_refusal(&self) -> bool {
        self.code >= 400
    }

    /// Appends the reply in wire form. Octets that a reply line cannot hold become `?`, so no text
    /// can make a second reply; a long line is cut at [`REPLY_TEXT_MAX_BYTES`].
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (number, line) in self.lines.iter().enumerate() {
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if number == last { b' ' } else { b'-' });
            if let Some((subject, detail)) = self.detail {
                let class = self.code / 100;
                out.extend_from_slice(format!("{class}.{subject}.{detail} ").as_bytes());
            }
            let printable = |byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' };
            out.extend(line.bytes().take(REPLY_TEXT_MAX_BYTES).map(printable));
            out.extend_from_slice(b"\r\n");
        }
    }

    /// The reply in wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_to(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms() {
        let table: [(Reply, &[u8]); 5] = [
            (Reply::new(250, (1, 0), "ok"), b"250 2.1.0 ok\r\n"),
            (Reply::plain(354, "go on"), b"354 go on\r\n"),
            (Reply::multi(250, vec!["a".into(), "b".into(), "c".into()]), b"250-a\r\n250-b\r\n250 c\r\n"),
            (Reply::multi(250, vec![]), b"250 \r\n"),
            (Reply::plain(250, "x\r\n250 y\u{e9}"), b"250 x??250 y??\r\n"),
        ];
        for (reply, want) in table {
            assert_eq!(reply.to_bytes(), want);
        }
    }

    #[test]
    fn a_line_stays_within_512_octets() {
        let reply = Reply::new(550, (999, 999), "x".repeat(2000));
        assert!(reply.to_bytes().len() <= 512);
    }
}
