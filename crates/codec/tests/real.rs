//! Recorded and synthetic loads: all of it comes back, and how large it is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are the point")]

#[path = "real/load.rs"]
mod load;

use std::time::Duration;

use codec::{
    Effort, decode_block, decode_column, decode_labels_list, decode_times, encode_block,
    encode_column, encode_labels_list, encode_times,
};
use series::{Block, Column, Labels};

/// CPU time of this thread so far: unlike the wall clock it does not count what others did.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = cpu();
    let result = work();
    (result, cpu() - start)
}

struct Cost {
    samples: usize,
    bytes: usize,
    encode: Duration,
    decode: Duration,
}

impl Cost {
    fn print(&self, what: &str) {
        let each = |it: Duration| it.as_secs_f64() * 1e9 / self.samples as f64;
        println!(
            "{what}: {} samples, {:.4} B/sample, encode {:.1} ns, decode {:.1} ns",
            self.samples,
            self.bytes as f64 / self.samples as f64,
            each(self.encode),
            each(self.decode),
        );
    }
}

fn cost_of_blocks(blocks: &[Block]) -> Cost {
    let (encoded, encode) = timed(|| {
        let encode = |block| {
            let mut out = vec![];
            encode_block(block, &mut out);
            out
        };
        blocks.iter().map(encode).collect::<Vec<_>>()
    });
    let (decoded, decode) = timed(|| {
        encoded
            .iter()
            .map(|bytes| decode_block(bytes).unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(decoded, blocks);
    assert!(decoded.iter().all(|block| block.validate().is_ok()));
    let samples = blocks.iter().map(Block::sample_count).sum();
    let bytes = encoded.iter().map(Vec::len).sum();
    Cost {
        samples,
        bytes,
        encode,
        decode,
    }
}

/// Chunks as a store keeps them: the times once for each chunk of a target, a column a series.
fn cost_of_columns(blocks: &[Block]) -> (Cost, usize) {
    let mut times_bytes = 0;
    for block in blocks {
        let mut out = vec![];
        encode_times(&block.times, &mut out);
        times_bytes += out.len();
        assert_eq!(decode_times(&out, block.times.len()).unwrap(), block.times);
    }
    let columns: Vec<_> = blocks
        .iter()
        .flat_map(|block| {
            block
                .columns
                .iter()
                .map(|column| (column, block.times.len()))
        })
        .collect();
    let (encoded, encode) = timed(|| {
        let encode = |&(column, rows): &(&Column, usize)| {
            let mut out = vec![];
            encode_column(column, rows, Effort::Dense, &mut out);
            out
        };
        columns.iter().map(encode).collect::<Vec<_>>()
    });
    let (decoded, decode) = timed(|| {
        let decode = |(bytes, (_, rows)): (&Vec<u8>, &(_, usize))| decode_column(bytes, *rows);
        encoded
            .iter()
            .zip(&columns)
            .map(decode)
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    });
    for (decoded, (column, _)) in decoded.iter().zip(&columns) {
        assert_eq!(&decoded, column);
    }
    let samples = blocks.iter().map(Block::sample_count).sum();
    let bytes = encoded.iter().map(Vec::len).sum();
    (
        Cost {
            samples,
            bytes,
            encode,
            decode,
        },
        times_bytes,
    )
}

/// The scheduler's clock ticks in milliseconds, so a short work is done many times over where it is
/// measured.
fn repeated(blocks: &[Block]) -> Vec<Block> {
    let times = if cfg!(debug_assertions) { 1 } else { 20 };
    (0..times).flat_map(|_| blocks.iter().cloned()).collect()
}

fn dictionary(all: &[(Vec<u8>, load::Series)]) {
    let sets: Vec<Labels> = all.iter().map(|(bytes, _)| load::labels(bytes)).collect();
    let mut out = vec![];
    encode_labels_list(&sets, &[], &mut out);
    let decoded = decode_labels_list(&out).unwrap();
    assert!(decoded.iter().map(|it| &it.0).eq(&sets));
    let text: usize = sets.iter().map(Labels::text_bytes).sum();
    println!(
        "dictionary: {} label sets of {text} bytes of text in {} bytes, {:.1} each",
        sets.len(),
        out.len(),
        out.len() as f64 / sets.len() as f64
    );
}

#[test]
fn a_recording_of_node_exporter_comes_back_at_less_than_a_byte_a_sample() {
    let Some(file) = load::shared("bench/baseline/real/node_5s_long.rw") else {
        println!("no recording on this machine: nothing to compare");
        return;
    };
    let all = load::read_series(&file);
    dictionary(&all);
    let target: Vec<&load::Series> = all.iter().map(|(_, series)| series).collect();
    let mut bytes = 0;
    for rows in [1, 12, 60, 540] {
        let blocks = load::blocks(&target, rows);
        let cost = cost_of_blocks(&repeated(&blocks));
        cost.print(&format!("blocks of {rows} rows, recorded"));
        if rows == 12 {
            bytes = cost.bytes * 100 / cost.samples;
        }
    }
    assert!(bytes <= 100, "{bytes} hundredths of a byte");
    let (cost, times) = cost_of_columns(&repeated(&load::blocks(&target, 480)));
    cost.print("columns of 480 rows, recorded");
    println!(
        "and {:.4} B/sample of times",
        times as f64 / cost.samples as f64
    );
}

/// The load is made by hand (it is large), so this measures when VEDETTE_LOAD names one.
#[test]
fn a_synthetic_load_comes_back() {
    let Some(file) = std::env::var_os("VEDETTE_LOAD").and_then(|path| std::fs::read(path).ok())
    else {
        println!("VEDETTE_LOAD names no load: nothing to compare");
        return;
    };
    let all = load::read_series(&file);
    dictionary(&all);
    let targets = load::targets(&all);
    for rows in [4, 12] {
        let blocks: Vec<Block> = targets
            .iter()
            .take(12)
            .flat_map(|target| load::blocks(target, rows))
            .collect();
        cost_of_blocks(&blocks).print(&format!("blocks of {rows} rows, synthetic"));
    }
    for rows in [120, 240, 480, 1000] {
        let blocks: Vec<Block> = targets
            .iter()
            .flat_map(|target| load::blocks(target, rows))
            .collect();
        let (cost, times) = cost_of_columns(&blocks);
        cost.print(&format!("columns of {rows} rows, synthetic"));
        println!(
            "and {:.4} B/sample of times",
            times as f64 / cost.samples as f64
        );
    }
}
