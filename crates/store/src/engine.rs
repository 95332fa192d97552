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
    /// Sealed columns, by partition, series and time.
    Chunks,
    /// Time columns that chunks share, by partition and number.
    Times,
    /// Which series have chunks in a partition.
    Partitions,
    /// High-water marks, counters and the format version.
    Meta,
    /// Small durable rows of the coordinator: nodes, events.
    State,
}

impl Family {
    /// All families, in order.
    pub const ALL: [Self; 7] = [
        Self::Journal,
        Self::Series,
        Self::Chunks,
        Self::Times,
        Self::Partitions,
        Self::Meta,
        Self::State,
    ];

    /// Its name on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Series => "series",
            Self::Chunks => "chunks",
            Self::Times => "times",
            Self::Partitions => "partitions",
            Self::Meta => "meta",
            Self::State => "state",
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

/// Called for each row of a scan; says whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of bytes on something durable.
pub trait Engine: Send + Sync + 'static {
    /// Applies a batch, all of it or nothing.
    ///
    /// # Errors
    /// When it could not be made durable as asked; nothing may be assumed of it then.
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// Reads one row.
    ///
    /// # Errors
    /// When the row could not be read, damaged bytes included.
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

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
}

impl<E: Engine + ?Sized> Engine for std::sync::Arc<E> {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        (**self).write(batch, durability)
    }
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        (**self).get(family, key)
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
}
