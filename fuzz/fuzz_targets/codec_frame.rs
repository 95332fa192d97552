//! Unpacking a zstd frame: never more than asked for, and what was unpacked comes back.
#![no_main]

use fuzz::{Input, KIB, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let bytes_max = usize::from(input.u16());
    let level = i32::from(input.u8() % 22);
    let frame = input.rest();
    let unpacked = within(bytes_max + KIB, || codec::decompress(frame, bytes_max));
    let Ok(bytes) = unpacked else {
        return;
    };
    assert!(bytes.len() <= bytes_max);
    let mut again = Vec::new();
    codec::compress(&bytes, level, &mut again);
    assert_eq!(codec::decompress(&again, bytes.len()).ok(), Some(bytes));
});
