//! Two simulated nodes behind real sockets: TLS, both proofs, status, stream of statuses, orders.

use crate::node::Node;
use mailmirror_control::auth::{EXPORTER_LABEL, SCHEME, SERVER_PROOF_HEADER, Secret, Side};
use mailmirror_control::record::Record;
use mailmirror_control::status::{NodeStatus, ObeyRefusal, RecordAnswer};
use mailmirror_control::tls::{self, EXPORTER_BYTES};
use mailmirror_model::ids::{AuthorityId, Epoch, NodeId, StoreId};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Both nodes and the link between them.
pub struct Nodes {
    state: Mutex<([Node; 2], bool)>,
    changed: watch::Sender<u64>,
    secret: Secret,
}

impl Nodes {
    pub fn new(secret: Secret) -> Arc<Self> {
        let nodes = [Node::new(NodeId::Zero, StoreId(1)), Node::new(NodeId::One, StoreId(2))];
        Arc::new(Self { state: Mutex::new((nodes, true)), changed: watch::channel(0).0, secret })
    }

    /// Does something to the nodes, lets everything flow that can, and tells those who watch.
    pub fn change<T>(&self, change: impl FnOnce(&mut [Node; 2], &mut bool) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let (nodes, linked) = &mut *state;
        let result = change(nodes, linked);
        let [a, b] = nodes;
        if *linked && a.up && b.up {
            for _ in 0..200 {
                a.stream(b, false);
                b.stream(a, false);
            }
        } else {
            a.unlink();
            b.unlink();
        }
        drop(state);
        self.changed.send_modify(|version| *version += 1);
        result
    }

    pub fn status(&self, node: NodeId) -> NodeStatus {
        let state = self.state.lock().unwrap();
        let (it, other) = (&state.0[node.index()], &state.0[node.peer().index()]);
        it.status(Some(other).filter(|other| state.1 && other.up && other.epoch() == it.epoch()))
    }

    /// Serves one node at this address, until it is aborted.
    pub async fn serve(self: &Arc<Self>, node: NodeId, address: IpAddr) -> JoinHandle<()> {
        let listener = TcpListener::bind((address, 7026)).await.unwrap();
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let this = Arc::clone(&this);
                sessions.spawn(async move { drop(this.session(node, tcp).await) });
            }
        })
    }

    async fn session(&self, node: NodeId, tcp: TcpStream) -> std::io::Result<()> {
        let tls = TlsAcceptor::from(tls::server_config().unwrap()).accept(tcp).await?;
        let exporter = tls.get_ref().1.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, None).unwrap();
        let proof = self.secret.admin_proof(Side::Server, &exporter);
        let mut tls = BufReader::new(tls);
        loop {
            let (mut first, mut length, mut proven) = (String::new(), 0, false);
            if tls.read_line(&mut first).await? == 0 {
                return Ok(());
            }
            loop {
                let mut line = String::new();
                tls.read_line(&mut line).await?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse().unwrap();
                } else if name.eq_ignore_ascii_case("authorization") {
                    let said = value.strip_prefix(SCHEME).unwrap().trim();
                    proven = self.secret.admin_proof_holds(said, Side::Client, &exporter);
                }
            }
            let mut body = vec![0; length];
            tls.read_exact(&mut body).await?;
            if !proven {
                tls.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await?;
                return tls.flush().await;
            }
            let answer = match first.split_whitespace().nth(1).unwrap() {
                "/v1/hello" => Vec::new(),
                "/v1/record" => serde_json::to_vec(&self.obey(node, &serde_json::from_slice(&body).unwrap())).unwrap(),
                "/v1/watch" => return self.watch(node, tls.into_inner()).await,
                _ => serde_json::to_vec(&self.status(node)).unwrap(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\n{SERVER_PROOF_HEADER}: {proof}\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            tls.write_all(head.as_bytes()).await?;
            tls.write_all(&answer).await?;
            tls.flush().await?;
        }
    }

    fn obey(&self, node: NodeId, record: &Record) -> RecordAnswer {
        let refused = self.change(|nodes, _| nodes[node.index()].obey(record));
        let stale = ObeyRefusal::Stale { authority: AuthorityId(0), epoch: Epoch(0) };
        RecordAnswer { refused: refused.then_some(stale), status: self.status(node) }
    }

    async fn watch(&self, node: NodeId, mut to: tokio_rustls::server::TlsStream<TcpStream>) -> std::io::Result<()> {
        let mut changed = self.changed.subscribe();
        to.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
        loop {
            changed.mark_unchanged();
            let mut line = serde_json::to_vec(&self.status(node)).unwrap();
            line.push(b'\n');
            to.write_all(&line).await?;
            to.flush().await?;
            // One a second, as the servers do.
            let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
        }
    }
}
