//! Roll-ups: hours and days are kept beside the chunks they were made from, minutes are made from the
//! chunks when they are asked for.
//!
//! A minute of 15-second samples is four of them: its windows would take more room than it does. So
//! only tiers that are much smaller than the samples are kept, and a finer one is as old as the
//! samples are. Windows are made from what one run holds; where other runs or the head hold samples
//! of the same span, a series' windows of that day are made from the samples anew, so late data counts
//! exactly.
//!
//! [`Store::windows`] is how they are read; no query of the coordinator does so yet.
//!
//! ```text
//! windows record
//! version          u8 = 1
//! first time       i64          of the samples, milliseconds
//! last time        i64
//! checksum         u32, CRC-32 of the key, all before it and the block
//! block            a codec "block": times are the ends of windows; for each column of the group the
//!                  columns count, sum, sum of squares, least and greatest
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rollup::{Tier, Window};
use series::{Block, Column, Labels, Matcher, Rows, TimeRange, Timestamp};

use crate::cold::Matching;
use crate::engine::{Engine, EngineError, Family, Ingest};
use crate::groups::{COLUMNS_MAX, GroupId};
use crate::open::engine_error;
use crate::read::Snapshot;
use crate::runs::{Day, Run};
use crate::{Error, Meter, SeriesId, Store, chunk, keys, reading};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 8;
const FIELDS: usize = 5;

/// The tiers that are kept, with their numbers in keys.
pub(crate) const KEPT: [(Tier, u8); 2] = [(Tier::Hour, 3), (Tier::Day, 4)];

/// The windows of one series.
#[derive(Clone, Debug)]
pub struct WindowSeries {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Each under the millisecond that it ends at, ascending.
    pub windows: Vec<(i64, Window)>,
}

/// Writes the windows of one run.
pub(crate) struct Writer<'a> {
    tiers: Vec<(Tier, u8, Box<dyn Ingest + 'a>)>,
    partition: u32,
    number: u32,
    level: u8,
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(
        engine: &'a dyn Engine,
        partition: u32,
        number: u32,
        level: u8,
    ) -> Result<Self, EngineError> {
        let mut tiers = Vec::with_capacity(KEPT.len());
        for (tier, code) in KEPT {
            tiers.push((tier, code, engine.ingest(Family::Windows)?));
        }
        Ok(Self {
            tiers,
            partition,
            number,
            level,
        })
    }

    pub(crate) fn put(
        &mut self,
        group: GroupId,
        times: &[i64],
        columns: &[Column],
    ) -> Result<(), EngineError> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
            return Ok(());
        };
        // The finest kept tier from the samples, each further one from the one before.
        let mut rolled: Vec<Vec<(i64, Window)>> = Vec::new();
        for (place, (tier, code, rows)) in self.tiers.iter_mut().enumerate() {
            rolled = if place == 0 {
                let roll = |column: &Column| roll_column(times, column, *tier);
                columns.iter().map(roll).collect()
            } else {
                let merge = |windows: &Vec<_>| rollup::merge(windows, *tier);
                rolled.iter().map(merge).collect()
            };
            let key = keys::windows(*code, self.partition, self.number, self.level, group);
            rows.put(&key, &encode(&key, first, last, &rolled))?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<(), EngineError> {
        for (_, _, rows) in self.tiers {
            rows.finish()?;
        }
        Ok(())
    }
}

fn roll_column(times: &[i64], column: &Column, tier: Tier) -> Vec<(i64, Window)> {
    match column.rows {
        Rows::All => rollup::roll(times, &column.values, tier),
        Rows::Some(_) => {
            let rows = column.rows.iter(times.len());
            let present: Vec<i64> = rows.map(|row| times[row]).collect();
            rollup::roll(&present, &column.values, tier)
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count is far below 2^53")]
fn encode(key: &[u8], first: i64, last: i64, columns: &[Vec<(i64, Window)>]) -> Vec<u8> {
    let mut ends: Vec<i64> = columns.iter().flatten().map(|(end, _)| *end).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut block = Block {
        times: ends,
        columns: Vec::with_capacity(columns.len() * FIELDS),
    };
    for windows in columns {
        let has = |end: &i64| windows.binary_search_by_key(end, |(end, _)| *end).is_ok();
        let flags: Vec<bool> = block.times.iter().map(has).collect();
        let rows = if windows.is_empty() && !flags.is_empty() {
            Rows::Some(vec![0; flags.len().div_ceil(64)].into())
        } else {
            Rows::from_flags(&flags)
        };
        let fields: [fn(&Window) -> f64; FIELDS] = [
            |window| window.count as f64,
            Window::sum,
            Window::sum_of_squares,
            |window| window.min,
            |window| window.max,
        ];
        block.columns.extend(fields.map(|field| Column {
            rows: rows.clone(),
            values: windows.iter().map(|(_, window)| field(window)).collect(),
        }));
    }
    let mut body = Vec::new();
    codec::encode_block(&block, &mut body);
    let mut out = vec![VERSION];
    out.extend_from_slice(&first.to_le_bytes());
    out.extend_from_slice(&last.to_le_bytes());
    let checksum = chunk::checksum(&[key, &out, &body]);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.append(&mut body);
    out
}

/// A record's span and block, once it has been checked.
fn decode(key: &[u8], record: &[u8]) -> Result<(i64, i64, Block), &'static str> {
    let (head, rest) = record
        .split_first_chunk::<HEAD_BYTES>()
        .ok_or("it is too short")?;
    let (stored, body) = rest.split_first_chunk::<4>().ok_or("it is too short")?;
    if head[0] != VERSION {
        return Err("its version is not known");
    }
    if chunk::checksum(&[key, head, body]) != u32::from_le_bytes(*stored) {
        return Err("its checksum does not match");
    }
    let word = |at: usize| {
        let bytes = head.get(at..).and_then(<[u8]>::first_chunk::<8>);
        i64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
    };
    let block = codec::decode_block(body).map_err(|_source| "it does not decode")?;
    if block.columns.len() > COLUMNS_MAX * FIELDS {
        return Err("it has more columns than a group");
    }
    Ok((word(1), word(9), block))
}

/// The windows of one column of a group.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts were written by us, and a damaged record has no right checksum"
)]
fn windows_of(block: &Block, column: usize) -> Vec<(i64, Window)> {
    let Some([count, sum, squares, min, max]) = block
        .columns
        .get(column * FIELDS..)
        .and_then(<[Column]>::first_chunk::<FIELDS>)
    else {
        return Vec::new();
    };
    let rows = count.rows.iter(block.times.len());
    let ends = rows.filter_map(|row| block.times.get(row).copied());
    let fields = |index: usize| {
        Some(Window::from_parts(
            *count.values.get(index)? as u64,
            *sum.values.get(index)?,
            *squares.values.get(index)?,
            *min.values.get(index)?,
            *max.values.get(index)?,
        ))
    };
    ends.enumerate()
        .filter_map(|(index, end)| Some((end, fields(index)?)))
        .collect()
}

/// What was found for a series: windows by where they end, merged as they come.
type Found = BTreeMap<SeriesId, BTreeMap<i64, Window>>;

fn add(found: &mut Found, id: SeriesId, windows: Vec<(i64, Window)>, tier: Tier) {
    let series = found.entry(id).or_default();
    for (time, window) in windows {
        series
            .entry(tier.end_of(time))
            .and_modify(|whole| whole.merge(window))
            .or_insert(window);
    }
}

impl Store {
    /// The windows that end inside `range` of all series that pass every matcher, in order of id. A
    /// window holds all samples of its width, whether or not these lie in the range.
    ///
    /// # Errors
    /// When the engine fails as a whole or `meter` ends the read. A record that cannot be read is made
    /// anew from the samples.
    pub fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        meter: &dyn Meter,
    ) -> Result<Vec<WindowSeries>, Error> {
        // The samples of a window lie before its end.
        let first = range.start_inclusive.as_millis();
        let range_of_samples = TimeRange::new(
            Timestamp::from_millis(first.saturating_sub(tier.millis())),
            range.end_inclusive,
        );
        let Matching { ids, cold, .. } = self.matching(&[matchers], range_of_samples)?;
        if !meter.series(ids.len()) {
            return Err(Error::Stopped);
        }
        let wanted = reading(&self.groups).groups_of(ids.iter().map(SeriesId));
        let snapshot = self.snapshot(&wanted, range_of_samples);
        let mut found = Found::new();
        for (group, columns) in &wanted {
            for part in self.parts(&snapshot, *group, tier, range_of_samples) {
                match part {
                    Part::Windows(block) => {
                        for (column, id) in columns {
                            let windows = windows_of(&block, usize::from(*column));
                            add(&mut found, *id, windows, tier);
                        }
                    }
                    Part::Samples(span) => {
                        let mut damaged = Vec::new();
                        let read = self.read_group(
                            &snapshot,
                            (*group, columns),
                            span,
                            meter,
                            &mut damaged,
                        )?;
                        for (id, times, values) in read {
                            add(&mut found, id, rollup::roll(&times, &values, tier), tier);
                        }
                    }
                }
            }
        }
        let inside = |end: &i64| range.contains(Timestamp::from_millis(*end));
        let mut series: Vec<WindowSeries> = Vec::with_capacity(found.len());
        let mut places: HashMap<Arc<Labels>, usize> = HashMap::new();
        for (id, mut windows) in found {
            windows.retain(|end, _| inside(end));
            let Some(labels) = self.labels_of(id, &cold).filter(|_| !windows.is_empty()) else {
                continue;
            };
            // A label set that went cold and came again is two series.
            let place = *places.entry(Arc::clone(&labels)).or_insert(series.len());
            match series.get_mut(place) {
                None => series.push(WindowSeries {
                    labels,
                    windows: windows.into_iter().collect(),
                }),
                Some(before) => {
                    before.windows.extend(windows);
                    before.windows.sort_by_key(|(end, _)| *end);
                    before.windows = rollup::merge(&before.windows, tier);
                }
            }
        }
        Ok(series)
    }

    /// Where the windows of a group come from: spans of samples and kept windows that have no sample in
    /// common and together hold all of the range.
    fn parts(
        &self,
        snapshot: &Snapshot,
        group: GroupId,
        tier: Tier,
        range: TimeRange,
    ) -> Vec<Part> {
        let Some((_, code)) = KEPT.iter().find(|(kept, _)| *kept == tier) else {
            return vec![Part::Samples(range)];
        };
        let mut parts = Vec::new();
        // All that lies before this is in `parts`.
        let mut from = range.start_inclusive;
        for (partition, day) in &snapshot.days {
            let span = keys::range_of(*partition);
            let Some((last, blocks)) = self.kept(snapshot, (*partition, day), group, *code) else {
                continue;
            };
            // Between the days before and the first sample of these windows.
            let end = span.start_inclusive.as_millis().saturating_sub(1);
            parts.push(Part::Samples(TimeRange::new(
                from,
                Timestamp::from_millis(end),
            )));
            parts.extend(blocks.into_iter().map(Part::Windows));
            from = Timestamp::from_millis(last.saturating_add(1));
        }
        parts.push(Part::Samples(TimeRange::new(from, range.end_inclusive)));
        parts
    }

    /// The kept windows of a group in one day, and the last sample in them: if no sample that is not
    /// in them lies before their end, and none is in two of them.
    fn kept(
        &self,
        snapshot: &Snapshot,
        (partition, day): (u32, &Day),
        group: GroupId,
        code: u8,
    ) -> Option<(i64, Vec<Block>)> {
        let mut spans: Vec<(i64, i64, Block)> = Vec::new();
        let mut others_from = snapshot.first_in_heads(group, keys::range_of(partition));
        for run in &day.runs {
            if run.has_windows {
                spans.extend(self.record(partition, run, group, code).ok()?);
            } else {
                let first = self.first_of_chunk(partition, run, group)?;
                others_from = others_from.min(first);
            }
        }
        spans.sort_unstable_by_key(|(first, ..)| *first);
        let last = spans.last()?.1;
        let apart = spans.windows(2).all(|pair| pair[0].1 < pair[1].0);
        (apart && last < others_from).then(|| {
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
    ) -> Result<Option<(i64, i64, Block)>, Error> {
        let key = keys::windows(code, partition, run.number, run.level, group);
        let mut decoded = None;
        let found = self.engine.read(Family::Windows, &key, &mut |record| {
            decoded = Some(decode(&key, record));
        });
        found.map_err(engine_error("reading windows"))?;
        match decoded {
            Some(Ok(record)) => Ok(Some(record)),
            // Made anew from the samples.
            Some(Err(_problem)) => Err(Error::Stopped),
            None => Ok(None),
        }
    }

    /// The first time of a group in a run; the end of time if it is not in it, `None` if that cannot
    /// be told.
    fn first_of_chunk(&self, partition: u32, run: &Run, group: GroupId) -> Option<i64> {
        let key = keys::chunk(partition, run.number, run.level, group, 0);
        let mut first = Some(i64::MAX);
        let found = self.engine.read(Family::Runs, &key, &mut |record| {
            first = chunk::Chunk::parse(&key, record)
                .ok()
                .map(|chunk| chunk.first_millis);
        });
        found.ok().and(first)
    }
}

/// Where some windows come from.
enum Part {
    /// Kept windows.
    Windows(Block),
    /// The samples of a span.
    Samples(TimeRange),
}
