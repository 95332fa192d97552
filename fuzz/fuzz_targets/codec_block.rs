//! Decoding a block: what decodes is a valid block and comes back from its encoding to the bit.
#![no_main]

use fuzz::{Input, KIB, seal, within};
use libfuzzer_sys::fuzz_target;
use series::limits::BLOCK_COLUMNS_MAX;

/// The cells of a block here: a few bytes may mean as many as are allowed, and writing them takes
/// the time that more inputs are worth.
const CELLS_MAX: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let is_sealed = input.u8() & 1 == 0;
    let bytes = if is_sealed {
        seal::block(input.rest())
    } else {
        input.rest().to_vec()
    };
    // For each cell its value and, in a column of one row, a bitmap of one word.
    let bytes_max = 16 * CELLS_MAX + 40 * BLOCK_COLUMNS_MAX + 200 * KIB;
    let decoded = within(bytes_max, || codec::decode_block_within(&bytes, CELLS_MAX));
    let Ok(block) = decoded else {
        return;
    };
    assert_eq!(block.validate(), Ok(()));
    let mut again = Vec::new();
    codec::encode_block(&block, &mut again);
    assert_eq!(codec::decode_block(&again).ok().as_ref(), Some(&block));
});
