//! The rules of the mirror as a client meets them.

use super::*;
use crate::service::memory::Mood;

#[tokio::test]
async fn n5_what_would_show_state_ends_the_session_where_none_may_be_shown() {
    for command in [
        "FETCH 1 FLAGS",
        "UID SEARCH ALL",
        "NOOP",
        "SELECT INBOX",
        "STATUS INBOX (MESSAGES)",
        "LIST \"\" *",
        "LSUB \"\" *",
        "IDLE",
    ] {
        let (server, core) = start_with_core().await;
        server.deliver_many(1).await;
        let mut client = server.in_inbox().await;
        core.set_mood(Mood::Holding);
        client.begin(command).await;
        assert!(client.line().await.starts_with("* BYE [UNAVAILABLE]"), "{command}");
        assert_eq!(client.line_or_end().await, None, "{command}");
    }
}

#[tokio::test]
async fn n6_a_change_is_refused_before_anything_is_written() {
    let (server, core) = start_with_core().await;
    server.deliver_many(1).await;
    let mut client = server.in_inbox().await;
    core.set_mood(Mood::Holding);
    for command in [
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 Archive",
        "MOVE 1 Archive",
        "EXPUNGE",
        "CREATE x",
        "DELETE Junk",
        "RENAME Junk x",
        "SUBSCRIBE x",
    ] {
        assert!(client.done(command).await.starts_with("NO [UNAVAILABLE]"), "{command}");
    }
    assert!(client.append("INBOX", "x\r\n").await.starts_with("NO [UNAVAILABLE]"));
    core.set_mood(Mood::Serving);
    assert_eq!(client.ok("FETCH 1:* FLAGS").await, ["* 1 FETCH (FLAGS ())"], "the session goes on");
}

#[tokio::test]
async fn n6_an_unknown_outcome_is_not_answered() {
    for command in
        ["STORE 1 +FLAGS (\\Seen)", "FETCH 1 BODY[]", "MOVE 1 Archive", "CREATE x", "APPEND INBOX {3+}\r\nx\r\n"]
    {
        let (server, core) = start_with_core().await;
        server.deliver_many(1).await;
        let mut client = server.in_inbox().await;
        core.set_mood(Mood::Losing);
        client.begin(command).await;
        assert_eq!(client.line_or_end().await, None, "{command}");
    }
}

#[tokio::test]
async fn a_full_disk_takes_no_mail_and_shows_all_there_is() {
    let (server, core) = start_with_core().await;
    server.deliver_many(1).await;
    let mut client = server.in_inbox().await;
    core.set_mood(Mood::Full);
    assert!(client.append("INBOX", "x\r\n").await.starts_with("NO [UNAVAILABLE] there is no space"));
    let lines = client.ok("FETCH 1 (FLAGS BODY[TEXT])").await;
    assert!(lines[0].starts_with("* 1 FETCH (FLAGS () BODY[TEXT] "), "shown, and not marked as seen: {lines:?}");
}

#[tokio::test]
async fn n4_each_command_has_its_read_point() {
    let (server, core) = start_with_core().await;
    server.deliver_many(1).await;
    let mut client = server.in_inbox().await;
    // What has no read point sees the past from here on; every command must not.
    core.lag();
    server.deliver("Subject: 2\r\n\r\n").await;
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await[0], "* STATUS INBOX (MESSAGES 2)");
    assert!(client.ok("FETCH 1:* UID").await.contains(&"* 2 FETCH (UID 2)".to_owned()));
    assert_eq!(client.ok("UID SEARCH SUBJECT 2").await, ["* SEARCH 2"]);
    assert!(client.ok("SELECT INBOX").await.contains(&"* 2 EXISTS".to_owned()));
}
