//! Sessions over loopback, with the rules of the model in memory behind them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forgetful;
mod fork;
mod large;
mod login;
mod mailboxes;
mod messages;
mod mirror_rules;
mod news;
mod nonsense;
mod numbering;
mod oracle;
mod pair;
mod resync;

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::*;
use crate::net::testing::{DEADLINE, LineClient, tls_pair};
use crate::service::AccountHandle;
use crate::service::memory::{MemoryCore, service};

pub(super) struct Running {
    pub(super) at: SocketAddr,
    pub(super) service: Service,
    pub(super) ann: AccountHandle,
    pub(super) client_tls: Arc<rustls::ClientConfig>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// A port on this service, with the account of ann.
pub(super) async fn start_on(service: Service, change: impl FnOnce(&mut PortConfig)) -> Running {
    let ann = service.create_account("ann@example.com", "pw").await.unwrap();
    let (server_tls, client_tls) = tls_pair();
    let mut config = PortConfig::new("localhost", Entry::Plain);
    config.plaintext_login = true;
    config.failure_delay = Duration::ZERO;
    change(&mut config);
    let room = Room::new(1 << 20);
    let commons = Commons::new(service.clone(), Gate::new(10, 10), room, Some(server_tls), 5);
    let port = Port::new(config, commons).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(port.serve(listener, shutdown.clone()));
    Running { at, service, ann, client_tls, shutdown, task }
}

pub(super) async fn start_with(change: impl FnOnce(&mut PortConfig)) -> Running {
    start_on(service().0, change).await
}

/// With the engine in memory, to change its mood.
pub(super) async fn start_with_core() -> (Running, Arc<MemoryCore>) {
    let (service, core) = service();
    (start_on(service, |_| {}).await, core)
}

pub(super) async fn start() -> Running {
    start_with(|_| {}).await
}

impl Running {
    pub(super) async fn connect(&self) -> Client {
        Client::connect(self.at).await
    }

    /// Before the greeting.
    pub(super) async fn stranger(&self) -> Client {
        Client { lines: LineClient::plain(TcpStream::connect(self.at).await.unwrap()), next_tag: 0 }
    }

    pub(super) async fn logged_in(&self) -> Client {
        let mut client = self.connect().await;
        client.ok("LOGIN ann pw").await;
        client
    }

    /// Logged in, and INBOX opened.
    pub(super) async fn in_inbox(&self) -> Client {
        let mut client = self.logged_in().await;
        client.ok("SELECT INBOX").await;
        client
    }

    pub(super) async fn deliver(&self, text: &str) {
        let body = Bytes::from(text.to_owned());
        self.service.deliver(&[self.ann.id], body, 1_000_000_000).await.unwrap();
    }

    /// So many messages, `Subject: 1` and so on.
    pub(super) async fn deliver_many(&self, count: usize) {
        for number in 1..=count {
            self.deliver(&format!("Subject: {number}\r\n\r\nbody {number}\r\n")).await;
        }
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("an end in time").unwrap();
    }
}

/// A client that asks and reads to the completion.
pub(super) struct Client {
    lines: LineClient,
    next_tag: u32,
}

impl Client {
    /// Connected and greeted.
    pub(super) async fn connect(at: SocketAddr) -> Self {
        let mut client = Self { lines: LineClient::plain(TcpStream::connect(at).await.unwrap()), next_tag: 0 };
        let greeting = client.line().await;
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        client
    }

    pub(super) async fn line(&mut self) -> String {
        self.lines.line().await.expect("a line")
    }

    /// The end of the connection, or the next line.
    pub(super) async fn line_or_end(&mut self) -> Option<String> {
        self.lines.line().await
    }

    pub(super) async fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.lines.say(octets).await;
    }

    /// Untagged lines and the completion without its tag.
    pub(super) async fn ask(&mut self, command: &str) -> (Vec<String>, String) {
        let tag = self.begin(command).await;
        self.finish(&tag).await
    }

    /// Sends a command.
    pub(super) async fn begin(&mut self, command: &str) -> String {
        self.next_tag += 1;
        let tag = format!("t{}", self.next_tag);
        self.say(format!("{tag} {command}\r\n")).await;
        tag
    }

    pub(super) async fn finish(&mut self, tag: &str) -> (Vec<String>, String) {
        let mut untagged = Vec::new();
        loop {
            let line = self.line().await;
            if let Some(completion) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                oracle::assert_understood(&untagged, &line);
                return (untagged, completion.to_owned());
            }
            untagged.push(line);
        }
    }

    /// The untagged lines of a command that succeeds.
    pub(super) async fn ok(&mut self, command: &str) -> Vec<String> {
        let (untagged, completion) = self.ask(command).await;
        assert!(completion.starts_with("OK"), "{command}: {completion}");
        untagged
    }

    /// The completion of a command, without untagged lines.
    pub(super) async fn done(&mut self, command: &str) -> String {
        self.ask(command).await.1
    }

    pub(super) async fn start_tls(self, config: Arc<rustls::ClientConfig>) -> Self {
        Self { lines: self.lines.start_tls(config).await, next_tag: self.next_tag }
    }

    /// APPEND without waiting for leave.
    pub(super) async fn append(&mut self, arguments: &str, message: &str) -> String {
        let text = format!("APPEND {arguments} {{{}+}}\r\n{message}", message.len());
        self.done(&text).await
    }
}

/// The lines with a word in them.
pub(super) fn with<'a>(lines: &'a [String], word: &str) -> Vec<&'a str> {
    lines.iter().map(String::as_str).filter(|line| line.contains(word)).collect()
}

#[test]
fn a_port_without_a_certificate_is_refused_where_tls_is_the_only_way() {
    let (service, _) = service();
    let commons = Commons::new(service, Gate::new(1, 1), Room::new(1), None, 1);
    let plain = PortConfig::new("localhost", Entry::Plain);
    assert_eq!(Port::new(plain.clone(), commons.clone()).err(), Some(PortError::NoCertificate));
    let allowed = PortConfig { plaintext_login: true, ..plain };
    assert!(Port::new(allowed.clone(), commons.clone()).is_ok());
    let implicit = PortConfig { entry: Entry::ImplicitTls, ..allowed };
    assert!(Port::new(implicit, commons).is_err());
}
