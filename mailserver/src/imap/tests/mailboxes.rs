//! Mailboxes: listing, creating, renaming, deleting, subscribing, counting.

use super::*;

#[tokio::test]
async fn mailboxes_are_listed_with_what_they_are_for() {
    let server = start().await;
    let mut client = server.logged_in().await;
    assert_eq!(client.ok("LIST \"\" \"\"").await, ["* LIST (\\Noselect) \"/\" \"\""]);
    let all = client.ok("LIST \"\" *").await;
    assert_eq!(all.len(), 6);
    assert!(all[0].ends_with(" INBOX"));
    assert_eq!(with(&all, "\\Drafts"), ["* LIST (\\HasNoChildren \\Drafts) \"/\" Drafts"]);
    client.ok("CREATE Work/&ANw-bung/deep").await;
    let lines = client.ok("LIST \"\" Work/%").await;
    assert_eq!(lines, ["* LIST (\\HasChildren) \"/\" Work/&ANw-bung"]);
    assert_eq!(client.ok("LIST (SPECIAL-USE) \"\" * RETURN (SUBSCRIBED)").await.len(), 5);
    client.ok("UNSUBSCRIBE Junk").await;
    client.ok("SUBSCRIBE Elsewhere").await;
    let subscribed = client.ok("LSUB \"\" *").await;
    assert!(with(&subscribed, "Junk").is_empty() && with(&subscribed, "Elsewhere").len() == 1, "{subscribed:?}");
    let extended = client.ok("LIST (SUBSCRIBED) \"\" *").await;
    assert!(with(&extended, "Elsewhere")[0].contains("\\NonExistent"), "{extended:?}");
    assert_eq!(client.ok("NAMESPACE").await, ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]);
}

#[tokio::test]
async fn mailboxes_are_created_renamed_and_deleted() {
    let server = start().await;
    server.deliver_many(2).await;
    let mut client = server.logged_in().await;
    client.ok("CREATE a/b").await;
    assert!(client.done("CREATE a/b").await.starts_with("NO [ALREADYEXISTS]"));
    assert!(client.done("CREATE \"a/ b\"").await.starts_with("NO [CANNOT]"));
    assert!(client.done("CREATE x (USE (\\All))").await.starts_with("NO [USEATTR]"));
    assert!(client.done("CREATE x (USE (\\Sent))").await.starts_with("NO [USEATTR]"), "there is one");
    client.ok("RENAME a c").await;
    assert_eq!(client.ok("LIST \"\" c/*").await.len(), 1);
    assert!(client.done("RENAME a d").await.starts_with("NO [NONEXISTENT]"));
    client.ok("RENAME INBOX Old").await;
    assert_eq!(client.ok("STATUS Old (MESSAGES)").await, ["* STATUS Old (MESSAGES 2)"]);
    assert_eq!(client.ok("STATUS INBOX (MESSAGES)").await, ["* STATUS INBOX (MESSAGES 0)"]);
    assert!(client.done("DELETE INBOX").await.starts_with("NO [CANNOT]"));
    assert!(client.done("DELETE nowhere").await.starts_with("NO [NONEXISTENT]"));
    client.ok("SELECT c/b").await;
    client.ok("DELETE c/b").await;
    assert!(client.done("FETCH 1 UID").await.starts_with("BAD"), "what is deleted is no longer selected");
    assert!(client.done("SELECT c/b").await.starts_with("NO [NONEXISTENT]"));
}

#[tokio::test]
async fn a_mailbox_is_counted() {
    let server = start().await;
    server.deliver_many(3).await;
    let mut client = server.in_inbox().await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Seen \\Deleted)").await;
    let status = client.ok("STATUS INBOX (MESSAGES UNSEEN DELETED SIZE UIDNEXT RECENT)").await;
    let size = 3 * "Subject: 1\r\n\r\nbody 1\r\n".len();
    assert_eq!(status, [format!("* STATUS INBOX (MESSAGES 3 UNSEEN 2 DELETED 1 SIZE {size} UIDNEXT 4 RECENT 0)")]);
    let listed = client.ok("LIST \"\" % RETURN (STATUS (MESSAGES))").await;
    assert_eq!(with(&listed, "* STATUS").len(), 6);
    assert!(listed.contains(&"* STATUS INBOX (MESSAGES 3)".to_owned()));
    assert!(client.done("STATUS nowhere (MESSAGES)").await.starts_with("NO [NONEXISTENT]"));
    let opened = client.ok("SELECT INBOX").await;
    for line in [
        "* 3 EXISTS",
        "* 0 RECENT",
        "* OK [UNSEEN 2]",
        "* OK [UIDNEXT 4]",
        "* OK [HIGHESTMODSEQ ",
        "* OK [UIDVALIDITY ",
    ] {
        assert!(opened.iter().any(|told| told.starts_with(line)), "{line} in {opened:?}");
    }
    assert!(client.done("SELECT nowhere").await.starts_with("NO [NONEXISTENT]"));
    assert!(client.done("FETCH 1 UID").await.starts_with("BAD"), "a SELECT that fails leaves none selected");
}
