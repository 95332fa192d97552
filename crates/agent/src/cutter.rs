//! From what is gathered to batches in the spool.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::batch::{Batcher, Gathered};
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::pace::Pace;
use crate::rules::Tap;

/// Sources of which the budget takes no detail.
pub(crate) const GPU: &str = "gpu";
pub(crate) const OWN: &str = "vedette-agent";

/// Gathers, and cuts a batch each sync interval.
pub(crate) struct Cutter {
    /// Folds what a target has too much of.
    pub(crate) guard: Guard,
    /// What the budget asks for.
    pub(crate) pace: Pace,
    /// The clock.
    pub(crate) clock: SharedClock,
    /// What gathers.
    pub(crate) batcher: Batcher,
    /// Where batches go.
    pub(crate) outbox: Outbox,
    /// How often, unless the coordinator wishes otherwise.
    pub(crate) every: Duration,
    /// The interval that the coordinator wishes instead.
    pub(crate) wished: watch::Receiver<Option<Duration>>,
    /// Spreads agents that start together.
    pub(crate) seed: u64,
    /// Takes what rules read; nothing where none are run.
    pub(crate) tap: Option<Tap>,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Cutter {
    /// Runs until the drain; the outbox is closed when the last batch is in it.
    pub(crate) async fn run(mut self, mut gathered: mpsc::Receiver<Gathered>, shutdown: Shutdown) {
        // Agents that start together, or are told to by a reload, do not sync together.
        let share = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let share = f64::from(u32::try_from(share).unwrap_or(0)) / 4_294_967_296.0;
        let mut next = Instant::now() + self.every.mul_f64(share);
        loop {
            tokio::select! {
                Some(gathered) = gathered.recv() => self.push(gathered),
                () = sleep_until(next) => {
                    self.cut().await;
                    let every = self.wished.borrow().unwrap_or(self.every);
                    next = (next + every).max(Instant::now());
                }
                Ok(()) = self.wished.changed() => {
                    // A shorter interval does not wait for the end of the longer one.
                    let every = self.wished.borrow().unwrap_or(self.every);
                    next = next.min(Instant::now() + every.mul_f64(share));
                }
                () = shutdown.draining() => break,
            }
        }
        gathered.close();
        while let Some(gathered) = gathered.recv().await {
            self.push(gathered);
        }
        self.cut().await;
        let waiting = self.outbox.waiting();
        if waiting > 0 {
            tracing::error!(
                batches = waiting,
                "the disk has not taken batches that waited in memory, and they end with this process"
            );
        }
        self.outbox.close();
    }

    fn push(&mut self, mut gathered: Gathered) {
        let now = self.clock.monotonic();
        // What is told of GPUs and of the agent itself stays whole.
        let is_spared = [GPU, OWN].contains(&&*gathered.source);
        let wanted = gathered.divisor.unwrap_or_else(|| self.pace.divisor());
        let divisor = if is_spared { 1 } else { wanted };
        self.guard.divide(divisor);
        for overflow in self.guard.apply(&mut gathered, now) {
            tracing::warn!(
                source = &*gathered.source,
                metric = overflow.metric,
                series = overflow.series,
                folded = overflow.folded,
                "a metric has more series than it may: the others are folded into their sum"
            );
        }
        let samples = gathered.snapshot.samples.len() as u64;
        self.metrics.gathered_samples.add(samples);
        // After the guard: rules see here what the coordinator's see there.
        if let Some(tap) = &mut self.tap
            && let Some(fresh) = tap.take(&gathered)
        {
            tap.send(&gathered.source, fresh);
        }
        self.batcher.push(gathered);
    }

    async fn cut(&mut self) {
        self.metrics.count_dropped(self.batcher.take_dropped());
        self.batcher.be_tight(self.pace.is_tight());
        // Encoding takes as long as there are samples, and this thread has all else to do.
        let mut batcher = std::mem::take(&mut self.batcher);
        let encoded = daemon::blocking::spawn(move || {
            let records = batcher.cut();
            (batcher, records)
        });
        let records = match encoded.await {
            Ok((batcher, records)) => {
                self.batcher = batcher;
                records
            }
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is ending, and this task with it.
                Err(_cancelled) => return,
            },
        };
        if records.is_empty() && self.outbox.waiting() == 0 {
            return;
        }
        let Err(error) = self.outbox.put(records).await else {
            return;
        };
        self.metrics.spool_failures.inc();
        if error.batches > 0 {
            tracing::error!(
                batches = error.batches,
                samples = error.samples,
                waiting = error.waiting,
                error = crate::chain(&error),
                "batches could not be spooled and are lost"
            );
        } else {
            tracing::warn!(
                waiting = error.waiting,
                error = crate::chain(&error),
                "the disk does not take batches; they wait in memory"
            );
        }
    }
}
