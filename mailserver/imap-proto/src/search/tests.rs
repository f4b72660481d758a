#![allow(clippy::unwrap_used)]

use super::*;
use crate::command::{Command, Search};
use crate::framing::{FrameEvent, FrameLimits, Framer};
use crate::parse::parse;
use crate::types::InternalDate;

/// A message that is known by its metadata.
struct Known {
    sequence: u32,
    uid: u32,
    flags: Vec<Flag>,
    recent: bool,
    date: InternalDate,
    size: u64,
    mod_seq: ModSeq,
}

impl SearchTarget for Known {
    fn sequence(&self) -> u32 {
        self.sequence
    }
    fn uid(&self) -> u32 {
        self.uid
    }
    fn has_flag(&self, flag: &Flag) -> bool {
        self.flags.contains(flag)
    }
    fn is_recent(&self) -> bool {
        self.recent
    }
    fn internal_date(&self) -> InternalDate {
        self.date
    }
    fn size(&self) -> u64 {
        self.size
    }
    fn mod_seq(&self) -> ModSeq {
        self.mod_seq
    }
}

fn known() -> Known {
    Known {
        sequence: 3,
        uid: 30,
        flags: vec![Flag::Seen, Flag::parse(b"$Work").unwrap()],
        recent: false,
        date: InternalDate::parse(b"15-Mar-2020 23:30:00 -0500").unwrap(),
        size: 1000,
        mod_seq: 77,
    }
}

fn program(text: &str) -> SearchProgram {
    let mut framer = Framer::new(FrameLimits::authenticated(0));
    framer.feed(format!("a SEARCH {text}\r\n").as_bytes());
    let Ok(FrameEvent::Command(frame)) = framer.next_event() else { panic!("{text}") };
    match parse(&frame).unwrap().command {
        Command::Search(Search { program, .. }) => program,
        other => panic!("{other:?}"),
    }
}

const MESSAGE: &str = "\
From: =?utf-8?Q?J=C3=BCrgen_Gro=C3=9F?= <juergen@example.org>\r
To: Bob <bob@example.org>\r
Subject: =?iso-8859-1?Q?Caf=E9?=\r
 =?utf-8?B?IGFtIE1vbnRhZw==?=\r
Date: Sun, 1 Mar 2020 00:30:00 +0200\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain; charset=iso-8859-15\r
Content-Transfer-Encoding: quoted-printable\r
\r
Der Preis: 5 =A4, in =\r
Stra=DFen\r
--b\r
Content-Type: text/html; charset=utf-8\r
Content-Transfer-Encoding: base64\r
\r
PGI+SMOkdXNlcjwvYj4=\r
--b\r
Content-Type: application/octet-stream\r
\r
not text\r
--b\r
Content-Type: text/plain; charset=iso-2022-jp\r
\r
\u{1b}$BF|K\\\u{1b}(B\r
--b\r
Content-Type: message/rfc822\r
\r
Subject: =?utf-8?Q?inn=C3=A9r?=\r
\r
deep text\r
--b--\r
";

fn matches(text: &str) -> bool {
    let program = program(text);
    let known = known();
    let message = MessageText::new(MESSAGE.as_bytes());
    let bound = program.bind(Some(9), Some(90));
    let found = bound.matches(&known, &message);
    // What can be said without the message is said rightly.
    if let Some(early) = bound.matches_without_message(&known) {
        assert_eq!(early, found, "{text}");
    } else {
        assert!(program.needs_message(), "{text}");
    }
    assert_eq!(program.bind(Some(9), Some(90)).matches(&known, &message), found);
    found
}

#[test]
fn metadata() {
    for (text, expected) in [
        ("ALL", true),
        ("SEEN", true),
        ("UNSEEN", false),
        ("KEYWORD $work", true),
        ("UNKEYWORD $WORK", false),
        ("KEYWORD other", false),
        ("RECENT", false),
        ("OLD", true),
        ("NEW", false),
        ("3", true),
        ("4:*", false),
        ("12:*", false),
        ("1,*", false),
        ("UID 30", true),
        ("UID 31:*", false),
        ("UID 1:*", true),
        ("LARGER 999", true),
        ("LARGER 1000", false),
        ("SMALLER 1000", false),
        ("SMALLER 1001", true),
        ("MODSEQ 77", true),
        ("MODSEQ 78", false),
        ("ON 15-Mar-2020", true),
        ("ON 16-Mar-2020", false),
        ("BEFORE 16-Mar-2020", true),
        ("BEFORE 15-Mar-2020", false),
        ("SINCE 15-Mar-2020", true),
        ("SINCE 16-Mar-2020", false),
        ("NOT (SEEN UNSEEN)", true),
        ("OR UNSEEN SEEN", true),
        ("OR UNSEEN FLAGGED", false),
        ("SEEN UNSEEN", false),
    ] {
        assert_eq!(matches(text), expected, "{text}");
        assert!(!program(text).needs_message());
    }
}

#[test]
fn headers_and_text() {
    for (text, expected) in [
        ("SENTON 1-Mar-2020", true),
        ("SENTBEFORE 1-Mar-2020", false),
        ("SENTSINCE 1-Mar-2020", true),
        ("SENTSINCE 2-Mar-2020", false),
        ("FROM \"JÜRGEN GROSS\"", true),
        ("FROM juergen@EXAMPLE", true),
        ("FROM bob", false),
        ("TO bob", true),
        ("CC bob", false),
        ("SUBJECT \"café am montag\"", true),
        ("SUBJECT iso-8859-1", true),
        ("HEADER Subject \"\"", true),
        ("HEADER X-None \"\"", false),
        ("HEADER content-type boundary", true),
        ("BODY \"5 €, in straßen\"", true),
        ("BODY STRASSEN", true),
        ("BODY \"häuser\"", true),
        ("BODY \"not text\"", false),
        ("BODY \"日本\"", true),
        ("BODY \"DEEP TEXT\"", true),
        ("BODY \"innér\"", true),
        ("BODY juergen", false),
        ("BODY \"\"", true),
        ("TEXT juergen", true),
        ("TEXT \"subject: café\"", true),
        ("TEXT deep", true),
        ("TEXT nowhere", false),
        ("NOT TEXT nowhere", true),
        ("OR TEXT nowhere SEEN", true),
        ("SEEN TO bob SUBJECT \"café\"", true),
    ] {
        assert_eq!(matches(text), expected, "{text}");
    }
}

#[test]
fn the_message_is_asked_for_only_when_it_matters() {
    let known = known();
    for (text, expected) in [
        ("UNSEEN BODY x", Some(false)),
        ("BODY x UNSEEN", Some(false)),
        ("SEEN BODY x", None),
        ("OR SEEN BODY x", Some(true)),
        ("OR BODY x SEEN", Some(true)),
        ("OR BODY x UNSEEN", None),
        ("NOT BODY x", None),
        ("NOT (UNSEEN BODY x)", Some(true)),
        ("SENTON 1-Mar-2020", None),
    ] {
        let program = program(text);
        let bound = program.bind(Some(9), Some(90));
        assert_eq!(bound.matches_without_message(&known), expected, "{text}");
    }
}

#[test]
fn what_a_program_needs() {
    assert!(program("OR ALL NOT (MODSEQ 5)").uses_mod_seq());
    assert!(!program("ALL").uses_mod_seq());
    assert_eq!(program("NOT (1:5 OR 7 UID 900)").max_sequence_number(), Some(7));
    assert_eq!(program("UID 900").max_sequence_number(), None);
}

#[test]
fn messages_without_what_is_looked_for() {
    let message = MessageText::new(b"");
    let known = known();
    for (text, expected) in [
        ("SENTON 1-Mar-2020", false),
        ("NOT SENTON 1-Mar-2020", true),
        ("SUBJECT x", false),
        ("BODY x", false),
        ("TEXT x", false),
        ("TEXT \"\"", true),
    ] {
        assert_eq!(program(text).bind(None, None).matches(&known, &message), expected, "{text}");
    }
    let odd = MessageText::new(b"Date: yesterday\r\nSubject: =?x?y?z?= \xff\r\n\r\n\xff\xfe x");
    assert!(program("BODY x").bind(None, None).matches(&known, &odd));
    assert!(program("SUBJECT \"=?x?\"").bind(None, None).matches(&known, &odd));
    assert!(!program("SENTSINCE 1-Jan-1970").bind(None, None).matches(&known, &odd));
}
