//! POP3 responses in wire form (RFC 1939 section 3).

use crate::data::write_stuffed;

/// Octets of a status line's text, so that it stays within the 512 of RFC 1939 section 3.
const TEXT_MAX_BYTES: usize = 480;

/// A status line: `+OK text` or `-ERR text`. Octets that it cannot hold become `?`.
pub fn status_line(positive: bool, text: &str) -> Vec<u8> {
    let mut line: Vec<u8> = if positive { b"+OK ".to_vec() } else { b"-ERR ".to_vec() };
    line.extend(text.bytes().take(TEXT_MAX_BYTES).map(|byte| match byte {
        b' '..=b'~' => byte,
        _ => b'?',
    }));
    line.extend_from_slice(b"\r\n");
    line
}

/// `+OK text` followed by a multi-line body, stuffed and ended.
pub fn multi_line(text: &str, body: &[u8]) -> Vec<u8> {
    let mut out = status_line(true, text);
    write_stuffed(body, &mut out);
    out
}

/// What `TOP` shows of a message: its header, the empty line and `lines` lines of its body.
pub fn top(message: &[u8], lines: u32) -> &[u8] {
    let mut end = 0;
    let mut in_body = false;
    let mut left = lines;
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if in_body {
            if left == 0 {
                break;
            }
            left -= 1;
        } else {
            in_body = matches!(line, b"\r\n" | b"\n");
        }
        end += line.len();
    }
    message.get(..end).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_shows_the_header_and_some_lines() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
        assert_eq!(top(message, 0), b"A: 1\r\nB: 2\r\n\r\n");
        assert_eq!(top(message, 2), b"A: 1\r\nB: 2\r\n\r\none\r\n\r\n");
        assert_eq!(top(message, 9), message);
        assert_eq!(top(b"A: 1\r\n", 3), b"A: 1\r\n");
    }

    #[test]
    fn bodies_are_stuffed_and_ended() {
        let table: [(&[u8], &[u8]); 6] = [
            (b"", b"+OK x\r\n.\r\n"),
            (b"a\r\n", b"+OK x\r\na\r\n.\r\n"),
            (b"a", b"+OK x\r\na\r\n.\r\n"),
            (b".\r\n..\r\n", b"+OK x\r\n..\r\n...\r\n.\r\n"),
            (b"a\n.\nb", b"+OK x\r\na\r\n..\r\nb\r\n.\r\n"),
            (b"\r\n", b"+OK x\r\n\r\n.\r\n"),
        ];
        for (body, want) in table {
            assert_eq!(multi_line("x", body), want);
        }
    }
}
