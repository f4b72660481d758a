//! The cluster, through `kubectl` and `helm`; and where Services and pods are reached from here.

use anyhow::{Context, Result, bail};
use mailmirror_e2e::wait;
use serde_json::Value;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long one command may take that is not told to wait.
const COMMAND_LIMIT: Duration = Duration::from_mins(1);

/// A cluster and a namespace in it.
#[derive(Clone, Debug)]
pub struct Kube {
    /// Where everything is.
    pub namespace: String,
    /// The tool of the local cluster, which can cut nodes off; none on a cluster that is not ours.
    pub tool: Option<String>,
}

/// Runs a program; what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub async fn run(program: &str, arguments: &[&str], input: Option<&str>, limit: Duration) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.spawn().with_context(|| format!("failed to run {program}"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).await?;
    }
    let said = || format!("{program} {}", arguments.join(" "));
    let output = tokio::time::timeout(limit, child.wait_with_output());
    let output = output.await.with_context(|| format!("{} did not end in {limit:?}", said()))??;
    if !output.status.success() {
        bail!("{} failed: {}", said(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Kube {
    /// `kubectl` in the namespace.
    ///
    /// # Errors
    /// See [`run`].
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, None, COMMAND_LIMIT).await
    }

    /// The same with standard input and a limit of its own.
    ///
    /// # Errors
    /// See [`run`].
    pub async fn kubectl_with(&self, arguments: &[&str], input: Option<&str>, limit: Duration) -> Result<String> {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        run("kubectl", &all, input, limit).await
    }

    /// An object, or a list.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn get(&self, what: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get", "--output", "json"], what].concat()).await?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// Waits for a condition of an object.
    ///
    /// # Errors
    /// When it does not come in time, with the object.
    pub async fn wait_for(&self, object: &str, condition: &str, limit: Duration) -> Result<()> {
        let (condition, timeout) = (format!("--for=condition={condition}"), format!("--timeout={}s", limit.as_secs()));
        let waited =
            self.kubectl_with(&["wait", &condition, object, &timeout], None, limit + Duration::from_secs(5)).await;
        if let Err(error) = waited {
            let shown = self.kubectl(&["get", object, "--output", "yaml"]).await.unwrap_or_default();
            return Err(error.context(shown));
        }
        Ok(())
    }

    /// The address of a port of a Service, such as `svc/office`, or of a pod; it is good for as long as the door is
    /// kept.
    ///
    /// # Errors
    /// When there is no way to it.
    pub async fn door(&self, to: &str, port: u16) -> Result<Door> {
        if self.tool.is_none() {
            return self.forward(to, port).await;
        }
        let (kind, name) = to.split_once('/').context("name what to reach as kind/name")?;
        let object = self.get(&[kind, name]).await?;
        let path = if kind == "svc" { "/spec/clusterIP" } else { "/status/podIP" };
        let ip = object.pointer(path).and_then(Value::as_str).with_context(|| format!("{to} has no address"))?;
        let ip: IpAddr = ip.parse().with_context(|| format!("{to} has the address {ip}"))?;
        Ok(Door { address: SocketAddr::from((ip, port)), _forward: None })
    }

    async fn forward(&self, to: &str, port: u16) -> Result<Door> {
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.namespace, "port-forward", "--address", "127.0.0.1", to, &format!(":{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("failed to run kubectl port-forward")?;
        let stdout = child.stdout.take().context("kubectl port-forward has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(Duration::from_secs(10), lines.next_line());
        let line = line.await.context("kubectl port-forward says nothing")??.unwrap_or_default();
        let address = line.split_once(" -> ").and_then(|(from, _)| from.strip_prefix("Forwarding from "));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.with_context(|| format!("kubectl port-forward says {line:?}"))?;
        Ok(Door { address, _forward: Some((child, lines)) })
    }

    /// Kills the mail server of a pod hard: by its process id where the nodes are processes of this machine, else with
    /// its pod.
    ///
    /// # Errors
    /// When there is no such process.
    pub async fn kill(&self, pod: &str) -> Result<String> {
        if self.tool.is_none() {
            self.kubectl(&["delete", "pod", pod, "--force", "--grace-period=0", "--wait=false"]).await?;
            return Ok("its pod was deleted by force".to_owned());
        }
        let object = self.get(&["pod", pod]).await?;
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).context("the pod has no uid")?;
        let pid = process_of(uid)?;
        let raw = rustix::process::Pid::from_raw(pid).context("no process id")?;
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).context("failed to kill the mail server")?;
        Ok(format!("SIGKILL to process {pid}"))
    }

    /// Takes a node's network link down, or up again.
    ///
    /// # Errors
    /// On a cluster that is not ours.
    pub async fn set_link(&self, node: &str, up: bool) -> Result<()> {
        let tool = self.tool.as_deref().context("only the local cluster can cut a node off")?;
        run(tool, &[if up { "heal" } else { "cut" }, node], None, COMMAND_LIMIT).await.map(drop)
    }

    /// Deletes the namespace and waits until it is gone.
    ///
    /// # Errors
    /// When it is not gone in two minutes.
    pub async fn delete_namespace(&self) -> Result<()> {
        let arguments = ["delete", "namespace", &self.namespace, "--ignore-not-found", "--timeout=120s"];
        run("kubectl", &arguments, None, Duration::from_secs(130)).await.map(drop)
    }
}

/// The way to a port.
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    /// It ends when nobody reads what it prints.
    _forward: Option<(Child, Lines<BufReader<ChildStdout>>)>,
}

/// The process id of the mail server in a pod, which stands in the name of its control group.
fn process_of(pod_uid: &str) -> Result<i32> {
    let names = [pod_uid.to_owned(), pod_uid.replace('-', "_")];
    for process in std::fs::read_dir("/proc").context("failed to list processes")? {
        let path = process?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A process may end while it is looked at.
        let is_ours = std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == "mailserver");
        let group = std::fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        if is_ours && names.iter().any(|name| group.contains(name)) {
            return Ok(pid);
        }
    }
    bail!("failed to find the mail server of pod {pod_uid} among the processes of this machine")
}

/// Waits with kubectl-like patience.
///
/// # Errors
/// See [`wait::until`].
pub async fn eventually<T, F, Fut>(what: &str, limit: Duration, look: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    wait::until(what, limit, look).await
}
