//! Flushing the head, merging runs and dropping old days, on time.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use series::Timestamp;
use store::Store;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::access;
use crate::config::Config;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::losses;
use crate::metrics::Metrics;

/// How often to look whether the head is full, and to write the state of the nodes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often to look for days to drop.
const RETAIN_EVERY: Duration = Duration::from_secs(600);

/// What upkeep works on.
#[derive(Clone)]
pub struct Upkeep {
    /// The store.
    pub store: Arc<Store>,
    /// The nodes, whose state is written now and then.
    pub fleet: Fleet,
    /// The events, which are dropped with the samples of their time.
    pub events: Events,
    /// The configuration as it is now.
    pub config: watch::Receiver<Arc<Config>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: SharedClock,
    /// Called when the head is to be written.
    pub full: Arc<Notify>,
}

impl Upkeep {
    /// Runs until the drain.
    pub async fn run(self, shutdown: Shutdown) {
        let mut flushed_at = self.clock.monotonic();
        let mut retained_at = None;
        let mut compacting: Option<JoinHandle<()>> = None;
        loop {
            let mut full = false;
            let drained = tokio::select! {
                () = shutdown.draining() => true,
                () = self.full.notified() => { full = true; false }
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            if !full {
                let upkeep = self.clone();
                let kept = shutdown.spawn_blocking("nodes", move || upkeep.keep());
                drop(kept.await);
            }
            if drained {
                return;
            }
            let now = self.clock.monotonic();
            let store = self.config.borrow().store.clone();
            self.store.set_index_bytes_max(store.index_bytes_max());
            self.store
                .set_column_cache_bytes(store.column_cache.as_u64());
            let due = now.saturating_sub(flushed_at) >= store.flush_interval.as_duration();
            // The writer called while the last flush went on, too.
            let head_bytes_max = store.head_bytes_max(self.store.index_bytes());
            if due || (full && self.store.head_bytes() > head_bytes_max) {
                flushed_at = now;
                let upkeep = self.clone();
                let flushed = shutdown.spawn_blocking("flush", move || upkeep.flush());
                drop(flushed.await);
            }
            // Merging goes on beside the next flushes.
            if compacting.as_ref().is_none_or(JoinHandle::is_finished) {
                let upkeep = self.clone();
                let stop = shutdown.clone();
                let work = move || upkeep.compact(&stop);
                compacting = Some(shutdown.spawn_blocking("compaction", work));
            }
            if retained_at.is_none_or(|at| now.saturating_sub(at) >= RETAIN_EVERY) {
                retained_at = Some(now);
                let upkeep = self.clone();
                drop(
                    shutdown
                        .spawn_blocking("retention", move || upkeep.retain())
                        .await,
                );
            }
        }
    }

    fn keep(&self) {
        if let Err(error) = self.fleet.keep() {
            self.failed(&error, "the state of the nodes was not kept");
        }
    }

    fn flush(&self) {
        let started = self.clock.monotonic();
        match self.store.flush() {
            Ok(flushed) => {
                let took = self.clock.monotonic().saturating_sub(started);
                self.metrics.flush_seconds.record(took);
                tracing::info!(
                    chunks = flushed.chunks,
                    samples = flushed.samples,
                    bytes = flushed.bytes,
                    "head flushed"
                );
                if flushed.past_retention > 0 {
                    tracing::warn!(
                        samples = flushed.past_retention,
                        "samples of days whose samples were dropped meanwhile are not kept"
                    );
                }
            }
            Err(error) => self.failed(&error, "flush failed"),
        }
    }

    fn compact(&self, stop: &Shutdown) {
        while !stop.is_draining() {
            let started = self.clock.monotonic();
            match self.store.compact() {
                Ok(compacted) if compacted.damaged > 0 => tracing::error!(
                    runs = compacted.damaged,
                    "chunks cannot be read; their runs stay as they are"
                ),
                Ok(compacted) if compacted.runs > 0 => {
                    let took = self.clock.monotonic().saturating_sub(started);
                    self.metrics.compaction_seconds.record(took);
                    tracing::info!(
                        runs = compacted.runs,
                        samples = compacted.samples,
                        bytes_before = compacted.bytes_before,
                        bytes_after = compacted.bytes_after,
                        "runs merged"
                    );
                }
                Ok(_) => return,
                Err(error) => return self.failed(&error, "compaction failed"),
            }
        }
    }

    fn retain(&self) {
        let (retention, window_retention) = {
            let store = &self.config.borrow().store;
            (
                store.retention.as_duration(),
                store.window_retention.as_duration(),
            )
        };
        // A clock that is years ahead must not drop everything: what is old is told by the data too.
        let now = self.clock.wall_millis().min(self.store.newest_millis());
        let oldest = Timestamp::from_millis(now) - retention;
        let oldest_windows = Timestamp::from_millis(now) - window_retention;
        let retained = self.store.retain(oldest, oldest_windows);
        let dropped = self.events.retain(oldest.as_millis());
        let dropped = dropped.and_then(|()| access::retain(&self.store, oldest.as_millis()));
        let dropped = dropped.and_then(|()| self.retain_losses(oldest.as_millis()));
        match retained.and_then(|retained| dropped.map(|()| retained)) {
            Ok(retained) if retained.days + retained.days_of_windows > 0 => tracing::info!(
                days = retained.days,
                days_of_windows = retained.days_of_windows,
                series = retained.series,
                "old days dropped"
            ),
            Ok(_) => {}
            Err(error) => self.failed(&error, "dropping old days failed"),
        }
    }

    fn retain_losses(&self, oldest_millis: i64) -> Result<(), store::Error> {
        let retained = losses::retain(&self.store, oldest_millis)?;
        let unreadable = u32::try_from(retained.unreadable).unwrap_or(u32::MAX);
        self.metrics.unreadable_losses.set(f64::from(unreadable));
        if retained.too_many > 0 {
            self.metrics.dropped_losses.add(retained.too_many);
            tracing::warn!(
                rows = retained.too_many,
                most = losses::LISTED_MAX,
                "words of losses are dropped: their agents have lost too often"
            );
        }
        if retained.unreadable > 0 {
            tracing::error!(
                rows = retained.unreadable,
                "words of losses cannot be read; they stay as they are"
            );
        }
        Ok(())
    }

    fn failed(&self, error: &store::Error, what: &'static str) {
        self.metrics.upkeep_failures.inc();
        let error: &dyn std::error::Error = error;
        tracing::error!(error, "{what}");
    }
}
