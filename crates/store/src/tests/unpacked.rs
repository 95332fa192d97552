//! Columns that are kept unpacked.

use super::*;

/// Reads all and gives the hits and misses of that, and whether the cache is in its bound.
fn asked(store: &Store, bytes_max: u64) -> (u64, u64) {
    let before = store.statistics();
    let expected: Vec<(i64, f64)> = (0..500).map(|at| (at * 1000, at as f64)).collect();
    for (_, samples) in read(store, "up", TimeRange::ALL) {
        assert_eq!(samples, expected);
    }
    let after = store.statistics();
    assert!(after.column_cache_bytes <= bytes_max, "{after:?}");
    (
        after.column_cache_hits_total - before.column_cache_hits_total,
        after.column_cache_misses_total - before.column_cache_misses_total,
    )
}

#[test]
fn what_is_asked_again_is_not_unpacked_again() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("up", "b")]);
    let times: Vec<i64> = (0..500).map(|at| at * 1000).collect();
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    for (sequence, part) in (1..).zip([0..250, 250..500]) {
        let (times, values) = (&times[part.clone()], &values[part]);
        let sent = arrival(
            &store,
            "a",
            sequence,
            &ids,
            &block(times, &[values, values]),
        );
        store.commit(vec![sent]).unwrap();
        store.flush().unwrap();
    }
    assert_eq!(asked(&store, 0).0, 0);
    assert_eq!(asked(&store, 0).0, 0);
    let bytes_max = 1 << 20;
    store.set_column_cache_bytes(bytes_max);
    assert_eq!(asked(&store, bytes_max).0, 0);
    assert_eq!(asked(&store, bytes_max), (4, 0));
    // A merged run is another run.
    store.compact_all().unwrap();
    assert_eq!(asked(&store, bytes_max).0, 0);
    assert_eq!(asked(&store, bytes_max), (2, 0));
    // Too small for a chunk: nothing is kept, and the answer is the same.
    store.set_column_cache_bytes(1000);
    assert_eq!(asked(&store, 1000).0, 0);
    assert_eq!(asked(&store, 1000).0, 0);
}

#[test]
fn a_chunk_that_grows_in_the_cache_gives_back_what_it_took() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let names: Vec<String> = (0..20).map(|node| format!("n{node}")).collect();
    let names: Vec<(&str, &str)> = names.iter().map(|node| ("up", node.as_str())).collect();
    let ids = define(&store, &names);
    let times: Vec<i64> = (0..500).map(|at| at * 1000).collect();
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    let columns = vec![values.as_slice(); ids.len()];
    let sent = arrival(&store, "a", 1, &ids, &block(&times, &columns));
    store.commit(vec![sent]).unwrap();
    store.flush().unwrap();
    store.set_column_cache_bytes(1 << 20);
    let mut before = 0;
    // One more column each time.
    for (_, node) in &names {
        let matcher = Matcher::new("node", MatchOp::Equal, node).unwrap();
        let found = store.select(&[matcher], TimeRange::ALL, &Free).unwrap();
        assert_eq!(found.series.len(), 1);
        let now = store.statistics().column_cache_bytes;
        assert!(
            (before + 4000..1 << 20).contains(&now),
            "{now} after {before}"
        );
        before = now;
    }
    store.set_column_cache_bytes(0);
    assert_eq!(store.statistics().column_cache_bytes, 0);
}
