//! Rows of a store, and chunks for one.

use codec::Effort;
use fuzz::Draft;
use series::{Block, MetricKind};

use crate::columns::{body, encoded, made_blocks, some_labels};
use crate::{Seeds, golden};

pub(crate) fn store_rows() -> Seeds {
    let day = 20_u8;
    let blocks = made_blocks();
    let mut labels = vec![MetricKind::Gauge.code()];
    codec::encode_labels(&some_labels()[0], &mut labels);
    let series = Draft::default()
        .bytes([4, 0])
        .piece(labels)
        .bytes([5, 1, 1, 1, 2, 5, 2, 1, 2, 2]);
    let times: Vec<i64> = (0..12)
        .map(|row| i64::from(day) * 86_400_000 + row * 15_000)
        .collect();
    let mut list = Vec::new();
    codec::encode_samples(&[0, 1, 0, 1], &times[..4], &[1.0, 2.0, 3.0, 4.0], &mut list);
    let block = encoded(&Block {
        times: times.clone(),
        ..blocks[2].clone()
    });
    let journal = series
        .clone()
        .bytes([2, 0])
        .piece(list)
        .bytes([3, 1, 0, 5])
        .piece(body(&block));
    let mut time_column = Vec::new();
    codec::encode_times(&times, &mut time_column);
    let mut column = Vec::new();
    codec::encode_column(&blocks[2].columns[1], 12, Effort::Dense, &mut column);
    let span = [times[0], times[11]].map(i64::to_le_bytes).concat();
    let run = |number: u8, level: u8| {
        let numbers = [24_u64, 2, 500].map(u64::to_le_bytes).concat();
        [&[number, level, level][..], &span, &numbers].concat()
    };
    let chunk = |number: u8, level: u8| {
        let head = Draft::default()
            .bytes([10, day, number, 0, level, 0])
            .bytes(12_u16.to_le_bytes());
        head.bytes(&span)
            .piece(&time_column)
            .bytes([2])
            .piece(&column)
            .piece(&column)
            .done()
    };
    let runs = series
        .clone()
        .bytes([6, 0, 0x20, 0, 2, 8, day, 2, 0])
        .bytes(run(1, 0))
        .bytes(run(2, 0));
    let runs = runs.bytes([0, 1]).bytes(chunk(1, 0)).bytes(chunk(2, 0));
    let windows = series
        .clone()
        .bytes([6, 0, 0x20, 0, 2, 8, day, 1, 0])
        .bytes(run(3, 1))
        .bytes([0, 1]);
    let windows = windows
        .bytes(chunk(3, 1))
        .bytes([11, day, 3, 0, 0, 1])
        .bytes(&span)
        .piece(body(&block));
    let old = series
        .clone()
        .bytes([9, 0])
        .piece([1])
        .bytes([14, day, 13, day, 0])
        .piece(&time_column);
    let old = old
        .bytes([12, day, 0])
        .bytes([0; 8])
        .bytes([0])
        .bytes(12_u16.to_le_bytes())
        .bytes([0]);
    let old = old.bytes(times[11].to_le_bytes()).piece(&column);
    let meta = Draft::default()
        .bytes([9, 1])
        .piece([0; 8])
        .bytes([9, 3])
        .piece([0; 16]);
    let all = journal.clone().bytes(runs.clone().done());
    [series, journal, runs, windows, old, meta, all]
        .map(Draft::done)
        .to_vec()
}

pub(crate) fn store_chunks() -> Seeds {
    let block = &made_blocks()[2];
    let mut times = Vec::new();
    codec::encode_times(&block.times, &mut times);
    let mut column = Vec::new();
    codec::encode_column(&block.columns[1], 12, Effort::Dense, &mut column);
    let chunk = Draft::default()
        .bytes([0, 0])
        .bytes(12_u16.to_le_bytes())
        .bytes([3])
        .piece(&times);
    let chunk = chunk.bytes([2]).piece(&column).piece(&column);
    let raw = Draft::default()
        .bytes([2, 1])
        .bytes(golden("store/chunk-2-dense.bin"));
    let windows = Draft::default()
        .bytes([1, 0, 9])
        .bytes(body(&encoded(block)));
    let day = Draft::default()
        .bytes([4, 0, 0])
        .bytes(golden("store/day-1.bin"));
    let group = Draft::default()
        .bytes([4, 1, 0])
        .bytes(golden("store/group-1.bin"));
    let series = Draft::default()
        .bytes([4, 2, 0])
        .bytes(golden("store/series-1.bin"));
    [chunk, raw, windows, day, group, series]
        .map(Draft::done)
        .to_vec()
}
