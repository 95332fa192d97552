//! A sound store in which one row was overwritten: reading names the damage, costs nothing else, and
//! neither opening nor a compaction drops what cannot be read.
#![no_main]

use std::ops::ControlFlow;
use std::sync::Arc;

use fuzz::{Input, MIB, Unbounded, bits, seal, within};
use libfuzzer_sys::fuzz_target;
use rollup::Tier;
use series::{Block, Column, Labels, MetricKind, Rows, TimeRange};
use store::engine::memory::Memory;
use store::engine::{Engine, Family};
use store::{Arrival, ArrivedBlock, Recovery, Selection, Store, keys};

const BYTES_MAX: usize = 256 * MIB;
const DAY: u32 = 20_000;
/// Rows of each of the two groups in each of the two runs.
const ROWS: i64 = 20;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let kind = input.u8();
    let engine = Arc::new(Memory::default());
    let store = filled(&engine);
    if kind & 4 != 0 {
        let families = [Family::Days, Family::Groups, Family::Series];
        let family = families[usize::from(input.u8()) % families.len()];
        mend(&engine, store, family, input.u8(), input.rest());
    } else if kind & 1 == 0 {
        let (key, row) = pick(&engine, Family::Runs, input.u8());
        let sealed = kind & 2 == 0;
        let record = if sealed {
            chunk(&mut input, &key)
        } else {
            input.rest().to_vec()
        };
        let is_damaged = !sealed && record != row;
        overwrite(&engine, Family::Runs, &key, &record);
        within(BYTES_MAX, || {
            let found = read(&store);
            assert!(!is_damaged || !found.damaged.is_empty());
            // The other group is whole.
            assert!(
                found
                    .series
                    .iter()
                    .filter(|it| it.times.len() == 40)
                    .count()
                    >= 2
            );
            let compacted = store.compact_all().expect("memory does not fail");
            assert!(!is_damaged || compacted.damaged > 0);
            let kept = get(&engine, Family::Runs, &key);
            assert!(!is_damaged || kept.as_deref() == Some(&record[..]));
            read(&store);
        });
    } else {
        store.compact_all().expect("memory does not fail");
        let (key, _) = pick(&engine, Family::Windows, input.u8());
        let is_sealed = kind & 2 == 0;
        let record = if is_sealed {
            let span = span(&mut input);
            seal::windows(&key, span, input.rest())
        } else {
            input.rest().to_vec()
        };
        let before = windows(&store);
        overwrite(&engine, Family::Windows, &key, &record);
        // What cannot be read is made anew from the samples.
        let after = within(BYTES_MAX, || windows(&store));
        assert!(is_sealed || before == after);
    }
});

/// Overwrites a row without which others mean nothing. Where that is noticed, all is there again when
/// the row is put back.
fn mend(engine: &Arc<Memory>, store: Store, family: Family, which: u8, damaged: &[u8]) {
    let before = samples(&read(&store));
    drop(store);
    let (key, row) = pick(engine, family, which);
    overwrite(engine, family, &key, damaged);
    let is_noticed = within(BYTES_MAX, || {
        let (store, recovery) = open(engine);
        read(&store);
        store.flush().expect("memory does not fail");
        store.compact_all().expect("memory does not fail");
        read(&store);
        !recovery.damaged.is_empty()
    });
    if is_noticed {
        overwrite(engine, family, &key, &row);
        assert_eq!(samples(&read(&open(engine).0)), before);
    }
}

fn open(engine: &Arc<Memory>) -> (Store, Recovery) {
    Store::open(Box::new(Arc::clone(engine))).expect("memory does not fail")
}

/// Labels, times and bits of values of all series.
fn samples(found: &Selection) -> Vec<(String, Vec<i64>, Vec<u64>)> {
    let series = found.series.iter();
    let samples = series.map(|it| {
        (
            it.labels.to_string(),
            it.times.to_vec(),
            bits(&it.values.whole()),
        )
    });
    let mut samples: Vec<_> = samples.collect();
    // They come in no promised order.
    samples.sort_unstable();
    samples
}

/// Two groups of two series, in two runs of one day.
fn filled(engine: &Arc<Memory>) -> Store {
    let (store, _) = open(engine);
    let day = i64::from(DAY) * keys::PARTITION_MILLIS;
    for run in 0..2 {
        for group in ["a", "b"] {
            let names = ["x", "y"].map(|name| {
                let labels = Labels::with_name(name, &[("group", group)]);
                (labels.expect("these are valid"), MetricKind::Gauge)
            });
            let defined = store.define(&names).expect("there are ids left");
            let times = (0..ROWS).map(|row| day + 15_000 * (run * ROWS + row));
            let column = |power: f64| Column {
                rows: Rows::All,
                values: (0_u8..20).map(|row| f64::from(row) * power).collect(),
            };
            let block = Block {
                times: times.collect(),
                columns: vec![column(0.25), column(1e-9)],
            };
            let mut received = Vec::new();
            codec::encode_block(&block, &mut received);
            let arrival = Arrival {
                generation: store.generation(),
                blocks: vec![ArrivedBlock {
                    series: defined.ids.into_iter().flatten().collect(),
                    received: received.into(),
                    block,
                }],
                ..Arrival::default()
            };
            store.commit(vec![arrival]).expect("memory does not fail");
        }
        store.flush().expect("memory does not fail");
    }
    store
}

fn pick(engine: &Memory, family: Family, which: u8) -> (Vec<u8>, Vec<u8>) {
    let mut rows = Vec::new();
    let collect = &mut |key: &[u8], row: &[u8]| {
        rows.push((key.to_vec(), row.to_vec()));
        ControlFlow::Continue(())
    };
    engine
        .scan(family, &[], &[0xff; 21], collect)
        .expect("memory does not fail");
    let index = usize::from(which) % rows.len();
    rows.swap_remove(index)
}

fn get(engine: &Memory, family: Family, key: &[u8]) -> Option<Vec<u8>> {
    engine.get(family, key).expect("memory does not fail")
}

fn overwrite(engine: &Memory, family: Family, key: &[u8], row: &[u8]) {
    let mut rows = engine.ingest(family).expect("memory does not fail");
    rows.put(key, row).expect("it is the only one");
    rows.finish().expect("memory does not fail");
}

/// A first and a last time: near the day's, or any.
fn span(input: &mut Input<'_>) -> (i64, i64) {
    let day = i64::from(DAY) * keys::PARTITION_MILLIS;
    match input.u8() {
        255 => (input.i64(), input.i64()),
        minutes => (day, day + i64::from(minutes) * 60_000),
    }
}

fn chunk(input: &mut Input<'_>, key: &[u8]) -> Vec<u8> {
    let rows = u32::from(input.u16());
    let span = span(input);
    let times = input.piece();
    let columns: Vec<&[u8]> = (0..input.u8() % 4).map(|_| input.piece()).collect();
    seal::chunk(key, rows, span, times, &columns)
}

fn read(store: &Store) -> Selection {
    let found = store.select(&[], TimeRange::ALL, &Unbounded);
    let found = found.expect("nobody stops it");
    for series in &found.series {
        assert!(series.times.is_sorted_by(|a, b| a < b));
        assert_eq!(series.times.len(), series.values.len());
    }
    found
}

/// Labels and windows of all series and kept tiers.
fn windows(store: &Store) -> Vec<(String, Vec<(i64, rollup::Window)>)> {
    let mut all = Vec::new();
    for tier in [Tier::Hour, Tier::Day] {
        let found = store.windows(&[], tier, TimeRange::ALL, &Unbounded);
        for series in found.expect("nobody stops it").series {
            all.push((series.labels.to_string(), series.windows));
        }
    }
    all
}
