//! Rule files and files of their unit tests: reading ends within its bounds, with problems whose lines are in the
//! text, or with rules whose expressions read back.
#![no_main]

use alert::rules::RuleFile;
use alert::testing::TestFile;
use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;

/// A rule takes some kilobytes, and a text of a megabyte may hold tens of thousands.
const BYTES_MAX: usize = 512 * MIB;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match within(BYTES_MAX, || RuleFile::parse("text", text)) {
        Ok(file) => check(&file),
        Err(problems) => {
            assert!(!problems.is_empty());
            // What breaks a line in YAML.
            let lines = text.matches(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
            let lines = lines.count() as u64 + 1;
            for problem in problems {
                assert!(problem.line.is_none_or(|line| line <= lines), "{problem}");
            }
        }
    }
    // What is no file of tests is refused; how, is its own tests' to say.
    drop(within(BYTES_MAX, || TestFile::parse(text)));
});

fn check(file: &RuleFile) {
    for rule in file.groups.iter().flat_map(|group| &group.rules) {
        assert!(!rule.name.is_empty());
        assert!(query::parse(&rule.text).is_ok(), "{}", rule.text);
    }
}
