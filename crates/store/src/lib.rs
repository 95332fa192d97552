//! Append once, find again, forget on time.
//!
//! A [`Store`] keeps batches of samples so that nothing it has acknowledged is lost when the
//! process or the machine dies, and nothing is counted twice:
//!
//! 1. [`Store::define`] gives label sets their ids.
//! 2. [`Store::commit`] writes batches to the journal, an agent's *as received*, together with its
//!    settled sequences and new series rows, in one synced write, and puts their samples into the
//!    head. Many batches in one call share one sync.
//! 3. [`Store::flush`] writes the head as a run of chunks and drops the journal behind it;
//!    [`Store::compact`] merges small runs into large ones, packed as small as can be, with their
//!    roll-ups.
//! 4. [`Store::select`] reads head and chunks, [`Store::windows`] roll-ups; [`Store::retain`] drops
//!    whole days.
//!
//! It is plain and synchronous: it takes `now`, returns facts, logs nothing and starts no thread.
//! Any number of threads may read while one commits, one flushes and one compacts. It does not know
//! PromQL, gRPC or what an agent is beyond a name. RocksDB lives here, behind [`engine::Engine`], and
//! nowhere else.

pub mod engine;
pub mod keys;

mod chunk;
mod cold;
mod columns;
mod compact;
mod flush;
mod groups;
mod head;
mod index;
mod journal;
mod labels;
mod notes;
mod open;
mod paged;
mod read;
mod retain;
mod runs;
mod state;
mod upgrade;
mod windows;
mod write;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, RwLock};

use engine::{Engine, EngineError};
use series::Sequences;

pub use codec::Samples;
pub use compact::Compacted;
pub use flush::Flushed;
pub use labels::Listing;
pub use notes::{Join, Note};
pub use open::Recovery;
pub use read::{Meter, Selected, Selection};
pub use retain::Retained;
pub use state::StateRow;
pub use windows::{FoundWindows, KEPT_TIERS, WindowSeries};
pub use write::{Arrival, ArrivedBlock, Bound, Defined, Outcome};

/// Number of a series in this store. Given by [`Store::define`], never by anyone else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub(crate) u32);

impl SeriesId {
    /// The bare number, for messages.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What the store could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed.
    #[error("{doing}")]
    Engine {
        /// What the store was doing.
        doing: &'static str,
        /// What the engine says.
        #[source]
        source: EngineError,
    },
    /// An earlier write failed. What the disk holds is not known until it is opened again, so
    /// nothing more is taken in (Rebello et al., "Can Applications Recover from fsync Failures?",
    /// 2020).
    #[error("an earlier write failed; nothing more is taken in until a restart")]
    Poisoned,
    /// The database was written by a later version.
    #[error("the database has format version {found}, this program knows {known}")]
    Version {
        /// What the database says.
        found: u8,
        /// The newest known here.
        known: u8,
    },
    /// There are no more series ids.
    #[error("all series ids are used up")]
    SeriesExhausted,
    /// The caller of a read said to stop.
    #[error("the read was stopped by its caller")]
    Stopped,
}

impl Error {
    /// Whether the same call may succeed later without a restart.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Engine { source, .. } => source.is_retryable(),
            Self::Poisoned | Self::Version { .. } | Self::SeriesExhausted | Self::Stopped => false,
        }
    }
}

/// The place of an arrival in its agent's numbering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The life of the agent's spool.
    pub epoch: u64,
    /// Its sequence; the first, when it stands for several of which there is nothing more to come.
    pub first: u64,
    /// The last, inside.
    pub last: u64,
    /// In an epoch that is new here, sequences below this were settled in an earlier one.
    pub base: u64,
}

/// What of an agent's numbering is settled here: durable, or known to be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The life of the agent's spool.
    pub epoch: u64,
    /// The sequences.
    pub sequences: Sequences,
}

/// Counters since the store was opened, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Series in the index: those of the heads and the newest days.
    pub series: u64,
    /// Series that are only in older days, whose labels are on disk.
    pub cold_series: u64,
    /// Groups of series that share their times.
    pub groups: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Bytes of memory of the head, and of the journal behind it.
    pub head_bytes: u64,
    /// Bytes of memory of the index.
    pub index_bytes: u64,
    /// Samples committed.
    pub samples_total: u64,
    /// Batches that were sent again and not counted again.
    pub duplicate_batches_total: u64,
    /// Series that were refused because the index had no room for them.
    pub refused_series_total: u64,
    /// Series that were refused because they were past a bound of those who share a label.
    pub series_over_bound_total: u64,
    /// Runs of chunks.
    pub runs: u64,
    /// Samples in chunks.
    pub chunk_samples: u64,
    /// Bytes of chunks with their keys and times.
    pub chunk_bytes: u64,
    /// Samples that compactions have packed anew.
    pub compacted_samples_total: u64,
    /// Bytes of columns that were unpacked and are kept.
    pub column_cache_bytes: u64,
    /// Columns of chunks that reads found unpacked.
    pub column_cache_hits_total: u64,
    /// Columns of chunks that reads had to unpack.
    pub column_cache_misses_total: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// The samples not yet in chunks: those still coming in, and those being flushed.
#[derive(Debug, Default)]
struct Heads {
    active: head::Head,
    frozen: Option<Arc<head::Head>>,
}

/// New rows that the next commit writes.
#[derive(Debug, Default)]
struct Staged {
    series: Vec<SeriesId>,
}

#[derive(Debug, Default)]
struct Counters {
    samples: AtomicU64,
    duplicate_batches: AtomicU64,
    refused_series: AtomicU64,
    series_over_bound: AtomicU64,
    compacted_samples: AtomicU64,
}

/// What only the committing thread needs.
#[derive(Debug)]
struct Journal {
    next_position: u64,
    notes: notes::Notes,
}

/// A store of series over an [`Engine`].
///
/// Locks are taken in the order of the fields: `flushing`, `compacting`, `journal`, `changing_days`,
/// `marks`, `index`, `staged`, `groups`, `heads`, `days`. Only the first four are held while the disk
/// works.
pub struct Store {
    engine: Box<dyn Engine>,
    poisoned: AtomicBool,
    flushes: AtomicU32,
    /// See [`Store::generation`].
    generation: AtomicU64,
    /// Bytes that the index may take; 0 for no bound.
    index_bytes_max: AtomicU64,
    counters: Counters,
    /// What was unpacked of chunks.
    columns: columns::Columns,
    /// Threads that may read ahead.
    spare: read::Spare,
    /// Held for a whole flush, so that there is one at a time.
    flushing: Mutex<()>,
    /// Held for a whole compaction, so that there is one at a time.
    compacting: Mutex<compact::Leftovers>,
    /// Held for a commit, and by a flush for the moment in which it freezes the head.
    journal: Mutex<Journal>,
    /// Held from reading a day to having written it and put it in its place.
    changing_days: Mutex<()>,
    /// What is settled of each agent.
    marks: Mutex<HashMap<String, Settled>>,
    index: RwLock<index::Index>,
    staged: Mutex<Staged>,
    groups: RwLock<groups::Groups>,
    heads: RwLock<Heads>,
    /// Which runs and series each day has.
    days: RwLock<runs::Days>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panicked while holding a lock left no half-made change: changes of memory come
    // after the write, each in one step.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn reading<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn writing<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
