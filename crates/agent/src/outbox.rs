//! The spool with its lock and its thread: records in, records out until acknowledged.

use std::sync::{Arc, Mutex, PoisonError};

use spool::{Loss, Spool};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::batch::Record;
use crate::metrics::Metrics;

/// A handle to the spool. Every call does its disk work on a blocking thread.
#[derive(Clone)]
pub struct Outbox {
    spool: Arc<Mutex<Spool>>,
    metrics: Arc<Metrics>,
    epoch: u64,
    fresh: Arc<Notify>,
    closed: CancellationToken,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// The work on the spool panicked, which is a bug; the spool itself is sound.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The spool failed.
    #[error("working on the spool")]
    Spool(#[from] spool::Error),
    /// The task was lost.
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

impl Outbox {
    /// Takes the spool into care.
    #[must_use]
    pub fn new(spool: Spool, metrics: Arc<Metrics>) -> Self {
        let epoch = spool.epoch();
        let outbox = Self {
            spool: Arc::new(Mutex::new(spool)),
            metrics,
            epoch,
            fresh: Arc::default(),
            closed: CancellationToken::new(),
        };
        outbox.measure(&outbox.lock());
        outbox
    }

    /// The life of the spool.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
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
        let done = tokio::task::spawn_blocking(move || {
            let mut spool = outbox.lock();
            let done = work(&mut spool);
            outbox.measure(&spool);
            outbox.report(&mut spool);
            done
        });
        Ok(done.await??)
    }

    fn measure(&self, spool: &Spool) {
        let pending = usize::try_from(spool.pending()).unwrap_or(usize::MAX);
        let bytes = usize::try_from(spool.bytes()).unwrap_or(usize::MAX);
        self.metrics.spool_pending.set_count(pending);
        self.metrics.spool_bytes.set_count(bytes);
    }

    /// Says what the spool lost, once.
    fn report(&self, spool: &mut Spool) {
        let losses: Vec<Loss> = spool.losses().to_vec();
        for loss in &losses {
            self.metrics.spool_lost.add(loss.last - loss.first + 1);
            tracing::error!(
                first = loss.first,
                last = loss.last,
                reason = ?loss.reason,
                "batches were lost before they were sent"
            );
        }
        if losses.is_empty() {
            return;
        }
        if let Err(error) = spool.losses_told(&losses) {
            tracing::warn!(
                error = crate::chain(&error),
                "the loss may be said again after a restart"
            );
        }
    }

    /// Puts records in and makes them durable with one sync.
    ///
    /// # Errors
    /// When the disk fails or is full; what was not taken in is lost with this interval.
    pub async fn put(&self, records: Vec<Record>) -> Result<(), Error> {
        let metrics = Arc::clone(&self.metrics);
        self.work(move |spool| {
            for record in &records {
                let sequence = spool.append(&record.bytes)?;
                metrics.spooled_batches.inc();
                metrics.spooled_samples.add(record.samples);
                tracing::debug!(
                    sequence,
                    samples = record.samples,
                    stale = record.stale,
                    bytes = record.bytes.len(),
                    "spooled"
                );
            }
            spool.sync()
        })
        .await?;
        self.fresh.notify_one();
        Ok(())
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

    /// Batches that are not acknowledged.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.lock().pending()
    }
}
