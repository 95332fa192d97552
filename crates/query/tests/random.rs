//! Random expressions over random data neither panic nor say different things as an instant query
//! and as a step of a range query.

use proptest::prelude::*;
use query::testing::MemorySource;
use query::{Engine, Error, Value};
use series::{Labels, STALE_NAN, Timestamp};

/// A random instant vector or scalar, as text.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "a",
            "b",
            "{x=\"1\"}",
            "a offset 3s",
            "b @ 20",
            "a @ end()",
            "rate(a[9s])",
            "max_over_time(b[7s])",
            "1",
            "vector(2)",
            "absent(a{x=\"9\"})",
            "timestamp(b)",
            "last_over_time(a[5s])",
            "NaN",
            "a{y!=\"\"}",
            "count_over_time(b[20s:3s])",
        ][..],
    )
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let op = prop::sample::select(
            &[
                "+", "-", "/", "%", "^", "> bool", "== bool", "and", "or", "unless", "> on (x)",
                "* on (x) group_left", "- ignoring (y)", "or on ()", "and on (y)", "+ fill (1)",
                "atan2", "* on (x) group_right (y)",
            ][..],
        );
        let call = prop::sample::select(
            &[
                "abs", "-", "sum", "avg by (x)", "count without (x)", "stddev", "group by (y)",
                "sort",
                "floor", "scalar", "max by (__name__)", "ceil", "hour", "absent", "year",
            ][..],
        );
        let wrap = prop::sample::select(
            &[
                ("topk(2, ", ")"), ("bottomk by (x) (1, ", ")"), ("quantile(0.4, ", ")"),
                ("count_values(\"x\", ", ")"), ("limitk(1, ", ")"), ("limit_ratio(-0.5, ", ")"),
                ("label_replace(", ", \"y\", \"z$1\", \"x\", \"(.*)\")"),
                ("label_replace(", ", \"__name__\", \"n\", \"\", \"\")"),
                ("label_join(", ", \"le\", \"\", \"x\")"), ("clamp(", ", 0, 3)"),
                ("histogram_quantile(0.9, ", ")"), ("round(", ", 0.3)"),
                ("sum_over_time((", ")[11s:2s])"), ("changes((", ")[8s:1s] offset -2s)"),
                ("min_over_time((", ")[9s:] @ 30)"), ("last_over_time((", ")[6s:4s])"),
            ][..],
        );
        prop_oneof![
            3 => (inner.clone(), op, inner.clone()).prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            2 => (call, inner.clone()).prop_map(|(call, arg)| format!("{call}({arg})")),
            2 => (wrap, inner).prop_map(|((open, close), arg)| format!("{open}{arg}{close}")),
        ]
    })
}

/// Values of the series `a` and `b` with labels `x` and `y`, one a second for a minute.
fn source() -> impl Strategy<Value = MemorySource> {
    let value = prop_oneof![
        8 => (-3..9_i32).prop_map(|value| Some(f64::from(value))),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(STALE_NAN)),
        3 => Just(None),
    ];
    prop::collection::vec(prop::collection::vec(value, 60), 6).prop_map(|columns| {
        let mut source = MemorySource::default();
        let names = [
            ("a", "1", ""),
            ("a", "2", ""),
            ("a", "2", "k"),
            ("b", "1", ""),
            ("b", "2", ""),
            ("b", "3", "k"),
        ];
        for ((name, x, y), column) in names.into_iter().zip(columns) {
            let labels = Labels::with_name(name, &[("x", x), ("y", y)]).expect("valid labels");
            for (second, value) in (0..).zip(column) {
                if let Some(value) = value {
                    source.push(&labels, Timestamp::from_millis(second * 1000), value);
                }
            }
        }
        source
    })
}

/// Labels and bits at one time, sorted; NaN is NaN.
fn points(value: &Value, at: Timestamp) -> Vec<(String, u64)> {
    let bits = |value: f64| {
        if value.is_nan() {
            f64::NAN.to_bits()
        } else {
            value.to_bits()
        }
    };
    let mut points: Vec<(String, u64)> = match value {
        Value::Scalar { value, .. } => vec![("{}".to_owned(), bits(*value))],
        Value::String { .. } => Vec::new(),
        Value::Vector(samples) => samples
            .iter()
            .map(|sample| (sample.labels.to_string(), bits(sample.value)))
            .collect(),
        Value::Matrix(matrix) => matrix
            .iter()
            .filter_map(|series| {
                let index = series
                    .times
                    .iter()
                    .position(|time| *time == at.as_millis())?;
                let value = Value::floats(&series.values)[index];
                Some((series.labels.to_string(), bits(value)))
            })
            .collect(),
    };
    points.sort();
    points
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, ..ProptestConfig::default() })]

    #[test]
    fn a_step_of_a_range_query_is_an_instant_query(
        text in expression(),
        source in source(),
        step in 1..20_i64,
    ) {
        let engine = Engine::default();
        let (start, end) = (Timestamp::from_millis(0), Timestamp::from_millis(60_000));
        let ranged = match engine.range(&source, &text, start, end, step * 1000, &engine.budget()) {
            Ok(answer) => answer.value,
            // What one step cannot do fails all steps; scalars meet scalars only under `bool`.
            Err(Error::Execution { .. } | Error::Parse(_)) => return Ok(()),
            Err(other) => return Err(TestCaseError::fail(format!("{text}: {other}"))),
        };
        // These mean the times of the query, which an instant query has its own of.
        if text.contains("end()") {
            return Ok(());
        }
        for at in (0..=60).step_by(usize::try_from(step).unwrap_or(1)) {
            let at = Timestamp::from_millis(at * 1000);
            let instant = engine.instant(&source, &text, at, &engine.budget());
            let instant = instant.map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
            prop_assert_eq!(points(&instant.value, at), points(&ranged, at), "{} at {}", text, at);
        }
    }
}
