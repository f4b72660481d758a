//! The shell over loopback, with a mail server in memory behind it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Mutex;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::*;
use crate::net::testing::{DEADLINE, LineClient, tls_pair};

/// A mail server in memory. What a delivery answers can be set, and it can be made to wait.
#[derive(Default)]
struct Memory {
    delivered: Mutex<Vec<Delivery>>,
    /// For deliveries; committed when empty.
    outcomes: Mutex<Vec<DeliveryOutcome>>,
    /// A delivery says here that it has begun and then waits for `go`.
    held: Mutex<Option<mpsc::UnboundedSender<()>>>,
    go: Notify,
}

impl MailDoor for Memory {
    async fn authenticate(&self, _: IpAddr, credentials: Credentials) -> AuthOutcome {
        if credentials.user == "ann" && credentials.password.reveal() == "pw" {
            AuthOutcome::Accepted { account: "ann@a.example".to_owned() }
        } else {
            AuthOutcome::Rejected
        }
    }

    async fn resolve_recipient(&self, query: RecipientQuery) -> RecipientOutcome {
        tokio::task::yield_now().await;
        match query.recipient {
            ForwardPath::Address(address) if address.local() == "none" => RecipientOutcome::NoSuchUser,
            ForwardPath::Address(address) if address.local() == "b" => RecipientOutcome::Accepted(RecipientKey(2)),
            _ => RecipientOutcome::Accepted(RecipientKey(1)),
        }
    }

    async fn deliver(&self, delivery: Delivery) -> Vec<DeliveryOutcome> {
        let held = self.held.lock().unwrap().clone();
        if let Some(held) = held {
            held.send(()).unwrap();
            self.go.notified().await;
        }
        let mut outcomes = self.outcomes.lock().unwrap().clone();
        outcomes.resize(delivery.envelope.recipients.len(), DeliveryOutcome::Committed { id: delivery.id.clone() });
        self.delivered.lock().unwrap().push(delivery);
        outcomes
    }
}

struct Running {
    door: Arc<Memory>,
    gate: Arc<Gate>,
    room: Arc<Room>,
    at: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    client_tls: Arc<rustls::ClientConfig>,
}

fn session(protocol: Protocol) -> SessionConfig {
    SessionConfig {
        hostname: "localhost".to_owned(),
        protocol,
        tls: TlsOffer::Offered,
        auth: AuthOffer::Offered,
        plaintext_login: false,
        limits: Limits::default(),
    }
}

fn port_config() -> PortConfig {
    PortConfig::new(session(Protocol::Smtp), Entry::Plain)
}

async fn start(config: PortConfig) -> Running {
    start_with(config, Gate::new(10, 10), Room::new(1 << 20)).await
}

async fn start_with(config: PortConfig, gate: Arc<Gate>, room: Arc<Room>) -> Running {
    let (server_tls, client_tls) = tls_pair();
    let door = Arc::new(Memory::default());
    let commons = Commons {
        door: Arc::clone(&door),
        gate: Arc::clone(&gate),
        room: Arc::clone(&room),
        tls: Some(server_tls),
        ids: ReceptionIds::new(7),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(Port::new(config, commons).unwrap().serve(listener, shutdown.clone()));
    Running { door, gate, room, at, shutdown, task, client_tls }
}

impl Running {
    async fn connect(&self) -> LineClient {
        LineClient::plain(TcpStream::connect(self.at).await.unwrap())
    }

    /// A client that has read the greeting and said EHLO.
    async fn client(&self) -> LineClient {
        let mut client = self.connect().await;
        assert_eq!(client.reply().await.unwrap(), "220 localhost ESMTP ready");
        client.ask("EHLO c.example\r\n").await;
        client
    }

    fn hold_deliveries(&self) -> mpsc::UnboundedReceiver<()> {
        let (held, begun) = mpsc::unbounded_channel();
        *self.door.held.lock().unwrap() = Some(held);
        begun
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("an end in time").unwrap();
        assert_eq!(self.gate.open_count(), 0);
        assert_eq!(self.room.used_bytes(), 0);
    }
}

async fn begin_message(client: &mut LineClient) {
    client.say("MAIL FROM:<x@x.example>\r\nRCPT TO:<ann@a.example>\r\nDATA\r\n").await;
    for code in ["250 2.1.0", "250 2.1.5", "354"] {
        assert!(client.reply().await.unwrap().starts_with(code));
    }
}

#[tokio::test]
async fn a_message_is_stored_with_its_trace_fields() {
    let server = start(port_config()).await;
    let mut client = server.client().await;
    begin_message(&mut client).await;
    let reply = client.ask("Subject: hi\r\n\r\n..dots\r\n.\r\n").await;
    assert_eq!(reply, "250 2.0.0 message 0000000000000007-1 is stored");
    assert_eq!(client.ask("QUIT\r\n").await, "221 2.0.0 closing");
    assert_eq!(client.line().await, None);
    {
        let delivered = server.door.delivered.lock().unwrap();
        let message = String::from_utf8(delivered[0].message.to_vec()).unwrap();
        assert!(message.starts_with("Return-Path: <x@x.example>\r\nReceived: from c.example ([127.0.0.1])\r\n"));
        assert!(message.contains("with ESMTP id 0000000000000007-1\r\n\tfor <ann@a.example>;\r\n"));
        assert!(message.ends_with("\r\nSubject: hi\r\n\r\n.dots\r\n"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order() {
    let server = start(port_config()).await;
    let mut client = server.connect().await;
    client
        .say(
            "EHLO c.example\r\nMAIL FROM:<>\r\nRCPT TO:<none@a.example>\r\nRCPT TO:<ann@a.example>\r\nDATA\r\n\
             x\r\n.\r\nMAIL FROM:<>\r\nQUIT\r\n",
        )
        .await;
    for code in ["220", "250", "250", "550", "250", "354", "250", "250", "221"] {
        assert!(client.reply().await.unwrap().starts_with(code), "{code}");
    }
    assert_eq!(client.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn starttls_drops_what_came_before_and_auth_works_after() {
    let server = start(port_config()).await;
    let mut client = server.client().await;
    let reply = client.ask("STARTTLS\r\nEHLO evil\r\nMAIL FROM:<evil@x.example>\r\n").await;
    assert!(reply.starts_with("220 2.0.0"));
    let mut client = client.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.ask("MAIL FROM:<x@x.example>\r\n").await.starts_with("503"), "nothing was carried over");
    client.ask("EHLO c.example\r\n").await;
    assert!(client.ask("AUTH PLAIN AGFubgBwdw==\r\n").await.starts_with("235"));
    begin_message(&mut client).await;
    assert!(client.ask("x\r\n.\r\n").await.starts_with("250"));
    {
        let delivered = server.door.delivered.lock().unwrap();
        assert_eq!(delivered[0].envelope.user.as_deref(), Some("ann@a.example"));
        assert!(String::from_utf8_lossy(&delivered[0].message).contains(" with ESMTPSA id "));
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn implicit_tls_speaks_tls_from_the_first_octet() {
    let mut config = port_config();
    config.entry = Entry::ImplicitTls;
    let server = start(config).await;
    let mut client = server.connect().await.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.reply().await.unwrap().starts_with("220"));
    assert!(client.ask("EHLO c.example\r\n").await.ends_with("AUTH PLAIN LOGIN"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_failed_handshake_ends_only_its_connection() {
    let mut config = port_config();
    config.entry = Entry::ImplicitTls;
    let server = start(config).await;
    let mut wrong = server.connect().await;
    wrong.say("EHLO this is no TLS\r\n\r\n\r\n").await;
    wrong.end().await;
    let mut client = server.connect().await.start_tls(Arc::clone(&server.client_tls)).await;
    assert!(client.reply().await.unwrap().starts_with("220"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn n3_nothing_is_said_before_the_door_has_answered() {
    let server = start(port_config()).await;
    let mut begun = server.hold_deliveries();
    let mut client = server.client().await;
    begin_message(&mut client).await;
    client.say("x\r\n.\r\nNOOP\r\n").await;
    begun.recv().await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), client.line()).await;
    assert!(early.is_err(), "said before the commit: {early:?}");
    server.door.go.notify_one();
    assert!(client.reply().await.unwrap().starts_with("250 2.0.0 message"));
    assert!(client.reply().await.unwrap().starts_with("250 2.0.0 ok"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn n6_an_unknown_outcome_closes_without_a_reply() {
    let server = start(port_config()).await;
    *server.door.outcomes.lock().unwrap() = vec![DeliveryOutcome::Unknown];
    let mut client = server.client().await;
    begin_message(&mut client).await;
    client.say("x\r\n.\r\nNOOP\r\n").await;
    assert_eq!(client.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn n6_a_hold_and_the_other_refusals_have_their_codes() {
    let server = start(port_config()).await;
    let mut client = server.client().await;
    for (outcome, want) in [
        (DeliveryOutcome::Unavailable, "451 4.3.2 "),
        (DeliveryOutcome::OverQuota, "452 4.2.2 "),
        (DeliveryOutcome::DiskFull, "452 4.3.1 "),
        (DeliveryOutcome::NoSuchUser, "550 5.1.1 "),
    ] {
        *server.door.outcomes.lock().unwrap() = vec![outcome];
        begin_message(&mut client).await;
        let reply = client.ask("x\r\n.\r\n").await;
        assert!(reply.starts_with(want), "{reply}");
    }
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn a_delivery_goes_on_when_its_client_leaves() {
    let server = start(port_config()).await;
    let mut begun = server.hold_deliveries();
    let mut client = server.client().await;
    begin_message(&mut client).await;
    client.say("x\r\n.\r\n").await;
    begun.recv().await.unwrap();
    drop(client);
    server.door.go.notify_one();
    let door = Arc::clone(&server.door);
    server.stop().await;
    assert_eq!(door.delivered.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn lmtp_answers_for_each_recipient() {
    let server = start(PortConfig::new(session(Protocol::Lmtp), Entry::Plain)).await;
    *server.door.outcomes.lock().unwrap() =
        vec![DeliveryOutcome::Committed { id: "a".to_owned() }, DeliveryOutcome::OverQuota];
    let mut client = server.connect().await;
    client.say("LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@a.example>\r\nRCPT TO:<b@a.example>\r\nDATA\r\n").await;
    for code in ["220 localhost LMTP", "250", "250", "250", "250", "354"] {
        assert!(client.reply().await.unwrap().starts_with(code), "{code}");
    }
    assert!(client.ask("x\r\n.\r\n").await.starts_with("250 2.0.0 message a"));
    assert!(client.reply().await.unwrap().starts_with("452 4.2.2"));
    drop(client);
    server.stop().await;
}

#[tokio::test]
async fn connections_above_the_limit_are_told_so() {
    let server = start_with(port_config(), Gate::new(10, 1), Room::new(1 << 20)).await;
    let mut first = server.client().await;
    let mut second = server.connect().await;
    assert!(second.reply().await.unwrap().starts_with("421 4.7.0 too many connections"));
    assert_eq!(second.line().await, None);
    first.ask("QUIT\r\n").await;
    assert_eq!(first.line().await, None);
    drop(first);
    // The permit is given back a moment after the client sees the end.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while server.gate.open_count() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "the permit was not given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.client().await;
    server.stop().await;
}

#[tokio::test]
async fn messages_share_the_memory_there_is() {
    let server = start_with(port_config(), Gate::new(10, 10), Room::new(100_000)).await;
    let mut first = server.client().await;
    begin_message(&mut first).await;
    let line = "x".repeat(98) + "\r\n";
    first.say(line.repeat(900)).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while server.room.used_bytes() < 90_000 {
        assert!(tokio::time::Instant::now() < deadline, "the message was not counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut second = server.client().await;
    begin_message(&mut second).await;
    assert!(second.ask(line.repeat(200) + ".\r\n").await.starts_with("452 4.3.1 "));
    assert!(first.ask(".\r\n").await.starts_with("250"), "who was there first is not disturbed");
    begin_message(&mut second).await;
    assert!(second.ask(line.repeat(200) + ".\r\n").await.starts_with("250"));
    drop((first, second));
    server.stop().await;
}

#[tokio::test]
async fn silent_clients_are_left() {
    let mut config = port_config();
    config.idle_timeout = Duration::from_millis(50);
    config.data_timeout = Duration::from_millis(50);
    let server = start(config).await;
    let mut client = server.connect().await;
    client.reply().await.unwrap();
    assert!(client.reply().await.unwrap().starts_with("421 4.4.2"));
    assert_eq!(client.line().await, None);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_is_told_and_waits_for_a_delivery() {
    let server = start(port_config()).await;
    let mut idle = server.client().await;
    let mut begun = server.hold_deliveries();
    let mut busy = server.client().await;
    begin_message(&mut busy).await;
    busy.say("x\r\n.\r\n").await;
    begun.recv().await.unwrap();
    server.shutdown.cancel();
    assert!(idle.reply().await.unwrap().starts_with("421 4.3.2"));
    assert_eq!(idle.line().await, None);
    server.door.go.notify_one();
    assert!(busy.reply().await.unwrap().starts_with("250 2.0.0 message"));
    assert!(busy.reply().await.unwrap().starts_with("421 4.3.2"));
    drop((idle, busy));
    assert!(!server.task.is_finished() || server.gate.open_count() == 0);
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let mut config = port_config();
    config.drain_timeout = Duration::from_millis(100);
    let server = start(config).await;
    let mut begun = server.hold_deliveries();
    let mut client = server.client().await;
    begin_message(&mut client).await;
    client.say("x\r\n.\r\n").await;
    begun.recv().await.unwrap();
    let door = Arc::clone(&server.door);
    server.stop().await;
    assert_eq!(client.line().await, None, "no answer: the outcome is not known");
    assert!(door.delivered.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_port_that_offers_tls_needs_a_certificate() {
    let door = Arc::new(Memory::default());
    let commons = Commons { door, gate: Gate::new(1, 1), room: Room::new(1), tls: None, ids: ReceptionIds::new(1) };
    assert_eq!(Port::new(port_config(), commons.clone()).err(), Some(PortError::NoCertificate));
    let mut config = port_config();
    config.session.tls = TlsOffer::None;
    assert!(Port::new(config.clone(), commons.clone()).is_ok());
    config.entry = Entry::ImplicitTls;
    assert_eq!(Port::new(config, commons).err(), Some(PortError::NoCertificate));
}
