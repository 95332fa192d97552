//! Straight lines and smoothing: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::kahan::Sum;
use super::steps::seconds;

/// A line by least squares: slope per second, and value at the time `origin`.
#[expect(
    clippy::float_cmp,
    reason = "only exactly equal values make a flat line that needs no arithmetic"
)]
pub(super) fn line(times: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let first = values[0];
    if values.iter().all(|value| *value == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let (mut x_sum, mut y_sum) = (Sum::default(), Sum::default());
    let (mut xy_sum, mut x2_sum) = (Sum::default(), Sum::default());
    for (time, y) in times.iter().zip(values) {
        let x = seconds(time - origin);
        x_sum = x_sum.plus(x);
        y_sum = y_sum.plus(*y);
        xy_sum = xy_sum.plus(x * y);
        x2_sum = x2_sum.plus(x * x);
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    let count = values.len() as f64;
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / count;
    let variance = x2_sum.total() - x * x / count;
    let slope = covariance / variance;
    (slope, y / count - slope * x / count)
}

/// Holt's linear method (C. C. Holt 1957): a level and a trend, each smoothed exponentially.
pub(super) fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> Option<f64> {
    let [first, second, ..] = values else {
        return None;
    };
    let (mut before, mut level) = (0.0, *first);
    let mut trend = second - first;
    for (index, value) in values.iter().enumerate().skip(1) {
        if index > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    Some(level)
}
