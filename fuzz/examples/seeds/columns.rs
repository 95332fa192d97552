//! Blocks, columns, times, label sets and samples: golden bytes and what the encoders make.

use codec::Effort;
use fuzz::Draft;
use series::{Block, Column, Labels, MetricKind, Rows};

use crate::{Seeds, golden};

pub(crate) fn blocks() -> Seeds {
    let mut seeds = vec![
        Draft::default()
            .bytes([1])
            .bytes(golden("codec/block.bin"))
            .done(),
    ];
    let made = made_blocks().iter().map(encoded).collect::<Vec<_>>();
    for block in made.iter().chain([&golden("codec/block.bin")]) {
        seeds.push(Draft::default().bytes([0]).bytes(body(block)).done());
    }
    seeds
}

pub(crate) fn columns() -> Seeds {
    let mut seeds = Seeds::new();
    for block in made_blocks() {
        let rows = u16::try_from(block.times.len()).expect("seeds are small");
        for column in &block.columns {
            for effort in [Effort::Quick, Effort::Dense] {
                let mut bytes = rows.to_le_bytes().to_vec();
                codec::encode_column(column, rows.into(), effort, &mut bytes);
                seeds.push(bytes);
            }
        }
    }
    for kind in [
        "bitmap",
        "constant",
        "counter",
        "exceptions",
        "floats",
        "packed",
        "pco_u16",
        "pco_u32",
        "pco_u64",
        "pco_u8",
        "raw",
        "runs",
    ] {
        let bytes = golden(&format!("codec/column_{kind}.bin"));
        // However many rows it has is one of these.
        let rows = (0..1024_u16).find(|rows| codec::decode_column(&bytes, (*rows).into()).is_ok());
        let rows = rows.unwrap_or_default().to_le_bytes();
        seeds.push(Draft::default().bytes(rows).bytes(bytes).done());
    }
    seeds
}

pub(crate) fn times() -> Seeds {
    let mut all = vec![golden("codec/times.bin")];
    for block in made_blocks() {
        let mut bytes = Vec::new();
        codec::encode_times(&block.times, &mut bytes);
        all.push(bytes);
    }
    let most = 4096_u16.to_le_bytes();
    let seed = |bytes| Draft::default().bytes(most).bytes(bytes).done();
    all.into_iter().map(seed).collect()
}

pub(crate) fn dictionaries() -> Seeds {
    let mut list = Vec::new();
    codec::encode_labels_list(&some_labels(), &[MetricKind::Counter; 3], &mut list);
    let mut seeds = Seeds::new();
    for bytes in [list, golden("codec/labels_list.bin")] {
        let plain = codec::decompress(bytes.get(13..).unwrap_or_default(), 1 << 20);
        let plain = plain.expect("it was compressed by us");
        seeds.push(Draft::default().bytes([0]).bytes(plain).done());
        seeds.push(Draft::default().bytes([1]).bytes(bytes).done());
    }
    seeds
}

pub(crate) fn samples() -> Seeds {
    let most = u16::MAX.to_le_bytes();
    vec![
        Draft::default()
            .bytes(most)
            .bytes(golden("codec/samples.bin"))
            .done(),
    ]
}

pub(crate) fn frames() -> Seeds {
    let texts = [&b""[..], b"some words, some words, some words", &[7; 1000]];
    let mut seeds = Seeds::new();
    for text in texts {
        let mut bytes = Vec::new();
        codec::compress(text, 3, &mut bytes);
        let head = Draft::default().bytes(4096_u16.to_le_bytes()).bytes([3]);
        seeds.push(head.bytes(bytes).done());
    }
    seeds
}

pub(crate) fn round_trips() -> Seeds {
    let mut seeds = Seeds::new();
    for rows in [1_u16, 12, 40, 300] {
        for kind in 0..24_u8 {
            let head = Draft::default()
                .bytes(rows.to_le_bytes())
                .bytes(0_i64.to_le_bytes());
            let head = head
                .bytes([kind])
                .bytes(15_000_u16.to_le_bytes())
                .bytes([kind]);
            let noise = (0..200_u8).map(|at| at.wrapping_mul(37) ^ kind);
            seeds.push(head.bytes(noise.collect::<Vec<u8>>()).done());
        }
    }
    seeds
}

/// What lies behind the head of a block.
pub(crate) fn body(block: &[u8]) -> &[u8] {
    block.get(14..).unwrap_or_default()
}

/// Numbers of several kinds, in blocks of a minute's and an hour's length.
pub(crate) fn made_blocks() -> Vec<Block> {
    let column = |rows: u32, kind: u32| {
        let flags: Vec<bool> = (0..rows).map(|row| kind != 3 || row % 5 != 2).collect();
        let value = |row: u32| match kind {
            0 => f64::from(row) * 15.0,
            1 => f64::from(row * 7919 % 257) / 100.0,
            2 => f64::from(row).sqrt(),
            4 if row == 3 => series::STALE_NAN,
            _ => 1.0,
        };
        let present = (0..rows).filter(|row| flags[*row as usize]);
        Column {
            values: present.map(value).collect(),
            rows: Rows::from_flags(&flags),
        }
    };
    let block = |rows: u32| Block {
        times: (0..rows)
            .map(|row| 1_795_433_624_230 + 15_000 * i64::from(row))
            .collect(),
        columns: (0..5).map(|kind| column(rows, kind)).collect(),
    };
    [0, 1, 12, 60].map(block).to_vec()
}

pub(crate) fn encoded(block: &Block) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode_block(block, &mut bytes);
    bytes
}

pub(crate) fn some_labels() -> Vec<Labels> {
    let pairs = [("a", "x"), ("a", "y"), ("b", "x")];
    let labels = |(name, node)| Labels::with_name(name, &[("job", "vllm"), ("node", node)]);
    pairs
        .map(|pair| labels(pair).expect("these are valid"))
        .to_vec()
}
