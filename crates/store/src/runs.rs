//! Which runs of chunks each day has.
//!
//! A *run* is what one flush or one compaction wrote for one day: a chunk for each group, or several
//! that follow one another. Runs have the number of their flush; where two hold a sample of the same
//! time, that of the later flush wins. A compaction merges runs whose numbers follow one another and
//! gives the new run the greatest of them and a higher level.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use series::TimeRange;

const VERSION: u8 = 1;
const RUN_BYTES: usize = 4 + 1 + 1 + 8 + 8 + 8 + 8 + 8;
/// A row with a greater number is damaged: the next flush is counted from the greatest, and must not
/// overflow.
pub(crate) const RUN_NUMBER_MAX: u32 = u32::MAX / 2;
/// A row with a run of more samples or bytes is damaged: they are summed up.
const RUN_SIZE_MAX: u64 = 1 << 44;

/// One run of one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    /// The last flush it holds.
    pub(crate) number: u32,
    /// How often its samples were packed: 0 by a flush, then one more for each compaction.
    pub(crate) level: u8,
    /// Whether its windows are kept.
    pub(crate) has_windows: bool,
    pub(crate) first_millis: i64,
    pub(crate) last_millis: i64,
    pub(crate) samples: u64,
    /// Columns with a sample, of all chunks.
    pub(crate) columns: u64,
    pub(crate) bytes: u64,
}

impl Run {
    /// Samples of a series, on average.
    pub(crate) fn rows(&self) -> u64 {
        self.samples / self.columns.max(1)
    }

    pub(crate) fn touches(&self, range: TimeRange) -> bool {
        self.first_millis <= range.end_inclusive.as_millis()
            && self.last_millis >= range.start_inclusive.as_millis()
    }
}

/// One day.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Day {
    /// In order of number.
    pub(crate) runs: Vec<Run>,
    /// Series that have a sample, or had one when only the windows are left.
    pub(crate) series: RoaringBitmap,
    /// Whether the chunks were dropped and the windows are what is left.
    pub(crate) only_windows: bool,
}

/// All days by number. A reader holds the days it reads, so that their runs are not dropped.
pub(crate) type Days = BTreeMap<u32, Arc<Day>>;

impl Day {
    /// As its row: version, flags (1: only windows are left), count of runs `u32`, the runs, the
    /// series as a portable Roaring bitmap. Little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::from(self.only_windows)];
        let count = u32::try_from(self.runs.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&count.to_le_bytes());
        for run in &self.runs {
            out.extend_from_slice(&run.number.to_le_bytes());
            out.extend_from_slice(&[run.level, u8::from(run.has_windows)]);
            out.extend_from_slice(&run.first_millis.to_le_bytes());
            out.extend_from_slice(&run.last_millis.to_le_bytes());
            for number in [run.samples, run.columns, run.bytes] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let mut series = self.series.clone();
        series.optimize();
        series
            .serialize_into(&mut out)
            .expect("memory takes what is written into it");
        out
    }

    /// Reads a row; `None` when it is damaged.
    pub(crate) fn decode(row: &[u8]) -> Option<Self> {
        let (&[version, flags], rest) = row.split_first_chunk::<2>()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        if version != VERSION || flags > 1 {
            return None;
        }
        let count = u32::from_le_bytes(*count) as usize;
        let (runs, series) = rest.split_at_checked(count.checked_mul(RUN_BYTES)?)?;
        let (runs, _) = runs.as_chunks::<RUN_BYTES>();
        Some(Self {
            runs: runs.iter().map(decode_run).collect::<Option<_>>()?,
            series: RoaringBitmap::deserialize_from(series).ok()?,
            only_windows: flags == 1,
        })
    }
}

fn decode_run(bytes: &[u8; RUN_BYTES]) -> Option<Run> {
    let word = |at: usize| {
        let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
        u64::from_le_bytes(*bytes.unwrap_or(&[0; 8]))
    };
    let number = bytes.first_chunk::<4>().unwrap_or(&[0; 4]);
    let run = Run {
        number: u32::from_le_bytes(*number),
        level: bytes[4],
        has_windows: bytes[5] == 1,
        first_millis: word(6).cast_signed(),
        last_millis: word(14).cast_signed(),
        samples: word(22),
        columns: word(30),
        bytes: word(38),
    };
    let is_sized = [run.samples, run.columns, run.bytes]
        .iter()
        .all(|size| *size <= RUN_SIZE_MAX);
    (is_sized && run.number <= RUN_NUMBER_MAX).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_comes_back_as_it_went() {
        let day = Day {
            runs: vec![
                Run {
                    number: 3,
                    level: 1,
                    has_windows: true,
                    first_millis: -5,
                    last_millis: 9,
                    samples: 77,
                    columns: 7,
                    bytes: 1 << 40,
                },
                Run::default(),
            ],
            series: (5..500).collect(),
            only_windows: true,
        };
        let row = day.encode();
        assert!(row.len() < 140, "{}", row.len());
        assert_eq!(Day::decode(&row), Some(day));
        for end in 0..row.len() {
            assert_eq!(Day::decode(&row[..end]), None);
        }
    }

    #[test]
    fn a_run_of_absurd_size_or_number_is_damage() {
        for run in [
            Run {
                number: u32::MAX,
                ..Run::default()
            },
            Run {
                samples: u64::MAX,
                ..Run::default()
            },
            Run {
                bytes: u64::MAX,
                ..Run::default()
            },
        ] {
            let day = Day {
                runs: vec![run],
                ..Day::default()
            };
            assert_eq!(Day::decode(&day.encode()), None);
        }
    }
}
