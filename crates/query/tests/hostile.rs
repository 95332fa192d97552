//! Hostile input is refused quickly, and the deepest input allowed does not overflow the stack.

use std::time::Duration;

use query::testing::MemorySource;
use query::{DEPTH_MAX, Engine, parse};
use series::{Labels, Timestamp};

/// Measures in a test only; the crate itself reads no clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the test measures how long a refusal takes"
)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let value = work();
    (value, start.elapsed())
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_quickly() {
    let deep = 100_000;
    let inputs = [
        ("ten mebibytes", "a + ".repeat(10 * 1024 * 1024 / 4)),
        ("a long chain", vec!["a"; 16_000].join("+")),
        (
            "parentheses",
            format!("{}1{}", "(".repeat(deep), ")".repeat(deep)),
        ),
        (
            "fewer parentheses",
            format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000)),
        ),
        ("open parentheses", "(".repeat(60_000)),
        ("signs", format!("{}1", "-".repeat(60_000))),
        ("powers", vec!["2"; 30_000].join("^")),
        ("calls", "abs(".repeat(15_000)),
        ("subqueries", format!("a{}", "[1m:]".repeat(13_000))),
        ("aggregations", "sum(".repeat(15_000)),
        (
            "durations",
            format!("a[{}1{}]", "(".repeat(30_000), ")".repeat(30_000)),
        ),
        ("duration signs", format!("a[{}1]", "-".repeat(60_000))),
        (
            "duration chain",
            format!("a[{}]", vec!["1"; 30_000].join("+")),
        ),
        ("a huge range", "a[1e300]".to_owned()),
        ("a huge offset", "a offset -1e300".to_owned()),
        ("a huge time", "a @ 1e300".to_owned()),
        (
            "many expressions",
            vec!["a{b=~\"c{500}\"}"; DEPTH_MAX].join("+"),
        ),
        (
            "a huge expression",
            format!("a{{b=~\"{}\"}}", "(x{1000}){1000}".repeat(100)),
        ),
    ];
    for (what, input) in inputs {
        let (result, took) = timed(|| parse(&input));
        assert!(result.is_err(), "{what} was accepted");
        assert!(took < Duration::from_secs(1), "{what} took {took:?}");
    }
}

#[test]
fn what_a_function_would_write_is_refused_before_it_is_written() {
    let mut source = MemorySource::default();
    let labels = Labels::with_name("a", &[("b", &"v".repeat(4096))]).unwrap();
    source.push(&labels, Timestamp::from_millis(0), 1.0);
    let engine = Engine::default();
    let sources = vec!["\"c\""; 8_000].join(",");
    let join = format!(
        "label_join(a, \"x\", \"{}\", {sources})",
        "-".repeat(20_000)
    );
    let replacement = "$1".repeat(20_000);
    let replace = format!("label_replace(a, \"x\", \"{replacement}\", \"b\", \"(.*)\")");
    for text in [join, replace] {
        let budget = engine.budget();
        let answer = engine.instant(&source, &text, Timestamp::from_millis(0), &budget);
        let error = answer.unwrap_err().to_string();
        assert!(error.ends_with("bytes, more than 4096"), "{error}");
    }
}

#[test]
fn the_deepest_expressions_allowed_evaluate_on_a_small_stack() {
    let mut source = MemorySource::default();
    for minute in 0..10 {
        let labels = Labels::with_name("a", &[]).unwrap();
        source.push(&labels, Timestamp::from_millis(minute * 60_000), 1.0);
    }
    let wrap = |levels: usize, open: &str, close: &str| {
        format!("{}a{}", open.repeat(levels), close.repeat(levels))
    };
    let inputs = [
        wrap(DEPTH_MAX - 1, "(", ")"),
        wrap(DEPTH_MAX - 1, "-", ""),
        wrap(DEPTH_MAX - 1, "abs(", ")"),
        wrap(DEPTH_MAX - 1, "sum by (x) (", ")"),
        wrap(DEPTH_MAX - 1, "clamp_max(", ", 1)"),
        wrap(
            DEPTH_MAX - 1,
            "label_replace(",
            ", \"x\", \"y\", \"\", \"\")",
        ),
        wrap(DEPTH_MAX / 2 - 1, "max_over_time(", "[1m:1m])"),
        vec!["a"; DEPTH_MAX].join(" or "),
        vec!["a"; DEPTH_MAX].join(" * on () group_left () "),
        format!("{}1", "2 ^ ".repeat(DEPTH_MAX - 1)),
    ];
    for input in inputs {
        let engine = Engine::default();
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .stack_size(2 * 1024 * 1024)
                .spawn_scoped(scope, || {
                    let budget = engine.budget();
                    let at = Timestamp::from_millis(300_000);
                    let answer = engine.instant(&source, &input, at, &budget).unwrap();
                    answer.value.samples()
                })
                .unwrap();
            assert_eq!(thread.join().unwrap(), 1);
        });
    }
}
