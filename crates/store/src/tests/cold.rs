//! Series that are only in older days.

use rollup::Tier;

use super::*;

const DAY: i64 = keys::PARTITION_MILLIS;

/// Commits one sample of each series at a time, numbered as it is given.
fn send(store: &Store, sequence: u64, names: &[(&str, &str)], time: i64, value: f64) {
    let ids = define(store, names);
    let columns = vec![[value]; ids.len()];
    let columns: Vec<&[f64]> = columns.iter().map(<[f64; 1]>::as_slice).collect();
    let sent = arrival(store, "a", sequence, &ids, &block(&[time], &columns));
    assert_eq!(store.commit(vec![sent]).unwrap(), [Outcome::Taken]);
}

/// Three days in which every pod is replaced; `up` of node "stays" goes on.
fn churned(store: &Store) {
    for day in 1..=3_u64 {
        let pod = format!("pod-{day}");
        let at = i64::try_from(day).unwrap() * DAY + 1000;
        let names = [("up", "stays"), ("up", pod.as_str()), ("load", &pod)];
        send(store, day, &names, at, day as f64);
        store.flush().unwrap();
    }
}

#[test]
fn series_of_older_days_leave_memory_and_are_found_all_the_same() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    churned(&store);
    let check = |store: &Store| {
        let statistics = store.statistics();
        assert_eq!((statistics.series, statistics.cold_series), (5, 2));
        let mut found = read(store, "up", TimeRange::ALL);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                r#"up{node="pod-1"}"#,
                r#"up{node="pod-2"}"#,
                r#"up{node="pod-3"}"#,
                r#"up{node="stays"}"#
            ]
        );
        assert_eq!(found[0].1, [(DAY + 1000, 1.0)]);
        let nodes = store.label_values("node", &[], TimeRange::ALL, 9).unwrap();
        assert_eq!(nodes.items, ["pod-1", "pod-2", "pod-3", "stays"]);
        let last = TimeRange::new(Timestamp::from_millis(3 * DAY), Timestamp::MAX);
        let nodes = store.label_values("node", &[], last, 9).unwrap();
        assert_eq!(nodes.items, ["pod-3", "stays"]);
        assert_eq!(store.series(&[], TimeRange::ALL, 9).unwrap().items.len(), 7);
        let names = store.label_names(&[], TimeRange::ALL, 9).unwrap();
        assert_eq!(names.items, ["__name__", "node"]);
    };
    check(&store);
    drop(store);
    let (store, recovery) = open(&engine);
    assert_eq!(recovery.series, 7);
    check(&store);
}

#[test]
fn a_label_set_that_comes_again_is_one_series_to_who_asks() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    churned(&store);
    send(&store, 9, &[("load", "pod-1")], 3 * DAY + 2000, 9.0);
    let expected = [(DAY + 1000, 1.0), (3 * DAY + 2000, 9.0)];
    let load = |store: &Store| {
        let found = read(store, "load", TimeRange::ALL);
        let same = found.into_iter().filter(|(name, _)| name.contains("pod-1"));
        same.map(|(_, samples)| samples).collect::<Vec<_>>()
    };
    assert_eq!(load(&store), [expected]);
    store.flush().unwrap();
    assert_eq!(load(&store), [expected]);
    assert_eq!(store.series(&[], TimeRange::ALL, 9).unwrap().items.len(), 7);
    let matcher = Matcher::new("node", MatchOp::Equal, "pod-1").unwrap();
    let windows = store
        .windows(&[matcher], Tier::Day, TimeRange::ALL, &Free)
        .unwrap()
        .series;
    let of_load = windows
        .iter()
        .find(|it| it.labels.to_string().starts_with("load"));
    let ends: Vec<i64> = of_load
        .unwrap()
        .windows
        .iter()
        .map(|(end, _)| *end)
        .collect();
    assert_eq!(ends, [2 * DAY, 4 * DAY]);
}

#[test]
fn an_id_that_went_cold_takes_samples_and_comes_back() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "slow")]);
    let one = |time| block(&[time], &[&[1.0]]);
    let sent = arrival(&store, "slow", 1, &ids, &one(DAY));
    store.commit(vec![sent]).unwrap();
    churned(&store);
    assert_eq!(store.statistics().cold_series, 3);
    // Its sender still has the id.
    let sent = arrival(&store, "slow", 2, &ids, &one(3 * DAY));
    assert_eq!(store.commit(vec![sent]).unwrap(), [Outcome::Taken]);
    let slow = |store: &Store| {
        let found = read(store, "up", TimeRange::ALL);
        found.into_iter().find(|(name, _)| name.contains("slow"))
    };
    assert_eq!(slow(&store).unwrap().1.len(), 2);
    drop(store);
    let (store, _) = open(&engine);
    assert_eq!(store.statistics().cold_series, 2);
    assert_eq!(slow(&store).unwrap().1.len(), 2);
    store.flush().unwrap();
    assert_eq!(slow(&store).unwrap().1.len(), 2);
    assert_eq!(define(&store, &[("up", "slow")]), ids);
}

#[test]
fn two_ids_of_one_label_set_are_one_series_ever_after() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let old = define(&store, &[("up", "slow")]);
    let one = |time| block(&[time], &[&[1.0]]);
    let sent = arrival(&store, "slow", 1, &old, &one(DAY));
    store.commit(vec![sent]).unwrap();
    churned(&store);
    // Another sender says the same labels, while the first still has the id that went cold.
    let new = define(&store, &[("up", "slow")]);
    assert_ne!(new, old);
    let sent = [
        arrival(&store, "other", 1, &new, &one(3 * DAY + 1)),
        arrival(&store, "slow", 2, &old, &one(3 * DAY + 2)),
    ];
    store.commit(sent.to_vec()).unwrap();
    let slow = |store: &Store| {
        let found = read(store, "up", TimeRange::ALL);
        let found = found.into_iter().filter(|(name, _)| name.contains("slow"));
        found.map(|(_, samples)| samples.len()).collect::<Vec<_>>()
    };
    assert_eq!(slow(&store), [3]);
    store.flush().unwrap();
    for _ in 0..2 {
        let (store, _) = open(&engine);
        assert_eq!(slow(&store), [3]);
        store.compact_all().unwrap();
        assert_eq!(slow(&store), [3]);
        assert_eq!(
            store.series(&[], TimeRange::ALL, 99).unwrap().items.len(),
            8
        );
    }
}

#[test]
fn memory_does_not_grow_with_series_that_are_gone() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let mut after = Vec::new();
    for day in 1..=40_u64 {
        let pods: Vec<String> = (0..200).map(|pod| format!("pod-{day}-{pod}")).collect();
        let names: Vec<(&str, &str)> = pods.iter().map(|pod| ("up", pod.as_str())).collect();
        let at = i64::try_from(day).unwrap() * DAY;
        send(&store, day, &names, at, 1.0);
        store.flush().unwrap();
        if day % 20 == 0 {
            after.push(store.index_bytes());
        }
    }
    assert_eq!(store.statistics().cold_series, 38 * 200);
    // A place and a column number for each, and no labels.
    let each = (after[1] - after[0]) / 4000;
    assert!(each <= 16, "{after:?}");
}
