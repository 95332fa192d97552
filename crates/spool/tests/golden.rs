//! Directories that were written once and must be read as the same records for ever: the first as it
//! was before losses had spans and segments levels, the second as it is written today.
//!
//! `VEDETTE_WRITE_GOLDEN=1` writes it if it is missing; what is there is never changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use spool::{Config, Directory, Loss, Reason, Spool};

const CONFIG: Config = Config {
    bytes_max: 1024,
    segment_bytes: 512,
    epoch_if_new: 0x0102_0304,
    reserve_bytes: 0,
    span_of: |record| Some((i64::from(*record.first()?), i64::from(*record.last()?))),
};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(name)
}

fn payload(sequence: u8) -> Vec<u8> {
    (0..100).map(|at| sequence ^ at).collect()
}

/// Twelve records of which the first four were dropped, the sixth is acknowledged, and the two after
/// it are thinned.
fn write(path: &Path) {
    let (mut spool, _) = Spool::open(Directory::open(path).unwrap(), CONFIG).unwrap();
    for sequence in 1..=12 {
        assert_eq!(
            spool.append(&payload(sequence)).unwrap(),
            u64::from(sequence)
        );
    }
    spool.sync().unwrap();
    spool.acknowledge_through(6).unwrap();
    let half = spool.thin_oldest(1, &mut |records| {
        let half = |record: &[u8]| Some(record[..50].to_vec());
        records.iter().map(|(_, record)| half(record)).collect()
    });
    assert_eq!(half.unwrap().unwrap().records, 2);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in files(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "lock")
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Opens a copy, which must have the last six records, `thin` of them thinned, and this loss.
fn check(name: &str, thin: u8, span: Option<(i64, i64)>) {
    let scratch = tempfile::tempdir().unwrap();
    let then = scratch.path().join("then");
    copy(&folder(name), &then);
    let config = Config {
        epoch_if_new: 9,
        ..CONFIG
    };
    let (mut spool, recovery) = Spool::open(Directory::open(&then).unwrap(), config).unwrap();
    assert_eq!(spool.epoch(), CONFIG.epoch_if_new);
    assert_eq!(
        (recovery.pending, recovery.cut_bytes, recovery.losses.len()),
        (6, 0, 0)
    );
    let loss = Loss {
        first: 1,
        last: 4,
        reason: Reason::Full,
        span,
    };
    assert_eq!(spool.losses(), [loss]);
    let expected: Vec<_> = (7..=12)
        .map(|sequence| {
            let mut record = payload(sequence);
            record.truncate(if sequence < 7 + thin { 50 } else { 100 });
            (u64::from(sequence), record)
        })
        .collect();
    assert_eq!(spool.read_from(1, 100, usize::MAX).unwrap(), expected);
    assert_eq!(spool.next_sequence(), 13);
    // What is thin already is not thinned again.
    let thinned = spool.thin_oldest(1, &mut |_| Vec::new()).unwrap();
    assert_eq!(thinned.is_none(), thin > 0);
}

#[test]
fn a_golden_spool_of_version_1_reads_as_it_was() {
    check("spool", 0, None);
}

#[test]
fn a_golden_spool_reads_as_it_was_and_is_written_so_today() {
    let scratch = tempfile::tempdir().unwrap();
    let now = scratch.path().join("now");
    write(&now);
    let folder = folder("spool-2");
    if !folder.join("epoch").try_exists().unwrap()
        && std::env::var_os("VEDETTE_WRITE_GOLDEN").is_some()
    {
        copy(&now, &folder);
    }
    assert_eq!(
        files(&now),
        files(&folder),
        "a spool is written differently"
    );
    check("spool-2", 2, Some((1, 4 ^ 99)));
}
