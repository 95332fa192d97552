//! Decoding a label set: what decodes keeps the rules of a label set and comes back.
#![no_main]

use fuzz::within;
use libfuzzer_sys::fuzz_target;
use series::Labels;
use series::limits::LABELS_BYTES_MAX;

fuzz_target!(|data: &[u8]| {
    let decoded = within(8 * LABELS_BYTES_MAX, || codec::decode_labels(data));
    let Ok(labels) = decoded else {
        return;
    };
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    assert_eq!(Labels::new(&pairs).as_ref(), Ok(&labels));
    let mut again = Vec::new();
    codec::encode_labels(&labels, &mut again);
    assert_eq!(codec::decode_labels(&again).ok(), Some(labels));
});
