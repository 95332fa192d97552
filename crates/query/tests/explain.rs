//! What an explained answer says.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use expect_test::{Expect, expect};
use query::testing::MemorySource;
use query::{Answer, Engine, Options};
use rollup::Tier;
use series::{Labels, Timestamp};

const HOUR: i64 = 3_600_000;

/// Ten series with a sample each minute for three hours.
fn source() -> MemorySource {
    let mut source = MemorySource::with_windows(&[Tier::Hour]);
    for series in 0..10 {
        let labels = Labels::with_name("a", &[("s", &series.to_string())]).expect("valid labels");
        for minute in 1..=180 {
            let at = Timestamp::from_millis(minute * 60_000);
            source.push(&labels, at, f64::from(series));
        }
    }
    source
}

/// An answer at the third hour, by a clock that goes on by a millisecond each time it is looked at.
fn ask(text: &str, explain: bool) -> Answer {
    let looks = AtomicU64::new(0);
    let engine = Engine::new(Options {
        windows_min: 1,
        explain,
        ..Options::default()
    });
    let engine = engine.with_clock(Arc::new(move || {
        Duration::from_millis(looks.fetch_add(1, Ordering::Relaxed))
    }));
    let at = Timestamp::from_millis(3 * HOUR);
    let answer = engine.instant(&source(), text, at, &engine.budget());
    answer.expect("the query is valid")
}

fn check(text: &str, expected: &Expect) {
    let answer = ask(text, true);
    let mut shown = String::new();
    for node in &answer.plan {
        let indent = "  ".repeat(node.depth);
        let (text, series, took) = (&node.expression, node.series, node.took);
        writeln!(shown, "{indent}{text}: {series} series, {took:?}").expect("it is a string");
        for read in &node.reads {
            let tier = read.tier.map_or("samples", Tier::name);
            let (start, end) = (read.start.as_millis(), read.end.as_millis());
            let (points, series, took) = (read.points, read.series, read.took);
            let again = if read.again { ", again" } else { "" };
            let selector = &read.selector;
            let line = format!("{selector} {start}..={end}: {series} series, {points} points");
            writeln!(shown, "{indent}  {tier} {line}, {took:?}{again}").expect("it is a string");
        }
    }
    writeln!(shown, "{:?}", answer.statistics.stages).expect("it is a string");
    expected.assert_eq(&shown);
}

#[test]
fn each_part_and_each_read_is_said() {
    check(
        "sum(rate(a[5m])) > bool 1 + scalar(a{s='1'})",
        &expect![[r#"
            sum(rate(a[5m])) > bool 1 + scalar(a{s="1"}): 1 series, 39ms
              sum(rate(a[5m])): 1 series, 25ms
                rate(a[5m]): 10 series, 23ms
                  samples a 10500001..=10800000: 10 series, 50 points, 11ms
              1 + scalar(a{s="1"}): 1 series, 11ms
                1: 1 series, 1ms
                scalar(a{s="1"}): 1 series, 7ms
                  a{s="1"}: 1 series, 5ms
                    samples a{s="1"} 10500001..=10800000: 1 series, 5 points, 2ms
            [("parse", 1ms), ("plan", 1ms), ("evaluate", 41ms), ("read", 13ms)]
        "#]],
    );
}

#[test]
fn windows_and_what_was_read_before_are_said() {
    check(
        "max_over_time(a[2h]) - max_over_time(a[2h]) + (last_over_time(a[1m]) - a)",
        &expect![[r#"
            max_over_time(a[2h]) - max_over_time(a[2h]) + (last_over_time(a[1m]) - a): 10 series, 21ms
              max_over_time(a[2h]) - max_over_time(a[2h]): 10 series, 8ms
                max_over_time(a[2h]): 10 series, 3ms
                  1h a 3600001..=10800000: 10 series, 20 points, 1ms
                max_over_time(a[2h]): 10 series, 2ms
                  1h a 3600001..=10800000: 0 series, 0 points, 0ns, again
              (last_over_time(a[1m]) - a): 10 series, 10ms
                last_over_time(a[1m]) - a: 10 series, 8ms
                  last_over_time(a[1m]): 10 series, 3ms
                    samples a 10500001..=10800000: 10 series, 50 points, 1ms
                  a: 10 series, 2ms
                    samples a 10500001..=10800000: 0 series, 0 points, 0ns, again
            [("parse", 1ms), ("plan", 1ms), ("evaluate", 23ms), ("read", 2ms)]
        "#]],
    );
    check(
        "a{s='1'}[5m]",
        &expect![[r#"
        a{s="1"}[5m]: 1 series, 5ms
          samples a{s="1"} 10500001..=10800000: 1 series, 5 points, 2ms
        [("parse", 1ms), ("plan", 1ms), ("evaluate", 7ms), ("read", 2ms)]
    "#]],
    );
}

#[test]
fn a_plan_is_bounded_and_there_only_if_it_is_asked_for() {
    assert!(ask("a", false).plan.is_empty());
    assert_eq!(ask("a", false).statistics.stages.len(), 3);
    let names = "\"s\", ".repeat(1100);
    let text = format!("label_join(a, \"d\", \",\", {names}\"s\")");
    let plan = ask(&text, true).plan;
    assert_eq!(plan.len(), 1000);
    assert!(plan.iter().all(|node| node.expression.len() <= 203));
    assert_eq!((plan[0].series, plan[1].depth), (10, 1));
}
