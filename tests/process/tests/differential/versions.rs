//! What Prometheus changed after 2.42, as far as the questions meet it.

use crate::compare::{Answer, are_close, is_close};

/// A change.
#[derive(Debug)]
pub(crate) struct Difference {
    /// When it came.
    pub(crate) since: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// Whether it explains why these answers to this expression differ.
    explains: fn(&str, &Answer, &Answer) -> bool,
}

/// All of them.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        since: "after 2.42",
        what: "where a counter begins inside the window, the gap before its first sample is halved before \
               it is cut off where the counter was zero, and no longer after",
        // Windows of later steps do not reach there.
        explains: |expression, expected, found| {
            has(expression, &["rate(", "increase("])
                && are_close(&late(expected.points()), &late(found.points()))
        },
    },
    Difference {
        since: "after 2.42",
        what: "atan2 drops the metric's name as other operators do",
        explains: |expression, expected, found| {
            has(expression, &["atan2"]) && are_close(&expected.points(), &found.points())
        },
    },
    Difference {
        since: "after 2.42",
        what: "over a range, the window of predict_linear with @ stays where it was put",
        explains: |expression, expected, found| {
            has(expression, &["predict_linear("])
                && expression.contains('@')
                && expected.points().len() < found.points().len()
        },
    },
    Difference {
        since: "after 2.42",
        what: "stddev and stdvar make up for what rounding takes",
        explains: |expression, expected, found| {
            let near = |(a, b): (&(i64, f64), &(i64, f64))| (a.1 - b.1).abs() <= 1e-6 * a.1.abs();
            has(expression, &["stddev", "stdvar"])
                && expected.points().iter().zip(&found.points()).all(near)
        },
    },
    Difference {
        since: "at no time",
        what: "the year of a time that no 64-bit count of seconds holds is what Go makes of it on one \
               processor and not another; here it is NaN",
        explains: |expression, expected, found| {
            let points = expected.points();
            let same = points.iter().zip(found.points());
            has(expression, &["year("])
                && same
                    .into_iter()
                    .all(|(a, b)| is_close(a.1, b.1) || (a.1 > 1e9 && b.1.is_nan()))
        },
    },
];

fn has(expression: &str, names: &[&str]) -> bool {
    names.iter().any(|name| expression.contains(name))
}

/// The longest window that a question has over counters.
const WINDOW_MAX_MILLIS: i64 = 30 * 60 * 1000;

/// The points whose windows do not reach back to where the data begins.
fn late(mut points: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
    let first = points.first().map_or(0, |(time, _)| *time);
    points.retain(|(time, _)| *time > first + WINDOW_MAX_MILLIS);
    points
}

/// The index of the change that explains why two answers differ.
pub(crate) fn reason(expression: &str, expected: &Answer, found: &Answer) -> Option<usize> {
    let mut all = DIFFERENCES.iter();
    all.position(|difference| (difference.explains)(expression, expected, found))
}
