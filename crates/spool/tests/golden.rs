//! A directory that was written once and must be read as the same records for ever.
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
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/spool")
}

fn payload(sequence: u8) -> Vec<u8> {
    (0..100).map(|at| sequence ^ at).collect()
}

/// Twelve records of which the first four were dropped and the sixth is acknowledged.
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

#[test]
fn a_golden_spool_reads_as_it_was_and_is_written_so_today() {
    let scratch = tempfile::tempdir().unwrap();
    let now = scratch.path().join("now");
    write(&now);
    if !folder().join("epoch").try_exists().unwrap()
        && std::env::var_os("VEDETTE_WRITE_GOLDEN").is_some()
    {
        copy(&now, &folder());
    }
    assert_eq!(
        files(&now),
        files(&folder()),
        "a spool is written differently"
    );

    let then = scratch.path().join("then");
    copy(&folder(), &then);
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
    assert_eq!(
        spool.losses(),
        [Loss {
            first: 1,
            last: 4,
            reason: Reason::Full
        }]
    );
    let expected: Vec<_> = (7..=12)
        .map(|sequence| (u64::from(sequence), payload(sequence)))
        .collect();
    assert_eq!(spool.read_from(1, 100, usize::MAX).unwrap(), expected);
    assert_eq!(spool.next_sequence(), 13);
}
