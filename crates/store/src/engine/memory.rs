//! An engine in memory: the same promises without a disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Durability, Engine, EngineError, Family, Found, Ingest, Op, Visit};

type Key = (Family, Vec<u8>);
type Rows = BTreeMap<Key, Vec<u8>>;

/// Keeps everything in one ordered map. "Synced" costs nothing and means nothing here.
#[derive(Debug, Default)]
pub struct Memory {
    rows: RwLock<Rows>,
}

fn range(rows: &Rows, family: Family, start: &[u8], end: &[u8]) -> Vec<(Key, Vec<u8>)> {
    if start >= end {
        return Vec::new();
    }
    rows.range((family, start.to_vec())..(family, end.to_vec()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl Engine for Memory {
    fn write(&self, batch: Batch, _: Durability) -> Result<(), EngineError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for op in batch.ops {
            match op {
                Op::Put(family, key, value) => {
                    rows.insert((family, key), value);
                }
                Op::Delete(family, key) => {
                    rows.remove(&(family, key));
                }
                Op::DeleteRange(family, start, end) => {
                    for (key, _) in range(&rows, family, &start, &end) {
                        rows.remove(&key);
                    }
                }
            }
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.get(&(family, key.to_vec())).cloned())
    }

    fn read(&self, family: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        let row = self.get(family, key)?;
        Ok(row.is_some_and(|row| {
            found(&row);
            true
        }))
    }

    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        Ok(Box::new(Ingesting {
            memory: self,
            family,
            batch: Batch::default(),
            last: Vec::new(),
        }))
    }

    fn drop_ingested(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
    ) -> Result<(), EngineError> {
        self.drop_range(family, start_inclusive, end_exclusive)
    }

    fn settle(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        start_inclusive: &[u8],
        end_exclusive: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        // The rows are copied so that a visitor may write.
        let found = {
            let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
            range(&rows, family, start_inclusive, end_exclusive)
        };
        for ((_, key), value) in found {
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
        let families = Family::ALL.into_iter();
        families.map(|family| self.family_bytes(family)).sum()
    }

    fn family_bytes(&self, family: Family) -> u64 {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .filter(|((of, _), _)| *of == family)
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

struct Ingesting<'a> {
    memory: &'a Memory,
    family: Family,
    batch: Batch,
    last: Vec<u8>,
}

impl Ingest for Ingesting<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        if !self.last.is_empty() && key <= self.last.as_slice() {
            return Err(EngineError {
                doing: "adding a row to an ingest",
                source: "its key is not above the last one".into(),
            });
        }
        self.last = key.to_vec();
        self.batch.put(self.family, key, value);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), EngineError> {
        self.memory.write(self.batch, Durability::Synced)
    }
}
