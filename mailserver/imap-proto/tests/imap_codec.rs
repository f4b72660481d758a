//! imap-codec, an independent implementation, as the oracle.
//!
//! Commands: what it understands and we understand must be the same. It is compared by letting it write down what it
//! understood: parsing that must give what we understood ourselves.
//!
//! Responses: it must understand what we write, all of it, and write the same bytes again.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use imap_codec::decode::Decoder;
use imap_codec::encode::Encoder;
use imap_codec::{CommandCodec, GreetingCodec, ResponseCodec};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use mailmirror_imap_proto::command::{EnableCapability, FieldName, Partial, Request, Section, SectionKind, StatusItem};
use mailmirror_imap_proto::framing::{FrameEvent, FrameLimits, Framer};
use mailmirror_imap_proto::message::MessageView;
use mailmirror_imap_proto::parse::{ParseError, parse};
use mailmirror_imap_proto::response::{Code, ListAttribute, ListEntry, ResponseBuffer, Status};
use mailmirror_imap_proto::types::{Flag, InternalDate, Keyword, MailboxName, NumberSet, SpecialUse, Tag};

fn ours(bytes: &[u8]) -> Result<Request, ParseError> {
    let mut framer = Framer::new(FrameLimits::authenticated(10_000));
    framer.feed(bytes);
    loop {
        match framer.next_event().unwrap() {
            FrameEvent::Command(frame) => return parse(&frame),
            FrameEvent::Continue => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What imap-codec understands, written down again.
fn theirs(bytes: &[u8]) -> Option<Vec<u8>> {
    let codec = CommandCodec::default();
    let (rest, command) = codec.decode(bytes).ok()?;
    assert!(rest.is_empty());
    Some(codec.encode(&command).dump())
}

fn assert_same(line: &str) {
    let bytes = format!("{line}\r\n").into_bytes();
    let theirs = theirs(&bytes).unwrap_or_else(|| panic!("imap-codec refuses {line}"));
    let mine = ours(&bytes).unwrap_or_else(|e| panic!("{line}: {e}"));
    assert_eq!(ours(&theirs).unwrap(), mine, "{line}");
}

#[test]
fn shared_commands() {
    for line in [
        "CAPABILITY",
        "NOOP",
        "LOGOUT",
        "AUTHENTICATE PLAIN",
        "AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=",
        "AUTHENTICATE LOGIN =",
        "LOGIN bob secret",
        "LOGIN \"b \\\"o\" {3}\r\nx y",
        "LOGIN {3+}\r\nbob {0+}\r\n",
        "SELECT inbox",
        "SELECT \"a b\"",
        "EXAMINE Entw&APw-rfe",
        "SELECT x (CONDSTORE)",
        "SELECT x (QRESYNC (67890007 20050715194045000))",
        "SELECT x (QRESYNC (67890007 90060115194045000 41:211,214:541))",
        "SELECT x (QRESYNC (67890007 90060115205545359 1:29997 (5000,7500,9000 15000,22500,27000)))",
        "CREATE a/b",
        "DELETE x",
        "RENAME a b",
        "SUBSCRIBE x",
        "UNSUBSCRIBE x",
        "LIST \"\" *",
        "LIST a/ %",
        "LSUB \"\" \"*\"",
        "NAMESPACE",
        "STATUS x (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)",
        "STATUS x (HIGHESTMODSEQ SIZE)",
        "APPEND x {3}\r\na\r\n",
        "APPEND x (\\Seen $y) {0+}\r\n",
        "APPEND x (\\Seen) \" 7-Feb-1994 21:52:25 -0800\" {5+}\r\nhello",
        "IDLE",
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "EXPUNGE",
        "UID EXPUNGE 3000:3002",
        "ENABLE CONDSTORE QRESYNC",
        "ID NIL",
        "ID (\"name\" \"x\" \"version\" NIL)",
        "COPY 2:4 x",
        "UID COPY 1,3,* x",
        "MOVE 1 x",
        "UID MOVE 42:69 x",
        "STORE 2:4 +FLAGS (\\Deleted)",
        "STORE 1 -FLAGS.SILENT \\Seen",
        "UID STORE 1:* FLAGS ()",
        "STORE 7 (UNCHANGEDSINCE 320162338) +FLAGS (\\Seen)",
        "FETCH 1 ALL",
        "FETCH 1 FAST",
        "FETCH 1 FULL",
        "FETCH 1:* (FLAGS UID)",
        "UID FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)",
        "UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
        "FETCH 1 (BODY BODYSTRUCTURE RFC822.SIZE ENVELOPE)",
        "FETCH 1 BODY[]",
        "FETCH 1 BODY.PEEK[1.2.MIME]<0.512>",
        "FETCH 1 (BODY[HEADER.FIELDS (FROM \"To\")] MODSEQ)",
        "FETCH 1 BODY[2.HEADER.FIELDS.NOT (X-A)]",
        "FETCH 1 (RFC822 RFC822.HEADER RFC822.TEXT INTERNALDATE)",
        "SEARCH ALL",
        "SEARCH 1:3 UNSEEN",
        "SEARCH CHARSET UTF-8 OR FROM a TO {2}\r\nb ",
        "UID SEARCH UID 5:* NOT DELETED",
        "SEARCH MODSEQ 620162338",
        "SEARCH HEADER X-A \"\" (BODY x TEXT y) KEYWORD $z",
        "SEARCH BEFORE 1-Feb-1994 LARGER 5",
    ] {
        assert_same(&format!("a1 {line}"));
    }
}

fn atom() -> impl Strategy<Value = String> {
    "[a-zA-Z$][a-zA-Z0-9$_.-]{0,5}"
}

fn astring() -> impl Strategy<Value = String> {
    prop_oneof![
        atom(),
        "[ -!#-\\[\\]-~]{0,6}".prop_map(|text| format!("\"{text}\"")),
        Just("\"a\\\"b\\\\\"".to_owned()),
        "[ -~]{0,6}".prop_map(|text| format!("{{{}}}\r\n{text}", text.len())),
    ]
}

fn mailbox() -> impl Strategy<Value = String> {
    select(vec!["INBOX", "inbox", "a/b", "\"a b\"", "{3}\r\nxyz", "&AOQ-", "\"&-\""]).prop_map(str::to_owned)
}

/// As few ranges as can be, in ascending order: imap-codec would make it so.
fn sequence_set() -> impl Strategy<Value = String> {
    let end = select(vec!["", ",50", ",50:*", ",*"]);
    (vec(1u32..40, 1..8), end).prop_map(|(numbers, end)| {
        let numbers: NumberSet = numbers.into_iter().collect();
        format!("{numbers}{end}")
    })
}

fn flags() -> impl Strategy<Value = String> {
    let flag = prop_oneof![
        select(vec!["\\Seen", "\\Deleted", "\\flagged", "\\Draft", "\\Answered"]).prop_map(str::to_owned),
        atom()
    ];
    vec(flag, 0..4).prop_map(|flags| format!("({})", flags.join(" ")))
}

fn fetch_item() -> impl Strategy<Value = String> {
    let section = prop_oneof![
        select(vec!["", "HEADER", "TEXT", "1", "1.2", "3.MIME", "2.1.HEADER", "4.TEXT"]).prop_map(str::to_owned),
        vec(atom(), 1..3).prop_map(|names| format!("HEADER.FIELDS ({})", names.join(" "))),
        vec(atom(), 1..3).prop_map(|names| format!("1.HEADER.FIELDS.NOT ({})", names.join(" "))),
    ];
    prop_oneof![
        select(vec![
            "ENVELOPE",
            "FLAGS",
            "INTERNALDATE",
            "RFC822",
            "RFC822.HEADER",
            "RFC822.SIZE",
            "RFC822.TEXT",
            "BODY",
            "BODYSTRUCTURE",
            "UID",
            "MODSEQ"
        ])
        .prop_map(str::to_owned),
        (select(vec!["BODY", "BODY.PEEK"]), section, select(vec!["", "<0.1>", "<7.100>"]))
            .prop_map(|(body, section, partial)| format!("{body}[{section}]{partial}")),
    ]
}

fn search_key() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec![
            "ALL",
            "ANSWERED",
            "DELETED",
            "DRAFT",
            "FLAGGED",
            "NEW",
            "OLD",
            "RECENT",
            "SEEN",
            "UNANSWERED",
            "UNDELETED",
            "UNDRAFT",
            "UNFLAGGED",
            "UNSEEN",
            "BEFORE 1-Feb-1994",
            "ON \"2-Mar-2020\"",
            "SINCE 29-Feb-2020",
            "SENTBEFORE 1-Jan-2000",
            "SENTON 1-Jan-2000",
            "SENTSINCE 1-Jan-2000",
            "LARGER 5",
            "SMALLER 4294967295",
            "MODSEQ 7",
        ])
        .prop_map(str::to_owned),
        sequence_set(),
        sequence_set().prop_map(|set| format!("UID {set}")),
        (select(vec!["BCC", "BODY", "CC", "FROM", "SUBJECT", "TEXT", "TO"]), astring())
            .prop_map(|(key, text)| format!("{key} {text}")),
        (atom(), astring()).prop_map(|(field, text)| format!("HEADER {field} {text}")),
        (select(vec!["KEYWORD", "UNKEYWORD"]), atom()).prop_map(|(key, name)| format!("{key} {name}")),
    ];
    leaf.prop_recursive(3, 12, 3, |key| {
        prop_oneof![
            key.clone().prop_map(|key| format!("NOT {key}")),
            (key.clone(), key.clone()).prop_map(|(a, b)| format!("OR {a} {b}")),
            vec(key, 1..4).prop_map(|keys| format!("({})", keys.join(" "))),
        ]
    })
}

fn command() -> impl Strategy<Value = String> {
    let uid = || select(vec!["", "UID "]);
    prop_oneof![
        (uid(), sequence_set(), vec(fetch_item(), 1..4))
            .prop_map(|(uid, set, items)| format!("{uid}FETCH {set} ({})", items.join(" "))),
        (uid(), vec(search_key(), 1..4)).prop_map(|(uid, keys)| format!("{uid}SEARCH {}", keys.join(" "))),
        (uid(), sequence_set(), select(vec!["", "+", "-"]), select(vec!["", ".SILENT"]), flags())
            .prop_map(|(uid, set, sign, silent, flags)| format!("{uid}STORE {set} {sign}FLAGS{silent} {flags}")),
        (uid(), select(vec!["COPY", "MOVE"]), sequence_set(), mailbox())
            .prop_map(|(uid, verb, set, to)| format!("{uid}{verb} {set} {to}")),
        (mailbox(), flags(), "[ -~]{0,9}")
            .prop_map(|(to, flags, text)| format!("APPEND {to} {flags} {{{}}}\r\n{text}", text.len())),
        (select(vec!["SELECT", "EXAMINE", "CREATE", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE"]), mailbox())
            .prop_map(|(verb, name)| format!("{verb} {name}")),
        (mailbox(), mailbox()).prop_map(|(from, to)| format!("RENAME {from} {to}")),
        (astring(), astring()).prop_map(|(user, password)| format!("LOGIN {user} {password}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn commands_of_the_shared_grammar(command in command()) {
        assert_same(&format!("a1 {command}"));
    }
}

/// Lets imap-codec read all responses in the buffer, and write them again.
fn assert_understood(out: &mut ResponseBuffer) {
    let bytes = out.take();
    let mut rest = &bytes[..];
    let codec = ResponseCodec::default();
    let mut again = Vec::new();
    while !rest.is_empty() {
        let (tail, response) =
            codec.decode(rest).unwrap_or_else(|e| panic!("{e:?}: {}", String::from_utf8_lossy(rest)));
        again.extend(codec.encode(&response).dump());
        rest = tail;
    }
    // It writes media types in upper case.
    assert_eq!(
        String::from_utf8_lossy(&again).to_ascii_lowercase(),
        String::from_utf8_lossy(&bytes).to_ascii_lowercase()
    );
}

#[test]
fn status_responses_are_understood() {
    let set: NumberSet = [1, 2, 3, 9].into_iter().collect();
    let flags = [Flag::Seen, Flag::Keyword(Keyword::new(b"$x").unwrap())];
    let tag = Tag::new("a1").unwrap();
    let mut out = ResponseBuffer::new();
    for code in [
        Code::Alert,
        Code::AlreadyExists,
        Code::AppendUid { uid_validity: 7, uids: &set },
        Code::AuthenticationFailed,
        Code::Cannot,
        Code::Capability(&["IMAP4REV1", "IDLE", "LITERAL+"]),
        Code::Closed,
        Code::CopyUid { uid_validity: 7, source: &set, target: &set },
        Code::HighestModSeq(99),
        Code::Limit,
        Code::Modified(&set),
        Code::NoModSeq,
        Code::NonExistent,
        Code::OverQuota,
        Code::PermanentFlags { flags: &flags, new_keywords: true },
        Code::ReadOnly,
        Code::ReadWrite,
        Code::TooBig,
        Code::TryCreate,
        Code::UidNext(1),
        Code::UidNotSticky,
        Code::UidValidity(u32::MAX),
        Code::Unavailable,
        Code::UnknownCte,
        Code::Unseen(3),
    ] {
        out.tagged(&tag, Status::Ok, Some(&code), "text");
        out.untagged(Status::No, Some(&code), "text");
        out.bye(Some(&code), "text");
        out.tagged(&tag, Status::Bad, None, "te[x]t");
        assert_understood(&mut out);
    }
    out.continuation("go on");
    assert_understood(&mut out);
    out.untagged(Status::Ok, Some(&Code::Capability(&["IMAP4REV1"])), "hello");
    let greeting = out.take();
    assert!(GreetingCodec::default().decode(&greeting).unwrap().0.is_empty());
}

#[test]
fn data_responses_are_understood() {
    let set: NumberSet = [1, 2, 3, 9].into_iter().collect();
    let mut out = ResponseBuffer::new();
    out.capability(["IMAP4REV1", "IDLE", "CONDSTORE"]);
    out.enabled(&[EnableCapability::CondStore, EnableCapability::QResync]);
    out.exists(0);
    out.recent(u32::MAX);
    out.expunge(1);
    out.vanished(false, &set);
    out.vanished(true, &set);
    out.flags(&Flag::SYSTEM);
    out.namespace();
    out.id(&[]);
    out.id(&[("name", Some("mail\"mirror")), ("vendor", None)]);
    out.search([1, 2, 3], None);
    out.search([], None);
    out.search([7], Some(917));
    assert_understood(&mut out);
}

fn message_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        select(vec![
            "Content-Type: multipart/mixed; boundary=x",
            "Content-Type: message/rfc822",
            "Content-Type: text/html; a=\"b\\\"c\"",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "--x",
            "--x--",
            "--x\r\n\r\n",
            ";",
            "=",
            "\"",
            "(",
            ")",
            "\\",
            "<",
            ">",
            "@",
            ",",
            ":",
            "To: ",
            "From: a <b@c>",
            "Cc: g: a@b;",
            "Subject: x",
            "Date: ",
            "Content-Disposition: attachment; filename*=x",
            "Content-Language: en, de",
            "Content-Language: en",
            "Content-ID: <x>",
            "Content-MD5: x",
            "Content-Location: y",
            "Content-Transfer-Encoding: base64",
            "a",
            " ",
            "\t",
            "[",
            "ü",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        // NUL has no place in its grammar.
        vec(1u8.., 0..4),
    ]
}

fn name() -> impl Strategy<Value = MailboxName> {
    "[^/\\p{C}]{1,8}(/[^/\\p{C}]{1,4})?".prop_map(|name| MailboxName::new(&name).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn messages_are_understood(words in vec(message_word(), 0..40)) {
        let raw = words.concat();
        let view = MessageView::new(&raw);
        let mut out = ResponseBuffer::new();
        out.fetch(1, |items| {
            items.envelope(&view.envelope());
            items.uid(7);
        });
        out.fetch(1, |items| items.body(&view.body_structure()));
        out.fetch(1, |items| items.body_structure(&view.body_structure()));
        assert_understood(&mut out);
    }

    #[test]
    fn names_are_understood(name in name(), child_info in Just(false)) {
        let mut out = ResponseBuffer::new();
        let entry = ListEntry {
            name: &name,
            attributes: &[ListAttribute::HasChildren, ListAttribute::NoSelect, ListAttribute::SpecialUse(SpecialUse::Sent)],
            child_info_subscribed: child_info,
        };
        out.list(&entry);
        out.lsub(&entry);
        out.status(&name, &[(StatusItem::Messages, 5), (StatusItem::HighestModSeq, 1 << 40), (StatusItem::Size, 1 << 40)]);
        assert_understood(&mut out);
        // And the name comes back.
        let wire = name.to_wire();
        prop_assert_eq!(MailboxName::from_wire(wire.as_bytes()).unwrap(), name);
    }

    #[test]
    fn fetch_items_are_understood(
        data in vec(1u8.., 0..50), uid in 1u32.., mod_seq in 1u64..(1 << 62), seconds in 0i64..4_000_000_000, recent in any::<bool>(),
    ) {
        let mut out = ResponseBuffer::new();
        let header = SectionKind::HeaderFields(vec![FieldName::new(b"From").unwrap(), FieldName::new(b"a(b").unwrap()]);
        let section = Section::new(vec![3.try_into().unwrap()], header).unwrap();
        let partial = Partial { first: 3, count: 9.try_into().unwrap() };
        out.fetch(uid, |items| {
            items.uid(uid);
            items.flags(&[Flag::Seen, Flag::Flagged], recent);
            items.mod_seq(mod_seq);
            items.internal_date(InternalDate::with_offset(seconds, 90).unwrap());
            items.size(data.len() as u64);
            items.section(&Section::whole(), None, Some(&data));
            items.section(&section, Some(partial), None);
            items.rfc822(Some(&data));
            items.rfc822_header(Some(b""));
            items.rfc822_text(Some(&data));
        });
        assert_understood(&mut out);
    }
}
