//! Remote write: a message of 20 nodes, 500 series each, from the body to samples with ids.

use std::collections::HashMap;
use std::hash::RandomState;
use std::hint::black_box;

use benches::load::{NamedBlock, SERIES, rounds};
use criterion::{Criterion, Throughput};
use remote::{Decoded, Memory, RAW_BYTES_MAX, Version, decode, decompress};
use series::{Labels, MetricKind};

const NODES: usize = 20;

/// A series of the message and its only sample.
type Sent = (Labels, MetricKind, i64, f64);

fn sent() -> Vec<Sent> {
    let kinds: Vec<_> = (0..4).map(|index| rounds(index, 1)).collect();
    let mut sent = Vec::new();
    for node in 0..NODES {
        let named = NamedBlock::of(&kinds[node % kinds.len()], &format!("sim-{}", node + 1));
        let time = named.block.times[0];
        let columns = named.series.into_iter().zip(&named.block.columns);
        sent.extend(columns.map(|((labels, kind), column)| (labels, kind, time, column.values[0])));
    }
    sent
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// A field that holds bytes.
fn field(out: &mut Vec<u8>, number_of_field: u64, bytes: &[u8]) {
    number(out, number_of_field << 3 | 2);
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn sample(out: &mut Vec<u8>, time: i64, value: f64) {
    let mut sample = Vec::new();
    if value.to_bits() != 0 {
        sample.push(0x09);
        sample.extend(value.to_le_bytes());
    }
    sample.push(0x10);
    number(&mut sample, time.cast_unsigned());
    field(out, 2, &sample);
}

fn encode_v1(sent: &[Sent]) -> Vec<u8> {
    let mut message = Vec::new();
    for (labels, _, time, value) in sent {
        let mut series = Vec::new();
        for (name, value) in labels.iter() {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut series, 1, &label);
        }
        sample(&mut series, *time, *value);
        field(&mut message, 1, &series);
    }
    message
}

fn encode_v2(sent: &[Sent]) -> Vec<u8> {
    let (mut symbols, mut numbers) = (Vec::new(), HashMap::new());
    let mut message = Vec::new();
    field(&mut symbols, 4, b"");
    for (labels, kind, time, value) in sent {
        let mut references = Vec::new();
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            let next = numbers.len() as u64 + 1;
            let reference = numbers.entry(text).or_insert_with(|| {
                field(&mut symbols, 4, text.as_bytes());
                next
            });
            number(&mut references, *reference);
        }
        let mut series = Vec::new();
        field(&mut series, 1, &references);
        sample(&mut series, *time, *value);
        field(&mut series, 5, &[0x08, kind.code()]);
        field(&mut message, 5, &series);
    }
    symbols.extend(message);
    symbols
}

/// Gives every unknown series an id.
fn settle(decoded: &mut Decoded<u32>) {
    let unknown = decoded.take_unknown().len();
    decoded.settle((0..).take(unknown).map(Some));
}

fn version(criterion: &mut Criterion, version: Version, raw: &[u8]) {
    let body = snap::raw::Encoder::new()
        .compress_vec(raw)
        .expect("a message of a few MiB can be compressed");
    let empty = Memory::new(100_000, &RandomState::new());
    let mut memory = Memory::new(100_000, &RandomState::new());
    let mut decoded = Decoded::default();
    // Once to learn the series, and once to learn what follows what.
    for _ in 0..2 {
        decode(version, raw, &memory, &mut decoded).expect("the message is well formed");
        settle(&mut decoded);
        memory.learn(&decoded);
    }
    assert_eq!(memory.len(), NODES * SERIES);

    let name = format!("remote/{version:?}, {NODES} nodes x {SERIES} samples");
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements((NODES * SERIES) as u64));
    let mut buffer = Vec::new();
    group.bench_function("decompress", |bencher| {
        bencher.iter(|| decompress(black_box(&body), RAW_BYTES_MAX, &mut buffer).map(<[u8]>::len));
    });
    group.bench_function("decode, all known", |bencher| {
        bencher.iter(|| decode(version, black_box(raw), &memory, &mut decoded));
    });
    group.bench_function("decompress and decode, all known", |bencher| {
        bencher.iter(|| {
            decompress(black_box(&body), RAW_BYTES_MAX, &mut buffer)
                .and_then(|raw| decode(version, raw, &memory, &mut decoded))
        });
    });
    group.bench_function("decode and settle, none known", |bencher| {
        bencher.iter(|| {
            let result = decode(version, black_box(raw), &empty, &mut decoded);
            settle(&mut decoded);
            result
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = benches::criterion();
    let sent = sent();
    version(&mut criterion, Version::V1, &encode_v1(&sent));
    version(&mut criterion, Version::V2, &encode_v2(&sent));
    criterion.final_summary();
}
