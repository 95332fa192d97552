//! Small runs become large ones, packed as small as can be.

mod unite;

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::unite::{Part, unite};
use crate::engine::{Batch, Durability, EngineError, Family};
use crate::flush::{DENSE_ROWS, Flushed, PART_ROWS, RunWriter};
use crate::groups::GroupId;
use crate::open::engine_error;
use crate::runs::{Day, Run};
use crate::{Error, Store, keys, locked, reading, windows, writing};

/// Small runs are merged when together they have so many rows,
const MERGE_ROWS: u64 = 2 * DENSE_ROWS;
/// or when there are so many of them, since each costs a read.
const MERGE_RUNS: usize = 20;
/// A day that so many flushes have not touched is done with: all that is small in it is merged.
const QUIET_FLUSHES: u32 = 3;

/// What compactions did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Runs that were merged.
    pub runs: u64,
    /// Samples in the runs that were written.
    pub samples: u64,
    /// Bytes of the runs that were merged.
    pub bytes_before: u64,
    /// Bytes of the runs that were written.
    pub bytes_after: u64,
    /// Runs that were left as they are because some of their chunks cannot be read.
    pub damaged: u64,
}

/// What compactions leave behind.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Runs that nothing names any more, each with the day that named it last: a reader may hold that.
    merged: Vec<(u32, Arc<Day>, Vec<Run>)>,
    /// Runs with chunks that cannot be read, by day: they stay as they are.
    damaged: HashSet<(u32, Run)>,
}

/// Which runs of a day are merged next: they follow one another. `finally` when nothing more is
/// expected of the day.
fn pick(runs: &[Run], finally: bool, is_damaged: impl Fn(&Run) -> bool) -> Option<Range<usize>> {
    let is_small = |run: &Run| (!run.has_windows || run.rows() < DENSE_ROWS) && !is_damaged(run);
    let mut start = 0;
    while let Some(rest) = runs.get(start..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().take_while(|run| is_small(run)).count();
        let stretch = rest.get(..length).unwrap_or_default();
        let rows: u64 = stretch.iter().map(Run::rows).sum();
        let unpacked = stretch.iter().any(|run| !run.has_windows);
        let due = rows >= MERGE_ROWS || length >= MERGE_RUNS;
        if (length > 1 && (due || finally)) || (finally && unpacked) {
            return Some(start..start + length);
        }
        start += length + 1;
    }
    // What came late lies beside what was there.
    let late = |later: usize| {
        let begins = runs.get(later)?.first_millis;
        let overlaps = |run: &Run| run.last_millis.saturating_sub(begins) > OVERLAP_MILLIS;
        let earlier = runs.get(..later)?.iter().position(overlaps)?;
        let range = earlier..later + 1;
        (!runs.get(range.clone())?.iter().any(&is_damaged)).then_some(range)
    };
    finally.then(|| (1..runs.len()).rev().find_map(late))?
}

/// Runs that follow one another overlap by less than this: not all targets are read at once.
const OVERLAP_MILLIS: i64 = 15 * 60 * 1000;

impl Store {
    /// Merges small runs where it is due; one day's at a time, so that a caller can stop between.
    /// Reading goes on meanwhile. Call it after each flush, until it has merged nothing.
    ///
    /// # Errors
    /// When the engine fails; then nothing has changed, and it may be tried again.
    pub fn compact(&self) -> Result<Compacted, Error> {
        let flushes = self.flushes.load(Ordering::Acquire);
        let days: Vec<(u32, Arc<Day>)> = {
            let days = reading(&self.days);
            days.iter()
                .map(|(at, day)| (*at, Arc::clone(day)))
                .collect()
        };
        for (partition, day) in days.into_iter().rev().filter(|(_, day)| !day.only_windows) {
            let newest = day.runs.iter().map(|run| run.number).max().unwrap_or(0);
            let finally = flushes.saturating_sub(newest) >= QUIET_FLUSHES;
            let compacted = self.compact_once(partition, finally)?;
            if compacted.runs > 0 || compacted.damaged > 0 {
                return Ok(compacted);
            }
        }
        self.collect_garbage()?;
        Ok(Compacted::default())
    }

    /// Merges all that is small, whether it is due or not.
    ///
    /// # Errors
    /// As [`Store::compact`].
    pub fn compact_all(&self) -> Result<Compacted, Error> {
        let days: Vec<u32> = reading(&self.days).keys().copied().collect();
        let mut all = Compacted::default();
        for partition in days {
            let compacted = self.compact_day(partition)?;
            all.runs += compacted.runs;
            all.samples += compacted.samples;
            all.bytes_before += compacted.bytes_before;
            all.bytes_after += compacted.bytes_after;
            all.damaged += compacted.damaged;
        }
        self.collect_garbage()?;
        Ok(all)
    }

    /// Merges all that is small in one day.
    pub(crate) fn compact_day(&self, partition: u32) -> Result<Compacted, Error> {
        let mut all = Compacted::default();
        loop {
            let once = self.compact_once(partition, true)?;
            all.damaged += once.damaged;
            if once.runs == 0 && once.damaged == 0 {
                return Ok(all);
            }
            all.runs += once.runs;
            all.samples += once.samples;
            all.bytes_before += once.bytes_before;
            all.bytes_after += once.bytes_after;
        }
    }

    fn compact_once(&self, partition: u32, finally: bool) -> Result<Compacted, Error> {
        let mut leftovers = locked(&self.compacting);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let Some(day) = reading(&self.days).get(&partition).cloned() else {
            return Ok(Compacted::default());
        };
        let is_damaged = |run: &Run| leftovers.damaged.contains(&(partition, *run));
        let picked = pick(&day.runs, finally, is_damaged);
        let Some(range) = picked.filter(|_| !day.only_windows) else {
            return Ok(Compacted::default());
        };
        let merged = day.runs.get(range).unwrap_or_default();
        let compacting = || engine_error("compacting");
        let number = merged.iter().map(|run| run.number).max().unwrap_or(0);
        let level = merged.iter().map(|run| run.level).max().unwrap_or(0);
        let Some(level) = level.checked_add(1) else {
            return Ok(Compacted::default());
        };
        let mut writer =
            RunWriter::begin(&*self.engine, partition, number, level).map_err(compacting())?;
        let mut compacted = Compacted {
            runs: merged.len() as u64,
            bytes_before: merged.iter().map(|run| run.bytes).sum(),
            ..Compacted::default()
        };
        let groups: Vec<(GroupId, usize)> = {
            let groups = reading(&self.groups);
            let width = |id| groups.members(id).map_or(0, |members| members.series.len());
            groups.ids().map(|id| (id, width(id))).collect()
        };
        for run in merged {
            if self
                .has_unreadable_group(partition, run)
                .map_err(compacting())?
            {
                compacted.damaged += 1;
                leftovers.damaged.insert((partition, *run));
            }
        }
        for (group, width) in groups {
            let mut parts: Vec<Part> = Vec::new();
            for run in merged {
                let whole = self.whole_chunks(partition, run, group, width, &mut parts);
                if !whole.map_err(compacting())? {
                    compacted.damaged += 1;
                    leftovers.damaged.insert((partition, *run));
                }
            }
            let (times, columns) = unite(parts, width);
            writer.put(group, &times, &columns).map_err(compacting())?;
        }
        if compacted.damaged > 0 {
            // What can be read of them is answered as before; nothing unreadable is dropped. The other
            // runs may be merged next.
            return Ok(Compacted {
                damaged: compacted.damaged,
                ..Compacted::default()
            });
        }
        let mut flushed = Flushed::default();
        let run = writer.finish(&mut flushed).map_err(compacting())?;
        compacted.samples = run.samples;
        compacted.bytes_after = run.bytes;
        let merged = merged.to_vec();
        self.replace(partition, &merged, run)?;
        leftovers.merged.push((partition, day, merged));
        self.counters
            .compacted_samples
            .fetch_add(run.samples, Ordering::Relaxed);
        self.collect(&mut leftovers)?;
        Ok(compacted)
    }

    /// Whether a run has chunks of a group whose row cannot be read: a merged run would not have them.
    fn has_unreadable_group(&self, partition: u32, run: &Run) -> Result<bool, EngineError> {
        for group in reading(&self.groups).unreadable().to_vec() {
            let key = keys::chunk(partition, run.number, run.level, group, 0);
            if self.engine.read_once(Family::Runs, &key, &mut |_| {})? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds all that one run has of a group; `false` if some of it cannot be read.
    fn whole_chunks(
        &self,
        partition: u32,
        run: &Run,
        group: GroupId,
        width: usize,
        parts: &mut Vec<Part>,
    ) -> Result<bool, EngineError> {
        let mut whole = true;
        for part in 0..=u16::MAX {
            let key = keys::chunk(partition, run.number, run.level, group, part);
            let mut rows = 0;
            let taken = &mut |record: &[u8]| match Part::read(&key, record, width) {
                Ok(read) => {
                    rows = read.times.len();
                    parts.push(read);
                }
                Err(_problem) => whole = false,
            };
            let found = self.engine.read_once(Family::Runs, &key, taken)?;
            if !found || rows < PART_ROWS {
                break;
            }
        }
        Ok(whole)
    }

    /// Puts a run in the place of those it was merged from.
    fn replace(&self, partition: u32, merged: &[Run], run: Run) -> Result<(), Error> {
        let _one_change = locked(&self.changing_days);
        let Some(now) = reading(&self.days).get(&partition).cloned() else {
            return Ok(());
        };
        let mut day = (*now).clone();
        day.runs.retain(|it| !merged.contains(it));
        let at = day.runs.partition_point(|it| it.number < run.number);
        day.runs.insert(at, run);
        let mut batch = Batch::default();
        batch.put(Family::Days, keys::partition(partition), day.encode());
        self.engine
            .write(batch, Durability::Synced)
            .map_err(engine_error("compacting"))?;
        writing(&self.days).insert(partition, Arc::new(day));
        Ok(())
    }

    /// Drops runs that were merged and that no reader holds any more.
    fn collect_garbage(&self) -> Result<(), Error> {
        let mut leftovers = locked(&self.compacting);
        self.collect(&mut leftovers)
    }

    fn collect(&self, leftovers: &mut Leftovers) -> Result<(), Error> {
        let mut kept = Vec::new();
        for (partition, day, runs) in std::mem::take(&mut leftovers.merged) {
            if Arc::strong_count(&day) > 1 {
                kept.push((partition, day, runs));
                continue;
            }
            for run in &runs {
                self.drop_run(partition, run.number, run.level)?;
            }
        }
        leftovers.merged = kept;
        Ok(())
    }

    fn drop_run(&self, partition: u32, number: u32, level: u8) -> Result<(), Error> {
        let dropping = || engine_error("dropping runs that were merged");
        let (start, end) = (
            keys::run(partition, number, level),
            keys::run_end(partition, number, level),
        );
        self.engine
            .drop_ingested(Family::Runs, &start, &end)
            .map_err(dropping())?;
        for (_, code) in windows::KEPT {
            let of = |key: &[u8]| [&[code], key].concat();
            self.engine
                .drop_ingested(Family::Windows, &of(&start), &of(&end))
                .map_err(dropping())?;
        }
        Ok(())
    }

    /// Drops what a crash left behind: runs that were written and never named, or merged and not yet
    /// dropped. What runs a day has whose row was set aside cannot be told, so they all stay.
    pub(crate) fn sweep(&self) -> Result<(), Error> {
        let mut kept: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let start = keys::state(keys::SET_ASIDE, &[]);
        let visit = &mut |key: &[u8], _: &[u8]| {
            if let Some(Ok(partition)) = key.get(1..).map(<[u8; 4]>::try_from) {
                let end = u32::from_be_bytes(partition).checked_add(1);
                let end = end.map_or_else(|| vec![0xff; 16], keys::partition);
                kept.push((partition.to_vec(), end));
            }
            ControlFlow::Continue(())
        };
        self.engine
            .scan(Family::State, &start, &[keys::SET_ASIDE + 1], visit)
            .map_err(engine_error("dropping what a crash left behind"))?;
        for (partition, day) in reading(&self.days).iter() {
            kept.extend(day.runs.iter().map(|run| {
                let start = keys::run(*partition, run.number, run.level);
                (start, keys::run_end(*partition, run.number, run.level))
            }));
        }
        kept.sort_unstable();
        self.sweep_between(Family::Runs, &[], &kept)?;
        for (_, code) in windows::KEPT {
            self.sweep_between(Family::Windows, &[code], &kept)?;
        }
        Ok(())
    }

    /// Drops what lies between ranges of keys that are kept.
    fn sweep_between(
        &self,
        family: Family,
        prefix: &[u8],
        kept: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), Error> {
        let mut from = Vec::new();
        let last = (vec![0xff; 16], Vec::new());
        for (start, end) in kept.iter().chain([&last]) {
            // A run may lie in a day that is kept as a whole.
            if *start > from {
                let (from, start) = ([prefix, &from].concat(), [prefix, start].concat());
                self.engine
                    .drop_ingested(family, &from, &start)
                    .map_err(engine_error("dropping what a crash left behind"))?;
            }
            from = from.max(end.clone());
        }
        Ok(())
    }
}
