//! The rules in force, evaluated on time.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alert::centre::Change;
use alert::rules::{Alerting, Evaluated, Group, GroupState, Kind, RuleFile, Settings};
use alert::{State, Transition};
use daemon::blocking;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use query::{Engine, Options};
use series::{Labels, Timestamp};
use store::Store;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::{Desk, DeskError, SPACE};
use super::edge::Edge;
use super::metrics::AlertingMetrics;
use super::recorder::Recorder;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::query::StoreSource;

/// What keys of rows begin with that hold what groups remember. Never reused for anything else.
const PREFIX: &[u8] = b"e/";
/// Groups whose rows are read at the start.
const GROUPS_MAX: usize = 1_000_000;
/// Longest sleep: the wall clock may jump.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// A node that nobody heard of for so long is not expected any more.
const EXPECTED_MILLIS: i64 = 86_400_000;

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
    key: Vec<u8>,
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
    parts: Parts,
    running: Arc<AsyncMutex<Running>>,
    slots: watch::Sender<Arc<Vec<Arc<Slot>>>>,
    room: Arc<Semaphore>,
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

/// The row of a group.
fn key(group: &Group) -> Vec<u8> {
    let mut key = PREFIX.to_vec();
    key.extend_from_slice(group.file().as_bytes());
    key.push(0);
    key.extend_from_slice(group.name().as_bytes());
    key
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
        let rows = self.restore(&mut groups)?;
        let edge = self.parts.edge.clone();
        let firing = groups.iter().flat_map(firing);
        let firing = firing.filter(|it| edge.passes(it)).collect();
        let holds = Box::new(move |alert: &alert::Alert| edge.holds(alert));
        self.parts.desk.settle(firing, holds, rows).await?;
        let rules: usize = groups.iter().map(|group| group.rules().len()).sum();
        self.parts.metrics.rules.set_count(rules);
        let stop = CancellationToken::new();
        let slots = groups.into_iter().map(|group| {
            Arc::new(Slot {
                key: key(&group),
                group: Mutex::new(group),
                last: Mutex::default(),
            })
        });
        let slots: Vec<_> = slots.collect();
        let tasks = slots.iter().map(|slot| {
            let work = self.clone().work(Arc::clone(slot), stop.clone());
            self.parts.shutdown.spawn("rules", work)
        });
        running.tasks = tasks.collect();
        running.stop = stop;
        running.slots = slots.clone();
        self.slots.send_replace(Arc::new(slots));
        Ok(())
    }

    /// Gives groups back what they remember; the rows of those that are gone are to be removed.
    fn restore(&self, groups: &mut [Group]) -> Result<Vec<Change>, DeskError> {
        let rows = self
            .parts
            .store
            .scan_state_under(SPACE, PREFIX, GROUPS_MAX)?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> =
            rows.into_iter().map(|row| (row.key, row.value)).collect();
        for group in groups {
            let Some(row) = rows.remove(&key(group)) else {
                continue;
            };
            match serde_json::from_slice::<GroupState>(&row) {
                Ok(state) => {
                    let left_out = group.restore(state);
                    if left_out > 0 {
                        tracing::info!(
                            group = group.name(),
                            left_out,
                            "alerts of rules that are gone"
                        );
                    }
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(
                        group = group.name(),
                        error,
                        "what the group remembered cannot be read; it begins anew"
                    );
                }
            }
        }
        let gone = rows.into_keys();
        Ok(gone.map(|key| Change { key, value: None }).collect())
    }

    /// Evaluates a group at its slots until it is stopped.
    async fn work(self, slot: Arc<Slot>, stop: CancellationToken) {
        let now = || Timestamp::from_millis(self.parts.clock.wall_millis());
        let mut at = lock(&slot.group).slot_after(now());
        loop {
            while now() < at {
                let wait = at.millis_since(now()).max(1).unsigned_abs();
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
            if next < last {
                let interval = lock(&slot.group).interval_millis();
                let missed = last.millis_since(next) / interval;
                self.parts.metrics.missed.add(missed.unsigned_abs());
            }
            at = next.max(last);
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
            let state = evaluated.is_changed.then(|| group.export());
            (evaluated, state)
        };
        let Ok((evaluated, state)) = blocking::spawn(work).await else {
            tracing::error!("evaluating a group of rules panicked; it is not evaluated any more");
            return false;
        };
        let took = parts.clock.monotonic().saturating_sub(started);
        parts.metrics.evaluation_seconds.record(took);
        note(slot, &evaluated, at, took, &parts.metrics);
        if let Err(error) = parts.recorder.record(&evaluated.recorded).await {
            tracing::error!(error, "what rules record could not be written");
        }
        let rows = state.map(|state| Change {
            key: slot.key.clone(),
            // Our own types have only texts as keys.
            value: Some(serde_json::to_vec(&state).unwrap_or_default()),
        });
        if evaluated.transitions.is_empty() && rows.is_none() {
            return true;
        }
        let rows = rows.into_iter().collect();
        let mut transitions = evaluated.transitions;
        transitions.retain(|found| parts.edge.passes(found));
        parts.desk.take(transitions, rows).await.is_ok()
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

    /// Which part of the nodes that should be there has said all until the time that rules look at.
    fn completeness(&self, slot: &Slot, at: Timestamp) -> f64 {
        let (asks, interval) = {
            let group = lock(&slot.group);
            let asks = group.rules().any(|rule| {
                matches!(&rule.kind, Kind::Alerting(alerting) if asks_completeness(alerting))
            });
            (asks, group.interval_millis())
        };
        if !asks {
            return 1.0;
        }
        let offset = self.parts.config.borrow().alerting.query_offset;
        let looks_at = at.as_millis() - series::time::duration_millis(offset.as_duration());
        let nodes = self.parts.fleet.list();
        let expected = nodes
            .iter()
            .filter(|node| node.last_message_millis > looks_at - EXPECTED_MILLIS);
        let (mut all, mut told) = (0_u32, 0_u32);
        for node in expected {
            all += 1;
            told += u32::from(node.newest_sample_millis >= looks_at - interval);
        }
        if all == 0 {
            return 1.0;
        }
        f64::from(told) / f64::from(all)
    }
}

fn asks_completeness(alerting: &Alerting) -> bool {
    alerting.min_complete.is_some()
}

/// The alerts of a group that fire, as if each began to now.
fn firing(group: &Group) -> Vec<Transition> {
    let names: Vec<&str> = group.rules().map(|rule| rule.name.as_str()).collect();
    let alerts = group.alerts().filter(|alert| alert.state == State::Firing);
    let pairs = |labels: &Labels| {
        let pairs = labels.iter();
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    alerts
        .map(|alert| Transition {
            at_millis: alert.fired_millis.unwrap_or(alert.active_millis),
            rule: format!("{}/{}", group.name(), names.get(alert.rule).unwrap_or(&"")),
            labels: pairs(alert.labels),
            annotations: alert.annotations.clone(),
            level: alert.level,
            from: State::Inactive,
            to: State::Firing,
            value: alert.value,
            active_millis: alert.active_millis,
            sample_millis: None,
        })
        .collect()
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

fn why(why: alert::rules::Why) -> String {
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
