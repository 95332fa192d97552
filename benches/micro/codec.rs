//! Encoding and decoding: the block of a minute, its names, and the columns of chunks.

use std::hint::black_box;

use benches::load::{NamedBlock, ROWS, rounds};
use criterion::{Criterion, Throughput};

/// Rows of a chunk: twenty minutes at five seconds.
const CHUNK_ROWS: usize = 240;

fn block(criterion: &mut Criterion) {
    let named = NamedBlock::of(&rounds(0, ROWS), "sim-1");
    let mut encoded = Vec::new();
    codec::encode_block(&named.block, &mut encoded);
    let mut group = criterion.benchmark_group("codec/block 12x500");
    group.throughput(Throughput::Elements(named.block.sample_count() as u64));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            codec::encode_block(black_box(&named.block), &mut out);
            out.len()
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codec::decode_block(black_box(&encoded)));
    });
    group.finish();
}

fn names(criterion: &mut Criterion) {
    let named = NamedBlock::of(&rounds(0, 1), "sim-1");
    let (labels, kinds): (Vec<_>, Vec<_>) = named.series.into_iter().unzip();
    let mut encoded = Vec::new();
    codec::encode_labels_list(&labels, &kinds, &mut encoded);
    let mut group = criterion.benchmark_group("codec/names of 500 series");
    group.throughput(Throughput::Elements(labels.len() as u64));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            codec::encode_labels_list(black_box(&labels), &kinds, &mut out);
            out.len()
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codec::decode_labels_list(black_box(&encoded)));
    });
    group.finish();
}

fn columns(criterion: &mut Criterion) {
    let block = NamedBlock::of(&rounds(0, CHUNK_ROWS), "sim-1").block;
    let encoded: Vec<Vec<u8>> = block
        .columns
        .iter()
        .map(|column| {
            let mut out = Vec::new();
            codec::encode_column(column, CHUNK_ROWS, codec::Effort::Dense, &mut out);
            out
        })
        .collect();
    let mut group = criterion.benchmark_group("codec/500 chunk columns of 240");
    group.throughput(Throughput::Elements(block.sample_count() as u64));
    group.bench_function("encode", |bencher| {
        let mut out = Vec::new();
        bencher.iter(|| {
            out.clear();
            for column in black_box(&block.columns) {
                codec::encode_column(column, CHUNK_ROWS, codec::Effort::Dense, &mut out);
            }
            out.len()
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            black_box(&encoded)
                .iter()
                .filter_map(|column| codec::decode_column(column, CHUNK_ROWS).ok())
                .map(|column| column.values.len())
                .sum::<usize>()
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = benches::criterion();
    block(&mut criterion);
    names(&mut criterion);
    columns(&mut criterion);
    criterion.final_summary();
}
