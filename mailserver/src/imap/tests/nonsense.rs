//! Commands put together at random: whatever is said, there is an answer, and the session goes on.

use super::pair::Steps;
use super::*;

const WORDS: [&str; 72] = [
    "FETCH",
    "STORE",
    "SEARCH",
    "COPY",
    "MOVE",
    "UID",
    "EXPUNGE",
    "SELECT",
    "EXAMINE",
    "STATUS",
    "LIST",
    "LSUB",
    "APPEND",
    "CREATE",
    "DELETE",
    "RENAME",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "CLOSE",
    "UNSELECT",
    "CHECK",
    "NOOP",
    "ID",
    "ENABLE",
    "NAMESPACE",
    "CAPABILITY",
    "INBOX",
    "Archive",
    "a/b",
    "\"\"",
    "*",
    "%",
    "1",
    "1:*",
    "*:3,7",
    "4294967295",
    "0",
    "1:2",
    "FLAGS",
    "+FLAGS",
    "-FLAGS.SILENT",
    "(\\Seen)",
    "(\\Deleted k)",
    "\\Seen",
    "ALL",
    "BODY[]",
    "BODY.PEEK[1.2.MIME]",
    "(BODY[HEADER.FIELDS (Subject)]<0.5> ENVELOPE)",
    "BODYSTRUCTURE",
    "FULL",
    "(UID MODSEQ)",
    "(CHANGEDSINCE 1)",
    "(CHANGEDSINCE 1 VANISHED)",
    "(UNCHANGEDSINCE 3)",
    "QRESYNC",
    "(QRESYNC (1 1))",
    "(CONDSTORE)",
    "UNSEEN",
    "NOT",
    "OR",
    "TEXT",
    "x",
    "MODSEQ",
    "RETURN (MIN COUNT)",
    "SINCE 1-Jan-2020",
    "{3+}\r\nabc",
    "{14+}\r\nSubject: x\r\n\r\n",
    "(",
    ")",
    "\"",
    "(MESSAGES SIZE)",
    "NIL",
];

#[tokio::test]
async fn whatever_is_said_there_is_an_answer() {
    let server = start().await;
    server.deliver_many(5).await;
    let mut steps = Steps(7);
    let mut client = server.in_inbox().await;
    let mut understood = 0;
    for round in 0..6000 {
        let mut line = String::new();
        for at in 0..=steps.next(5) {
            // The first word is a command more often than not.
            let below = if at == 0 && steps.next(10) > 0 { 26 } else { WORDS.len() as u64 };
            line.push_str(WORDS[usize::try_from(steps.next(below)).unwrap()]);
            line.push(' ');
        }
        let line = line.trim_end_matches(' ');
        let tag = client.begin(line).await;
        loop {
            let answer = client.line_or_end().await.unwrap_or_else(|| panic!("no answer to {line:?}"));
            if answer.starts_with(&format!("{tag} ")) {
                understood += usize::from(!answer.contains(" BAD "));
                break;
            }
            assert!(!answer.starts_with("* BYE"), "{line:?}: {answer}");
        }
        if round % 100 == 0 {
            client.ok("SELECT INBOX").await;
            server.deliver_many(1).await;
        }
    }
    assert!(understood > 400, "{understood} commands meant something");
    client.ok("LOGOUT").await;
}
