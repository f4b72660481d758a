//! The mail server.

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use mailserver::server::{Server, ServerOptions, explain};
use mailserver::settings::certificate::Certificates;
use mailserver::settings::{live, secret};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// One node of a mirrored pair of mail servers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings.
    #[arg(long, env = "MAILMIRROR_CONFIG", default_value = "/etc/mailmirror/mailmirror.ini")]
    config: PathBuf,
    /// Where mail is kept.
    #[arg(long, env = "MAILMIRROR_DATA", default_value = "/var/lib/mailmirror")]
    data: PathBuf,
    /// Read the settings, say what is wrong with them, and end.
    #[arg(long)]
    check_config: bool,
    /// How to write the log.
    #[arg(long, env = "MAILMIRROR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines: one object a line.
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log_format);
    // Exactly one provider is in the program; a second call would find the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "failed to start");
            return ExitCode::FAILURE;
        }
    };
    let ended = if arguments.check_config { check(&arguments) } else { runtime.block_on(serve(&arguments)) };
    // A read of the store that nobody waits for any more does not hold the end up.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("failed to listen for SIGHUP")?;
    let options =
        ServerOptions { config: arguments.config.clone(), data: arguments.data.clone(), host_name: live::host_name() };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), host = options.host_name, "starting");
    let server = tokio::select! {
        started = Server::start(options) => started?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let (stop, live) = (server.stopper(), server.live().clone());
    let signals = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => match live.reload().await {
                    Ok(reloaded) => tracing::info!(changed = reloaded.changed, "the settings were read again"),
                    Err(error) => tracing::warn!(%error, "the settings that were read before stay in use"),
                },
            }
        }
        tracing::info!("told to stop: sessions may end");
        stop.cancel();
    });
    let ended = server.run().await.map_err(anyhow::Error::msg);
    signals.abort();
    tracing::info!("stopped");
    ended
}

fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let read = live::load(&arguments.config, &live::host_name())?;
    for warning in &read.warnings {
        tracing::warn!(line = warning.line, "{}", warning.why);
    }
    secret::load(&read.settings.mirror.secret)?;
    Certificates::new(&read.settings)?;
    println!("{}: the settings are fine", arguments.config.display());
    Ok(())
}

fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
