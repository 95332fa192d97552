//! The columns of one block, thinned.

use series::{Block, Column, Rows, STALE_NAN, Values, is_stale, same_bits};

use series::limits::BLOCK_ROWS_MAX;

use super::MINUTE_MILLIS;

/// Most decimals at which a mean is rounded: values with more have all the bits of a float.
const DECIMALS_MAX: i32 = 6;
/// Decimals that a mean has more than its values.
const DECIMALS_MORE: i32 = 2;

/// Longest pause within a block. A coordinator takes or refuses a block's times as a whole: a clock that
/// was years behind until it was set must not take the minutes after that with it.
const PAUSE_MILLIS_MAX: u64 = 3_600_000;

/// What becomes of the samples of a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Their mean, and the least and the greatest beside it.
    Mean,
    /// The last.
    Last,
    /// The last, and the two around each reset.
    LastAndResets,
}

/// Samples of one series: row and value, rows ascending.
type Samples = Vec<(usize, f64)>;

/// A block whose columns are not laid out yet, so that rows can be added.
#[derive(Debug, Default)]
pub(super) struct Thin {
    /// The times of its rows, ascending.
    pub(super) times: Vec<i64>,
    /// The samples of each series.
    columns: Vec<Samples>,
}

impl Thin {
    /// Rows times columns.
    pub(super) fn cells(&self) -> usize {
        self.times.len() * self.columns.len()
    }

    /// Whether the rows of `next`, of the same series, can follow on these.
    pub(super) fn is_before(&self, next: &Self) -> bool {
        let (Some(last), Some(first)) = (self.times.last(), next.times.first()) else {
            return true;
        };
        last < first
            && last.abs_diff(*first) <= PAUSE_MILLIS_MAX
            && self.times.len() + next.times.len() <= BLOCK_ROWS_MAX
    }

    /// Adds the rows of `next`, which must be able to follow.
    pub(super) fn extend(&mut self, next: Self) {
        let rows = self.times.len();
        self.times.extend(next.times);
        for (column, more) in self.columns.iter_mut().zip(next.columns) {
            column.extend(more.into_iter().map(|(row, value)| (rows + row, value)));
        }
    }

    /// As a block.
    pub(super) fn into_block(self) -> Block {
        let columns = self.columns.iter().map(|samples| {
            let mut flags = vec![false; self.times.len()];
            for (row, _) in samples {
                flags[*row] = true;
            }
            Column {
                rows: Rows::from_flags(&flags),
                values: samples.iter().map(|(_, value)| *value).collect::<Values>(),
            }
        });
        Block {
            columns: columns.collect(),
            times: self.times,
        }
    }
}

/// The block in fewer rows; the columns of the least values and those of the greatest follow on all
/// others. `last` has the last value of each series before it, and then that in it.
pub(super) fn thin_block(block: &Block, rules: &[Rule], last: &mut [f64]) -> Thin {
    let ends = ends(&block.times);
    let (mut columns, mut least, mut greatest) = (Vec::new(), Vec::new(), Vec::new());
    for ((column, rule), last) in block.columns.iter().zip(rules).zip(last) {
        let rows = column.rows.iter(ends.len());
        let samples: Samples = rows.zip(column.values.iter().copied()).collect();
        match rule {
            Rule::Mean => {
                let [means, lows, highs] = means(&samples, &ends);
                columns.push(means);
                least.push(lows);
                greatest.push(highs);
            }
            Rule::Last => columns.push(lasts(&samples, &ends)),
            Rule::LastAndResets => columns.push(with_resets(&samples, &ends, *last)),
        }
        let real = samples.iter().rev().find(|(_, value)| !is_stale(*value));
        *last = real.map_or(*last, |(_, value)| *value);
    }
    columns.extend(least);
    columns.extend(greatest);
    of_rows(block, columns)
}

/// For each row the last of its minute.
fn ends(times: &[i64]) -> Vec<usize> {
    let first = times.first().copied().unwrap_or_default();
    let minute = |time: &i64| time.abs_diff(first) / MINUTE_MILLIS;
    let mut ends = Vec::with_capacity(times.len());
    for rows in times.chunk_by(|one, next| minute(one) == minute(next)) {
        let end = ends.len() + rows.len() - 1;
        ends.extend(rows.iter().map(|_| end));
    }
    ends
}

/// The samples of one minute that follow one another without a stale marker, and each of those
/// alone; with the row at which what becomes of them stands.
fn runs<'a>(
    samples: &'a Samples,
    ends: &'a [usize],
) -> impl Iterator<Item = (usize, &'a [(usize, f64)])> {
    let mut runs = samples
        .chunk_by(|(row, value), (next_row, next)| {
            ends[*row] == ends[*next_row] && !is_stale(*value) && !is_stale(*next)
        })
        .peekable();
    std::iter::from_fn(move || {
        let run = runs.next()?;
        let (row, value) = *run.last()?;
        let goes_on = runs.peek().and_then(|next| next.first());
        // At the end of the minute, where those of other series stand, unless a marker comes first.
        let is_last = goes_on.is_none_or(|(next, _)| ends[*next] != ends[row]);
        let stays = is_stale(value) || !is_last;
        Some((if stays { row } else { ends[row] }, run))
    })
}

/// The mean of each run, the least and the greatest.
fn means(samples: &Samples, ends: &[usize]) -> [Samples; 3] {
    let mut columns = [Samples::new(), Samples::new(), Samples::new()];
    for (row, run) in runs(samples, ends) {
        let spread = Spread::of(run.iter().map(|(_, value)| *value));
        let values = if run.iter().any(|(_, value)| is_stale(*value)) {
            [STALE_NAN; 3]
        } else {
            [mean(run, spread), spread.least, spread.greatest]
        };
        for (column, value) in columns.iter_mut().zip(values) {
            column.push((row, value));
        }
    }
    columns
}

fn lasts(samples: &Samples, ends: &[usize]) -> Samples {
    runs(samples, ends)
        .filter_map(|(row, run)| Some((row, run.last()?.1)))
        .collect()
}

/// The last of each run and those around resets; `before` is the value before the first.
fn with_resets(samples: &Samples, ends: &[usize], before: f64) -> Samples {
    let mut kept = Samples::new();
    let mut previous = (None, before);
    for (end, run) in runs(samples, ends) {
        for &(row, value) in run {
            if is_stale(value) {
                continue;
            }
            if value < previous.1 {
                if let Some(row) = previous.0 {
                    keep(&mut kept, row, previous.1);
                }
                keep(&mut kept, row, value);
            }
            previous = (Some(row), value);
        }
        // One that is kept because of a reset need not be said again.
        if let Some((row, value)) = run.last()
            && kept.last().is_none_or(|(last, _)| last < row)
        {
            keep(&mut kept, end, *value);
        }
    }
    kept
}

/// Adds a sample unless it is there already.
fn keep(kept: &mut Samples, row: usize, value: f64) {
    if kept.last().is_none_or(|(last, _)| *last < row) {
        kept.push((row, value));
    }
}

/// The least and the greatest of some values; NaN where there is nothing else.
#[derive(Clone, Copy, Debug)]
struct Spread {
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let start = Self {
            least: f64::NAN,
            greatest: f64::NAN,
        };
        values.fold(start, |spread, value| Self {
            least: spread.least.min(value),
            greatest: spread.greatest.max(value),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a block has at most 4096 rows")]
fn mean(run: &[(usize, f64)], spread: Spread) -> f64 {
    let values = || run.iter().map(|(_, value)| *value);
    if values().any(f64::is_nan) {
        return f64::NAN;
    }
    if same_bits(spread.least, spread.greatest) {
        return spread.least;
    }
    let count = run.len() as f64;
    let sum: f64 = values().sum();
    let mean = if sum.is_finite() {
        sum / count
    } else {
        // The sum of very large values is infinite, their mean is not.
        values().map(|value| value / count).sum()
    };
    if !mean.is_finite() {
        return mean;
    }
    let decimals = (0..=DECIMALS_MAX)
        .find(|decimals| values().all(|value| same_bits(rounded(value, *decimals), value + 0.0)));
    match decimals {
        Some(decimals) => rounded(mean, decimals + DECIMALS_MORE),
        None => mean,
    }
    .clamp(spread.least, spread.greatest)
}

/// `value` with so many decimals; as it is where it is too large to have any.
fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    let scaled = value * scale;
    if scaled.abs() < 9_007_199_254_740_992.0 {
        scaled.round() / scale + 0.0
    } else {
        value
    }
}

/// The rows of a block in which anything is kept.
fn of_rows(block: &Block, mut columns: Vec<Samples>) -> Thin {
    let mut is_kept = vec![false; block.times.len()];
    for (row, _) in columns.iter().flatten() {
        is_kept[*row] = true;
    }
    let mut places = vec![0; is_kept.len()];
    let mut times = Vec::new();
    for (row, time) in block.times.iter().enumerate() {
        if is_kept[row] {
            places[row] = times.len();
            times.push(*time);
        }
    }
    for (row, _) in columns.iter_mut().flatten() {
        *row = places[*row];
    }
    Thin { times, columns }
}
