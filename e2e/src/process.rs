//! A mail server as a process of its own: started, stopped, killed and started again on the same data.

use crate::ports;
use crate::wait;
use anyhow::{Context, Result, bail};
use mailmirror_model::ids::NodeId;
use rustix::process::{Pid, kill_process};
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

pub use rustix::process::Signal;

/// How long a server may take to listen, on a machine that has other things to do.
pub const START_LIMIT: Duration = Duration::from_secs(20);
/// What is logged: not each message of a load.
const LOG_FILTER: &str = "info,mailserver::smtp::connection=warn,mailserver::imap::auth=warn";
/// Lines of a server's log that stand in an error.
const LOG_LINES_SHOWN: usize = 40;

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `mailserver`
    pub mailserver: PathBuf,
    /// `tellmail`
    pub tellmail: PathBuf,
}

impl Programs {
    /// Those that were built beside this program, or beside the tests' folder that this program is in.
    ///
    /// # Errors
    /// When they have not been built.
    pub fn find() -> Result<Self> {
        let me = std::env::current_exe().context("failed to find this program")?;
        let beside = me.ancestors().skip(1).take(2).find(|dir| dir.join("mailserver").is_file());
        let Some(dir) = beside else {
            bail!("failed to find mailserver beside {}: run `cargo build -p mailserver --bins`", me.display())
        };
        Ok(Self { mailserver: dir.join("mailserver"), tellmail: dir.join("tellmail") })
    }
}

/// The ports of a node, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Ports {
    pub smtp: u16,
    pub submission: u16,
    pub smtps: u16,
    pub lmtp: u16,
    pub imap: u16,
    pub imaps: u16,
    pub pop: u16,
    pub pops: u16,
    pub mirror: u16,
    pub admin: u16,
    pub health: u16,
}

impl Ports {
    /// Free ones.
    ///
    /// # Errors
    /// See [`ports::free`].
    pub fn choose() -> Result<Self> {
        let [smtp, submission, smtps, lmtp, imap, imaps, pop, pops, mirror, admin, health] = ports::free()?;
        Ok(Self { smtp, submission, smtps, lmtp, imap, imaps, pop, pops, mirror, admin, health })
    }

    fn settings(&self) -> Vec<(String, String)> {
        let named = [
            ("smtp", self.smtp),
            ("submission", self.submission),
            ("smtps", self.smtps),
            ("lmtp", self.lmtp),
            ("imap", self.imap),
            ("imaps", self.imaps),
            ("pop", self.pop),
            ("pops", self.pops),
            ("mirror", self.mirror),
            ("admin", self.admin),
            ("health", self.health),
        ];
        named.map(|(name, port)| (format!("g_{name}_listen"), local(port).to_string())).into()
    }
}

/// A port of this machine.
pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// One mail server.
pub struct Node {
    /// Which of the pair.
    pub number: NodeId,
    /// Where it listens.
    pub ports: Ports,
    dir: PathBuf,
    programs: Programs,
    child: Option<Child>,
}

impl Node {
    /// Writes the settings of a node below `dir`; nothing is started.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn create(
        programs: &Programs,
        dir: &Path,
        number: NodeId,
        ports: Ports,
        settings: &[(String, String)],
    ) -> Result<Self> {
        let dir = dir.join(format!("node{number}"));
        std::fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        let all = ports.settings();
        let lines: Vec<_> = all.iter().chain(settings).map(|(name, value)| format!("{name} \"{value}\"\n")).collect();
        let node = Self { number, ports, dir, programs: programs.clone(), child: None };
        std::fs::write(node.ini(), lines.concat()).context("failed to write the settings")?;
        Ok(node)
    }

    /// Its settings.
    pub fn ini(&self) -> PathBuf {
        self.dir.join("mailmirror.ini")
    }

    /// Its store.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What it writes to its standard output and error, over all its runs.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log.txt")
    }

    /// Starts it, and returns when it answers on its health port.
    ///
    /// # Errors
    /// When it does not, with the end of its log.
    pub async fn start(&mut self) -> Result<()> {
        self.spawn()?;
        let health = local(self.ports.health);
        let started = wait::until("a started mail server", START_LIMIT, || async {
            // Any answer will do: it listens on all its ports before it answers here.
            http_get(health, "/livez").await.map(drop)
        });
        tokio::select! {
            started = started => started.with_context(|| self.told("does not answer")),
            status = exited(&mut self.child) => bail!(self.told(&format!("ended: {status:?}"))),
        }
    }

    /// Starts it without waiting for anything.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(&mut self) -> Result<()> {
        if self.child.is_some() {
            bail!("node {} runs already", self.number);
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log()).context("failed to open the log")?;
        let child = Command::new(&self.programs.mailserver)
            .arg("--config")
            .arg(self.ini())
            .arg("--data")
            .arg(self.data())
            .env("RUST_BACKTRACE", "1")
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| LOG_FILTER.to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            // A Ctrl-C at the terminal is for the one who started us; it stops the nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.with_context(|| format!("failed to start {}", self.programs.mailserver.display()))?);
        Ok(())
    }

    /// Whether the process is there.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The id of the process.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Starts it again after it has ended.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub async fn restart(&mut self) -> Result<()> {
        if self.runs() {
            bail!("node {} runs", self.number);
        }
        self.child = None;
        self.start().await
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        let pid = id.and_then(Pid::from_raw).with_context(|| format!("node {} does not run", self.number))?;
        kill_process(pid, signal).context("failed to send a signal")
    }

    /// SIGKILL, at once: nothing of it is left when this returns.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        exited(&mut self.child).await?;
        self.child = None;
        Ok(())
    }

    /// Stops it in order, and says how it ended.
    ///
    /// # Errors
    /// When it is still there after `limit`; it is killed then.
    pub async fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let Ok(status) = tokio::time::timeout(limit, exited(&mut self.child)).await else {
            self.kill().await?;
            bail!(self.told(&format!("did not stop in {limit:?}")));
        };
        self.child = None;
        status
    }

    /// Calls `tellmail` for this node, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn tellmail(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.programs.tellmail);
        let output = command.arg("--config").arg(self.ini()).args(arguments).kill_on_drop(true).output();
        let output = tokio::time::timeout(START_LIMIT, output).await.context("tellmail did not end")??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("tellmail {} failed on node {}: {text}{error}", arguments.join(" "), self.number);
        }
        Ok(text)
    }

    /// What is wrong, with the end of the log.
    pub fn told(&self, what: &str) -> String {
        format!("node {} {what}; the end of its log:\n{}", self.number, self.log_end())
    }

    /// The end of its log.
    pub fn log_end(&self) -> String {
        let text = File::open(self.log()).and_then(std::io::read_to_string).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

async fn exited(child: &mut Option<Child>) -> Result<ExitStatus> {
    match child {
        Some(child) => child.wait().await.context("failed to wait for a mail server"),
        None => bail!("the mail server does not run"),
    }
}

/// A plain HTTP request; the status code and the body.
///
/// # Errors
/// When there is no answer in two seconds.
pub async fn http_get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(1 << 20).read_to_end(&mut answer).await?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").context("the answer is no HTTP")?;
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("the answer has no status")?;
        Ok((code, body.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(2), exchange).await.context("no answer")?
}
