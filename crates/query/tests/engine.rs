//! Limits, cancellation, statistics and what is read.

use std::sync::Mutex;

use query::source::{EachSeries, Selected, SourceError};
use query::testing::MemorySource;
use query::{Answer, Budget, Engine, Error, Options, SeriesSource, Value, ast, functions};
use series::{Labels, Matcher, TimeRange, Timestamp};

fn millis(at: i64) -> Timestamp {
    Timestamp::from_millis(at)
}

/// Ten series of `a` with a sample each second for a minute.
fn source() -> MemorySource {
    let mut source = MemorySource::default();
    for series in 0..10 {
        let labels = Labels::with_name("a", &[("s", &series.to_string())]).expect("valid labels");
        for second in 0..=60 {
            source.push(&labels, millis(second * 1000), f64::from(series));
        }
    }
    source
}

/// Remembers what was selected; may cancel the query, or answer in part.
#[derive(Default)]
struct Watched {
    inner: MemorySource,
    ranges: Mutex<Vec<(String, TimeRange)>>,
    cancels: bool,
    partial: bool,
}

impl SeriesSource for Watched {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let key: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        self.ranges
            .lock()
            .expect("nothing panics while holding the lock")
            .push((key.join(","), range));
        let mut selected = self.inner.select_each(matchers, range, budget, each)?;
        if self.cancels {
            budget.cancel();
        }
        if self.partial {
            selected.partial = true;
            selected.warnings.push("one node is behind".to_owned());
        }
        Ok(selected)
    }
}

fn range(engine: &Engine, source: &dyn SeriesSource, text: &str) -> Result<Answer, Error> {
    engine.range(
        source,
        text,
        millis(0),
        millis(60_000),
        1000,
        &engine.budget(),
    )
}

/// The kind and text of the error of a range query over [`source`], and its cause.
fn refusal(options: Options, text: &str) -> String {
    let error = range(&Engine::new(options), &source(), text).expect_err("a limit is reached");
    assert!(!error.is_retryable());
    let shown = format!("{}: {error}", error.error_type().as_str());
    match std::error::Error::source(&error) {
        Some(cause) => format!("{shown}: {cause}"),
        None => shown,
    }
}

#[test]
fn each_limit_is_an_error_of_its_kind() {
    let check = |options, text, wanted: &str| assert_eq!(refusal(options, text), wanted);
    let options = Options::default;
    check(
        Options {
            steps_max: 60,
            ..options()
        },
        "a",
        "bad_data: exceeded maximum resolution of 60 points per timeseries. Try decreasing the \
         query resolution (?step=XX)",
    );
    check(
        Options {
            series_max: 9,
            ..options()
        },
        "a",
        "execution: reading the series of the query: the query reads more than 9 series; narrow \
         the selector or the time range",
    );
    check(
        Options {
            samples_max: 609,
            ..options()
        },
        "a",
        "execution: reading the series of the query: the query reads more than 609 samples; narrow \
         the selector or the time range",
    );
    check(
        Options {
            samples_max: 1300,
            ..options()
        },
        "a + a",
        "execution: query processing would load too many samples into memory in query execution: \
         more than 1300",
    );
    check(
        Options {
            answer_samples_max: 609,
            ..options()
        },
        "a",
        "execution: query processing would load too many samples of the answer into memory in \
         query execution: more than 609",
    );
    check(
        options(),
        "count_over_time(vector(1)[10y:1ms])",
        "execution: query processing would load too many steps into memory in query execution: \
         more than 10000000",
    );
    check(
        options(),
        "a +",
        "bad_data: 1:4: parse error: unexpected end of input",
    );
    check(
        options(),
        "a[5m]",
        "bad_data: 1:1: parse error: invalid expression type \"range vector\" for range query, \
         must be Scalar or instant Vector",
    );
}

#[test]
fn bad_times_are_refused() {
    let engine = Engine::default();
    let source = source();
    let budget = engine.budget();
    for (start, end, step) in [(0, 10, 0), (0, 10, -1), (10, 0, 1), (i64::MIN, 0, i64::MAX)] {
        let result = engine.range(&source, "a", millis(start), millis(end), step, &budget);
        assert!(
            matches!(result, Err(Error::Request { .. })),
            "{start} {end} {step}"
        );
    }
    let result = engine.instant(&source, "a", Timestamp::MAX, &budget);
    assert!(matches!(result, Err(Error::Request { .. })));
}

#[test]
fn a_cancelled_query_stops() {
    let engine = Engine::default();
    let watched = Watched {
        inner: source(),
        cancels: true,
        ..Watched::default()
    };
    let error = range(&engine, &watched, "sum(rate(a[5s]))").unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    assert_eq!(error.error_type().as_str(), "canceled");
}

#[test]
fn a_selector_is_read_once_for_all_that_touches() {
    let engine = Engine::default();
    let watched = Watched {
        inner: source(),
        ..Watched::default()
    };
    let text = "a / max_over_time(a[5s]) + sum_over_time(a[10s:1s]) + a offset 10s + a offset 2w";
    range(&engine, &watched, text).unwrap();
    let ranges = watched.ranges.into_inner().unwrap();
    let fortnight = 14 * 86_400_000;
    let wanted = [
        (-309_999, 60_000),
        (-299_999 - fortnight, 60_000 - fortnight),
    ];
    let got: Vec<(i64, i64)> = ranges
        .iter()
        .map(|(_, range)| {
            (
                range.start_inclusive.as_millis(),
                range.end_inclusive.as_millis(),
            )
        })
        .collect();
    assert_eq!(got, wanted);
}

#[test]
fn what_the_source_says_reaches_the_asker() {
    let engine = Engine::default();
    let watched = Watched {
        inner: source(),
        partial: true,
        ..Watched::default()
    };
    let answer = range(&engine, &watched, "rate(a[10s]) + rate(a[10s])").unwrap();
    assert!(answer.partial);
    assert_eq!(answer.warnings, ["one node is behind"]);
    let name = "name does not end in _total/_sum/_count/_bucket: \"a\"";
    let infos = [6, 21]
        .map(|column| format!("PromQL info: metric might not be a counter, {name} (1:{column})"));
    assert_eq!(answer.infos, infos);
}

#[test]
fn statistics_count_what_was_read_and_held() {
    let engine = Engine::default();
    let answer = range(&engine, &source(), "sum(a)").unwrap();
    assert_eq!(
        (answer.statistics.series, answer.statistics.samples),
        (10, 610)
    );
    // The samples read, a column for each series and one for the sum.
    assert_eq!(answer.statistics.samples_peak, 610 + 610 + 61);
    let Value::Matrix(matrix) = answer.value else {
        unreachable!("a range query answers a matrix");
    };
    assert_eq!((matrix.len(), matrix[0].times.len()), (1, 61));
    assert!(
        Value::floats(&matrix[0].values)
            .iter()
            .all(|sum| (sum - 45.0).abs() < 1e-9)
    );
}

#[test]
fn a_failing_source_may_be_asked_again() {
    struct Failing;
    impl SeriesSource for Failing {
        fn select_each(
            &self,
            _: &[Matcher],
            _: TimeRange,
            _: &Budget,
            _: &mut EachSeries<'_>,
        ) -> Result<Selected, SourceError> {
            Err(SourceError::Read("disk".into()))
        }
    }
    let engine = Engine::default();
    let error = range(&engine, &Failing, "a").unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(error.error_type().as_str(), "internal");
}

#[test]
fn every_function_of_the_language_is_evaluated() {
    let engine = Engine::default();
    let source = source();
    for function in functions::all() {
        let arg = |kind: &ast::Type| match kind {
            ast::Type::Scalar => "0.5",
            ast::Type::String => "\"le\"",
            ast::Type::Vector => "a",
            ast::Type::Matrix => "a[20s]",
        };
        let args: Vec<&str> = function.args.iter().map(arg).collect();
        let text = format!("{}({})", function.name, args.join(", "));
        let at = millis(60_000);
        let answer = engine.instant(&source, &text, at, &engine.budget());
        let samples = answer.map(|answer| answer.value.samples());
        // Functions of native histograms, and those of what is missing, find nothing here.
        let empty = matches!(
            function.name,
            "absent"
                | "absent_over_time"
                | "histogram_avg"
                | "histogram_count"
                | "histogram_sum"
                | "histogram_stddev"
                | "histogram_stdvar"
                | "histogram_quantile"
                | "histogram_quantiles"
                | "histogram_fraction"
        );
        let samples = samples.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(samples == 0, empty, "{text} gave {samples} samples");
    }
}
