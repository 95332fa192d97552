//! All of it together, from start to drain.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use series::Timestamp;
use spool::{Directory, Spool};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Endpoint;
use wire::client;
use wire::ingest::AgentId;

use crate::batch::{Batcher, Gathered};
use crate::budget::Keeper;
use crate::certificate;
use crate::collect::gpu::{Gpu, GpuConfig};
use crate::collect::host::{Host, HostConfig};
use crate::collect::scrape::pool::TargetsFile;
use crate::collect::scrape::targets_file::Defaults;
use crate::collect::scrape::{PoolConfig, Scrape, ScrapePool, Target};
use crate::config::Config;
use crate::cutter::{Cutter, GPU, OWN};
use crate::families::Families;
use crate::guard::{Bounds, Guard};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::rules::{self, Ground, Link, Tap};
use crate::schedule::Schedule;
use crate::sync::{Bulk, Identity};
use crate::urgent::{Happened, Kept, Lane, queue};

/// Snapshots that may wait for the batcher.
const GATHERED_MAX: usize = 256;
/// Targets whose failure is told in the log until they work again.
const FAILING_MAX: usize = 10_000;

/// Why the agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot work.
    #[error("the configuration cannot be used")]
    Config(#[from] crate::config::ConfigError),
    /// The state folder cannot be used.
    #[error("making the state folder {}", path.display())]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The spool cannot be opened.
    #[error("opening the spool in {}; is another agent running on it?", path.display())]
    Spool {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: spool::Error,
    },
    /// A target cannot be read.
    #[error("setting up the targets")]
    Target(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no way to the coordinator.
    #[error("the way to the coordinator (coordinator, tls, token_file)")]
    Coordinator(#[from] client::Error),
    /// A thread could not be started.
    #[error("starting a collector")]
    Thread(#[source] io::Error),
}

impl Error {
    /// Whether starting again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Config(_) | Self::Target(_) | Self::Coordinator(_) => false,
            Self::StateDir { .. } | Self::Thread(_) => true,
            Self::Spool { source, .. } => source.is_retryable(),
        }
    }
}

/// Starts all tasks under `shutdown` and returns.
///
/// # Errors
/// When the spool cannot be opened or the configuration cannot work.
pub fn start(
    config: &Config,
    clock: &SharedClock,
    shutdown: &Shutdown,
    metrics: &Arc<Metrics>,
) -> Result<(), Error> {
    config.validate()?;
    let agent_id = config.agent_id()?;
    let (urgent, events) = queue(metrics, Arc::clone(clock));
    let outbox = Outbox::new(open_spool(config, clock)?, Arc::clone(metrics))
        .thinning(config.spool.thin)
        .telling(urgent.clone());
    let identity = Identity {
        agent_id: agent_id.clone(),
        outbox: outbox.clone(),
        labels: config.labels.clone(),
        clock: Arc::clone(clock),
    };
    let way = certificate::start(config, &identity, metrics, shutdown)?;
    let (out, gathered) = mpsc::channel(GATHERED_MAX);
    let schedule = Schedule {
        every: config.collect_interval.as_duration(),
        out,
        urgent: urgent.clone(),
        pace: Pace::default(),
        clock: Arc::clone(clock),
        shutdown: shutdown.clone(),
    };
    start_collectors(config, &schedule, agent_id.as_str(), metrics)?;
    start_scrapes(config, &schedule, metrics)?;
    let pace = schedule.pace.clone();
    let keeper = Keeper::new(config, pace.clone(), metrics, urgent.clone(), clock);
    drop(shutdown.spawn("budget", keeper.run(shutdown.clone())));
    let labels = source_labels(OWN, agent_id.as_str());
    let own = own_metrics(schedule, labels, Arc::clone(metrics));
    drop(shutdown.spawn("own metrics", own));
    let kept = open_events(config, clock, metrics)?;
    let (tap, rules) = start_rules(config, &agent_id, &kept, (clock, shutdown), metrics)?;
    let (wishes, wished) = watch::channel(None);
    let families = Families::default();
    let cutter = Cutter {
        guard: guard(config, metrics),
        pace: pace.clone(),
        clock: Arc::clone(clock),
        batcher: Batcher::new(labels_of_all(config, &agent_id)).telling(families.clone()),
        outbox: outbox.clone(),
        every: config.sync_interval.as_duration(),
        wished,
        seed: outbox.epoch(),
        tap,
        metrics: Arc::clone(metrics),
    };
    drop(shutdown.spawn_essential("batches", cutter.run(gathered, shutdown.clone())));
    // Half of the drain is left for the last acknowledgements to be noted on disk.
    let last_call = config.drain_timeout.as_duration() / 2;
    let lane = Lane {
        identity: identity.clone(),
        way: way.clone(),
        events,
        kept,
        metrics: Arc::clone(metrics),
    };
    drop(shutdown.spawn("urgent lane", lane.run(shutdown.clone())));
    let sync = Bulk {
        identity,
        way,
        outbox,
        interval: wishes,
        pace,
        rules,
        families,
        metrics: Arc::clone(metrics),
    };
    drop(shutdown.spawn("sync", sync.run(shutdown.clone(), last_call)));
    let started = format!("agent {agent_id} started");
    urgent.send(Happened::new("agent_started", "info", started));
    Ok(())
}

/// Starts the rules.
fn start_rules(
    config: &Config,
    agent_id: &AgentId,
    kept: &Kept,
    (clock, shutdown): (&SharedClock, &Shutdown),
    metrics: &Arc<Metrics>,
) -> Result<(Option<Tap>, Link), Error> {
    if !config.rules.enabled {
        return Ok((None, Link::default()));
    }
    let folder = config.state_dir.join("rules");
    let started = rules::start(Ground {
        folder: &folder,
        labels: labels_of_all(config, agent_id),
        every: config.collect_interval.as_duration(),
        memory: config.rules.memory.as_usize(),
        kept: kept.clone(),
        clock: Arc::clone(clock),
        registry: &metrics.registry,
    });
    match started {
        Ok((task, tap, link)) => {
            drop(shutdown.spawn("rules", task.run(shutdown.clone())));
            Ok((Some(tap), link))
        }
        Err(source) => Err(Error::StateDir {
            path: folder,
            source,
        }),
    }
}

fn bounds(config: &Config) -> Bounds {
    Bounds {
        series_per_metric_max: config.guard.series_per_metric_max,
        series_per_target_max: config.guard.series_per_target_max,
    }
}

fn guard(config: &Config, metrics: &Metrics) -> Guard {
    let guard = Guard::new(bounds(config));
    metrics.watch_guard(guard.stats());
    guard
}

fn open_spool(config: &Config, clock: &SharedClock) -> Result<Spool, Error> {
    let path = config.state_dir.join("spool");
    std::fs::create_dir_all(&path).map_err(|source| Error::StateDir {
        path: path.clone(),
        source,
    })?;
    let limits = spool::Config {
        bytes_max: config.spool.bytes_max.as_u64(),
        segment_bytes: config.spool.segment_bytes.as_u64(),
        epoch_if_new: clock.wall_millis().max(1).cast_unsigned(),
        reserve_bytes: config.spool.segment_bytes.as_u64(),
        span_of: crate::thin::span_of,
    };
    let failed = |source| Error::Spool {
        path: path.clone(),
        source,
    };
    let disk = Directory::open(&path).map_err(failed)?;
    let (spool, recovery) = Spool::open(disk, limits).map_err(failed)?;
    tracing::info!(
        epoch = spool.epoch(),
        pending = recovery.pending,
        cut_bytes = recovery.cut_bytes,
        "spool opened"
    );
    Ok(spool)
}

/// The events that are not recorded. A disk that cannot be used for them does not keep the agent from
/// its work.
fn open_events(
    config: &Config,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> Result<Kept, Error> {
    let path = config.state_dir.join("events");
    let limits = Kept::config(clock.wall_millis().max(1).cast_unsigned());
    let opened = Directory::open(&path).and_then(|disk| Spool::open(disk, limits));
    let kept = match opened {
        Ok((spool, recovery)) => {
            tracing::info!(pending = recovery.pending, "events opened");
            for file in &recovery.set_aside {
                tracing::error!(file, "a damaged part of the events was set aside");
            }
            Kept::on(spool, limits, metrics)
        }
        Err(error) => {
            tracing::error!(
                path = %path.display(),
                error = crate::chain(&error),
                "events cannot be kept on disk; they are kept in memory and end with this process"
            );
            Kept::in_memory(limits, metrics)
        }
    };
    kept.map_err(|source| Error::Spool { path, source })
}

/// How long an agent waits for its coordinator, on any transport.
#[must_use]
pub fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

/// The labels that every series gets.
fn labels_of_all(config: &Config, agent_id: &AgentId) -> Vec<(String, String)> {
    let node = ("node".to_owned(), agent_id.as_str().to_owned());
    std::iter::once(node).chain(config.labels.clone()).collect()
}

/// The labels of a source on this node.
fn source_labels(job: &str, node: &str) -> Arc<[(String, String)]> {
    [
        ("job".to_owned(), job.to_owned()),
        ("instance".to_owned(), node.to_owned()),
    ]
    .into()
}

fn start_collectors(
    config: &Config,
    schedule: &Schedule,
    node: &str,
    metrics: &Metrics,
) -> Result<(), Error> {
    let host = &config.collectors.host;
    if host.enabled {
        let settings = HostConfig {
            proc: host.proc.clone(),
            sys: host.sys.clone(),
            root: host.root.clone(),
            processes: host.processes,
            ..HostConfig::default()
        };
        let collector = Host::new(settings, Arc::clone(&schedule.clock));
        let collector = collector.paced(schedule.pace.clone());
        let labels = source_labels("node", node);
        schedule
            .start(collector, labels, metrics.collector("host"))
            .map_err(Error::Thread)?;
    }
    let gpu = &config.collectors.gpu;
    if gpu.enabled {
        let settings = GpuConfig {
            library: gpu.library.clone(),
            deadline: gpu.deadline.as_duration(),
            ..GpuConfig::default()
        };
        let collector = Gpu::new(settings, Arc::clone(&schedule.clock));
        let watched = schedule
            .urgent
            .clone()
            .watch_gpus(collector.events(), schedule.shutdown.clone());
        drop(schedule.shutdown.spawn("gpu events", watched));
        let labels = source_labels(GPU, node);
        schedule
            .start(collector, labels, metrics.collector(GPU))
            .map_err(Error::Thread)?;
    }
    Ok(())
}

fn start_scrapes(config: &Config, schedule: &Schedule, metrics: &Metrics) -> Result<(), Error> {
    let scraping = &config.scraping;
    let every = config.collect_interval.as_duration();
    let timeout = scraping.timeout.as_duration().min(every);
    let mut targets = Vec::with_capacity(config.scrape.len());
    for address in &config.scrape {
        let target = Target::new(address, &scraping.job)
            .and_then(|target| target.with_times(every, timeout))
            .map_err(|error| Error::Target(error.into()))?;
        targets.push(target.with_honor_labels(scraping.honor_labels));
    }
    let targets_file = scraping.targets_file.clone().map(|path| TargetsFile {
        path,
        poll_interval: scraping.targets_poll.as_duration(),
        defaults: Defaults {
            job: scraping.job.clone(),
            interval: every,
            timeout,
            honor_labels: scraping.honor_labels,
        },
    });
    if targets.is_empty() && targets_file.is_none() {
        return Ok(());
    }
    let body_bytes_max = scraping.page_max.as_usize();
    let settings = PoolConfig {
        targets,
        targets_file,
        body_bytes_max,
        bounds: bounds(config),
        ..PoolConfig::default()
    };
    let (scrapes, read) = mpsc::channel(GATHERED_MAX);
    let pool = ScrapePool::new(settings, Arc::clone(&schedule.clock), scrapes)
        .map_err(|error| Error::Target(error.into()))?;
    metrics.watch_scrapes(pool.stats());
    let pool = pool.paced(schedule.pace.clone());
    let shutdown = &schedule.shutdown;
    drop(shutdown.spawn("scrapes", pool.run(shutdown.token())));
    drop(shutdown.spawn("scraped pages", forward(read, schedule.out.clone())));
    Ok(())
}

/// Hands pages on to the batcher, and says when a target begins or ceases to fail.
async fn forward(mut scrapes: mpsc::Receiver<Scrape>, out: mpsc::Sender<Gathered>) {
    let mut failing: HashSet<String> = HashSet::new();
    while let Some(scrape) = scrapes.recv().await {
        let url = scrape.target.shown_url();
        match &scrape.failure {
            Some(error) if failing.len() < FAILING_MAX && failing.insert(url.clone()) => {
                tracing::warn!(url, error = crate::chain(error), "target cannot be read");
            }
            Some(_) => {}
            None if failing.remove(&url) => tracing::info!(url, "target can be read again"),
            None => {}
        }
        let gathered = Gathered {
            divisor: scrape.divisor,
            // The labels are part of the name: one URL may be read as two targets.
            source: Arc::from(format!("{url} {}", scrape.target.labels())),
            labels: [].into(),
            at: scrape.at,
            snapshot: scrape.snapshot,
            unknown: scrape.unknown,
        };
        if out.send(gathered).await.is_err() {
            return;
        }
    }
}

async fn own_metrics(schedule: Schedule, labels: Arc<[(String, String)]>, metrics: Arc<Metrics>) {
    let mut ticks = interval(schedule.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = schedule.shutdown.draining() => return,
            _ = ticks.tick() => {}
        }
        let gathered = Gathered {
            divisor: None,
            source: Arc::from(OWN),
            labels: Arc::clone(&labels),
            at: Timestamp::from_millis(schedule.clock.wall_millis()),
            snapshot: metrics.snapshot(),
            unknown: Vec::new(),
        };
        if schedule.out.send(gathered).await.is_err() {
            return;
        }
    }
}
