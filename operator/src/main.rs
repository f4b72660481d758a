//! `mailmirror-operator`: runs the operator, and prints what it is made of.

mod probe;

use clap::{Parser, Subcommand};
use mailmirror_operator::{api, rbac};
use std::path::PathBuf;
use std::time::Duration;

/// The operator of Mailmirror.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the CustomResourceDefinition, or writes it.
    Crd {
        /// File to write to instead of standard output.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Prints the rules that the operator's role needs, as YAML.
    Rbac {
        /// File to write to instead of standard output.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Asks an address by HTTP and fails unless the answer is a success.
    Probe {
        /// For example `http://mailmirror-operator:8080/readyz`.
        url: String,
        /// How long each step may take, in seconds.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
        timeout: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd { output } => put(output, &api::crd_yaml()?),
        Command::Rbac { output } => put(output, &rbac::yaml()?),
        Command::Probe { url, timeout } => {
            put(None, &format!("{}\n", probe::probe(&url, Duration::from_secs(timeout))?))
        }
    }
}

fn put(output: Option<PathBuf>, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match output {
        Some(path) => std::fs::write(path, text)?,
        None => std::io::stdout().write_all(text.as_bytes())?,
    }
    Ok(())
}
