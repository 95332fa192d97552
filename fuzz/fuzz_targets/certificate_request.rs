//! A request for a certificate: what is read of it is a key that an agent may have.
#![no_main]

use coordinator::join::PublicKey;
use fuzz::{KIB, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let most = 64 * KIB + 64 * data.len();
    drop(within(most, || PublicKey::read(data)));
});
