//! Forgetting: whole days go at once, the samples before their roll-ups.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use roaring::RoaringBitmap;
use series::Timestamp;

use crate::engine::{Batch, Durability, Family};
use crate::open::engine_error;
use crate::runs::Day;
use crate::{Error, SeriesId, Store, keys, locked, reading, windows, writing};

/// What retention dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Days whose samples were dropped.
    pub days: u64,
    /// Days whose roll-ups were dropped too.
    pub days_of_windows: u64,
    /// Series that had nothing left.
    pub series: u64,
}

impl Store {
    /// Drops the samples of every day that ended before `oldest`, the roll-ups of every day that ended
    /// before `oldest_windows`, and the series that have nothing left.
    ///
    /// # Errors
    /// When the engine fails; what was dropped until then stays dropped, and the next call goes on.
    pub fn retain(&self, oldest: Timestamp, oldest_windows: Timestamp) -> Result<Retained, Error> {
        let keep = keys::partition_of(oldest.as_millis());
        let keep_windows = keys::partition_of(oldest_windows.min(oldest).as_millis());
        let mut retained = Retained::default();
        let days: Vec<(u32, Arc<Day>)> = reading(&self.days)
            .range(..keep)
            .filter(|(number, day)| !day.only_windows || **number < keep_windows)
            .map(|(number, day)| (*number, Arc::clone(day)))
            .collect();
        for (partition, day) in days {
            if partition >= keep_windows {
                // The windows outlive the samples, so all samples must be in them.
                let _no_flush = locked(&self.flushing);
                self.compact_day(partition)?;
                self.drop_samples(partition)?;
                retained.days += 1;
            } else {
                retained.days += u64::from(!day.only_windows);
                retained.days_of_windows += 1;
            }
        }
        if retained.days_of_windows > 0 {
            retained.series = self.drop_days(keep_windows)?;
        }
        Ok(retained)
    }

    fn drop_samples(&self, partition: u32) -> Result<(), Error> {
        let _no_merge = locked(&self.compacting);
        let _one_change = locked(&self.changing_days);
        let Some(before) = reading(&self.days).get(&partition).cloned() else {
            return Ok(());
        };
        let day = Day {
            only_windows: true,
            ..(*before).clone()
        };
        let mut batch = Batch::default();
        batch.put(Family::Days, keys::partition(partition), day.encode());
        self.engine
            .write(batch, Durability::Synced)
            .map_err(engine_error("dropping the samples of a day"))?;
        writing(&self.days).insert(partition, Arc::new(day));
        let (start, end) = (keys::partition(partition), keys::partition(partition + 1));
        self.engine
            .drop_ingested(Family::Runs, &start, &end)
            .map_err(engine_error("dropping the samples of a day"))
    }

    /// Drops all days before one, with all they have; gives the number of series that went.
    fn drop_days(&self, keep: u32) -> Result<u64, Error> {
        let _one_at_a_time = locked(&self.compacting);
        let dropping = || engine_error("dropping old days");
        let (start, end) = (keys::partition(0), keys::partition(keep));
        self.engine
            .drop_ingested(Family::Runs, &start, &end)
            .map_err(dropping())?;
        for (_, code) in windows::KEPT {
            let (start, end) = (keys::windows_of(code, 0), keys::windows_of(code, keep));
            self.engine
                .drop_ingested(Family::Windows, &start, &end)
                .map_err(dropping())?;
        }
        // No commit may bring a series back between the look and its removal from disk and index.
        let _no_commits = locked(&self.journal);
        let _one_change = locked(&self.changing_days);
        let unused = self.unused_series(keep);
        // The days go last: as long as they are there, a crash leaves the work to the next call.
        let mut batch = Batch::default();
        batch.delete_range(Family::Days, start, end);
        for id in &unused {
            batch.delete(Family::Series, keys::series(id));
        }
        let gone = writing(&self.groups).remove(&unused);
        for group in gone {
            batch.delete(Family::Groups, keys::group(group));
        }
        self.engine
            .write(batch, Durability::Synced)
            .map_err(dropping())?;
        let mut index = writing(&self.index);
        for id in &unused {
            index.remove(SeriesId(id));
        }
        drop(index);
        if !unused.is_empty() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        let mut days = writing(&self.days);
        *days = days.split_off(&keep);
        Ok(unused.len())
    }

    /// The series that have a sample neither in a day that is kept nor in the head, and whose rows are
    /// on disk.
    fn unused_series(&self, keep: u32) -> RoaringBitmap {
        let mut used = RoaringBitmap::new();
        let index = reading(&self.index);
        used.extend(locked(&self.staged).series.iter().map(|id| id.0));
        let groups = reading(&self.groups);
        let heads = reading(&self.heads);
        used |= heads.active.series(&groups);
        if let Some(frozen) = &heads.frozen {
            used |= frozen.series(&groups);
        }
        for (_, day) in reading(&self.days).range(keep..) {
            used |= &day.series;
        }
        (index.hot() | index.cold()) - used
    }
}
