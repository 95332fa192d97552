//! What rules are kept in on an agent's disk: whatever the files hold, taking them up ends within its bounds,
//! and nothing fires that is no alert of a rule.
#![no_main]

use agent::rules::take_up;
use fuzz::{Input, MIB, seal, within};
use libfuzzer_sys::fuzz_target;

/// Rules of some kilobytes each, and what they remember.
const BYTES_MAX: usize = 512 * MIB;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let is_sealed = input.u8() & 1 == 0;
    let (rules, alerts) = (input.piece(), input.rest());
    let taken = if is_sealed {
        let rules = seal::state_file(*b"VDRULES1", rules);
        let alerts = seal::state_file(*b"VDALERT1", alerts);
        within(BYTES_MAX, || take_up(&rules, &alerts))
    } else {
        within(BYTES_MAX, || take_up(rules, alerts))
    };
    if let Some((0, firing)) = taken {
        assert_eq!(firing, 0);
    }
});
