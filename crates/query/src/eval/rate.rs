//! Counters: `rate`, `increase`, `delta` and their instant kin.
//!
//! The extrapolation is Prometheus' (promql/functions.go, `extrapolatedRate`), with the operations
//! in the same order so that results agree to the last bit.

use super::kahan::Sum;
use super::steps::seconds;
use super::window::{Samples, Slide, Window};

/// Which of the three it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Drops of the value are resets, and values are not negative.
    pub(super) counter: bool,
    /// Per second.
    pub(super) rate: bool,
}

/// `rate`, `increase` and `delta`. Resets are found once a series; a window adds only those inside.
pub(super) fn extrapolated(samples: &Samples, kind: Kind, range: i64) -> Slide<'_> {
    let resets: Vec<usize> = if kind.counter {
        let drops = samples.values.windows(2).enumerate();
        drops
            .filter(|(_, pair)| pair[1] < pair[0])
            .map(|(index, _)| index + 1)
            .collect()
    } else {
        Vec::new()
    };
    let (mut first, mut last) = (0, 0);
    Box::new(move |window| {
        while resets.get(last).is_some_and(|reset| *reset < window.high) {
            last += 1;
        }
        while first < last && resets[first] <= window.low {
            first += 1;
        }
        let inside = &resets[first..last];
        Ok(extrapolate(window, inside, &samples.values, kind, range))
    })
}

/// One window. `resets` are the indices, in all of the series, of the samples after a reset.
fn extrapolate(
    window: &Window<'_>,
    resets: &[usize],
    all_values: &[f64],
    kind: Kind,
    range: i64,
) -> Option<f64> {
    let (times, values) = (window.times(), window.values());
    let count = values.len();
    if count < 2 {
        return None;
    }
    let mut result = values[count - 1] - values[0];
    for reset in resets {
        result += all_values[reset - 1];
    }
    let interval = seconds(times[count - 1] - times[0]);
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let average = interval / (count - 1) as f64;
    // Samples that are close to an edge of the window are taken to reach to it.
    let threshold = average * 1.1;
    let mut to_start = seconds(times[0] - window.start);
    let mut to_end = seconds(window.end - times[count - 1]);
    if to_start >= threshold {
        to_start = average / 2.0;
    }
    if kind.counter {
        // A counter began at zero at the earliest where its line reaches zero.
        let mut to_zero = to_start;
        if result > 0.0 && values[0] >= 0.0 {
            to_zero = interval * (values[0] / result);
        }
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let mut factor = (interval + to_start + to_end) / interval;
    if kind.rate {
        factor /= seconds(range);
    }
    Some(result * factor)
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
