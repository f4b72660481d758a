#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::command::{FieldName, Partial, SectionKind};
use crate::response::ResponseBuffer;

/// A sample with CRLF line ends.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

fn structure(raw: &[u8]) -> String {
    let mut out = ResponseBuffer::new();
    out.fetch(1, |items| items.body_structure(&MessageView::new(raw).body_structure()));
    shorten(&out.take(), "* 1 FETCH (BODYSTRUCTURE ")
}

fn body(raw: &[u8]) -> String {
    let mut out = ResponseBuffer::new();
    out.fetch(1, |items| items.body(&MessageView::new(raw).body_structure()));
    shorten(&out.take(), "* 1 FETCH (BODY ")
}

fn envelope(raw: &[u8]) -> String {
    let mut out = ResponseBuffer::new();
    out.fetch(1, |items| items.envelope(&MessageView::new(raw).envelope()));
    shorten(&out.take(), "* 1 FETCH (ENVELOPE ")
}

fn shorten(line: &[u8], prefix: &str) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.strip_prefix(prefix).unwrap();
    line.strip_suffix(")\r\n").unwrap().to_owned()
}

fn part(numbers: &str, kind: SectionKind) -> Section {
    let numbers = numbers.split('.').filter(|n| !n.is_empty());
    Section::new(numbers.map(|n| n.parse().unwrap()).collect(), kind).unwrap()
}

/// A section as text; `None` when there is none.
fn section(raw: &[u8], numbers: &str, kind: SectionKind) -> Option<String> {
    MessageView::new(raw).section(&part(numbers, kind)).map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
}

fn fields(names: &[&str]) -> Vec<FieldName> {
    names.iter().map(|name| FieldName::new(name.as_bytes()).unwrap()).collect()
}

/// The envelope of a message with this one address field.
fn addresses(value: &str) -> String {
    let text = envelope(&crlf(&format!("To: {value}\n\n")));
    let text = text.strip_prefix("(NIL NIL NIL NIL NIL ").unwrap();
    text.strip_suffix(" NIL NIL NIL NIL)").unwrap().to_owned()
}

const PLAIN: &str = "\
Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)
From: Fred Foobar <foobar@Blurdybloop.example.COM>
Subject: afternoon meeting
To: mooch@owatagu.example.net
Message-Id: <B27397-0100000@Blurdybloop.example.COM>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

Hello Joe, do you think we can meet at 3:30 tomorrow?
";

#[test]
fn the_message_of_the_rfc() {
    // RFC 3501 section 8 shows this message (as an APPEND).
    let raw = crlf(PLAIN);
    let fred = "((\"Fred Foobar\" NIL \"foobar\" \"Blurdybloop.example.COM\"))";
    assert_eq!(
        envelope(&raw),
        format!(
            "(\"Mon, 7 Feb 1994 21:52:25 -0800 (PST)\" \"afternoon meeting\" {fred} {fred} {fred} \
             ((NIL NIL \"mooch\" \"owatagu.example.net\")) NIL NIL NIL \
             \"<B27397-0100000@Blurdybloop.example.COM>\")"
        )
    );
    assert_eq!(
        structure(&raw),
        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7bit\" 55 1 NIL NIL NIL NIL)"
    );
    assert_eq!(body(&raw), "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7bit\" 55 1)");
    let text = "Hello Joe, do you think we can meet at 3:30 tomorrow?\r\n";
    assert_eq!(section(&raw, "", SectionKind::Text).unwrap(), text);
    assert_eq!(section(&raw, "1", SectionKind::Full).unwrap(), text);
    assert_eq!(section(&raw, "", SectionKind::Full).unwrap().as_bytes(), raw);
    let header = section(&raw, "", SectionKind::Header).unwrap();
    assert!(header.ends_with("US-ASCII\r\n\r\n"));
    assert_eq!(section(&raw, "1", SectionKind::Mime).unwrap(), header);
    assert_eq!(section(&raw, "2", SectionKind::Full), None);
    assert_eq!(section(&raw, "1.1", SectionKind::Full), None);
    assert_eq!(section(&raw, "1", SectionKind::Header), None);
    assert_eq!(section(&raw, "1", SectionKind::Text), None);
}

/// The tree of RFC 3501 section 6.4.5: its part numbers are the test.
const NESTED: &str = "\
From: a@example.org
Content-Type: multipart/mixed; boundary=\"=_a\"

This is the preamble.
--=_a
Content-Type: text/plain; charset=utf-8; format=flowed
Content-Transfer-Encoding: 8bit
Content-Description: first
 part

one ü
--=_a
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64
Content-ID: <two@example.org>
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Disposition: attachment; filename*0*=UTF-8''na%C3%AF; filename*1=ve.bin
Content-Language: en, de
Content-Location: http://example.org/two

VFdP
--=_a
Content-Type: message/rfc822

Subject: inner
From: inner@example.org
Content-Type: multipart/alternative; boundary==_ab

--=_ab

three one
second line
--=_ab  
Content-Type: text/html

<p>three two
--=_ab--
inner epilogue
--=_a
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: image/gif

GIF
--x
Content-Type: message/rfc822

Subject: deep

deep body
--x--

--=_a--
This is the epilogue.
";

#[test]
fn nested_structure() {
    let raw = crlf(NESTED);
    let three = "(NIL \"inner\" ((NIL NIL \"inner\" \"example.org\")) ((NIL NIL \"inner\" \"example.org\")) \
                 ((NIL NIL \"inner\" \"example.org\")) NIL NIL NIL NIL NIL)";
    let deep = "(NIL \"deep\" NIL NIL NIL NIL NIL NIL NIL NIL)";
    let ascii = "(\"charset\" \"us-ascii\")";
    assert_eq!(
        structure(&raw),
        [
            "((\"text\" \"plain\" (\"charset\" \"utf-8\" \"format\" \"flowed\") NIL \"first part\" \"8bit\" 6 0 NIL NIL NIL NIL)",
            "(\"application\" \"octet-stream\" NIL \"<two@example.org>\" NIL \"base64\" 4 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" \
             (\"attachment\" (\"filename*0*\" \"UTF-8''na%C3%AF\" \"filename*1\" \"ve.bin\")) (\"en\" \"de\") \
             \"http://example.org/two\")",
            &format!(
                "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 204 {three} \
                 ((\"text\" \"plain\" {ascii} NIL NIL \"7bit\" 22 1 NIL NIL NIL NIL)\
                 (\"text\" \"html\" NIL NIL NIL \"7bit\" 12 0 NIL NIL NIL NIL) \
                 \"alternative\" (\"boundary\" \"=_ab\") NIL NIL NIL) 13 NIL NIL NIL NIL)"
            ),
            &format!(
                "((\"image\" \"gif\" NIL NIL NIL \"7bit\" 3 NIL NIL NIL NIL)\
                 (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 26 {deep} \
                 (\"text\" \"plain\" {ascii} NIL NIL \"7bit\" 9 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \
                 \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)"
            ),
            " \"mixed\" (\"boundary\" \"=_a\") NIL NIL NIL)",
        ]
        .concat()
    );
    assert!(body(&raw).starts_with(
        "((\"text\" \"plain\" (\"charset\" \"utf-8\" \"format\" \"flowed\") NIL \"first part\" \"8bit\" 6 0)"
    ));
    assert!(body(&raw).ends_with(" \"mixed\") \"mixed\")"));
}

#[test]
fn nested_sections() {
    let raw = crlf(NESTED);
    let full = |numbers| section(&raw, numbers, SectionKind::Full);
    for (numbers, text) in [
        ("1", "one ü"),
        ("2", "VFdP"),
        ("3.1", "three one\r\nsecond line"),
        ("3.2", "<p>three two"),
        ("4.1", "GIF"),
        ("4.2", "Subject: deep\r\n\r\ndeep body"),
        ("4.2.1", "deep body"),
    ] {
        assert_eq!(full(numbers).as_deref(), Some(text), "{numbers}");
    }
    for missing in ["5", "1.1", "2.1", "3.3", "3.1.1", "4.3", "4.2.2", "4.2.1.1", "4294967295"] {
        assert_eq!(full(missing), None, "{missing}");
    }
    let inner = full("3").unwrap();
    assert!(inner.starts_with("Subject: inner\r\n") && inner.ends_with("\r\ninner epilogue"));
    assert_eq!(
        section(&raw, "3", SectionKind::Header).unwrap() + &section(&raw, "3", SectionKind::Text).unwrap(),
        inner
    );
    assert_eq!(section(&raw, "3", SectionKind::Mime).unwrap(), "Content-Type: message/rfc822\r\n\r\n");
    assert_eq!(section(&raw, "3.1", SectionKind::Mime).unwrap(), "\r\n");
    assert_eq!(section(&raw, "3.2", SectionKind::Mime).unwrap(), "Content-Type: text/html\r\n\r\n");
    assert_eq!(section(&raw, "4.2", SectionKind::Header).unwrap(), "Subject: deep\r\n\r\n");
    assert_eq!(section(&raw, "4.2.1", SectionKind::Mime).unwrap(), "Subject: deep\r\n\r\n");
    assert_eq!(section(&raw, "4", SectionKind::Header), None);
    assert_eq!(
        section(&raw, "3", SectionKind::HeaderFields(fields(&["FROM", "X"]))).unwrap(),
        "From: inner@example.org\r\n\r\n"
    );
    let text = section(&raw, "", SectionKind::Text).unwrap();
    assert!(text.starts_with("This is the preamble.") && text.ends_with("epilogue.\r\n"));
}

#[test]
fn octets_agree_with_another_parser() {
    // mail-parser finds the same contents; NESTED is not given to it, because there one boundary begins another.
    let raw = crlf(&NESTED.replace("=_ab", "other"));
    let message = mail_parser::MessageParser::default().parse(&raw).unwrap();
    let found: Vec<usize> = leaves(message.parts.iter());
    let view = MessageView::new(&raw);
    let mut ours = Vec::new();
    collect_octets(&view.body_structure(), &mut ours);
    assert_eq!(ours, found);
}

fn leaves<'x>(parts: impl Iterator<Item = &'x mail_parser::MessagePart<'x>>) -> Vec<usize> {
    use mail_parser::PartType;
    parts
        .flat_map(|part| match &part.body {
            PartType::Multipart(_) => Vec::new(),
            PartType::Message(inner) => leaves(inner.parts.iter()),
            _ => vec![(part.offset_end - part.offset_body) as usize],
        })
        .collect()
}

fn collect_octets(body: &BodyStructure<'_>, octets: &mut Vec<usize>) {
    match body {
        BodyStructure::Multipart(multipart) => {
            multipart.parts.iter().for_each(|part| collect_octets(part, octets));
        }
        BodyStructure::Single(part) => match &part.kind {
            ContentKind::Message { body, .. } => collect_octets(body, octets),
            _ => octets.push(usize::try_from(part.octets).unwrap()),
        },
    }
}

#[test]
fn address_forms() {
    for (value, expected) in [
        ("a@b", "((NIL NIL \"a\" \"b\"))"),
        ("<a@b>", "((NIL NIL \"a\" \"b\"))"),
        ("John Q. Public <jq@x.org>, b@y", "((\"John Q. Public\" NIL \"jq\" \"x.org\")(NIL NIL \"b\" \"y\"))"),
        ("\"Public, \\\"J\\\"\" <a@b>", "((\"Public, \\\"J\\\"\" NIL \"a\" \"b\"))"),
        ("a@b (Some (nested) One)", "((\"Some (nested) One\" NIL \"a\" \"b\"))"),
        ("(ignored) Name <a@b> (comment)", "((\"Name\" NIL \"a\" \"b\"))"),
        ("=?utf-8?q?J=C3=BC?= =?utf-8?q?x?= <a@b>", "((\"=?utf-8?q?J=C3=BC?= =?utf-8?q?x?=\" NIL \"a\" \"b\"))"),
        ("\"john doe\"@x", "((NIL NIL \"john doe\" \"x\"))"),
        ("john . doe @ x . org", "((NIL NIL \"john.doe\" \"x.org\"))"),
        ("a@[192.0.2.1]", "((NIL NIL \"a\" \"[192.0.2.1]\"))"),
        ("a@[IPv6:2001:db8::1]", "((NIL NIL \"a\" \"[IPv6:2001:db8::1]\"))"),
        ("<@r1,@r2:a@b>", "((NIL \"@r1,@r2\" \"a\" \"b\"))"),
        ("A\n B\n <a@b>", "((\"A B\" NIL \"a\" \"b\"))"),
        ("undisclosed-recipients:;", "((NIL NIL \"undisclosed-recipients\" NIL)(NIL NIL NIL NIL))"),
        (
            "A Group: Ed <e@x>, j@y ; z@z",
            "((NIL NIL \"A Group\" NIL)(\"Ed\" NIL \"e\" \"x\")(NIL NIL \"j\" \"y\")(NIL NIL NIL NIL)(NIL NIL \"z\" \"z\"))",
        ),
        ("G: a@b", "((NIL NIL \"G\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL))"),
        ("nobody", "((NIL NIL \"nobody\" \"\"))"),
        ("a@", "((NIL NIL \"a\" \"\"))"),
        ("@b", "((NIL NIL \"\" \"b\"))"),
        ("Name <>", "((\"Name\" NIL \"\" \"\"))"),
        ("<>", "NIL"),
        ("", "NIL"),
        (",,a@b,,", "((NIL NIL \"a\" \"b\"))"),
        ("a@b c@d", "((NIL NIL \"a\" \"bcd\"))"),
        ("Open <a@b", "((\"Open\" NIL \"a\" \"b\"))"),
        ("\"open <a@b", "((NIL NIL \"open <a@b\" \"\"))"),
        ("a@b (open", "((\"open\" NIL \"a\" \"b\"))"),
        ("Jürgen <a@b>", "(({7}\r\nJürgen NIL \"a\" \"b\"))"),
    ] {
        assert_eq!(addresses(value), expected, "{value}");
    }
}

#[test]
fn envelope_of_odd_headers() {
    assert_eq!(envelope(b""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    let raw = crlf(
        "subject :  folded\n\tand =?utf-8?q?raw?=  \nSubject: second\nDate:\nnot a field\n continued\nFrom: a@b\n\
         Reply-To: r@b\nSender: \nIn-Reply-To: <1@x>\n <2@x>\n\nSubject: body\n",
    );
    assert_eq!(
        envelope(&raw),
        "(\"\" \"folded\tand =?utf-8?q?raw?=\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"r\" \"b\")) \
         NIL NIL NIL \"<1@x> <2@x>\" NIL)"
    );
}

#[test]
fn header_fields_are_given_as_they_stand() {
    let raw = crlf("A: 1\nB: 2\n folded\nno field\na : 3\n\nbody");
    let some = |names: &[&str]| section(&raw, "", SectionKind::HeaderFields(fields(names))).unwrap();
    let without = |names: &[&str]| section(&raw, "", SectionKind::HeaderFieldsNot(fields(names))).unwrap();
    assert_eq!(some(&["a"]), "A: 1\r\na : 3\r\n\r\n");
    assert_eq!(some(&["b", "c"]), "B: 2\r\n folded\r\n\r\n");
    assert_eq!(some(&["c"]), "\r\n");
    assert_eq!(without(&["a"]), "B: 2\r\n folded\r\nno field\r\n\r\n");
    let headers_only = b"A: 1\r\nB: 2";
    assert_eq!(section(headers_only, "", SectionKind::HeaderFields(fields(&["b"]))).unwrap(), "B: 2\r\n\r\n");
    assert_eq!(section(headers_only, "", SectionKind::Header).unwrap(), "A: 1\r\nB: 2");
    assert_eq!(section(headers_only, "", SectionKind::Text).unwrap(), "");
}

#[test]
fn bare_lf_and_nul_stay_what_they_are() {
    let raw = NESTED.as_bytes();
    assert_eq!(section(raw, "3.1", SectionKind::Full).unwrap(), "three one\nsecond line");
    assert_eq!(section(raw, "4.2", SectionKind::Header).unwrap(), "Subject: deep\n\n");
    let some = section(raw, "3", SectionKind::HeaderFields(fields(&["subject"])));
    assert_eq!(some.unwrap(), "Subject: inner\n\n");
    let nul = b"Subject: a\0b\r\n\r\nx\0y\n\r\n";
    assert_eq!(envelope(nul).as_bytes(), b"(NIL {3}\r\na\0b NIL NIL NIL NIL NIL NIL NIL NIL)");
    let expected = "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 2 NIL NIL NIL NIL)";
    assert_eq!(structure(nul), expected);
    assert_eq!(section(nul, "1", SectionKind::Full).unwrap(), "x\0y\n\r\n");
}

#[test]
fn malformed_structure_is_shown_as_well_as_it_can_be() {
    let text = |octets: usize, lines: usize| {
        format!("(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" {octets} {lines} NIL NIL NIL NIL)")
    };
    for (raw, expected) in [
        // Without a boundary, or without delimiters, the body is one part.
        ("Content-Type: multipart/mixed\n\nhi", format!("({} \"mixed\" NIL NIL NIL NIL)", text(2, 0))),
        (
            "Content-Type: multipart/mixed; boundary=x\n\nhi",
            format!("({} \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)", text(2, 0)),
        ),
        // The closing delimiter is missing.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nhi\n",
            format!("({} \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)", text(4, 1)),
        ),
        // A delimiter right behind another.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n--x--",
            format!("({} \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)", text(0, 0)),
        ),
        // What only looks like a delimiter.
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n\n --x\n--xy\na --x\n--x--",
            format!("({} \"mixed\" (\"boundary\" \"x\") NIL NIL NIL)", text(17, 2)),
        ),
        ("Content-Type: nonsense\n\nhi", text(2, 0)),
        ("Content-Type: /\n\nhi", text(2, 0)),
        ("Content-Type:\n\nhi", text(2, 0)),
        (
            "Content-Type: a / b (c); ; x; y=\"1\"junk; =z; w=2\n\nhi",
            "(\"a\" \"b\" (\"x\" \"\" \"y\" \"1\") NIL NIL \"7bit\" 2 NIL NIL NIL NIL)".to_owned(),
        ),
        (
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: BASE64\n\nSGk=",
            "(\"application\" \"octet-stream\" NIL NIL NIL \"BASE64\" 4 NIL NIL NIL NIL)".to_owned(),
        ),
        (
            "Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: s\n\n--x--",
            "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 12 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL NIL NIL) 1 NIL NIL NIL NIL) \
             \"digest\" (\"boundary\" \"x\") NIL NIL NIL)"
                .to_owned(),
        ),
    ] {
        assert_eq!(structure(&crlf(raw)), expected, "{raw}");
    }
}

#[test]
fn depth_and_number_of_parts_are_bounded() {
    let level = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    let raw = (0..5000).map(level).collect::<String>();
    let shown = structure(raw.as_bytes());
    assert_eq!(shown.matches("\"mixed\"").count(), DEPTH_MAX);
    assert!(shown.contains("\"application\" \"octet-stream\""));
    let embedded = structure("Content-Type: message/rfc822\n\n".repeat(5000).as_bytes());
    assert_eq!(embedded.matches("\"rfc822\"").count(), DEPTH_MAX);
    let many = format!("Content-Type: multipart/mixed; boundary=x\n\n{}", "--x\n\na\n".repeat(10_000));
    let view = MessageView::new(many.as_bytes());
    let BodyStructure::Multipart(multipart) = view.body_structure() else { panic!() };
    assert_eq!(multipart.parts.len(), PARTS_MAX);
    let last = section(many.as_bytes(), &PARTS_MAX.to_string(), SectionKind::Full).unwrap();
    assert!(last.ends_with("--x\n\na\n"), "nothing is lost");
}

#[test]
fn number_of_addresses_is_bounded() {
    let raw = format!("To: g: {}\r\n\r\n", "a@b,".repeat(20_000));
    let to = MessageView::new(raw.as_bytes()).envelope().to;
    assert_eq!(to.len(), 10_001);
    assert_eq!(to.last(), Some(&Address::default()), "the group is closed");
}

#[test]
fn windows() {
    let partial = |first, count: u32| Some(Partial { first, count: count.try_into().unwrap() });
    assert_eq!(window(b"hello", None), b"hello");
    assert_eq!(window(b"hello", partial(1, 3)), b"ell");
    assert_eq!(window(b"hello", partial(3, 9)), b"lo");
    assert_eq!(window(b"hello", partial(5, 1)), b"");
    assert_eq!(window(b"hello", partial(u32::MAX, u32::MAX)), b"");
}

fn mime_word() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(vec![
            "Content-Type: multipart/mixed; boundary=x",
            "Content-Type: message/rfc822",
            "Content-Type:",
            "\r\n",
            "\n",
            "\r\n\r\n",
            "--x",
            "--x--",
            "--y",
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
            "From: ",
            "Content-Disposition: ",
            "Content-Language: ",
            "Content-Transfer-Encoding: ",
            "a",
            " ",
            "[",
            "\0",
            "boundary=y",
        ])
        .prop_map(|word| word.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_message(words in proptest::collection::vec(mime_word(), 0..60)) {
        let raw = words.concat();
        let view = MessageView::new(&raw);
        let mut out = ResponseBuffer::new();
        out.fetch(1, |items| {
            items.envelope(&view.envelope());
            items.body_structure(&view.body_structure());
        });
        // Header and text are the whole, and fields chosen and not chosen are the header.
        let get = |kind| view.section(&part("", kind)).unwrap().into_owned();
        prop_assert_eq!([get(SectionKind::Header), get(SectionKind::Text)].concat(), raw.clone());
        let to = fields(&["to"]);
        let chosen = get(SectionKind::HeaderFields(to.clone())).len() + get(SectionKind::HeaderFieldsNot(to)).len();
        let header = view.header();
        prop_assert!(chosen >= header.bytes().len());
        // Every part that is told of can be fetched, and is as long as told.
        check_parts(&view, &view.body_structure(), &mut Vec::new(), true)?;
    }
}

/// `is_root`: of a message, whose only part is numbered 1 when it is no multipart.
fn check_parts(
    view: &MessageView<'_>,
    body: &BodyStructure<'_>,
    path: &mut Vec<std::num::NonZeroU32>,
    is_root: bool,
) -> std::result::Result<(), TestCaseError> {
    match body {
        BodyStructure::Multipart(multipart) => {
            for (number, part) in (1u32..).zip(&multipart.parts) {
                path.push(number.try_into().unwrap());
                check_parts(view, part, path, false)?;
                path.pop();
            }
        }
        BodyStructure::Single(single) => {
            if is_root {
                path.push(std::num::NonZeroU32::MIN);
            }
            let found = view.section(&Section::new(path.clone(), SectionKind::Full).unwrap());
            prop_assert_eq!(found.unwrap().len() as u64, single.octets);
            if let ContentKind::Message { body, .. } = &single.kind {
                check_parts(view, body, path, true)?;
            }
            if is_root {
                path.pop();
            }
        }
    }
    Ok(())
}
