use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use query::source::{Budget, EachSeries, Selected, SourceError};
use query::testing::{MemorySource, Point, labels, points};
use query::{Engine, SeriesSource};
use series::{Matcher, TimeRange, Timestamp, is_stale};

use super::{Evaluated, Group, GroupState, RuleFile, Settings, backtest};
use crate::Transition;

/// Series of one sample a minute.
fn source(lines: &str) -> MemorySource {
    let mut source = MemorySource::default();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (labels, rest) = labels(line).unwrap();
        for (minute, point) in (0_i64..).zip(points(rest).unwrap()) {
            if let Point::Float(value) = point {
                source.push(&labels, Timestamp::from_millis(minute * 60_000), value);
            }
        }
    }
    source
}

fn groups(text: &str) -> Vec<Group> {
    let settings = Arc::new(Settings::default());
    let file = match RuleFile::parse("rules.yml", text) {
        Ok(file) => file,
        Err(errors) => panic!("{errors:?}"),
    };
    file.groups
        .into_iter()
        .map(|spec| Group::new(spec, &settings))
        .collect()
}

/// One group with one rule, whose fields are given.
fn rule(fields: &str) -> String {
    let mut text = "groups:\n- name: g\n  rules:\n  - ".to_owned();
    let lines = fields
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    text.push_str(&lines.collect::<Vec<_>>().join("\n    "));
    text
}

fn shown(transition: &Transition) -> String {
    format!(
        "{}m {} {:?} {}->{} {} {}",
        transition.at_millis / 60_000,
        transition.rule,
        transition.labels,
        transition.from.as_str(),
        transition.to.as_str(),
        transition.level,
        transition.value,
    )
}

fn show(minute: i64, evaluated: &Evaluated, out: &mut String) {
    for transition in &evaluated.transitions {
        writeln!(out, "{}", shown(transition)).unwrap();
    }
    for failure in &evaluated.failures {
        writeln!(out, "{minute}m {} failed: {}", failure.rule, failure.error).unwrap();
    }
    for held in &evaluated.held {
        writeln!(out, "{minute}m {} held: {:?}", held.rule, held.why).unwrap();
    }
}

/// The transitions of the first minutes.
fn check(text: &str, lines: &str, minutes: i64, expected: &Expect) {
    let (source, engine) = (source(lines), Engine::default());
    let mut groups = groups(text);
    let mut out = String::new();
    for minute in 0..minutes {
        for group in &mut groups {
            let at = Timestamp::from_millis(minute * 60_000);
            show(minute, &group.evaluate(&source, &engine, at, 1.0), &mut out);
        }
    }
    expected.assert_eq(&out);
}

#[test]
fn a_plain_rule_is_pending_then_fires_then_ends() {
    check(
        &rule("alert: Down\nexpr: up == 0\nfor: 2m\nlabels: {severity: page}"),
        "up{i=\"a\"} 0 0 0 1 0 1\nup{i=\"b\"} 1 1 0 0 0 0",
        6,
        &expect![[r#"
            0m g/Down {"alertname": "Down", "i": "a", "severity": "page"} inactive->pending critical 0
            2m g/Down {"alertname": "Down", "i": "a", "severity": "page"} pending->firing critical 0
            2m g/Down {"alertname": "Down", "i": "b", "severity": "page"} inactive->pending critical 0
            3m g/Down {"alertname": "Down", "i": "a", "severity": "page"} firing->inactive critical 0
            4m g/Down {"alertname": "Down", "i": "a", "severity": "page"} inactive->pending critical 0
            4m g/Down {"alertname": "Down", "i": "b", "severity": "page"} pending->firing critical 0
            5m g/Down {"alertname": "Down", "i": "a", "severity": "page"} pending->inactive critical 0
        "#]],
    );
}

#[test]
fn an_alert_stays_between_its_thresholds() {
    check(
        &rule(
            "alert: Hot
             expr: t > 90
             clear_when: t < 80
             clear_for: 1m
             level: high",
        ),
        "t 95 85 79 85 79 79 85",
        7,
        &expect![[r#"
            0m g/Hot {"alertname": "Hot"} inactive->firing high 95
            5m g/Hot {"alertname": "Hot"} firing->inactive high 95
        "#]],
    );
}

#[test]
fn evaluations_are_counted() {
    check(
        &rule("alert: Slow\nexpr: t > 1\ncount: {least: 3, of: 5}"),
        "t 2 0 2 0 2 0 0 0",
        8,
        &expect![[r#"
            0m g/Slow {"alertname": "Slow"} inactive->pending medium 2
            4m g/Slow {"alertname": "Slow"} pending->firing medium 2
            5m g/Slow {"alertname": "Slow"} firing->inactive medium 2
        "#]],
    );
}

#[test]
fn missing_is_a_third_state() {
    let series = "t{i=\"a\"} 2 stale _x3 0\nt{i=\"b\"} 0 stale _x3 0";
    let rule = |missing: &str| rule(&format!("alert: High\nexpr: t > 1\nmissing: {missing}"));
    check(
        &rule("hold"),
        series,
        6,
        &expect![[r#"
        0m g/High {"alertname": "High", "i": "a"} inactive->firing medium 2
        1m g/High held: Missing { alerts: 1 }
        2m g/High held: Missing { alerts: 1 }
        3m g/High held: Missing { alerts: 1 }
        4m g/High held: Missing { alerts: 1 }
        5m g/High {"alertname": "High", "i": "a"} firing->inactive medium 2
    "#]],
    );
    check(
        &rule("clear"),
        series,
        6,
        &expect![[r#"
        0m g/High {"alertname": "High", "i": "a"} inactive->firing medium 2
        1m g/High {"alertname": "High", "i": "a"} firing->inactive medium 2
    "#]],
    );
    check(
        &rule("fire"),
        series,
        6,
        &expect![[r#"
        0m g/High {"alertname": "High", "i": "a"} inactive->firing medium 2
        1m g/High {"alertname": "High", "i": "b"} inactive->firing medium NaN
        5m g/High {"alertname": "High", "i": "a"} firing->inactive medium 2
        5m g/High {"alertname": "High", "i": "b"} firing->inactive medium NaN
    "#]],
    );
    check(
        &rule("fire"),
        "t{i=\"a\"} _ 0",
        2,
        &expect![[r#"
        0m g/High {"alertname": "High"} inactive->firing medium NaN
        1m g/High {"alertname": "High"} firing->inactive medium NaN
    "#]],
    );
}

#[test]
fn later_rules_see_what_earlier_ones_recorded() {
    check(
        "groups:
- name: g
  labels: {team: a}
  rules:
  - record: twice
    expr: 2 * t
  - alert: A
    expr: twice > 3
    annotations: {summary: '{{ $labels.team }} is {{ $value }}'}
  - alert: B
    expr: ALERTS{alertname=\"A\"}
",
        "t 1 2 1",
        3,
        &expect![[r#"
            1m g/A {"alertname": "A", "team": "a"} inactive->firing medium 4
            1m g/B {"alertname": "B", "alertstate": "firing", "team": "a"} inactive->firing medium 1
            2m g/A {"alertname": "A", "team": "a"} firing->inactive medium 4
            2m g/B {"alertname": "B", "alertstate": "firing", "team": "a"} firing->inactive medium 1
        "#]],
    );
}

#[test]
fn what_ends_is_marked_stale() {
    let (source, engine) = (source("up 0 0 1\nt{i=\"a\"} 1 stale"), Engine::default());
    let mut groups = groups(
        "groups:
- name: g
  rules:
  - alert: Down
    expr: up == 0
    for: 1m
  - record: r
    expr: t
",
    );
    let mut out = String::new();
    for minute in 0..3 {
        let at = Timestamp::from_millis(minute * 60_000);
        for sample in groups[0].evaluate(&source, &engine, at, 1.0).recorded {
            let value = if is_stale(sample.value) {
                "stale".to_owned()
            } else {
                sample.value.to_string()
            };
            writeln!(out, "{minute}m {} {value}", sample.labels).unwrap();
        }
    }
    expect![[r#"
        0m ALERTS{alertname="Down",alertstate="pending"} 1
        0m ALERTS_FOR_STATE{alertname="Down"} 0
        0m r{i="a"} 1
        1m ALERTS{alertname="Down",alertstate="pending"} stale
        1m ALERTS{alertname="Down",alertstate="firing"} 1
        1m ALERTS_FOR_STATE{alertname="Down"} 0
        1m r{i="a"} stale
        2m ALERTS{alertname="Down",alertstate="firing"} stale
        2m ALERTS_FOR_STATE{alertname="Down"} stale
    "#]]
    .assert_eq(&out);
}

/// A source that fails, or does not have all, at some minutes.
struct Shaky(MemorySource);

impl SeriesSource for Shaky {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        match range.end_inclusive.as_millis() / 60_000 {
            1 => Err(SourceError::NotInMemory),
            2 => Ok(Selected {
                warnings: vec!["node-1 is behind".to_owned()],
                partial: true,
            }),
            _ => self.0.select_each(matchers, range, budget, each),
        }
    }
}

#[test]
fn a_failed_or_partial_query_resolves_nothing() {
    let shaky = Shaky(source("up 0 0 0 0 1"));
    let engine = Engine::default();
    let mut groups = groups(&rule("alert: Down\nexpr: up == 0\nmin_complete: 0.5"));
    let mut out = String::new();
    for (minute, completeness) in [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.4), (4, 0.5)] {
        let at = Timestamp::from_millis(minute * 60_000);
        let evaluated = groups[0].evaluate(&shaky, &engine, at, completeness);
        show(minute, &evaluated, &mut out);
        let firing = evaluated
            .recorded
            .iter()
            .filter(|it| it.value.abs() > 0.0 && !is_stale(it.value));
        assert_eq!(firing.count(), usize::from(minute < 4), "{minute}");
    }
    expect![[r#"
        0m g/Down {"alertname": "Down"} inactive->firing medium 0
        1m g/Down failed: evaluating the query
        2m g/Down held: Partial
        3m g/Down held: Incomplete { is: 0.4, least: 0.5 }
        4m g/Down {"alertname": "Down"} firing->inactive medium 0
    "#]]
    .assert_eq(&out);
}

#[test]
fn a_limit_holds_what_there_is() {
    check(
        "groups:\n- name: g\n  limit: 1\n  rules:\n  - alert: Down\n    expr: up == 0",
        "up{i=\"a\"} 0 0 0\nup{i=\"b\"} 1 0 1",
        3,
        &expect![[r#"
            0m g/Down {"alertname": "Down", "i": "a"} inactive->firing medium 0
            1m g/Down failed: exceeded limit of 1 with 2 alerts
        "#]],
    );
}

#[test]
fn alerts_with_the_same_labels_are_refused() {
    check(
        &rule("alert: Down\nexpr: up == 0\nlabels: {i: x}"),
        "up{i=\"a\"} 0\nup{i=\"b\"} 0",
        1,
        &expect![[r#"
            0m g/Down failed: vector contains metrics with the same labelset after applying alert labels
        "#]],
    );
}

const MANY: &str = "
groups:
- name: first
  interval: 1m
  rules:
  - record: rate
    expr: t * 2
  - alert: A
    expr: rate > 2
    for: 2m
    keep_firing_for: 2m
    annotations: {summary: '{{ $value }}'}
- name: second
  interval: 30s
  rules:
  - alert: B
    expr: t > 1
    missing: fire
    count: {least: 2, of: 3}
";
const MANY_SERIES: &str = "
t{i=\"a\"} 2 2 2 0 2 stale _x5 2 2 2 0 0 0 0
t{i=\"b\"} 0 0 2 2 2 2 0 0 0 2 2 2 2 0 stale
";

/// Evaluates at slots; `between` may replace the groups.
fn live(
    mut groups: Vec<Group>,
    mut between: impl FnMut(Vec<Group>) -> Vec<Group>,
) -> Vec<Transition> {
    let mut source = source(MANY_SERIES);
    let engine = Engine::default();
    let mut transitions = Vec::new();
    for second in 0..1200 {
        let at = Timestamp::from_millis(second * 1000 + 999);
        for group in &mut groups {
            let slot = group.slot_at_or_before(at);
            // Late within the second, and as of the slot.
            if at.millis_since(slot) < 1000 && slot.as_millis() >= 0 {
                let evaluated = group.evaluate(&source, &engine, slot, 1.0);
                for sample in evaluated.recorded {
                    source.push(&sample.labels, sample.at, sample.value);
                }
                transitions.extend(evaluated.transitions);
            }
        }
        groups = between(groups);
    }
    transitions
}

#[test]
fn a_backtest_gives_what_was_live() {
    let lived = live(groups(MANY), |groups| groups);
    let source = source(MANY_SERIES);
    let span = (Timestamp::from_millis(0), Timestamp::from_millis(1_199_999));
    let engine = Engine::default();
    let mut again = groups(MANY);
    let found = backtest(&mut again, &source, &engine, span, &|_, _| 1.0, 10_000).unwrap();
    assert!(lived.len() > 10, "{lived:?}");
    // Values may be NaN, which is not itself.
    assert_eq!(format!("{:?}", found.transitions), format!("{lived:?}"));
    assert_eq!(found.failures_total, 0);
    let mut again = groups(MANY);
    let short = backtest(&mut again, &source, &engine, span, &|_, _| 1.0, 10);
    assert_eq!(
        short.unwrap_err().to_string(),
        "80 evaluations of rules, more than 10; ask for a shorter time or fewer rules"
    );
}

#[test]
fn a_restart_at_any_time_changes_nothing() {
    let lived = live(groups(MANY), |groups| groups);
    let restarted = live(groups(MANY), |before| {
        let mut after = groups(MANY);
        for (after, before) in after.iter_mut().zip(before) {
            let kept = serde_json::to_string(&before.export()).unwrap();
            let state: GroupState = serde_json::from_str(&kept).unwrap();
            assert_eq!(after.restore(state), 0);
        }
        after
    });
    assert_eq!(format!("{restarted:?}"), format!("{lived:?}"));
}

#[test]
fn changed_rules_go_on_and_gone_ones_end() {
    let text = |second: &str| {
        rule("alert: A\nexpr: t > 1\nfor: 2m")
            + &format!("\n  - {second}: b\n    expr: t > 1\n  - record: r\n    expr: t")
    };
    let (source, engine) = (source("t 2 2 2 2"), Engine::default());
    let mut out = String::new();
    let at = |minute: i64| Timestamp::from_millis(minute * 60_000);
    let mut before = groups(&text("alert")).remove(0);
    show(0, &before.evaluate(&source, &engine, at(0), 1.0), &mut out);
    let mut after = groups(&text("record")).remove(0);
    let ended = after.take_over(before, at(1));
    show(1, &ended, &mut out);
    assert_eq!(ended.recorded.len(), 2);
    show(2, &after.evaluate(&source, &engine, at(2), 1.0), &mut out);
    let ended = after.end(at(3));
    show(3, &ended, &mut out);
    let stale: Vec<String> = ended
        .recorded
        .iter()
        .filter(|sample| is_stale(sample.value))
        .map(|sample| sample.labels.to_string())
        .collect();
    assert_eq!(
        stale.join(" "),
        "ALERTS{alertname=\"A\",alertstate=\"firing\"} ALERTS_FOR_STATE{alertname=\"A\"} b r"
    );
    expect![[r#"
        0m g/A {"alertname": "A"} inactive->pending medium 2
        0m g/b {"alertname": "b"} inactive->firing medium 2
        1m g/b {"alertname": "b"} firing->inactive medium 2
        2m g/A {"alertname": "A"} pending->firing medium 2
        3m g/A {"alertname": "A"} firing->inactive medium 2
    "#]]
    .assert_eq(&out);
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let refused = |text: &str| match RuleFile::parse("r.yml", text) {
        Ok(_) => "taken".to_owned(),
        Err(errors) => {
            let lines = errors.iter().map(|error| {
                let mut line = error.to_string();
                let mut source = std::error::Error::source(error);
                while let Some(cause) = source {
                    write!(line, ": {cause}").unwrap();
                    source = cause.source();
                }
                line
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    for (text, expected) in [
        ("", "taken"),
        ("groups:\n", "taken"),
        (
            "groups:\n- name: a\n- name: a\n",
            "r.yml:3: groupname \"a\" is repeated in the same file",
        ),
        ("group: []\n", "r.yml:1: unknown field"),
        (
            &rule("alert: A\nexpr: up ==\nlabels: {a-b: c, __name__: d}"),
            "r.yml:4: group \"g\", rule \"A\": could not parse expr: 1:6: parse error: unexpected end of input\n\
          r.yml:4: group \"g\", rule \"A\": invalid label name: __name__\n\
          r.yml:4: group \"g\", rule \"A\": invalid label name: a-b",
        ),
        (
            &rule("alert: A\nexpr: up\nannotations: {s: '{{ $label.x }}'}"),
            "r.yml:4: group \"g\", rule \"A\": could not parse the template of annotation \"s\": line 1: undefined variable \"$label\"",
        ),
        (
            &rule("record: a\nalert: b\nexpr: 1\nfor: 1m"),
            "r.yml:4: group \"g\", rule \"b\": only one of 'record' and 'alert' must be set\n\
          r.yml:4: group \"g\", rule \"b\": invalid field 'for' in recording rule",
        ),
        (
            &rule("record: a\nexpr: 1\nlabels: {n: 5, b: true}"),
            "taken",
        ),
        (
            &rule("alert: A\nexpr: a > b\nmissing: hold\ncount: {least: 2, of: 1}\nlevel: red"),
            "r.yml:4: group \"g\", rule \"A\": level: \"red\" is no level: critical, high, medium or low\n\
          r.yml:4: group \"g\", rule \"A\": count: at least 2 of 1 cannot be counted; least is from 1 to of, and of at most 64\n\
          r.yml:4: group \"g\", rule \"A\": missing needs an expr of the form EXPR CMP NUMBER, such as 'rate(x[5m]) > 5', so that no data and a false condition can be told apart",
        ),
        (
            &rule("alert: A\nexpr: 1\nfor: 5"),
            "r.yml:4: group \"g\", rule \"A\": for: \"5\" is no duration such as 90s, 5m or 1h30m",
        ),
    ] {
        let got = refused(text);
        assert!(got.starts_with(expected), "{text}\n{got}\n{expected}");
    }
}

#[test]
fn dependencies_must_be_there_and_in_no_circle() {
    let file = |dependencies: &str| {
        let text = rule(&format!("alert: A\nexpr: 1\ndepends_on: [{dependencies}]"))
            + "\n  - alert: B\n    expr: 1\n    depends_on: [A]";
        super::check_dependencies(&[RuleFile::parse("r.yml", &text).unwrap()])
    };
    assert!(file("").is_ok());
    assert!(file("B").unwrap_err()[0].to_string().contains("leads back"));
    assert!(file("C").unwrap_err()[0].to_string().contains("no alert"));
}

#[test]
fn an_alert_that_only_an_answer_ends_ends_some_time_without_data() {
    let text = rule("alert: High\nexpr: t > 1\nclear_when: t < 1");
    let mut source = source("t 2 2");
    let engine = Engine::default();
    let mut groups = groups(&text);
    let mut ended = Vec::new();
    for minute in 0..300 {
        let at = Timestamp::from_millis(minute * 60_000);
        let found = groups[0].evaluate(&source, &engine, at, 1.0).transitions;
        ended.extend(
            found
                .iter()
                .filter(|it| it.to == crate::State::Inactive)
                .map(|_| minute),
        );
        source.clear();
    }
    assert_eq!(ended, [241]);
}
