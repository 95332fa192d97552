//! Files of targets to scrape, as JSON and as TOML: what is taken is within its bounds, and each target once.
#![no_main]

use std::collections::HashSet;
use std::path::Path;

use agent::collect::scrape::targets_file::{Defaults, TARGETS_MAX, parse};
use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let path = if kind & 1 == 0 { "t.json" } else { "t.toml" };
    let most = 64 * MIB + 256 * bytes.len();
    let targets = within(most, || parse(Path::new(path), bytes, &Defaults::default()));
    if let Ok(targets) = targets {
        assert!(targets.len() <= TARGETS_MAX);
        let distinct: HashSet<_> = targets.iter().collect();
        assert_eq!(distinct.len(), targets.len());
    }
});
