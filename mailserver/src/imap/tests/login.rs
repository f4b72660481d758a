//! Logging in, TLS, limits.

use super::*;

#[tokio::test]
async fn the_three_ways_to_log_in() {
    let server = start().await;
    for login in
        ["LOGIN ann pw", "LOGIN {3+}\r\nann \"pw\"", "AUTHENTICATE PLAIN AGFubgBwdw==", "LOGIN ann@example.com pw"]
    {
        let mut client = server.connect().await;
        let completion = client.done(login).await;
        assert!(completion.starts_with("OK [CAPABILITY IMAP4rev1 "), "{completion}");
        assert!(completion.contains(" QRESYNC ") && !completion.contains("AUTH="), "{completion}");
        assert!(client.done("LOGIN ann pw").await.starts_with("BAD"), "once is enough");
        let (untagged, completion) = client.ask("LOGOUT").await;
        assert!(untagged[0].starts_with("* BYE") && completion.starts_with("OK"));
        assert_eq!(client.line_or_end().await, None);
    }
    let mut client = server.connect().await;
    let tag = client.begin("AUTHENTICATE PLAIN").await;
    assert_eq!(client.line().await, "+ ");
    client.say("AGFubgBwdw==\r\n").await;
    assert!(client.finish(&tag).await.1.starts_with("OK"));
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_the_fifth_is_the_last() {
    let server = start().await;
    let mut client = server.connect().await;
    for wrong in ["LOGIN ann no", "LOGIN nobody pw", "AUTHENTICATE PLAIN AGFubgB4", "LOGIN {3}\r\n"] {
        if wrong.ends_with("\r\n") {
            client.say(format!("x {wrong}")).await;
            assert!(client.line().await.starts_with("+ "));
            client.say("ann {2}\r\n").await;
            assert!(client.line().await.starts_with("+ "));
            client.say("no\r\n").await;
            assert!(client.line().await.starts_with("x NO [AUTHENTICATIONFAILED]"));
        } else {
            assert!(client.done(wrong).await.starts_with("NO [AUTHENTICATIONFAILED]"), "{wrong}");
        }
    }
    assert!(client.done("SELECT INBOX").await.starts_with("BAD"), "nothing is shown to a stranger");
    client.begin("LOGIN ann no").await;
    assert!(client.line().await.starts_with("* BYE"));
    assert_eq!(client.line_or_end().await, None);
}

#[tokio::test]
async fn without_tls_no_password_is_taken() {
    let server = start_with(|config| config.plaintext_login = false).await;
    let mut client = server.connect().await;
    let offered = client.ok("CAPABILITY").await;
    assert!(offered[0].contains("STARTTLS LOGINDISABLED") && !offered[0].contains("AUTH="));
    assert!(client.done("LOGIN ann pw").await.starts_with("NO [PRIVACYREQUIRED]"));
    // What stands behind STARTTLS in plain text is not taken for something said under TLS.
    let (_, completion) = client.ask("STARTTLS\r\nevil NOOP").await;
    assert!(completion.starts_with("OK"));
    let mut client = client.start_tls(Arc::clone(&server.client_tls)).await;
    let offered = client.ok("CAPABILITY").await;
    assert_eq!(offered.len(), 1, "no answer to evil: {offered:?}");
    assert!(offered[0].contains("AUTH=PLAIN") && !offered[0].contains("STARTTLS"));
    client.ok("LOGIN ann pw").await;
    assert!(client.done("STARTTLS").await.starts_with("BAD"));
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let server = start_with(|config| config.entry = Entry::ImplicitTls).await;
    let client = server.stranger().await;
    let mut client = client.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.line().await.contains("AUTH=PLAIN"));
    client.ok("LOGIN ann pw").await;
}

#[tokio::test]
async fn an_account_has_so_many_sessions() {
    let server = start().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(server.logged_in().await);
    }
    let mut sixth = server.connect().await;
    assert!(sixth.done("LOGIN ann pw").await.starts_with("NO [LIMIT]"));
    clients.pop().unwrap().ok("LOGOUT").await;
    sixth.ok("LOGIN ann pw").await;
}

#[tokio::test]
async fn a_silent_stranger_and_a_silent_user_are_sent_away() {
    let server = start_with(|config| {
        config.login_timeout = Duration::from_millis(30);
        config.idle_timeout = Duration::from_millis(200);
    })
    .await;
    let mut stranger = server.connect().await;
    assert!(stranger.line().await.starts_with("* BYE"));
    assert_eq!(stranger.line_or_end().await, None);
    let mut user = server.connect().await;
    user.ok("LOGIN ann pw").await;
    assert!(user.line().await.starts_with("* BYE"));
}

#[tokio::test]
async fn a_stranger_who_keeps_talking_is_sent_away_too() {
    let server = start_with(|config| config.login_timeout = Duration::from_millis(100)).await;
    let mut stranger = server.connect().await;
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        stranger.say("a NOOP\r\n").await;
        let line = stranger.line().await;
        if line.starts_with("* BYE") {
            break;
        }
        assert!(line.starts_with("a OK") && tokio::time::Instant::now() < end, "{line}");
    }
}

#[tokio::test]
async fn a_shutdown_is_told_to_all() {
    let server = start().await;
    let mut reading = server.logged_in().await;
    let mut idling = server.in_inbox().await;
    idling.begin("IDLE").await;
    assert!(idling.line().await.starts_with("+ "));
    server.shutdown.cancel();
    for client in [&mut reading, &mut idling] {
        assert!(client.line().await.starts_with("* BYE [UNAVAILABLE] server is stopping"));
        assert_eq!(client.line_or_end().await, None);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_too_long_ends_the_connection_or_is_refused_before_it_is_sent() {
    let server = start_with(|config| config.message_max_bytes = 1000).await;
    let mut client = server.connect().await;
    client.say("a ".to_owned() + &"x".repeat(10_000) + "\r\n").await;
    assert!(client.line().await.starts_with("* BYE"));
    let mut client = server.logged_in().await;
    client.say("a APPEND INBOX {1001}\r\n").await;
    assert!(client.line().await.starts_with("a NO [TOOBIG]"));
    client.ok("NOOP").await;
    client.say("a APPEND INBOX {1001+}\r\n").await;
    assert!(client.line().await.starts_with("* BYE [TOOBIG]"));
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let server = start().await;
    server.deliver_many(2).await;
    let mut client = server.logged_in().await;
    client
        .say("a SELECT INBOX\r\nb STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc EXPUNGE\r\nd FETCH 1 UID\r\ne LOGOUT\r\n")
        .await;
    let mut all = Vec::new();
    while let Some(line) = client.line_or_end().await {
        all.push(line);
    }
    let place =
        |text: &str| all.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{text} in {all:?}"));
    let order = ["a OK", "b OK", "* 1 EXPUNGE", "c OK", "* 1 FETCH (UID 2)", "d OK", "* BYE", "e OK"].map(place);
    assert!(order.is_sorted(), "{all:?}");
}
