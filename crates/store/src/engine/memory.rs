//! An engine in memory: the same promises without a disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{PoisonError, RwLock};

use super::{Batch, Durability, Engine, EngineError, Family, Op, Visit};

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
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.iter()
            .map(|((_, key), value)| (key.len() + value.len()) as u64)
            .sum()
    }
}
