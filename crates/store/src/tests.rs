//! The store as a whole, over memory.

mod ahead;
mod cold;
#[cfg(feature = "rocksdb")]
mod disk;
mod dropped;
mod golden;
mod model;
mod settled;
mod unpacked;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use series::{Block, Column, Labels, MatchOp, Matcher, MetricKind, Rows, TimeRange, Timestamp};

use super::*;
use crate::engine::memory::Memory;
use crate::engine::{Batch, Durability, EngineError, Family, Found, Ingest, Op, Visit};

/// A read without bounds.
pub(crate) struct Free;
impl Meter for Free {
    fn series(&self, _: u64) -> bool {
        true
    }
    fn samples(&self, _: u64) -> bool {
        true
    }
}

fn open(engine: &Arc<Memory>) -> (Store, Recovery) {
    Store::open(Box::new(Arc::clone(engine))).unwrap()
}

fn labels(name: &str, node: &str) -> Labels {
    Labels::with_name(name, &[("node", node)]).unwrap()
}

fn define(store: &Store, names: &[(&str, &str)]) -> Vec<SeriesId> {
    let list: Vec<(Labels, MetricKind)> = names
        .iter()
        .map(|(name, node)| (labels(name, node), MetricKind::Gauge))
        .collect();
    let ids = store.define(&list).unwrap().ids;
    ids.into_iter().map(Option::unwrap).collect()
}

fn block(times: &[i64], columns: &[&[f64]]) -> Block {
    let columns = columns
        .iter()
        .map(|values| Column {
            rows: Rows::All,
            values: values[..].into(),
        })
        .collect();
    Block {
        times: times.to_vec(),
        columns,
    }
}

fn mark(epoch: u64, sequence: u64) -> Mark {
    Mark {
        epoch,
        first: sequence,
        last: sequence,
        base: 1,
    }
}

fn through(store: &Store) -> u64 {
    store.settled("a").sequences.through()
}

fn arrival(store: &Store, agent: &str, sequence: u64, ids: &[SeriesId], block: &Block) -> Arrival {
    let mut received = Vec::new();
    codec::encode_block(block, &mut received);
    Arrival {
        mark: Some((agent.to_owned(), mark(1, sequence))),
        note: None,
        generation: store.generation(),
        samples: Samples::default(),
        blocks: vec![ArrivedBlock {
            series: ids.to_vec(),
            received: received.into(),
            block: block.clone(),
        }],
    }
}

fn read(store: &Store, name: &str, range: TimeRange) -> Vec<(String, Vec<(i64, f64)>)> {
    let matcher = Matcher::new("__name__", MatchOp::Equal, name).unwrap();
    let found = store.select(&[matcher], range, &Free).unwrap();
    assert_eq!(found.damaged, Vec::<String>::new());
    found
        .series
        .iter()
        .map(|series| {
            let samples = series.times.iter().copied().zip(series.values.iter());
            (series.labels.to_string(), samples.collect())
        })
        .collect()
}

#[test]
fn what_was_committed_is_read_before_and_after_restart_and_flush() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("up", "b")]);
    let first = block(&[1000, 2000], &[&[1.0, 1.0], &[0.0, 1.0]]);
    let outcomes = store
        .commit(vec![arrival(&store, "a", 1, &ids, &first)])
        .unwrap();
    assert_eq!(outcomes, [Outcome::Taken]);
    let expected = vec![
        (r#"up{node="a"}"#.to_owned(), vec![(1000, 1.0), (2000, 1.0)]),
        (r#"up{node="b"}"#.to_owned(), vec![(1000, 0.0), (2000, 1.0)]),
    ];
    assert_eq!(read(&store, "up", TimeRange::ALL), expected);
    drop(store);

    let (store, recovery) = open(&engine);
    assert_eq!(
        (recovery.series, recovery.batches, recovery.samples),
        (2, 1, 4)
    );
    assert_eq!(read(&store, "up", TimeRange::ALL), expected);
    let flushed = store.flush().unwrap();
    assert_eq!((flushed.chunks, flushed.samples), (1, 4));
    assert_eq!(read(&store, "up", TimeRange::ALL), expected);
    drop(store);

    let (store, recovery) = open(&engine);
    assert_eq!((recovery.batches, recovery.samples), (0, 0));
    assert_eq!(read(&store, "up", TimeRange::ALL), expected);
    let settled = store.settled("a");
    assert_eq!((settled.epoch, settled.sequences.last()), (1, 1));
    let middle = TimeRange::new(Timestamp::from_millis(1500), Timestamp::from_millis(2000));
    assert_eq!(read(&store, "up", middle)[0].1, [(2000, 1.0)]);
}

#[test]
fn series_of_one_target_share_their_times() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("up", "b")]);
    for sequence in 1..=3_u64 {
        let base = i64::try_from(sequence).unwrap() * 1000;
        let block = block(&[base, base + 1], &[&[1.0, 2.0], &[3.0, 4.0]]);
        store
            .commit(vec![arrival(&store, "a", sequence, &ids, &block)])
            .unwrap();
        if sequence == 2 {
            store.flush().unwrap();
        }
    }
    assert_eq!(store.statistics().groups, 1);
    let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
    assert_eq!(found.series[0].times.len(), 6);
    assert!(Arc::ptr_eq(&found.series[0].times, &found.series[1].times));
}

#[test]
fn a_batch_sent_again_counts_once_and_a_new_epoch_starts_over() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    let one = block(&[1], &[&[1.0]]);
    let twice = vec![
        arrival(&store, "a", 1, &ids, &one),
        arrival(&store, "a", 1, &ids, &one),
    ];
    assert_eq!(
        store.commit(twice).unwrap(),
        [Outcome::Taken, Outcome::Duplicate]
    );
    let mut again = arrival(&store, "a", 1, &ids, &block(&[2], &[&[2.0]]));
    assert_eq!(
        store.commit(vec![again.clone()]).unwrap(),
        [Outcome::Duplicate]
    );
    again.mark = Some(("a".to_owned(), mark(2, 1)));
    assert_eq!(store.commit(vec![again]).unwrap(), [Outcome::Taken]);
    assert_eq!(store.statistics().samples_total, 2);
    assert_eq!(store.statistics().duplicate_batches_total, 2);
    assert_eq!(
        read(&store, "up", TimeRange::ALL)[0].1,
        [(1, 1.0), (2, 2.0)]
    );
}

#[test]
fn old_days_go_with_their_series_and_stale_ids_are_refused() {
    const DAY: i64 = keys::PARTITION_MILLIS;
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("old", "a"), ("up", "a")]);
    let first = block(&[DAY, 2 * DAY], &[&[1.0, 2.0], &[1.0, 2.0]]);
    let mut both = arrival(&store, "a", 1, &ids, &first);
    both.blocks[0].block.columns[0] = Column {
        rows: Rows::from_flags(&[true, false]),
        values: vec![1.0].into(),
    };
    store.commit(vec![both]).unwrap();
    store.flush().unwrap();
    let stale = arrival(&store, "a", 2, &ids, &first);
    let oldest = Timestamp::from_millis(2 * DAY);
    let retained = store.retain(oldest, oldest).unwrap();
    assert_eq!((retained.days, retained.series), (1, 1));
    assert_eq!(read(&store, "old", TimeRange::ALL), []);
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1, [(2 * DAY, 2.0)]);
    assert_eq!(store.commit(vec![stale]).unwrap(), [Outcome::StaleSeries]);
    drop(store);
    assert_eq!(open(&engine).1.series, 1);
}

#[test]
fn a_damaged_chunk_is_named_and_costs_only_itself() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("up", "b")]);
    let two = block(&[1, 2], &[&[1.0, 2.0], &[3.0, 4.0]]);
    store
        .commit(vec![arrival(&store, "a", 1, &ids, &two)])
        .unwrap();
    store.flush().unwrap();
    let mut rows = Vec::new();
    let collect = &mut |key: &[u8], row: &[u8]| {
        rows.push((key.to_vec(), row.to_vec()));
        std::ops::ControlFlow::Continue(())
    };
    engine::Engine::scan(&engine, Family::Runs, &[], &[0xff; 21], collect).unwrap();
    let (key, mut row) = rows[0].clone();
    let last = row.len() - 1;
    row[last] ^= 1;
    let mut batch = Batch::default();
    batch.put(Family::Runs, key, row);
    engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
    assert_eq!(found.series.len(), 1);
    assert!(
        found.damaged[0].contains("checksum of a column does not match"),
        "{:?}",
        found.damaged
    );
}

#[test]
fn a_damaged_journal_row_is_set_aside_and_costs_only_itself() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    for sequence in 1..=3_u64 {
        let at = i64::try_from(sequence).unwrap();
        let one = block(&[at], &[&[1.0]]);
        store
            .commit(vec![arrival(&store, "a", sequence, &ids, &one)])
            .unwrap();
    }
    drop(store);
    let key = keys::journal(1);
    let mut row = engine::Engine::get(&engine, Family::Journal, &key)
        .unwrap()
        .unwrap();
    row[9] ^= 1;
    let mut batch = Batch::default();
    batch.put(Family::Journal, key.clone(), row.clone());
    engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    let (store, recovery) = open(&engine);
    assert_eq!((recovery.batches, recovery.damaged.len()), (2, 1));
    assert_eq!(
        read(&store, "up", TimeRange::ALL)[0].1,
        [(1, 1.0), (3, 1.0)]
    );
    store.flush().unwrap();
    assert_eq!(store.get_state(keys::SET_ASIDE, &key).unwrap(), Some(row));
}

#[test]
fn times_at_both_ends_of_time_are_flushed_at_once_and_kept() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    let times = [i64::MIN, 0, i64::MAX];
    let far = block(&times, &[&[1.0, 2.0, 3.0]]);
    store
        .commit(vec![arrival(&store, "a", 1, &ids, &far)])
        .unwrap();
    let expected = [(i64::MIN, 1.0), (0, 2.0), (i64::MAX, 3.0)];
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1, expected);
    assert_eq!(store.flush().unwrap().samples, 3);
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1, expected);
    store.compact_all().unwrap();
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1, expected);
}

#[test]
fn damaged_counters_and_numbers_cost_no_sample() {
    for (flushes, flushed) in [(&b"?"[..], &b"?"[..]), (&[0xff; 8], &[0xff; 8])] {
        let engine = Arc::new(Memory::default());
        let (store, _) = open(&engine);
        let ids = define(&store, &[("up", "a")]);
        let one = block(&[1], &[&[1.0]]);
        store
            .commit(vec![arrival(&store, "a", 1, &ids, &one)])
            .unwrap();
        store.flush().unwrap();
        drop(store);
        let mut batch = Batch::default();
        batch.put(Family::Meta, keys::FLUSHES, flushes);
        batch.put(Family::Meta, keys::FLUSHED, flushed);
        batch.put(Family::Groups, keys::group(u32::MAX), [1, 0]);
        // A group of a series at the end of all numbers costs no memory for those before it.
        let far = [1, 0, 0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 0];
        batch.put(Family::Groups, keys::group(9), far);
        batch.put(Family::Journal, keys::journal(u64::MAX), *b"no record");
        engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
        let (store, recovery) = open(&engine);
        assert_eq!(recovery.damaged.len(), 2, "{:?}", recovery.damaged);
        let ids = define(&store, &[("up", "a"), ("load", "a")]);
        let two = block(&[2], &[&[2.0], &[2.0]]);
        store
            .commit(vec![arrival(&store, "a", 2, &ids, &two)])
            .unwrap();
        store.flush().unwrap();
        drop(store);
        let (store, _) = open(&engine);
        assert_eq!(
            read(&store, "up", TimeRange::ALL)[0].1,
            [(1, 1.0), (2, 2.0)]
        );
        assert_eq!(read(&store, "load", TimeRange::ALL)[0].1, [(2, 2.0)]);
    }
}

#[test]
fn a_damaged_group_row_costs_no_chunk() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    for (sequence, name) in [(1, "up"), (2, "load")] {
        let ids = define(&store, &[(name, "a")]);
        let one = block(&[1], &[&[1.0]]);
        store
            .commit(vec![arrival(&store, "a", sequence, &ids, &one)])
            .unwrap();
    }
    store.flush().unwrap();
    drop(store);
    let row = engine::Engine::get(&engine, Family::Groups, &keys::group(0));
    let put = |row: &[u8]| {
        let mut batch = Batch::default();
        batch.put(Family::Groups, keys::group(0), row);
        engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    };
    put(b"damaged");
    let (store, recovery) = open(&engine);
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!(store.compact_all().unwrap().damaged, 1);
    assert_eq!(read(&store, "load", TimeRange::ALL)[0].1, [(1, 1.0)]);
    drop(store);
    put(&row.unwrap().unwrap());
    let (store, _) = open(&engine);
    assert_eq!(read(&store, "up", TimeRange::ALL)[0].1, [(1, 1.0)]);
}

#[test]
fn a_damaged_day_row_is_set_aside_and_costs_no_chunk() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a")]);
    let commit = |store: &Store, sequence: u64, at: i64| {
        let one = block(&[at], &[&[1.0]]);
        store
            .commit(vec![arrival(store, "a", sequence, &ids, &one)])
            .unwrap();
        store.flush().unwrap();
    };
    let chunks = || {
        let mut count = 0;
        let visit = &mut |_: &[u8], _: &[u8]| {
            count += 1;
            std::ops::ControlFlow::Continue(())
        };
        engine::Engine::scan(&engine, Family::Runs, &[], &[0xff; 21], visit).unwrap();
        count
    };
    let put = |row: &[u8]| {
        let mut batch = Batch::default();
        batch.put(Family::Days, keys::partition(0), row);
        engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    };
    commit(&store, 1, 1);
    drop(store);
    let row = engine::Engine::get(&engine, Family::Days, &keys::partition(0));
    let row = row.unwrap().unwrap();
    put(b"damaged");
    for sequence in 2..4_u64 {
        let (store, recovery) = open(&engine);
        assert_eq!(recovery.damaged.len(), usize::from(sequence == 2));
        commit(&store, sequence, i64::try_from(sequence).unwrap());
        assert_eq!(chunks(), sequence);
        let aside = store.get_state(keys::SET_ASIDE, &keys::partition(0));
        assert_eq!(aside.unwrap().as_deref(), Some(&b"damaged"[..]));
    }
    put(&row);
    assert_eq!(
        read(&open(&engine).0, "up", TimeRange::ALL)[0].1,
        [(1, 1.0)]
    );
}

#[test]
fn a_batch_without_blocks_settles_its_sequence() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let mut empty = arrival(&store, "a", 1, &[], &Block::default());
    empty.blocks.clear();
    assert_eq!(store.commit(vec![empty]).unwrap(), [Outcome::Taken]);
    drop(store);
    assert_eq!(through(&open(&engine).0), 1);
}

#[test]
fn a_read_stops_when_its_meter_says_so() {
    struct Few(AtomicU64);
    impl Meter for Few {
        fn series(&self, count: u64) -> bool {
            count <= 2
        }
        fn samples(&self, count: u64) -> bool {
            self.0.fetch_add(count, Ordering::Relaxed) + count <= 3
        }
    }
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("up", "b"), ("load", "c")]);
    let three = block(&[1, 2], &[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]]);
    store
        .commit(vec![arrival(&store, "a", 1, &ids, &three)])
        .unwrap();
    let select = |name: &str, meter: &dyn Meter| {
        store.select(
            &[Matcher::new("__name__", MatchOp::Equal, name).unwrap()],
            TimeRange::ALL,
            meter,
        )
    };
    assert!(select("load", &Few(AtomicU64::new(0))).is_ok());
    assert!(matches!(
        select("up", &Few(AtomicU64::new(0))),
        Err(Error::Stopped)
    ));
    assert!(matches!(
        store.select(&[], TimeRange::ALL, &Few(AtomicU64::new(0))),
        Err(Error::Stopped)
    ));
}

#[test]
fn listings_name_what_a_selector_means() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let ids = define(&store, &[("up", "a"), ("load", "b")]);
    let two = block(&[1], &[&[1.0], &[3.0]]);
    store
        .commit(vec![arrival(&store, "a", 1, &ids, &two)])
        .unwrap();
    let up = vec![vec![
        Matcher::new("__name__", MatchOp::Equal, "up").unwrap(),
    ]];
    assert_eq!(store.series(&up, TimeRange::ALL, 9).unwrap().items.len(), 1);
    assert_eq!(
        store.label_names(&[], TimeRange::ALL, 9).unwrap().items,
        ["__name__", "node"]
    );
    assert_eq!(
        store
            .label_values("node", &up, TimeRange::ALL, 9)
            .unwrap()
            .items,
        ["a"]
    );
    let cut = store.label_values("node", &[], TimeRange::ALL, 1).unwrap();
    assert!(cut.truncated && cut.items == ["a"]);
}

#[test]
fn state_rows_stay_in_their_space() {
    let engine = Arc::new(Memory::default());
    let (store, _) = open(&engine);
    let row = |key: &[u8]| StateRow {
        key: key.to_vec(),
        value: b"v".to_vec(),
    };
    store.put_state(1, vec![row(b"a"), row(b"b")]).unwrap();
    store.put_state(2, vec![row(b"c")]).unwrap();
    assert_eq!(store.scan_state(1, b"", 9).unwrap(), [row(b"a"), row(b"b")]);
    assert_eq!(store.scan_state(1, b"b", 9).unwrap(), [row(b"b")]);
    assert_eq!(store.get_state(2, b"c").unwrap(), Some(b"v".to_vec()));
}

/// Memory whose writes fail when told to.
#[derive(Default)]
struct Failing {
    memory: Memory,
    fails: AtomicBool,
}

impl engine::Engine for Failing {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(EngineError {
                doing: "writing",
                source: "disk full".into(),
            });
        }
        self.memory.write(batch, durability)
    }
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.memory.get(family, key)
    }
    fn scan(
        &self,
        f: Family,
        a: &[u8],
        b: &[u8],
        visit: &mut Visit<'_>,
    ) -> Result<(), EngineError> {
        self.memory.scan(f, a, b, visit)
    }
    fn drop_range(&self, family: Family, a: &[u8], b: &[u8]) -> Result<(), EngineError> {
        self.memory.drop_range(family, a, b)
    }
    fn read(&self, f: Family, key: &[u8], found: &mut Found<'_>) -> Result<bool, EngineError> {
        self.memory.read(f, key, found)
    }
    fn ingest(&self, family: Family) -> Result<Box<dyn Ingest + '_>, EngineError> {
        self.memory.ingest(family)
    }
    fn drop_ingested(&self, f: Family, a: &[u8], b: &[u8]) -> Result<(), EngineError> {
        self.memory.drop_ingested(f, a, b)
    }
    fn settle(&self) -> Result<(), EngineError> {
        self.memory.settle()
    }
    fn disk_bytes(&self) -> u64 {
        self.memory.disk_bytes()
    }
    fn family_bytes(&self, family: Family) -> u64 {
        self.memory.family_bytes(family)
    }
}

#[test]
fn after_a_failed_write_nothing_more_is_taken() {
    let engine = Arc::new(Failing::default());
    let (store, _) = Store::open(Box::new(Arc::clone(&engine))).unwrap();
    let ids = define(&store, &[("up", "a")]);
    engine.fails.store(true, Ordering::Relaxed);
    let one = block(&[1], &[&[1.0]]);
    assert!(
        store
            .commit(vec![arrival(&store, "a", 1, &ids, &one)])
            .is_err()
    );
    engine.fails.store(false, Ordering::Relaxed);
    let again = store.commit(vec![arrival(&store, "a", 1, &ids, &one)]);
    assert!(matches!(again, Err(Error::Poisoned)));
    assert_eq!(through(&store), 0);
    let (store, _) = Store::open(Box::new(engine)).unwrap();
    assert_eq!(store.statistics().series, 0);
}

#[test]
fn a_later_format_is_refused() {
    let engine = Arc::new(Memory::default());
    let mut batch = Batch::default();
    batch
        .ops
        .push(Op::Put(Family::Meta, keys::VERSION.to_vec(), vec![99]));
    engine::Engine::write(&engine, batch, Durability::Synced).unwrap();
    assert!(matches!(
        Store::open(Box::new(engine)),
        Err(Error::Version {
            found: 99,
            known: 2
        })
    ));
}

#[test]
fn who_is_past_its_bound_leaves_room_for_others() {
    let (store, _) = open(&Arc::new(Memory::default()));
    let within = |node: &str, names: &[&str]| {
        let list = names
            .iter()
            .map(|name| (labels(name, node), MetricKind::Gauge));
        let bound = Bound {
            name: "node",
            value: "a",
            series_max: 2,
        };
        let defined = store.define_within(&list.collect::<Vec<_>>(), Some(bound));
        let ids = defined.unwrap().ids;
        ids.iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(within("a", &["up", "down", "left"]), [true, true, false]);
    assert_eq!(within("a", &["down", "right"]), [true, false]);
    assert_eq!(within("b", &["up", "down", "left"]), [true, true, true]);
    let statistics = store.statistics();
    assert_eq!(
        (statistics.series, statistics.series_over_bound_total),
        (5, 2)
    );
    assert_eq!(statistics.refused_series_total, 0);
}
