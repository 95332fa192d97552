//! The spool with its lock and its thread: records in, records out until acknowledged.
//!
//! When the spool is full, old batches are thinned to about one sample a minute before the oldest go.
//! When the disk takes nothing, batches wait in memory, within a bound, and are put again with the
//! next ones. What goes is a loss with its reason and its times either way.

mod intake;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use series::Sequences;
use spool::{Loss, Span, Spool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::batch::Record;
use crate::metrics::Metrics;
use crate::urgent::{Happened, Urgent};
use intake::{Intake, Put};

/// A handle to the spool. Every call does its disk work on a blocking thread.
#[derive(Clone)]
pub struct Outbox {
    spool: Arc<Mutex<Spool>>,
    /// Locked only under the lock of the spool.
    intake: Arc<Mutex<Intake>>,
    metrics: Arc<Metrics>,
    shown: Arc<Shown>,
    fresh: Arc<Notify>,
    closed: CancellationToken,
    /// Where damage is told.
    urgent: Option<Urgent>,
}

/// What is known of the spool without waiting for its lock, as of the last work on it.
#[derive(Debug, Default)]
struct Shown {
    epoch: AtomicU64,
    pending: AtomicU64,
    /// Sequences below are durable.
    next: AtomicU64,
    /// The lowest sequence of which there is a record or an untold loss.
    oldest: AtomicU64,
    /// Records that wait in memory for the disk.
    waiting: AtomicU64,
    losses: Mutex<Losses>,
}

/// Losses that the coordinator does not know.
#[derive(Debug, Default)]
struct Losses {
    untold: Vec<Loss>,
    /// What of them was logged and counted.
    reported: Sequences,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

/// Why work on the spool was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool failed.
    #[error("working on the spool")]
    Spool(#[from] spool::Error),
    /// The work panicked, which is a bug; the spool itself is sound.
    #[error("the task that worked on the spool was lost")]
    Task(#[from] tokio::task::JoinError),
}

impl Error {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Spool(source) => source.is_retryable(),
            Self::Task(_) => false,
        }
    }
}

/// What [`Outbox::put`] could not do.
#[derive(Debug, thiserror::Error)]
#[error(
    "putting batches into the spool: {waiting} wait in memory, {batches} with {samples} samples are lost"
)]
pub struct PutError {
    /// Records that wait in memory, and are put again with the next ones. When none waits and none is
    /// lost, all were taken in but are not durable yet: the spool holds them in memory and writes
    /// them again with the next records.
    pub waiting: u64,
    /// Records that are lost: refused, or too many to wait.
    pub batches: u64,
    /// Samples in those, stale markers left out.
    pub samples: u64,
    /// The first failure.
    #[source]
    pub source: Error,
}

impl PutError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.source.is_retryable()
    }
}

impl Outbox {
    /// Takes the spool into care.
    #[must_use]
    pub fn new(spool: Spool, metrics: Arc<Metrics>) -> Self {
        let outbox = Self {
            spool: Arc::new(Mutex::new(spool)),
            intake: Arc::default(),
            metrics,
            shown: Arc::default(),
            fresh: Arc::default(),
            closed: CancellationToken::new(),
            urgent: None,
        };
        outbox.report(&outbox.lock());
        outbox.measure(&outbox.lock());
        outbox
    }

    /// The same, thinning old batches before the oldest go, or not.
    #[must_use]
    pub fn thinning(self, thins: bool) -> Self {
        let intake = self.intake.lock();
        intake.unwrap_or_else(PoisonError::into_inner).thins = thins;
        self
    }

    /// The same, telling of damage as an event. What was found when the spool was opened is told at once.
    #[must_use]
    pub fn telling(mut self, urgent: Urgent) -> Self {
        self.urgent = Some(urgent);
        self.report_damage(&mut self.lock());
        self
    }

    /// The life of the spool.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.shown.epoch.load(Ordering::Acquire)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told whenever records were put in.
    #[must_use]
    pub fn fresh(&self) -> &Notify {
        &self.fresh
    }

    /// Says that nothing more will be put in.
    pub fn close(&self) {
        self.closed.cancel();
        self.fresh.notify_one();
    }

    /// Whether nothing more will be put in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> Result<T, spool::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let outbox = self.clone();
        let done = daemon::blocking::spawn(move || {
            let mut spool = outbox.lock();
            let done = work(&mut spool);
            outbox.report_damage(&mut spool);
            outbox.report(&spool);
            outbox.measure(&spool);
            done
        });
        Ok(done.await??)
    }

    fn measure(&self, spool: &Spool) {
        let pending = spool.pending();
        self.shown.epoch.store(spool.epoch(), Ordering::Release);
        self.shown.pending.store(pending, Ordering::Release);
        let next = spool.synced_next_sequence();
        let untold = spool.losses().first().map_or(next, |loss| loss.first);
        let oldest = spool.oldest_sequence().min(untold).max(1);
        self.shown.next.store(next, Ordering::Release);
        self.shown.oldest.store(oldest, Ordering::Release);
        let pending = usize::try_from(pending).unwrap_or(usize::MAX);
        let bytes = spool.bytes() + spool.damaged_bytes();
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.metrics.spool_pending.set_count(pending);
        self.metrics.spool_bytes.set_count(bytes);
    }

    /// Logs, counts and tells what files were set aside, and which of them had to go.
    fn report_damage(&self, spool: &mut Spool) {
        let damage = spool.take_damage();
        self.metrics.spool_damaged.add(damage.files);
        self.metrics.spool_damaged_removed.add(damage.files_removed);
        for file in &damage.set_aside {
            tracing::error!(file, "a damaged part of the spool was set aside");
        }
        for file in &damage.removed {
            tracing::error!(
                file,
                "a damaged part of the spool was removed: what is set aside has more than its share of the disk"
            );
        }
        if let (Some(urgent), Some(first)) = (&self.urgent, damage.set_aside.first()) {
            let more = match damage.files - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let summary = format!("damaged files of the spool were set aside: {first}{more}");
            urgent.send(Happened::new("spool_damaged", "warning", summary));
        }
    }

    /// Logs and counts what the spool lost, once.
    fn report(&self, spool: &Spool) {
        let mut losses = self.losses_shown();
        losses.untold.clear();
        losses.untold.extend_from_slice(spool.losses());
        for loss in spool.losses() {
            let new = losses.reported.missing(loss.first, loss.last);
            let new: u64 = new.map(|(first, last)| last - first + 1).sum();
            if new == 0 {
                continue;
            }
            let _is_noted = losses.reported.insert(loss.first, loss.last);
            self.metrics.spool_lost.add(new);
            tracing::error!(
                first = loss.first,
                last = loss.last,
                reason = loss.reason.as_str(),
                "batches were lost before they were sent"
            );
        }
    }

    fn losses_shown(&self) -> std::sync::MutexGuard<'_, Losses> {
        let losses = &self.shown.losses;
        losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Losses that the coordinator does not know.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.losses_shown().untold.clone()
    }

    /// The coordinator knows of a loss.
    ///
    /// # Errors
    /// When the disk fails or is full; it is then told again.
    pub async fn loss_told(&self, loss: Loss) -> Result<(), Error> {
        self.work(move |spool| spool.losses_told(&[loss])).await
    }

    /// The lowest sequence of which there is a record or a loss that the coordinator does not know; the
    /// next, when there is none.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.shown.oldest.load(Ordering::Acquire)
    }

    /// The sequence after the last durable one.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.shown.next.load(Ordering::Acquire)
    }

    /// Puts records in, after those that wait, and makes them durable with one sync. One that is refused
    /// does not keep the others out.
    ///
    /// # Errors
    /// When the disk fails or is full. What was not taken in waits in memory, as far as its bound
    /// allows; the rest is lost, and becomes a loss of the spool as soon as the disk takes a note.
    pub async fn put(&self, records: Vec<Record>) -> Result<(), PutError> {
        let (metrics, intake) = (Arc::clone(&self.metrics), Arc::clone(&self.intake));
        let batches = records.len() as u64;
        let samples = records.iter().map(|record| record.samples).sum();
        let put = self.work(move |spool| {
            let mut intake = intake.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(intake.put(spool, records, &metrics))
        });
        let put: Put = put.await.map_err(|source| PutError {
            waiting: self.waiting(),
            batches,
            samples,
            source,
        })?;
        self.shown.waiting.store(put.waiting, Ordering::Release);
        let waiting = usize::try_from(put.waiting).unwrap_or(usize::MAX);
        self.metrics.spool_waiting.set_count(waiting);
        if put.taken > 0 {
            self.fresh.notify_one();
        }
        if put.thinned.segments > 0 {
            tracing::warn!(
                segments = put.thinned.segments,
                batches = put.thinned.batches,
                bytes_saved = put.thinned.bytes_saved,
                "there was no room, and the oldest batches were thinned to a sample a minute"
            );
        }
        match put.failure {
            None => Ok(()),
            Some(source) => Err(PutError {
                waiting: put.waiting,
                batches: put.lost_batches,
                samples: put.lost_samples,
                source: source.into(),
            }),
        }
    }

    /// Batches that wait in memory for the disk to take them.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.shown.waiting.load(Ordering::Acquire)
    }

    /// Records from `sequence` on, as many as fit.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn read_from(
        &self,
        sequence: u64,
        bytes_max: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.work(move |spool| spool.read_from(sequence, 64, bytes_max))
            .await
    }

    /// About when the records of a range were made, by those around it; none if that cannot be told.
    pub(crate) async fn span_around(&self, first: u64, last: u64) -> Option<Span> {
        let span = self.work(move |spool| Ok(spool.span_around(first, last)));
        span.await.ok().flatten()
    }

    /// The coordinator has everything up to `sequence`.
    ///
    /// # Errors
    /// When the disk fails. An acknowledgement of what was never given out is not believed.
    pub async fn acknowledge(&self, sequence: u64) -> Result<(), Error> {
        self.work(move |spool| spool.acknowledge_through(sequence))
            .await?;
        tracing::debug!(sequence, "acknowledged");
        Ok(())
    }

    /// Begins an epoch that is later than the present one, if possible `wish`; gives it. What is
    /// pending stays pending.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub async fn begin_epoch(&self, wish: u64) -> Result<u64, Error> {
        self.work(move |spool| {
            let epoch = wish.max(spool.epoch().saturating_add(1));
            spool.begin_epoch(epoch)?;
            Ok(epoch)
        })
        .await
    }

    /// Batches that are not acknowledged.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.shown.pending.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
