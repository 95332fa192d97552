//! Decoding a dictionary of label sets: what decodes comes back with its kinds, in its order.
#![no_main]

use fuzz::{Input, MIB, seal, within};
use libfuzzer_sys::fuzz_target;
use series::{Labels, MetricKind};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let is_sealed = input.u8() & 1 == 0;
    let bytes = if is_sealed {
        seal::dictionary(input.rest())
    } else {
        input.rest().to_vec()
    };
    let decoded = within((64 + 176 + 160) * MIB, || codec::decode_labels_list(&bytes));
    let Ok(list) = decoded else {
        return;
    };
    let (labels, kinds): (Vec<Labels>, Vec<MetricKind>) = list.iter().cloned().unzip();
    let mut again = Vec::new();
    codec::encode_labels_list(&labels, &kinds, &mut again);
    assert_eq!(codec::decode_labels_list(&again).ok(), Some(list));
});
