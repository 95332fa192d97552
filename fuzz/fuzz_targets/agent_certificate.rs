//! The certificate and key that an agent keeps in a file: reading it ends, within its bounds.
#![no_main]

use agent::certificate::is_usable;
use fuzz::{KIB, within};
use libfuzzer_sys::fuzz_target;
use wire::ingest::AgentId;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let agent_id = AgentId::try_from("node-1".to_owned()).expect("it is a name");
    within(256 * KIB + 64 * data.len(), || is_usable(text, &agent_id));
});
