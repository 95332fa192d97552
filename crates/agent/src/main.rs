//! `vedette-agent`: the program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent::{Config, metrics::Metrics, run};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use daemon::clock::SystemClock;
use daemon::config::{Loaded, PREFIX, Sources, load, process_environment};
use daemon::shutdown::{FAILED, Shutdown, USAGE};

/// One allocator that gives back what is free: glibc keeps as much again between what is in use, and a cap on
/// memory would be passed by nothing. How it is set stands in .cargo/config.toml.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long work on blocking threads may take after the drain.
const BLOCKING_WITHIN: Duration = Duration::from_secs(1);

/// Reads this node and brings what it reads to a vedette coordinator.
///
/// Settings come from defaults, then the TOML file, then VEDETTE_* environment variables, then
/// flags. SIGTERM drains and ends; SIGHUP reloads the log filter.
#[derive(Debug, Parser)]
#[command(name = "vedette-agent", version)]
struct Arguments {
    /// TOML file with settings; see deploy/config/agent.toml.
    #[arg(long, value_name = "FILE", env = "VEDETTE_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// Name of this agent, unique in the fleet [default: the host's name].
    #[arg(long, value_name = "NAME")]
    agent_id: Option<String>,
    /// URL of the coordinator [default: http://127.0.0.1:7700].
    #[arg(long, value_name = "URL")]
    coordinator: Option<String>,
    /// Where the spool and the events lie [default: vedette-agent-state].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// How often to read [default: 5s].
    #[arg(long, value_name = "DURATION")]
    collect_interval: Option<String>,
    /// How often to send [default: 60s].
    #[arg(long, value_name = "DURATION")]
    sync_interval: Option<String>,
    /// Prometheus endpoint to read; may be given more than once.
    #[arg(long, value_name = "URL", num_args = 1..)]
    scrape: Vec<String>,
    /// Label that every series gets; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", num_args = 1.., value_parser = pair)]
    label: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks the configuration, unknown keys included, and ends.
    CheckConfig,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a label is given as NAME=VALUE".to_owned()),
    }
}

/// Variables that are no settings: all but the first and the last are read by `vedette`, and may be set for a
/// whole machine.
const RESERVED: [&str; 6] = [
    "VEDETTE_CONFIG",
    "VEDETTE_CA",
    "VEDETTE_CERT",
    "VEDETTE_KEY",
    "VEDETTE_TOKEN",
    agent::certificate::JOIN_TOKEN,
];

impl Arguments {
    fn load(&self) -> anyhow::Result<Loaded<Config>> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flags = [
            ("agent_id", self.agent_id.clone()),
            ("coordinator", self.coordinator.clone()),
            ("state_dir", path(&self.state_dir)),
            ("collect_interval", self.collect_interval.clone()),
            ("sync_interval", self.sync_interval.clone()),
        ];
        let overrides = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
        let mut loaded: Loaded<Config> = load(Sources {
            file: self.config.as_deref(),
            environment: process_environment(),
            prefix: PREFIX,
            reserved: &RESERVED,
            overrides,
        })?;
        // Lists on the command line add to those of the file.
        loaded.value.scrape.extend(self.scrape.iter().cloned());
        loaded.value.labels.extend(self.label.iter().cloned());
        loaded.value.validate()?;
        loaded.value.agent_id()?;
        Ok(loaded)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Some(Command::CheckConfig) => check_config(&arguments),
        None => serve(&arguments),
    };
    done.unwrap_or_else(|error| {
        report(&error);
        let usage = error.is::<daemon::config::Error>() || error.is::<agent::config::ConfigError>();
        ExitCode::from(if usage { USAGE } else { FAILED })
    })
}

#[expect(
    clippy::print_stderr,
    reason = "the last word of a program that could not start"
)]
fn report(error: &anyhow::Error) {
    eprintln!("vedette-agent: {error:#}");
}

#[expect(clippy::print_stdout, reason = "the answer of the subcommand")]
fn check_config(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    arguments.load()?.strict()?;
    println!("the configuration is good");
    Ok(ExitCode::SUCCESS)
}

fn serve(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // One thread does: the work of an agent is small, and its threads for blocking work are apart.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let done = runtime.block_on(until_drained(arguments));
    // A disk that hangs must not hold up the end: what could be waited for has been, in the drain.
    runtime.shutdown_timeout(BLOCKING_WITHIN);
    done
}

async fn until_drained(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let loaded = arguments.load()?;
    let logs = daemon::logs::init(&loaded.value.log).context("setting up the logs")?;
    for unknown in &loaded.unknown {
        tracing::warn!(%unknown, "a setting means nothing and is ignored");
    }
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        tracing::debug!("a TLS provider was there already");
    }
    let config = loaded.value;
    let shutdown = Shutdown::new();
    shutdown.listen().context("listening for signals")?;
    let metrics = Metrics::new();
    metrics.config_unknown_keys.set_count(loaded.unknown.len());
    run::start(&config, &SystemClock::shared(), &shutdown, &metrics)?;
    tracing::info!(coordinator = config.coordinator, "agent is up");
    let mut reloads = shutdown.reloads();
    loop {
        tokio::select! {
            () = shutdown.draining() => break,
            Ok(()) = reloads.changed() => reload(arguments, &config, &logs),
        }
    }
    let joined = shutdown.join(config.drain_timeout.as_duration()).await;
    if let Err(error) = &joined {
        tracing::error!(error = agent::chain(error), "the drain did not end well");
    }
    Ok(ExitCode::from(shutdown.exit_code(&joined)))
}

/// Takes a changed log filter into use; everything else needs a restart, which loses nothing.
fn reload(arguments: &Arguments, old: &Config, logs: &daemon::logs::LogHandle) {
    let new = match arguments.load() {
        Ok(loaded) => loaded.value,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the new configuration is not used"
            );
            return;
        }
    };
    if let Err(error) = logs.reload(&new.log.filter) {
        tracing::error!(error = agent::chain(&error), "the log filter is not used");
    }
    let mut same = new;
    same.log.filter.clone_from(&old.log.filter);
    if same != *old {
        tracing::warn!("a setting other than log.filter has changed; it counts at the next start");
    }
    tracing::info!("configuration reloaded");
}
