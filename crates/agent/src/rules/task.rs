//! The rules' own task: samples in, events out.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use alert::{Alert, State, Transition};
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use spec::Level;
use tokio::sync::{mpsc, watch as channel};
use wire::Message as _;
use wire::ingest::{
    ALERT_FIRING, ALERT_RESOLVED, EVENT_LABELS_MAX, EVENT_SUMMARY_BYTES_MAX, Event,
};
use wire::proto;
use wire::transition::{AlertTransition, EdgeRules, TRANSITION_BYTES_MAX};

use super::files::Files;
use super::metrics::RulesMetrics;
use super::tap::{Fresh, Reads, Tap};
use super::watch::Watch;
use super::{Ends, Link, Said};
use crate::urgent::Kept;

/// Rounds that may wait for the rules; more are skipped. They are taken all at once, so it is as many as are
/// gathered while rules are evaluated once.
const WAITING_MAX: usize = 256;
/// Least time between two writes of what only is pending: a crash makes it that much longer.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// Longest of a text of an alert that is too long as a whole.
const CUT_CHARS: usize = 256;

/// What runs the rules.
pub(crate) struct Task {
    files: Files,
    kept: Kept,
    clock: SharedClock,
    metrics: RulesMetrics,
    watch: Option<Box<Watch>>,
    given: channel::Receiver<Option<Arc<EdgeRules>>>,
    said: channel::Sender<Arc<Said>>,
    reads: channel::Sender<Arc<Reads>>,
    fresh: mpsc::Receiver<Fresh>,
    refusal: String,
    /// Rules whose failure is told until they work again.
    failing: HashSet<String>,
    /// Whether what is kept is behind, and when it was written last.
    is_behind: bool,
    written: Duration,
}

/// What the rules work with.
pub(crate) struct Ground<'a> {
    /// Where they are kept.
    pub(crate) folder: &'a Path,
    /// Labels that every series gets.
    pub(crate) labels: Vec<(String, String)>,
    /// How often samples come.
    pub(crate) every: Duration,
    /// Most memory for samples, in bytes.
    pub(crate) memory: usize,
    /// Where events are kept until they are recorded.
    pub(crate) kept: Kept,
    /// The clock.
    pub(crate) clock: SharedClock,
    /// Where metrics are gathered.
    pub(crate) registry: &'a daemon::metrics::Registry,
}

/// Takes up the rules where an earlier life left them: what runs them, where samples go, and where the
/// coordinator's word goes.
///
/// # Errors
/// When the folder cannot be made.
pub(crate) fn start(ground: Ground<'_>) -> io::Result<(Task, Tap, Link)> {
    let files = Files::open(ground.folder.to_owned())?;
    let samples = ground.memory / size_of::<(i64, f64)>();
    let mut watch = Watch::new(ground.every, samples);
    if let Some(rules) = files.rules() {
        if let Err(why) = watch.replace(&rules) {
            tracing::error!(why, "the rules that are kept cannot be used");
        }
        watch.restore(files.remembered().unwrap_or_default());
    }
    let (given, rules) = channel::channel(None);
    let (said, word) = channel::channel(Arc::default());
    let (reads, read) = channel::channel(Arc::new(watch.reads()));
    let (out, fresh) = mpsc::channel(WAITING_MAX);
    let link = Link(Some(Ends {
        given: Arc::new(given),
        said: word,
    }));
    let metrics = RulesMetrics::new(ground.registry);
    let tap = Tap::new(ground.labels, read, out, metrics.skipped.clone());
    let mut task = Task {
        files,
        kept: ground.kept,
        clock: ground.clock,
        metrics,
        watch: None,
        given: rules,
        said,
        reads,
        fresh,
        refusal: String::new(),
        failing: HashSet::new(),
        is_behind: false,
        written: Duration::ZERO,
    };
    task.show(&watch);
    task.watch = Some(Box::new(watch));
    Ok((task, tap, link))
}

impl Task {
    /// Runs until the drain.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            let due = self.watch.as_ref().and_then(|watch| watch.next_due());
            let now = self.clock.monotonic();
            let wait = due.map(|due| due.saturating_sub(now));
            let mut batch = Vec::new();
            tokio::select! {
                () = shutdown.draining() => break,
                Ok(()) = self.given.changed() => {
                    self.replace().await;
                    continue;
                }
                Some(fresh) = self.fresh.recv() => batch.push(fresh),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
            while let Ok(more) = self.fresh.try_recv() {
                batch.push(more);
            }
            if !self.step(batch).await {
                return;
            }
        }
        self.keep().await;
    }

    /// One round. `false` when it panicked, or the process ends.
    async fn step(&mut self, batch: Vec<Fresh>) -> bool {
        let Some(mut watch) = self.watch.take() else {
            return false;
        };
        let now = self.clock.monotonic();
        // The thread of the runtime has all else to do.
        let work = daemon::blocking::spawn(move || {
            let found = watch.step(batch, now);
            (watch, found)
        });
        let Ok((watch, found)) = work.await else {
            tracing::error!("evaluating rules panicked; the coordinator goes on alone");
            self.say(proto::RulesRun {
                refusal: "evaluating rules panicked".to_owned(),
                ..proto::RulesRun::default()
            });
            return false;
        };
        if found.evaluations > 0 {
            let took = self.clock.monotonic().saturating_sub(now);
            self.metrics.seconds.record(took);
            self.metrics.evaluations.add(found.evaluations);
        }
        self.metrics.failures.add(found.failures.len() as u64);
        for failure in found.failures {
            if self.failing.insert(failure.clone()) {
                tracing::warn!(failure, "a rule cannot be evaluated; its alerts are held");
            }
        }
        for rule in &found.unfit {
            self.metrics.unfit.inc();
            tracing::warn!(
                rule,
                "its series do not fit rules.memory; the coordinator runs it"
            );
        }
        if !found.unfit.is_empty() {
            self.reads.send_replace(Arc::new(watch.reads()));
        }
        let has_found = !found.transitions.is_empty();
        if has_found {
            // On disk before anything is remembered: after a crash it may be said twice, never not at all.
            let events = found.transitions.into_iter().map(event).collect();
            self.kept.keep(events).await;
        }
        self.show(&watch);
        self.watch = Some(watch);
        self.is_behind |= found.is_changed;
        let is_due = now.saturating_sub(self.written) >= KEEP_EVERY;
        if self.is_behind && (has_found || is_due) {
            self.keep().await;
        }
        true
    }

    /// Takes the rules that were given last.
    async fn replace(&mut self) {
        let given = self.given.borrow_and_update().clone();
        let (Some(given), Some(mut watch)) = (given, self.watch.take()) else {
            return;
        };
        let files = self.files.clone();
        let work = daemon::blocking::spawn(move || {
            let taken = watch.replace(&given);
            let kept = taken.is_ok().then(|| files.keep_rules((*given).clone()));
            (watch, taken, kept)
        });
        let Ok((watch, taken, kept)) = work.await else {
            return;
        };
        if let Some(Err(error)) = kept {
            let error: &dyn std::error::Error = &error;
            tracing::error!(
                error,
                "rules are not kept on disk; they end with this process"
            );
        }
        match taken {
            Ok(()) => {
                let (_, rules, _) = watch.counts();
                tracing::info!(version = watch.version(), rules, "rules of the coordinator");
                self.refusal.clear();
            }
            Err(why) => {
                tracing::error!(why, "rules of the coordinator cannot be used");
                self.refusal = why;
            }
        }
        self.failing.clear();
        self.reads.send_replace(Arc::new(watch.reads()));
        self.show(&watch);
        self.watch = Some(watch);
        self.keep().await;
    }

    /// Keeps what the rules remember.
    async fn keep(&mut self) {
        let Some(watch) = &self.watch else {
            return;
        };
        let (files, remembered) = (self.files.clone(), watch.remembered());
        self.is_behind = false;
        self.written = self.clock.monotonic();
        let work = daemon::blocking::spawn(move || files.keep_remembered(&remembered));
        if let Ok(Err(error)) = work.await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "what rules remember is not kept on disk");
            self.is_behind = true;
        }
    }

    /// Shows what there is, in metrics and to the coordinator.
    fn show(&self, watch: &Watch) {
        let (firing, rules, series) = watch.counts();
        let running = watch.running();
        self.metrics.firing.set_count(firing);
        self.metrics.rules.set_count(rules);
        self.metrics.series.set_count(series);
        self.metrics.running.set_count(running.len());
        self.metrics.show_version(watch.version());
        let (firing, is_whole) = watch.firing();
        let mut run = proto::RulesRun {
            version: watch.version().to_owned(),
            rules: running,
            firing: Vec::new(),
            firing_is_whole: is_whole,
            wall_millis: self.clock.wall_millis(),
            refusal: self.refusal.clone(),
        };
        let mut room = wire::MESSAGE_BYTES_MAX / 2;
        for found in firing {
            let found = proto::AlertTransition::from(worded(found));
            let Some(left) = room.checked_sub(found.encoded_len()) else {
                run.firing_is_whole = false;
                break;
            };
            room = left;
            run.firing.push(found);
        }
        self.say(run);
    }

    fn say(&self, run: proto::RulesRun) {
        self.said.send_modify(|said| {
            let before = &said.run;
            let is_same = (&before.version, &before.rules, &before.refusal)
                == (&run.version, &run.rules, &run.refusal);
            let revision = said.revision + u64::from(!is_same);
            *said = Arc::new(Said { revision, run });
        });
    }
}

/// A transition in the words of the contract, within its bounds.
fn worded(found: Transition) -> AlertTransition {
    let worded = AlertTransition {
        rule: found.rule,
        labels: found.labels,
        annotations: found.annotations,
        level: found.level.as_str().to_owned(),
        from: found.from.as_str().to_owned(),
        to: found.to.as_str().to_owned(),
        value: found.value,
        at_millis: found.at_millis,
        active_millis: found.active_millis,
        sample_millis: found.sample_millis,
    };
    if proto::AlertTransition::from(worded.clone()).encoded_len() <= TRANSITION_BYTES_MAX {
        return worded;
    }
    let annotations = worded.annotations.into_iter().take(EVENT_LABELS_MAX);
    AlertTransition {
        annotations: annotations
            .map(|(name, text)| (name, text.chars().take(CUT_CHARS).collect()))
            .collect(),
        ..worded
    }
}

/// What the coordinator is told of a transition.
fn event(found: Transition) -> Event {
    let fires = found.to == State::Firing;
    let severity = match found.level {
        Level::Critical => "critical",
        Level::High | Level::Medium => "warning",
        Level::Low => "info",
    };
    let mut summary = Alert::of(found.clone()).title();
    let mut end = summary.len().min(EVENT_SUMMARY_BYTES_MAX);
    while !summary.is_char_boundary(end) {
        end -= 1;
    }
    summary.truncate(end);
    let labels = found.labels.iter().take(EVENT_LABELS_MAX);
    let labels = labels.map(|(name, value)| {
        let value = value.chars().take(CUT_CHARS).collect();
        (name.clone(), value)
    });
    Event {
        // It gets one when it is kept.
        id: String::new(),
        at_millis: found.at_millis,
        kind: if fires { ALERT_FIRING } else { ALERT_RESOLVED }.to_owned(),
        severity: severity.to_owned(),
        summary,
        labels: labels.collect(),
        alert: Some(worded(found)),
    }
}
