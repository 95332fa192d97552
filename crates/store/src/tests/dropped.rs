//! Days whose windows outlived their samples, and series that changed their group.

use rollup::Tier;

use super::*;

const DAY: i64 = keys::PARTITION_MILLIS;
const HOUR: i64 = 3_600_000;

fn commit(store: &Store, sequence: u64, ids: &[SeriesId], block: &Block) {
    let sent = arrival(store, "a", sequence, ids, block);
    assert_eq!(store.commit(vec![sent]).unwrap(), [Outcome::Taken]);
}

/// The windows of `up`: where each ends, its count and its sum.
fn windows(store: &Store, tier: Tier) -> Vec<(i64, u64, f64)> {
    let matcher = Matcher::new("__name__", MatchOp::Equal, "up").unwrap();
    let found = store
        .windows(&[matcher], tier, TimeRange::ALL, &Free)
        .unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    let windows = found.series[0].windows.iter();
    windows
        .map(|(end, it)| (*end, it.count, it.sum()))
        .collect()
}

/// Four samples in the second day and two in the third; the samples of the second are dropped.
fn dropped(store: &Store) -> Vec<SeriesId> {
    let ids = define(store, &[("up", "a")]);
    let times = [DAY + 1, DAY + HOUR, DAY + HOUR + 1, 2 * DAY - 1];
    commit(store, 1, &ids, &block(&times, &[&[1.0, 2.0, 4.0, 8.0]]));
    commit(
        store,
        2,
        &ids,
        &block(&[2 * DAY, 2 * DAY + 1], &[&[16.0, 32.0]]),
    );
    store.flush().unwrap();
    assert_eq!(store.samples_from_millis(), i64::MIN);
    let oldest = Timestamp::from_millis(2 * DAY);
    let retained = store.retain(oldest, Timestamp::from_millis(0)).unwrap();
    assert_eq!(
        (retained.days, retained.days_of_windows, retained.series),
        (1, 0, 0)
    );
    ids
}

#[test]
fn windows_outlive_their_samples() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    dropped(&store);
    let check = |store: &Store| {
        let samples = [(2 * DAY, 16.0), (2 * DAY + 1, 32.0)];
        assert_eq!(read(store, "up", TimeRange::ALL)[0].1, samples);
        assert_eq!(store.samples_from_millis(), 2 * DAY);
        let hours = [
            (DAY + HOUR, 2, 3.0),
            (DAY + 2 * HOUR, 1, 4.0),
            // A sample of midnight belongs to the hour before, and lies in the next day.
            (2 * DAY, 2, 24.0),
            (2 * DAY + HOUR, 1, 32.0),
        ];
        assert_eq!(windows(store, Tier::Hour), hours);
        assert_eq!(
            windows(store, Tier::Day),
            [(2 * DAY, 5, 31.0), (3 * DAY, 1, 32.0)]
        );
    };
    check(&store);
    store.compact_all().unwrap();
    check(&store);
    drop(store);
    check(&open(&engine).0);
}

#[test]
fn samples_that_waited_while_their_day_was_dropped_take_no_windows_away() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = dropped(&store);
    let late = block(&[DAY + 5, 2 * DAY + 5], &[&[64.0, 128.0]]);
    commit(&store, 3, &ids, &late);
    let flushed = store.flush().unwrap();
    assert_eq!((flushed.samples, flushed.past_retention), (1, 1));
    store.compact_all().unwrap();
    let oldest = Timestamp::from_millis(2 * DAY);
    store.retain(oldest, Timestamp::from_millis(0)).unwrap();
    assert_eq!(
        windows(&store, Tier::Day),
        [(2 * DAY, 5, 31.0), (3 * DAY, 2, 160.0)]
    );
}

#[test]
fn damaged_windows_of_a_dropped_day_are_said() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    dropped(&store);
    let mut rows = Vec::new();
    let collect = &mut |key: &[u8], row: &[u8]| {
        rows.push((key.to_vec(), row.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    engine::Engine::scan(&engine, Family::Windows, &[], &[0xff; 21], collect).unwrap();
    let mut batch = Batch::default();
    for (key, mut row) in rows {
        row[3] ^= 1;
        batch.put(Family::Windows, key, row);
    }
    engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    let found = store
        .windows(&[], Tier::Hour, TimeRange::ALL, &Free)
        .unwrap();
    let ends: Vec<i64> = found.series[0]
        .windows
        .iter()
        .map(|(end, _)| *end)
        .collect();
    // What is made from the samples of the third day.
    assert_eq!(ends, [2 * DAY, 2 * DAY + HOUR]);
    assert_eq!(found.damaged.len(), 1);
    let told = "windows of 1h, day 1, run 1, group 0: its checksum does not match";
    assert!(found.damaged[0].ends_with(told), "{:?}", found.damaged);
}

#[test]
fn a_sample_sent_to_two_groups_counts_once() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("load", "a"), ("heat", "a")]);
    let all = block(&[DAY], &[&[1.0], &[1.0], &[1.0]]);
    commit(&store, 1, &ids, &all);
    let group = || reading(&store.groups).groups_of([ids[0]].into_iter()).len();
    assert_eq!(group(), 1);
    // From here on they share no time, so the group is let go.
    for at in 1..40_i64 {
        let which = usize::try_from(at % 3).unwrap();
        let one = block(&[DAY + at * 1000], &[&[1.0]]);
        commit(&store, 1 + at.unsigned_abs(), &ids[which..=which], &one);
    }
    store.flush().unwrap();
    let times: Vec<i64> = (0..40)
        .filter(|at| at % 3 == 0)
        .map(|at| DAY + at * 1000)
        .collect();
    let again = block(&times, &[&vec![3.0; times.len()]]);
    commit(&store, 99, &ids[..1], &again);
    store.flush().unwrap();
    assert_eq!(group(), 2);
    store.compact_all().unwrap();
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1.len(), 14);
    assert_eq!(
        windows(&store, Tier::Hour),
        [(DAY, 1, 3.0), (DAY + HOUR, 13, 39.0)]
    );
    assert_eq!(
        windows(&store, Tier::Day),
        [(DAY, 1, 3.0), (2 * DAY, 13, 39.0)]
    );
}
