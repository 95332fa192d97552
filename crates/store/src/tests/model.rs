//! The store beside a model that keeps everything in one map.

use proptest::prelude::*;
use rollup::Tier;

use super::*;

/// Few times, so that they come again, over three days.
fn day_and_second() -> impl Strategy<Value = i64> {
    (0_i64..3, 0_i64..12).prop_map(|(day, second)| day * keys::PARTITION_MILLIS + second * 1000)
}

/// Any bits, but no sums that lose all of a smaller number.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(f64::NAN),
        Just(series::STALE_NAN),
        Just(-0.0),
        Just(f64::INFINITY),
        (0_i32..1_000_000).prop_map(|value| f64::from(value) / 100.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// Whatever the order of commits, flushes and restarts, each time holds the value sent last.
    #[test]
    fn the_last_value_sent_for_a_time_is_the_one_read(
        steps in prop::collection::vec((0_u8..6, prop::collection::btree_map(day_and_second(), value(), 1..8)), 1..20)
    ) {
        let engine = Arc::new(Memory::default());
        let (mut store, _) = open(&engine);
        let mut model = std::collections::BTreeMap::new();
        for (sequence, (action, samples)) in (1_u64..).zip(steps) {
            let ids = define(&store, &[("up", "a")]);
            let times: Vec<i64> = samples.keys().copied().collect();
            let values: Vec<f64> = samples.values().copied().collect();
            let mut sent = arrival(&store, "a", sequence, &ids, &block(&times, &[&values]));
            if action % 2 == 1 {
                // As a sender without numbering has it: one by one, in any order.
                sent.blocks.clear();
                let series = vec![ids[0].number(); times.len()];
                sent.samples = Samples { series, times, values };
                sent.samples.times.reverse();
                sent.samples.values.reverse();
            }
            store.commit(vec![sent]).unwrap();
            model.extend(samples);
            match action {
                0 => { store.flush().unwrap(); }
                1 => { drop(store); store = open(&engine).0; }
                2 => { store.flush().unwrap(); store.compact_all().unwrap(); }
                _ => {}
            }
        }
        let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
        let read: Vec<(i64, u64)> = found.series[0].times.iter().copied()
            .zip(found.series[0].values.iter().map(|value| value.to_bits())).collect();
        let expected: Vec<(i64, u64)> = model.into_iter().map(|(t, v)| (t, f64::to_bits(v))).collect();
        prop_assert_eq!(&read, &expected);
        let expected: Vec<(i64, f64)> = expected.into_iter().map(|(t, v)| (t, f64::from_bits(v))).collect();
        let (times, values): (Vec<i64>, Vec<f64>) = expected.into_iter().unzip();
        for tier in Tier::ALL {
            let windows = store.windows(&[], tier, TimeRange::ALL, &Free).unwrap().series;
            let rolled = rollup::roll(&times, &values, tier);
            let close = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
                || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
            let found = windows.first().map_or(&[][..], |series| &series.windows);
            prop_assert_eq!(found.len(), rolled.len());
            for ((end, a), (wanted, b)) in found.iter().zip(&rolled) {
                prop_assert_eq!((end, a.count), (wanted, b.count));
                prop_assert!(close(a.min, b.min) && close(a.max, b.max));
                prop_assert!(close(a.sum(), b.sum()), "{} {}", a.sum(), b.sum());
            }
        }
    }
}
