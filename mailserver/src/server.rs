//! A whole mail server: everything that one process runs, put together and taken down in order.

use crate::admin::{AdminApi, Connections, Control, Exporter, Health, serve_admin, serve_health};
use crate::engine::Mirrored;
use crate::imap;
use crate::net::{Gate, Room};
use crate::pop3;
use crate::service::Service;
use crate::settings::certificate::Certificates;
use crate::settings::live::{self, Live};
use crate::settings::{Settings, secret};
use crate::smtp::{self, PortKind};
use crate::tell::{PeerAdmin, Teller, TellerParts};
use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use mailmirror_control::auth::Secret;
use mailmirror_mirror::{Authority, Engine, EngineOptions, LinkOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Memory for messages that are being received, in bytes; twice the largest message if that is more.
const ROOM_BYTES: usize = 256 << 20;

/// An error with its causes, without those that it tells itself.
pub fn explain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| match cause.to_string() {
        cause if told.is_empty() => cause,
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

/// Where a server finds what it needs.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The settings.
    pub config: PathBuf,
    /// The store.
    pub data: PathBuf,
    /// The name of this host.
    pub host_name: String,
}

/// Where a server listens, by what for; port 0 in the settings is a free one here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(Vec<(&'static str, SocketAddr)>);

impl Addresses {
    /// The first address for `smtp`, `submission`, `smtps`, `lmtp`, `imap`, `imaps`, `pop`, `pops`, `admin` or `health`.
    pub fn of(&self, what: &str) -> Option<SocketAddr> {
        self.0.iter().find(|(name, _)| *name == what).map(|(_, address)| *address)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        self.0.iter().copied()
    }
}

/// A server that runs.
pub struct Server {
    engine: Engine,
    service: Service,
    live: Live,
    addresses: Addresses,
    sessions: TaskTracker,
    stop: CancellationToken,
    /// Admin and health outlive the sessions, so that a shutdown can be watched.
    stop_admin: CancellationToken,
    admin: TaskTracker,
}

/// What all ports of clients share.
struct Ports {
    settings: Arc<Settings>,
    service: Service,
    tls: Arc<rustls::ServerConfig>,
    room: Arc<Room>,
    /// What is served once everything is bound.
    serving: Vec<BoxFuture<'static, ()>>,
    stop: CancellationToken,
    addresses: Addresses,
    connections: Connections,
}

impl Server {
    /// Opens the store and starts everything that the settings name.
    ///
    /// # Errors
    /// What could not be started, and what to do. Nothing runs then.
    pub async fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let ServerOptions { config, data, host_name } = options;
        let read = live::load(&config, &host_name)?;
        for warning in &read.warnings {
            tracing::warn!(line = warning.line, "{}", warning.why);
        }
        let live = Live::new(&config, &host_name, read.settings);
        let settings = live.receiver().borrow().clone();
        let secrets = secret::follow(&settings.mirror.secret)?;
        let certificates = Certificates::new(&settings)?;
        let engine = Engine::start(engine_options(&settings, &data, secrets.clone())).await?;
        match Self::serve(&engine, &live, settings, secrets, &certificates, data).await {
            Ok(server) => {
                server.admin.spawn(until(server.stop_admin.clone(), certificates.follow(live.receiver())));
                server.admin.spawn(until(server.stop_admin.clone(), live.follow()));
                Ok(server)
            }
            Err(error) => {
                engine.shutdown().await;
                Err(error)
            }
        }
    }

    async fn serve(
        engine: &Engine,
        live: &Live,
        settings: Arc<Settings>,
        secrets: watch::Receiver<Vec<Secret>>,
        certificates: &Certificates,
        data: PathBuf,
    ) -> anyhow::Result<Self> {
        let mirrored = Arc::new(Mirrored(engine.clone()));
        let service = Service::new(mirrored.clone(), live.receiver());
        let (stop, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        let message_max_bytes = usize::try_from(settings.limits.message_max_bytes).unwrap_or(usize::MAX / 2);
        let mut ports = Ports {
            tls: certificates.server_config()?,
            room: Room::new(ROOM_BYTES.max(2 * message_max_bytes)),
            settings: settings.clone(),
            service: service.clone(),
            serving: Vec::new(),
            stop: stop.clone(),
            addresses: Addresses::default(),
            connections: Vec::new(),
        };
        // All are bound before any is served: a server that cannot start says so before it takes mail.
        let admin_listener = ports.bind("admin", "g_admin_listen", settings.admin_listen).await?;
        let health_listener = match settings.health_listen {
            Some(address) => Some(ports.bind("health", "g_health_listen", address).await?),
            None => None,
        };
        ports.smtp().await?;
        ports.imap().await?;
        ports.pop().await?;
        let Ports { serving, addresses, connections, .. } = ports;
        let sessions = TaskTracker::new();
        for port in serving {
            sessions.spawn(port);
        }

        let control: Arc<dyn Control> = mirrored;
        let peer = settings.mirror.peer_admin.clone();
        let teller = Teller::new(TellerParts {
            service: service.clone(),
            control: control.clone(),
            live: live.clone(),
            peer: peer.map(|address| PeerAdmin { address, secrets: secrets.clone() }),
            data: data.clone(),
            stop: stop.clone(),
        });
        let admin = TaskTracker::new();
        let exporter = Exporter::new(control.status(), service.metrics(), connections, data);
        let health = Health::new(control.status(), Arc::new(exporter), stop.clone());
        let api = serve_admin(AdminApi { control, teller, secrets }, admin_listener, stop_admin.clone());
        admin.spawn(async move {
            if let Err(error) = api.await {
                tracing::error!(%error, "the admin API cannot be served");
            }
        });
        if let Some(listener) = health_listener {
            admin.spawn(serve_health(health, listener, stop_admin.clone()));
        }
        let engine = engine.clone();
        Ok(Self { engine, service, live: live.clone(), addresses, sessions, stop, stop_admin, admin })
    }

    /// Where it listens.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The door to its mail.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Its settings.
    pub const fn live(&self) -> &Live {
        &self.live
    }

    /// What to cancel to stop it.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs until it is stopped, then lets sessions end within `g_shutdown_grace` and closes the store.
    ///
    /// # Errors
    /// Why the engine could not go on: the process should end, and be started again.
    pub async fn run(self) -> Result<(), String> {
        let failed = tokio::select! {
            () = self.stop.cancelled() => None,
            why = self.engine.stopped() => Some(why.unwrap_or_else(|| "the engine has stopped".to_owned())),
        };
        self.stop.cancel();
        self.sessions.close();
        if failed.is_none() {
            // Each port bounds its own draining by the grace.
            self.sessions.wait().await;
        }
        self.stop_admin.cancel();
        self.admin.close();
        self.admin.wait().await;
        self.engine.shutdown().await;
        failed.map_or(Ok(()), Err)
    }
}

impl Ports {
    async fn smtp(&mut self) -> anyhow::Result<()> {
        let commons = smtp::Commons {
            door: Arc::new(smtp::ServiceDoor::new(self.service.clone())),
            gate: self.gate("smtp"),
            room: self.room.clone(),
            tls: Some(self.tls.clone()),
            ids: smtp::ReceptionIds::new(rand::random()),
        };
        let listen = self.settings.listen.clone();
        for (name, setting, kind, addresses) in [
            ("smtp", "g_smtp_listen", PortKind::Smtp, listen.smtp),
            ("submission", "g_submission_listen", PortKind::Submission, listen.submission),
            ("smtps", "g_smtps_listen", PortKind::Smtps, listen.smtps),
            ("lmtp", "g_lmtp_listen", PortKind::Lmtp, listen.lmtp),
        ] {
            for address in addresses {
                let port = smtp::Port::new(smtp::port_config(&self.settings, kind), commons.clone())?;
                let listener = self.bind(name, setting, address).await?;
                self.serving.push(port.serve(listener, self.stop.clone()).boxed());
            }
        }
        Ok(())
    }

    async fn imap(&mut self) -> anyhow::Result<()> {
        let per_account = self.settings.limits.sessions_per_account_max;
        let (gate, tls) = (self.gate("imap"), Some(self.tls.clone()));
        let commons = imap::Commons::new(self.service.clone(), gate, self.room.clone(), tls, per_account);
        let listen = self.settings.listen.clone();
        for (name, setting, entry, addresses) in [
            ("imap", "g_imap_listen", imap::Entry::Plain, listen.imap),
            ("imaps", "g_imaps_listen", imap::Entry::ImplicitTls, listen.imaps),
        ] {
            for address in addresses {
                let port = imap::Port::new(imap::PortConfig::from_settings(&self.settings, entry), commons.clone())?;
                let listener = self.bind(name, setting, address).await?;
                self.serving.push(port.serve(listener, self.stop.clone()).boxed());
            }
        }
        Ok(())
    }

    async fn pop(&mut self) -> anyhow::Result<()> {
        let door = Arc::new(pop3::ServiceDoor::new(self.service.clone()));
        let gate = self.gate("pop");
        let listen = self.settings.listen.clone();
        for (name, setting, entry, addresses) in [
            ("pop", "g_pop_listen", pop3::Entry::Plain, listen.pop),
            ("pops", "g_pops_listen", pop3::Entry::ImplicitTls, listen.pops),
        ] {
            for address in addresses {
                let config = pop3::PortConfig::from_settings(&self.settings, entry);
                let port = pop3::Port::new(config, door.clone(), gate.clone(), Some(self.tls.clone()))?;
                let listener = self.bind(name, setting, address).await?;
                self.serving.push(port.serve(listener, self.stop.clone()).boxed());
            }
        }
        Ok(())
    }

    fn gate(&mut self, protocol: &'static str) -> Arc<Gate> {
        let limits = &self.settings.limits;
        let gate = Gate::new(limits.connections_max, limits.connections_per_ip_max);
        self.connections.push((protocol, gate.clone()));
        gate
    }

    async fn bind(&mut self, what: &'static str, setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
        let failed = || format!("failed to listen on {address} for {what}: set {setting} to a free address");
        let listener = TcpListener::bind(address).await.with_context(failed)?;
        let bound = listener.local_addr().with_context(failed)?;
        tracing::info!(%bound, "listening for {what}");
        self.addresses.0.push((what, bound));
        Ok(listener)
    }
}

fn engine_options(settings: &Settings, data: &std::path::Path, secrets: watch::Receiver<Vec<Secret>>) -> EngineOptions {
    let mirror = &settings.mirror;
    let mut link = LinkOptions::new(mirror.listen, mirror.peer.clone());
    link.nossl = mirror.nossl;
    let authority = if mirror.managed {
        Authority::Managed
    } else {
        Authority::Person { first_role: mirror.mode, policy: mirror.ack, alone: mirror.alone }
    };
    let mut options = EngineOptions::new(mirror.node, data.to_owned(), link, secrets, authority);
    options.timing.hold = mirror.hold;
    options.timing.lease = mirror.lease;
    options.stale = mirror.stale;
    options.log_max_bytes = mirror.log_max_bytes;
    options
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_error_is_told_once_with_what_to_do() {
        let missing = live::load(std::path::Path::new("/nonexistent/x.ini"), "host").unwrap_err();
        let told = explain(&anyhow::Error::new(missing).context("failed to start"));
        assert_eq!(told.matches("No such file").count(), 1, "{told}");
        assert!(told.starts_with("failed to start: failed to read /nonexistent/x.ini") && told.ends_with("--config"));
    }
}
