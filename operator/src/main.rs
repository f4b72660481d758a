//! `mailmirror-operator`: runs the operator, and prints what it is made of.

mod probe;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mailmirror_operator::{api, plugin, rbac, reason, run};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// The operator of Mailmirror.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the operator.
    Run(RunArguments),
    /// Prints the `CustomResourceDefinition`, or writes it.
    Crd(Output),
    /// Prints the rules that the operator's role needs, as YAML.
    Rbac(Output),
    /// Prints the page about the reasons in conditions and events.
    Reasons(Output),
    /// Asks an address by HTTP and fails unless the answer is a success; what `helm test` runs.
    Probe {
        /// For example `http://mailmirror-operator:8080/readyz`.
        url: String,
        /// How long each step may take, in seconds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
        timeout: u64,
    },
}

#[derive(Debug, Args)]
struct Output {
    /// File to write to instead of standard output.
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The one namespace that is served. Default: all.
    #[arg(long, env = "WATCH_NAMESPACE")]
    namespace: Option<String>,
    /// The image of pairs that name none.
    #[arg(long, env = "MAILMIRROR_IMAGE")]
    image: String,
    /// Where the election is held.
    #[arg(long, env = "POD_NAMESPACE")]
    lease_namespace: String,
    /// The name of its Lease.
    #[arg(long, env = "LEASE_NAME", default_value = "mailmirror-operator")]
    lease_name: String,
    /// The name of this candidate. Default: the host's name and a random number.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Where health and metrics are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// What is logged: a level, or directives such as `mailmirror_operator=debug`.
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

fn main() -> anyhow::Result<()> {
    let called = std::env::args_os().next().unwrap_or_default();
    if std::path::Path::new(&called).file_stem().is_some_and(|name| name == "kubectl-mailmirror") {
        return as_plugin();
    }
    match Arguments::parse().command {
        Command::Run(arguments) => serve(arguments),
        Command::Crd(Output { output }) => put(output, &api::crd_yaml()?),
        Command::Rbac(Output { output }) => put(output, &rbac::yaml()?),
        Command::Reasons(Output { output }) => put(output, &reason::page()),
        Command::Probe { url, timeout } => {
            put(None, &format!("{}\n", probe::probe(&url, Duration::from_secs(timeout))?))
        }
    }
}

/// `kubectl` finds plugins by their name: the same program under another one.
fn as_plugin() -> anyhow::Result<()> {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    put(None, &runtime.block_on(plugin::run(plugin::Arguments::parse()))?)
}

fn serve(arguments: RunArguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log)?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        LogFormat::Text => logs.init(),
    }
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let host = || std::env::var("HOSTNAME").unwrap_or_else(|_| "operator".to_owned());
    // Two runs under one name must not take each other's term for their own.
    let identity = format!("{}-{:08x}", arguments.identity.unwrap_or_else(host), rand::random::<u32>());
    let options = run::Options {
        namespace: arguments.namespace.filter(|namespace| !namespace.is_empty()),
        image: arguments.image,
        lease_namespace: arguments.lease_namespace,
        lease_name: arguments.lease_name,
        identity,
        listen: arguments.listen,
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run::run(options))
}

fn put(output: Option<PathBuf>, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match output {
        Some(path) => std::fs::write(path, text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}
