//! Rows as they were written by the version that made them, kept in tests/golden/store. A later
//! version must read them; the ones marked exact must also be written so.
//!
//! `VEDETTE_WRITE_GOLDEN=1` writes files that are missing, and only those.

use std::path::PathBuf;

use series::{Column, Labels, MetricKind, Rows};

use crate::chunk::{self, ChunkHead};
use crate::open::encode_mark;
use crate::{Mark, SeriesId, journal, keys};

fn golden(name: &str, now: &[u8]) -> Vec<u8> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/golden/store"
    ));
    let path = folder.join(name);
    if std::env::var_os("VEDETTE_WRITE_GOLDEN").is_some() && !path.try_exists().unwrap() {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read(&path).unwrap()
}

#[test]
fn a_journal_record_of_version_1_is_read_and_written_alike() {
    let ids: Vec<SeriesId> = [1, 2, 3, 9, 7].map(SeriesId).to_vec();
    let now = journal::encode([(ids.as_slice(), b"columns".as_slice()), (&[], b"")].into_iter());
    let golden = golden("journal-1.bin", &now);
    assert_eq!(golden, now);
    let blocks = journal::decode(&golden).unwrap();
    assert_eq!(blocks[0].series, ids);
    assert_eq!(blocks[0].columns, b"columns");
    assert_eq!(blocks.len(), 2);
}

#[test]
fn a_chunk_of_version_1_is_read() {
    let key = keys::chunk(20_000, 7, 1_728_000_000_123, 3);
    let values = vec![
        1.0,
        -0.0,
        f64::NAN,
        series::STALE_NAN,
        0.1,
        f64::INFINITY,
        5e-324,
    ];
    let column = Column {
        rows: Rows::All,
        values,
    };
    let head = ChunkHead {
        rows: 7,
        times: (3 << 32) + 5,
        last_millis: 1_728_000_030_000,
    };
    let golden = golden("chunk-1.bin", &chunk::encode(&key, head, &column));
    assert_eq!(chunk::decode(&key, &golden), Ok((head, column)));
}

#[test]
fn a_series_row_and_a_mark_of_version_1_are_read_and_written_alike() {
    let labels = Labels::with_name("up", &[("node", "n-1"), ("job", "vLLM")]).unwrap();
    let mut row = vec![MetricKind::Gauge.code()];
    codec::encode_labels(&labels, &mut row);
    let kept = golden("series-1.bin", &row);
    assert_eq!(kept, row);
    assert_eq!(codec::decode_labels(&kept[1..]).unwrap(), labels);
    let mark = encode_mark(Mark {
        epoch: 1_795_466_884_748,
        sequence: 77,
    });
    assert_eq!(golden("mark-1.bin", &mark), mark);
}

#[test]
fn keys_of_version_1_are_written_alike() {
    let now = [
        keys::journal(300),
        keys::series(70_000),
        keys::partition(20_000),
        keys::chunk(20_000, 70_000, -5, 9),
        keys::times(20_000, 1 << 33),
        keys::mark("node-1"),
        keys::state(2, b"key"),
    ]
    .concat();
    assert_eq!(golden("keys-1.bin", &now), now);
}
