//! The shell over loopback, with a maildrop in memory behind it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;

use tokio::task::JoinHandle;

use super::*;
use crate::net::testing::{DEADLINE, LineClient, tls_pair};

/// One maildrop in memory, of `ann`.
#[derive(Default)]
struct Memory {
    messages: Mutex<Vec<Option<Vec<u8>>>>,
    locked: Mutex<bool>,
    hold: Mutex<bool>,
}

struct Opened {
    door: Arc<Memory>,
    listed: Vec<Listed>,
}

struct Door(Arc<Memory>);

impl MaildropDoor for Door {
    type Maildrop = Opened;

    async fn log_in(&self, _: IpAddr, credentials: Credentials) -> Login<Opened> {
        tokio::task::yield_now().await;
        if (credentials.user.as_str(), credentials.password.reveal()) != ("ann", "pw") {
            return Login::Rejected;
        }
        if *self.0.hold.lock().unwrap() {
            return Login::Unavailable;
        }
        if std::mem::replace(&mut *self.0.locked.lock().unwrap(), true) {
            return Login::InUse;
        }
        let messages = self.0.messages.lock().unwrap();
        let one = |(uid, message): (u32, &Option<Vec<u8>>)| {
            let size = message.as_ref().map_or(0, Vec::len) as u64;
            Listed { size, uidl: Uidl::new(9, uid) }
        };
        Login::Opened(Opened { door: Arc::clone(&self.0), listed: (1..).zip(messages.iter()).map(one).collect() })
    }
}

impl Maildrop for Opened {
    fn list(&self) -> Vec<Listed> {
        self.listed.clone()
    }

    async fn fetch(&self, index: usize) -> FetchOutcome {
        if *self.door.hold.lock().unwrap() {
            return FetchOutcome::Unavailable;
        }
        match self.door.messages.lock().unwrap()[index].clone() {
            Some(message) => FetchOutcome::Message(message.into()),
            None => FetchOutcome::Gone,
        }
    }

    async fn remove(&self, indexes: Vec<usize>) -> RemoveOutcome {
        if *self.door.hold.lock().unwrap() {
            return RemoveOutcome::Unknown;
        }
        for index in indexes {
            self.door.messages.lock().unwrap()[index] = None;
        }
        RemoveOutcome::Done
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        *self.door.locked.lock().unwrap() = false;
    }
}

struct Running {
    memory: Arc<Memory>,
    at: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    client_tls: Arc<rustls::ClientConfig>,
}

async fn start(change: impl FnOnce(&mut PortConfig)) -> Running {
    let (server_tls, client_tls) = tls_pair();
    let memory = Arc::new(Memory::default());
    *memory.messages.lock().unwrap() =
        vec![Some(b"Subject: 1\r\n\r\n.one\r\n".to_vec()), Some(b"Subject: 2\r\n\r\ntwo\r\n".to_vec())];
    let mut session = SessionConfig::new("localhost");
    session.plaintext_login = true;
    let mut config = PortConfig::new(session, Entry::Plain);
    change(&mut config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let door = Arc::new(Door(Arc::clone(&memory)));
    let port = Port::new(config, door, Gate::new(10, 10), Some(server_tls)).unwrap();
    let task = tokio::spawn(port.serve(listener, shutdown.clone()));
    Running { memory, at, shutdown, task, client_tls }
}

impl Running {
    async fn connect(&self) -> LineClient {
        LineClient::plain(TcpStream::connect(self.at).await.unwrap())
    }

    async fn logged_in(&self) -> LineClient {
        let mut client = self.connect().await;
        assert_eq!(client.reply().await.unwrap(), "+OK localhost POP3 ready");
        assert_eq!(client.ask("USER ann\r\n").await, "+OK send PASS");
        assert_eq!(client.ask("PASS pw\r\n").await, "+OK 2 messages");
        client
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("an end in time").unwrap();
    }
}

#[tokio::test]
async fn messages_are_read_and_removed() {
    let server = start(|_| {}).await;
    let mut client = server.logged_in().await;
    assert_eq!(client.ask("UIDL\r\n").await, "+OK listing follows");
    assert_eq!(client.body().await, ["1 9.1", "2 9.2"]);
    assert_eq!(client.ask("RETR 1\r\n").await, "+OK message 1");
    assert_eq!(client.body().await, ["Subject: 1", "", "..one"]);
    assert_eq!(client.ask("DELE 1\r\n").await, "+OK marked");
    assert_eq!(client.ask("QUIT\r\n").await, "+OK messages removed; closing");
    assert_eq!(client.line().await, None);
    assert!(server.memory.messages.lock().unwrap()[0].is_none());
    assert!(server.memory.messages.lock().unwrap()[1].is_some());
    server.stop().await;
}

#[tokio::test]
async fn the_lock_is_held_for_the_session_and_no_longer() {
    let server = start(|_| {}).await;
    let mut first = server.logged_in().await;
    let mut second = server.connect().await;
    second.reply().await.unwrap();
    second.say("USER ann\r\nPASS pw\r\n").await;
    assert_eq!(second.reply().await.unwrap(), "+OK send PASS");
    assert!(second.reply().await.unwrap().starts_with("-ERR [IN-USE]"));
    first.ask("QUIT\r\n").await;
    second.say("USER ann\r\nPASS pw\r\n").await;
    second.reply().await.unwrap();
    assert_eq!(second.reply().await.unwrap(), "+OK 2 messages");
    drop((first, second));
    server.stop().await;
}

#[tokio::test]
async fn stls_and_implicit_tls() {
    let server = start(|config| config.session.plaintext_login = false).await;
    let mut client = server.connect().await;
    client.reply().await.unwrap();
    assert!(client.ask("USER ann\r\n").await.starts_with("-ERR [AUTH]"));
    assert!(client.ask("STLS\r\nUSER evil\r\n").await.starts_with("+OK"));
    let mut client = client.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.ask("PASS pw\r\n").await.starts_with("-ERR send USER first"), "nothing was carried over");
    assert_eq!(client.ask("AUTH PLAIN AGFubgBwdw==\r\n").await, "+OK 2 messages");
    drop(client);
    server.stop().await;

    let server = start(|config| config.entry = Entry::ImplicitTls).await;
    let mut client = server.connect().await.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.reply().await.unwrap().starts_with("+OK"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn n5_a_node_that_may_not_show_state_ends_the_session() {
    let server = start(|_| {}).await;
    let mut client = server.logged_in().await;
    *server.memory.hold.lock().unwrap() = true;
    assert!(client.ask("RETR 1\r\n").await.starts_with("-ERR [SYS/TEMP]"));
    assert_eq!(client.line().await, None);
    let mut client = server.connect().await;
    client.reply().await.unwrap();
    client.ask("USER ann\r\n").await;
    assert!(client.ask("PASS pw\r\n").await.starts_with("-ERR [SYS/TEMP]"));
    assert_eq!(client.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn n6_a_removal_of_unknown_outcome_closes_without_a_reply() {
    let server = start(|_| {}).await;
    let mut client = server.logged_in().await;
    client.ask("DELE 1\r\n").await;
    *server.memory.hold.lock().unwrap() = true;
    client.say("QUIT\r\n").await;
    assert_eq!(client.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn timeouts_and_shutdown_remove_nothing() {
    let server = start(|config| config.idle_timeout = Duration::from_millis(50)).await;
    let mut client = server.logged_in().await;
    client.say("DELE 1\r\n").await;
    assert_eq!(client.reply().await.unwrap(), "+OK marked");
    assert!(client.reply().await.unwrap().starts_with("-ERR idle"));
    assert_eq!(client.line().await, None);
    let mut client = server.connect().await;
    client.reply().await.unwrap();
    server.shutdown.cancel();
    assert!(client.reply().await.unwrap().starts_with("-ERR [SYS/TEMP] server is stopping"));
    assert!(server.memory.messages.lock().unwrap()[0].is_some());
    server.stop().await;
}
