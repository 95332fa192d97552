//! Bytes that were written once and must be read as the same values for ever.
//!
//! `VEDETTE_WRITE_GOLDEN=1` writes files that are missing; a file that is there is never changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use codec::{
    Effort, Samples, decode_block, decode_column, decode_labels, decode_labels_list,
    decode_samples, decode_times, encode_block, encode_column, encode_labels, encode_labels_list,
    encode_samples, encode_times,
};
use series::{Block, Column, Labels, MetricKind, Rows, STALE_NAN};

/// The bytes of a golden file; the first time, those that `encode` makes now.
fn golden(name: &str, encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/codec");
    let path = folder.join(name);
    if !path.try_exists().unwrap() && std::env::var_os("VEDETTE_WRITE_GOLDEN").is_some() {
        let mut out = vec![];
        encode(&mut out);
        std::fs::write(&path, out).unwrap();
    }
    std::fs::read(&path).unwrap()
}

fn all(values: Vec<f64>) -> Column {
    Column {
        rows: Rows::All,
        values: values.into(),
    }
}

/// Every way to write a column, in a block of 20 rows.
fn block() -> Block {
    let rows = 20_i32;
    let each = |value: &dyn Fn(i32) -> f64| all((0..rows).map(value).collect());
    let flags: Vec<bool> = (0..rows).map(|row| row % 7 != 3).collect();
    let gaps = |base: f64| Column {
        values: (0..flags.iter().filter(|set| **set).count())
            .map(|i| base + i as f64)
            .collect(),
        rows: Rows::from_flags(&flags),
    };
    let mut ended = gaps(10.0);
    *ended.values.last_mut().unwrap() = STALE_NAN;
    let mut odd = gaps(20.0);
    odd.values[2] = f64::from_bits(0x7ff8_0000_0000_1234);
    Block {
        times: (0..rows)
            .map(|row| 1_795_433_624_230 + 5000 * i64::from(row))
            .collect(),
        columns: vec![
            each(&|_| 0.0),
            each(&|_| 1.0),
            each(&|row| f64::from(row * row * 3 + 1000)),
            each(&|row| f64::from(row * 7919 % 101) / 100.0),
            each(&|row| f64::from(row % 5 * 4096) + 16_777_216.0 * 4096.0),
            each(&|row| (f64::from(row) + 0.5).sqrt()),
            each(&|row| f64::from(i32::from(row == 9))),
            each(&|row| if row == 0 { -0.0 } else { f64::NEG_INFINITY }),
            gaps(5.0),
            gaps(7.0),
            ended,
            odd,
            Column {
                rows: Rows::from_flags(&[false; 20]),
                values: vec![].into(),
            },
            each(&|_| f64::from_bits(0xfff8_0000_dead_beef)),
        ],
    }
}

#[test]
fn a_golden_block_reads_as_it_was_and_is_written_so_today() {
    let bytes = golden("block.bin", |out| encode_block(&block(), out));
    assert_eq!(decode_block(&bytes).unwrap(), block());
    let mut now = vec![];
    encode_block(&block(), &mut now);
    assert_eq!(
        now, bytes,
        "the encoder writes something else for the same block"
    );
}

#[test]
fn golden_times_read_as_they_were_and_are_written_so_today() {
    let times: Vec<i64> = (0..24)
        .map(|row| 1_795_433_624_230 + 15_000 * row + row * 7919 % 41 - 20)
        .collect();
    let bytes = golden("times.bin", |out| encode_times(&times, out));
    assert_eq!(decode_times(&bytes, 24).unwrap(), times);
    let mut now = vec![];
    encode_times(&times, &mut now);
    assert_eq!(now, bytes);
}

/// Their bytes are not pinned: what pco writes may change, what it reads may not.
#[test]
fn golden_columns_read_as_they_were() {
    let rows = 120_u32;
    let noise = |row: u32| f64::from(row.wrapping_mul(2_654_435_761) >> 12);
    let each = |value: &dyn Fn(u32) -> f64| all((0..rows).map(value).collect());
    let mut exceptions = each(&|row| noise(row) % 300.0);
    exceptions.values[7] = STALE_NAN;
    let flags: Vec<bool> = (0..rows).map(|row| !(50..60).contains(&row)).collect();
    let sparse: Vec<bool> = (0..rows).map(|row| row % 2 == 1).collect();
    let columns = [
        ("constant", each(&|_| f64::NAN)),
        ("counter", each(&|row| f64::from(row) * 15_000.0)),
        ("pco_u8", each(&|row| noise(row) % 200.0)),
        ("pco_u16", each(&|row| noise(row) % 20_000.0 / 100.0)),
        ("pco_u32", each(&|row| noise(row) * 64.0)),
        ("pco_u64", each(&|row| noise(row) * noise(row + 1))),
        ("floats", each(&|row| (noise(row) + 0.3).sqrt())),
        (
            "raw",
            all((0..rows)
                .take(12)
                .map(|row| (noise(row) + 0.3).sqrt())
                .collect()),
        ),
        ("exceptions", exceptions),
        (
            "runs",
            Column {
                values: vec![2.5; 110].into(),
                rows: Rows::from_flags(&flags),
            },
        ),
        (
            "bitmap",
            Column {
                values: vec![3.0; 60].into(),
                rows: Rows::from_flags(&sparse),
            },
        ),
    ];
    for (name, column) in columns {
        let rows = if name == "raw" { 12 } else { rows as usize };
        let file = format!("column_{name}.bin");
        let bytes = golden(&file, |out| {
            encode_column(&column, rows, Effort::Dense, out);
        });
        assert_eq!(decode_column(&bytes, rows).unwrap(), column, "{name}");
    }
    let packed = each(&|row| noise(row) % 20_000.0 / 100.0);
    let bytes = golden("column_packed.bin", |out| {
        encode_column(&packed, rows as usize, Effort::Quick, out);
    });
    assert_eq!(decode_column(&bytes, rows as usize).unwrap(), packed);
}

#[test]
fn golden_samples_read_as_they_were() {
    let samples = Samples {
        series: vec![5, 6, 7, 2, 9, 9],
        times: vec![1000, 1000, 1000, 1000, -7, 1_795_000_000_000],
        values: vec![0.0, -0.0, 0.1, 3.0, STALE_NAN, f64::INFINITY],
    };
    let bytes = golden("samples.bin", |out| {
        encode_samples(&samples.series, &samples.times, &samples.values, out);
    });
    let read = decode_samples(&bytes, 6).unwrap();
    let bits = |samples: &Samples| -> Vec<u64> {
        samples.values.iter().map(|value| value.to_bits()).collect()
    };
    assert_eq!(bits(&read), bits(&samples));
    assert_eq!((read.series, read.times), (samples.series, samples.times));
}

#[test]
fn golden_labels_read_as_they_were() {
    let list: Vec<(Labels, MetricKind)> = (0..6)
        .map(|node| {
            let node = format!("node-{node}");
            let pairs = [("node", node.as_str()), ("zone", "é")];
            (
                Labels::with_name("vllm:requests_total", &pairs).unwrap(),
                MetricKind::Counter,
            )
        })
        .chain([(Labels::default(), MetricKind::Unknown)])
        .collect();
    let (sets, kinds): (Vec<Labels>, Vec<MetricKind>) = list.iter().cloned().unzip();
    let bytes = golden("labels_list.bin", |out| {
        encode_labels_list(&sets, &kinds, out);
    });
    assert_eq!(decode_labels_list(&bytes).unwrap(), list);

    let bytes = golden("labels.bin", |out| encode_labels(&sets[3], out));
    assert_eq!(decode_labels(&bytes).unwrap(), sets[3]);
    let mut now = vec![];
    encode_labels(&sets[3], &mut now);
    assert_eq!(now, bytes);
}
