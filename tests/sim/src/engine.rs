//! The coordinator's engine: rows in memory, a log of what is not synced, and a machine that can lose power.
//!
//! As RocksDB does, it writes batches to a log in order: a synced one makes all before it durable, and after
//! a power loss a beginning of the others is there. What is brought in as a whole file is durable at once.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::engine::{Batch, Durability, Engine, EngineError, Family, Found, Ingest, Op, Visit};
use store::keys;

use crate::chance::Chance;
use crate::mutant::Mutant;

type Rows = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// A handle to the disk of the coordinator's machine, which outlives the coordinator.
#[derive(Clone, Debug)]
pub(crate) struct SimEngine {
    inner: Arc<Mutex<Inner>>,
    mutant: Option<Mutant>,
}

#[derive(Debug)]
struct Inner {
    durable: Rows,
    /// As a reader sees them.
    rows: Rows,
    /// What is in `rows` and not in `durable`, in order.
    log: Vec<Batch>,
    /// A write has failed: nothing more is written before the database is opened again.
    failed: bool,
    /// Writes until one fails.
    writes_left: Option<u64>,
    chance: Chance,
}

fn apply(rows: &mut Rows, batch: &Batch) {
    for op in &batch.ops {
        match op {
            Op::Put(family, key, value) => {
                rows.insert((*family, key.clone()), value.clone());
            }
            Op::Delete(family, key) => {
                rows.remove(&(*family, key.clone()));
            }
            Op::DeleteRange(family, start, end) => remove(rows, *family, start, end),
        }
    }
}

fn remove(rows: &mut Rows, family: Family, start: &[u8], end: &[u8]) {
    if start < end {
        let range = (family, start.to_vec())..(family, end.to_vec());
        rows.extract_if(range, |_, _| true).for_each(drop);
    }
}

fn failed(doing: &'static str) -> EngineError {
    EngineError {
        doing,
        source: "the disk is full or gone".into(),
    }
}

impl Inner {
    /// Makes what is in the log durable.
    fn settle(&mut self) {
        for batch in std::mem::take(&mut self.log) {
            apply(&mut self.durable, &batch);
        }
    }

    /// Whether a write still works.
    fn works(&mut self, doing: &'static str) -> Result<(), EngineError> {
        match &mut self.writes_left {
            Some(0) => self.failed = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if self.failed {
            return Err(failed(doing));
        }
        Ok(())
    }
}

impl SimEngine {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                durable: Rows::new(),
                rows: Rows::new(),
                log: Vec::new(),
                failed: false,
                writes_left: None,
                chance: Chance::new(seed, "engine"),
            })),
            mutant,
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more writes none succeeds, until the process has ended and there is room again.
    pub(crate) fn fail_after(&self, writes: u64) {
        self.inner().writes_left = Some(writes);
    }

    /// There is room again.
    pub(crate) fn heal(&self) {
        self.inner().writes_left = None;
    }

    /// Whether a write has failed since the process began.
    pub(crate) fn has_failed(&self) -> bool {
        self.inner().failed
    }

    /// The process has ended; with `power_lost` only a beginning of what was not synced is there.
    pub(crate) fn ended(&self, power_lost: bool) {
        let inner = &mut *self.inner();
        if power_lost {
            let kept = inner.chance.index(inner.log.len() + 1);
            inner.log.truncate(kept);
        }
        inner.settle();
        inner.rows = inner.durable.clone();
        inner.failed = false;
    }
}

impl Engine for SimEngine {
    fn write(&self, mut batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let inner = &mut *self.inner();
        if self.mutant == Some(Mutant::ForgetMark) {
            batch.ops.retain(|op| {
                !matches!(op, Op::Put(Family::Meta, key, _) if key.starts_with(keys::MARKS_START))
            });
        }
        if let Err(error) = inner.works("writing a batch") {
            // What failed may be there all the same after the next start.
            if inner.chance.likely(300_000) {
                inner.log.push(batch);
            }
            return Err(error);
        }
        apply(&mut inner.rows, &batch);
        inner.log.push(batch);
        if durability == Durability::Synced && self.mutant != Some(Mutant::AcknowledgeBeforeSync) {
            inner.settle();
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.inner().rows.get(&(family, key.to_vec())).cloned())
    }

    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        let row = self.get(family, key)?;
        Ok(row.is_some_and(|row| {
            found(&row);
            true
        }))
    }

    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        Ok(Box::new(Incoming {
            engine: self,
            family,
            batch: Batch::default(),
        }))
    }

    fn drop_ingested(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        let inner = &mut *self.inner();
        inner.works("dropping files")?;
        remove(&mut inner.rows, family, start_inclusive, end_exclusive);
        remove(&mut inner.durable, family, start_inclusive, end_exclusive);
        Ok(())
    }

    fn settle(&self) -> Result<(), EngineError> {
        let inner = &mut *self.inner();
        inner.works("writing what is only in memory")?;
        inner.settle();
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        if start_inclusive >= end_exclusive {
            return Ok(());
        }
        // Copied, so that a visitor may write.
        let range = (family, start_inclusive.to_vec())..(family, end_exclusive.to_vec());
        let rows = self
            .inner()
            .rows
            .range(range)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect::<Vec<_>>();
        for (key, value) in rows {
            if let ControlFlow::Break(()) = visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn drop_range(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        batch.delete_range(family, start_inclusive, end_exclusive);
        self.write(batch, Durability::Buffered)
    }

    fn disk_bytes(&self) -> u64 {
        let rows = &self.inner().rows;
        rows.iter()
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum()
    }

    fn family_bytes(&self, family: Family) -> u64 {
        let rows = &self.inner().rows;
        let of = rows.iter().filter(|((of, _), _)| *of == family);
        of.map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

/// Rows that come in as one file.
struct Incoming<'a> {
    engine: &'a SimEngine,
    family: Family,
    batch: Batch,
}

impl Ingest for Incoming<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.batch.put(self.family, key, value);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        let inner = &mut *self.engine.inner();
        inner.works("bringing in a file")?;
        apply(&mut inner.rows, &self.batch);
        apply(&mut inner.durable, &self.batch);
        Ok(())
    }
}
