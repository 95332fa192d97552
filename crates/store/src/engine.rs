//! The seam to the disk: an ordered map of bytes in a few families, written in atomic batches.
//!
//! [`memory::Memory`] keeps it in memory, for tests and simulation; `rocks::Rocks` (feature
//! `rocksdb`) is the one that ships.

pub mod memory;
#[cfg(feature = "rocksdb")]
pub mod rocks;

use std::ops::ControlFlow;

/// Which part of the database a row belongs to. Names are never reused for another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Batches as received, by position; dropped once they are in chunks.
    Journal,
    /// Series id → labels and kind.
    Series,
    /// Group → its series by column.
    Groups,
    /// Which runs and series a partition has.
    Days,
    /// Chunks, by partition, run and group. Rows come by [`Engine::ingest`] and go by
    /// [`Engine::drop_ingested`] only.
    Runs,
    /// Roll-ups of the chunks, in the same way.
    Windows,
    /// High-water marks, counters and the format version.
    Meta,
    /// Small durable rows of the coordinator: nodes, events.
    State,
    /// Chunks of format 1. This and the next two are only read, and only there in a database that
    /// format 1 wrote.
    OldChunks,
    /// Time columns of format 1.
    OldTimes,
    /// Partitions of format 1.
    OldPartitions,
}

impl Family {
    /// All families that are written, in order.
    pub const ALL: [Self; 8] = [
        Self::Journal,
        Self::Series,
        Self::Groups,
        Self::Days,
        Self::Runs,
        Self::Windows,
        Self::Meta,
        Self::State,
    ];

    /// The families of format 1.
    pub const OLD: [Self; 3] = [Self::OldChunks, Self::OldTimes, Self::OldPartitions];

    /// Whether its rows are written one by one, through the log.
    #[must_use]
    pub const fn is_logged(self) -> bool {
        !matches!(self, Self::Runs | Self::Windows)
    }

    /// Its name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Series => "series",
            Self::Groups => "groups",
            Self::Days => "days",
            Self::Runs => "runs",
            Self::Windows => "windows",
            Self::Meta => "meta",
            Self::State => "state",
            Self::OldChunks => "chunks",
            Self::OldTimes => "times",
            Self::OldPartitions => "partitions",
        }
    }
}

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sets a row.
    Put(Family, Vec<u8>, Vec<u8>),
    /// Removes a row.
    Delete(Family, Vec<u8>),
    /// Removes all rows from the first key (inside) to the second (outside).
    DeleteRange(Family, Vec<u8>, Vec<u8>),
}

/// Changes that happen together or not at all, in order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The changes.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Adds a row to set.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put(family, key.into(), value.into()));
    }

    /// Adds a row to remove.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.ops.push(Op::Delete(family, key.into()));
    }

    /// Adds a range to remove.
    pub fn delete_range(
        &mut self,
        family: Family,
        start_inclusive: impl Into<Vec<u8>>,
        end_exclusive: impl Into<Vec<u8>>,
    ) {
        self.ops.push(Op::DeleteRange(
            family,
            start_inclusive.into(),
            end_exclusive.into(),
        ));
    }
}

/// What a crash of the machine may take once a write has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the write was synced to the disk.
    Synced,
    /// The last writes, if the machine (not only the process) goes down.
    Buffered,
}

/// The engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{doing}")]
pub struct EngineError {
    /// What it was doing.
    pub doing: &'static str,
    /// What went wrong.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl EngineError {
    /// Whether the same call may succeed later. A database that failed a write is not trusted
    /// again before a restart.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Called with a row that was found.
pub type Found<'a> = dyn FnMut(&[u8]) + 'a;

/// Rows on their way into a family, in ascending order of key, each key once.
pub trait Ingest {
    /// Adds a row.
    ///
    /// # Errors
    /// When it cannot be written, or its key is not above the last one.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError>;

    /// Makes all rows durable and visible at once. Rows that were there under the same keys are
    /// replaced.
    ///
    /// # Errors
    /// When it fails; nothing of it is visible then.
    fn finish(self: Box<Self>) -> Result<(), EngineError>;
}

/// Called for each row of a scan; says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of bytes on something durable.
pub trait Engine: Send + Sync + 'static {
    /// Applies a batch, all of it or nothing.
    ///
    /// # Errors
    /// When it could not be made durable as asked; nothing may be assumed of it then.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// Reads one row. A family of an old format that the database does not have is empty.
    ///
    /// # Errors
    /// When the row could not be read, damaged bytes included.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Hands one row to `found` where it lies; says whether there is one.
    ///
    /// # Errors
    /// When the row could not be read, damaged bytes included.
    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError>;

    /// As [`Engine::read`], of a row that is not expected to be read again.
    ///
    /// # Errors
    /// As [`Engine::read`].
    fn read_once(
        &self,
        family: Family,
        key: &[u8],
        found: &mut Found<'_>,
    ) -> Result<bool, EngineError> {
        self.read(family, key, found)
    }

    /// Begins to bring many rows into a family, past the log.
    ///
    /// # Errors
    /// When nothing can be written.
    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError>;

    /// Drops what was brought in by ingests whose rows all lie from the first key (inside) to the
    /// second (outside). Rows of other ingests in that range may go or stay.
    ///
    /// # Errors
    /// When the engine fails.
    fn drop_ingested(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError>;

    /// Writes what is only in the log and in memory to where it stays, so that the log can go.
    ///
    /// # Errors
    /// When it cannot be written.
    fn settle(&self) -> Result<(), EngineError>;

    /// Visits the rows from the first key (inside) to the second (outside) in ascending order.
    ///
    /// # Errors
    /// When a row could not be read, damaged bytes included; rows before it have been visited.
    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError>;

    /// Removes a range for good and gives its space back soon. Not undone by a crash.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn drop_range(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError>;

    /// Bytes on disk, as far as the engine knows.
    fn disk_bytes(&self) -> u64;

    /// Bytes of one family's files; what is only in the log and in memory is not in them.
    fn family_bytes(&self, family: Family) -> u64;
}

impl<E: Engine + ?Sized> Engine for std::sync::Arc<E> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        (**self).write(batch, durability)
    }
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        (**self).get(family, key)
    }
    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        (**self).read(family, key, found)
    }
    fn read_once(
        &self,
        family: Family,
        key: &[u8],
        found: &mut Found<'_>,
    ) -> Result<bool, EngineError> {
        (**self).read_once(family, key, found)
    }
    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        (**self).ingest(family)
    }
    fn drop_ingested(&self, family: Family, a: &[u8], b: &[u8]) -> Result<(), EngineError> {
        (**self).drop_ingested(family, a, b)
    }
    fn settle(&self) -> Result<(), EngineError> {
        (**self).settle()
    }
    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        (**self).scan(family, start_inclusive, end_exclusive, visit)
    }
    fn drop_range(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        (**self).drop_range(family, start_inclusive, end_exclusive)
    }
    fn disk_bytes(&self) -> u64 {
        (**self).disk_bytes()
    }
    fn family_bytes(&self, family: Family) -> u64 {
        (**self).family_bytes(family)
    }
}
