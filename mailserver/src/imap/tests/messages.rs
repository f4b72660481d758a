//! Messages: reading, marking, adding, copying, moving, removing, searching.

use super::*;

const MULTIPART: &str = "From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nSubject: parts\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\
    Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--b--\r\n";

#[tokio::test]
async fn a_message_is_shown_in_every_way() {
    let server = start().await;
    server.deliver(MULTIPART).await;
    let mut client = server.in_inbox().await;
    let lines = client.ok("FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)").await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(
        line.starts_with("* 1 FETCH (UID 1 FLAGS () INTERNALDATE \"09-Sep-2001 01:46:40 +0000\" RFC822.SIZE "),
        "{line}"
    );
    assert!(
        line.contains("ENVELOPE (\"Mon, 1 Jan 2024 10:00:00 +0000\" \"parts\" ((\"Ann\" NIL \"ann\" \"example.com\"))"),
        "{line}"
    );
    assert!(
        line.contains("BODYSTRUCTURE ((\"TEXT\" \"PLAIN\"") || line.contains("BODYSTRUCTURE ((\"text\" \"plain\""),
        "{line}"
    );
    assert_eq!(client.ok("FETCH 1 BODY.PEEK[1]").await, ["* 1 FETCH (BODY[1] {5}", "plain)"]);
    assert_eq!(client.ok("FETCH 1 BODY.PEEK[2]<3.4>").await, ["* 1 FETCH (BODY[2]<3> {4}", "html)"]);
    assert_eq!(client.ok("FETCH 1 BODY.PEEK[9]").await, ["* 1 FETCH (BODY[9] NIL)"]);
    let header = client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]").await;
    assert_eq!(header, ["* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {18}", "Subject: parts", "", ")"]);
    let whole = client.ok("FETCH 1 BODY.PEEK[]").await.join("\r\n");
    assert_eq!(whole, format!("* 1 FETCH (BODY[] {{{}}}\r\n{MULTIPART})", MULTIPART.len()));
}

#[tokio::test]
async fn reading_marks_as_seen_unless_it_peeks_or_only_examines() {
    let server = start().await;
    server.deliver_many(3).await;
    let mut client = server.in_inbox().await;
    assert!(with(&client.ok("FETCH 1 BODY.PEEK[TEXT]").await, "FLAGS").is_empty());
    let lines = client.ok("FETCH 1:2 BODY[TEXT]").await;
    assert_eq!(with(&lines, "FLAGS (\\Seen)").len(), 2, "told with the text, and once: {lines:?}");
    assert_eq!(
        client.ok("FETCH 1:3 FLAGS").await,
        ["* 1 FETCH (FLAGS (\\Seen))", "* 2 FETCH (FLAGS (\\Seen))", "* 3 FETCH (FLAGS ())"]
    );
    client.ok("EXAMINE INBOX").await;
    client.ok("FETCH 3 BODY[TEXT]").await;
    assert_eq!(client.ok("FETCH 3 FLAGS").await, ["* 3 FETCH (FLAGS ())"]);
    assert!(client.done("STORE 3 +FLAGS (\\Seen)").await.starts_with("NO"));
    assert!(client.done("EXPUNGE").await.starts_with("NO"));
}

#[tokio::test]
async fn flags_are_set_replaced_and_taken_away() {
    let server = start().await;
    server.deliver_many(2).await;
    let mut client = server.in_inbox().await;
    assert_eq!(client.ok("STORE 1 FLAGS (\\Flagged $Later)").await, ["* 1 FETCH (UID 1 FLAGS (\\Flagged $Later))"]);
    assert_eq!(
        client.ok("STORE 1 +FLAGS (\\Flagged)").await,
        ["* 1 FETCH (UID 1 FLAGS (\\Flagged $Later))"],
        "told also where nothing changes"
    );
    assert_eq!(client.ok("UID STORE 1:2 -FLAGS ($later)").await.len(), 2);
    assert!(client.ok("STORE 1:* +FLAGS.SILENT (\\Answered)").await.is_empty());
    assert_eq!(
        client.ok("FETCH 1:2 FLAGS").await,
        ["* 1 FETCH (FLAGS (\\Answered \\Flagged))", "* 2 FETCH (FLAGS (\\Answered))"]
    );
    assert!(client.done("STORE 3 +FLAGS (\\Seen)").await.starts_with("BAD"), "no such number");
    assert!(client.done("UID STORE 3 +FLAGS (\\Seen)").await.starts_with("OK"), "no such UID is no error");
    let keywords = client.ok("SELECT INBOX").await;
    assert!(with(&keywords, "PERMANENTFLAGS").first().unwrap().contains("\\*"));
}

#[tokio::test]
async fn messages_are_appended_and_told() {
    let server = start().await;
    let mut client = server.in_inbox().await;
    let completion =
        client.append("INBOX (\\Seen $x) \"01-Feb-2003 04:05:06 +0100\"", "Subject: new\r\n\r\nhi\r\n").await;
    assert!(completion.starts_with("OK [APPENDUID ") && completion.contains(" 1] "), "{completion}");
    let lines = client.ok("FETCH 1 (FLAGS INTERNALDATE BODY[TEXT])").await;
    assert!(lines[0].contains("FLAGS (\\Seen $x) INTERNALDATE \"01-Feb-2003 03:05:06 +0000\""), "{lines:?}");
    let tag = client.begin("APPEND INBOX {4}").await;
    assert!(client.line().await.starts_with("+ "));
    client.say("hi\r\n\r\n").await;
    let (untagged, completion) = client.finish(&tag).await;
    assert_eq!(untagged, ["* 2 EXISTS"]);
    assert!(completion.starts_with("OK [APPENDUID"));
    assert!(client.append("Nowhere", "x").await.starts_with("NO [TRYCREATE]"));
    assert!(client.append("INBOX", "").await.starts_with("NO"));
}

#[tokio::test]
async fn messages_are_copied_moved_and_expunged() {
    let server = start().await;
    server.deliver_many(4).await;
    let mut client = server.in_inbox().await;
    assert!(client.done("COPY 1 Nowhere").await.starts_with("NO [TRYCREATE]"));
    let copied = client.done("COPY 1:2 Archive").await;
    assert!(copied.starts_with("OK [COPYUID ") && copied.contains(" 1:2 1:2]"), "{copied}");
    let (untagged, completion) = client.ask("UID MOVE 2,4 Archive").await;
    assert!(untagged[0].starts_with("* OK [COPYUID ") && untagged[0].contains(" 2,4 3:4]"), "{untagged:?}");
    assert_eq!(untagged[1..], ["* 2 EXPUNGE", "* 3 EXPUNGE"]);
    assert!(completion.starts_with("OK"));
    client.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("UID EXPUNGE 3").await, ["* 2 EXPUNGE"]);
    assert_eq!(client.ok("EXPUNGE").await, ["* 1 EXPUNGE"]);
    assert!(client.ok("EXPUNGE").await.is_empty());
    let selected = client.ok("SELECT Archive").await;
    assert!(selected.contains(&"* 4 EXISTS".to_owned()));
    client.ok("STORE 1,3 +FLAGS.SILENT (\\Deleted)").await;
    assert!(client.ok("CLOSE").await.is_empty(), "CLOSE tells nothing");
    assert!(client.ok("EXAMINE Archive").await.contains(&"* 2 EXISTS".to_owned()));
    client.ok("UNSELECT").await;
    assert!(client.done("FETCH 1 UID").await.starts_with("BAD"));
}

#[tokio::test]
async fn searches_find_by_flags_numbers_dates_and_text() {
    let server = start().await;
    server.deliver_many(3).await;
    server.deliver(MULTIPART).await;
    let mut client = server.in_inbox().await;
    client.ok("STORE 2 +FLAGS.SILENT (\\Seen)").await;
    for (program, found) in [
        ("ALL", "1 2 3 4"),
        ("UNSEEN", "1 3 4"),
        ("SUBJECT 3", "3"),
        ("TEXT \"body 1\"", "1"),
        ("BODY html", "4"),
        ("OR SEEN SUBJECT parts", "2 4"),
        ("NOT 2:3", "1 4"),
        ("SENTBEFORE 2-Jan-2024 FROM ann", "4"),
        ("SINCE 1-Jan-2020", ""),
        ("LARGER 100", "4"),
        ("RECENT", ""),
    ] {
        let expected = format!("* SEARCH {found}");
        assert_eq!(client.ok(&format!("SEARCH {program}")).await, [expected.trim_end()], "{program}");
    }
    let extended = client.ok("UID SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN").await;
    assert!(extended[0].contains(" UID MIN 1 MAX 4 ALL 1,3:4 COUNT 3"), "{extended:?}");
    assert!(client.ok("UID SEARCH RETURN () MODSEQ 1").await.last().unwrap().contains(" MODSEQ "));
}

#[tokio::test]
async fn large_messages_and_long_lists_arrive_whole() {
    let server = start().await;
    let long = format!("Subject: long\r\n\r\n{}", "0123456789abcdef\r\n".repeat(20_000));
    server.deliver(&long).await;
    server.deliver_many(300).await;
    let mut client = server.in_inbox().await;
    let whole = client.ok("FETCH 1 BODY[]").await.join("\r\n");
    assert!(whole.starts_with(&format!("* 1 FETCH (BODY[] {{{}}}\r\n{long}", long.len())));
    assert!(whole.ends_with("FLAGS (\\Seen))"));
    assert_eq!(with(&client.ok("FETCH 1:* (UID BODY.PEEK[HEADER])").await, " FETCH (UID ").len(), 301);
    assert_eq!(client.ok("SEARCH BODY cdef").await, ["* SEARCH 1"]);
}
