//! Loading documents of the specification: it ends within its bounds, with problems whose places are in the
//! text, or with a plan that accounts for every setting and can be printed.
#![no_main]

use fuzz::{MIB, within};
use libfuzzer_sys::fuzz_target;
use spec::{Plan, Text};

/// A document of 1 MiB may have as many settings as it has bytes over four, each with its account.
const BYTES_MAX: usize = 512 * MIB;

fuzz_target!(|data: &[u8]| {
    let Ok(body) = std::str::from_utf8(data) else {
        return;
    };
    let text = Text { name: "text", body };
    match within(BYTES_MAX, || spec::load(&[text])) {
        Ok(plan) => check(&plan),
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = body.lines().count() + 1;
            for problem in problems {
                assert!(problem.place.line as usize <= lines, "{problem}");
            }
        }
    }
});

fn check(plan: &Plan) {
    for account in &plan.accounts {
        assert!(!account.path.is_empty() && account.place.line > 0);
    }
    assert!(plan.rule_file().starts_with("groups:"));
}
