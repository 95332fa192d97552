//! When collectors run, and what becomes of a slow one.
//!
//! Each blocking collector has a thread of its own. Each interval it is asked once; while it has
//! not answered it is not asked again, the missed round is counted, and no other collector notices. An
//! agent over its budget passes turns over, as its [`Pace`] says.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use series::{Snapshot, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::batch::Gathered;
use crate::collect::{Collector, Error};
use crate::metrics::CollectorMetrics;
use crate::pace::{Class, Pace, Turns};
use crate::urgent::{Happened, Urgent};

/// Rounds in a row without an answer after which a collector is down.
const MISSED_MAX: u32 = 3;
/// No collector is down sooner than after this: with a short interval a slow one would come and go.
const SILENT_MIN: Duration = Duration::from_secs(3);

/// What a collector's task works with.
#[derive(Clone)]
pub struct Schedule {
    /// How often.
    pub every: Duration,
    /// Where the snapshots go.
    pub out: mpsc::Sender<Gathered>,
    /// Where it is told that a collector came or went.
    pub urgent: Urgent,
    /// Which of its turns are taken.
    pub pace: Pace,
    /// The clock.
    pub clock: SharedClock,
    /// The end of the process.
    pub shutdown: Shutdown,
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule")
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

type Answer = Result<Snapshot, Error>;
type Question = (Timestamp, oneshot::Sender<Answer>);

/// One collector under way: the source it is, and what became of its last round.
struct Task {
    schedule: Schedule,
    name: &'static str,
    labels: Arc<[(String, String)]>,
    metrics: CollectorMetrics,
    turns: Turns,
    /// Whether the last round succeeded; none before the first.
    was_up: Option<bool>,
    /// Rounds left out since the one under way was asked for.
    missed: u32,
}

impl Schedule {
    /// Starts a collector, whose series get `labels` where they do not have them.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        &self,
        collector: impl Collector,
        labels: Arc<[(String, String)]>,
        metrics: CollectorMetrics,
    ) -> std::io::Result<()> {
        let name = collector.name();
        let (questions, asked) = std::sync::mpsc::channel::<Question>();
        // A thread of its own, and not one of the runtime's: a driver that hangs must not hold up
        // the end of the process, which does not wait for this one.
        std::thread::Builder::new()
            .name(format!("collect-{name}"))
            .spawn(move || {
                let mut collector = collector;
                while let Ok((now, answer)) = asked.recv() {
                    // When nobody waits any more the process is ending.
                    drop(answer.send(collector.collect(now)));
                }
            })?;
        let task = Task {
            schedule: self.clone(),
            name,
            labels,
            metrics,
            turns: self.pace.turns(Class::of_collector(name)),
            was_up: None,
            missed: 0,
        };
        drop(
            self.shutdown
                .spawn(format!("collector {name}"), task.run(questions)),
        );
        Ok(())
    }
}

impl Task {
    async fn run(mut self, questions: std::sync::mpsc::Sender<Question>) {
        let mut ticks = interval(self.schedule.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut under_way: Option<UnderWay> = None;
        loop {
            tokio::select! {
                () = self.schedule.shutdown.draining() => return,
                answer = answered(&mut under_way) => {
                    if let Some(done) = under_way.take() {
                        self.done(done, answer).await;
                    }
                }
                _ = ticks.tick() => {
                    if under_way.is_some() {
                        self.missed();
                        continue;
                    }
                    if !self.turns.is_due(self.schedule.every) {
                        continue;
                    }
                    let now = Timestamp::from_millis(self.schedule.clock.wall_millis());
                    let (answer, receiver) = oneshot::channel();
                    if questions.send((now, answer)).is_err() {
                        tracing::error!(collector = self.name, "the collector's thread has ended");
                        self.transition(false, "its thread has ended");
                        return;
                    }
                    let started = self.schedule.clock.monotonic();
                    under_way = Some(UnderWay { at: now, started, receiver });
                }
            }
        }
    }

    /// Counts a round left out. After some the collector is down, until it answers.
    fn missed(&mut self) {
        self.metrics.skipped.inc();
        self.missed = self.missed.saturating_add(1);
        let silent = self.schedule.every.saturating_mul(self.missed);
        if self.missed >= MISSED_MAX && silent >= SILENT_MIN {
            // One that hangs in its first round has begun to read, so it goes down as others do.
            self.was_up.get_or_insert(true);
            self.transition(false, "does not answer");
        }
    }

    async fn done(&mut self, round: UnderWay, answer: Option<Answer>) {
        let took = self
            .schedule
            .clock
            .monotonic()
            .saturating_sub(round.started);
        self.metrics.seconds.record(took);
        self.missed = 0;
        match answer {
            Some(Ok(snapshot)) => {
                self.transition(true, "reads again");
                self.turns.said(snapshot.samples.len());
                let gathered = Gathered {
                    divisor: None,
                    source: Arc::from(self.name),
                    labels: Arc::clone(&self.labels),
                    at: round.at,
                    snapshot,
                    unknown: Vec::new(),
                };
                // The other end is gone only when the process ends.
                drop(self.schedule.out.send(gathered).await);
            }
            Some(Err(error)) => {
                self.metrics.failures.inc();
                self.transition(false, &crate::chain(&error));
            }
            None => self.metrics.failures.inc(),
        }
    }

    /// Sets `vedette_agent_collector_up`, and says a change once.
    fn transition(&mut self, up: bool, why: &str) {
        self.metrics.up.set(if up { 1.0 } else { 0.0 });
        let before = self.was_up.replace(up);
        if before == Some(up) {
            return;
        }
        match (before, up) {
            (_, true) => tracing::info!(collector = self.name, "collector is up"),
            // That a node has no GPU is its nature.
            (None, false) => tracing::info!(collector = self.name, why, "nothing to collect"),
            (Some(_), false) => tracing::warn!(collector = self.name, why, "collector is down"),
        }
        // That it has lost its GPU is an event.
        if before.is_some() {
            let kind = if up { "collector_up" } else { "collector_down" };
            let severity = if up { "info" } else { "warning" };
            let summary = format!("collector {}: {why}", self.name);
            let happened = Happened::new(kind, severity, summary).label("collector", self.name);
            self.schedule.urgent.send(happened);
        }
    }
}

struct UnderWay {
    at: Timestamp,
    started: Duration,
    receiver: oneshot::Receiver<Answer>,
}

/// The answer to the round that is under way, or never when there is none.
async fn answered(under_way: &mut Option<UnderWay>) -> Option<Answer> {
    match under_way {
        Some(round) => (&mut round.receiver).await.ok(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
