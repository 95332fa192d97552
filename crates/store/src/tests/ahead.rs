//! Groups that other threads read ahead.

use super::*;

const TARGETS: u64 = 24;
const ROWS: i64 = 4000;

/// So many targets, each a group of three series with as many samples that reading ahead is worth it.
fn filled(engine: &Arc<Memory>) -> Store {
    let (store, _) = open(engine);
    let times: Vec<i64> = (0..ROWS).map(|row| row * 1000).collect();
    for target in 1..=TARGETS {
        let node = format!("n{target}");
        let names = [("a", node.as_str()), ("b", &node), ("c", &node)];
        let ids = define(&store, &names);
        let values = |step: u64| {
            (0..ROWS)
                .map(|row| row as f64 + (target * step) as f64)
                .collect()
        };
        let columns: Vec<Vec<f64>> = (1..=3).map(values).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        // What is sent by itself has times of its own, and so is a group.
        let times: Vec<i64> = times
            .iter()
            .map(|time| time + target.cast_signed())
            .collect();
        let sent = arrival(&store, &node, 1, &ids, &block(&times, &columns));
        store.commit(vec![sent]).unwrap();
    }
    store.flush().unwrap();
    store
}

#[test]
fn what_is_read_ahead_is_what_there_is() {
    let engine = Arc::new(Memory::default());
    let store = filled(&engine);
    assert!(store.statistics().groups >= TARGETS);
    for _ in 0..3 {
        let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
        assert_eq!((found.series.len(), found.damaged.len()), (72, 0));
        for series in &found.series {
            let node = series.labels.get("node").strip_prefix("n").unwrap();
            let node: u64 = node.parse().unwrap();
            let step = match series.labels.metric_name() {
                "a" => 1,
                "b" => 2,
                _ => 3,
            };
            assert_eq!(series.times[0], node.cast_signed());
            let expected = (0..ROWS).map(|row| row as f64 + (node * step) as f64);
            assert!(series.values.iter().eq(expected), "{}", series.labels);
        }
    }
}

#[test]
fn threads_end_when_nobody_takes_what_they_read() {
    struct Few(AtomicU64);
    impl Meter for Few {
        fn series(&self, _: u64) -> bool {
            true
        }
        fn samples(&self, count: u64) -> bool {
            self.0.fetch_add(count, Ordering::Relaxed) < 5 * 3 * ROWS.unsigned_abs()
        }
    }
    let engine = Arc::new(Memory::default());
    let store = filled(&engine);
    let mut taken = 0;
    let mut stop = |_: Selected| {
        taken += 1;
        if taken == 10 {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    };
    let read = store.select_each(&[], TimeRange::ALL, &Free, &mut stop);
    assert!(matches!(read, Err(Error::Stopped)), "{read:?}");
    assert_eq!(taken, 10);
    let few = Few(AtomicU64::new(0));
    let read = store.select(&[], TimeRange::ALL, &few);
    assert!(matches!(read, Err(Error::Stopped)), "{read:?}");
    // Those who come later have the threads again.
    let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
    assert_eq!(found.series.len(), 72);
}
