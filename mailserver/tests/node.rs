//! Whole servers in this process: mail comes in by SMTP, goes through the engine and its disk, and is read again; the
//! administrator speaks with them over TLS as `tellmail` does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use mailmirror_control::auth::Secret;
use mailmirror_control::client::{ClientError, Connection, Timeouts};
use mailmirror_control::status::{Link, NodeStatus, Role};
use mailmirror_control::tell::{Tell, Told};
use mailserver::server::{Server, ServerOptions};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "a secret of the tests, not of anybody";
/// Nothing here takes this long.
const DEADLINE: Duration = Duration::from_secs(30);

/// All on loopback, on free ports.
const LISTEN: &str = "g_smtp_listen \"127.0.0.1:0\"\ng_submission_listen \"off\"\ng_smtps_listen \"off\"\n\
    g_imap_listen \"127.0.0.1:0\"\ng_imaps_listen \"off\"\ng_pop_listen \"127.0.0.1:0\"\ng_pops_listen \"off\"\n\
    g_health_listen \"127.0.0.1:0\"\ng_plaintext_login \"TRUE\"\ng_domain \"example.com\"\ng_server_name \"mx.example.com\"\n";

struct Running {
    stop: CancellationToken,
    ended: JoinHandle<Result<(), String>>,
    admin: String,
    smtp: SocketAddr,
    pop: SocketAddr,
    health: SocketAddr,
}

async fn start(dir: &Path, more: &str) -> Running {
    let config = dir.join("mailmirror.ini");
    let inline =
        if more.contains("g_mirror_secret_file") { String::new() } else { format!("g_mirror_secret \"{SECRET}\"\n") };
    std::fs::write(&config, format!("{inline}{LISTEN}{more}")).unwrap();
    let options = ServerOptions { config, data: dir.join("data"), host_name: "mx-0".to_owned() };
    let server = Server::start(options).await.unwrap();
    let of = |what| server.addresses().of(what).unwrap();
    let (admin, smtp, pop, health) = (of("admin").to_string(), of("smtp"), of("pop"), of("health"));
    let stop = server.stopper();
    Running { stop, ended: tokio::spawn(server.run()), admin, smtp, pop, health }
}

impl Running {
    async fn tell(&self, command: Tell) -> Told {
        let secrets = [Secret::new(SECRET).unwrap()];
        let mut connection = Connection::open(&self.admin, &secrets, Timeouts::default()).await.unwrap();
        connection.tell(&command, DEADLINE).await.unwrap()
    }

    async fn told(&self, command: Tell) -> String {
        let told = self.tell(command).await;
        assert!(told.ok, "{}", told.text);
        told.text
    }

    /// Waits until the status is as wanted.
    async fn reaches(&self, wanted: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let secrets = [Secret::new(SECRET).unwrap()];
        let connection = Connection::open(&self.admin, &secrets, Timeouts::default()).await.unwrap();
        let mut watch = connection.watch().await.unwrap();
        let reached = async {
            loop {
                let status = watch.next().await.unwrap().expect("a status");
                if wanted(&status) {
                    return status;
                }
            }
        };
        timeout(DEADLINE, reached).await.expect("the status is reached in time")
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.ended).await.expect("an end in time").unwrap().unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.health).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Delivers by SMTP; the last reply.
    async fn send(&self, to: &str, message: &str) -> String {
        let mut client = Lines::connect(self.smtp).await;
        client.expect("220").await;
        for (say, expected) in [
            ("EHLO client.example".to_owned(), "250"),
            ("MAIL FROM:<sender@client.example>".to_owned(), "250"),
            (format!("RCPT TO:<{to}>"), "250"),
            ("DATA".to_owned(), "354"),
        ] {
            client.say(&say).await;
            client.expect(expected).await;
        }
        client.say(&format!("{message}\r\n.")).await;
        client.reply().await
    }

    /// The INBOX by POP3.
    async fn fetch_all(&self, user: &str, password: &str) -> Vec<String> {
        let mut client = Lines::connect(self.pop).await;
        client.expect("+OK").await;
        client.say(&format!("USER {user}")).await;
        client.expect("+OK").await;
        client.say(&format!("PASS {password}")).await;
        client.expect("+OK").await;
        client.say("STAT").await;
        let count: usize = client.expect("+OK").await.split(' ').nth(1).unwrap().parse().unwrap();
        let mut messages = Vec::new();
        for number in 1..=count {
            client.say(&format!("RETR {number}")).await;
            client.expect("+OK").await;
            let mut message = String::new();
            loop {
                match client.line().await.as_str() {
                    "." => break,
                    line => message.extend([line, "\n"]),
                }
            }
            messages.push(message);
        }
        messages
    }
}

struct Lines(BufStream<TcpStream>);

impl Lines {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        timeout(DEADLINE, self.0.read_line(&mut line)).await.expect("a line in time").unwrap();
        line.trim_end().to_owned()
    }

    /// The last line of a reply.
    async fn reply(&mut self) -> String {
        loop {
            let line = self.line().await;
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    async fn expect(&mut self, start: &str) -> String {
        let reply = self.reply().await;
        assert!(reply.starts_with(start), "{start} was expected: {reply}");
        reply
    }
}

fn add_user(name: &str) -> Tell {
    Tell::AddUser { address: format!("{name}@example.com"), password: "secret".to_owned() }
}

fn dir_of(name: &str) -> Tell {
    Tell::Dir { user: name.to_owned(), folder: None }
}

async fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

const MASTER: &str =
    "g_mirror_mode \"master\"\ng_mirror_node \"0\"\ng_mirror_ack \"local\"\ng_admin_listen \"127.0.0.1:0\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn p1_mail_comes_in_is_kept_over_a_restart_and_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), MASTER).await;
    node.reaches(|status| status.role == Role::Master && status.serving).await;
    node.told(add_user("alice")).await;
    let reply = node.send("Alice@example.com", "Subject: one\r\n\r\nHello\r\n..dot").await;
    assert!(reply.starts_with("250"), "{reply}");
    let before = node.told(dir_of("alice")).await;
    assert!(before.contains("\"INBOX\" uid=1 "), "{before}");
    node.stop().await;

    let node = start(dir.path(), MASTER).await;
    node.reaches(|status| status.serving).await;
    assert_eq!(node.told(dir_of("alice")).await, before);
    let messages = node.fetch_all("alice", "secret").await;
    assert_eq!(messages.len(), 1);
    assert!(messages[0].ends_with("Subject: one\n\nHello\n..dot\n"), "{}", messages[0]);
    assert!(messages[0].starts_with("Return-Path: <sender@client.example>\nReceived: from client.example"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_is_answered_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), MASTER).await;
    node.reaches(|status| status.serving).await;
    let other = [Secret::new("another secret, of somebody else").unwrap()];
    let refused = Connection::open(&node.admin, &other, Timeouts::default()).await;
    assert!(matches!(refused, Err(ClientError::Refused)));
    // During a rotation the one that is accepted is found.
    let both = [other[0].clone(), Secret::new(SECRET).unwrap()];
    Connection::open(&node.admin, &both, Timeouts::default()).await.unwrap().status().await.unwrap();

    let status = node.told(Tell::Status).await;
    assert!(
        status.starts_with("Mirror out: Que/sent add=0/0 (0 bytes) del=0/0\nMirror  in: Received add=0 "),
        "{status}"
    );
    node.told(add_user("alice")).await;
    let again = node.tell(add_user("alice")).await;
    assert!(!again.ok && again.text.contains("exists already"), "{}", again.text);
    assert_eq!(node.told(Tell::FindUser { pattern: "ali".to_owned() }).await, "alice@example.com\n");
    assert!(!node.tell(Tell::FindUser { pattern: "zoe".to_owned() }).await.ok);
    assert!(node.told(Tell::Path { user: "alice".to_owned() }).await.contains("data"));
    let change = Tell::ChangePass { address: "alice".to_owned(), password: "new".to_owned() };
    node.told(change).await;
    assert!(node.fetch_all("alice", "new").await.is_empty());
    assert!(!node.tell(Tell::VerifyMirror { full: false }).await.ok, "there is no peer");
    assert!(!node.tell(Tell::Swap).await.ok);
    assert_eq!(node.told(Tell::Reload).await, "nothing changed\n");
    node.told(Tell::DeleteUser { address: "alice".to_owned() }).await;
    assert!(!node.tell(dir_of("alice")).await.ok);
    assert_eq!(node.told(Tell::Shutdown).await, "shutting down\n");
    timeout(DEADLINE, node.ended).await.expect("an end in time").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_the_page_tell_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), MASTER).await;
    node.reaches(|status| status.serving).await;
    node.told(add_user("alice")).await;
    assert!(node.send("alice@example.com", "Subject: one\r\n\r\nHello").await.starts_with("250"));
    assert_eq!(node.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(node.get("/readyz").await.0, 200);
    let (status, metrics) = node.get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "mailmirror_role{role=\"master\"} 1.0",
        "mailmirror_serving 1.0",
        "mailmirror_epoch 2.0",
        "mailmirror_deliveries_total{outcome=\"committed\"} 1",
        "mailmirror_delivery_duration_seconds_count 1",
        "mailmirror_connections{protocol=\"smtp\"} ",
        "mailmirror_disk_available_bytes ",
        "mailmirror_in_failed_total 0",
        "# EOF",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    let (status, page) = node.get("/").await;
    assert_eq!(status, 200);
    assert!(page.contains("Mirror out: Que/sent add="), "{page}");
    for answer in [metrics, page] {
        assert!(!answer.contains(SECRET) && !answer.contains("alice"), "{answer}");
    }
    assert_eq!(node.get("/nothing").await.0, 404);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_role_does_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let more = "g_mirror_node \"0\"\ng_mirror_managed \"TRUE\"\ng_admin_listen \"127.0.0.1:0\"\ng_mirror_hold \"500ms\"\ng_mirror_lease \"400ms\"\n";
    let node = start(dir.path(), more).await;
    let status = node.reaches(|_| true).await;
    assert_eq!((status.role, status.serving), (Role::None, false));
    assert_eq!(node.get("/livez").await.0, 200);
    let (code, why) = node.get("/readyz").await;
    assert_eq!(code, 503);
    assert!(why.contains("no role"), "{why}");
    let mut client = Lines::connect(node.smtp).await;
    client.expect("220").await;
    client.say("EHLO client.example").await;
    client.expect("250").await;
    client.say("MAIL FROM:<sender@client.example>").await;
    client.expect("250").await;
    client.say("RCPT TO:<alice@example.com>").await;
    client.expect("451").await;
    assert!(!node.tell(add_user("alice")).await.ok);
    node.stop().await;
}

/// Two nodes that know each other, and where both are.
struct Pair {
    dirs: [tempfile::TempDir; 2],
    link: u16,
    admin: [u16; 2],
}

impl Pair {
    async fn new() -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        Self { dirs, link: free_port().await, admin: [free_port().await, free_port().await] }
    }

    async fn start(&self, node: usize) -> Running {
        self.start_with(node, "").await
    }

    async fn start_with(&self, node: usize, more: &str) -> Running {
        let (link, mode) = (self.link, ["master", "slave"][node]);
        let (own, peer) = (self.admin[node], self.admin[1 - node]);
        let settings = format!(
            "g_mirror_node \"{node}\"\ng_mirror_mode \"{mode}\"\ng_mirror_ack \"local\"\n\
             g_mirror_listen \"127.0.0.1:{link}\"\ng_mirror_host \"127.0.0.1:{link}\"\n\
             g_admin_listen \"127.0.0.1:{own}\"\ng_mirror_peer_admin \"127.0.0.1:{peer}\"\n{more}"
        );
        start(self.dirs[node].path(), &settings).await
    }
}

fn connected(status: &NodeStatus) -> bool {
    status.serving && matches!(status.link, Link::Connected { .. })
}

/// A master whose slave has told what it has.
fn followed(status: &NodeStatus) -> bool {
    connected(status) && status.role == Role::Master && status.peer_flushed.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn p3_two_nodes_become_equal_line_by_line() {
    let pair = Pair::new().await;
    let (master, slave) = (pair.start(0).await, pair.start(1).await);
    master.reaches(followed).await;
    slave.reaches(|status| status.role == Role::Slave && connected(status)).await;
    master.told(add_user("alice")).await;
    assert!(master.send("alice@example.com", "Subject: one\r\n\r\nHello").await.starts_with("250"));
    assert!(slave.send("alice@example.com", "Subject: two\r\n\r\nHello").await.starts_with("250"));
    let verified = master.told(Tell::VerifyMirror { full: true }).await;
    assert!(verified.contains("line by line in 1 accounts"), "{verified}");
    assert_eq!(slave.told(dir_of("alice")).await, master.told(dir_of("alice")).await);
    assert!(slave.told(Tell::ResyncFast).await.contains("0 corrections"));
    assert_eq!(slave.fetch_all("alice", "secret").await.len(), 2);
    let status = master.told(Tell::Status).await;
    assert!(status.contains("Proven equal: 2"), "{status}");
    slave.stop().await;
    master.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a9_a_person_swaps_the_roles_and_takes_over() {
    let pair = Pair::new().await;
    let (zero, one) = (pair.start(0).await, pair.start(1).await);
    zero.reaches(followed).await;
    one.reaches(connected).await;
    zero.told(add_user("alice")).await;
    assert!(zero.send("alice@example.com", "Subject: one\r\n\r\nHello").await.starts_with("250"));
    let refused = one.tell(Tell::Swap).await;
    assert!(!refused.ok && refused.text.contains("not the master"), "{}", refused.text);
    zero.told(Tell::Swap).await;
    one.reaches(|status| status.role == Role::Master && connected(status)).await;
    zero.reaches(|status| status.role == Role::Slave && connected(status)).await;
    let before = one.told(dir_of("alice")).await;
    assert_eq!(zero.told(dir_of("alice")).await, before);

    one.stop().await;
    let refused = zero.tell(Tell::Promote { accept_loss: false }).await;
    assert!(!refused.ok && refused.text.contains("--accept-loss"), "{}", refused.text);
    zero.told(Tell::Promote { accept_loss: true }).await;
    zero.reaches(|status| status.role == Role::Master && status.serving).await;
    assert!(zero.send("alice@example.com", "Subject: two\r\n\r\nHello").await.starts_with("250"));
    assert_eq!(zero.fetch_all("alice", "secret").await.len(), 2);

    let one = pair.start(1).await;
    one.reaches(|status| status.role == Role::Slave && connected(status)).await;
    zero.reaches(followed).await;
    let verified = zero.told(Tell::VerifyMirror { full: true }).await;
    assert!(verified.starts_with("equal"), "{verified}");
    one.stop().await;
    zero.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_without_a_restart_and_without_losing_the_link() {
    const NEW: &str = "the next secret, of nobody either";
    let pair = Pair::new().await;
    let mounted = tempfile::tempdir().unwrap();
    let write = |key: &str, text: &str| std::fs::write(mounted.path().join(key), text).unwrap();
    write("secret", SECRET);
    let by_file = format!("g_mirror_secret_file \"{}\"\n", mounted.path().display());
    let (zero, one) = (pair.start_with(0, &by_file).await, pair.start_with(1, &by_file).await);
    let before = zero.reaches(followed).await.link;

    let new = [Secret::new(NEW).unwrap()];
    assert!(matches!(Connection::open(&zero.admin, &new, Timeouts::default()).await, Err(ClientError::Refused)));
    write("secret-previous", SECRET);
    write("secret", NEW);
    for node in [&zero, &one] {
        let accepted = async {
            while Connection::open(&node.admin, &new, Timeouts::default()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, accepted).await.expect("the new secret is taken in time");
        node.told(Tell::Status).await;
    }
    // A new connection proves itself with the new one; the one that is there stays.
    assert_eq!(zero.reaches(followed).await.link, before);
    one.stop().await;
    zero.reaches(|status| !connected(status)).await;
    let one = pair.start_with(1, &by_file).await;
    zero.reaches(followed).await;

    std::fs::remove_file(mounted.path().join("secret-previous")).unwrap();
    let old = [Secret::new(SECRET).unwrap()];
    let forgotten = async {
        while Connection::open(&zero.admin, &old, Timeouts::default()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, forgotten).await.expect("the old secret is forgotten in time");
    one.stop().await;
    zero.stop().await;
}
