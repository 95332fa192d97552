//! Decoding a column of a chunk: what decodes has as many values as rows, and comes back from its
//! encoding with either effort to the bit.
#![no_main]

use codec::Effort;
use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use series::limits::BLOCK_ROWS_MAX;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let rows = usize::from(input.u16()) % (BLOCK_ROWS_MAX + 1);
    let bytes = input.rest();
    let decoded = within(64 * rows + 8 * MIB, || codec::decode_column(bytes, rows));
    let Ok(column) = decoded else {
        return;
    };
    assert_eq!(column.values.len(), column.rows.count(rows));
    assert_eq!(column.rows.iter(rows).count(), column.rows.count(rows));
    for effort in [Effort::Quick, Effort::Dense] {
        let mut again = Vec::new();
        codec::encode_column(&column, rows, effort, &mut again);
        let read = codec::decode_column(&again, rows).ok();
        assert_eq!(read.as_ref(), Some(&column));
    }
});
