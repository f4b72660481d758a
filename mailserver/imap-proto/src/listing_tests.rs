#![allow(clippy::unwrap_used)]

use super::*;
use crate::command::Command;
use crate::framing::Frame;
use crate::parse::parse;
use crate::response::ResponseBuffer;

/// `+` subscribed, `-` does not exist, `\…` a special use.
fn known(names: &str) -> Vec<Known> {
    names
        .split_whitespace()
        .map(|word| {
            let (word, special_use) = match word.split_once('\\') {
                Some((word, special_use)) => (word, SpecialUse::parse(format!("\\{special_use}").as_bytes())),
                None => (word, None),
            };
            Known {
                name: MailboxName::new(word.trim_start_matches(['+', '-'])).unwrap(),
                exists: !word.contains('-'),
                subscribed: word.contains('+'),
                special_use,
            }
        })
        .collect()
}

/// The lines that answer a command, without `* LIST ` and the delimiter.
fn answer(names: &str, command: &str) -> Vec<String> {
    let known = known(names);
    let request = parse(&Frame::from_line(format!("a {command}"))).unwrap();
    let mut out = ResponseBuffer::new();
    match request.command {
        Command::List(command) => {
            for line in list(&command, &known) {
                out.list(&line.entry());
            }
        }
        Command::Lsub { reference, pattern } => {
            for line in lsub(&reference, &pattern, &known) {
                out.lsub(&line.entry());
            }
        }
        other => panic!("{other:?}"),
    }
    let text = String::from_utf8(out.take().to_vec()).unwrap();
    text.lines().map(|line| line[7..].replace(" \"/\" ", " ")).collect()
}

/// The mailboxes of RFC 5258 section 5, as they are after its example 1.
const RFC5258: &str =
    "+INBOX Fruit/Apple +Fruit/Banana +-Fruit/Peach Tofu +Vegetable +Vegetable/Broccoli Vegetable/Corn";

#[test]
fn plain_list() {
    assert_eq!(
        answer("b a/x INBOX a", "LIST \"\" *"),
        ["(\\HasNoChildren) INBOX", "(\\HasChildren) a", "(\\HasNoChildren) a/x", "(\\HasNoChildren) b"]
    );
    assert_eq!(answer("b a/x INBOX a", "LIST \"\" %").len(), 3);
    assert_eq!(answer("b a/x a", "LIST a/ %"), ["(\\HasNoChildren) a/x"]);
    assert_eq!(answer("INBOX INBOX/x a", "LIST \"\" inbox*").len(), 2);
    assert_eq!(answer("a+ b", "LIST \"\" z"), [""; 0]);
    assert_eq!(answer("a b", "LIST \"\" \"\""), [""; 0]);
}

#[test]
fn levels_that_are_no_mailbox() {
    assert_eq!(answer("a/b/c", "LIST \"\" %"), ["(\\Noselect \\HasChildren) a"]);
    assert_eq!(answer("a/b/c", "LIST \"\" % RETURN ()"), ["(\\NonExistent \\HasChildren) a"]);
    assert_eq!(answer("a/b/c", "LIST \"\" a/%"), ["(\\Noselect \\HasChildren) a/b"]);
    assert_eq!(answer("+-a/b", "LIST \"\" %"), [""; 0], "a subscription makes no level");
}

#[test]
fn special_use_is_told_and_can_be_asked_for() {
    let names = "INBOX Sent\\Sent x/Old\\Archive x";
    assert!(answer(names, "LIST \"\" *").contains(&"(\\HasNoChildren \\Sent) Sent".to_owned()));
    assert_eq!(
        answer(names, "LIST (SPECIAL-USE) \"\" *"),
        ["(\\HasNoChildren \\Sent) Sent", "(\\HasNoChildren \\Archive) x/Old"]
    );
}

#[test]
fn examples_of_rfc_5258() {
    // Example 2: subscribed names, existing or not.
    assert_eq!(
        answer(RFC5258, "LIST (SUBSCRIBED) \"\" *"),
        [
            "(\\Subscribed \\HasNoChildren) INBOX",
            "(\\Subscribed \\HasNoChildren) Fruit/Banana",
            "(\\NonExistent \\Subscribed \\HasNoChildren) Fruit/Peach",
            "(\\Subscribed \\HasChildren) Vegetable",
            "(\\Subscribed \\HasNoChildren) Vegetable/Broccoli",
        ]
    );
    // Example 3: children.
    assert_eq!(
        answer(RFC5258, "LIST () \"\" % RETURN (CHILDREN)"),
        [
            "(\\HasNoChildren) INBOX",
            "(\\NonExistent \\HasChildren) Fruit",
            "(\\HasNoChildren) Tofu",
            "(\\HasChildren) Vegetable"
        ]
    );
    // Example 6: more than one pattern; example 4 with the subscribed attribute.
    assert_eq!(
        answer(RFC5258, "LIST \"\" (INBOX Tofu Vegetable/%) RETURN (SUBSCRIBED)"),
        [
            "(\\Subscribed \\HasNoChildren) INBOX",
            "(\\HasNoChildren) Tofu",
            "(\\Subscribed \\HasNoChildren) Vegetable/Broccoli",
            "(\\HasNoChildren) Vegetable/Corn"
        ]
    );
    // Example 8: parents of what is subscribed.
    let foo = "foo +foo/bar foo2 +-foo2/bar1 +foo2/bar2 baz";
    assert_eq!(
        answer(foo, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %"),
        [
            "(\\HasChildren) foo (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            "(\\HasChildren) foo2 (\"CHILDINFO\" (\"SUBSCRIBED\"))"
        ]
    );
    assert_eq!(
        answer(foo, "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" *bar2"),
        ["(\\Subscribed \\HasNoChildren) foo2/bar2"]
    );
}

#[test]
fn what_exists_is_told_for_status() {
    let request = parse(&Frame::from_line("a LIST (SUBSCRIBED) \"\" * RETURN (STATUS (MESSAGES))")).unwrap();
    let Command::List(command) = request.command else { panic!() };
    let listed = list(&command, &known("+a +-b"));
    assert_eq!(listed.iter().map(|line| line.exists).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn lsub_tells_subscriptions_and_their_levels() {
    let names = "+INBOX a +a/b +-gone/x c";
    assert_eq!(answer(names, "LSUB \"\" *"), ["() INBOX", "() a/b", "() gone/x"]);
    assert_eq!(answer(names, "LSUB \"\" %"), ["() INBOX", "(\\Noselect) a", "(\\Noselect) gone"]);
    assert_eq!(answer(names, "LSUB a/ %"), ["() a/b"]);
}
