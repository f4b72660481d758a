//! `mailmirror-operator`: runs the operator, and prints what it is made of.

use clap::{Parser, Subcommand};
use mailmirror_operator::{api, rbac};
use std::path::PathBuf;

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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crd { output } => put(output, &api::crd_yaml()?),
        Command::Rbac { output } => put(output, &rbac::yaml()?),
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
