//! Reading windows: kept ones where they hold all that there is, made from the samples elsewhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::FixedState;
use rollup::{Tier, Window};
use series::{Block, Labels, Matcher, TimeRange, Timestamp};

use super::{KEPT, decode, windows_of};
use crate::cold::{Cold, Matching};
use crate::engine::Family;
use crate::groups::GroupId;
use crate::read::{Columns, Read, Snapshot, join_groups, moved};
use crate::runs::{Day, Run};
use crate::{Error, Meter, SeriesId, Store, chunk, keys, reading};

/// The windows of one series.
#[derive(Clone, Debug)]
pub struct WindowSeries {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Each under the millisecond that it ends at, ascending.
    pub windows: Vec<(i64, Window)>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct FoundWindows {
    /// The series, each label set once.
    pub series: Vec<WindowSeries>,
    /// What could not be read and is not in them, each with its place.
    pub damaged: Vec<String>,
}

/// Where some windows come from.
enum Part {
    /// Kept windows, and whether their samples were dropped.
    Windows(Block, bool),
    /// The samples of a span.
    Samples(TimeRange),
}

/// Reads the windows of one tier.
struct Reader<'a> {
    store: &'a Store,
    snapshot: Snapshot,
    tier: Tier,
    meter: &'a dyn Meter,
    /// Series of more than one group: what is in both would count twice.
    moved: HashSet<SeriesId, FixedState>,
    /// Windows of each series, ascending.
    found: BTreeMap<SeriesId, Vec<(i64, Window)>>,
    damaged: Vec<String>,
}

impl Store {
    /// The first millisecond from which no day's samples were dropped before their windows.
    #[must_use]
    pub fn samples_from_millis(&self) -> i64 {
        let days = reading(&self.days);
        let dropped = days.iter().rev().find(|(_, day)| day.only_windows);
        dropped.map_or(i64::MIN, |(partition, _)| {
            let last = keys::range_of(*partition).end_inclusive.as_millis();
            last.saturating_add(1)
        })
    }

    /// The windows that end inside `range` of all series that pass every matcher. A window holds all
    /// samples of its width, whether or not these lie in the range.
    ///
    /// # Errors
    /// When the engine fails as a whole or `meter` ends the read. What cannot be read is no error: it
    /// is made anew from the samples, or left out and said.
    pub fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        meter: &dyn Meter,
    ) -> Result<FoundWindows, Error> {
        // The samples of a window lie before its end.
        let before = range
            .start_inclusive
            .as_millis()
            .saturating_sub(tier.millis());
        let first = Timestamp::from_millis(before.saturating_add(1));
        let range_of_samples = TimeRange::new(first, range.end_inclusive);
        let Matching { ids, cold, damaged } =
            self.matching(&[matchers], range_of_samples, &|| meter.disk())?;
        // Kept windows are on disk alone.
        if !meter.disk() {
            return Err(Error::Stopped);
        }
        if !meter.series(ids.len()) {
            return Err(Error::Stopped);
        }
        let wanted = reading(&self.groups).groups_of(ids.iter().map(SeriesId));
        let mut reader = Reader {
            store: self,
            snapshot: self.snapshot(&wanted, range_of_samples),
            tier,
            meter,
            moved: moved(&wanted),
            found: BTreeMap::new(),
            damaged,
        };
        let mut of_moved: Vec<Read> = Vec::new();
        for (group, columns) in &wanted {
            reader.group(*group, columns, range_of_samples)?;
            if columns.iter().any(|(_, id)| reader.moved.contains(id)) {
                let read = reader.samples(*group, columns, range_of_samples)?;
                of_moved.extend(
                    read.into_iter()
                        .filter(|(id, ..)| reader.moved.contains(id)),
                );
            }
        }
        of_moved.sort_by_key(|(id, ..)| *id);
        for parts in of_moved.chunk_by(|a, b| a.0 == b.0) {
            if let Some((id, times, values)) = join_groups(parts) {
                reader.add(id, rollup::roll(&times, &values.whole(), tier));
            }
        }
        Ok(reader.finish(&cold, range))
    }
}

impl Reader<'_> {
    fn add(&mut self, id: SeriesId, windows: Vec<(i64, Window)>) {
        let series = self.found.entry(id).or_default();
        for (end, window) in windows {
            // Most come in order.
            let at = match series.last() {
                Some((last, _)) if *last >= end => series.partition_point(|(it, _)| *it < end),
                _ => series.len(),
            };
            match series.get_mut(at) {
                Some((it, whole)) if *it == end => whole.merge(window),
                _ => series.insert(at, (end, window)),
            }
        }
    }

    fn samples(
        &mut self,
        group: GroupId,
        columns: &Columns,
        span: TimeRange,
    ) -> Result<Vec<Read>, Error> {
        let place = (group, columns);
        let damaged = &mut self.damaged;
        self.store
            .read_group(&self.snapshot, place, span, self.meter, damaged)
    }

    /// Adds the windows of the series of one group, samples of those that moved left out.
    fn group(&mut self, group: GroupId, columns: &Columns, range: TimeRange) -> Result<(), Error> {
        for part in self.parts(group, range) {
            match part {
                Part::Windows(block, samples_are_dropped) => {
                    let cells = block.times.len() * columns.len();
                    if !self.meter.samples(cells as u64) {
                        return Err(Error::Stopped);
                    }
                    for (column, id) in columns {
                        if samples_are_dropped || !self.moved.contains(id) {
                            self.add(*id, windows_of(&block, usize::from(*column)));
                        }
                    }
                }
                Part::Samples(span) => {
                    for (id, times, values) in self.samples(group, columns, span)? {
                        if !self.moved.contains(&id) {
                            self.add(id, rollup::roll(&times, &values.whole(), self.tier));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the windows of a group come from: spans of samples and kept windows that have no sample in
    /// common and together hold all of the range.
    fn parts(&mut self, group: GroupId, range: TimeRange) -> Vec<Part> {
        let Some((_, code)) = KEPT.iter().find(|(kept, _)| *kept == self.tier) else {
            return vec![Part::Samples(range)];
        };
        let mut parts = Vec::new();
        // All that lies before this is in `parts`.
        let mut from = range.start_inclusive;
        for (partition, day) in self.snapshot.days.clone() {
            let Some((last, blocks)) = self.kept((partition, &day), group, *code) else {
                continue;
            };
            // Between the days before and the first sample of these windows.
            let begins = keys::range_of(partition).start_inclusive.as_millis();
            let end = Timestamp::from_millis(begins.saturating_sub(1));
            if from <= end {
                parts.push(Part::Samples(TimeRange::new(from, end)));
            }
            let kept = blocks.into_iter();
            parts.extend(kept.map(|block| Part::Windows(block, day.only_windows)));
            from = Timestamp::from_millis(last.saturating_add(1));
        }
        if from <= range.end_inclusive {
            parts.push(Part::Samples(TimeRange::new(from, range.end_inclusive)));
        }
        parts
    }

    /// The kept windows of a group in one day, and the last sample in them: if no sample that is not
    /// in them lies before their end, and none is in two of them. Where the samples are dropped, all
    /// that can be read.
    fn kept(
        &mut self,
        (partition, day): (u32, &Day),
        group: GroupId,
        code: u8,
    ) -> Option<(i64, Vec<Block>)> {
        let mut spans: Vec<(i64, i64, Block)> = Vec::new();
        let mut others_from = self
            .snapshot
            .first_in_heads(group, keys::range_of(partition));
        for run in &day.runs {
            match self.record(partition, run, group, code) {
                Ok(record) if run.has_windows => spans.extend(record),
                Err(problem) if day.only_windows => {
                    let (tier, number) = (self.tier.name(), run.number);
                    self.damaged.push(format!(
                        "windows of {tier}, day {partition}, run {number}, group {group}: {problem}"
                    ));
                }
                Ok(_) if day.only_windows => {}
                Ok(_) => {
                    let first = self.first_of_chunk(partition, run, group)?;
                    others_from = others_from.min(first);
                }
                // Made anew from the samples.
                Err(_problem) => return None,
            }
        }
        spans.sort_unstable_by_key(|(first, ..)| *first);
        let last = spans.last()?.1;
        let apart = spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
        ((apart && last < others_from) || day.only_windows).then(|| {
            let blocks = spans.into_iter().map(|(_, _, block)| block);
            (last, blocks.collect())
        })
    }

    fn record(
        &self,
        partition: u32,
        run: &Run,
        group: GroupId,
        code: u8,
    ) -> Result<Option<(i64, i64, Block)>, String> {
        if !run.has_windows {
            return Ok(None);
        }
        let key = keys::windows(code, partition, run.number, run.level, group);
        let mut decoded = None;
        let engine = &self.store.engine;
        let read = engine.read(Family::Windows, &key, &mut |record| {
            decoded = Some(decode(&key, record));
        });
        read.map_err(|error| error.to_string())?;
        decoded.transpose().map_err(ToOwned::to_owned)
    }

    /// The first time of a group in a run; the end of time if it is not in it, `None` if that cannot
    /// be told.
    fn first_of_chunk(&self, partition: u32, run: &Run, group: GroupId) -> Option<i64> {
        let key = keys::chunk(partition, run.number, run.level, group, 0);
        let mut first = Some(i64::MAX);
        let engine = &self.store.engine;
        let found = engine.read(Family::Runs, &key, &mut |record| {
            first = chunk::Chunk::parse(&key, record)
                .ok()
                .map(|chunk| chunk.first_millis);
        });
        found.ok().and(first)
    }

    /// Puts names to what was found, and lets go of what ends outside of `range`.
    fn finish(self, cold: &Cold, range: TimeRange) -> FoundWindows {
        let mut series: Vec<WindowSeries> = Vec::with_capacity(self.found.len());
        let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
        for (id, mut windows) in self.found {
            windows.retain(|(end, _)| range.contains(Timestamp::from_millis(*end)));
            let labels = self.store.labels_of(id, cold);
            let Some(labels) = labels.filter(|_| !windows.is_empty()) else {
                continue;
            };
            // A label set that went cold and came again is two series.
            let place = *places.entry(Arc::clone(&labels)).or_insert(series.len());
            match series.get_mut(place) {
                None => series.push(WindowSeries { labels, windows }),
                Some(before) => {
                    before.windows.extend(windows);
                    before.windows.sort_by_key(|(end, _)| *end);
                    before.windows = rollup::merge(&before.windows, self.tier);
                }
            }
        }
        FoundWindows {
            series,
            damaged: self.damaged,
        }
    }
}
