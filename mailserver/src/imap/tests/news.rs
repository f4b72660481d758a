//! What a session is told of what others do.

use super::*;

#[tokio::test]
async fn what_others_do_is_told_between_commands() {
    let server = start().await;
    server.deliver_many(3).await;
    let (mut one, mut two) = (server.in_inbox().await, server.in_inbox().await);
    two.ok("STORE 3 +FLAGS (\\Flagged)").await;
    two.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    two.ok("EXPUNGE").await;
    server.deliver("Subject: 4\r\n\r\n").await;
    // No EXPUNGE while sequence numbers are in use: 2 is still 2.
    let lines = one.ok("FETCH 2 UID").await;
    assert_eq!(with(&lines, "EXPUNGE"), [] as [&str; 0]);
    assert_eq!(with(&lines, "* 2 FETCH (UID 2)").len(), 1, "{lines:?}");
    assert_eq!(with(&lines, "* 3 FETCH (UID 3 FLAGS (\\Flagged))").len(), 1, "{lines:?}");
    assert_eq!(with(&lines, "* 4 EXISTS").len(), 1, "{lines:?}");
    let (lines, completion) = one.ask("FETCH 1 FLAGS").await;
    assert!(lines.is_empty() && completion.starts_with("NO [EXPUNGEISSUED]"), "{completion}");
    assert_eq!(one.ok("SEARCH ALL").await, ["* SEARCH 2 3 4"]);
    assert_eq!(one.ok("NOOP").await, ["* 1 EXPUNGE"]);
    assert!(one.ok("NOOP").await.is_empty());
    assert_eq!(one.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 2)"]);
}

#[tokio::test]
async fn idle_tells_at_once() {
    let server = start().await;
    let (mut idling, mut other) = (server.in_inbox().await, server.in_inbox().await);
    let tag = idling.begin("IDLE").await;
    assert!(idling.line().await.starts_with("+ "));
    server.deliver_many(1).await;
    assert_eq!(idling.line().await, "* 1 EXISTS");
    other.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(idling.line().await, "* 1 FETCH (UID 1 FLAGS (\\Seen))");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(idling.line().await, "* 1 FETCH (UID 1 FLAGS (\\Seen \\Deleted))");
    other.ok("EXPUNGE").await;
    assert_eq!(idling.line().await, "* 1 EXPUNGE");
    idling.say("DONE\r\n").await;
    assert!(idling.finish(&tag).await.1.starts_with("OK"));
    let tag = idling.begin("IDLE").await;
    assert!(idling.line().await.starts_with("+ "));
    idling.say("done?\r\n").await;
    assert!(idling.finish(&tag).await.1.starts_with("BAD"));
}

#[tokio::test]
async fn what_happened_before_idle_is_told_when_it_begins() {
    let server = start().await;
    let mut client = server.in_inbox().await;
    server.deliver_many(2).await;
    client.begin("IDLE").await;
    assert!(client.line().await.starts_with("+ "));
    assert_eq!(client.line().await, "* 2 EXISTS");
}

#[tokio::test]
async fn more_changes_than_are_remembered_are_told_all_the_same() {
    let server = start().await;
    let mut client = server.in_inbox().await;
    client.begin("IDLE").await;
    assert!(client.line().await.starts_with("+ "));
    // More at once than the broadcast holds; this task does not yield in between.
    for _ in 0..100 {
        server.deliver("x\r\n").await;
    }
    loop {
        if client.line().await == "* 100 EXISTS" {
            break;
        }
    }
}

#[tokio::test]
async fn idle_is_kept_alive() {
    let server = start_with(|config| config.keepalive_interval = Duration::from_millis(20)).await;
    let mut client = server.in_inbox().await;
    let tag = client.begin("IDLE").await;
    assert!(client.line().await.starts_with("+ "));
    assert_eq!(client.line().await, "* OK still here");
    client.say("DONE\r\n").await;
    assert!(client.finish(&tag).await.1.starts_with("OK"));
}

#[tokio::test]
async fn a_mailbox_that_another_session_deletes_ends_this_one() {
    let server = start().await;
    let mut client = server.logged_in().await;
    client.ok("CREATE gone").await;
    client.ok("SELECT gone").await;
    let mut idling = server.logged_in().await;
    idling.ok("SELECT gone").await;
    idling.begin("IDLE").await;
    assert!(idling.line().await.starts_with("+ "));
    server.logged_in().await.ok("DELETE gone").await;
    assert!(idling.line().await.starts_with("* BYE"));
    client.begin("FETCH 1:* FLAGS").await;
    assert!(client.line().await.starts_with("* BYE"));
    assert_eq!(client.line_or_end().await, None);
}

#[tokio::test]
async fn a_mailbox_that_is_renamed_stays_selected() {
    let server = start().await;
    let mut client = server.logged_in().await;
    client.ok("CREATE before").await;
    client.append("before", "x\r\n").await;
    client.ok("SELECT before").await;
    server.logged_in().await.ok("RENAME before after").await;
    assert_eq!(client.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
}

#[tokio::test]
async fn an_account_that_is_closed_ends_its_sessions() {
    let server = start().await;
    let mut client = server.in_inbox().await;
    client.begin("IDLE").await;
    assert!(client.line().await.starts_with("+ "));
    server.service.delete_account("ann@example.com").await.unwrap();
    assert!(client.line().await.starts_with("* BYE"));
    assert_eq!(client.line_or_end().await, None);
}

#[tokio::test]
async fn idle_without_a_mailbox_waits_too() {
    let server = start().await;
    let mut client = server.logged_in().await;
    let tag = client.begin("IDLE").await;
    assert!(client.line().await.starts_with("+ "));
    server.deliver_many(1).await;
    client.say("DONE\r\n").await;
    let (untagged, completion) = client.finish(&tag).await;
    assert!(untagged.is_empty() && completion.starts_with("OK"));
}
