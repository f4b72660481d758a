//! Two mail servers as a pair, with what they need.

use crate::authority::Authority;
use crate::cable::Cable;
use crate::clients::Security;
use crate::clients::imap::{Imap, View};
use crate::clients::smtp::Smtp;
use crate::process::{Node, Ports, Programs, local};
use anyhow::{Context, Result, bail};
use mailmirror_control::auth::Secret;
use mailmirror_control::client::{Connection, Timeouts};
use mailmirror_control::record::AckPolicy;
use mailmirror_control::status::{Link, NodeStatus, Role};
use mailmirror_control::tell::{Tell, Told};
use mailmirror_model::ids::NodeId;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The domain that a pair hosts.
pub const DOMAIN: &str = "office.example";
/// The account that most tests use.
pub const BOB: (&str, &str) = ("bob@office.example", "a password for Bob");
/// How long a client waits for an answer: longer than `g_mirror_hold`.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a pair may take to be whole again, on a machine that has other things to do.
pub const MIRRORED_LIMIT: Duration = Duration::from_secs(40);

/// Who gives the roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roles {
    /// An [`Authority`], as the operator is one.
    Managed,
    /// A person: the first role stands in the settings (rule A9).
    Plain,
}

/// How a pair is made.
#[derive(Clone, Debug)]
pub struct PairOptions {
    /// Who gives the roles.
    pub roles: Roles,
    /// When a change counts as committed.
    pub policy: AckPolicy,
    /// `g_mirror_hold`
    pub hold: Duration,
    /// `g_mirror_lease`
    pub lease: Duration,
    /// Whether the link goes through a [`Cable`] that can be cut.
    pub cable: bool,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            roles: Roles::Managed,
            policy: AckPolicy::Peer,
            hold: Duration::from_secs(10),
            lease: Duration::from_secs(2),
            cable: false,
        }
    }
}

/// Two nodes.
pub struct Pair {
    /// Both, in order.
    pub nodes: [Node; 2],
    /// The link's cable.
    pub cable: Option<Cable>,
    /// Who gives the roles, where that is not a person.
    pub authority: Option<Authority>,
    secret: String,
    options: PairOptions,
    dir: TempDir,
}

impl Pair {
    /// Writes everything; nothing is started.
    ///
    /// # Errors
    /// When something cannot be written or found.
    pub async fn create(options: PairOptions) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("mailmirror-pair-").tempdir()?;
        let programs = Programs::find()?;
        let ports = [Ports::choose()?, Ports::choose()?];
        let secret = format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
        // Node 1 calls, node 0 is called.
        let called = local(ports[0].mirror);
        let cable = if options.cable {
            let [port] = crate::ports::free()?;
            Some(Cable::lay(port, called).await?)
        } else {
            None
        };
        let link = cable.as_ref().map_or(called, Cable::address);
        let create = |node: NodeId| {
            let peer = if node == NodeId::Zero { local(ports[1].mirror) } else { link };
            let peer_admin = local(ports[node.peer().index()].admin);
            let settings = settings(&options, node, (peer, peer_admin), &secret);
            Node::create(&programs, dir.path(), node, ports[node.index()], &settings)
        };
        let nodes = [create(NodeId::Zero)?, create(NodeId::One)?];
        Ok(Self { nodes, cable, authority: None, secret, options, dir })
    }

    /// Makes a pair, starts it, waits until it is mirrored, and creates [`BOB`].
    ///
    /// # Errors
    /// When any of this fails.
    pub async fn start(options: PairOptions) -> Result<Self> {
        let mut pair = Self::create(options).await?;
        pair.start_nodes().await?;
        pair.add_user(BOB).await?;
        Ok(pair)
    }

    /// Starts both nodes, and waits until they are a mirrored pair.
    ///
    /// # Errors
    /// When they are not in [`MIRRORED_LIMIT`].
    pub async fn start_nodes(&mut self) -> Result<()> {
        let [zero, one] = &mut self.nodes;
        tokio::try_join!(zero.start(), one.start())?;
        if self.options.roles == Roles::Managed {
            let admin = [0, 1].map(|index: usize| local(self.nodes[index].ports.admin));
            let secret = Secret::new(&self.secret)?;
            self.authority = Some(Authority::begin(admin, secret, self.options.policy, NodeId::Zero));
        }
        self.until_mirrored().await
    }

    /// Waits until both nodes hold the same and the authority knows.
    ///
    /// # Errors
    /// When that is not so in [`MIRRORED_LIMIT`].
    pub async fn until_mirrored(&self) -> Result<()> {
        if let Some(authority) = &self.authority {
            return authority.until_mirrored(MIRRORED_LIMIT).await;
        }
        crate::wait::until("a mirrored pair", MIRRORED_LIMIT, || async {
            let (zero, one) = tokio::try_join!(self.status(NodeId::Zero), self.status(NodeId::One))?;
            let connected = |status: &NodeStatus| matches!(status.link, Link::Connected { .. });
            let has_all = |status: &NodeStatus| status.applied == status.tail.seq && status.progress.is_none();
            let roles = (zero.role, one.role);
            let right = matches!(roles, (Role::Master, Role::Slave) | (Role::Slave, Role::Master));
            let all = [&zero, &one].into_iter().all(|status| connected(status) && has_all(status));
            if right && all && zero.tail == one.tail { Ok(()) } else { bail!("{zero:#?} {one:#?}") }
        })
        .await
    }

    /// The authority of a managed pair.
    ///
    /// # Errors
    /// When a person gives the roles.
    pub fn authority(&self) -> Result<&Authority> {
        self.authority.as_ref().context("a person gives the roles of this pair")
    }

    /// The node that is master by the record.
    ///
    /// # Errors
    /// When there is no record.
    pub fn master(&self) -> Result<NodeId> {
        Ok(self.authority()?.record()?.holder)
    }

    /// A node.
    pub fn node(&mut self, number: NodeId) -> &mut Node {
        &mut self.nodes[number.index()]
    }

    /// The ports of a node.
    pub fn ports(&self, number: NodeId) -> Ports {
        self.nodes[number.index()].ports
    }

    /// Leaves the folder of both nodes where it is, and says where.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// What a node says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self, node: NodeId) -> Result<NodeStatus> {
        Ok(self.admin(node).await?.status().await?)
    }

    /// Gives a command, as `tellmail` does.
    ///
    /// # Errors
    /// When the node does not answer, or says no.
    pub async fn tell(&self, node: NodeId, command: Tell) -> Result<Told> {
        let told = self.admin(node).await?.tell(&command, PATIENCE).await?;
        if told.ok { Ok(told) } else { bail!("node {node} says: {}", told.text.trim_end()) }
    }

    /// Creates an account.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn add_user(&self, who: (&str, &str)) -> Result<()> {
        let command = Tell::AddUser { address: who.0.to_owned(), password: who.1.to_owned() };
        self.tell(NodeId::Zero, command).await.map(drop)
    }

    /// An SMTP session.
    ///
    /// # Errors
    /// When there is none.
    pub async fn smtp(&self, node: NodeId) -> Result<Smtp> {
        Smtp::connect(local(self.ports(node).smtp), PATIENCE).await
    }

    /// An IMAP session of [`BOB`], with TLS.
    ///
    /// # Errors
    /// When there is none.
    pub async fn imap(&self, node: NodeId) -> Result<Imap> {
        Imap::login(local(self.ports(node).imaps), Security::Tls, BOB, PATIENCE).await
    }

    /// Everything in a mailbox of [`BOB`], as a node shows it.
    ///
    /// # Errors
    /// When it is not shown.
    pub async fn view(&self, node: NodeId, mailbox: &str) -> Result<View> {
        let mut imap = self.imap(node).await?;
        let view = imap.view(mailbox).await?;
        imap.logout().await?;
        Ok(view)
    }

    /// Everything in a mailbox of [`BOB`], the same on both nodes.
    ///
    /// # Errors
    /// When it is not, with what differs.
    pub async fn equal_views(&self, mailbox: &str) -> Result<View> {
        let (zero, one) = tokio::try_join!(self.view(NodeId::Zero, mailbox), self.view(NodeId::One, mailbox))?;
        match zero.difference(&one) {
            None => Ok(zero),
            Some(difference) => bail!("{mailbox} differs between node 0 and node 1: {difference}"),
        }
    }

    async fn admin(&self, node: NodeId) -> Result<Connection> {
        let address = local(self.ports(node).admin).to_string();
        Ok(Connection::open(&address, &[Secret::new(&self.secret)?], Timeouts::default()).await?)
    }
}

fn settings(
    options: &PairOptions,
    node: NodeId,
    (peer, peer_admin): (SocketAddr, SocketAddr),
    secret: &str,
) -> Vec<(String, String)> {
    let mut settings = vec![
        ("g_server_name", format!("node{node}.{DOMAIN}")),
        ("g_domain", DOMAIN.to_owned()),
        ("g_mirror_node", node.to_string()),
        ("g_mirror_host", peer.to_string()),
        ("g_mirror_peer_admin", peer_admin.to_string()),
        ("g_mirror_secret", secret.to_owned()),
        ("g_mirror_hold", format!("{}ms", options.hold.as_millis())),
        ("g_mirror_lease", format!("{}ms", options.lease.as_millis())),
        ("g_plaintext_login", "TRUE".to_owned()),
        ("g_con_perip", "1000".to_owned()),
        ("g_shutdown_grace", "2s".to_owned()),
    ];
    match options.roles {
        Roles::Managed => settings.push(("g_mirror_managed", "TRUE".to_owned())),
        Roles::Plain => {
            settings.push(("g_mirror_mode", if node == NodeId::Zero { "master" } else { "slave" }.to_owned()));
            settings.push(("g_mirror_ack", options.policy.to_string()));
        }
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
