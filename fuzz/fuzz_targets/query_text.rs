//! Parsing PromQL, and evaluating what parses over a few series within small bounds: it ends, and
//! with an answer within its bounds or an error that points into the text. What is printed of an
//! expression reads as the same expression.
#![no_main]

use std::sync::LazyLock;

use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;
use query::testing::MemorySource;
use query::{Answer, Engine, Error, Expr, Options, ParseError, SeriesSource, Value};
use series::{Labels, Timestamp};

/// What parsing may take. A tree has no more nodes than the text has bytes; a regular expression of a
/// few bytes may compile to some megabytes.
const PARSE_BYTES_MAX: usize = 256 * MIB;
/// Answers here are at most a few thousand samples of some labels, each held several times on the way.
const EVALUATION_BYTES_MAX: usize = 512 * MIB;

const END_MILLIS: i64 = 600_000;

static SOURCE: LazyLock<MemorySource> = LazyLock::new(source);

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match within(PARSE_BYTES_MAX, || query::parse(text)) {
        Ok(expr) => check_printed(&expr),
        Err(error) => return check_place(&error, text),
    }
    let engine = Engine::new(Options {
        steps_max: 50,
        series_max: 100,
        samples_max: 10_000,
        answer_samples_max: 5_000,
        ..Options::default()
    });
    let source: &dyn SeriesSource = &*SOURCE;
    let (start, end) = (
        Timestamp::from_millis(0),
        Timestamp::from_millis(END_MILLIS),
    );
    within(EVALUATION_BYTES_MAX, || {
        let budget = engine.budget();
        check_answer(engine.instant(source, text, end, &budget), text);
        let budget = engine.budget();
        let answer = engine.range(source, text, start, end, 30_000, &budget);
        check_answer(answer, text);
    });
});

/// What is printed is not longer than what may be read; then it reads back.
fn check_printed(expr: &Expr) {
    let line = expr.to_string();
    for text in [&line, &expr.pretty()] {
        match query::parse(text) {
            Ok(again) => assert_eq!(again.to_string(), line, "{text}"),
            Err(error) => assert!(text.len() > query::BYTES_MAX, "{text}: {error}"),
        }
    }
}

fn check_place(error: &ParseError, text: &str) {
    let place = error.position;
    assert!((1..=1 + text.matches('\n').count()).contains(&place.line));
    assert!((1..=1 + text.chars().count()).contains(&place.column));
}

fn check_answer(answer: Result<Answer, Error>, text: &str) {
    match answer {
        Ok(answer) => {
            assert!(answer.statistics.samples_peak <= 10_000);
            if let Value::Matrix(matrix) = &answer.value {
                let sorted = matrix.is_sorted_by(|a, b| a.labels <= b.labels);
                assert!(sorted, "{text}");
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

/// A gauge, a counter with a reset, a histogram, a series that ended, and odd values.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    let mut push = |metric: &str, labels: &[(&str, &str)], value: &dyn Fn(f64) -> f64| {
        let labels = Labels::with_name(metric, labels).expect("these are valid");
        for step in 0..=20_u32 {
            let at = Timestamp::from_millis(30_000 * i64::from(step));
            source.push(&labels, at, value(f64::from(step)));
        }
    };
    push("a", &[("job", "x"), ("node", "1")], &|step| step);
    push("a", &[("job", "x"), ("node", "2")], &|step| 0.1 - step);
    push("b", &[("job", "x"), ("node", "1")], &|step| {
        step % 7.0 * 10.0
    });
    push("b", &[("job", "y"), ("node", "1")], &|step| {
        if step < 9.0 { step } else { series::STALE_NAN }
    });
    for (bound, share) in [("0.1", 1.0), ("1", 2.0), ("+Inf", 3.0)] {
        push("h_bucket", &[("job", "x"), ("le", bound)], &|step| {
            share * step
        });
    }
    push("odd", &[], &|step| match step {
        3.0 => f64::NAN,
        5.0 => f64::INFINITY,
        7.0 => -0.0,
        9.0 => 1e308,
        step => step * 1e307,
    });
    source
}
