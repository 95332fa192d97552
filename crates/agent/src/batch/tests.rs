//! What goes in comes out, as blocks.

use super::*;
use series::{Block, MetricKind, Rows, STALE_NAN};

fn batcher() -> Batcher {
    Batcher::new(vec![("node".to_owned(), "n1".to_owned())])
}

fn gathered(source: &str, at: i64, samples: &[(&str, f64)]) -> Gathered {
    let mut snapshot = Snapshot::default();
    for (name, value) in samples {
        snapshot.family(name, MetricKind::Gauge, "");
        snapshot.push(name, &[], *value);
    }
    Gathered {
        divisor: None,
        unknown: Vec::new(),
        source: source.into(),
        labels: [("job".to_owned(), "host".to_owned())].into(),
        at: Timestamp::from_millis(at),
        snapshot,
    }
}

fn read(records: &[Record]) -> Vec<(Vec<String>, Block)> {
    let mut blocks = Vec::new();
    for record in records {
        let batch = SpooledBatch::decode(record.bytes.as_slice()).unwrap();
        for block in batch.blocks {
            let names = codec::decode_labels_list(&block.series_list).unwrap();
            let names = names.iter().map(|(labels, _)| labels.to_string()).collect();
            blocks.push((names, codec::decode_block(&block.columns).unwrap()));
        }
    }
    blocks
}

#[test]
fn snapshots_become_columns_with_all_labels() {
    let mut batcher = batcher();
    batcher.push(gathered("host", 1000, &[("load", 1.0), ("up", 1.0)]));
    batcher.push(gathered("host", 2000, &[("load", 2.0)]));
    let records = batcher.cut();
    assert_eq!((records.len(), records[0].samples), (1, 3));
    let (names, block) = read(&records).remove(0);
    assert_eq!(
        names,
        [
            r#"load{job="host",node="n1"}"#,
            r#"up{job="host",node="n1"}"#
        ]
    );
    assert_eq!(block.times, [1000, 2000]);
    assert_eq!(block.columns[0].values[..], [1.0, 2.0]);
    assert_eq!(block.columns[1].rows, Rows::from_flags(&[true, false]));
    assert!(batcher.cut().is_empty());
}

#[test]
fn a_clock_that_goes_back_begins_a_new_block() {
    let mut batcher = batcher();
    for at in [5000, 4000, 4500] {
        batcher.push(gathered("host", at, &[("load", 1.0)]));
    }
    let times: Vec<_> = read(&batcher.cut())
        .into_iter()
        .map(|(_, block)| block.times)
        .collect();
    assert_eq!(times, [vec![5000], vec![4000, 4500]]);
}

#[test]
fn a_series_said_twice_counts_once_and_is_reported() {
    let mut batcher = batcher();
    batcher.push(gathered("host", 1000, &[("load", 1.0), ("load", 2.0)]));
    assert_eq!(batcher.take_dropped().duplicate, 1);
    assert_eq!(read(&batcher.cut())[0].1.columns[0].values[..], [1.0]);
}

#[test]
fn samples_with_their_own_time_keep_it() {
    let mut batcher = batcher();
    let mut own = gathered("target", 9000, &[("load", 1.0), ("up", 1.0)]);
    own.snapshot.samples[0].at = Some(Timestamp::from_millis(7000));
    batcher.push(own);
    let blocks = read(&batcher.cut());
    assert_eq!(blocks[0].1.times, [9000]);
    assert_eq!(blocks[1].1.times, [7000]);
    assert_eq!(blocks[1].0, [r#"load{job="host",node="n1"}"#]);
}

#[test]
fn a_target_cannot_speak_for_another_node() {
    let mut batcher = batcher();
    let mut snapshot = Snapshot::default();
    snapshot.push("up", &[("node", "other"), ("job", "mine")], 1.0);
    batcher.push(Gathered {
        divisor: None,
        unknown: Vec::new(),
        snapshot,
        ..gathered("target", 1, &[])
    });
    assert_eq!(read(&batcher.cut())[0].0, [r#"up{job="mine",node="n1"}"#]);
}

#[test]
fn stale_markers_are_told_apart() {
    let mut batcher = batcher();
    batcher.push(gathered("host", 1000, &[("load", STALE_NAN), ("up", 0.0)]));
    let records = batcher.cut();
    assert_eq!((records[0].samples, records[0].stale), (1, 1));
}

#[test]
fn a_large_page_is_split_and_whole() {
    let mut batcher = batcher();
    let names: Vec<String> = (0..12_000).map(|index| format!("metric_{index}")).collect();
    let samples: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.5)).collect();
    batcher.push(gathered("target", 1000, &samples));
    let records = batcher.cut();
    let blocks = read(&records);
    assert!(blocks.len() >= 3);
    assert_eq!(
        blocks.iter().map(|(names, _)| names.len()).sum::<usize>(),
        12_000
    );
    assert_eq!(
        records.iter().map(|record| record.samples).sum::<u64>(),
        12_000
    );
}

#[test]
fn series_that_are_gone_are_forgotten_and_may_come_back() {
    let mut batcher = batcher();
    batcher.push(gathered("host", 0, &[("gone", 1.0), ("load", 1.0)]));
    for at in 1..40 {
        batcher.push(gathered("host", at, &[("load", 1.0)]));
        batcher.cut();
    }
    batcher.push(gathered("host", 100, &[("gone", 7.0), ("load", 2.0)]));
    let (names, block) = read(&batcher.cut()).remove(0);
    assert_eq!(
        names,
        [
            r#"load{job="host",node="n1"}"#,
            r#"gone{job="host",node="n1"}"#
        ]
    );
    assert_eq!(block.columns[1].values[..], [7.0]);
}

#[test]
fn sparse_samples_with_their_own_times_stay_within_what_a_coordinator_takes() {
    let mut batcher = batcher();
    let names: Vec<String> = (0..5000).map(|index| format!("metric_{index}")).collect();
    let samples: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.5)).collect();
    let mut own = gathered("target", 9000, &samples);
    let mut at = (0..2400).cycle();
    for sample in &mut own.snapshot.samples {
        sample.at = at.next().map(Timestamp::from_millis);
    }
    batcher.push(own);
    let records = batcher.cut();
    let mut columns = 0;
    for record in &records {
        let cells = |block: &Block| block.times.len() * block.columns.len();
        let blocks = read(std::slice::from_ref(record));
        let all: usize = blocks.iter().map(|(_, block)| cells(block)).sum();
        assert!(all <= series::limits::BLOCK_SAMPLES_MAX, "{all}");
        columns += blocks.iter().map(|(names, _)| names.len()).sum::<usize>();
    }
    assert_eq!(columns, 5000);
    assert_eq!(
        records.iter().map(|record| record.samples).sum::<u64>(),
        5000
    );
}

#[test]
fn refused_labels_are_forgotten_with_each_cut() {
    let mut batcher = batcher();
    for at in 0..5 {
        let mut bad = gathered("target", at, &[("load", 1.0)]);
        let value = "x".repeat(4000);
        let names: Vec<String> = (0..8).map(|index| format!("label_{at}_{index}")).collect();
        let mut labels: Vec<(&str, &str)> = names
            .iter()
            .map(|name| (name.as_str(), value.as_str()))
            .collect();
        let rest = "y".repeat(500);
        labels.push(("last", &rest));
        bad.snapshot.push("long", &labels, 1.0);
        assert_eq!(bad.snapshot.refused, 0);
        // The labels alone are within the bound, those of the source on top are not.
        bad.labels = [("job".to_owned(), value)].into();
        batcher.push(bad);
        batcher.cut();
        assert_eq!(batcher.take_dropped().bad_labels, 1);
        let source = &batcher.sources["target"];
        assert_eq!(source.known(), 1);
    }
}

#[test]
fn a_record_has_no_more_blocks_than_a_coordinator_takes() {
    let mut batcher = batcher();
    let sources = BLOCKS_PER_BATCH_MAX + 1;
    for source in 0..sources {
        batcher.push(gathered(&format!("target {source}"), 1000, &[("up", 1.0)]));
    }
    let records = batcher.cut();
    let blocks = |record| read(std::slice::from_ref(record)).len();
    let blocks: Vec<usize> = records.iter().map(blocks).collect();
    assert_eq!(blocks, [BLOCKS_PER_BATCH_MAX, 1]);
}
