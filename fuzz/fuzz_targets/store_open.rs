//! Opening a store whose rows hold anything: it opens and can be written to, flushed, compacted and
//! read, and opened again. What of a journal was read at first is read ever after.
#![no_main]

use std::sync::Arc;

use fuzz::{Input, MIB, Unbounded, bits, seal, within};
use libfuzzer_sys::fuzz_target;
use rollup::Tier;
use series::{Block, Column, Labels, MatchOp, Matcher, MetricKind, Rows, TimeRange, Timestamp};
use store::engine::memory::Memory;
use store::engine::{Batch, Durability, Engine, Family, Op};
use store::{Arrival, ArrivedBlock, Error, Store, keys};

/// Most rows here are far smaller than 4 KiB; one may be a block or chunk that says much in few bytes.
const BYTES_MAX: usize = 1024 * MIB;

/// The series that the target commits itself.
const FRESH: &str = "fresh";

fuzz_target!(|data: &[u8]| {
    let engine = Arc::new(Memory::default());
    let batch = rows(&mut Input::new(data));
    // Chunks that lie about themselves may be found by a compaction only.
    let is_journal = batch.ops.iter().all(|op| match op {
        Op::Put(family, ..) => !matches!(family, Family::Days | Family::Runs | Family::Windows),
        _ => false,
    });
    engine
        .write(batch, Durability::Synced)
        .expect("memory does not fail");
    within(BYTES_MAX, || {
        let Some(store) = open(&engine) else { return };
        let first = read(&store);
        commit_one(&store);
        store.flush().expect("memory does not fail");
        assert!(!is_journal || read(&store) == first);
        store.compact_all().expect("memory does not fail");
        assert!(!is_journal || read(&store) == first);
        drop(store);
        let store = open(&engine).expect("it opened before");
        assert!(!is_journal || read(&store) == first);
        forget(&store);
    });
});

/// The store, unless it says that it is of another version.
fn open(engine: &Arc<Memory>) -> Option<Store> {
    match Store::open(Box::new(Arc::clone(engine))) {
        Ok((store, _)) => Some(store),
        Err(Error::Version { .. }) => None,
        Err(error) => panic!("memory that works and {error}"),
    }
}

/// Commits a sample of a series of its own, which must be there at once.
fn commit_one(store: &Store) {
    let labels = Labels::with_name(FRESH, &[]).expect("it is valid");
    let defined = store.define(&[(labels, MetricKind::Gauge)]);
    let id = defined.expect("there are ids left").ids[0].expect("there is room");
    let at = 20_000 * keys::PARTITION_MILLIS;
    let block = Block {
        times: vec![at],
        columns: vec![Column {
            rows: Rows::All,
            values: vec![0.5].into(),
        }],
    };
    let mut received = Vec::new();
    codec::encode_block(&block, &mut received);
    let arrival = Arrival {
        generation: store.generation(),
        blocks: vec![ArrivedBlock {
            series: vec![id],
            received: received.into(),
            block,
        }],
        ..Arrival::default()
    };
    store.commit(vec![arrival]).expect("memory does not fail");
    let fresh = Matcher::new("__name__", MatchOp::Equal, FRESH).expect("it is no expression");
    let range = TimeRange::new(Timestamp::from_millis(at), Timestamp::from_millis(at));
    let found = store.select(&[fresh], range, &Unbounded);
    let found = found.expect("nobody stops it");
    assert_eq!(found.series.len(), 1);
    assert_eq!(found.series[0].values.whole()[..], [0.5]);
}

fn forget(store: &Store) {
    let oldest = Timestamp::from_millis(3 * keys::PARTITION_MILLIS);
    let oldest_windows = Timestamp::from_millis(keys::PARTITION_MILLIS);
    store
        .retain(oldest, oldest_windows)
        .expect("memory does not fail");
    read(store);
}

/// All series but the fresh one: labels, times and bits of values.
fn read(store: &Store) -> Vec<(String, Vec<i64>, Vec<u64>)> {
    for tier in Tier::ALL {
        let found = store.windows(&[], tier, TimeRange::ALL, &Unbounded);
        for series in found.expect("nobody stops it").series {
            assert!(series.windows.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
    assert!(
        store
            .series(&[], TimeRange::ALL, 10)
            .is_ok_and(|it| it.items.len() <= 10)
    );
    assert!(store.newest_millis() >= 0 && store.statistics().series < 1 << 16);
    let mut all = Vec::new();
    let found = store.select(&[], TimeRange::ALL, &Unbounded);
    for series in found.expect("nobody stops it").series {
        assert!(series.times.is_sorted_by(|a, b| a < b));
        assert_eq!(series.times.len(), series.values.len());
        if series.labels.metric_name() != FRESH {
            let labels = series.labels.to_string();
            all.push((labels, series.times.to_vec(), bits(&series.values.whole())));
        }
    }
    // They come in no promised order.
    all.sort_unstable();
    all
}

fn rows(input: &mut Input<'_>) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        let kind = input.u8();
        let (family, key, row) = match kind % 16 {
            0 => (Family::Journal, journal_key(input), input.piece().to_vec()),
            1 => (
                Family::Journal,
                journal_key(input),
                seal::behind(input.piece()),
            ),
            2 => (Family::Journal, journal_key(input), samples_record(input)),
            3 => (Family::Journal, journal_key(input), block_record(input)),
            4 => (Family::Series, small(input), input.piece().to_vec()),
            5 => (Family::Series, small(input), series_row(input)),
            6 => (Family::Groups, small(input), group_row(input)),
            7 => (Family::Days, small(input), input.piece().to_vec()),
            8 => (Family::Days, small(input), day_row(input)),
            9 => (Family::Meta, meta_key(input), input.piece().to_vec()),
            10 => chunk(input),
            11 => windows(input),
            12 => old_chunk(input),
            13 => old_times(input),
            14 => (Family::OldPartitions, small(input), Vec::new()),
            _ => {
                let families = [&Family::ALL[..], &Family::OLD[..]].concat();
                let family = families[usize::from(input.u8()) % families.len()];
                (family, input.piece().to_vec(), input.piece().to_vec())
            }
        };
        // The index has room for every id below the greatest, and so many bytes of them are not
        // what is tried here.
        if family != Family::Series || key.len() != 4 || key.starts_with(&[0, 0]) {
            batch.put(family, key, row);
        }
    }
    batch
}

/// The key of a series, group or day.
fn small(input: &mut Input<'_>) -> Vec<u8> {
    u32::from(input.u8()).to_be_bytes().to_vec()
}

fn journal_key(input: &mut Input<'_>) -> Vec<u8> {
    let position = match input.u8() {
        255 => input.u64(),
        position => position.into(),
    };
    keys::journal(position)
}

fn meta_key(input: &mut Input<'_>) -> Vec<u8> {
    match input.u8() % 4 {
        0 => keys::VERSION.to_vec(),
        1 => keys::FLUSHED.to_vec(),
        2 => keys::FLUSHES.to_vec(),
        _ => keys::mark("node-1"),
    }
}

/// A record of samples whose list is fuzzed.
fn samples_record(input: &mut Input<'_>) -> Vec<u8> {
    seal::behind(&[&[2, 0, 0, 0, 0], input.piece()].concat())
}

/// A record of one block, whose series and body are fuzzed.
fn block_record(input: &mut Input<'_>) -> Vec<u8> {
    let mut record = vec![1, 1, 0, 0, 0, 1, 0, 0, 0];
    for _ in 0..2 {
        record.extend_from_slice(&u32::from(input.u8()).to_le_bytes());
    }
    let block = seal::block(input.piece());
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&block);
    seal::behind(&record)
}

fn series_row(input: &mut Input<'_>) -> Vec<u8> {
    let names = ["a", "b", "c", "d"];
    let mut name = || names[usize::from(input.u8()) % names.len()];
    let pairs = [("__name__", name()), ("node", name())];
    let mut row = vec![input.u8() % 8];
    let labels = Labels::new(&pairs).expect("these are valid");
    codec::encode_labels(&labels, &mut row);
    row
}

/// A few runs of small ids, or of any.
fn group_row(input: &mut Input<'_>) -> Vec<u8> {
    let flags = input.u8();
    let mut row = vec![1, flags & 1];
    for _ in 0..flags >> 5 {
        let first = if flags & 2 == 0 {
            input.u8().into()
        } else {
            input.u32()
        };
        row.extend_from_slice(&first.to_le_bytes());
        row.extend_from_slice(&u32::from(input.u8()).to_le_bytes());
    }
    row
}

/// Some runs, and a bitmap of series that follow one another.
fn day_row(input: &mut Input<'_>) -> Vec<u8> {
    let runs = input.u8() % 20;
    let mut row = vec![1, input.u8() & 1, runs, 0, 0, 0];
    for _ in 0..runs {
        row.extend_from_slice(&u32::from(input.u8()).to_le_bytes());
        row.extend_from_slice(&[input.u8(), input.u8() & 1]);
        for _ in 0..5 {
            row.extend_from_slice(&input.u64().to_le_bytes());
        }
    }
    let (first, count) = (u16::from(input.u8()), u16::from(input.u8() % 32) + 1);
    row.extend_from_slice(&12346_u32.to_le_bytes());
    row.extend_from_slice(&1_u32.to_le_bytes());
    row.extend_from_slice(&0_u16.to_le_bytes());
    row.extend_from_slice(&(count - 1).to_le_bytes());
    row.extend_from_slice(&16_u32.to_le_bytes());
    row.extend((first..first + count).flat_map(u16::to_le_bytes));
    row
}

fn chunk(input: &mut Input<'_>) -> (Family, Vec<u8>, Vec<u8>) {
    let [day, number, group] = [input.u8(), input.u8(), input.u8()].map(u32::from);
    let (level, part) = (input.u8(), u16::from(input.u8() % 4));
    let key = keys::chunk(day, number, level, group, part);
    let rows = u32::from(input.u16());
    let span = (input.i64(), input.i64());
    let times = input.piece();
    let columns: Vec<&[u8]> = (0..input.u8() % 4).map(|_| input.piece()).collect();
    let row = seal::chunk(&key, rows, span, times, &columns);
    (Family::Runs, key, row)
}

fn windows(input: &mut Input<'_>) -> (Family, Vec<u8>, Vec<u8>) {
    let [day, number, group] = [input.u8(), input.u8(), input.u8()].map(u32::from);
    let key = keys::windows(3 + input.u8() % 2, day, number, input.u8(), group);
    let span = (input.i64(), input.i64());
    let row = seal::windows(&key, span, input.piece());
    (Family::Windows, key, row)
}

/// A chunk of format 1.
fn old_chunk(input: &mut Input<'_>) -> (Family, Vec<u8>, Vec<u8>) {
    let mut key = small(input);
    key.extend(small(input));
    key.extend_from_slice(&input.u64().to_be_bytes());
    key.extend(small(input));
    let mut row = vec![1];
    row.extend_from_slice(&u32::from(input.u16()).to_le_bytes());
    row.extend_from_slice(&u64::from(input.u8()).to_le_bytes());
    row.extend_from_slice(&input.i64().to_le_bytes());
    row.extend_from_slice(input.piece());
    let sum = seal::checksum(&[&key, &row]);
    row.extend_from_slice(&sum.to_le_bytes());
    (Family::OldChunks, key, row)
}

/// A time column of format 1.
fn old_times(input: &mut Input<'_>) -> (Family, Vec<u8>, Vec<u8>) {
    let mut key = small(input);
    key.extend_from_slice(&u64::from(input.u8()).to_be_bytes());
    let body = input.piece();
    let sum = seal::checksum(&[&key, body]).to_le_bytes();
    let row = [&sum[..], body].concat();
    (Family::OldTimes, key, row)
}
