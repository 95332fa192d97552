//! Counters: `rate`, `increase`, `delta` and their instant kin.
//!
//! The extrapolation is Prometheus' (promql/functions.go, `extrapolatedRate`), with the operations
//! in the same order so that results agree to the last bit.

use series::Floats;

use super::kahan::Sum;
use super::steps::seconds;
use super::window::{Places, Samples, Slide};
use crate::parse::functions::Id;

/// Which of the three it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Drops of the value are resets, and values are not negative.
    pub(super) counter: bool,
    /// Per second.
    pub(super) rate: bool,
}

impl Kind {
    /// The one that a function is.
    pub(super) fn of(id: Id) -> Option<Self> {
        let (counter, rate) = match id {
            Id::Rate => (true, true),
            Id::Increase => (true, false),
            Id::Delta => (false, false),
            _ => return None,
        };
        Some(Self { counter, rate })
    }
}

/// What the times of one window's samples say, whatever their values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    /// Seconds between the first and the last sample.
    interval: f64,
    /// Seconds that the line through the samples is drawn on before the first and after the last.
    to_start: f64,
    to_end: f64,
    /// What the change between the samples becomes over the whole window, in seconds of it.
    factor: f64,
}

/// Of a window from `start` to `end` that has these samples.
pub(super) fn extent(times: &[i64], start: i64, end: i64) -> Extent {
    let [first, .., last] = times else {
        return Extent::default();
    };
    let interval = seconds(last - first);
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let average = interval / (times.len() - 1) as f64;
    // Samples that are close to an edge of the window are taken to reach to it.
    let threshold = average * 1.1;
    let reach = |gap: f64| if gap >= threshold { average / 2.0 } else { gap };
    let (to_start, to_end) = (reach(seconds(first - start)), reach(seconds(end - last)));
    Extent {
        interval,
        to_start,
        to_end,
        factor: (interval + to_start + to_end) / interval,
    }
}

/// `rate`, `increase` and `delta` at each step. Resets are found once a series; a window adds only those
/// inside, and of its other samples only the first and the last are looked at.
pub(super) fn extrapolated(
    values: &Floats,
    places: &Places,
    extents: &[Extent],
    (kind, range): (Kind, i64),
    column: &mut [f64],
) {
    let resets = if kind.counter {
        resets(values)
    } else {
        Vec::new()
    };
    let per = if kind.rate { seconds(range) } else { 1.0 };
    let (mut first, mut last) = (0, 0);
    let (mut begins, mut ends) = (values.walk(), values.walk());
    let steps = column.iter_mut().zip(&places.bounds).zip(extents);
    for ((cell, (low, high)), extent) in steps {
        let (low, high) = (*low as usize, *high as usize);
        if high < low + 2 {
            continue;
        }
        let (begin, end) = (begins.at(low), ends.at(high - 1));
        let mut result = end - begin;
        if !resets.is_empty() {
            while resets.get(last).is_some_and(|(reset, _)| *reset < high) {
                last += 1;
            }
            while first < last && resets[first].0 <= low {
                first += 1;
            }
            for (_, before) in &resets[first..last] {
                result += before;
            }
        }
        *cell = extrapolate(result, begin, *extent, kind.counter, per);
    }
}

/// The indices of the samples after a reset, each with the value before it.
fn resets(values: &Floats) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    let (mut start, mut before) = (0, f64::NAN);
    for (slice, may_fall) in values.slices_that_may_fall() {
        let Some((first, last)) = slice.first().zip(slice.last()) else {
            continue;
        };
        if *first < before {
            found.push((start, before));
        }
        if may_fall {
            let pairs = slice.iter().zip(slice.iter().skip(1)).enumerate();
            let drops = pairs.filter(|(_, (before, after))| after < before);
            found.extend(drops.map(|(index, (before, _))| (start + index + 1, *before)));
        }
        start += slice.len();
        before = *last;
    }
    found
}

/// The change over a whole window, in each `per` seconds of it, from that between its samples.
fn extrapolate(result: f64, first: f64, extent: Extent, counter: bool, per: f64) -> f64 {
    let Extent {
        interval,
        to_start,
        to_end,
        factor,
    } = extent;
    // A counter began at zero at the earliest where its line reaches zero. Most are far from there, which
    // a product tells for less than a quotient.
    if counter && result > 0.0 && first >= 0.0 && interval * first <= 2.0 * to_start * result {
        let to_zero = interval * (first / result);
        if to_zero < to_start {
            return result * ((interval + to_zero + to_end) / interval / per);
        }
    }
    result * (factor / per)
}

/// `irate` and `idelta`: from the last two samples.
pub(super) fn last_two(rate: bool) -> Slide<'static> {
    Box::new(move |window| {
        let (times, values) = (window.times(), window.values());
        let [.., before, last] = values else {
            return Ok(None);
        };
        let [.., time_before, time_last] = times else {
            return Ok(None);
        };
        if time_last == time_before {
            return Ok(None);
        }
        let change = if rate && last < before {
            *last
        } else {
            last - before
        };
        Ok(Some(if rate {
            change / seconds(time_last - time_before)
        } else {
            change
        }))
    })
}

/// `resets` and `changes`: how many neighbours in the window satisfy `counts`. Found once a
/// series as running counts.
pub(super) fn neighbours(samples: &Samples, counts: impl Fn(f64, f64) -> bool) -> Slide<'static> {
    let mut running = Vec::with_capacity(samples.values.len());
    let mut total = 0_u32;
    running.push(0);
    for pair in samples.values.windows(2) {
        total += u32::from(counts(pair[0], pair[1]));
        running.push(total);
    }
    Box::new(move |window| {
        let inside = running[window.high - 1] - running[window.low];
        Ok(Some(f64::from(inside)))
    })
}

/// Sums a window with compensation.
pub(super) fn sum(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(Sum::default(), |sum, value| sum.plus(*value))
        .total()
}
