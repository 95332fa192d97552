//! The one thread that commits. It takes what has gathered while it was busy, makes all of it
//! durable with one sync, and then answers each sender.

use std::sync::Arc;

use daemon::blocking;
use daemon::clock::SharedClock;
use daemon::shutdown::Shutdown;
use store::{Arrival, Outcome, Store};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::config::Config;
use crate::metrics::Metrics;

/// Most batches in one commit: bounds how long the first of them waits for the last.
const GROUP_BATCHES_MAX: usize = 256;
/// Most bytes of batches in one commit.
const GROUP_BYTES_MAX: usize = 32 << 20;

/// What became of an arrival, or that nothing can be taken any more.
pub type Verdict = Result<Outcome, Arc<store::Error>>;

struct Job {
    arrival: Arrival,
    verdict: oneshot::Sender<Verdict>,
    room: Option<OwnedSemaphorePermit>,
}

/// A handle to the writer. When all are gone and the queue is empty, the thread ends.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
}

/// How much waits for the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// No more than a quarter of the queue is taken.
    Light,
    /// More than a quarter: what is old should wait.
    Filling,
    /// More than half: whoever can wait should.
    Busy,
}

/// The writer is gone: the process is going down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writer has stopped")]
pub struct Stopped;

impl Writer {
    /// Starts the thread. `ingest.queue_batches_max` arrivals may wait for it. It calls `full` when the
    /// head is to be written.
    #[must_use]
    pub fn start(
        store: Arc<Store>,
        metrics: Arc<Metrics>,
        clock: SharedClock,
        shutdown: &Shutdown,
        config: watch::Receiver<Arc<Config>>,
        full: Arc<Notify>,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(config.borrow().ingest.queue_batches_max);
        // Its end is not awaited by name: it lives as long as the last stream holds a handle.
        let work = async move { write(queue, &store, &metrics, &clock, &config, &full).await };
        drop(shutdown.spawn_on_thread("writer", work));
        Self { jobs }
    }

    /// How much waits for it.
    #[must_use]
    pub fn load(&self) -> Load {
        let free = self.jobs.capacity();
        let most = self.jobs.max_capacity();
        if free < most / 2 {
            Load::Busy
        } else if free < most - most / 4 {
            Load::Filling
        } else {
            Load::Light
        }
    }

    /// Hands over an arrival; waits while the queue is full. The verdict comes when it is durable.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub async fn submit(&self, arrival: Arrival) -> Result<oneshot::Receiver<Verdict>, Stopped> {
        self.submit_in(None, arrival).await
    }

    /// The same of an arrival that takes up room, which is given back with the verdict: not later, when
    /// whoever waits for it has been answered, which may be never.
    ///
    /// # Errors
    /// When the writer has stopped.
    pub async fn submit_in(
        &self,
        room: Option<OwnedSemaphorePermit>,
        arrival: Arrival,
    ) -> Result<oneshot::Receiver<Verdict>, Stopped> {
        let (verdict, answer) = oneshot::channel();
        let job = Job {
            arrival,
            verdict,
            room,
        };
        match self.jobs.send(job).await {
            Ok(()) => Ok(answer),
            Err(_gone) => Err(Stopped),
        }
    }
}

async fn write(
    mut queue: mpsc::Receiver<Job>,
    store: &Store,
    metrics: &Metrics,
    clock: &SharedClock,
    config: &watch::Receiver<Arc<Config>>,
    full: &Notify,
) {
    while let Some(first) = queue.recv().await {
        let mut bytes = size(&first);
        let mut group = vec![first];
        while group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(job) = queue.try_recv() else { break };
            bytes += size(&job);
            group.push(job);
        }
        // Upkeep flushes in good time. When more comes than it can keep up with, the writer flushes
        // too, and everybody waits: the head stays within three times its bound.
        let head_bytes = store.head_bytes();
        let head_bytes_max = config.borrow().store.head_bytes_max(store.index_bytes());
        if head_bytes > head_bytes_max {
            full.notify_one();
        }
        if head_bytes > head_bytes_max.saturating_mul(2) {
            match blocking::here(|| store.flush()).await {
                Ok(flushed) => tracing::warn!(samples = flushed.samples, "head full, flushed"),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "flush"),
            }
        }
        let (arrivals, senders): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|job| (job.arrival, (job.verdict, job.room)))
            .unzip();
        let samples: Vec<u64> = arrivals.iter().map(Arrival::sample_count).collect();
        let started = clock.monotonic();
        let result = blocking::here(|| store.commit(arrivals)).await;
        let result = result.map_err(Arc::new);
        metrics
            .commit_seconds
            .record(clock.monotonic().saturating_sub(started));
        metrics.commits.inc();
        if let Err(error) = &result {
            let error: &dyn std::error::Error = &**error;
            tracing::error!(
                error,
                "commit failed; nothing more is taken in until a restart"
            );
        }
        for (index, (sender, room)) in senders.into_iter().enumerate() {
            let verdict = match &result {
                Ok(outcomes) => Ok(outcomes.get(index).copied().unwrap_or(Outcome::Duplicate)),
                Err(error) => Err(Arc::clone(error)),
            };
            count(metrics, &verdict, samples.get(index).copied().unwrap_or(0));
            drop(room);
            // A stream that ended meanwhile will hear of it when the agent comes back.
            drop(sender.send(verdict));
        }
    }
}

fn count(metrics: &Metrics, verdict: &Verdict, samples: u64) {
    match verdict {
        Ok(Outcome::Taken) => {
            metrics.batches.inc();
            metrics.samples.add(samples);
        }
        Ok(Outcome::Duplicate) => metrics.duplicates.inc(),
        Ok(Outcome::StaleSeries | Outcome::Scattered) | Err(_) => {}
    }
}

fn size(job: &Job) -> usize {
    let blocks = job.arrival.blocks.iter().map(|block| block.received.len());
    let samples = job.arrival.samples.values.len() * size_of::<f64>();
    blocks.sum::<usize>() + samples
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store::engine::memory::Memory;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn room_is_given_back_with_the_verdict_though_nobody_hears_it() {
        let (store, _) = Store::open(Box::new(Memory::default())).unwrap();
        let (_config, config) = watch::channel(Arc::new(Config::default()));
        let shutdown = Shutdown::new();
        let clock: SharedClock = Arc::new(daemon::clock::SystemClock::new());
        let writer = Writer::start(
            Arc::new(store),
            Metrics::new(),
            clock,
            &shutdown,
            config,
            Arc::default(),
        );
        let room = Arc::new(Semaphore::new(1));
        let mut unheard = Vec::new();
        for _ in 0..3 {
            let permit = Arc::clone(&room).acquire_owned();
            let permit = tokio::time::timeout(Duration::from_secs(60), permit).await;
            let permit = permit.expect("room").unwrap();
            let verdict = writer.submit_in(Some(permit), Arrival::default()).await;
            unheard.push(verdict.unwrap());
        }
    }
}
