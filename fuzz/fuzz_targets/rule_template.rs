//! Templates of labels and annotations: parsing and expanding end within their bounds.
#![no_main]

use std::collections::BTreeMap;

use alert::template::{Scope, Template};
use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;
use series::Timestamp;

/// What an expansion may take: its output, and what it works on meanwhile.
const BYTES_MAX: usize = 64 * MIB;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(template) = within(BYTES_MAX, || Template::parse(text)) else {
        return;
    };
    assert_eq!(template.text(), text);
    let external_labels = BTreeMap::from([("region".to_owned(), "eu".to_owned())]);
    let scope = Scope {
        alert: "A",
        at: Timestamp::from_millis(1_700_000_000_000),
        external_url: "http://vedette",
        external_labels: &external_labels,
        query: &|_| Ok(Vec::new()),
    };
    let labels = [("job", "vllm"), ("instance", "a:1")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    // What fails says so; it does not panic.
    drop(within(BYTES_MAX, || template.expand(labels, 1.5, &scope)));
});
