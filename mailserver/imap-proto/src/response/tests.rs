#![allow(clippy::unwrap_used)]

use super::*;
use crate::parse::Problem;
use crate::types::{InternalDate, Keyword, MailboxNameError};

fn written(write: impl FnOnce(&mut ResponseBuffer)) -> String {
    let mut out = ResponseBuffer::new();
    write(&mut out);
    String::from_utf8(out.take().to_vec()).unwrap()
}

fn tag() -> Tag {
    Tag::new("a1").unwrap()
}

fn numbers(numbers: &[u32]) -> NumberSet {
    numbers.iter().copied().collect()
}

#[test]
fn status_responses() {
    assert_eq!(written(|out| out.tagged(&tag(), Status::Ok, None, "done")), "a1 OK done\r\n");
    assert_eq!(
        written(|out| out.tagged(&tag(), Status::No, Some(&Code::Unavailable), "later")),
        "a1 NO [UNAVAILABLE] later\r\n"
    );
    assert_eq!(written(|out| out.untagged(Status::Bad, None, "what?")), "* BAD what?\r\n");
    assert_eq!(written(|out| out.bye(None, "gone")), "* BYE gone\r\n");
    assert_eq!(
        written(|out| out.untagged(Status::Ok, None, "[x] a\r\nb \u{fc}")),
        "* OK (x] a  b ?\r\n",
        "text cannot break out of its line, nor be taken for a code"
    );
    assert_eq!(written(|out| out.untagged(Status::Ok, None, "")), "* OK .\r\n");
    assert_eq!(written(|out| out.continuation("go")), "+ go\r\n");
    assert_eq!(written(|out| out.challenge(b"")), "+ \r\n");
    assert_eq!(written(|out| out.challenge(b"x")), "+ eA==\r\n");
}

#[test]
fn errors() {
    let error = |tag: Option<Tag>, problem| ParseError { tag, problem };
    for (error, line) in [
        (error(Some(tag()), Problem::NoCommand), "a1 BAD command is missing\r\n"),
        (error(None, Problem::NoTag), "* BAD command has no tag\r\n"),
        (
            error(Some(tag()), Problem::Charset),
            "a1 NO [BADCHARSET (UTF-8 US-ASCII)] charset is not supported, use UTF-8\r\n",
        ),
        (error(Some(tag()), MailboxNameError::Empty.into()), "a1 NO [CANNOT] mailbox name is empty\r\n"),
    ] {
        assert_eq!(written(|out| out.parse_error(&error)), line);
    }
    assert_eq!(
        written(|out| out.refused(Some(&tag()), 10)),
        "a1 NO [TOOBIG] literal is larger than the 10 bytes allowed\r\n"
    );
    assert!(written(|out| out.refused(None, 10)).starts_with("* BAD [TOOBIG]"));
}

#[test]
fn codes() {
    let (source, target) = (numbers(&[1, 2, 3, 7]), numbers(&[10, 11, 12, 13]));
    let flags = [Flag::Seen, Flag::Keyword(Keyword::new(b"$x").unwrap())];
    for (code, text) in [
        (Code::ReadWrite, "READ-WRITE"),
        (Code::UidValidity(7), "UIDVALIDITY 7"),
        (Code::UidNext(8), "UIDNEXT 8"),
        (Code::Unseen(9), "UNSEEN 9"),
        (Code::HighestModSeq(10), "HIGHESTMODSEQ 10"),
        (Code::BadCharset, "BADCHARSET (UTF-8 US-ASCII)"),
        (Code::Capability(&["IMAP4rev1", "IDLE"]), "CAPABILITY IMAP4rev1 IDLE"),
        (Code::Modified(&source), "MODIFIED 1:3,7"),
        (Code::AppendUid { uid_validity: 5, uids: &numbers(&[9]) }, "APPENDUID 5 9"),
        (Code::CopyUid { uid_validity: 5, source: &source, target: &target }, "COPYUID 5 1:3,7 10:13"),
        (Code::PermanentFlags { flags: &flags, new_keywords: true }, "PERMANENTFLAGS (\\Seen $x \\*)"),
        (Code::PermanentFlags { flags: &[], new_keywords: false }, "PERMANENTFLAGS ()"),
    ] {
        let line = written(|out| out.untagged(Status::Ok, Some(&code), "x"));
        assert_eq!(line, format!("* OK [{text}] x\r\n"));
    }
}

#[test]
fn mailbox_data() {
    assert_eq!(written(|out| out.exists(3)), "* 3 EXISTS\r\n");
    assert_eq!(written(|out| out.recent(0)), "* 0 RECENT\r\n");
    assert_eq!(written(|out| out.expunge(4)), "* 4 EXPUNGE\r\n");
    assert_eq!(written(|out| out.vanished(false, &numbers(&[3, 4]))), "* VANISHED 3:4\r\n");
    assert_eq!(written(|out| out.vanished(true, &numbers(&[3]))), "* VANISHED (EARLIER) 3\r\n");
    assert_eq!(written(|out| out.vanished(true, &numbers(&[]))), "");
    assert_eq!(written(|out| out.flags(&[Flag::Seen, Flag::Draft])), "* FLAGS (\\Seen \\Draft)\r\n");
    assert_eq!(written(ResponseBuffer::namespace), "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    assert_eq!(written(ResponseBuffer::list_root), "* LIST (\\Noselect) \"/\" \"\"\r\n");
    assert_eq!(written(|out| out.capability(["IMAP4rev1", "IDLE"])), "* CAPABILITY IMAP4rev1 IDLE\r\n");
    let enabled = [EnableCapability::QResync, EnableCapability::Other("X".into()), EnableCapability::CondStore];
    assert_eq!(written(|out| out.enabled(&enabled)), "* ENABLED QRESYNC CONDSTORE\r\n");
    assert_eq!(written(|out| out.enabled(&[])), "* ENABLED\r\n");
    assert_eq!(written(|out| out.id(&[])), "* ID NIL\r\n");
    assert_eq!(
        written(|out| out.id(&[("name", Some("x\"y")), ("vendor", None)])),
        "* ID (\"name\" \"x\\\"y\" \"vendor\" NIL)\r\n"
    );
}

#[test]
fn lists_quote_names_as_they_need() {
    for (name, wire) in [
        ("a", "a"),
        ("nil", "\"nil\""),
        ("a b", "\"a b\""),
        ("a\"b\\c", "\"a\\\"b\\\\c\""),
        ("a]", "\"a]\""),
        ("100%", "\"100%\""),
        ("Entwürfe", "Entw&APw-rfe"),
        ("a & b", "\"a &- b\""),
    ] {
        let name = MailboxName::new(name).unwrap();
        let entry = ListEntry {
            name: &name,
            attributes: &[ListAttribute::HasNoChildren, ListAttribute::SpecialUse(SpecialUse::Junk)],
            child_info_subscribed: false,
        };
        let expected = format!("* LIST (\\HasNoChildren \\Junk) \"/\" {wire}\r\n");
        assert_eq!(written(|out| out.list(&entry)), expected);
        let status = [(StatusItem::Messages, 3), (StatusItem::HighestModSeq, 1 << 40)];
        let expected = format!("* STATUS {wire} (MESSAGES 3 HIGHESTMODSEQ 1099511627776)\r\n");
        assert_eq!(written(|out| out.status(&name, &status)), expected);
    }
    let entry = ListEntry { name: &MailboxName::inbox(), attributes: &[], child_info_subscribed: true };
    let expected = "* LSUB () \"/\" INBOX (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n";
    assert_eq!(written(|out| out.lsub(&entry)), expected);
}

#[test]
fn search_results() {
    assert_eq!(written(|out| out.search([2, 84, 882], None)), "* SEARCH 2 84 882\r\n");
    assert_eq!(written(|out| out.search([2], Some(917))), "* SEARCH 2 (MODSEQ 917)\r\n");
    assert_eq!(written(|out| out.search([], Some(917))), "* SEARCH\r\n");
    let all = SearchReturn { min: true, max: true, all: true, count: true };
    assert_eq!(
        written(|out| out.esearch(&tag(), true, all, &numbers(&[2, 3, 9]), Some(917))),
        "* ESEARCH (TAG \"a1\") UID MIN 2 MAX 9 ALL 2:3,9 COUNT 3 MODSEQ 917\r\n"
    );
    assert_eq!(
        written(|out| out.esearch(&tag(), false, all, &numbers(&[]), Some(917))),
        "* ESEARCH (TAG \"a1\") COUNT 0\r\n"
    );
    let min = SearchReturn { min: true, ..SearchReturn::default() };
    assert_eq!(
        written(|out| out.esearch(&tag(), false, min, &numbers(&[2, 3]), None)),
        "* ESEARCH (TAG \"a1\") MIN 2\r\n"
    );
}

#[test]
fn fetch_items() {
    let line = written(|out| {
        out.fetch(12, |items| {
            items.uid(5);
            items.flags(&[Flag::Seen], true);
            items.mod_seq(9);
            items.size(44);
            items.internal_date(InternalDate::from_unix_seconds(0));
            items.rfc822_header(Some(b"A: b\r\n\r\n"));
            items.rfc822_text(Some(b""));
            items.rfc822(None);
        });
    });
    assert_eq!(
        line,
        "* 12 FETCH (UID 5 FLAGS (\\Seen \\Recent) MODSEQ (9) RFC822.SIZE 44 INTERNALDATE \
         \"01-Jan-1970 00:00:00 +0000\" RFC822.HEADER {8}\r\nA: b\r\n\r\n RFC822.TEXT \"\" RFC822 NIL)\r\n"
    );
    assert_eq!(written(|out| out.fetch(1, |_| {})), "");
}

#[test]
fn sections_repeat_what_was_asked() {
    use crate::command::{FieldName, Partial, Section, SectionKind};
    let one = || vec![1.try_into().unwrap(), 2.try_into().unwrap()];
    let fields = vec![FieldName::new(b"From").unwrap(), FieldName::new(b"nil").unwrap()];
    for (section, text) in [
        (Section::whole(), ""),
        (Section::new(one(), SectionKind::Full).unwrap(), "1.2"),
        (Section::new(one(), SectionKind::Mime).unwrap(), "1.2.MIME"),
        (Section::new(vec![], SectionKind::Text).unwrap(), "TEXT"),
        (Section::new(one(), SectionKind::HeaderFields(fields.clone())).unwrap(), "1.2.HEADER.FIELDS (From \"nil\")"),
        (Section::new(vec![], SectionKind::HeaderFieldsNot(fields)).unwrap(), "HEADER.FIELDS.NOT (From \"nil\")"),
    ] {
        let line = written(|out| out.fetch(1, |items| items.section(&section, None, Some(b"x\0"))));
        assert_eq!(line, format!("* 1 FETCH (BODY[{text}] {{2}}\r\nx\0)\r\n"));
        let partial = Partial { first: 7, count: 9.try_into().unwrap() };
        let line = written(|out| out.fetch(1, |items| items.section(&section, Some(partial), None)));
        assert_eq!(line, format!("* 1 FETCH (BODY[{text}]<7> NIL)\r\n"));
    }
}

#[test]
fn strings_become_literals_where_they_must() {
    for (bytes, wire) in [
        (&b""[..], "\"\""),
        (b"a\tb", "\"a\tb\""),
        (b"a\"b\\", "\"a\\\"b\\\\\""),
        (b"a\r\nb", "{4}\r\na\r\nb"),
        ("\u{fc}".as_bytes(), "{2}\r\n\u{fc}"),
        (b"\x01", "{1}\r\n\x01"),
    ] {
        let mut buf = BytesMut::new();
        put_string(&mut buf, bytes);
        assert_eq!(buf, wire.as_bytes());
    }
    let mut buf = BytesMut::new();
    put_string(&mut buf, &[b'x'; 2000]);
    assert!(buf.starts_with(b"{2000}\r\n"));
}
