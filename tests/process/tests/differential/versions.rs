//! What Prometheus changed after 2.42, as far as the questions meet it.

use crate::compare::{Answer, are_close, by_labels, is_close};

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
        what: "timestamp finds a selector that has both @ and offset",
        explains: |expression, expected, found| {
            has(expression, &["timestamp("])
                && expression.contains('@')
                && expression.contains("offset")
                && expected.points().len() < found.points().len()
        },
    },
    Difference {
        since: "after 2.42",
        what: "stddev and stdvar make up for what rounding takes, and are NaN of what is not finite",
        explains: |expression, expected, found| {
            has(expression, &["stddev", "stdvar"])
                && differ_as(expected, found, |old, new| {
                    (old - new).abs() <= 1e-6 * old.abs() || (old.abs() <= 0.0 && new.is_nan())
                })
        },
    },
    Difference {
        since: "at no time",
        what: "the date of a time that no 64-bit count of seconds holds is what Go makes of it on one \
               processor and not another; here it is NaN",
        explains: |expression, expected, found| {
            let dates = ["year(", "month(", "day_of_", "hour(", "minute("];
            has(expression, &dates) && differ_as(expected, found, |_, here| here.is_nan())
        },
    },
    Difference {
        since: "at no time",
        what: "of a number too small to have all its digits, Go's logarithm on x86 takes the exponent for \
               that of a larger one",
        explains: |expression, expected, found| {
            has(expression, &["ln(", "log2(", "log10("])
                && differ_as(expected, found, |go, here| here < -307.6 && here < go)
        },
    },
    Difference {
        since: "at no time",
        what: "which of equal values are among the first or the last ones is said nowhere",
        explains: |expression, expected, found| {
            has(expression, &["topk", "bottomk"]) && are_close(&expected.points(), &found.points())
        },
    },
];

/// Whether answers have the same series and times, and where their values differ, do so in this way.
fn differ_as(expected: &Answer, found: &Answer, way: impl Fn(f64, f64) -> bool) -> bool {
    let (expected, found) = (by_labels(expected), by_labels(found));
    let same = |a: &[(i64, f64)], b: &[(i64, f64)]| {
        let pairs = a.iter().zip(b);
        let way = |(a, b): (&(i64, f64), &(i64, f64))| {
            a.0 == b.0 && (is_close(a.1, b.1) || way(a.1, b.1))
        };
        a.len() == b.len() && pairs.into_iter().all(way)
    };
    expected.keys().eq(found.keys())
        && expected
            .values()
            .zip(found.values())
            .all(|(a, b)| same(a, b))
}

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
