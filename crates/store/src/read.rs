//! Reading: the samples of a selector in a time range, from head and chunks, group by group.

mod ahead;
mod chunks;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use roaring::RoaringBitmap;
use series::{Floats, Labels, Matcher, Rows, TimeRange};

use crate::cold::{self, Matching};
use crate::groups::GroupId;
use crate::head::{self, Head, Piece};
use crate::runs::Day;
use crate::{Error, SeriesId, Store, keys, reading};
pub(crate) use ahead::Spare;
use chunks::Found;

/// Watches a read and may end it.
pub trait Meter: Sync {
    /// So many series will be read. `false` ends the read with [`Error::Stopped`].
    fn series(&self, count: u64) -> bool;
    /// So many samples will be decoded next. `false` ends the read with [`Error::Stopped`].
    fn samples(&self, count: u64) -> bool;
    /// Something will be read that is not in our memory, which may take as long as a disk takes. `false`
    /// ends the read with [`Error::Stopped`].
    fn disk(&self) -> bool {
        true
    }
}

/// One series that was found. Series of one target share their times.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Milliseconds since the Unix epoch, strictly ascending, inside the range.
    pub times: Arc<[i64]>,
    /// As many values as times.
    pub values: Floats,
}

/// What a selector found.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Series with at least one sample in the range, in order of id.
    pub series: Vec<Selected>,
    /// Chunks that could not be read, each by where it lies and what is wrong. The rest is there.
    pub damaged: Vec<String>,
}

/// A series that was read: its id, times and values.
pub(crate) type Read = (SeriesId, Arc<[i64]>, Floats);

/// Series of one group, by column.
pub(crate) type Columns = [(u16, SeriesId)];

/// What the heads and days held at one moment, of some groups.
pub(crate) struct Snapshot {
    /// For each group the pieces of the columns asked for.
    active: HashMap<GroupId, Vec<Vec<Piece>>, FixedState>,
    /// First time of each group in the active head.
    active_first: HashMap<GroupId, i64, FixedState>,
    frozen: Option<Arc<Head>>,
    pub(crate) days: Vec<(u32, Arc<Day>)>,
}

impl Snapshot {
    /// The first time in the heads that a group has in a range, or a time before; the end of time if it
    /// has none there.
    pub(crate) fn first_in_heads(&self, group: GroupId, range: TimeRange) -> i64 {
        let frozen = self
            .frozen
            .as_ref()
            .and_then(|head| head.groups.get(&group));
        let frozen = frozen
            .filter(|it| it.rows_in(range) > 0)
            .and_then(|it| it.span())
            .map_or(i64::MAX, |(first, _)| first);
        let active = self.active_first.get(&group).copied();
        frozen.min(active.unwrap_or(i64::MAX))
    }
}

/// Times that were joined, by the addresses of the time columns they were joined from.
type Joined = HashMap<Vec<u64>, (usize, Arc<[i64]>), FixedState>;

/// Times and values of one series.
type Joint = (Arc<[i64]>, Floats);

impl Store {
    /// Bounds the memory for columns that reads have unpacked; 0 keeps none.
    pub fn set_column_cache_bytes(&self, bytes: u64) {
        self.columns.set_bytes_max(bytes);
    }

    /// The samples inside `range` of all series that pass every matcher.
    ///
    /// # Errors
    /// When `meter` ends the read. A chunk that cannot be read is no error: it is left out and said in
    /// the selection.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        meter: &dyn Meter,
    ) -> Result<Selection, Error> {
        let mut series = Vec::new();
        let damaged = self.select_each(matchers, range, meter, &mut |selected| {
            series.push(selected);
            Ok(())
        })?;
        Ok(Selection { series, damaged })
    }

    /// Hands those series to `each`, group after group; what it does not keep is let go before the next
    /// group is read. Gives what could not be read.
    ///
    /// # Errors
    /// As [`Store::select`], and what `each` gives.
    pub fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        meter: &dyn Meter,
        each: &mut dyn FnMut(Selected) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        let Matching {
            ids,
            cold,
            mut damaged,
        } = self.matching(&[matchers], range, &|| meter.disk())?;
        if !meter.series(ids.len()) {
            return Err(Error::Stopped);
        }
        let wanted = reading(&self.groups).groups_of(ids.iter().map(SeriesId));
        let snapshot = self.snapshot(&wanted, range);
        // What may be in more than one place waits until all is read.
        let moved = moved(&wanted);
        let old: HashSet<&Labels, FixedState> =
            cold.values().map(|(labels, _)| &**labels).collect();
        let mut waiting: Vec<Read> = Vec::new();
        let read = |group: GroupId, columns: &Columns| {
            let mut damaged = Vec::new();
            let found = self.read_group(&snapshot, (group, columns), range, meter, &mut damaged);
            (found, damaged)
        };
        self.each_group(&wanted, &read, &mut damaged, &mut |found| {
            for read in found {
                let Some(labels) = self.labels_of(read.0, &cold) else {
                    continue;
                };
                if moved.contains(&read.0) || old.contains(&*labels) {
                    waiting.push(read);
                    continue;
                }
                let (_, times, values) = read;
                each(Selected {
                    labels,
                    times,
                    values,
                })?;
            }
            Ok(())
        })?;
        // A series that moved from one group to another was read from each, the earlier one first.
        waiting.sort_by_key(|(id, ..)| *id);
        let parts = waiting.chunk_by(|a, b| a.0 == b.0);
        let named = parts
            .filter_map(join_groups)
            .filter_map(|(id, times, values)| {
                let labels = self.labels_of(id, &cold)?;
                Some(Selected {
                    labels,
                    times,
                    values,
                })
            });
        let series = cold::join_same(named.collect());
        series.into_iter().try_for_each(each)?;
        Ok(damaged)
    }

    /// The series that have something in a day that `range` touches, or in a head.
    pub(crate) fn present(&self, range: TimeRange) -> RoaringBitmap {
        // Heads before days: a flush moves samples from the one to the other, and what is seen twice
        // does no harm, while what is missed is gone.
        let mut present = {
            let groups = reading(&self.groups);
            let heads = reading(&self.heads);
            let frozen = heads.frozen.as_ref().map(|head| head.series(&groups));
            heads.active.series(&groups) | frozen.unwrap_or_default()
        };
        for (_, day) in self.days_in(range) {
            present |= &day.series;
        }
        present
    }

    /// The days that `range` touches.
    pub(crate) fn days_in(&self, range: TimeRange) -> Vec<(u32, Arc<Day>)> {
        if range.is_empty() {
            return Vec::new();
        }
        let first = keys::partition_of(range.start_inclusive.as_millis());
        let last = keys::partition_of(range.end_inclusive.as_millis());
        reading(&self.days)
            .range(first..=last)
            .map(|(number, day)| (*number, Arc::clone(day)))
            .collect()
    }

    /// What there is of some groups now.
    pub(crate) fn snapshot(
        &self,
        wanted: &BTreeMap<GroupId, Vec<(u16, SeriesId)>>,
        range: TimeRange,
    ) -> Snapshot {
        let mut snapshot = Snapshot {
            active: HashMap::default(),
            active_first: HashMap::default(),
            frozen: None,
            days: Vec::new(),
        };
        for (group, columns) in wanted {
            // Locked for each group anew, so that commits are held up only for so long.
            let heads = reading(&self.heads);
            let Some(head) = heads.active.groups.get(group) else {
                continue;
            };
            if let Some((first, _)) = head.span() {
                snapshot.active_first.insert(*group, first);
            }
            let columns: Vec<u16> = columns.iter().map(|(column, _)| *column).collect();
            let pieces = head.pieces(&columns, range);
            snapshot.active.insert(*group, pieces);
        }
        // In this order, as samples move from the active to the frozen head and to the days.
        snapshot.frozen.clone_from(&reading(&self.heads).frozen);
        snapshot.days = self.days_in(range);
        snapshot
    }

    /// The samples inside `range`, which the snapshot was made for, of some series of one group.
    pub(crate) fn read_group(
        &self,
        snapshot: &Snapshot,
        (group, columns): (GroupId, &Columns),
        range: TimeRange,
        meter: &dyn Meter,
        damaged: &mut Vec<String>,
    ) -> Result<Vec<Read>, Error> {
        let mut pieces: Vec<Vec<Piece>> = vec![Vec::new(); columns.len()];
        for (partition, day) in &snapshot.days {
            if day.only_windows {
                continue;
            }
            for run in day.runs.iter().filter(|run| run.touches(range)) {
                let place = (*partition, run, group);
                let found = &mut Found {
                    pieces: &mut pieces,
                    damaged,
                };
                self.chunks(place, columns, range, meter, found)?;
            }
        }
        let frozen = snapshot.frozen.as_ref();
        let frozen = frozen.and_then(|head| head.groups.get(&group));
        let numbers = columns.iter().map(|(column, _)| *column);
        let frozen = frozen.map(|head| head.pieces(&numbers.collect::<Vec<u16>>(), range));
        let active = snapshot.active.get(&group).cloned();
        for head in [frozen, active].into_iter().flatten() {
            let values = head.iter().flatten().map(|piece| piece.values.len());
            if !meter.samples(values.sum::<usize>() as u64) {
                return Err(Error::Stopped);
            }
            for (pieces, more) in pieces.iter_mut().zip(head) {
                pieces.extend(more);
            }
        }
        let mut joined = Joined::default();
        let mut found = Vec::with_capacity(columns.len());
        for ((_, id), mut pieces) in columns.iter().zip(pieces) {
            pieces.retain(|piece| overlaps(piece, range));
            let read = if head::follow(&pieces) {
                join(&pieces, range, &mut joined)
            } else {
                let (times, values) = head::merge(&pieces);
                let (start, end) = cut(&times, range);
                (start < end).then(|| {
                    (
                        times[start..end].into(),
                        Floats::from(values[start..end].to_vec()),
                    )
                })
            };
            found.extend(read.map(|(times, values)| (*id, times, values)));
        }
        Ok(found)
    }
}

/// Joins pieces that follow one another; the joined times are made once for all series that have the
/// same.
fn join(pieces: &[Piece], range: TimeRange, joined: &mut Joined) -> Option<Joint> {
    // The pieces hold their time columns for as long as this read lasts, so an address names one
    // column. Series of a target have their gaps at the same times.
    let mut key: Vec<u64> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        key.push(piece.times.as_ptr().addr() as u64);
        if let Rows::Some(words) = &piece.rows {
            key.push(words.len() as u64);
            key.extend(words);
        }
    }
    let (start, times) = joined.entry(key).or_insert_with(|| {
        let mut all: Vec<i64> = Vec::new();
        for piece in pieces {
            match &piece.rows {
                Rows::All => all.extend_from_slice(&piece.times),
                rows => all.extend(rows.iter(piece.times.len()).map(|row| piece.times[row])),
            }
        }
        let (start, end) = cut(&all, range);
        (start, all.get(start..end).unwrap_or_default().into())
    });
    if times.is_empty() {
        return None;
    }
    let values = pieces.iter().map(|piece| piece.values.clone());
    let values = Floats::of_pieces(values.collect(), *start, times.len());
    Some((Arc::clone(times), values))
}

/// The series that are or were in more than one group.
pub(crate) fn moved(
    wanted: &BTreeMap<GroupId, Vec<(u16, SeriesId)>>,
) -> HashSet<SeriesId, FixedState> {
    let mut seen: HashSet<SeriesId, FixedState> = HashSet::default();
    let columns = wanted.values().flatten();
    columns
        .filter_map(|(_, id)| (!seen.insert(*id)).then_some(*id))
        .collect()
}

/// A series' samples of all the groups it was in, one after another.
pub(crate) fn join_groups(parts: &[Read]) -> Option<Read> {
    let (id, times, values) = parts.first()?;
    if parts.len() == 1 {
        return Some((*id, Arc::clone(times), values.clone()));
    }
    let pieces: Vec<Piece> = parts
        .iter()
        .map(|(_, times, values)| Piece {
            times: Arc::clone(times),
            rows: Rows::All,
            values: values.whole().into(),
        })
        .collect();
    let (times, values) = head::merge(&pieces);
    Some((*id, times.into(), values.into()))
}

fn overlaps(piece: &Piece, range: TimeRange) -> bool {
    touches(&piece.times, range)
}

fn touches(times: &[i64], range: TimeRange) -> bool {
    match (times.first(), times.last()) {
        (Some(&first), Some(&last)) => {
            first <= range.end_inclusive.as_millis() && last >= range.start_inclusive.as_millis()
        }
        _ => false,
    }
}

/// The indices of the first time inside the range and of the first after it.
fn cut(times: &[i64], range: TimeRange) -> (usize, usize) {
    let start = times.partition_point(|&time| time < range.start_inclusive.as_millis());
    let end = times.partition_point(|&time| time <= range.end_inclusive.as_millis());
    (start, end.max(start))
}
