//! Messages as they are sent, and as they come back.

/// The message without what a receiving server wrote in front of it (RFC 5321 section 4.4).
pub fn without_trace(message: &[u8]) -> &[u8] {
    let mut rest = message;
    while let Some(after) = trace_field(rest) {
        rest = after;
    }
    rest
}

/// What follows the first field, if that is a trace field.
fn trace_field(message: &[u8]) -> Option<&[u8]> {
    let is_trace = ["return-path:", "received:"]
        .iter()
        .any(|name| message.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name.as_bytes())));
    if !is_trace {
        return None;
    }
    let mut at = 0;
    loop {
        at += message[at..].windows(2).position(|pair| pair == b"\r\n")? + 2;
        if !matches!(message.get(at), Some(b' ' | b'\t')) {
            return Some(&message[at..]);
        }
    }
}

/// A message of about `size_bytes` that nobody else has written: its subject is `marker`.
pub fn message(marker: &str, size_bytes: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Load <load@sender.example>\r\nTo: Bob <bob@office.example>\r\nSubject: {marker}\r\n\
         Message-ID: <{marker}@sender.example>\r\n\r\n{marker}\r\n. a line that begins with a dot\r\n"
    );
    while text.len() < size_bytes {
        text += "The quick brown fox jumps over the lazy dog and runs on into the wood.\r\n";
    }
    text.into_bytes()
}

/// The subject of a message.
pub fn subject(message: &[u8]) -> Option<&str> {
    let text = message.split(|byte| *byte == b'\n').take_while(|line| !matches!(line, [] | [b'\r']));
    let found = text.into_iter().find_map(|line| line.strip_prefix(b"Subject: "));
    found.and_then(|subject| std::str::from_utf8(subject).ok()).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_trace_in_front_is_taken_off() {
        let sent = message("m-1", 300);
        let mut received = b"Return-Path: <a@b>\r\nReceived: from x\r\n\tby y\r\n\tfor z; now\r\n".to_vec();
        received.extend_from_slice(&sent);
        assert_eq!(without_trace(&received), sent);
        let forwarded = b"From: a\r\nReceived: from elsewhere\r\n\r\n";
        assert_eq!(without_trace(forwarded), forwarded);
        assert_eq!(subject(&received), Some("m-1"));
        assert_eq!(subject(b"From: x\r\n\r\nSubject: y\r\n"), None);
    }
}
