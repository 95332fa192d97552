//! Collectors: where an agent's numbers come from.
//!
//! | module | reads | runs |
//! |---|---|---|
//! | [`host`] | `/proc` and `/sys` | on its own thread |
//! | [`gpu`] | NVML | on its own thread, which a driver may hang |
//! | [`scrape`] | any Prometheus endpoint | as a task for each target |
//!
//! A collector only reads and returns facts: when it runs, how long it may take and what becomes
//! of a slow one is decided by the scheduler.

pub mod gpu;
pub mod host;
pub mod scrape;

use series::{Snapshot, Timestamp};

/// Why a collector has nothing to say this time.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What it reads from is not on this host (no driver, no such file). Said once, then counted.
    #[error("{what} is not available on this host")]
    Unavailable {
        /// What is missing.
        what: String,
        /// How that showed.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// It is there but could not be read.
    #[error("reading {what}")]
    Read {
        /// What was being read.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the next round may well succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => false,
            Self::Read { .. } => true,
        }
    }
}

/// Something that reads this node, blocking, on a thread of its own.
pub trait Collector: Send + 'static {
    /// A short constant name: the value of the label `collector` in our own metrics.
    fn name(&self) -> &'static str;

    /// Reads everything once. `now` is the instant that the samples will carry.
    ///
    /// # Errors
    /// When nothing at all could be read. What failed in part is left out of the snapshot and said
    /// there by a metric.
    fn collect(&mut self, now: Timestamp) -> Result<Snapshot, Error>;
}
