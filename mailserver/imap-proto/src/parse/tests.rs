#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::command::*;
use crate::framing::{FrameEvent, FrameLimits, Framer};
use crate::response::{Code, Status};
use crate::types::*;

/// Feeds a command with its literals (`{n+}`) and parses it.
fn parse_text(text: &str) -> std::result::Result<Request, ParseError> {
    let mut framer = Framer::new(FrameLimits::authenticated(1000));
    framer.feed(text.as_bytes());
    framer.feed(b"\r\n");
    loop {
        match framer.next_event().unwrap() {
            FrameEvent::Command(frame) => return parse(&frame),
            FrameEvent::Continue => {}
            other => panic!("{other:?} for {text}"),
        }
    }
}

pub(super) fn ok(text: &str) -> Command {
    let request = parse_text(&format!("a1 {text}")).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(request.tag, Tag::new("a1").unwrap());
    request.command
}

pub(super) fn problem(text: &str) -> Problem {
    match parse_text(&format!("a1 {text}")) {
        Ok(request) => panic!("{text} gave {request:?}"),
        Err(error) => {
            assert_eq!(error.tag, Tag::new("a1"), "{text}: the tag is recovered");
            error.problem
        }
    }
}

pub(super) fn bad(text: &str) {
    assert_eq!(problem(text).answer(), (Status::Bad, None), "{text}");
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

pub(super) fn set(text: &str) -> SequenceSet {
    SequenceSet::parse(text.as_bytes(), 99).unwrap()
}

pub(super) fn keyword(name: &str) -> Flag {
    Flag::Keyword(Keyword::new(name.as_bytes()).unwrap())
}

fn pattern(text: &str) -> ListPattern {
    ListPattern::from_wire(text.as_bytes()).unwrap()
}

#[test]
fn commands_without_arguments() {
    for (text, command) in [
        ("CAPABILITY", Command::Capability),
        ("noop", Command::Noop),
        ("Logout", Command::Logout),
        ("STARTTLS", Command::StartTls),
        ("NAMESPACE", Command::Namespace),
        ("IDLE", Command::Idle),
        ("CHECK", Command::Check),
        ("CLOSE", Command::Close),
        ("UNSELECT", Command::Unselect),
        ("EXPUNGE", Command::Expunge { uids: None }),
    ] {
        assert_eq!(ok(text), command);
        assert_eq!(ok(&format!("{text}  ")), command, "spaces at the end are forgiven");
        bad(&format!("{text} x"));
    }
}

#[test]
fn errors_tell_the_tag_and_what_is_wrong() {
    for (line, tag, problem) in [
        ("", None, Problem::NoTag),
        (" NOOP", None, Problem::NoTag),
        ("* NOOP", None, Problem::NoTag),
        ("+ NOOP", None, Problem::NoTag),
        ("a1", Some("a1"), Problem::NoCommand),
        ("a1 ", Some("a1"), Problem::NoCommand),
        ("a1 FROB x", Some("a1"), Problem::UnknownCommand("FROB".into())),
        ("a1 UID NOOP", Some("a1"), Problem::UnknownCommand("UID NOOP".into())),
        ("a1 SELECT", Some("a1"), Problem::Expected("a space")),
        ("a1 NOOP x", Some("a1"), Problem::TrailingText),
    ] {
        let error = parse_text(line).unwrap_err();
        assert_eq!(error.tag, tag.and_then(Tag::new), "{line:?}");
        assert_eq!(error.problem, problem, "{line:?}");
    }
    let long = problem(&"X".repeat(1000));
    assert_eq!(long, Problem::UnknownCommand("X".repeat(32)));
}

#[test]
fn login() {
    let login =
        |user: &str, password: &'static str| Command::Login { user: user.into(), password: Secret::new(password) };
    assert_eq!(ok("LOGIN bob secret"), login("bob", "secret"));
    assert_eq!(ok(r#"LOGIN "b o\"b" "pa\\ss""#), login("b o\"b", "pa\\ss"));
    assert_eq!(ok("LOGIN {3+}\r\nbob {4+}\r\npa s"), login("bob", "pa s"));
    assert_eq!(ok("LOGIN {3}\r\nbob {0}\r\n"), login("bob", ""));
    assert_eq!(ok("LOGIN bob p%a*ss]"), login("bob", "p%a*ss]"), "specials in a bare password");
    assert_eq!(ok("LOGIN \"bob@example.org\" \"\""), login("bob@example.org", ""));
    assert_eq!(ok("LOGIN {7+}\r\nj\u{fc}rgen x"), login("j\u{fc}rgen", "x"));
    bad("LOGIN bob");
    bad("LOGIN bob \"open");
    bad("LOGIN bob a b");
    bad(r#"LOGIN bob "a\b""#);
    assert_eq!(problem("LOGIN {3+}\r\nb\0b x"), Problem::Nul);
    let shown = format!("{:?}", ok("LOGIN bob hunter2"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn authenticate() {
    let with = |initial: Option<&'static [u8]>| Command::Authenticate {
        mechanism: "PLAIN".into(),
        initial: initial.map(Secret::new),
    };
    assert_eq!(ok("AUTHENTICATE plain"), with(None));
    assert_eq!(ok("AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ="), with(Some(b"\0bob\0secret")));
    assert_eq!(ok("AUTHENTICATE PLAIN ="), with(Some(b"")));
    bad("AUTHENTICATE");
    bad("AUTHENTICATE PLAIN !!!");
    bad("AUTHENTICATE PLAIN AGJvYg== x");
    assert_eq!(sasl_response(b"*"), Ok(SaslResponse::Cancelled));
    assert_eq!(sasl_response(b""), Ok(SaslResponse::Data(Secret::new(""))));
    assert_eq!(sasl_response(b"eA== "), Ok(SaslResponse::Data(Secret::new("x"))));
    assert!(sasl_response(b"e").is_err());
    assert!(is_done(b"done ") && !is_done(b"NOOP"));
}

#[test]
fn enable_and_id() {
    assert_eq!(
        ok("ENABLE CONDSTORE qresync X-FOO"),
        Command::Enable(vec![
            EnableCapability::CondStore,
            EnableCapability::QResync,
            EnableCapability::Other("X-FOO".into())
        ])
    );
    bad("ENABLE");
    assert_eq!(ok("ID NIL"), Command::Id(vec![]));
    assert_eq!(ok("ID ()"), Command::Id(vec![]));
    assert_eq!(
        ok(r#"ID ("name" "x" "version" NIL)"#),
        Command::Id(vec![("name".into(), Some("x".into())), ("version".into(), None)])
    );
    bad("ID x");
    bad(r#"ID ("name")"#);
    let many = format!("ID ({})", vec![r#""a" "b""#; 31].join(" "));
    assert_eq!(problem(&many).answer(), (Status::No, Some(Code::Limit)));
}

#[test]
fn select_with_parameters() {
    let plain = Select { mailbox: name("INBOX"), read_only: false, condstore: false, qresync: None };
    assert_eq!(ok("SELECT inbox"), Command::Select(plain.clone()));
    let examine = Select { read_only: true, mailbox: name("Entwürfe"), ..plain.clone() };
    assert_eq!(ok("EXAMINE \"Entw&APw-rfe\""), Command::Select(examine));
    let condstore = Select { condstore: true, ..plain.clone() };
    assert_eq!(ok("SELECT INBOX (CONDSTORE)"), Command::Select(condstore));
    let qresync = |known: Option<&str>, seq_match: Option<(&str, &str)>| {
        Command::Select(Select {
            qresync: Some(QResync {
                uid_validity: 67_890_007.try_into().unwrap(),
                mod_seq: 20_050_715_194_045_000,
                known_uids: known.map(set),
                seq_match: seq_match.map(|(a, b)| (set(a), set(b))),
            }),
            ..plain.clone()
        })
    };
    let base = "SELECT INBOX (QRESYNC (67890007 20050715194045000";
    assert_eq!(ok(&format!("{base}))")), qresync(None, None));
    assert_eq!(ok(&format!("{base} 41,43:211))")), qresync(Some("41,43:211"), None));
    assert_eq!(ok(&format!("{base} 41:211 (1,5 7,9)))")), qresync(Some("41:211"), Some(("1,5", "7,9"))));
    assert_eq!(ok(&format!("{base} (1,5 7,9)))")), qresync(None, Some(("1,5", "7,9"))));
    bad(&format!("{base} 1:*))"));
    bad("SELECT INBOX (QRESYNC (0 1))");
    bad("SELECT INBOX (QRESYNC (1 9223372036854775808))");
    bad("SELECT INBOX (FOO)");
    bad("SELECT INBOX CONDSTORE");
}

#[test]
fn qresync_sequence_match() {
    let same = |seq_match: &str, uids: &[u32]| {
        let Command::Select(select) = ok(&format!("SELECT x (QRESYNC (1 2{seq_match}))")) else { panic!() };
        select.qresync.unwrap().same_up_to(uids)
    };
    let uids = [2, 4, 6, 8, 10];
    assert_eq!(same("", &uids), 0);
    assert_eq!(same(" (1,3,5 2,6,10)", &uids), 10);
    assert_eq!(same(" (1,3,5 2,6,11)", &uids), 6);
    assert_eq!(same(" (1 3)", &uids), 0);
    assert_eq!(same(" (2,9 4,20)", &uids), 4, "numbers beyond the mailbox say nothing");
    assert_eq!(same(" (1:4294967295 1:4294967295)", &[1, 2, 3]), 3, "bounded by the mailbox");
    assert_eq!(same(" (1 1)", &[]), 0);
}

#[test]
fn mailbox_commands() {
    let create = |special_use: Vec<SpecialUse>| Command::Create { mailbox: name("a/b"), special_use };
    assert_eq!(ok("CREATE a/b/"), create(vec![]));
    assert_eq!(ok("CREATE a/b (USE (\\Drafts \\sent))"), create(vec![SpecialUse::Drafts, SpecialUse::Sent]));
    let answer = problem("CREATE a (USE (\\Foo))").answer();
    assert_eq!(answer, (Status::No, Some(Code::UseAttr)));
    assert_eq!(ok("DELETE {3+}\r\na b"), Command::Delete(name("a b")));
    let (from, to) = (name("a"), name("b c"));
    assert_eq!(ok("RENAME a \"b c\""), Command::Rename { from, to });
    assert_eq!(ok("SUBSCRIBE a"), Command::Subscribe(name("a")));
    assert_eq!(ok("UNSUBSCRIBE a"), Command::Unsubscribe(name("a")));
    for text in ["DELETE \"\"", "DELETE /a", "DELETE a&b", "SELECT \"\u{fc}\"", "CREATE \"a\tb\""] {
        assert_eq!(problem(text).answer(), (Status::No, Some(Code::Cannot)), "{text}");
    }
}

#[test]
fn status() {
    let items = StatusItem::EACH.to_vec();
    assert_eq!(
        ok("STATUS x (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MESSAGES)"),
        Command::Status { mailbox: name("x"), items }
    );
    let messages = Command::Status { mailbox: name("x"), items: vec![StatusItem::Messages] };
    assert_eq!(ok("STATUS x ( messages )"), messages, "spaces inside are forgiven");
    bad("STATUS x ()");
    bad("STATUS x MESSAGES");
    bad("STATUS x (FOO)");
}

#[test]
fn list() {
    let plain = List {
        reference: pattern(""),
        patterns: vec![pattern("*")],
        select: ListSelect::default(),
        returns: ListReturn::default(),
        extended: false,
    };
    assert_eq!(ok("LIST \"\" *"), Command::List(plain.clone()));
    assert_eq!(ok("LIST \"\" \"*\""), Command::List(plain.clone()));
    assert_eq!(ok("LIST {0+}\r\n {1+}\r\n*"), Command::List(plain.clone()));
    let reference = List { reference: pattern("a/"), patterns: vec![pattern("%/x*")], ..plain.clone() };
    assert_eq!(ok("LIST a/ %/x*"), Command::List(reference));
    let extended = List {
        patterns: vec![pattern("a%"), pattern("INBOX")],
        select: ListSelect { subscribed: true, recursive_match: true, ..ListSelect::default() },
        returns: ListReturn {
            children: true,
            special_use: true,
            status: vec![StatusItem::Messages, StatusItem::Unseen],
            subscribed: true,
        },
        extended: true,
        ..plain.clone()
    };
    assert_eq!(
        ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a% \"INBOX\") RETURN (CHILDREN SPECIAL-USE SUBSCRIBED \
             STATUS (MESSAGES UNSEEN))"),
        Command::List(extended)
    );
    let special = List {
        select: ListSelect { special_use: true, remote: true, ..ListSelect::default() },
        extended: true,
        ..plain.clone()
    };
    assert_eq!(ok("LIST (SPECIAL-USE REMOTE) \"\" *"), Command::List(special));
    let empty = List { extended: true, ..plain };
    assert_eq!(ok("LIST () \"\" * RETURN ()"), Command::List(empty));
    bad("LIST (RECURSIVEMATCH) \"\" *");
    bad("LIST (FOO) \"\" *");
    bad("LIST \"\"");
    bad("LIST \"\" ()");
    bad("LIST \"\" * RETURN (FOO)");
    let lsub = Command::Lsub { reference: pattern(""), pattern: pattern("%") };
    assert_eq!(ok("LSUB \"\" %"), lsub);
}

#[test]
fn append() {
    let Command::Append(append) =
        ok("APPEND Sent (\\Seen \\Recent $x \\seen) \" 7-Feb-1994 21:52:25 -0800\" {6+}\r\nhi\0\r\nx")
    else {
        panic!()
    };
    assert_eq!(append.mailbox, name("Sent"));
    assert_eq!(append.flags, [Flag::Seen, keyword("$x")], "doubles and \\Recent are left out");
    assert_eq!(append.date.unwrap().unix_seconds(), 760_686_745);
    assert_eq!(append.message, "hi\0\r\nx");
    let Command::Append(append) = ok("APPEND {4+}\r\nSent ~{2+}\r\nhi") else { panic!() };
    assert_eq!((append.flags, append.date, &append.message[..]), (vec![], None, &b"hi"[..]));
    bad("APPEND Sent");
    bad("APPEND Sent \"hi\"");
    bad("APPEND Sent (\\Foo) {2+}\r\nhi");
    bad("APPEND Sent \"1-Foo-2020 00:00:00 +0000\" {2+}\r\nhi");
    bad("APPEND Sent {2+}\r\nhi {2+}\r\nho");
}

#[test]
fn store() {
    use StoreOperation::{Add, Remove, Replace};
    let store = |operation, silent, flags, unchanged_since| {
        Command::Store(Store { uid: false, set: set("2:4"), operation, silent, flags, unchanged_since })
    };
    assert_eq!(ok("STORE 2:4 +FLAGS (\\Deleted)"), store(Add, false, vec![Flag::Deleted], None));
    assert_eq!(ok("STORE 2:4 -flags.silent \\Seen $x"), store(Remove, true, vec![Flag::Seen, keyword("$x")], None));
    assert_eq!(ok("STORE 2:4 FLAGS ()"), store(Replace, false, vec![], None));
    assert_eq!(
        ok("STORE 2:4 (UNCHANGEDSINCE 12) FLAGS.SILENT (a A)"),
        store(Replace, true, vec![keyword("a")], Some(12))
    );
    let Command::Store(uid) = ok("UID STORE 7 (UNCHANGEDSINCE 0) +FLAGS (x)") else { panic!() };
    assert!(uid.uid && uid.unchanged_since == Some(0));
    bad("STORE 2:4 FLAGS");
    bad("STORE 2:4 FOO (x)");
    bad("STORE 2:4 +FLAGS (\\Recent)");
    bad("STORE $ +FLAGS (x)");
    bad("STORE 2:4 +FLAGS (x");
}

#[test]
fn copy_move_expunge() {
    let (to, one) = (name("x"), set("1"));
    let command = Command::Copy { uid: false, set: one.clone(), to: to.clone() };
    assert_eq!(ok("COPY 1 x"), command);
    let command = Command::Move { uid: true, set: one, to };
    assert_eq!(ok("UID MOVE 1 x"), command);
    let uids = Some(set("3000:3002"));
    assert_eq!(ok("UID EXPUNGE 3000:3002"), Command::Expunge { uids });
    bad("EXPUNGE 1");
    bad("UID EXPUNGE");
    bad("COPY 0 x");
    assert_eq!(problem("COPY $ x"), Problem::SequenceSet(SequenceSetError::SavedResult));
    let many = vec!["1"; SequenceSet::DEFAULT_MAX_ELEMENTS + 1].join(",");
    let answer = problem(&format!("COPY {many} x")).answer();
    assert_eq!(answer, (Status::No, Some(Code::Limit)));
}

/// What grammar-like input is made of.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "FETCH",
            "UID ",
            "SEARCH",
            "STORE",
            "LIST",
            "SELECT",
            "APPEND",
            "LOGIN",
            "STATUS",
            "1:*",
            "$",
            "*",
            "(",
            ")",
            " ",
            "  ",
            "BODY[",
            "]",
            "HEADER.FIELDS",
            "<1.2>",
            "\"",
            "\\",
            "\\Seen",
            "FLAGS",
            "NOT ",
            "OR ",
            "RETURN ",
            "CHARSET ",
            "QRESYNC",
            "CHANGEDSINCE ",
            "1-Jan-2020",
            "{2+}\r\nab",
            "~{1+}\r\n\0",
            "&AOQ-",
            "99999999999",
            "NIL",
            "ID",
            "CREATE",
            "USE",
            "MODSEQ ",
            "UNCHANGEDSINCE ",
            "%",
            "x",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,3}",
    ]
}

proptest! {
    #[test]
    fn never_panics_on_words(words in proptest::collection::vec(word(), 0..16)) {
        let mut framer = Framer::new(FrameLimits::authenticated(100));
        framer.feed(format!("a {}\r\n", words.concat()).as_bytes());
        while let Ok(FrameEvent::Command(frame)) = framer.next_event() {
            let _ = parse(&frame);
        }
    }

    #[test]
    fn never_panics_on_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut framer = Framer::new(FrameLimits::UNAUTHENTICATED);
        framer.feed(&bytes);
        framer.feed(b"\r\n");
        loop {
            match framer.next_event() {
                Ok(FrameEvent::Command(frame)) => { let _ = parse(&frame); }
                Ok(FrameEvent::Continue | FrameEvent::Refused { .. }) => {}
                Ok(FrameEvent::NeedMore) | Err(_) => break,
            }
        }
        let _ = sasl_response(&bytes);
    }
}
