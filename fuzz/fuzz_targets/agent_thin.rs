//! Thinning batches of the spool: what comes out is sound, smaller, thin once and for all, and of the
//! same times.
#![no_main]

use agent::thin::{Thinner, span_of};
use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use series::limits::BLOCK_ROWS_MAX;
use series::{Block, Column, Labels, MetricKind, Rows};
use wire::Message as _;
use wire::proto::{SpooledBatch, SpooledBlock};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let records: Vec<Vec<u8>> = (0..input.u8() % 16).map(|_| record(&mut input)).collect();
    let given: Vec<(u64, &[u8])> = (1..).zip(records.iter().map(Vec::as_slice)).collect();
    let thin = within(512 * MIB, || Thinner::default().thin(&given));
    assert_eq!(thin.len(), records.len());
    let whole: Vec<Vec<u8>> = thin
        .iter()
        .zip(&records)
        .map(|(thin, record)| thin.as_ref().unwrap_or(record).clone())
        .collect();
    let bytes = |records: &[Vec<u8>]| records.iter().map(Vec::len).sum::<usize>();
    let changed = thin.iter().any(Option::is_some);
    assert_eq!(bytes(&whole) < bytes(&records), changed);
    for made in thin.iter().flatten().filter(|made| !made.is_empty()) {
        check(made);
    }
    if changed {
        assert_eq!(hull(&whole), hull(&records));
    }
    let given: Vec<(u64, &[u8])> = (1..).zip(whole.iter().map(Vec::as_slice)).collect();
    for (again, thin) in Thinner::default().thin(&given).iter().zip(&thin) {
        assert!(again.is_none() || thin.is_none(), "it was thin already");
    }
});

/// A batch that an agent might have made, or any bytes.
fn record(input: &mut Input<'_>) -> Vec<u8> {
    let flags = input.u8();
    if flags & 7 == 7 {
        return input.piece().to_vec();
    }
    let mut batch = SpooledBatch {
        thinned: flags & 0x38 == 0x38,
        ..SpooledBatch::default()
    };
    for _ in 0..flags >> 6 {
        batch.blocks.push(block(input));
    }
    batch.encode_to_vec()
}

fn block(input: &mut Input<'_>) -> SpooledBlock {
    let (columns, rows) = (input.u8() % 8, input.u8() % 32);
    let mut at = i64::from_le_bytes(input.u64().to_le_bytes()) >> (input.u8() % 64);
    let mut times = Vec::new();
    for _ in 0..rows {
        times.push(at);
        let Some(next) = at.checked_add(1 + 500 * i64::from(input.u8())) else {
            break;
        };
        at = next;
    }
    let mut block = Block {
        times,
        columns: Vec::new(),
    };
    let (mut labels, mut kinds) = (Vec::new(), Vec::new());
    for column in 0..columns {
        let said = input.u8();
        let end = ["", "_total", "_bucket", ":min_1m"][usize::from(said >> 6)];
        let name = format!("m{column}{end}");
        labels.push(Labels::with_name(&name, &[]).expect("the name is good"));
        kinds.push(MetricKind::from_code(said & 7));
        let flags: Vec<bool> = block.times.iter().map(|_| input.u8() != 0).collect();
        let value = |input: &mut Input<'_>| match said & 0x38 {
            0 => f64::from_bits(input.u64()),
            _ => f64::from(input.u8()),
        };
        let values = flags.iter().filter(|there| **there);
        let values = values.map(|_| value(input)).collect();
        let rows = Rows::from_flags(&flags);
        block.columns.push(Column { rows, values });
    }
    let (mut series_list, mut encoded) = (Vec::new(), Vec::new());
    codec::encode_labels_list(&labels, &kinds, &mut series_list);
    codec::encode_block(&block, &mut encoded);
    SpooledBlock {
        series_list: series_list.into(),
        columns: encoded.into(),
    }
}

/// A made batch can be sent: it decodes, says that it is thin, and has a name for each column.
fn check(made: &[u8]) {
    let batch = SpooledBatch::decode(made).expect("it was made now");
    assert!(batch.thinned);
    for block in batch.blocks {
        let names = codec::decode_labels_list(&block.series_list).expect("it was made now");
        let columns = codec::decode_block(&block.columns).expect("it was made now");
        columns.validate().expect("it was made now");
        assert_eq!(names.len(), columns.columns.len());
        assert!(columns.times.len() <= BLOCK_ROWS_MAX);
        let mut names: Vec<Labels> = names.into_iter().map(|(labels, _)| labels).collect();
        names.sort_by(|a, b| a.metric_name().cmp(b.metric_name()));
        names.dedup();
        assert_eq!(names.len(), columns.columns.len(), "each series once");
    }
}

/// The times of all records, as they are told when those are lost.
fn hull(records: &[Vec<u8>]) -> Option<(i64, i64)> {
    let spans = records.iter().filter_map(|record| span_of(record));
    spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}
