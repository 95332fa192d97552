//! The file of a coordinator's tokens: what is read of it are names that callers may have, each once.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use coordinator::access::Tokens;
use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("there is room"));

fuzz_target!(|data: &[u8]| {
    let path = FOLDER.path().join("tokens.toml");
    std::fs::write(&path, data).expect("there is room");
    let most = MIB + 256 * data.len();
    if let Ok(tokens) = within(most, || Tokens::read(&path)) {
        let list = tokens.list();
        let names: HashSet<&str> = list.iter().map(|(name, ..)| *name).collect();
        assert_eq!(names.len(), tokens.len());
        assert!(names.iter().all(|name| (1..=128).contains(&name.len())));
    }
});
