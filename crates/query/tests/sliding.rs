//! Windows that slide give what windows cut anew give.

use proptest::prelude::*;
use query::testing::MemorySource;
use query::{Engine, Value};
use series::{Labels, STALE_NAN, Timestamp, is_stale};

/// Every function of a range vector, with its arguments.
const CALLS: [&str; 29] = [
    "rate(a[7s])",
    "increase(a[7s])",
    "delta(a[7s])",
    "irate(a[7s])",
    "idelta(a[7s])",
    "deriv(a[7s])",
    "predict_linear(a[7s], 60)",
    "double_exponential_smoothing(a[7s], 0.3, 0.6)",
    "resets(a[7s])",
    "changes(a[7s])",
    "sum_over_time(a[7s])",
    "avg_over_time(a[7s])",
    "min_over_time(a[7s])",
    "max_over_time(a[7s])",
    "count_over_time(a[7s])",
    "quantile_over_time(0.3, a[7s])",
    "stddev_over_time(a[7s])",
    "stdvar_over_time(a[7s])",
    "mad_over_time(a[7s])",
    "last_over_time(a[7s])",
    "first_over_time(a[7s])",
    "present_over_time(a[7s])",
    "absent_over_time(a[7s])",
    "ts_of_min_over_time(a[7s])",
    "ts_of_max_over_time(a[7s])",
    "ts_of_first_over_time(a[7s])",
    "ts_of_last_over_time(a[7s])",
    "sum_over_time(a[7s:2s] offset 1s)",
    "a",
];

/// A gap in milliseconds and a value; few distinct values, so that equals, resets and NaN meet.
fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        6 => (0..6_i32).prop_map(f64::from),
        2 => -1e3..1e3_f64,
        1 => Just(f64::NAN),
        1 => Just(STALE_NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ];
    prop::collection::vec((1..4000_i64, value), 0..60).prop_map(|gaps| {
        let mut at = 0;
        gaps.into_iter()
            .map(|(gap, value)| {
                at += gap;
                (at, value)
            })
            .collect()
    })
}

fn source(samples: &[(i64, f64)]) -> MemorySource {
    let mut source = MemorySource::default();
    let labels = Labels::with_name("a", &[]).expect("a valid name");
    for (at, value) in samples {
        source.push(&labels, Timestamp::from_millis(*at), *value);
    }
    source
}

/// The bits of the only series' value at each step.
fn by_range(source: &MemorySource, text: &str, end: i64, step: i64) -> Vec<(i64, u64)> {
    let engine = Engine::default();
    let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(end));
    let answer = engine
        .range(source, text, start, end, step, &engine.budget())
        .expect("the query is valid");
    let Value::Matrix(matrix) = answer.value else {
        unreachable!("a range query answers a matrix");
    };
    let Some(series) = matrix.first() else {
        return Vec::new();
    };
    let bits = Value::floats(&series.values)
        .iter()
        .map(|value| bits(*value));
    series.times.iter().copied().zip(bits).collect()
}

/// NaN is NaN: which one depends on the order of operands in the machine.
fn bits(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else {
        value.to_bits()
    }
}

fn by_instant(source: &MemorySource, text: &str, end: i64, step: i64) -> Vec<(i64, u64)> {
    let engine = Engine::default();
    let mut found = Vec::new();
    let mut at = 0;
    while at <= end {
        let answer = engine
            .instant(source, text, Timestamp::from_millis(at), &engine.budget())
            .expect("the query is valid");
        let Value::Vector(samples) = answer.value else {
            unreachable!("an instant query of a vector answers a vector");
        };
        found.extend(samples.first().map(|sample| (at, bits(sample.value))));
        at += step;
    }
    found
}

/// Straight from the definitions, with a fresh slice for each window.
fn naive(samples: &[(i64, f64)], call: &str, at: i64) -> Option<f64> {
    let window: Vec<(i64, f64)> = samples
        .iter()
        .copied()
        .filter(|(time, value)| at - 7000 < *time && *time <= at && !is_stale(*value))
        .collect();
    let values: Vec<f64> = window.iter().map(|(_, value)| *value).collect();
    let first = *window.first()?;
    let pairs = || values.windows(2).map(|pair| (pair[0], pair[1]));
    let count = |holds: &dyn Fn(f64, f64) -> bool| pairs().filter(|(a, b)| holds(*a, *b)).count();
    Some(match call {
        "resets" => count(&|a, b| b < a) as f64,
        "changes" => count(&|a, b| a < b || b < a || a.is_nan() != b.is_nan()) as f64,
        "min_over_time" => fold(&window, |new, kept| new < kept).1,
        "max_over_time" => fold(&window, |new, kept| new > kept).1,
        "ts_of_min_over_time" => fold(&window, |new, kept| new <= kept).0 as f64 / 1000.0,
        "ts_of_max_over_time" => fold(&window, |new, kept| new >= kept).0 as f64 / 1000.0,
        "increase" => {
            let last = *window.last().filter(|_| window.len() > 1)?;
            let mut growth = last.1 - first.1;
            for (before, after) in pairs() {
                if after < before {
                    growth += before;
                }
            }
            let interval = (last.0 - first.0) as f64 / 1000.0;
            let average = interval / (window.len() - 1) as f64;
            let mut to_start = (first.0 - (at - 7000)) as f64 / 1000.0;
            let mut to_end = (at - last.0) as f64 / 1000.0;
            if to_start >= average * 1.1 {
                to_start = average / 2.0;
            }
            if growth > 0.0 && first.1 >= 0.0 && interval * (first.1 / growth) < to_start {
                to_start = interval * (first.1 / growth);
            }
            if to_end >= average * 1.1 {
                to_end = average / 2.0;
            }
            growth * ((interval + to_start + to_end) / interval)
        }
        other => unreachable!("{other} has no definition here"),
    })
}

fn fold(window: &[(i64, f64)], beats: impl Fn(f64, f64) -> bool) -> (i64, f64) {
    let mut kept = window[0];
    for next in &window[1..] {
        if beats(next.1, kept.1) || kept.1.is_nan() {
            kept = *next;
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_range_query_gives_what_its_instants_give(
        samples in samples(),
        step in 20..9000_i64,
    ) {
        let source = source(&samples);
        for call in CALLS {
            prop_assert_eq!(
                by_range(&source, call, 60_000, step),
                by_instant(&source, call, 60_000, step),
                "{}", call
            );
        }
    }

    #[test]
    fn sliding_gives_what_the_definition_gives(samples in samples(), step in 20..3000_i64) {
        let source = source(&samples);
        for call in [
            "resets", "changes", "increase", "min_over_time", "max_over_time",
            "ts_of_min_over_time", "ts_of_max_over_time",
        ] {
            let wanted: Vec<(i64, u64)> = (0..=60_000 / step)
                .map(|index| index * step)
                .filter_map(|at| naive(&samples, call, at).map(|value| (at, bits(value))))
                .collect();
            prop_assert_eq!(
                by_range(&source, &format!("{call}(a[7s])"), 60_000, step),
                wanted,
                "{}", call
            );
        }
    }
}
