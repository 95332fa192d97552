//! The head becomes a run of chunks.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use codec::Effort;
use roaring::RoaringBitmap;
use series::limits::BLOCK_ROWS_MAX;
use series::{Column, Values};

use crate::engine::{Batch, Durability, Engine, EngineError, Family, Ingest};
use crate::groups::GroupId;
use crate::head::{Head, HeadGroup};
use crate::open::engine_error;
use crate::runs::{Day, Run};
use crate::{Error, Store, chunk, keys, locked, reading, windows, writing};

/// Columns of so many rows are packed for good at once; shorter ones are packed quickly and wait for
/// a compaction.
pub(crate) const DENSE_ROWS: u64 = 480;

/// Most rows of one chunk: what is decoded for any of them.
pub(crate) const PART_ROWS: usize = 2048;

const _: () = assert!(PART_ROWS <= BLOCK_ROWS_MAX);

/// A group whose rows that share few of their times are more than this is let go.
const SPARSE_ROWS_MIN: usize = 16;

/// What a flush wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Chunks.
    pub chunks: u64,
    /// Their samples.
    pub samples: u64,
    /// Bytes of chunks with their keys.
    pub bytes: u64,
    /// Samples that are not in them, because their days' samples were dropped while they waited.
    pub past_retention: u64,
}

impl Store {
    /// Writes the head as chunks and drops the journal behind it: a crash leaves either the journal or
    /// the chunks or both, which reads the same. Commits go on meanwhile.
    ///
    /// # Errors
    /// When writing chunks failed, which can be tried again; or when the journal could not be dropped:
    /// then the store takes nothing more until it is opened again.
    pub fn flush(&self) -> Result<Flushed, Error> {
        let _one_at_a_time = locked(&self.flushing);
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Error::Poisoned);
        }
        let Some(frozen) = self.freeze() else {
            return Ok(Flushed::default());
        };
        let number = self.flushes.load(Ordering::Acquire).saturating_add(1);
        let mut ids: Vec<GroupId> = frozen.groups.keys().copied().collect();
        ids.sort_unstable();
        let mut flushed = Flushed::default();
        let mut written = Vec::new();
        for partition in days_of(&frozen) {
            let day = reading(&self.days).get(&partition).cloned();
            if day.is_some_and(|day| day.only_windows) {
                let range = keys::range_of(partition);
                let groups = frozen.groups.values();
                flushed.past_retention += groups.map(|group| group.samples_in(range)).sum::<u64>();
                continue;
            }
            if let Some((run, series)) =
                self.write_day(partition, number, &frozen, &ids, &mut flushed)?
            {
                written.push((partition, run, series));
            }
        }
        let end = frozen.position_end;
        let mut batch = Batch::default();
        batch.put(Family::Meta, keys::FLUSHED, end.to_be_bytes());
        batch.put(Family::Meta, keys::FLUSHES, u64::from(number).to_be_bytes());
        batch.delete_range(Family::Journal, keys::journal(0), keys::journal(end));
        self.add_runs(batch, written)?;
        self.flushes.store(number, Ordering::Release);
        self.retire_sparse(&frozen);
        writing(&self.heads).frozen = None;
        drop(frozen);
        self.set_temperature()?;
        self.engine
            .settle()
            .map_err(engine_error("settling the log"))?;
        Ok(flushed)
    }

    /// Sets the head aside for a flush. A head that an earlier flush set aside and did not finish
    /// comes first.
    fn freeze(&self) -> Option<Arc<Head>> {
        // The journal lock keeps commits away, so that the head ends at a known position.
        let _no_commits = locked(&self.journal);
        let mut heads = writing(&self.heads);
        if let Some(unfinished) = &heads.frozen {
            return Some(Arc::clone(unfinished));
        }
        if heads.active.groups.is_empty() {
            return None;
        }
        let position_end = heads.active.position_end;
        let next = Head {
            position_end,
            ..Head::default()
        };
        let frozen = Arc::new(std::mem::replace(&mut heads.active, next));
        heads.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// Writes what a head has of one day; `None` when that is nothing.
    fn write_day(
        &self,
        partition: u32,
        number: u32,
        head: &Head,
        ids: &[GroupId],
        flushed: &mut Flushed,
    ) -> Result<Option<(Run, RoaringBitmap)>, Error> {
        let range = keys::range_of(partition);
        let touching = || {
            let groups = ids
                .iter()
                .filter_map(|id| Some((*id, head.groups.get(id)?)));
            groups.filter(|(_, group)| group.rows_in(range) > 0)
        };
        let sizes = touching().map(|(_, group)| (group.rows_in(range), group.width()));
        let (cells, columns) = sizes.fold((0, 0), |(cells, columns), (rows, width)| {
            (cells + rows * width, columns + width)
        });
        if columns == 0 {
            return Ok(None);
        }
        let level = u8::from((cells / columns) as u64 >= DENSE_ROWS);
        let writing = || engine_error("writing chunks");
        let mut writer =
            RunWriter::begin(&*self.engine, partition, number, level).map_err(writing())?;
        let mut series = RoaringBitmap::new();
        for (id, group) in touching() {
            let matrix = group.matrix(range);
            let rows = matrix.rows_in(range);
            let columns: Vec<Column> = (0..matrix.width())
                .map(|column| matrix.column(column, rows.clone()))
                .collect();
            if let Some(members) = reading(&self.groups).members(id) {
                let pairs = columns.iter().zip(&members.series);
                let used = pairs.filter(|(column, _)| !column.values.is_empty());
                series.extend(used.map(|(_, id)| id.0));
            }
            let times = matrix.times.get(rows).unwrap_or_default();
            writer.put(id, times, &columns).map_err(writing())?;
        }
        let run = writer.finish(flushed).map_err(writing())?;
        Ok(Some((run, series)))
    }

    /// Adds runs to their days, in one write with `batch`.
    fn add_runs(
        &self,
        mut batch: Batch,
        written: Vec<(u32, Run, RoaringBitmap)>,
    ) -> Result<(), Error> {
        let _one_change = locked(&self.changing_days);
        let mut changed = Vec::with_capacity(written.len());
        for (partition, run, series) in written {
            let before = reading(&self.days).get(&partition).cloned();
            let mut day = before.map_or_else(Day::default, |day| (*day).clone());
            // A flush that was cut short and done again writes the same run.
            day.runs.retain(|it| it.number != run.number);
            day.runs.push(run);
            day.series |= series;
            batch.put(Family::Days, keys::partition(partition), day.encode());
            changed.push((partition, Arc::new(day)));
        }
        if let Err(error) = self.engine.write(batch, Durability::Synced) {
            self.poisoned.store(true, Ordering::Release);
            return Err(engine_error("dropping the journal")(error));
        }
        writing(&self.days).extend(changed);
        Ok(())
    }

    /// Lets go of groups whose series turned out to share few of their times.
    fn retire_sparse(&self, head: &Head) {
        let mut groups = writing(&self.groups);
        for (id, group) in &head.groups {
            if group.rows() >= SPARSE_ROWS_MIN && group.is_sparse() {
                groups.retire(*id);
            }
        }
    }
}

/// The days that a head has samples of, ascending: those between two samples may be millions.
fn days_of(head: &Head) -> BTreeSet<u32> {
    let mut days = BTreeSet::new();
    let mut last = None;
    for time in head.groups.values().flat_map(HeadGroup::times) {
        let day = keys::partition_of(time);
        if last.replace(day) != Some(day) {
            days.insert(day);
        }
    }
    days
}

/// Writes the chunks of one run, and, when they are packed for good, their windows.
pub(crate) struct RunWriter<'a> {
    partition: u32,
    run: Run,
    chunks: Box<dyn Ingest + 'a>,
    windows: Option<windows::Writer<'a>>,
    count: u64,
}

impl<'a> RunWriter<'a> {
    /// Begins a run. One of level 0 is packed quickly.
    pub(crate) fn begin(
        engine: &'a dyn Engine,
        partition: u32,
        number: u32,
        level: u8,
    ) -> Result<Self, EngineError> {
        let windows = (level > 0).then(|| windows::Writer::begin(engine, partition, number, level));
        Ok(Self {
            partition,
            run: Run {
                number,
                level,
                has_windows: level > 0,
                first_millis: i64::MAX,
                last_millis: i64::MIN,
                ..Run::default()
            },
            chunks: engine.ingest(Family::Runs)?,
            windows: windows.transpose()?,
            count: 0,
        })
    }

    /// Adds the rows of a group. Groups come in ascending order.
    pub(crate) fn put(
        &mut self,
        group: GroupId,
        times: &[i64],
        columns: &[Column],
    ) -> Result<(), EngineError> {
        if times.is_empty() {
            return Ok(());
        }
        let effort = if self.run.level == 0 {
            Effort::Quick
        } else {
            Effort::Dense
        };
        if let Some(windows) = &mut self.windows {
            windows.put(group, times, columns)?;
        }
        for (part, start) in (0..times.len()).step_by(PART_ROWS).enumerate() {
            let rows = start..times.len().min(start + PART_ROWS);
            let part_times = times.get(rows.clone()).unwrap_or_default();
            let cut;
            let part_columns = if rows.len() == times.len() {
                columns
            } else {
                cut = columns
                    .iter()
                    .map(|column| cut_column(column, times.len(), rows.clone()))
                    .collect::<Vec<Column>>();
                &cut
            };
            // 65,536 parts of 2,048 rows: more rows than a day has milliseconds.
            let part = u16::try_from(part).unwrap_or(u16::MAX);
            let run = &mut self.run;
            let key = keys::chunk(self.partition, run.number, run.level, group, part);
            let record = chunk::encode(&key, part_times, part_columns, effort);
            self.chunks.put(&key, &record)?;
            self.count += 1;
            run.bytes += (key.len() + record.len()) as u64;
        }
        let used = columns.iter().filter(|column| !column.values.is_empty());
        for column in used {
            self.run.columns += 1;
            self.run.samples += column.values.len() as u64;
        }
        let (first, last) = (times.first(), times.last());
        self.run.first_millis = self
            .run
            .first_millis
            .min(first.copied().unwrap_or(i64::MAX));
        self.run.last_millis = self.run.last_millis.max(last.copied().unwrap_or(i64::MIN));
        Ok(())
    }

    /// Makes the run durable.
    pub(crate) fn finish(self, flushed: &mut Flushed) -> Result<Run, EngineError> {
        if let Some(windows) = self.windows {
            windows.finish()?;
        }
        self.chunks.finish()?;
        flushed.chunks += self.count;
        flushed.samples += self.run.samples;
        flushed.bytes += self.run.bytes;
        Ok(self.run)
    }
}

/// Some rows of a column of `count` rows.
fn cut_column(column: &Column, count: usize, rows: Range<usize>) -> Column {
    let series::Rows::Some(_) = column.rows else {
        return Column {
            rows: series::Rows::All,
            values: Values::from_slice(column.values.get(rows).unwrap_or_default()),
        };
    };
    let before = column.rows.iter(rows.start.min(count)).count();
    let flags: Vec<bool> = rows.map(|row| column.rows.has(row)).collect();
    let has = flags.iter().filter(|has| **has).count();
    let values = column.values.get(before..before + has).unwrap_or_default();
    Column {
        rows: series::Rows::from_flags(&flags),
        values: Values::from_slice(values),
    }
}
