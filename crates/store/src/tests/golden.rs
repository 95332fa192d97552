//! Rows as they were written by the version that made them, kept in tests/golden/store. A later
//! version must read them; the ones marked exact must also be written so.
//!
//! `VEDETTE_WRITE_GOLDEN=1` writes files that are missing, and only those.

use std::path::PathBuf;

use codec::{Effort, Samples};
use series::{Column, Labels, MetricKind, Rows, Sequences};

use crate::chunk::{self, Chunk};
use crate::groups::Groups;
use crate::open::encode_mark;
use crate::runs::{Day, Run};
use crate::{SeriesId, Settled, journal, keys, upgrade};

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
    let blocks = [(ids.as_slice(), b"columns".as_slice()), (&[], b"")];
    let now = journal::encode(blocks.into_iter(), &Samples::default());
    let golden = golden("journal-1.bin", &now);
    assert_eq!(golden, now);
    let (blocks, _) = journal::decode(&golden).unwrap();
    assert_eq!(blocks[0].series, ids);
    assert_eq!(blocks[0].columns, b"columns");
    assert_eq!(blocks.len(), 2);
}

#[test]
fn a_journal_record_of_version_2_is_read_and_written_alike() {
    let samples = Samples {
        series: vec![1, 2, 3, 9],
        times: vec![5, 5, 5, 1_795_000_000_000],
        values: vec![1.0, -0.0, 0.1, series::STALE_NAN],
    };
    let now = journal::encode(std::iter::empty(), &samples);
    let golden = golden("journal-2.bin", &now);
    assert_eq!(golden, now);
    let (_, read) = journal::decode(&golden).unwrap();
    assert_eq!((read.series, read.times), (samples.series, samples.times));
}

#[test]
fn a_chunk_and_the_keys_of_version_1_are_read() {
    let flipped = |millis: i64| millis.cast_unsigned() ^ (1 << 63);
    let key = upgrade::chunk_key(20_000, 7, flipped(1_728_000_000_123), 3);
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
        values: values.into(),
    };
    let kept = golden("chunk-1.bin", &[]);
    assert_eq!(upgrade::parse_column(&key, &kept, 7), Some(column));
    let keys = [
        keys::journal(300),
        keys::series(70_000),
        keys::partition(20_000),
        upgrade::chunk_key(20_000, 70_000, flipped(-5), 9),
        upgrade::times_key(20_000, 1 << 33),
        keys::mark("node-1"),
        keys::state(2, b"key"),
    ];
    assert_eq!(golden("keys-1.bin", &[]), keys.concat());
}

#[test]
fn a_chunk_of_version_2_is_read() {
    let key = keys::chunk(20_000, 7, 1, 4, 0);
    let values = vec![
        1.0,
        -0.0,
        f64::NAN,
        series::STALE_NAN,
        0.1,
        f64::INFINITY,
        5e-324,
    ];
    let columns = [
        Column {
            rows: Rows::All,
            values: values.into(),
        },
        Column {
            rows: Rows::from_flags(&[true, false, false, false, false, false, true]),
            values: vec![1.0, 2.0].into(),
        },
    ];
    let times: Vec<i64> = (0..7).map(|row| 1_728_000_000_123 + 15_000 * row).collect();
    for (name, effort) in [
        ("chunk-2-quick.bin", Effort::Quick),
        ("chunk-2-dense.bin", Effort::Dense),
    ] {
        let golden = golden(name, &chunk::encode(&key, &times, &columns, effort));
        let chunk = Chunk::parse(&key, &golden).unwrap();
        assert_eq!(chunk.times().unwrap(), times);
        for (number, column) in columns.iter().enumerate() {
            assert_eq!(chunk.column(number).unwrap().as_ref(), Some(column));
        }
    }
}

#[test]
fn rows_of_a_group_and_of_a_day_are_written_alike() {
    let mut groups = Groups::default();
    groups.place_columns(&[SeriesId(4), SeriesId(5), SeriesId(9)], &mut Vec::new());
    let row = groups.take_dirty().remove(0).1;
    assert_eq!(golden("group-1.bin", &row), row);
    let day = Day {
        runs: vec![Run {
            number: 3,
            level: 1,
            has_windows: true,
            first_millis: 5,
            last_millis: 9,
            samples: 77,
            columns: 7,
            bytes: 1 << 40,
        }],
        series: [4, 5, 9].into_iter().collect(),
        only_windows: false,
    };
    assert_eq!(golden("day-1.bin", &day.encode()), day.encode());
}

#[test]
fn a_series_row_and_a_mark_of_version_1_are_read_and_written_alike() {
    let labels = Labels::with_name("up", &[("node", "n-1"), ("job", "vLLM")]).unwrap();
    let mut row = vec![MetricKind::Gauge.code()];
    codec::encode_labels(&labels, &mut row);
    let kept = golden("series-1.bin", &row);
    assert_eq!(kept, row);
    assert_eq!(codec::decode_labels(&kept[1..]).unwrap(), labels);
    let mark = encode_mark(&Settled {
        epoch: 1_795_466_884_748,
        sequences: Sequences::up_to(77),
    });
    assert_eq!(golden("mark-1.bin", &mark), mark);
}

#[test]
fn keys_of_version_2_are_written_alike() {
    let now = [
        keys::journal(300),
        keys::series(70_000),
        keys::partition(20_000),
        keys::group(9),
        keys::chunk(20_000, 70_000, 1, 9, 2),
        keys::windows(3, 20_000, 70_000, 1, 9),
        keys::mark("node-1"),
        keys::state(2, b"key"),
    ]
    .concat();
    assert_eq!(golden("keys-2.bin", &now), now);
}
