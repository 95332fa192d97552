//! What is said in fewer samples is still true.

use std::collections::BTreeMap;

use proptest::prelude::*;
use series::{STALE_NAN, Snapshot, Timestamp, is_stale};

use wire::ingest::BLOCKS_PER_BATCH_MAX;

use super::*;
use crate::batch::{Batcher, Gathered, Record};

/// One record of rows five seconds apart from `start` on; each row says values of series of a kind.
fn record(start: i64, rows: &[Vec<(&str, MetricKind, f64)>]) -> Record {
    let mut batcher = Batcher::new(vec![("node".to_owned(), "n1".to_owned())]);
    for (at, row) in (start..).step_by(5000).zip(rows) {
        let mut snapshot = Snapshot::default();
        for (name, kind, value) in row {
            snapshot.family(name, *kind, "");
            snapshot.push(name, &[], *value);
        }
        batcher.push(Gathered {
            divisor: None,
            unknown: Vec::new(),
            source: "test".into(),
            labels: [("job".to_owned(), "test".to_owned())].into(),
            at: Timestamp::from_millis(at),
            snapshot,
        });
    }
    batcher.cut().remove(0)
}

/// The samples of a record by the name of their series.
fn read(record: &[u8]) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut all: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for block in SpooledBatch::decode(record).unwrap().blocks {
        let names = codec::decode_labels_list(&block.series_list).unwrap();
        let block_of = codec::decode_block(&block.columns).unwrap();
        block_of.validate().unwrap();
        for ((labels, _), column) in names.iter().zip(&block_of.columns) {
            assert_eq!(labels.get("node"), "n1");
            let rows = column.rows.iter(block_of.times.len());
            let samples = rows
                .map(|row| block_of.times[row])
                .zip(column.values.iter().copied());
            let name = labels.metric_name().to_owned();
            all.entry(name).or_default().extend(samples);
        }
    }
    all
}

/// The samples of one series thinned on its own, without the rule that what is thin is smaller.
fn thinned(kind: MetricKind, values: &[f64]) -> Vec<Vec<(i64, f64)>> {
    let name = if kind == MetricKind::Histogram {
        "h_sum"
    } else {
        "m"
    };
    let block = Block {
        times: (0..).step_by(5000).take(values.len()).collect(),
        columns: vec![series::Column {
            rows: series::Rows::All,
            values: values.into(),
        }],
    };
    let thin = thin_block(&block, &[rule(name, kind)], &mut [f64::NAN]).into_block();
    thin.validate().unwrap();
    thin.columns
        .iter()
        .map(|column| {
            let rows = column.rows.iter(thin.times.len());
            rows.map(|row| thin.times[row])
                .zip(column.values.iter().copied())
                .collect()
        })
        .collect()
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples
        .iter()
        .map(|(at, value)| (*at, value.to_bits()))
        .collect()
}

#[track_caller]
fn check(kind: MetricKind, values: &[f64], expected: &[&[(i64, f64)]]) {
    let found = thinned(kind, values);
    let found: Vec<_> = found.iter().map(|samples| bits(samples)).collect();
    let expected: Vec<_> = expected.iter().map(|samples| bits(samples)).collect();
    assert_eq!(found, expected, "{values:?}");
}

#[test]
fn a_gauge_becomes_its_mean_and_says_its_least_and_greatest_beside_it() {
    use MetricKind::Gauge;
    check(
        Gauge,
        &[4.0, 1.0, 7.0],
        &[&[(10_000, 4.0)], &[(10_000, 1.0)], &[(10_000, 7.0)]],
    );
    // Thirteen rows of five seconds are one minute and the first row of the next.
    let mut values = vec![1.0; 13];
    (values[3], values[12]) = (13.0, 5.0);
    let minutes = |first, second| vec![(55_000, first), (60_000, second)];
    check(
        Gauge,
        &values,
        &[&minutes(2.0, 5.0), &minutes(1.0, 5.0), &minutes(13.0, 5.0)],
    );
}

#[test]
fn a_mean_has_two_decimals_more_than_its_values_and_lies_between_them() {
    let mean = |values: &[f64]| thinned(MetricKind::Gauge, values)[0][0].1;
    let cases: [(&[f64], f64); 9] = [
        (&[0.1, 0.1, 0.1], 0.1),
        (&[0.1, 0.2, 0.2], 0.167),
        (&[1.0, 2.0, 2.0], 1.67),
        (&[-1.0, -2.0, -2.0], -1.67),
        (&[12_345_678_912.0, 12_345_678_913.0], 12_345_678_912.5),
        (&[1.0 / 3.0, 2.0 / 3.0], 0.5),
        (&[1e300, 3e300], 2e300),
        (&[1e308, 1.7e308], 1.35e308),
        (&[-0.0, 0.0], 0.0),
    ];
    for (values, expected) in cases {
        let found = mean(values);
        assert!(
            (found - expected).abs() <= expected.abs() * 1e-15,
            "{values:?}: {found}"
        );
    }
}

#[test]
fn no_value_that_is_no_number_becomes_one() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let of = |values: &[f64]| {
        let found = thinned(MetricKind::Gauge, values);
        [found[0][0].1, found[1][0].1, found[2][0].1].map(|it| it.to_string())
    };
    assert_eq!(of(&[1.0, nan, 3.0]), ["NaN", "1", "3"]);
    assert_eq!(of(&[nan, nan]), ["NaN", "NaN", "NaN"]);
    assert_eq!(of(&[1.0, inf]), ["inf", "1", "inf"]);
    assert_eq!(of(&[-inf, 1.0, inf]), ["NaN", "-inf", "inf"]);
    let made = thinned(MetricKind::Gauge, &[nan, inf, 1.0]).concat();
    assert!(made.iter().all(|(_, value)| !is_stale(*value)));
}

#[test]
fn what_is_no_gauge_keeps_its_last_value() {
    use MetricKind::{Counter, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};
    for kind in [
        Counter,
        GaugeHistogram,
        Histogram,
        Info,
        StateSet,
        Summary,
        Unknown,
    ] {
        check(kind, &[1.0, 2.0, 3.0], &[&[(10_000, 3.0)]]);
    }
    // Of a quantile, a state and what nobody declared a fall is no reset.
    for kind in [Summary, StateSet, Unknown] {
        check(kind, &[1.0, 5.0, 3.0, 4.0], &[&[(15_000, 4.0)]]);
    }
    assert_eq!(rule("x_total", MetricKind::Unknown), Rule::LastAndResets);
    assert_eq!(rule("x_sum", MetricKind::Summary), Rule::LastAndResets);
}

#[test]
fn around_a_reset_the_values_before_and_after_it_are_kept() {
    use MetricKind::{Counter, Histogram};
    for kind in [Counter, Histogram] {
        check(
            kind,
            &[1.0, 9.0, 0.0, 3.0, 20.0],
            &[&[(5_000, 9.0), (10_000, 0.0), (20_000, 20.0)]],
        );
        check(
            kind,
            &[5.0, 4.0, 3.0],
            &[&[(0, 5.0), (5_000, 4.0), (10_000, 3.0)]],
        );
    }
    // One at the border of two minutes.
    let mut values = vec![7.0; 24];
    values[12] = 2.0;
    check(
        Counter,
        &values,
        &[&[(55_000, 7.0), (60_000, 2.0), (115_000, 7.0)]],
    );
}

#[test]
fn a_reset_between_two_batches_is_seen() {
    let counter = |start, values: [f64; 3]| {
        let rows = values.map(|value| vec![("c_total", MetricKind::Counter, value)]);
        record(start, &rows).bytes
    };
    let records: Vec<_> = (0..40)
        .map(|at| counter(at * 60_000, [10.0, 15.0, 20.0]))
        .collect();
    let samples = read_all(&thin_all(&records));
    let expected = (0..40).flat_map(|at| [(at * 60_000, 10.0), (at * 60_000 + 10_000, 20.0)]);
    assert_eq!(samples["c_total"], expected.skip(1).collect::<Vec<_>>());
}

#[test]
fn a_stale_marker_is_kept_and_stands_between_what_came_before_and_after() {
    let stale = STALE_NAN;
    check(
        MetricKind::Gauge,
        &[1.0, 3.0, stale, 8.0, 8.0],
        &[
            &[(5_000, 2.0), (10_000, stale), (20_000, 8.0)],
            &[(5_000, 1.0), (10_000, stale), (20_000, 8.0)],
            &[(5_000, 3.0), (10_000, stale), (20_000, 8.0)],
        ],
    );
    check(
        MetricKind::Counter,
        &[1.0, 3.0, stale, 8.0, 9.0],
        &[&[(5_000, 3.0), (10_000, stale), (20_000, 9.0)]],
    );
    check(
        MetricKind::Counter,
        &[3.0, stale, 1.0, 9.0],
        &[&[(0, 3.0), (5_000, stale), (10_000, 1.0), (15_000, 9.0)]],
    );
    check(
        MetricKind::Info,
        &[stale, stale],
        &[&[(0, stale), (5_000, stale)]],
    );
}

/// A node with some gauges and a counter over so many minutes, one record each.
fn node(minutes: i64) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..40)
        .map(|at| format!("node_thing_number_{at}_bytes"))
        .collect();
    let of_row = |minute: i64, row: i64| {
        let value =
            |at: i64| f64::from(i32::try_from((minute * 7 + row * 13 + at * 31) % 100).unwrap());
        let gauges = names.iter().zip(0..);
        let gauges = gauges.map(|(name, at)| (name.as_str(), MetricKind::Gauge, value(at)));
        let ticks = f64::from(i32::try_from(minute * 12 + row).unwrap());
        gauges
            .chain([("ticks_total", MetricKind::Counter, ticks)])
            .collect()
    };
    (0..minutes)
        .map(|minute| {
            let rows: Vec<_> = (0..12).map(|row| of_row(minute, row)).collect();
            record(minute * 60_000, &rows).bytes
        })
        .collect()
}

fn thin_all(records: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let given: Vec<(u64, &[u8])> = (1..).zip(records.iter().map(Vec::as_slice)).collect();
    let thin = Thinner::default().thin(&given);
    let kept = thin.into_iter().zip(records);
    kept.map(|(thin, whole)| thin.unwrap_or_else(|| whole.clone()))
        .collect()
}

fn read_all(records: &[Vec<u8>]) -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut all: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    for record in records {
        for (name, samples) in read(record) {
            all.entry(name).or_default().extend(samples);
        }
    }
    all
}

#[test]
fn batches_become_one_of_a_sample_a_minute_under_the_last_of_their_sequences() {
    let records = node(8);
    let thin = thin_all(&records);
    assert!(thin[..7].iter().all(Vec::is_empty));
    let bytes: usize = records.iter().map(Vec::len).sum();
    assert!(thin[7].len() * 3 < bytes, "{} of {bytes}", thin[7].len());
    let batch = SpooledBatch::decode(thin[7].as_slice()).unwrap();
    assert!(batch.thinned);
    assert_eq!(batch.blocks.len(), 1);
    assert_eq!(span_of(&thin[7]), Some((0, 475_000)));
    assert_eq!(span_of(&thin[0]), None);
    let (whole, thin) = (read_all(&records), read_all(&thin));
    assert_eq!(thin.len(), 40 * 3 + 1);
    for (name, samples) in &whole {
        let minutes: Vec<&[(i64, f64)]> = samples.chunks(12).collect();
        let times: Vec<i64> = thin[name].iter().map(|(at, _)| *at).collect();
        assert_eq!(
            times,
            (0..8).map(|it| it * 60_000 + 55_000).collect::<Vec<_>>()
        );
        if name == "ticks_total" {
            let last = minutes.iter().map(|minute| minute[11]);
            assert_eq!(thin[name], last.collect::<Vec<_>>());
            continue;
        }
        for (at, minute) in minutes.iter().enumerate() {
            let values = || minute.iter().map(|(_, value)| *value);
            let mean = values().sum::<f64>() / 12.0;
            assert!((thin[name][at].1 - mean).abs() <= 0.005);
            let of = |end: &str| thin[&format!("{name}{end}")][at].1.to_bits();
            assert_eq!(of(":min_1m"), values().reduce(f64::min).unwrap().to_bits());
            assert_eq!(of(":max_1m"), values().reduce(f64::max).unwrap().to_bits());
        }
    }
}

#[test]
fn what_is_thin_and_what_does_not_decode_stays_and_holds_up_nothing() {
    let mut records = node(9);
    records[4] = vec![0xff; 9];
    let thin = thin_all(&records);
    assert_eq!(thin[4], records[4]);
    // It stands between two batches: neither stands for it.
    let stands_from = |at: usize| {
        let batch = SpooledBatch::decode(thin[at].as_slice()).unwrap();
        batch.first_sequence
    };
    assert!(thin[..3].iter().chain(&thin[5..8]).all(Vec::is_empty));
    assert_eq!((stands_from(3), stands_from(8)), (1, 6));
    assert_eq!(thin_all(&thin), thin);
}

#[test]
fn batches_become_one_of_no_more_blocks_than_a_coordinator_takes() {
    // The sources of each half are others in every second batch, so that few blocks can be joined.
    let mut records = Vec::new();
    for minute in 0..4 {
        let mut batcher = Batcher::new(Vec::new());
        for (row, source) in (0..12).flat_map(|row| (0..3000).map(move |source| (row, source))) {
            let source = format!("{} {source}", minute % 2);
            let mut snapshot = Snapshot::default();
            snapshot.family("up", MetricKind::Gauge, "");
            snapshot.push("up", &[("instance", &source)], 1.0);
            batcher.push(Gathered {
                divisor: None,
                unknown: Vec::new(),
                source: source.into(),
                labels: [].into(),
                at: Timestamp::from_millis(minute * 60_000 + row * 5000),
                snapshot,
            });
        }
        records.extend(batcher.cut().into_iter().map(|record| record.bytes));
    }
    for record in thin_all(&records) {
        let blocks = SpooledBatch::decode(record.as_slice()).unwrap().blocks;
        assert!(blocks.len() <= BLOCKS_PER_BATCH_MAX, "{}", blocks.len());
    }
}

#[test]
fn what_would_not_be_smaller_stays_as_it_is() {
    let row = vec![("a", MetricKind::Gauge, 1.5)];
    let short = vec![record(0, &[row]).bytes];
    assert_eq!(thin_all(&short), short);
}

#[test]
fn a_series_of_somebody_else_that_is_named_as_ours_is_not_said_twice() {
    let row = |value| {
        vec![
            ("a", MetricKind::Gauge, value),
            ("a:min_1m", MetricKind::Gauge, value),
        ]
    };
    let rows: Vec<_> = (0..12).map(|at| row(f64::from(at))).collect();
    let records: Vec<_> = (0..9).map(|at| record(at * 60_000, &rows).bytes).collect();
    assert_eq!(thin_all(&records), records);
}

#[test]
fn a_clock_that_was_set_back_or_far_ahead_begins_another_block() {
    let set_back = [&node(6)[3..], &node(3)].concat();
    let set_ahead = [&node(3)[..], &node(70)[67..]].concat();
    for records in [set_back, set_ahead] {
        let thin = thin_all(&records);
        let batch = SpooledBatch::decode(thin[5].as_slice()).unwrap();
        assert_eq!(batch.blocks.len(), 2);
        assert_eq!(read(&thin[5])["node_thing_number_0_bytes"].len(), 6);
    }
}

#[test]
fn a_batch_that_does_not_say_its_times_is_looked_through() {
    let bytes = record(
        7_000,
        &[
            vec![("a", MetricKind::Gauge, 1.0)],
            vec![("a", MetricKind::Gauge, 1.0)],
        ],
    )
    .bytes;
    assert_eq!(span_of(&bytes), Some((7_000, 12_000)));
    let mut batch = SpooledBatch::decode(bytes.as_slice()).unwrap();
    assert_eq!((batch.first_millis, batch.last_millis), (7_000, 12_000));
    (batch.first_millis, batch.last_millis) = (0, 0);
    assert_eq!(span_of(&batch.encode_to_vec()), Some((7_000, 12_000)));
    assert_eq!(span_of(&[0xff; 9]), None);
}

fn increase(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut before) = (0.0, None);
    for value in values {
        match before {
            Some(before) if value >= before => sum += value - before,
            Some(_) => sum += value,
            None => {}
        }
        before = Some(value);
    }
    sum
}

proptest! {
    #[test]
    fn the_increase_of_a_counter_is_what_it_was(
        before in 0_u32..20,
        values in prop::collection::vec(0_u32..20, 1..60),
    ) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let block = Block {
            times: (0..).step_by(7000).take(values.len()).collect(),
            columns: vec![series::Column { rows: series::Rows::All, values: values.as_slice().into() }],
        };
        let before = f64::from(before);
        let thin = thin_block(&block, &[Rule::LastAndResets], &mut [before]).into_block();
        let thin = thin.columns[0].values.iter().copied();
        let whole = increase(std::iter::once(before).chain(values));
        prop_assert!((increase(std::iter::once(before).chain(thin)) - whole).abs() < 1e-9);
    }

    #[test]
    fn any_columns_can_be_thinned(
        times in prop::collection::btree_set(prop_oneof![0_i64..400_000, any::<i64>()], 0..40),
        columns in prop::collection::vec(prop::collection::vec(prop::option::of(any::<f64>()), 40), 0..4),
        kinds in prop::collection::vec(0_u8..8, 4),
    ) {
        let times: Vec<i64> = times.into_iter().collect();
        let columns: Vec<series::Column> = columns.iter().map(|column| {
            let column = &column[..times.len()];
            let flags: Vec<bool> = column.iter().map(Option::is_some).collect();
            series::Column {
                rows: series::Rows::from_flags(&flags),
                values: column.iter().flatten().copied().collect(),
            }
        }).collect();
        let rules: Vec<Rule> = kinds[..columns.len()].iter()
            .map(|kind| rule("m_total", MetricKind::from_code(*kind)))
            .collect();
        let block = Block { times, columns };
        let thin = thin_block(&block, &rules, &mut vec![f64::NAN; rules.len()]).into_block();
        thin.validate().unwrap();
        let stale = |block: &Block| {
            let columns = block.columns.iter().take(rules.len());
            columns.flat_map(|column| &column.values).filter(|value| is_stale(**value)).count()
        };
        prop_assert_eq!(stale(&thin), stale(&block));
        for (column, whole) in thin.columns.iter().zip(&block.columns) {
            prop_assert!(column.values.len() <= whole.values.len());
            prop_assert_eq!(column.values.is_empty(), whole.values.is_empty());
        }
    }
}
