//! Forgetting: whole days go at once.

use std::sync::atomic::Ordering;

use roaring::RoaringBitmap;
use series::Timestamp;

use crate::engine::{Batch, Durability, Family};
use crate::open::engine_error;
use crate::{Error, SeriesId, Store, keys, locked, reading, writing};

/// What retention dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Days dropped.
    pub partitions: u64,
    /// Series that had no sample left.
    pub series: u64,
}

impl Store {
    /// Drops every day that ended before `oldest`, and the series that have nothing left.
    ///
    /// # Errors
    /// When the engine fails; what was dropped until then stays dropped, and the next call goes on.
    pub fn retain(&self, oldest: Timestamp) -> Result<Retained, Error> {
        let _one_at_a_time = locked(&self.flushing);
        let keep = keys::partition_of(oldest.as_millis());
        let dropped: Vec<u32> = reading(&self.partitions)
            .range(..keep)
            .map(|(number, _)| *number)
            .collect();
        if dropped.is_empty() {
            return Ok(Retained::default());
        }
        let (start, end) = (keys::partition(0), keys::partition(keep));
        for family in [Family::Chunks, Family::Times] {
            self.engine
                .drop_range(family, &start, &end)
                .map_err(engine_error("dropping old partitions"))?;
        }
        // No commit may bring a series back between the look and its removal from disk and index.
        let _no_commits = locked(&self.journal);
        let unused = self.unused_series(keep);
        // The bitmaps go last: as long as they are there, a crash leaves the work to the next call.
        let mut batch = Batch::default();
        batch.delete_range(Family::Partitions, start, end);
        for id in &unused {
            batch.delete(Family::Series, keys::series(*id));
        }
        self.engine
            .write(batch, Durability::Synced)
            .map_err(engine_error("dropping old series"))?;
        let mut index = writing(&self.index);
        for id in &unused {
            index.remove(SeriesId(*id));
        }
        drop(index);
        if !unused.is_empty() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        let mut partitions = writing(&self.partitions);
        *partitions = partitions.split_off(&keep);
        Ok(Retained {
            partitions: dropped.len() as u64,
            series: unused.len() as u64,
        })
    }

    /// The series that have a sample neither in a partition that is kept nor in the head, and whose
    /// rows are on disk.
    fn unused_series(&self, keep: u32) -> Vec<u32> {
        let mut used = RoaringBitmap::new();
        let index = reading(&self.index);
        used.extend(locked(&self.staged).series.iter().map(|(id, ..)| id.0));
        let heads = reading(&self.heads);
        used |= &heads.active.ids;
        if let Some(frozen) = &heads.frozen {
            used |= &frozen.ids;
        }
        for (_, ids) in reading(&self.partitions).range(keep..) {
            used |= ids;
        }
        (index.ids() - used).iter().collect()
    }
}
