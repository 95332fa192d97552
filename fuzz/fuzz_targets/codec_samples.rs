//! Decoding a list of samples: three columns of one length, which come back to the bit.
#![no_main]

use fuzz::{Input, KIB, bits, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let samples_max = usize::from(input.u16());
    let bytes = input.rest();
    let bytes_max = 20 * samples_max.min(2 * bytes.len()) + KIB;
    let decoded = within(bytes_max, || codec::decode_samples(bytes, samples_max));
    let Ok(samples) = decoded else {
        return;
    };
    assert!(samples.series.len() <= samples_max);
    assert_eq!(samples.series.len(), samples.times.len());
    assert_eq!(samples.series.len(), samples.values.len());
    let mut again = Vec::new();
    codec::encode_samples(&samples.series, &samples.times, &samples.values, &mut again);
    let read = codec::decode_samples(&again, samples_max).expect("what was just written");
    assert_eq!(read.series, samples.series);
    assert_eq!(read.times, samples.times);
    assert_eq!(bits(&read.values), bits(&samples.values));
});
