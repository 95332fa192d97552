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

/// See [`crate::counters`], which tells.
pub(crate) static COUNTERS: Difference = Difference {
    since: "after 2.42",
    what: "where a counter begins inside the window, the gap before its first sample is halved before it \
           is cut off where the counter was zero, and no longer after",
    explains: |_, _, _| false,
};

/// All others.
pub(crate) static DIFFERENCES: &[Difference] = &[
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
        what: "the date of a time that no 64-bit count of seconds holds is what Go makes of it on one \
               processor and not another; here it is NaN",
        explains: |expression, expected, found| {
            let points = expected.points();
            let same = points.iter().zip(found.points());
            let dates = ["year(", "month(", "day_of_", "hour(", "minute("];
            has(expression, &dates)
                && same
                    .into_iter()
                    .all(|(a, b)| is_close(a.1, b.1) || b.1.is_nan())
        },
    },
];

fn has(expression: &str, names: &[&str]) -> bool {
    names.iter().any(|name| expression.contains(name))
}

/// The change that explains why two answers differ.
pub(crate) fn reason(
    expression: &str,
    expected: &Answer,
    found: &Answer,
) -> Option<&'static Difference> {
    let mut all = DIFFERENCES.iter();
    all.find(|difference| (difference.explains)(expression, expected, found))
}
