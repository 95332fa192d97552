//! The store as a whole, over RocksDB.

use std::path::{Path, PathBuf};

use super::*;
use crate::engine::rocks::{Rocks, RocksConfig};

fn open(folder: &Path) -> (Store, Recovery) {
    let rocks = Rocks::open(folder, RocksConfig::default()).unwrap();
    Store::open(Box::new(rocks)).unwrap()
}

#[test]
fn rocksdb_keeps_what_memory_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let ids = define(&store, &[("up", "a"), ("up", "b")]);
    let first = block(&[1000, 2000], &[&[1.0, f64::NAN], &[0.5, 1.5]]);
    store
        .commit(vec![arrival(&store, "a", 1, &ids, &first)])
        .unwrap();
    store.flush().unwrap();
    let second = block(&[3000], &[&[3.0], &[4.0]]);
    store
        .commit(vec![arrival(&store, "a", 2, &ids, &second)])
        .unwrap();
    assert!(Rocks::open(folder.path(), RocksConfig::default()).is_err());
    drop(store);
    let (store, recovery) = open(folder.path());
    assert_eq!((recovery.series, recovery.batches), (2, 1));
    assert_eq!(
        read(&store, "up", TimeRange::ALL)[1].1,
        [(1000, 0.5), (2000, 1.5), (3000, 4.0)]
    );
    assert_eq!(store.settled("a").sequences.through(), 2);
    store.flush().unwrap();
    let oldest = Timestamp::from_millis(keys::PARTITION_MILLIS);
    store.retain(oldest, oldest).unwrap();
    assert_eq!(read(&store, "up", TimeRange::ALL), []);
    assert!(store.statistics().disk_bytes > 0);
}

/// The files of the database that hold chunks, told by what is in them.
fn tables(folder: &Path, of: &[u8]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(of.len()).any(|at| at == of)
    };
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "sst") && holds(path))
        .collect()
}

/// A series with times and the bits of its values.
type Series = (String, Vec<(i64, u64)>);

/// What was read of each series, and what was said to be damaged.
fn all(store: &Store) -> (Vec<Series>, Vec<String>) {
    let found = store.select(&[], TimeRange::ALL, &Free).unwrap();
    let series = found.series.iter().map(|series| {
        let values = series.values.iter().map(|value| value.to_bits());
        let samples = series.times.iter().copied().zip(values);
        (series.labels.to_string(), samples.collect())
    });
    (series.collect(), found.damaged)
}

#[test]
fn a_flipped_bit_in_a_file_of_chunks_is_said_and_costs_only_its_chunk() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    // Two groups: targets that are read at different times.
    let first = define(&store, &[("up", "a"), ("load", "a")]);
    let second = define(&store, &[("up", "b"), ("load", "b")]);
    let rows = 200;
    for (agent, ids, late) in [("a", &first, 0), ("b", &second, 7)] {
        let times: Vec<i64> = (0..rows).map(|row| 1000 * row + late).collect();
        let values: Vec<f64> = (0..rows).map(|row| (row * row % 97) as f64 / 8.0).collect();
        let block = block(&times, &[&values, &values]);
        store
            .commit(vec![arrival(&store, agent, 1, ids, &block)])
            .unwrap();
    }
    store.flush().unwrap();
    store.compact_all().unwrap();
    let whole = all(&store).0;
    assert_eq!(whole.len(), 4);
    drop(store);
    let key = keys::chunk(0, 1, 1, 0, 0);
    let tables = tables(folder.path(), &key);
    assert_eq!(tables.len(), 1);
    let bytes = std::fs::read(&tables[0]).unwrap();
    let last = bytes
        .windows(key.len())
        .rposition(|at| at == keys::chunk(0, 1, 1, 1, 0));
    let records_end = last.unwrap();
    let mut found = 0;
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&tables[0], &damaged).unwrap();
        let rocks = match Rocks::open(folder.path(), RocksConfig::default()) {
            Ok(rocks) => rocks,
            // RocksDB reads what holds a file together when it opens.
            Err(error) => {
                let said = error.source.to_string();
                assert!(
                    at > records_end && said.contains("Corruption"),
                    "{at}: {said}"
                );
                continue;
            }
        };
        let (store, _) = Store::open(Box::new(rocks)).unwrap();
        let (series, said) = all(&store);
        if said.is_empty() {
            assert_eq!(series, whole, "byte {at} is not said");
            continue;
        }
        let kept = series.iter().filter(|it| whole.contains(it)).count();
        assert_eq!(kept, series.len(), "byte {at}: what was not sent is read");
        // The index of the file leads to all its chunks.
        if !said.iter().any(|it| it.contains("block_type = Index")) {
            found += 1;
            assert!(kept >= 2, "byte {at}: {kept}, {said:?}");
        }
        let compacted = store.compact_all().unwrap();
        assert_eq!(compacted.runs, 0);
        assert_eq!(all(&store).0, series);
    }
    assert!(found > 10, "{found}");
}

#[test]
fn a_database_of_format_1_opens_and_loses_its_old_families() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let names = [
        "journal",
        "series",
        "chunks",
        "times",
        "partitions",
        "meta",
        "state",
    ];
    let db = rocksdb::DB::open_cf(&options, folder.path(), names).unwrap();
    let meta = db.cf_handle("meta").unwrap();
    db.put_cf(meta, keys::VERSION, [1]).unwrap();
    db.put_cf(db.cf_handle("partitions").unwrap(), [0; 4], [])
        .unwrap();
    drop(db);
    for _ in 0..2 {
        let (store, recovery) = open(folder.path());
        assert_eq!(recovery.damaged, Vec::<String>::new());
        assert_eq!(all(&store).0, []);
    }
    let left = rocksdb::DB::list_cf(&options, folder.path()).unwrap();
    assert!(left.iter().all(|name| name != "chunks"), "{left:?}");
}
