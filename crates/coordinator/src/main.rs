//! `vedette-coordinator`: the program.

mod token;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use coordinator::Config;
use coordinator::run;
use daemon::clock::SystemClock;
use daemon::config::{Loaded, PREFIX, Sources, load, process_environment};
use daemon::shutdown::{FAILED, Shutdown, USAGE};

/// One allocator for our code and RocksDB's that gives back what a large query has used: glibc keeps it
/// in an arena of each thread that ever ran one. How it is set stands in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Keeps and answers for a fleet of vedette agents.
///
/// Settings come from defaults, then the TOML file, then VEDETTE_* environment variables, then
/// flags. SIGTERM drains and ends; SIGHUP reloads the configuration.
#[derive(Debug, Parser)]
#[command(name = "vedette-coordinator", version)]
struct Arguments {
    /// TOML file with settings; see deploy/config/coordinator.toml.
    #[arg(long, value_name = "FILE", env = "VEDETTE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Where the database lies [default: vedette-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where gRPC listens [default: 127.0.0.1:7700].
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Where HTTP listens [default: 127.0.0.1:7780].
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// File of bearer tokens' digests (access.tokens).
    #[arg(long, value_name = "FILE", global = true)]
    tokens: Option<PathBuf>,
    /// Listens beyond this machine even without TLS or without asking who calls.
    #[arg(long)]
    insecure: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks the configuration, unknown keys included, and ends.
    CheckConfig,
    /// Makes, takes back and lists bearer tokens. A coordinator that runs follows within seconds.
    #[command(subcommand)]
    Token(token::TokenCommand),
}

/// Variables that are no settings: all but the first are read by `vedette` and agents, and may be set for a
/// whole machine.
const RESERVED: [&str; 8] = [
    "VEDETTE_CONFIG",
    "VEDETTE_COORDINATOR",
    "VEDETTE_CA",
    "VEDETTE_CERT",
    "VEDETTE_KEY",
    "VEDETTE_TOKEN",
    "VEDETTE_TOKEN_FILE",
    "VEDETTE_JOIN_TOKEN",
];

impl Arguments {
    fn overrides(&self) -> Vec<(String, String)> {
        let flags = [
            (
                "data_dir",
                self.data_dir
                    .as_ref()
                    .map(|path| path.display().to_string()),
            ),
            (
                "grpc_listen",
                self.grpc_listen.as_ref().map(ToString::to_string),
            ),
            (
                "http_listen",
                self.http_listen.as_ref().map(ToString::to_string),
            ),
            (
                "access.tokens",
                self.tokens.as_ref().map(|path| path.display().to_string()),
            ),
            ("access.insecure", self.insecure.then(|| "true".to_owned())),
        ];
        flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect()
    }

    fn load(&self) -> anyhow::Result<Loaded<Config>> {
        let loaded: Loaded<Config> = load(Sources {
            file: self.config.as_deref(),
            environment: process_environment(),
            prefix: PREFIX,
            reserved: &RESERVED,
            overrides: self.overrides(),
        })?;
        loaded.value.validate()?;
        Ok(loaded)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Some(Command::CheckConfig) => check_config(&arguments),
        Some(Command::Token(command)) => tokens(&arguments, command),
        None => run_to_end(&arguments),
    };
    done.unwrap_or_else(|error| {
        report(&error);
        let usage =
            error.is::<daemon::config::Error>() || error.is::<coordinator::config::ConfigError>();
        ExitCode::from(if usage { USAGE } else { FAILED })
    })
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that could not start"
)]
fn report(error: &anyhow::Error) {
    eprintln!("vedette-coordinator: {error:#}");
}

#[expect(clippy::print_stdout, reason = "the answer of the subcommand")]
fn check_config(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.load()?.strict()?;
    println!("the configuration is good");
    Ok(ExitCode::SUCCESS)
}

fn tokens(arguments: &Arguments, command: &token::TokenCommand) -> anyhow::Result<ExitCode> {
    let config = arguments.load()?.value;
    token::run(command, config.access.tokens.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

/// How long blocking work may go on after the drain has ended, whether it ended well or not.
const LAST_WORK: Duration = Duration::from_secs(1);

fn run_to_end(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("starting the runtime")?;
    let done = runtime.block_on(serve(arguments));
    // A disk that does not answer must not hold the process for ever.
    runtime.shutdown_timeout(LAST_WORK);
    done
}

async fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let loaded = arguments.load()?;
    let logs = daemon::logs::init(&loaded.value.log).context("setting up the logs")?;
    for unknown in &loaded.unknown {
        tracing::warn!(%unknown, "a setting means nothing and is ignored");
    }
    let shutdown = Shutdown::new();
    shutdown.listen().context("listening for signals")?;
    let config = loaded.value;
    let drain = config.drain_timeout.as_duration();
    let data_dir = config.data_dir.clone();
    let running = run::start(config, SystemClock::shared(), &shutdown).await?;
    running
        .metrics
        .config_unknown_keys
        .set_count(loaded.unknown.len());
    let listen = serde_json::json!({ "grpc": running.grpc, "http": running.http });
    std::fs::write(data_dir.join("listen.json"), format!("{listen}\n"))
        .context("writing listen.json into the data folder")?;
    tracing::info!(grpc = %running.grpc, http = %running.http, "coordinator is up");
    let mut reloads = shutdown.reloads();
    loop {
        tokio::select! {
            () = shutdown.draining() => break,
            Ok(()) = reloads.changed() => reload(arguments, &running, &logs),
        }
    }
    let joined = shutdown.join(drain).await;
    if let Err(error) = &joined {
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "the drain did not end well");
    }
    Ok(ExitCode::from(shutdown.exit_code(&joined)))
}

/// Takes a changed configuration into use, as far as it can change while running. A bad one
/// changes nothing.
fn reload(arguments: &Arguments, running: &run::Running, logs: &daemon::logs::LogHandle) {
    let loaded = match arguments.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the new configuration is not used"
            );
            return;
        }
    };
    running
        .metrics
        .config_unknown_keys
        .set_count(loaded.unknown.len());
    for unknown in &loaded.unknown {
        tracing::warn!(%unknown, "a setting means nothing and is ignored");
    }
    let (old, new) = (Arc::clone(&running.config.borrow()), loaded.value);
    for (key, changed) in [
        ("data_dir", old.data_dir != new.data_dir),
        ("grpc_listen", old.grpc_listen != new.grpc_listen),
        ("http_listen", old.http_listen != new.http_listen),
        ("log.format", old.log.format != new.log.format),
        ("log.color", old.log.color != new.log.color),
        ("tls", old.tls != new.tls),
        ("access", old.access != new.access),
        (
            "join.authority_cert",
            old.authority_files() != new.authority_files(),
        ),
        (
            "store.block_cache",
            old.store.block_cache != new.store.block_cache,
        ),
        (
            "store.write_buffer",
            old.store.write_buffer != new.store.write_buffer,
        ),
        (
            "ingest.queue_batches_max",
            old.ingest.queue_batches_max != new.ingest.queue_batches_max,
        ),
        (
            "query.concurrency_max",
            old.query.concurrency_max != new.query.concurrency_max,
        ),
    ] {
        if changed {
            tracing::warn!(key, "this setting takes effect at the next start");
        }
    }
    if let Err(error) = logs.reload(&new.log.filter) {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the log filter is not used"
        );
    }
    running.config.send_replace(Arc::new(new));
}
