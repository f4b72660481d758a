//! Tells a mail server what to do, through its admin API. Exit code 0: done; 1: not done.

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use mailmirror_control::auth::Secret;
use mailmirror_control::client::{Connection, Timeouts};
use mailmirror_control::tell::{Tell, Told};
use mailserver::server::explain;
use mailserver::settings::{SecretSource, live, secret};
use std::io::{BufRead as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than `g_mirror_hold`, for which a change may have to wait.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(40);
/// For what goes through all mail.
const LONG_TIMEOUT: Duration = Duration::from_hours(1);

/// Tells a mail server what to do.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings of the server: they say where its admin API is, and the secret.
    #[arg(long, env = "MAILMIRROR_CONFIG", default_value = "/etc/mailmirror/mailmirror.ini", global = true)]
    config: PathBuf,
    /// Another server, `host:port`.
    // Commands have an argument of that name, too: this one needs an identity of its own.
    #[arg(id = "server", long = "address", value_name = "HOST:PORT", global = true)]
    address: Option<String>,
    /// Its secret: a file, or a directory with a file `secret`.
    #[arg(long, global = true)]
    secret_file: Option<PathBuf>,
    /// Print data, not text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[command(rename_all = "snake_case")]
enum Command {
    /// The two mirror lines, and what stands beside them
    Status,
    /// The version of this program
    Version,
    /// Creates an account; without a password one line is read from standard input
    AddUser {
        /// `local@domain`
        address: String,
        /// Seen by others on this machine: better leave it out
        password: Option<String>,
    },
    /// Deletes an account with its mail
    DeleteUser {
        /// `local@domain`
        address: String,
    },
    /// Sets a password; without one a line is read from standard input
    ChangePass {
        /// `local@domain`
        address: String,
        /// Seen by others on this machine: better leave it out
        password: Option<String>,
    },
    /// Finds accounts
    FindUser {
        /// Part of an address; nothing: all
        #[arg(default_value = "")]
        pattern: String,
    },
    /// Where an account is kept
    Path {
        /// `local@domain`
        user: String,
    },
    /// What an account holds, line by line the same on both nodes when they are equal
    Dir {
        /// `local@domain`
        user: String,
        /// One mailbox only
        folder: Option<String>,
    },
    /// Compares the digests of both nodes and corrects what differs
    ResyncFast,
    /// Compares both nodes
    VerifyMirror {
        /// Line by line, not by digests alone
        #[arg(long)]
        full: bool,
    },
    /// Makes this node the master (plain hosts)
    Promote {
        /// What the other node has alone may be lost
        #[arg(long = "accept-loss")]
        accept_loss: bool,
    },
    /// Swaps the roles without loss (plain hosts)
    Swap,
    /// Reads the settings again
    Reload,
    /// Stops the server in order
    Shutdown,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            if arguments.json {
                println!("{}", serde_json::json!({ "error": explain(&error) }));
            } else {
                eprintln!("tellmail: {}", explain(&error));
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if matches!(arguments.command, Command::Version) {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return Ok(true);
    }
    let (command, limit) = tell(&arguments.command)?;
    let (address, secrets) = server(arguments)?;
    let mut connection = Connection::open(&address, &secrets, Timeouts::default()).await?;
    let told = connection.tell(&command, limit).await?;
    print(&told, arguments.json)?;
    Ok(told.ok)
}

fn tell(command: &Command) -> anyhow::Result<(Tell, Duration)> {
    Ok(match command {
        Command::Status | Command::Version => (Tell::Status, CHANGE_TIMEOUT),
        Command::AddUser { address, password: given } => {
            (Tell::AddUser { address: address.clone(), password: password(given.as_ref())? }, CHANGE_TIMEOUT)
        }
        Command::DeleteUser { address } => (Tell::DeleteUser { address: address.clone() }, CHANGE_TIMEOUT),
        Command::ChangePass { address, password: given } => {
            (Tell::ChangePass { address: address.clone(), password: password(given.as_ref())? }, CHANGE_TIMEOUT)
        }
        Command::FindUser { pattern } => (Tell::FindUser { pattern: pattern.clone() }, CHANGE_TIMEOUT),
        Command::Path { user } => (Tell::Path { user: user.clone() }, CHANGE_TIMEOUT),
        Command::Dir { user, folder } => (Tell::Dir { user: user.clone(), folder: folder.clone() }, CHANGE_TIMEOUT),
        Command::ResyncFast => (Tell::ResyncFast, LONG_TIMEOUT),
        Command::VerifyMirror { full } => (Tell::VerifyMirror { full: *full }, LONG_TIMEOUT),
        Command::Promote { accept_loss } => (Tell::Promote { accept_loss: *accept_loss }, CHANGE_TIMEOUT),
        Command::Swap => (Tell::Swap, CHANGE_TIMEOUT),
        Command::Reload => (Tell::Reload, CHANGE_TIMEOUT),
        Command::Shutdown => (Tell::Shutdown, CHANGE_TIMEOUT),
    })
}

fn password(given: Option<&String>) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("failed to read a password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("there is no password: write it behind the address, or on standard input");
    }
    Ok(password.to_owned())
}

/// Where the server is, and which secrets it may know.
fn server(arguments: &Arguments) -> anyhow::Result<(String, Vec<Secret>)> {
    let by_hand = arguments.secret_file.clone().map(SecretSource::Path);
    if let (Some(address), Some(source)) = (&arguments.address, &by_hand) {
        return Ok((address.clone(), secret::load(source)?));
    }
    let settings = live::load(&arguments.config, &live::host_name())?.settings;
    let mut listen = settings.admin_listen;
    match listen.ip() {
        IpAddr::V4(any) if any.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(any) if any.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    let address = arguments.address.clone().unwrap_or_else(|| listen.to_string());
    Ok((address, secret::load(&by_hand.unwrap_or(settings.mirror.secret))?))
}

fn print(told: &Told, json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(&told.data)? + "\n" } else { told.text.clone() };
    let written = if told.ok || json {
        std::io::stdout().lock().write_all(text.as_bytes())
    } else {
        std::io::stderr().lock().write_all(text.as_bytes())
    };
    // Somebody who reads only the first lines is no fault.
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("failed to print"),
        _ => Ok(()),
    }
}
