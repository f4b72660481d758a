//! FETCH and SEARCH.

#![allow(clippy::unwrap_used)]

use super::tests::{bad, keyword, ok, problem, set};
use crate::command::*;
use crate::parse::Problem;
use crate::response::{Code, Status};
use crate::search::SearchText;

fn fetch(text: &str) -> Fetch {
    match ok(text) {
        Command::Fetch(fetch) => fetch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_items() {
    use FetchItem::*;
    for (text, items) in [
        ("ALL", vec![Flags, InternalDate, Rfc822Size, Envelope]),
        ("fast", vec![Flags, InternalDate, Rfc822Size]),
        ("FULL", vec![Flags, InternalDate, Rfc822Size, Envelope, Body]),
        ("FLAGS", vec![Flags]),
        ("(UID FLAGS UID)", vec![Uid, Flags]),
        ("(BODY BODYSTRUCTURE MODSEQ)", vec![Body, BodyStructure, ModSeq]),
        ("(RFC822 RFC822.HEADER RFC822.TEXT)", vec![Rfc822, Rfc822Header, Rfc822Text]),
    ] {
        assert_eq!(fetch(&format!("FETCH 1:* {text}")).items, items, "{text}");
    }
    for text in ["", "()", "(ALL)", "(FLAGS ALL)", "FOO", "(FLAGS", "FLAGS UID", "BODY[", "BODY.PEEK", "(FLAGS,UID)"] {
        bad(&format!("FETCH 1 {text}"));
    }
}

#[test]
fn fetch_sections() {
    let fields = || vec![FieldName::new(b"From").unwrap(), FieldName::new(b"X-A").unwrap()];
    let numbers = |numbers: &[u32]| numbers.iter().map(|&n| n.try_into().unwrap()).collect::<Vec<_>>();
    for (text, part, kind) in [
        ("", &[][..], SectionKind::Full),
        ("HEADER", &[], SectionKind::Header),
        ("TEXT", &[], SectionKind::Text),
        ("1", &[1], SectionKind::Full),
        ("1.2.30", &[1, 2, 30], SectionKind::Full),
        ("1.2.mime", &[1, 2], SectionKind::Mime),
        ("2.HEADER", &[2], SectionKind::Header),
        ("2.TEXT", &[2], SectionKind::Text),
        ("HEADER.FIELDS (From \"X-A\")", &[], SectionKind::HeaderFields(fields())),
        ("3.header.fields.not (From X-A)", &[3], SectionKind::HeaderFieldsNot(fields())),
    ] {
        let section = Section::new(numbers(part), kind).unwrap();
        let item = |peek, partial| vec![FetchItem::Section(SectionItem { section: section.clone(), peek, partial })];
        let partial = Partial { first: 5, count: 10.try_into().unwrap() };
        assert_eq!(fetch(&format!("FETCH 1 BODY[{text}]")).items, item(false, None));
        assert_eq!(fetch(&format!("FETCH 1 (BODY.PEEK[{text}])")).items, item(true, None));
        let cut = fetch(&format!("FETCH 1 BODY.PEEK[{text}]<5.10>"));
        assert_eq!(cut.items, item(true, Some(partial)));
        assert!(cut.needs_message() && !cut.sets_seen());
    }
    assert!(fetch("FETCH 1 BODY[TEXT]").sets_seen());
    assert!(!fetch("FETCH 1 (UID FLAGS)").needs_message());
    for text in ["MIME", "0", "1.", "1.0", ".1", "1.FOO", "HEADER.FIELDS", "HEADER.FIELDS ()", "HEADER.FIELDS (a:b)"] {
        bad(&format!("FETCH 1 BODY[{text}]"));
    }
    for text in ["<1>", "<1.0>", "<.1>", "<1.2", "<1.2>x"] {
        bad(&format!("FETCH 1 BODY[]{text}"));
    }
    let deep = vec!["1"; 65].join(".");
    let answer = problem(&format!("FETCH 1 BODY[{deep}]")).answer();
    assert_eq!(answer, (Status::No, Some(Code::Limit)));
}

#[test]
fn fetch_modifiers() {
    let plain = fetch("FETCH 1 (FLAGS) (CHANGEDSINCE 12345)");
    assert_eq!(plain.changed_since, Some(12345));
    assert_eq!(plain.items, [FetchItem::Flags, FetchItem::ModSeq], "MODSEQ is implied");
    let uid = fetch("UID FETCH 300:* FLAGS (CHANGEDSINCE 12345 VANISHED)");
    assert!(uid.vanished && uid.uid);
    assert_eq!(uid.items, [FetchItem::Flags, FetchItem::Uid, FetchItem::ModSeq]);
    bad("FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)");
    bad("UID FETCH 1 (FLAGS) (VANISHED)");
    bad("FETCH 1 (FLAGS) (FOO 1)");
    bad("FETCH $ FLAGS");
}

fn search_keys(text: &str) -> Vec<SearchKey> {
    match ok(text) {
        Command::Search(search) => search.program.keys().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn search_keys_one_by_one() {
    use SearchKey::*;
    let header = |field: &str, value: &str| Header {
        field: FieldName::new(field.as_bytes()).unwrap(),
        value: SearchText::new(value),
    };
    let day = jiff::civil::date(1994, 2, 1);
    let not = SearchKey::not;
    for (text, key) in [
        ("ALL", All),
        ("2,4:*", Sequence(set("2,4:*"))),
        ("UID 5:*", Uid(set("5:*"))),
        ("ANSWERED", Flag(crate::types::Flag::Answered)),
        ("UNSEEN", not(Flag(crate::types::Flag::Seen))),
        ("UNDELETED", not(Flag(crate::types::Flag::Deleted))),
        ("KEYWORD $x", Flag(keyword("$x"))),
        ("UNKEYWORD $x", not(Flag(keyword("$X")))),
        ("RECENT", Recent),
        ("OLD", not(Recent)),
        ("NEW", And(vec![Recent, not(Flag(crate::types::Flag::Seen))])),
        ("BEFORE 1-Feb-1994", Before(day)),
        ("ON \"01-Feb-1994\"", On(day)),
        ("since 1-feb-1994", Since(day)),
        ("SENTBEFORE 1-Feb-1994", SentBefore(day)),
        ("SENTON 1-Feb-1994", SentOn(day)),
        ("SENTSINCE 1-Feb-1994", SentSince(day)),
        ("LARGER 0", Larger(0)),
        ("SMALLER 4294967296", Smaller(4_294_967_296)),
        ("MODSEQ 620162338", ModSeq(620_162_338)),
        (r#"MODSEQ "/flags/\\draft" all 620162338"#, ModSeq(620_162_338)),
        ("FROM \"J\u{fc}rgen\"", header("from", "J\u{fc}RGEN")),
        ("SUBJECT {3+}\r\na b", header("subject", "A B")),
        ("BCC x", header("bcc", "x")),
        ("HEADER X-Foo \"\"", header("X-Foo", "")),
        ("BODY x", Body(SearchText::new("X"))),
        ("TEXT \"\"", Text(SearchText::new(""))),
        ("NOT SEEN", not(Flag(crate::types::Flag::Seen))),
        ("(ALL)", And(vec![All])),
        ("OR ALL (RECENT NOT ALL)", Or(Box::new(All), Box::new(And(vec![Recent, not(All)])))),
    ] {
        let mut found = search_keys(&format!("SEARCH {text}"));
        if let (Some(Header { field, .. }), Header { field: expected, .. }) = (found.first_mut(), &key) {
            assert!(field.matches(expected.as_str().as_bytes()));
            *field = expected.clone();
        }
        assert_eq!(found, [key], "{text}");
    }
    assert_eq!(search_keys("SEARCH ALL SEEN 1").len(), 3);
}

#[test]
fn search_options() {
    let returns = |text: &str| match ok(text) {
        Command::Search(search) => search.returns,
        other => panic!("{other:?}"),
    };
    assert_eq!(returns("SEARCH ALL"), None);
    let all = SearchReturn { all: true, ..SearchReturn::default() };
    assert_eq!(returns("SEARCH RETURN () ALL"), Some(all));
    assert_eq!(
        returns("UID SEARCH RETURN (MIN max COUNT) CHARSET utf-8 ALL"),
        Some(SearchReturn { min: true, max: true, all: false, count: true })
    );
    assert_eq!(problem("SEARCH RETURN (SAVE) ALL"), Problem::ResultOption("SAVE".into()));
    assert_eq!(returns("SEARCH CHARSET \"US-ASCII\" ALL"), None);
    let answer = problem("SEARCH CHARSET ISO-8859-1 ALL").answer();
    assert_eq!(answer, (Status::No, Some(Code::BadCharset)));
    assert_eq!(problem("SEARCH {2+}\r\nx ALL"), Problem::Expected("a search key"));
    for text in [
        "",
        "FOO",
        "()",
        "NOT",
        "OR ALL",
        "UID $",
        "$",
        "ALL RETURN ()",
        "ALL CHARSET UTF-8",
        "CHARSET UTF-8",
        "(ALL",
        "ALL)",
        "BEFORE 1994",
        "HEADER a:b c",
        "LARGER -1",
        "KEYWORD \\Seen",
        "MODSEQ \"x\" foo 1",
    ] {
        bad(&format!("SEARCH {text}"));
    }
}

#[test]
fn search_is_bounded() {
    let limit = (Status::No, Some(Code::Limit));
    assert_eq!(problem(&format!("SEARCH {}ALL", "NOT ".repeat(33))).answer(), limit);
    assert_eq!(problem(&format!("SEARCH {}", "(".repeat(9000))).answer(), limit);
    assert_eq!(problem(&format!("SEARCH {}", "OR ".repeat(9000))).answer(), limit);
    assert_eq!(problem(&format!("SEARCH {}", "ALL ".repeat(2001))).answer(), limit);
    ok(&format!("SEARCH {}ALL", "NOT ".repeat(32)));
}
