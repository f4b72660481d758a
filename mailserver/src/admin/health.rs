//! `/livez`, `/readyz`, `/metrics` and the status page, in plain HTTP: nothing here is secret or anybody's mail.

use super::metrics::Exporter;
use super::{http, page};
use crate::net::{Gate, accept_loop};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use mailmirror_control::status::{NodeStatus, Role};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at once, and from one address: probes and scrapers.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_PER_IP_MAX: usize = 32;
/// How long requests may go on after a shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// The engine tells its status once a second; one that is silent for this long hangs.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Problems after which a node serves nothing until it is started again.
const FATAL: [&str; 3] = ["LogFailed", "IndexFailed", "StoreFailed"];

/// What health is judged by.
#[derive(Clone)]
pub struct Health {
    status: watch::Receiver<Arc<NodeStatus>>,
    told: watch::Receiver<Instant>,
    exporter: Arc<Exporter>,
    stopping: CancellationToken,
}

impl Health {
    /// Watches the status from now on. After `stopping` the node is not ready.
    pub fn new(status: watch::Receiver<Arc<NodeStatus>>, exporter: Arc<Exporter>, stopping: CancellationToken) -> Self {
        let (teller, told) = watch::channel(Instant::now());
        let mut changes = status.clone();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                teller.send_replace(Instant::now());
            }
        });
        Self { status, told, exporter, stopping }
    }

    /// `Err` with the reason where only a new start helps.
    fn live(&self) -> Result<(), String> {
        let silent = self.told.borrow().elapsed();
        if silent > SILENCE_MAX {
            return Err(format!("the engine has been silent for {} s", silent.as_secs()));
        }
        fatal(&self.status.borrow())
    }

    /// `Err` with the reason where this node, for reasons of its own, serves no clients. What the other node does is no
    /// such reason.
    fn ready(&self) -> Result<(), String> {
        self.live()?;
        if self.stopping.is_cancelled() {
            return Err("the node is shutting down".to_owned());
        }
        match self.status.borrow().role {
            Role::None => Err("the node has no role yet".to_owned()),
            Role::Slave | Role::Master => Ok(()),
        }
    }
}

fn fatal(status: &NodeStatus) -> Result<(), String> {
    let found = status.problems.iter().find(|problem| FATAL.contains(&problem.reason.as_str()));
    found.map_or(Ok(()), |problem| Err(problem.message.clone()))
}

/// Serves health until `shutdown`.
pub async fn serve_health(health: Health, listener: TcpListener, shutdown: CancellationToken) {
    let router = Router::new()
        .route("/", get(status_page))
        .route("/livez", get(|State(health): State<Health>| async move { judged(health.live()) }))
        .route("/readyz", get(|State(health): State<Health>| async move { judged(health.ready()) }))
        .route("/metrics", get(metrics))
        .with_state(health);
    let ending = shutdown.clone();
    let handle = move |stream: TcpStream, _: SocketAddr| http::serve(stream, router.clone(), ending.clone());
    let gate = Gate::new(CONNECTIONS_MAX, CONNECTIONS_PER_IP_MAX);
    accept_loop(listener, gate, b"", shutdown, DRAIN_TIMEOUT, handle).await;
}

fn judged(judgement: Result<(), String>) -> Response {
    match judgement {
        Ok(()) => "ok\n".into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn metrics(State(health): State<Health>) -> Response {
    match health.exporter.text() {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status_page(State(health): State<Health>) -> Response {
    let page = page::render(&health.status.borrow());
    ([(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")], Html(page)).into_response()
}
