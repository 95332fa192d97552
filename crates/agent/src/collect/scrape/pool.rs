//! All targets, each read by its own task in its own time.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::Scrape;
use super::fetch::{BODY_BYTES_MAX_DEFAULT, ClientError, Fetcher};
use super::scraper::Scraper;
use super::stats::{SkipReason, StatsHandle};
use super::target::Target;
use super::targets_file::{self, Defaults, TargetsFileError};
use super::text::Limits;
use crate::guard::Bounds;
use crate::pace::{Class, Pace, Turns};

/// A file of targets that is read anew when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetsFile {
    /// Where it is. It need not be there yet.
    pub path: PathBuf,
    /// How often it is looked at. The whole file is compared, so neither a rename over it nor a
    /// change within one tick of its mtime goes unseen.
    pub poll_interval: Duration,
    /// What its targets have when it does not say.
    pub defaults: Defaults,
}

/// What a pool reads.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Targets that are always there.
    pub targets: Vec<Target>,
    /// Further targets.
    pub targets_file: Option<TargetsFile>,
    /// What one page may cost.
    pub limits: Limits,
    /// Largest page in bytes, after decompression.
    pub body_bytes_max: usize,
    /// The guard's: what it folds is not remembered.
    pub bounds: Bounds,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            targets_file: None,
            limits: Limits::default(),
            body_bytes_max: BODY_BYTES_MAX_DEFAULT,
            bounds: Bounds::default(),
        }
    }
}

/// Reads many targets and sends what they say into one bounded channel.
pub struct ScrapePool {
    config: PoolConfig,
    fetcher: Fetcher,
    clock: SharedClock,
    out: mpsc::Sender<Scrape>,
    stats: StatsHandle,
    pace: Pace,
}

struct Running {
    remove: CancellationToken,
}

impl ScrapePool {
    /// A pool that sends into `out`. Nothing runs before [`ScrapePool::run`].
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        config: PoolConfig,
        clock: SharedClock,
        out: mpsc::Sender<Scrape>,
    ) -> Result<Self, ClientError> {
        let fetcher = Fetcher::new(config.body_bytes_max)?;
        Ok(Self {
            config,
            fetcher,
            clock,
            out,
            stats: StatsHandle::default(),
            pace: Pace::default(),
        })
    }

    /// The same, unknown turns over as `pace` says.
    #[must_use]
    pub fn paced(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The pool's counters.
    #[must_use]
    pub fn stats(&self) -> StatsHandle {
        self.stats.clone()
    }

    /// Reads until `shutdown`, and returns when every task has ended. No stale markers are sent
    /// then: the agent is expected back before its series would have gone stale.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Target, Running> = HashMap::new();
        self.apply(&[], &mut running, &mut tasks, &shutdown);
        let poll = self
            .config
            .targets_file
            .as_ref()
            .map(|file| file.poll_interval);
        let mut polls = interval(
            poll.unwrap_or(Duration::MAX / 2)
                .max(Duration::from_millis(1)),
        );
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = LastRead::Never;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = polls.tick(), if poll.is_some() => {
                    if let Some(targets) = self.poll_file(&mut last).await {
                        self.apply(&targets, &mut running, &mut tasks, &shutdown);
                    }
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => joined(ended),
            }
        }
        while let Some(ended) = tasks.join_next().await {
            joined(ended);
        }
        self.stats.set_targets(0);
    }

    /// Looks at the targets file; its targets when it changed and can be used.
    async fn poll_file(&self, last: &mut LastRead) -> Option<Vec<Target>> {
        let file = self.config.targets_file.as_ref()?;
        let read = targets_file::read(&file.path).await;
        let (now, parsed) = match read {
            Ok(bytes) => {
                if matches!(last, LastRead::Bytes(before) if *before == bytes) {
                    return None;
                }
                let parsed = targets_file::parse(&file.path, &bytes, &file.defaults);
                (LastRead::Bytes(bytes), parsed)
            }
            Err(_) if matches!(last, LastRead::Failed) => return None,
            Err(error) => (LastRead::Failed, Err(error)),
        };
        *last = now;
        self.stats.targets_file(parsed.is_ok());
        match parsed {
            Ok(targets) => {
                info!(path = %file.path.display(), targets = targets.len(), "targets file loaded");
                Some(targets)
            }
            Err(error) => {
                refused_file(file, &error);
                None
            }
        }
    }

    /// Starts what is new, ends what is gone, leaves the rest alone.
    fn apply(
        &self,
        from_file: &[Target],
        running: &mut HashMap<Target, Running>,
        tasks: &mut JoinSet<()>,
        shutdown: &CancellationToken,
    ) {
        let wanted: HashSet<&Target> = self.config.targets.iter().chain(from_file).collect();
        running.retain(|target, task| {
            let stays = wanted.contains(target);
            if !stays {
                task.remove.cancel();
            }
            stays
        });
        for target in wanted {
            if running.contains_key(target) {
                continue;
            }
            let remove = CancellationToken::new();
            let scraper = Scraper::new(
                Arc::new(target.clone()),
                self.fetcher.clone(),
                Arc::clone(&self.clock),
                self.config.limits,
                self.stats.clone(),
            );
            let wait = target.next_turn_after(self.clock.wall_millis());
            let task = Task {
                interval: target.interval(),
                bounds: self.config.bounds,
                scraper,
                turns: self.pace.turns(Class::Target),
                out: self.out.clone(),
                stats: self.stats.clone(),
                remove: remove.clone(),
                shutdown: shutdown.clone(),
            };
            tasks.spawn(task.run(wait));
            running.insert(target.clone(), Running { remove });
        }
        self.stats.set_targets(running.len());
    }
}

/// What the targets file was when last looked at.
enum LastRead {
    Never,
    Failed,
    Bytes(Vec<u8>),
}

fn refused_file(file: &TargetsFile, error: &TargetsFileError) {
    let error: &dyn std::error::Error = error;
    warn!(
        path = %file.path.display(),
        error,
        "targets file refused, keeping the targets there are"
    );
}

fn joined(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        let error: &dyn std::error::Error = &error;
        warn!(error, "a scrape task ended badly");
    }
}

/// One target's loop.
struct Task {
    interval: Duration,
    bounds: Bounds,
    scraper: Scraper,
    turns: Turns,
    out: mpsc::Sender<Scrape>,
    stats: StatsHandle,
    remove: CancellationToken,
    shutdown: CancellationToken,
}

impl Task {
    async fn run(mut self, wait: Duration) {
        let stop = (self.remove.clone(), self.shutdown.clone());
        tokio::select! {
            () = stop.1.cancelled() => {}
            () = stop.0.cancelled() => self.end().await,
            () = self.take_turns(wait) => {}
        }
    }

    /// Reads the target at its turns; returns when nobody listens any more.
    async fn take_turns(&mut self, wait: Duration) {
        tokio::time::sleep(wait).await;
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut before = None;
        loop {
            let turn = ticks.tick().await;
            self.count_late(before.replace(turn).map(|before| turn - before));
            if !self.turns.is_due(self.interval) {
                continue;
            }
            if self.out.capacity() == 0 && !self.out.is_closed() {
                self.stats.skipped(SkipReason::ChannelFull, 1);
                continue;
            }
            let answer = self.scraper.fetch().await;
            // Room is made sure of before the answer is read: what is not delivered must not
            // change what the target is known to have said.
            match self.out.try_reserve() {
                Ok(permit) => {
                    let divisor = self.turns.divisor();
                    let bounds = self.bounds.divided(divisor);
                    self.scraper.know_at_most(bounds.series_per_metric_max);
                    let mut scrape = self.scraper.read(answer);
                    scrape.divisor = Some(divisor);
                    let samples = scrape.snapshot.samples.len() + scrape.unknown.len();
                    self.stats.delivered(samples);
                    self.turns.said(samples);
                    log_refusals(&scrape);
                    permit.send(scrape);
                }
                Err(mpsc::error::TrySendError::Full(())) => {
                    self.stats.skipped(SkipReason::ChannelFull, 1);
                }
                Err(mpsc::error::TrySendError::Closed(())) => return,
            }
        }
    }

    /// Counts the turns that passed unused between two that were not.
    fn count_late(&self, since: Option<Duration>) {
        let Some(since) = since else { return };
        let turns = since.as_millis() / self.interval.as_millis().max(1);
        // The timer may fire a little early or late; a turn is missed when a whole one passed.
        let missed = u64::try_from(turns).unwrap_or(u64::MAX).saturating_sub(1);
        if missed > 0 {
            self.stats.skipped(SkipReason::Late, missed);
        }
    }

    /// Sends what is left to say of a target that was removed; waits for room at most an interval.
    async fn end(&mut self) {
        let Some(scrape) = self.scraper.end() else {
            return;
        };
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            () = tokio::time::sleep(self.interval) => {
                self.stats.skipped(SkipReason::ChannelFull, 1);
            }
            permit = self.out.reserve() => if let Ok(permit) = permit {
                self.stats.delivered(scrape.snapshot.samples.len());
                permit.send(scrape);
            },
        }
    }
}

fn log_refusals(scrape: &Scrape) {
    if let Some(first) = scrape.refusals.first.first() {
        debug!(
            url = scrape.target.shown_url(),
            refused = scrape.refusals.count,
            line = first.line,
            reason = &first.reason as &dyn std::error::Error,
            excerpt = first.excerpt,
            "lines refused"
        );
    }
}
