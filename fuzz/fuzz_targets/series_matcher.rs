//! Compiling matchers: the literals and the prefix that are read off a regular expression agree with
//! what it matches, and it is anchored at both ends.
#![no_main]

use fuzz::{Input, MIB, within};
use libfuzzer_sys::fuzz_target;
use regex::RegexBuilder;
use series::matcher::REGEX_BYTES_MAX;
use series::{MatchOp, Matcher};

/// The compiled expression, what it takes to compile, and its parts that are read twice.
const BYTES_MAX: usize = 64 * MIB;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let texts = [input.piece(), input.piece(), input.rest()].map(str::from_utf8);
    let [Ok(value), Ok(other), Ok(pattern)] = texts else {
        return;
    };
    let new = |op: MatchOp| within(BYTES_MAX, || Matcher::new("label", op, pattern));
    // A pattern that is none by itself could end the group that anchors it.
    let is_pattern = RegexBuilder::new(pattern)
        .size_limit(2 * REGEX_BYTES_MAX)
        .build()
        .is_ok();
    let (Ok(matcher), Ok(inverse)) = (new(MatchOp::Regex), new(MatchOp::NotRegex)) else {
        return;
    };
    assert!(is_pattern, "taken for a pattern: {pattern:?}");
    let literals = matcher.literals();
    let prefix = matcher.prefix();
    for literal in literals.unwrap_or_default() {
        assert!(matcher.matches(literal), "{pattern:?} lists {literal:?}");
    }
    // Values that likely match, and their neighbours.
    let own = literals.into_iter().flatten().take(8).map(String::as_str);
    let begun = [prefix, "", "a", "\n", pattern, value, other];
    for begin in own.chain(begun) {
        for end in ["", value, other, "x", "\n"] {
            check(&matcher, &inverse, &format!("{begin}{end}"));
        }
    }
});

fn check(matcher: &Matcher, inverse: &Matcher, value: &str) {
    let matches = matcher.matches(value);
    assert_ne!(matches, inverse.matches(value));
    if let Some(literals) = matcher.literals() {
        let listed = literals.iter().any(|literal| literal == value);
        assert_eq!(matches, listed, "{matcher} and {value:?}");
    }
    if matches {
        let begins = value.starts_with(matcher.prefix());
        assert!(begins, "{matcher}, {:?} and {value:?}", matcher.prefix());
    }
}
