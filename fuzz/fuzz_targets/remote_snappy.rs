//! Decompressing a snappy block: what comes out, and whether anything does, is what the reference
//! says.
#![no_main]

use fuzz::{Input, KIB, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let raw_bytes_max = usize::from(input.u16());
    let body = input.rest();
    // A buffer that holds something from before.
    let mut buffer = vec![0xaa; 100];
    let bytes_max = (23 * body.len()).min(body.len() + raw_bytes_max) + KIB;
    let ours = within(bytes_max, || {
        remote::decompress(body, raw_bytes_max, &mut buffer)
            .ok()
            .map(<[u8]>::len)
    });
    let claimed = snap::raw::decompress_len(body).ok();
    let reference = claimed
        .filter(|claimed| *claimed <= raw_bytes_max)
        .and_then(|_| snap::raw::Decoder::new().decompress_vec(body).ok());
    assert_eq!(ours.map(|length| &buffer[..length]), reference.as_deref());
});
