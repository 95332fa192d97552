//! Encoding columns of any values: they come back to the bit from a column of either effort, from a
//! block, and with their times.
#![no_main]

use codec::Effort;
use fuzz::Input;
use libfuzzer_sys::fuzz_target;
use series::{Block, Column, Rows};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let times = times(&mut input);
    let rows = times.len();
    let mut columns = Vec::new();
    while !input.is_empty() && columns.len() < 8 {
        columns.push(column(&mut input, rows));
    }
    for column in &columns {
        for effort in [Effort::Quick, Effort::Dense] {
            let mut bytes = Vec::new();
            codec::encode_column(column, rows, effort, &mut bytes);
            let read = codec::decode_column(&bytes, rows).ok();
            assert_eq!(read.as_ref(), Some(column), "{effort:?}");
        }
    }
    let mut bytes = Vec::new();
    codec::encode_times(&times, &mut bytes);
    assert_eq!(
        codec::decode_times(&bytes, rows).ok().as_ref(),
        Some(&times)
    );
    let block = Block { times, columns };
    let mut bytes = Vec::new();
    codec::encode_block(&block, &mut bytes);
    assert_eq!(codec::decode_block(&bytes).ok(), Some(block));
});

/// Up to 511 ascending times: on a grid, with jitter, or far apart.
fn times(input: &mut Input<'_>) -> Vec<i64> {
    let count = usize::from(input.u16() % 512);
    let (first, kind, step) = (input.i64(), input.u8(), i64::from(input.u16()));
    let mut times: Vec<i64> = Vec::new();
    while times.len() < count {
        let gap = match kind % 3 {
            0 => step,
            1 => step + i64::from(input.u8()),
            _ => input.i64() & i64::MAX,
        };
        let next = match times.last() {
            None => Some(first),
            Some(last) => last.checked_add(gap.max(1)),
        };
        let Some(next) = next else { break };
        times.push(next);
    }
    times
}

/// A column in which every row, or those whose bit is set, has a value of one or of several kinds.
fn column(input: &mut Input<'_>, rows: usize) -> Column {
    let head = input.u8();
    let flags: Vec<bool> = match head % 3 {
        0 => vec![true; rows],
        // One bit for each row, or a pattern that goes on.
        1 => {
            let bytes: Vec<u8> = (0..rows.div_ceil(8)).map(|_| input.u8()).collect();
            (0..rows)
                .map(|row| bytes[row / 8] >> (row % 8) & 1 == 1)
                .collect()
        }
        _ => {
            let (pattern, width) = (input.u64(), usize::from(input.u8() % 64) + 1);
            (0..rows)
                .map(|row| pattern >> (row % width) & 1 == 1)
                .collect()
        }
    };
    let rows = Rows::from_flags(&flags);
    let count = flags.iter().filter(|has| **has).count();
    Column {
        rows,
        values: values(input, head / 3, count).into(),
    }
}

fn values(input: &mut Input<'_>, kind: u8, count: usize) -> Vec<f64> {
    let mut values = Vec::with_capacity(count);
    let (power, mut sum) = (
        10_f64.powi(i32::from(input.u8() % 19)),
        f64::from(input.u16()),
    );
    for _ in 0..count {
        let own = match kind % 8 {
            6 | 7 => input.u8() % 8,
            kind => kind,
        };
        values.push(match own {
            0 => f64::from_bits(input.u64()),
            // Decimals.
            1 => f64::from(input.u16()) / power,
            // A counter.
            2 => {
                sum += f64::from(input.u8());
                sum
            }
            3 => sum,
            // What neighbours share but for some bits in the middle.
            4 => f64::from_bits(power.to_bits() ^ u64::from(input.u16()) << 20),
            5 => f64::from(input.u32()) * 0.1,
            6 => series::STALE_NAN,
            _ => -0.0,
        });
    }
    values
}
