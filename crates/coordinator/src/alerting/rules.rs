//! The rules in force, evaluated on time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alert::Transition;
use alert::centre::Change;
use alert::rules::{Evaluated, Group, RuleFile, Settings};
use daemon::blocking;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use query::{Engine, Options};
use series::Timestamp;
use store::Store;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, DeskError, SPACE};
use super::edge::Edge;
use super::memory::{firing, key, row};
use super::metrics::AlertingMetrics;
use super::recorder::Recorder;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::query::StoreSource;

/// Key of the row of the time until which groups were evaluated, about.
const EVALUATED: &[u8] = b"evaluated";
/// How often that is written, in milliseconds.
const EVALUATED_EVERY: i64 = 10_000;
/// Slots of a group that were missed while nothing ran and are evaluated late; older ones are left out.
const CATCH_UP_MAX: i64 = 5;
/// What transitions are logged under, a line each.
const TRANSITIONS: &str = "coordinator::transitions";
/// Longest sleep: the wall clock may jump.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// What evaluates rules.
#[derive(Clone)]
pub struct Parts {
    /// What is read, and where what groups remember is kept.
    pub store: Arc<Store>,
    /// Who takes what is recorded.
    pub recorder: Recorder,
    /// Who takes what is found.
    pub desk: Desk,
    /// Who says which nodes there are.
    pub fleet: Fleet,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Who else has the word on alerts.
    pub edge: Edge,
    /// Counters.
    pub metrics: Arc<AlertingMetrics>,
    /// What time it is.
    pub clock: SharedClock,
    /// When to end.
    pub shutdown: Shutdown,
}

/// How the last evaluation of a group went.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    /// When it was, in milliseconds since the Unix epoch; 0 when there was none.
    pub(super) at_millis: i64,
    /// How long it took.
    pub(super) took: Duration,
    /// Rules that failed, and why.
    pub(super) failed: HashMap<String, String>,
    /// Rules of which something is not known, and what.
    pub(super) held: HashMap<String, String>,
}

/// A group at work.
pub(super) struct Slot {
    pub(super) group: Mutex<Group>,
    pub(super) last: Mutex<Last>,
    /// Since when it is at work, in milliseconds since the Unix epoch.
    pub(super) since_millis: i64,
    /// Its row.
    pub(super) key: Vec<u8>,
}

/// The groups at work, and what ends them.
#[derive(Default)]
struct Running {
    slots: Vec<Arc<Slot>>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// A handle to the rules in force. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    pub(super) parts: Parts,
    running: Arc<AsyncMutex<Running>>,
    slots: watch::Sender<Arc<Vec<Arc<Slot>>>>,
    room: Arc<Semaphore>,
    /// Until when groups were evaluated.
    evaluated: Arc<AtomicI64>,
    /// Groups that have not yet come to what an earlier life missed.
    behind: Arc<AtomicUsize>,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

/// A lock that is held for one evaluation at most. Whoever panicked under it left what it was.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Engine for rules, by the bounds of questions.
pub(super) fn engine(config: &Config) -> Engine {
    Engine::new(Options {
        lookback_ms: series::time::duration_millis(config.query.lookback.as_duration()),
        series_max: config.query.series_max,
        samples_max: config.query.samples_max,
        ..Options::default()
    })
}

impl Rules {
    /// Rules that are not there yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let concurrency = parts.config.borrow().alerting.concurrency_max;
        let (slots, _) = watch::channel(Arc::default());
        Self {
            parts,
            running: Arc::default(),
            slots,
            room: Arc::new(Semaphore::new(concurrency)),
            evaluated: Arc::default(),
            behind: Arc::default(),
        }
    }

    /// Who takes what is found.
    pub(super) fn desk(&self) -> &Desk {
        &self.parts.desk
    }

    /// The groups as they are now.
    pub(super) fn slots(&self) -> Arc<Vec<Arc<Slot>>> {
        Arc::clone(&self.slots.borrow())
    }

    /// Puts these rules in the place of those in force. What alerts of the same rules remember, they keep;
    /// alerts of rules that are gone are over.
    ///
    /// # Errors
    /// When what is remembered cannot be read or written.
    pub async fn replace(
        &self,
        files: Vec<RuleFile>,
        settings: &Arc<Settings>,
    ) -> Result<(), DeskError> {
        let mut running = self.running.lock().await;
        running.stop.cancel();
        for task in std::mem::take(&mut running.tasks) {
            // One that panicked is over too.
            drop(task.await);
        }
        let groups = files.into_iter().flat_map(|file| file.groups);
        let mut groups: Vec<Group> = groups.map(|group| Group::new(group, settings)).collect();
        let mut rows = self.restore(&mut groups, &running.slots)?;
        rows.extend(self.take_over(&mut groups, &running.slots).await);
        let edge = self.parts.edge.clone();
        let firing = groups.iter().flat_map(firing);
        let firing = firing.filter(|it| edge.passes(it)).collect();
        let holds = Box::new(move |alert: &alert::Alert, rule: &str| edge.holds(alert, rule));
        self.parts.desk.settle(firing, holds, rows).await?;
        let rules: usize = groups.iter().map(|group| group.rules().len()).sum();
        self.parts.metrics.rules.set_count(rules);
        let before = self.evaluated_before()?;
        let stop = CancellationToken::new();
        let slots = groups.into_iter().map(|group| {
            Arc::new(Slot {
                key: key(&group),
                since_millis: self.parts.clock.wall_millis(),
                group: Mutex::new(group),
                last: Mutex::default(),
            })
        });
        let slots: Vec<_> = slots.collect();
        let behind = before.map_or(0, |_| slots.len());
        self.behind.store(behind, Ordering::Relaxed);
        let tasks = slots.iter().map(|slot| {
            let work = self.clone().work(Arc::clone(slot), before, stop.clone());
            self.parts.shutdown.spawn("rules", work)
        });
        running.tasks = tasks.collect();
        running.stop = stop;
        running.slots = slots.clone();
        self.slots.send_replace(Arc::new(slots));
        Ok(())
    }

    /// Until when an earlier life has evaluated groups; nothing when this one has begun to.
    fn evaluated_before(&self) -> Result<Option<i64>, store::Error> {
        if self.evaluated.load(Ordering::Relaxed) != 0 {
            return Ok(None);
        }
        let row = self.parts.store.get_state(SPACE, EVALUATED)?;
        let bytes = row.and_then(|row| <[u8; 8]>::try_from(row).ok());
        Ok(bytes.map(i64::from_be_bytes))
    }

    /// The row that says until when groups were evaluated, where it is time to write it. While one is behind
    /// that of the earlier life stands, for the next.
    fn evaluated_row(&self, at: Timestamp) -> Option<Change> {
        if self.behind.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let at = at.as_millis();
        let last = self.evaluated.fetch_max(at, Ordering::Relaxed);
        if at.div_euclid(EVALUATED_EVERY) <= last.div_euclid(EVALUATED_EVERY) {
            return None;
        }
        Some(Change {
            key: EVALUATED.to_vec(),
            value: Some(at.to_be_bytes().to_vec()),
        })
    }

    /// Evaluates a group at its slots until it is stopped. Those that were missed since `before` come with
    /// the first: until then what was sent meanwhile has had time to arrive.
    async fn work(self, slot: Arc<Slot>, before: Option<i64>, stop: CancellationToken) {
        let now = || Timestamp::from_millis(self.parts.clock.wall_millis());
        let (mut at, begin) = {
            let group = lock(&slot.group);
            (first_slot(&group, before, now()), group.slot_after(now()))
        };
        let mut wake = begin;
        let mut behind = before.is_some();
        loop {
            while now() < wake {
                let wait = wake.millis_since(now()).max(1).unsigned_abs();
                let wait = Duration::from_millis(wait).min(SLEEP_MAX);
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = stop.cancelled() => return,
                    () = self.parts.shutdown.draining() => return,
                }
            }
            let Ok(_permit) = self.room.acquire().await else {
                return;
            };
            if stop.is_cancelled() || !self.evaluate(&slot, at).await {
                return;
            }
            let (next, last) = {
                let group = lock(&slot.group);
                (group.slot_after(at), group.slot_at_or_before(now()))
            };
            if behind && next > begin {
                behind = false;
                self.behind.fetch_sub(1, Ordering::Relaxed);
            }
            if next > begin && next < last {
                let interval = lock(&slot.group).interval_millis();
                let missed = last.millis_since(next) / interval;
                self.parts.metrics.missed.add(missed.unsigned_abs());
            }
            at = if next > begin { next.max(last) } else { next };
            wake = at;
        }
    }

    /// Evaluates a group once. `false` when nothing can be made durable any more.
    async fn evaluate(&self, slot: &Arc<Slot>, at: Timestamp) -> bool {
        let parts = &self.parts;
        let started = parts.clock.monotonic();
        let engine = engine(&parts.config.borrow());
        let completeness = self.completeness(slot, at);
        let source = StoreSource {
            store: Arc::clone(&parts.store),
            memory_only: false,
        };
        let this = Arc::clone(slot);
        let work = move || {
            let mut group = lock(&this.group);
            let evaluated = group.evaluate(&source, &engine, at, completeness);
            let changed = evaluated.is_changed.then(|| row(this.key.clone(), &group));
            (evaluated, changed)
        };
        let Ok((evaluated, changed)) = blocking::spawn(work).await else {
            tracing::error!("evaluating a group of rules panicked; it is not evaluated any more");
            return false;
        };
        let took = parts.clock.monotonic().saturating_sub(started);
        parts.metrics.evaluation_seconds.record(took);
        note(slot, &evaluated, at, took, &parts.metrics);
        if let Err(error) = parts.recorder.record(&evaluated.recorded).await {
            tracing::error!(error, "what rules record could not be written");
        }
        let rows: Vec<Change> = changed.into_iter().chain(self.evaluated_row(at)).collect();
        if evaluated.transitions.is_empty() && rows.is_empty() {
            return true;
        }
        let lines = evaluated.transitions.iter();
        let lines = lines.filter(|_| tracing::enabled!(target: TRANSITIONS, tracing::Level::DEBUG));
        let lines: Vec<String> = lines.map(Transition::line).collect();
        let mut transitions = evaluated.transitions;
        transitions.retain(|found| parts.edge.passes(found));
        let taken = parts.desk.take(transitions, rows).await.is_ok();
        for line in lines.iter().filter(|_| taken) {
            tracing::debug!(target: TRANSITIONS, line);
        }
        taken
    }

    /// What fires here, whoever has the word on it.
    pub(super) async fn firing(&self) -> Vec<Transition> {
        let slots = self.slots();
        // A group is locked while it is evaluated.
        let look = move || {
            let groups = slots.iter();
            groups.flat_map(|slot| firing(&lock(&slot.group))).collect()
        };
        blocking::spawn(look).await.unwrap_or_default()
    }
}

/// The slot that a group begins with: the next one, or the first that an earlier life has missed.
fn first_slot(group: &Group, before: Option<i64>, now: Timestamp) -> Timestamp {
    let next = group.slot_after(now);
    let Some(before) = before else {
        return next;
    };
    // A group that changed nothing has no row of its own; it may have been later than others.
    let interval = group.interval_millis();
    let about = before.saturating_sub(interval.saturating_add(EVALUATED_EVERY));
    let known = group.evaluated_millis().map_or(about, |at| at.max(about));
    let missed = group.slot_after(Timestamp::from_millis(known));
    let oldest = next.saturating_add_millis(-CATCH_UP_MAX * interval);
    missed.max(oldest).min(next)
}

/// Keeps how an evaluation went, for those who look.
fn note(
    slot: &Slot,
    evaluated: &Evaluated,
    at: Timestamp,
    took: Duration,
    metrics: &AlertingMetrics,
) {
    metrics
        .evaluation_failures
        .add(evaluated.failures.len() as u64);
    let failures = evaluated.failures.iter();
    let failed: HashMap<String, String> = failures
        .map(|failure| (failure.rule.clone(), daemon::chain(&failure.error)))
        .collect();
    let held = evaluated.held.iter();
    let held = held.map(|held| (held.rule.clone(), why(held.why)));
    let mut last = lock(&slot.last);
    for (rule, error) in &failed {
        if !last.failed.contains_key(rule) {
            tracing::warn!(
                rule,
                error,
                "a rule cannot be evaluated; its alerts are held"
            );
        }
    }
    *last = Last {
        at_millis: at.as_millis(),
        took,
        held: held.collect(),
        failed,
    };
}

/// Why alerts of a rule are held, in words.
pub(super) fn why(why: alert::rules::Why) -> String {
    use alert::rules::Why;
    match why {
        Why::Incomplete { is, least } => {
            format!(
                "{:.0}% of the nodes have told, {:.0}% are asked for",
                is * 100.0,
                least * 100.0
            )
        }
        Why::Partial => "the answer is known to lack something".to_owned(),
        Why::Missing { alerts } => format!("{alerts} alerts have no data"),
    }
}
