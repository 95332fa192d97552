//! What windows of roll-ups answer is what their samples answer.

use proptest::prelude::*;
use query::source::{Budget, EachSeries, Selected, SeriesSource, SourceError, WindowSelection};
use query::testing::MemorySource;
use query::{Answer, Engine, Options, Value};
use rollup::Tier;
use series::{Labels, Matcher, STALE_NAN, TimeRange, Timestamp};

const FUNCTIONS: [&str; 6] = ["sum", "avg", "count", "min", "max", "present"];
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn sources(samples: &[(i64, f64)]) -> [MemorySource; 2] {
    let fill = |mut source: MemorySource| {
        for (at, value) in samples {
            for node in ["x", "y"] {
                let labels = Labels::with_name("a", &[("node", node)]).expect("a valid name");
                let at = Timestamp::from_millis(*at + if node == "y" { HOUR } else { 0 });
                source.push(&labels, at, *value);
            }
        }
        source
    };
    [
        fill(MemorySource::default()),
        fill(MemorySource::with_windows(&Tier::ALL)),
    ]
}

/// An answer from `start` on, or at one time when there is no step.
fn ask(source: &dyn SeriesSource, text: &str, start: i64, step: Option<i64>) -> Answer {
    let engine = Engine::new(Options {
        windows_min: 1,
        ..Options::default()
    });
    let at = Timestamp::from_millis;
    let answer = match step {
        Some(step) => {
            let end = at(start + 6 * step);
            engine.range(source, text, at(start), end, step, &engine.budget())
        }
        None => engine.instant(source, text, at(start), &engine.budget()),
    };
    answer.expect("the query is valid")
}

/// Labels, time and value of all points.
fn points(answer: &Answer) -> Vec<(String, i64, f64)> {
    match &answer.value {
        Value::Vector(samples) => samples
            .iter()
            .map(|it| (it.labels.to_string(), it.at.as_millis(), it.value))
            .collect(),
        Value::Matrix(matrix) => matrix
            .iter()
            .flat_map(|series| {
                let values = Value::floats(&series.values).iter();
                let points = series.times.iter().zip(values);
                points.map(|(at, value)| (series.labels.to_string(), *at, *value))
            })
            .collect(),
        other => unreachable!("a vector or a matrix, not {other:?}"),
    }
}

fn read_windows(answer: &Answer) -> Vec<(Tier, u64)> {
    let windows = answer.statistics.windows.iter();
    windows.map(|(tier, count)| (*tier, *count)).collect()
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        8 => (-60..600_i32).prop_map(|value| f64::from(value) / 8.0),
        1 => Just(f64::NAN),
        1 => Just(STALE_NAN),
        1 => Just(f64::INFINITY),
    ];
    prop::collection::vec((1..900_000_i64, value), 0..80).prop_map(|gaps| {
        let mut at = 0;
        let sample = gaps.into_iter().map(|(gap, value)| {
            // Many lie on the grid, where windows begin and end.
            at += gap;
            (if gap % 3 == 0 { at - at % MINUTE } else { at }, value)
        });
        sample.collect()
    })
}

proptest! {
    #[test]
    fn windows_and_samples_answer_alike(
        samples in samples(),
        function in prop::sample::select(&FUNCTIONS[..]),
        range in prop::sample::select(&["1m", "7m", "1h", "90m", "2h", "1d", "61s"][..]),
        shift in prop::sample::select(&["", " offset 30m", " @ 7200", " offset -13s"][..]),
        start in prop_oneof![(0..300_i64).prop_map(|at| at * MINUTE), 0..10 * HOUR],
        step in prop::sample::select(&[None, Some(MINUTE), Some(HOUR), Some(90_500)][..]),
    ) {
        let text = format!("{function}_over_time(a[{range}]{shift})");
        let [raw, rolled] = sources(&samples);
        let (raw, rolled) = (ask(&raw, &text, start, step), ask(&rolled, &text, start, step));
        prop_assert!(read_windows(&raw).is_empty());
        let (raw, rolled) = (points(&raw), points(&rolled));
        prop_assert_eq!(raw.len(), rolled.len(), "{}", text);
        for (a, b) in raw.iter().zip(&rolled) {
            prop_assert_eq!((&a.0, a.1), (&b.0, b.1), "{}", text);
            let is_near = (a.2 - b.2).abs() <= 1e-12 * a.2.abs();
            let is_same = a.2.total_cmp(&b.2).is_eq() || (a.2.is_nan() && b.2.is_nan());
            prop_assert!(is_near || is_same, "{}: {} {}", text, a.2, b.2);
        }
    }
}

#[test]
fn the_coarsest_windows_that_fit_are_read() {
    let samples: Vec<(i64, f64)> = (0..3 * 1440).map(|at| (at * MINUTE, 1.0)).collect();
    let [_, source] = sources(&samples);
    let tiers = |text: &str, start, step| read_windows(&ask(&source, text, start, step));
    let day = 24 * HOUR;
    // Of 1d that end in the second and third day, of two series: each is read once.
    let both = "sum_over_time(a[1d]) / count_over_time(a[1d])";
    assert_eq!(tiers(both, 2 * day, None), [(Tier::Day, 2)]);
    assert_eq!(
        tiers("sum_over_time(a[2h])", 2 * day, None),
        [(Tier::Hour, 4)]
    );
    assert_eq!(
        tiers("sum_over_time(a[1d])", day, Some(HOUR))[0].0,
        Tier::Hour
    );
    assert_eq!(
        tiers("sum_over_time(a[5m])", day, Some(5 * MINUTE))[0].0,
        Tier::FiveMinutes
    );
    // Beside the grid: the finest windows and the samples of two edges.
    let beside = ask(&source, "max_over_time(a[1d])", 2 * day + 1, None);
    assert_eq!(read_windows(&beside), [(Tier::Minute, 2 * 1439)]);
    assert!(
        beside.statistics.samples < 2 * 1450,
        "{:?}",
        beside.statistics
    );
    // Samples are needed: steps beside the grid, and functions that look at each.
    for text in [
        "rate(a[1h])",
        "last_over_time(a[1h])",
        "stddev_over_time(a[1h])",
        "a",
    ] {
        assert!(tiers(text, 2 * day, None).is_empty(), "{text}");
    }
    assert!(tiers("sum_over_time(a[1h])", day, Some(61_000)).is_empty());
    assert!(tiers("sum_over_time(a[1h:])", day, None).is_empty());
}

#[test]
fn a_mean_of_large_values_does_not_overflow() {
    let [raw, rolled] = sources(&[(1, 1.5e308), (2, 1.7e308), (HOUR + 1, 1.6e308)]);
    for text in ["avg_over_time(a[1h])", "avg_over_time(a[2h])"] {
        for at in [HOUR, 2 * HOUR] {
            let (raw, rolled) = (ask(&raw, text, at, None), ask(&rolled, text, at, None));
            assert!(!read_windows(&rolled).is_empty());
            assert_eq!(points(&raw).len(), points(&rolled).len());
            for (a, b) in points(&raw).iter().zip(&points(&rolled)) {
                assert!(
                    (a.2 / b.2 - 1.0).abs() < 1e-12,
                    "{text} at {at}: {a:?} {b:?}"
                );
            }
        }
    }
}

/// A source whose samples of the first day are gone.
struct Forgetful(MemorySource);

impl SeriesSource for Forgetful {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let kept = Timestamp::from_millis(self.samples_from());
        let range = TimeRange::new(range.start_inclusive.max(kept), range.end_inclusive);
        self.0.select_each(matchers, range, budget, each)
    }

    fn tiers(&self) -> &[Tier] {
        &[Tier::Hour, Tier::Day]
    }

    fn samples_from(&self) -> i64 {
        24 * HOUR
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        self.0.windows(matchers, tier, range, budget)
    }
}

#[test]
fn what_was_dropped_is_answered_by_windows_or_said_to_be_missing() {
    let samples: Vec<(i64, f64)> = (0..2000).map(|at| (at * MINUTE, 5.0)).collect();
    let [_, source] = sources(&samples);
    let source = Forgetful(source);
    let whole = ask(&source, "stddev_over_time(a[1d])", 24 * HOUR, None);
    assert_eq!(
        points(&whole),
        [
            ("{node=\"x\"}".to_owned(), 24 * HOUR, 0.0),
            ("{node=\"y\"}".to_owned(), 24 * HOUR, 0.0)
        ]
    );
    assert!(!whole.partial && whole.warnings.is_empty());
    for text in [
        "rate(a[1d])",
        "a offset 1d",
        "sum_over_time(a[90m])",
        "a offset 20h",
    ] {
        let part = ask(&source, text, 24 * HOUR, None);
        assert!(part.partial, "{text}");
        assert!(
            part.warnings[0].starts_with("samples before 1970-01-02 ")
                && part.warnings[0].contains("roll-ups of 1h and 1d"),
            "{:?}",
            part.warnings
        );
    }
    let after = ask(&source, "rate(a[5m])", 26 * HOUR, None);
    assert!(!after.partial && after.warnings.is_empty());
}
