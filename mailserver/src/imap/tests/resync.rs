//! CONDSTORE and QRESYNC (RFC 7162).

use super::*;

/// The number behind a word.
fn number_after(lines: &[String], word: &str) -> u64 {
    let line = lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in {lines:?}"));
    let rest = line.split(word).nth(1).unwrap();
    let digits: String = rest.trim_start_matches([' ', '(']).chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test]
async fn a_store_tells_what_others_changed_first() {
    let server = start().await;
    server.deliver_many(2).await;
    let (mut one, mut two) = (server.in_inbox().await, server.in_inbox().await);
    let known = number_after(&one.ok("FETCH 1 MODSEQ").await, "MODSEQ (");
    two.ok("STORE 1 +FLAGS (\\Flagged)").await;
    let (lines, completion) = one.ask(&format!("STORE 1:2 (UNCHANGEDSINCE {known}) +FLAGS.SILENT (\\Deleted)")).await;
    assert!(completion.starts_with("OK [MODIFIED 1:2]") || completion.starts_with("OK [MODIFIED 1]"), "{completion}");
    assert!(with(&lines, "* 1 FETCH (UID 1 FLAGS (\\Flagged) MODSEQ (").len() == 1, "{lines:?}");
    let now = number_after(&one.ok("FETCH 2 MODSEQ").await, "MODSEQ (");
    let (lines, completion) = one.ask(&format!("UID STORE 2 (UNCHANGEDSINCE {now}) +FLAGS.SILENT (\\Answered)")).await;
    assert!(completion.starts_with("OK stored"), "{completion}");
    assert!(lines[0].starts_with("* 2 FETCH (UID 2 MODSEQ ("), "silent, but the mod-sequence is told: {lines:?}");
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed() {
    let server = start().await;
    server.deliver_many(5).await;
    let mut client = server.logged_in().await;
    assert!(client.done("SELECT INBOX (QRESYNC (1 1))").await.starts_with("BAD"));
    assert_eq!(client.ok("ENABLE QRESYNC X-NOTHING").await, ["* ENABLED QRESYNC"]);
    let opened = client.ok("SELECT INBOX").await;
    let (validity, modseq) = (number_after(&opened, "UIDVALIDITY"), number_after(&opened, "HIGHESTMODSEQ"));
    client.ok("LOGOUT").await;

    let mut other = server.in_inbox().await;
    other.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    other.ok("UID STORE 3 +FLAGS.SILENT (\\Flagged)").await;
    server.deliver("Subject: 6\r\n\r\n").await;

    let mut client = server.logged_in().await;
    client.ok("ENABLE QRESYNC").await;
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:5))")).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 2,4"]);
    let told = with(&lines, " FETCH (");
    assert_eq!(told.len(), 1, "only what it knows: {lines:?}");
    assert!(told[0].starts_with("* 2 FETCH (UID 3 FLAGS (\\Flagged) MODSEQ ("));
    // With another UIDVALIDITY it knows nothing.
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({} {modseq} 1:5))", validity + 1)).await;
    assert!(lines[0].starts_with("* OK [CLOSED]"));
    assert!(with(&lines, "VANISHED").is_empty() && with(&lines, " FETCH (").is_empty());
    // One that knows more than anybody said is told everything.
    let lines = client.ok(&format!("SELECT INBOX (QRESYNC ({validity} {} 1:5))", modseq + 1000)).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 2,4"]);
    assert_eq!(with(&lines, " FETCH (").len(), 3);
    let lines = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert_eq!(with(&lines, "VANISHED"), ["* VANISHED (EARLIER) 2,4"]);
    assert_eq!(with(&lines, " FETCH (").len(), 2);
}

#[tokio::test]
async fn with_qresync_what_goes_is_told_by_uid() {
    let server = start().await;
    server.deliver_many(4).await;
    let mut client = server.logged_in().await;
    client.ok("ENABLE QRESYNC").await;
    client.ok("SELECT INBOX").await;
    let mut other = server.in_inbox().await;
    other.ok("STORE 2:3 +FLAGS.SILENT (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    assert_eq!(client.ok("NOOP").await, ["* VANISHED 2:3"]);
    assert_eq!(client.ok("FETCH 2 UID").await, ["* 2 FETCH (UID 4)"]);
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let (lines, completion) = client.ask("EXPUNGE").await;
    assert_eq!(lines, ["* VANISHED 1"]);
    let told = number_after(std::slice::from_ref(&completion), "HIGHESTMODSEQ");
    assert_eq!(number_after(&client.ok("STATUS INBOX (HIGHESTMODSEQ)").await, "HIGHESTMODSEQ"), told, "{completion}");
    let (lines, _) = client.ask("UID MOVE 4 Archive").await;
    assert!(lines[0].contains("[COPYUID") && lines[1] == "* VANISHED 4", "{lines:?}");
}

#[tokio::test]
async fn a_word_of_modseq_enables_condstore() {
    let server = start().await;
    server.deliver_many(1).await;
    let mut client = server.in_inbox().await;
    let lines = client.ok("STATUS INBOX (HIGHESTMODSEQ)").await;
    assert_eq!(with(&lines, "* OK [HIGHESTMODSEQ ").len(), 1);
    server.in_inbox().await.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert!(client.ok("NOOP").await[0].starts_with("* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ("));
    let found = client.ok("SEARCH MODSEQ 1").await;
    assert!(found[0].starts_with("* SEARCH 1 (MODSEQ "), "{found:?}");
    assert!(client.done("UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)").await.starts_with("BAD"), "that is QRESYNC's");
}
