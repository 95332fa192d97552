//! Roll-ups: hours and days are kept beside the chunks they were made from, minutes are made from the
//! chunks when they are asked for.
//!
//! A minute of 15-second samples is four of them: its windows would take more room than it does. So
//! only tiers that are much smaller than the samples are kept, and a finer one is as old as the
//! samples are. Windows are made from what one run holds; where other runs or the head hold samples
//! of the same span, a series' windows of that day are made from the samples anew, so late data counts
//! exactly.
//!
//! [`Store::windows`] is how they are read.
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

mod read;

use rollup::{Tier, Window};
use series::{Block, Column, Rows};

use crate::engine::{Engine, EngineError, Family, Ingest};
use crate::groups::{COLUMNS_MAX, GroupId};
use crate::{chunk, keys};

pub use read::{FoundWindows, WindowSeries};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 1 + 8 + 8;
const FIELDS: usize = 5;

/// The tiers that are kept, finest first.
pub const KEPT_TIERS: [Tier; 2] = [Tier::Hour, Tier::Day];

/// The tiers that are kept, with their numbers in keys.
pub(crate) const KEPT: [(Tier, u8); 2] = [(KEPT_TIERS[0], 3), (KEPT_TIERS[1], 4)];

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
