//! A caller's certificate: what is read of it is a name that a caller may have.
#![no_main]

use coordinator::access::Certificate;
use fuzz::{KIB, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let most = 64 * KIB + 64 * data.len();
    if let Ok(certificate) = within(most, || Certificate::read(data)) {
        assert!((1..=128).contains(&certificate.name.len()));
        assert!(!certificate.serial.contains(':'));
    }
});
