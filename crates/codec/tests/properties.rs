//! Whatever goes in comes back to the bit, and whatever bytes come in, nothing panics.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use codec::{
    Effort, Error, decode_block, decode_column, decode_labels, decode_labels_list, decode_times,
    encode_block, encode_column, encode_labels, encode_labels_list, encode_times,
};
use proptest::prelude::*;
use proptest::sample::Index;
use series::{Block, Column, Labels, MetricKind, Rows, STALE_NAN};

/// Any bit pattern, the awkward ones often.
fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            f64::NAN,
            STALE_NAN,
            f64::from_bits(0xfff8_0000_dead_beef),
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            f64::from_bits(1),
            f64::MAX,
            f64::MIN,
            9_007_199_254_740_993.0,
            0.1 + 0.2,
        ]),
        (-1_000_000_i64..1_000_000, 0_i32..6)
            .prop_map(|(integer, digits)| integer as f64 / 10_f64.powi(digits)),
    ]
}

/// `rows` values as series have them: steady, counting, wandering, decimal, or anything.
fn values(rows: usize) -> impl Strategy<Value = Vec<f64>> {
    let steps = move || prop::collection::vec(-500_i64..500, rows);
    prop_oneof![
        any_value().prop_map(move |value| vec![value; rows]),
        (any::<i32>(), steps()).prop_map(|(start, steps)| {
            let mut sum = i64::from(start);
            steps
                .iter()
                .map(|step| {
                    sum += step.abs();
                    sum as f64
                })
                .collect()
        }),
        (0_i32..12, steps()).prop_map(|(digits, steps)| {
            steps
                .iter()
                .map(|&step| step as f64 / 10_f64.powi(digits))
                .collect()
        }),
        (steps(), any_value(), any::<Index>()).prop_map(move |(steps, odd, at)| {
            let mut values: Vec<f64> = steps.iter().map(|&step| step as f64 * 4096.0).collect();
            if rows > 0 {
                values[at.index(rows)] = odd;
            }
            values
        }),
        prop::collection::vec(any::<f64>(), rows),
        prop::collection::vec(any_value(), rows),
    ]
}

fn column(rows: usize) -> impl Strategy<Value = Column> {
    let flags = prop_oneof![
        3 => Just(vec![true; rows]),
        1 => (0..=rows).prop_map(move |end| (0..rows).map(|row| row < end).collect()),
        1 => prop::collection::vec(any::<bool>(), rows),
        1 => prop::collection::vec(prop::bool::weighted(0.95), rows),
    ];
    (flags, values(rows)).prop_map(|(flags, values)| Column {
        values: values
            .into_iter()
            .zip(&flags)
            .filter(|(_, set)| **set)
            .map(|it| it.0)
            .collect(),
        rows: Rows::from_flags(&flags),
    })
}

fn times(rows: usize) -> impl Strategy<Value = Vec<i64>> {
    let gaps = prop_oneof![
        prop::collection::vec(Just(5_000_i64), rows),
        prop::collection::vec(14_980_i64..15_020, rows),
        prop::collection::vec(1_i64..i64::MAX / 8192, rows),
    ];
    (-(1_i64 << 61)..1 << 61, gaps).prop_map(|(start, gaps)| {
        let mut time = start;
        gaps.iter()
            .map(|gap| {
                time += gap;
                time
            })
            .collect()
    })
}

fn block() -> impl Strategy<Value = Block> {
    let shape = prop_oneof![
        Just((0, 0)),
        Just((1, 40)),
        Just((600, 1)),
        (0_usize..40, 0_usize..20)
    ];
    shape.prop_flat_map(|(rows, columns)| {
        (times(rows), prop::collection::vec(column(rows), columns))
            .prop_map(|(times, columns)| Block { times, columns })
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::vec(("[a-z_][a-z0-9_]{0,8}", "\\PC{0,12}"), 0..8).prop_map(|pairs| {
        let pairs: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        Labels::new(&pairs).unwrap()
    })
}

fn kind() -> impl Strategy<Value = MetricKind> {
    prop::sample::select(MetricKind::ALL.to_vec())
}

/// Some bytes changed, cut or added.
fn mutated(mut bytes: Vec<u8>, changes: &[(Index, u8)], cut: Option<Index>) -> Vec<u8> {
    for (at, byte) in changes {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

/// Makes length and checksum right again, so that what is behind them is reached. `at` is where the
/// length lies; the checksum follows it and covers all but itself.
fn resealed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    if bytes.len() >= at + 8 {
        let length = u32::try_from(bytes.len() - at - 8).unwrap();
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&bytes[..at + 4]);
        hasher.update(&bytes[at + 8..]);
        bytes[at + 4..at + 8].copy_from_slice(&hasher.finalize().to_le_bytes());
    }
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(Index, u8)>, Option<Index>)> {
    (
        prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        any::<Option<Index>>(),
    )
}

fn encoded_block(block: &Block) -> Vec<u8> {
    let mut out = vec![];
    encode_block(block, &mut out);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn blocks_come_back(block in block()) {
        block.validate().unwrap();
        prop_assert_eq!(decode_block(&encoded_block(&block)).unwrap(), block);
    }

    #[test]
    fn columns_come_back(
        (rows, column) in prop_oneof![0_usize..40, 100_usize..700]
            .prop_flat_map(|rows| (Just(rows), column(rows)))
    ) {
        let mut out = vec![];
        for effort in [Effort::Quick, Effort::Dense] {
            out.clear();
            encode_column(&column, rows, effort, &mut out);
            prop_assert_eq!(&decode_column(&out, rows).unwrap(), &column);
        }
    }

    #[test]
    fn times_come_back(times in (0_usize..600).prop_flat_map(times)) {
        let mut out = vec![];
        encode_times(&times, &mut out);
        prop_assert_eq!(decode_times(&out, times.len()).unwrap(), times);
    }

    #[test]
    fn label_sets_come_back(list in prop::collection::vec((labels(), kind()), 0..40)) {
        let (sets, kinds): (Vec<Labels>, Vec<MetricKind>) = list.iter().cloned().unzip();
        let mut out = vec![];
        encode_labels_list(&sets, &kinds, &mut out);
        prop_assert_eq!(decode_labels_list(&out).unwrap(), list);
        for labels in sets {
            let mut out = vec![];
            encode_labels(&labels, &mut out);
            prop_assert_eq!(decode_labels(&out).unwrap(), labels);
        }
    }

    #[test]
    fn a_flipped_bit_in_a_block_is_seen(block in block(), at in any::<Index>(), bit in 0_u32..8) {
        let mut bytes = encoded_block(&block);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert!(decode_block(&bytes).is_err());
    }

    #[test]
    fn a_damaged_block_with_a_right_checksum_never_panics(
        block in block(),
        (changes, cut) in changes(),
    ) {
        let bytes = resealed(mutated(encoded_block(&block), &changes, cut), 6);
        if let Ok(decoded) = decode_block(&bytes) {
            decoded.validate().unwrap();
        }
    }

    #[test]
    fn a_damaged_column_never_panics(
        (rows, column) in (0_usize..700).prop_flat_map(|rows| (Just(rows), column(rows))),
        claimed in prop::option::of(0_usize..5000),
        (changes, cut) in changes(),
        effort in prop::sample::select(vec![Effort::Quick, Effort::Dense]),
    ) {
        let mut out = vec![];
        encode_column(&column, rows, effort, &mut out);
        let claimed = claimed.unwrap_or(rows);
        if let Ok(decoded) = decode_column(&mutated(out, &changes, cut), claimed) {
            prop_assert_eq!(decoded.values.len(), decoded.rows.count(claimed));
        }
    }

    #[test]
    fn a_damaged_dictionary_never_panics(
        list in prop::collection::vec(labels(), 0..20),
        (changes, cut) in changes(),
    ) {
        let mut out = vec![];
        encode_labels_list(&list, &[], &mut out);
        drop(decode_labels_list(&resealed(mutated(out, &changes, cut), 5)));
        // Behind the compression too.
        let mut out = vec![];
        encode_labels_list(&list, &[], &mut out);
        let plain = codec::decompress(&out[13..], 1 << 20).unwrap();
        out.truncate(13);
        codec::compress(&mutated(plain, &changes, cut), 1, &mut out);
        drop(decode_labels_list(&resealed(out, 5)));
    }

    #[test]
    fn any_bytes_are_refused_or_decoded_but_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        head in 0_u8..6,
        rows in 0_usize..1000,
    ) {
        drop(decode_times(&bytes, rows));
        drop(decode_labels(&bytes));
        let mut column = bytes.clone();
        column.insert(0, head);
        drop(decode_column(&column, rows));
        let mut block = b"VDTB\x01\x00________".to_vec();
        block.extend_from_slice(&bytes);
        drop(decode_block(&resealed(block, 6)));
        drop(codec::decompress(&bytes, 1 << 16));
    }
}

#[test]
fn a_block_that_claims_more_than_its_limits_is_refused() {
    let block = Block {
        times: (0..4096).collect(),
        columns: vec![],
    };
    let mut bytes = encoded_block(&block);
    // The first number of the body counts the columns: 0 becomes 100 000, times 4096 rows.
    bytes.splice(14..15, [0xa0, 0x8d, 0x06]);
    assert!(matches!(
        decode_block(&resealed(bytes, 6)),
        Err(Error::TooLarge {
            got: 409_600_000,
            ..
        })
    ));
}

#[test]
fn later_versions_and_reserved_kinds_are_refused_by_name() {
    let mut bytes = encoded_block(&Block::default());
    bytes[4] = 2;
    assert!(matches!(
        decode_block(&resealed(bytes.clone(), 6)),
        Err(Error::UnknownVersion { version: 2, .. })
    ));
    (bytes[4], bytes[5]) = (1, 1);
    assert!(matches!(
        decode_block(&resealed(bytes, 6)),
        Err(Error::UnknownCode { code: 1, .. })
    ));
    assert!(matches!(
        decode_column(&[8], 0),
        Err(Error::UnknownCode { code: 8, .. })
    ));
}

#[test]
fn a_dictionary_of_numbers_is_refused_before_it_is_allocated() {
    // Kind 2, then pco's mode 4 with 2^25 entries that are not there.
    let bytes = [2, 0xf4, 0xff, 0xff, 0x1f, 0, 0, 0, 0];
    assert!(matches!(
        decode_column(&bytes, 100),
        Err(Error::Invalid { .. })
    ));
}
