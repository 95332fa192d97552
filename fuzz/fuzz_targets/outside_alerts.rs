//! Alerts that other programs post: what is taken has labels, each with a name and a value, and ends after it
//! begins.
#![no_main]

use coordinator::http::read_outside;
use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;

const NOW_MILLIS: i64 = 1_800_000_000_000;

fuzz_target!(|data: &[u8]| {
    let most = MIB + 1024 * data.len();
    let Ok((alerts, _)) = within(most, || read_outside(data, NOW_MILLIS)) else {
        return;
    };
    for alert in alerts {
        assert!(!alert.labels.is_empty());
        assert!(alert.ends_millis >= alert.starts_millis);
        for (name, value) in &alert.labels {
            assert!(!name.is_empty() && !name.chars().any(char::is_control) && !value.is_empty());
        }
    }
});
