use std::time::Duration;

use expect_test::expect;
use proptest::prelude::*;

use super::process::{Stat, boot_seconds};
use super::*;

fn family<'a>(families: &'a [MetricFamily], name: &str) -> &'a MetricFamily {
    families.iter().find(|family| family.name == name).unwrap()
}

/// Something of each kind that the formats write in their own way.
fn families_to_render() -> Vec<MetricFamily> {
    let registry = Registry::new();
    let dropped = |reason| {
        registry
            .counter(
                "vedette_batches_dropped_total",
                "Batches \\ dropped.\nBy \"reason\".",
                &[("reason", reason)],
            )
            .unwrap()
    };
    dropped("full").add(3);
    dropped("a\\b\"c\nd").inc();
    dropped("full").inc();
    let depth = registry
        .gauge("vedette_queue_depth", "Batches queued.", &[])
        .unwrap();
    depth.set(1.5);
    registry
        .gauge("vedette_never_set", "Has no sample.", &[])
        .unwrap();
    registry.collector(|| {
        vec![
            MetricFamily::new("vedette_limits", "Bounds.", MetricKind::Gauge)
                .with(&[("of", "files")], f64::INFINITY)
                .with(&[("of", "low")], f64::NEG_INFINITY)
                .with(&[("of", "none")], f64::NAN)
                .with(&[("of", "big")], 1e21),
            MetricFamily::new("vedette_build_info", "Build.", MetricKind::Info)
                .with(&[("version", "1")], 1.0),
        ]
    });
    registry.gather()
}

#[test]
fn both_formats_say_the_same_with_their_own_escapes() {
    let gathered = families_to_render();
    expect![[r##"
        # HELP vedette_batches_dropped_total Batches \\ dropped.\nBy "reason".
        # TYPE vedette_batches_dropped_total counter
        vedette_batches_dropped_total{reason="a\\b\"c\nd"} 1
        vedette_batches_dropped_total{reason="full"} 4
        # HELP vedette_build_info Build.
        # TYPE vedette_build_info gauge
        vedette_build_info{version="1"} 1
        # HELP vedette_limits Bounds.
        # TYPE vedette_limits gauge
        vedette_limits{of="files"} +Inf
        vedette_limits{of="low"} -Inf
        vedette_limits{of="none"} NaN
        vedette_limits{of="big"} 1000000000000000000000
        # HELP vedette_queue_depth Batches queued.
        # TYPE vedette_queue_depth gauge
        vedette_queue_depth 1.5
    "##]]
    .assert_eq(&render_text(&gathered));
    expect![[r##"
        # TYPE vedette_batches_dropped counter
        # HELP vedette_batches_dropped Batches \\ dropped.\nBy \"reason\".
        vedette_batches_dropped_total{reason="a\\b\"c\nd"} 1
        vedette_batches_dropped_total{reason="full"} 4
        # TYPE vedette_build info
        # HELP vedette_build Build.
        vedette_build_info{version="1"} 1
        # TYPE vedette_limits gauge
        # HELP vedette_limits Bounds.
        vedette_limits{of="files"} +Inf
        vedette_limits{of="low"} -Inf
        vedette_limits{of="none"} NaN
        vedette_limits{of="big"} 1000000000000000000000
        # TYPE vedette_queue_depth gauge
        # HELP vedette_queue_depth Batches queued.
        vedette_queue_depth 1.5
        # EOF
    "##]]
    .assert_eq(&render_openmetrics(&gathered));
}

#[test]
fn a_histogram_is_cumulative_buckets_sum_and_count() {
    let registry = Registry::new();
    let latency = registry
        .histogram(
            "vedette_ack_latency_seconds",
            "From sent to acknowledged.",
            &[("lane", "bulk"), ("a", "z")],
        )
        .unwrap();
    latency.record(Duration::from_micros(90));
    latency.record_n(Duration::from_millis(3), 4);
    assert!(latency.record_seconds(0.5));
    assert!(latency.record_seconds(7200.0));
    assert!(latency.record_seconds(1e300));
    assert!(!latency.record_seconds(f64::NAN));
    assert!(!latency.record_seconds(-0.1));
    expect![[r##"
        # HELP vedette_ack_latency_seconds From sent to acknowledged.
        # TYPE vedette_ack_latency_seconds histogram
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.0001"} 1
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.00025"} 1
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.0005"} 1
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.001"} 1
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.0025"} 1
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.005"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.01"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.025"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.05"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.1"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.25"} 5
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="0.5"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="1.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="2.5"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="5.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="10.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="30.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="60.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="300.0"} 6
        vedette_ack_latency_seconds_bucket{a="z",lane="bulk",le="+Inf"} 8
        vedette_ack_latency_seconds_sum{a="z",lane="bulk"} 10800.51209
        vedette_ack_latency_seconds_count{a="z",lane="bulk"} 8
    "##]]
    .assert_eq(&render_text(&registry.gather()));
    let median = latency.quantile(0.5).unwrap().as_secs_f64();
    assert!((median - 0.003).abs() <= 0.003 * 0.01);
    assert_eq!(Histogram::new().quantile(0.5), None);
}

#[test]
fn the_bucket_texts_are_their_bounds_and_ascend() {
    for (le, micros) in BUCKETS {
        let seconds: f64 = le.parse().unwrap();
        assert_eq!(
            Duration::from_secs_f64(seconds),
            Duration::from_micros(micros)
        );
        // The canonical form of OpenMetrics, so that scraped and pushed series have one name.
        assert_eq!(format!("{seconds:?}"), le);
    }
    assert!(BUCKETS.is_sorted_by(|a, b| a.1 < b.1));
}

#[test]
fn a_gauge_is_missing_until_it_is_set_and_counts_from_zero() {
    let gauge = Gauge::default();
    assert_eq!(gauge.get(), None);
    gauge.add(2.0);
    gauge.add(-0.5);
    assert_eq!(gauge.get(), Some(1.5));
    gauge.set_count(7);
    assert_eq!(gauge.get(), Some(7.0));
    gauge.set(f64::NAN);
    assert_eq!(gauge.get(), None);
}

#[test]
fn handles_count_from_many_threads_without_loss() {
    let registry = Registry::new();
    let counter = registry.counter("vedette_x_total", "X.", &[]).unwrap();
    let gauge = registry.gauge("vedette_x", "X.", &[]).unwrap();
    let histogram = registry.histogram("vedette_x_seconds", "X.", &[]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    counter.add(2);
                    gauge.add(1.0);
                    histogram.record(Duration::from_millis(1));
                }
            });
        }
    });
    assert_eq!((counter.get(), gauge.get()), (8000, Some(4000.0)));
    assert_eq!(histogram.count(), 4000);
}

#[test]
fn callbacks_are_asked_at_each_gathering_and_may_use_the_registry() {
    let registry = Registry::new();
    let asked = registry
        .counter("vedette_asked_total", "Asked.", &[])
        .unwrap();
    let (inner, seen) = (registry.clone(), asked.clone());
    registry
        .callback(
            "vedette_series",
            "Series.",
            MetricKind::Gauge,
            &[],
            move || {
                seen.inc();
                // Would hang if the registry were locked now.
                inner.counter("vedette_asked_total", "Asked.", &[]).ok()?;
                (seen.get() > 1).then_some(5.0)
            },
        )
        .unwrap();
    let names = |families: &[MetricFamily]| families.iter().map(|f| f.name).collect::<Vec<_>>();
    assert_eq!(names(&registry.gather()), ["vedette_asked_total"]);
    assert_eq!(
        names(&registry.gather()),
        ["vedette_asked_total", "vedette_series"]
    );
    assert_eq!(asked.get(), 2);
}

#[test]
fn collectors_add_to_a_family_of_the_same_kind_only() {
    let registry = Registry::new();
    registry
        .gauge("vedette_a", "A.", &[("of", "1")])
        .unwrap()
        .set(1.0);
    registry.collector(|| {
        vec![
            MetricFamily::new("vedette_a", "A.", MetricKind::Gauge).with(&[("of", "2")], 2.0),
            MetricFamily::new("vedette_a", "A.", MetricKind::Counter).with(&[("of", "3")], 3.0),
        ]
    });
    let values: Vec<f64> = family(&registry.gather(), "vedette_a")
        .samples
        .iter()
        .map(|sample| sample.value)
        .collect();
    assert_eq!(values, [1.0, 2.0]);
}

#[test]
fn wrong_registrations_are_refused() {
    let registry = Registry::new();
    registry.counter("vedette_a_total", "A.", &[]).unwrap();
    registry.gauge("vedette_g", "G.", &[]).unwrap();
    let none = || None;
    let mut told = String::new();
    let mut refused = |error: Option<Error>| {
        let error = error.unwrap();
        assert!(!error.is_retryable());
        told.push_str(&format!("{error}\n"));
    };
    refused(registry.counter("vedette_a", "A.", &[]).err());
    refused(registry.counter("Vedette_a_total", "A.", &[]).err());
    refused(registry.gauge("", "A.", &[]).err());
    refused(registry.gauge("vedette_b_total", "A.", &[]).err());
    refused(registry.gauge("vedette_a_total", "A.", &[]).err());
    refused(registry.counter("vedette_a_total", "Other.", &[]).err());
    refused(registry.histogram("vedette_h", "H.", &[]).err());
    refused(
        registry
            .histogram("vedette_h_seconds", "H.", &[("le", "1")])
            .err(),
    );
    refused(
        registry
            .gauge("vedette_b", "B.", &[("x", "1"), ("x", "2")])
            .err(),
    );
    refused(registry.gauge("vedette_b", "B.", &[("a-b", "1")]).err());
    refused(
        registry
            .callback("vedette_g", "G.", MetricKind::Gauge, &[], none)
            .err(),
    );
    refused(
        registry
            .callback("vedette_c_seconds", "C.", MetricKind::Histogram, &[], none)
            .err(),
    );
    expect![[r#"
        metric name "vedette_a" is refused: counters end in _total
        metric name "Vedette_a_total" is refused: names are lower-case letters, digits and underscores, a letter first
        metric name "" is refused: names are lower-case letters, digits and underscores, a letter first
        metric name "vedette_b_total" is refused: a gauge must not end as the samples of other kinds do
        metric name "vedette_a_total" is refused: a gauge must not end as the samples of other kinds do
        metric "vedette_a_total" is registered with another kind or help text
        metric name "vedette_h" is refused: histograms end in _seconds
        label "le" of metric "vedette_h_seconds" is not valid, is reserved or comes twice
        label "x" of metric "vedette_b" is not valid, is reserved or comes twice
        label "a-b" of metric "vedette_b" is not valid, is reserved or comes twice
        a series of metric "vedette_g" is registered twice
        metric name "vedette_c_seconds" is refused: a callback gives one value and not a histogram
    "#]].assert_eq(&told);
}

#[test]
fn a_registry_has_a_bound() {
    let registry = Registry::new();
    let add = |at: usize| registry.gauge("vedette_n", "N.", &[("n", &at.to_string())]);
    for at in 0..SERIES_MAX {
        add(at).unwrap();
    }
    assert_eq!(
        add(SERIES_MAX).unwrap_err(),
        Error::TooMany { name: "vedette_n" }
    );
    assert!(add(0).is_ok());
}

#[test]
fn a_stat_line_is_read_past_a_name_with_brackets_and_blanks() {
    let line = "42 (a) R (b) S 1 42 42 0 -1 4194560 100 0 0 0 \
                250 50 0 0 20 0 7 0 12345 1048576 300 18446744073709551615\n";
    assert_eq!(
        Stat::parse(line),
        Some(Stat {
            cpu_ticks: 300,
            threads: 7,
            start_ticks: 12_345,
            virtual_bytes: 1_048_576,
            resident_pages: 300,
        })
    );
    assert_eq!(Stat::parse("42 (x) S 1 2 3"), None);
    assert_eq!(Stat::parse(""), None);
    assert_eq!(
        boot_seconds("cpu 1 2\nbtime 1700000000\n"),
        Some(1_700_000_000)
    );
    assert_eq!(boot_seconds("cpu 1 2\n"), None);
}

#[test]
fn this_process_is_described_by_the_conventional_names() {
    let families = process_families();
    let names: Vec<&str> = families.iter().map(|family| family.name).collect();
    assert_eq!(
        names,
        [
            "process_cpu_seconds_total",
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_threads",
            "process_virtual_memory_bytes",
        ]
    );
    let value = |name| family(&families, name).samples[0].value;
    assert!(
        value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds")
    );
    assert!(value("process_resident_memory_bytes") > 100_000.0);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_threads") >= 1.0);
    assert!(value("process_start_time_seconds") > 1.6e9);
    assert!(value("process_cpu_seconds_total") < 1e6);
}

/// Bounds, in seconds, and counts of the buckets of a histogram.
fn buckets(histogram: &Histogram) -> Vec<(f64, f64)> {
    let mut samples = Vec::new();
    histogram.sample(&Vec::new(), &mut samples);
    samples
        .iter()
        .filter(|sample| sample.suffix == "_bucket")
        .map(|sample| (sample.labels[0].1.parse().unwrap(), sample.value))
        .collect()
}

proptest! {
    #[test]
    fn buckets_rise_to_the_count_and_lie_within_the_stated_error(
        micros in prop::collection::vec((0_u64..30, 0.0_f64..1.0), 0..200)
    ) {
        // Spread over the orders of magnitude, from below the first bucket to past the last.
        let times: Vec<Duration> = micros
            .iter()
            .map(|(power, fraction)| Duration::from_micros(1 << power).mul_f64(1.0 + fraction))
            .collect();
        let histogram = Histogram::new();
        times.iter().for_each(|time| histogram.record(*time));
        let buckets = buckets(&histogram);
        prop_assert_eq!(buckets.len(), BUCKETS.len() + 1);
        prop_assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let last = buckets.last().unwrap().1;
        prop_assert_eq!(last.to_bits(), float_of(histogram.count()).to_bits());
        for (bound, count) in buckets {
            let at_most = |bound: f64| {
                let below = times.iter().filter(|time| time.as_secs_f64() <= bound).count();
                float_of(u64::try_from(below).unwrap())
            };
            // Half a microsecond is lost by rounding, one part in a hundred by the slots.
            prop_assert!(at_most(bound) <= count);
            prop_assert!(count <= at_most(bound * 1.01 + 0.5e-6));
        }
        let mut samples = Vec::new();
        histogram.sample(&Vec::new(), &mut samples);
        let exact: Duration = times.iter().sum();
        let sum = samples.iter().find(|sample| sample.suffix == "_sum").unwrap().value;
        prop_assert!((sum - exact.as_secs_f64()).abs() <= 1e-9 * exact.as_secs_f64());
    }
}
