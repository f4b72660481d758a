//! Strings, flags and numbers on the wire.

use std::fmt::{self, Write as _};

use bytes::BytesMut;

use crate::types::{Flag, MailboxName, NumberSet, is_atom_char};

/// Longer strings are sent as literals even if they could be quoted: some clients bound their lines.
const QUOTED_MAX_BYTES: usize = 1024;

pub(super) fn put_format(buf: &mut BytesMut, arguments: fmt::Arguments<'_>) {
    // Writing into a BytesMut cannot fail: it grows.
    let _ = buf.write_fmt(arguments);
}

/// Human text: one line of printable ASCII, never empty, not beginning with `[`.
pub(super) fn put_text(buf: &mut BytesMut, text: &str) {
    let before = buf.len();
    for c in text.chars() {
        buf.extend_from_slice(&[match c {
            '[' if buf.len() == before => b'(',
            ' '..='~' => u8::try_from(c).unwrap_or(b'?'),
            c if c.is_control() => b' ',
            _ => b'?',
        }]);
    }
    if buf.len() == before {
        buf.extend_from_slice(b".");
    }
}

/// A quoted string where that can be, else a literal. NUL goes into the literal as it is: see
/// [`crate::message`] on why bytes are not changed.
pub(super) fn put_string(buf: &mut BytesMut, bytes: &[u8]) {
    let quotable = bytes.len() <= QUOTED_MAX_BYTES && bytes.iter().all(|&b| b == b'\t' || (b' '..=b'~').contains(&b));
    if !quotable {
        put_literal(buf, bytes);
        return;
    }
    buf.extend_from_slice(b"\"");
    for &byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            buf.extend_from_slice(b"\\");
        }
        buf.extend_from_slice(&[byte]);
    }
    buf.extend_from_slice(b"\"");
}

pub(super) fn put_literal(buf: &mut BytesMut, bytes: &[u8]) {
    buf.reserve(bytes.len() + 24);
    put_format(buf, format_args!("{{{}}}\r\n", bytes.len()));
    buf.extend_from_slice(bytes);
}

pub(super) fn put_nstring(buf: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_string(buf, bytes),
        None => buf.extend_from_slice(b"NIL"),
    }
}

/// An atom where that can be (and cannot be taken for NIL), else a string.
pub(super) fn put_astring(buf: &mut BytesMut, bytes: &[u8]) {
    let atom = !bytes.is_empty() && bytes.iter().all(|&b| is_atom_char(b)) && !bytes.eq_ignore_ascii_case(b"NIL");
    if atom {
        buf.extend_from_slice(bytes);
    } else {
        put_string(buf, bytes);
    }
}

pub(super) fn put_mailbox(buf: &mut BytesMut, mailbox: &MailboxName) {
    put_astring(buf, mailbox.to_wire().as_bytes());
}

/// `(\Seen $Forwarded)`, and something more at the end perhaps.
pub(super) fn put_flags(buf: &mut BytesMut, flags: &[Flag], more: Option<&str>) {
    buf.extend_from_slice(b"(");
    for (index, flag) in flags.iter().map(Flag::as_str).chain(more).enumerate() {
        if index > 0 {
            buf.extend_from_slice(b" ");
        }
        buf.extend_from_slice(flag.as_bytes());
    }
    buf.extend_from_slice(b")");
}

pub(super) fn number_set(buf: &mut BytesMut, set: &NumberSet) {
    put_format(buf, format_args!("{set}"));
}
