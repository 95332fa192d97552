//! Decoding a time column: what decodes ascends, is no longer than asked for, and comes back.
#![no_main]

use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use series::limits::BLOCK_ROWS_MAX;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let rows_max = usize::from(input.u16()) % (BLOCK_ROWS_MAX + 1);
    let bytes = input.rest();
    // As in a column, pco's tables come on top.
    let decoded = within(16 * rows_max + 8 * MIB, || {
        codec::decode_times(bytes, rows_max)
    });
    let Ok(times) = decoded else {
        return;
    };
    assert!(times.len() <= rows_max && times.is_sorted_by(|a, b| a < b));
    let mut again = Vec::new();
    codec::encode_times(&times, &mut again);
    assert_eq!(codec::decode_times(&again, rows_max).ok(), Some(times));
});
