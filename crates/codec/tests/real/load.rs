//! Recorded remote-write bodies, cut into the blocks and columns that we would make of them.

use std::collections::HashMap;
use std::path::PathBuf;

use series::{Block, Column, Labels, Rows};

/// A file of the shared folder, if there is one on this machine.
pub(crate) fn shared(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    std::fs::read(root.join(path)).ok()
}

/// One series: its samples in order of time.
pub(crate) type Series = Vec<(i64, f64)>;

/// All series of a body file (records of a 16-byte head and a snappy-packed WriteRequest), each with
/// the bytes of its labels, in order of first appearance.
pub(crate) fn read_series(file: &[u8]) -> Vec<(Vec<u8>, Series)> {
    let mut index = HashMap::new();
    let mut all: Vec<(Vec<u8>, Series)> = Vec::new();
    let mut rest = file;
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let body = unsnappy(&rest[16..16 + length]);
        rest = &rest[16 + length..];
        let mut body = body.as_slice();
        while !body.is_empty() {
            assert_eq!(body[0], 0x0a);
            body = &body[1..];
            let length = varint(&mut body);
            let (one, after) = body.split_at(length);
            body = after;
            read_one(one, &mut index, &mut all);
        }
    }
    all
}

/// The label set of the bytes that name a series.
pub(crate) fn labels(mut bytes: &[u8]) -> Labels {
    let mut texts = vec![];
    while !bytes.is_empty() {
        bytes = &bytes[1..];
        let length = varint(&mut bytes);
        let (mut pair, after) = bytes.split_at(length);
        bytes = after;
        while !pair.is_empty() {
            pair = &pair[1..];
            let length = varint(&mut pair);
            let (text, after) = pair.split_at(length);
            pair = after;
            texts.push(std::str::from_utf8(text).unwrap());
        }
    }
    let pairs: Vec<(&str, &str)> = texts.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    Labels::new(&pairs).unwrap()
}

fn read_one(one: &[u8], index: &mut HashMap<Vec<u8>, usize>, all: &mut Vec<(Vec<u8>, Series)>) {
    let mut at = one;
    while at.first() == Some(&0x0a) {
        at = &at[1..];
        let length = varint(&mut at);
        at = &at[length..];
    }
    let labels = &one[..one.len() - at.len()];
    let place = *index.entry(labels.to_vec()).or_insert_with(|| {
        all.push((labels.to_vec(), vec![]));
        all.len() - 1
    });
    while !at.is_empty() {
        assert_eq!(at[0], 0x12);
        at = &at[1..];
        let length = varint(&mut at);
        let (mut sample, after) = at.split_at(length);
        at = after;
        let (mut value, mut time) = (0.0, 0);
        while !sample.is_empty() {
            let tag = sample[0];
            sample = &sample[1..];
            if tag == 0x09 {
                value = f64::from_le_bytes(sample[..8].try_into().unwrap());
                sample = &sample[8..];
            } else {
                time = i64::try_from(varint(&mut sample)).unwrap();
            }
        }
        all[place].1.push((time, value));
    }
}

fn varint(at: &mut &[u8]) -> usize {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = at[0];
        *at = &at[1..];
        value |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte < 128 {
            return value;
        }
    }
}

/// Snappy's block format: a length, then literals and copies.
fn unsnappy(mut at: &[u8]) -> Vec<u8> {
    let length = varint(&mut at);
    let mut out = Vec::with_capacity(length);
    while !at.is_empty() {
        let tag = usize::from(at[0]);
        at = &at[1..];
        let mut little = |bytes: usize| {
            let value = at[..bytes]
                .iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | usize::from(byte));
            at = &at[bytes..];
            value
        };
        if tag & 3 == 0 {
            let length = match tag >> 2 {
                short @ 0..60 => short + 1,
                long => little(long - 59) + 1,
            };
            out.extend_from_slice(&at[..length]);
            at = &at[length..];
            continue;
        }
        let (length, offset) = match tag & 3 {
            1 => ((tag >> 2 & 7) + 4, (tag >> 5) << 8 | little(1)),
            2 => ((tag >> 2) + 1, little(2)),
            _ => ((tag >> 2) + 1, little(4)),
        };
        for _ in 0..length {
            out.push(out[out.len() - offset]);
        }
    }
    assert_eq!(out.len(), length);
    out
}

/// Targets: series with the same first times, in the order of their labels' appearance.
pub(crate) fn targets(all: &[(Vec<u8>, Series)]) -> Vec<Vec<&Series>> {
    let mut by_start: Vec<(Vec<i64>, Vec<&Series>)> = Vec::new();
    let mut places = HashMap::new();
    for (_, series) in all {
        let start: Vec<i64> = series.iter().take(3).map(|sample| sample.0).collect();
        let place = *places.entry(start.clone()).or_insert_with(|| {
            by_start.push((start, vec![]));
            by_start.len() - 1
        });
        by_start[place].1.push(series);
    }
    by_start.into_iter().map(|(_, target)| target).collect()
}

/// The blocks of `rows` rows of one target.
pub(crate) fn blocks(target: &[&Series], rows: usize) -> Vec<Block> {
    let mut times: Vec<i64> = target
        .iter()
        .flat_map(|series| series.iter().map(|s| s.0))
        .collect();
    times.sort_unstable();
    times.dedup();
    let mut places = vec![0; target.len()];
    times
        .chunks(rows)
        .map(|times| {
            let columns = target
                .iter()
                .zip(&mut places)
                .map(|(series, place)| {
                    let mut flags = vec![false; times.len()];
                    let mut values = vec![];
                    for (row, time) in times.iter().enumerate() {
                        if let Some(sample) = series.get(*place)
                            && sample.0 == *time
                        {
                            flags[row] = true;
                            values.push(sample.1);
                            *place += 1;
                        }
                    }
                    Column {
                        rows: Rows::from_flags(&flags),
                        values: values.into(),
                    }
                })
                .collect();
            Block {
                times: times.to_vec(),
                columns,
            }
        })
        .collect()
}
