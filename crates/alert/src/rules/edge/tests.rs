use std::collections::BTreeMap;

use expect_test::expect;
use spec::Level;

use super::edge_rules;
use crate::rules::{Kind, RuleFile, Settings};

fn why(expr: &str) -> String {
    let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: {expr:?}}}]}}]");
    let file = RuleFile::parse("f", &text).unwrap();
    match file.groups[0].rules[0].is_per_node(&["ALERTS", "job:rate"]) {
        Ok(()) => "edge".to_owned(),
        Err(why) => why,
    }
}

const EXPRESSIONS: [&str; 35] = [
    "up == 0",
    "up{node='a'} == 0",
    "1 - avg by (node) (rate(c{mode='idle'}[5m])) > 0.95",
    "sum without (cpu) (rate(c[15m])) > 1",
    "a / on (node, gpu) b > 1",
    "a * on (node) group_left (model) info > 1",
    "a / ignoring (mode) b > 1",
    "a > 1 unless b",
    "a > time() - 3600",
    "histogram_quantile(0.95, sum by (le, node) (rate(h_bucket[5m]))) > 5",
    "topk by (node) (3, a) > 1",
    "label_replace(a, 'x', '$1', 'node', '(.*)') > 1",
    // From here on not.
    "sum(a) > 1",
    "sum by (model) (a) > 1",
    "avg without (node) (a) > 1",
    "a > scalar(b)",
    "a > on () group_left () max(b)",
    "a / on (gpu) b > 1",
    "a / ignoring (node) b > 1",
    "absent(up{job='x'})",
    "absent_over_time(up[5m])",
    "vector(1) > 0",
    "a or vector(0)",
    "hour() > 3",
    "rate(c[20m]) > 1",
    "rate(c[5m] offset 1h) > 1",
    "a @ 100 > 1",
    "max_over_time(rate(c[1m])[5m:1m]) > 1",
    "label_replace(a, 'node', 'x', '', '') > 1",
    "count_values by (node) ('node', a) > 1",
    "topk(3, a) > 1",
    "job:rate > 1",
    "{job='x'} > 1",
    "ALERTS > 0",
    "1 > bool 2",
];

#[test]
fn rules_that_keep_nodes_apart_go_to_the_edge() {
    let mut table = String::new();
    for expr in EXPRESSIONS {
        table.push_str(&format!("{expr}  →  {}\n", why(expr)));
    }
    expect![[r#"
        up == 0  →  edge
        up{node='a'} == 0  →  edge
        1 - avg by (node) (rate(c{mode='idle'}[5m])) > 0.95  →  edge
        sum without (cpu) (rate(c[15m])) > 1  →  edge
        a / on (node, gpu) b > 1  →  edge
        a * on (node) group_left (model) info > 1  →  edge
        a / ignoring (mode) b > 1  →  edge
        a > 1 unless b  →  edge
        a > time() - 3600  →  edge
        histogram_quantile(0.95, sum by (le, node) (rate(h_bucket[5m]))) > 5  →  edge
        topk by (node) (3, a) > 1  →  edge
        label_replace(a, 'x', '$1', 'node', '(.*)') > 1  →  edge
        sum(a) > 1  →  expr: sum puts nodes together; by(…) with node keeps them apart
        sum by (model) (a) > 1  →  expr: sum puts nodes together; by(…) with node keeps them apart
        avg without (node) (a) > 1  →  expr: avg puts nodes together; by(…) with node keeps them apart
        a > scalar(b)  →  expr: a scalar is made of series, which may be of all nodes
        a > on () group_left () max(b)  →  expr: max puts nodes together; by(…) with node keeps them apart
        a / on (gpu) b > 1  →  expr: series of different nodes meet in /
        a / ignoring (node) b > 1  →  expr: series of different nodes meet in /
        absent(up{job='x'})  →  expr: absent() stands for nodes that say nothing
        absent_over_time(up[5m])  →  expr: absent_over_time() stands for nodes that say nothing
        vector(1) > 0  →  expr: vector() is of no node
        a or vector(0)  →  expr: vector() is of no node
        hour() > 3  →  expr: hour() is of no node
        rate(c[20m]) > 1  →  expr: a window is longer than 15 minutes
        rate(c[5m] offset 1h) > 1  →  expr: it looks at another time, by offset or @
        a @ 100 > 1  →  expr: it looks at another time, by offset or @
        max_over_time(rate(c[1m])[5m:1m]) > 1  →  expr: a subquery costs too much as often as samples come
        label_replace(a, 'node', 'x', '', '') > 1  →  expr: label_replace() writes the label node
        count_values by (node) ('node', a) > 1  →  expr: count_values writes the label node
        topk(3, a) > 1  →  expr: topk puts nodes together; by(…) with node keeps them apart
        job:rate > 1  →  it may read what rules record, which no agent has
        {job='x'} > 1  →  it may read what rules record, which no agent has
        ALERTS > 0  →  it may read what rules record, which no agent has
        1 > bool 2  →  expr: a number is of no node
    "#]].assert_eq(&table);
}

#[test]
fn what_a_rule_says_besides_may_keep_it_in_the_centre() {
    for (also, reason) in [
        ("missing: fire", "missing: fire"),
        ("missing: hold", ""),
        ("min_complete: 0.9", "min_complete"),
        ("count: {least: 2, of: 3}", "count means"),
        ("labels: {node: x}", "sets the label node"),
        ("labels: {team: x}", ""),
        ("clear_when: sum(a) < 1", "clear_when: sum puts"),
        (
            "annotations: {s: '{{ query \"up\" | len }}'}",
            "a template asks",
        ),
        ("edge: false", ""),
    ] {
        let rule =
            format!("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: a > 1\n    {also}");
        let file = RuleFile::parse("f", &rule).unwrap();
        let why = file.groups[0].rules[0].is_per_node(&[]).err();
        let why = why.unwrap_or_default();
        assert!(
            why.contains(reason) && why.is_empty() == reason.is_empty(),
            "{also}: {why}"
        );
    }
    let refused = "groups: [{name: g, rules: [{alert: A, expr: 'sum(a) > 1', edge: true}]}]";
    let refused = RuleFile::parse("f", refused).unwrap_err();
    assert!(
        refused[0]
            .to_string()
            .contains("edge: true, but expr: sum puts"),
        "{}",
        refused[0]
    );
    let records = "groups: [{name: g, rules: [{record: r, expr: a}, \
                   {alert: A, expr: 'r > 1', edge: true}]}]";
    let records = RuleFile::parse("f", records).unwrap();
    let refused = edge_rules(&[records], &Settings::default()).unwrap_err();
    assert!(
        refused[0].to_string().contains("what rules record"),
        "{}",
        refused[0]
    );
}

#[test]
fn what_agents_get_is_the_same_rule() {
    let text = "groups:
- name: g
  interval: 1m
  limit: 7
  labels: {team: \"a\\\"b\"}
  rules:
  - alert: Hot
    expr: max by (node) (t{x=~\"a|b\"}) > 90
    for: 90s
    condition: fire
    clear_when: max by (node) (t) < 80
    clear_for: 1m
    runbook: docs/x.md
    annotations: {summary: '{{ $labels.node }} is at {{ $value }}'}
  - alert: All
    expr: sum(t) > 1
  - alert: Twice
    expr: t > 1
  - alert: Twice
    expr: sum(t) > 1
  - alert: Stays
    expr: t > 1
    edge: false
  - record: r
    expr: t
";
    let file = RuleFile::parse("f", text).unwrap();
    let settings = Settings {
        conditions: BTreeMap::from([("fire".to_owned(), Level::Critical)]),
        ..Settings::default()
    };
    let edge = edge_rules(&[file], &settings).unwrap();
    assert_eq!(edge.paths.iter().collect::<Vec<_>>(), ["g/Hot"]);
    let again = RuleFile::parse("f", &edge.files[0].text).unwrap();
    let rule = &again.groups[0].rules[0];
    let Kind::Alerting(alerting) = &rule.kind else {
        panic!("{rule:?}");
    };
    assert_eq!((again.rules(), again.groups[0].limit), (1, 7));
    assert_eq!(
        (alerting.level, alerting.timing.hold_millis),
        (Some(Level::Critical), 90_000)
    );
    assert_eq!(
        alerting.clear_when.as_deref(),
        Some("max by (node) (t) < 80")
    );
    let reads = rule.reads();
    assert_eq!(reads.len(), 2);
    assert_eq!(
        (reads[0].metric(), reads[0].window_millis),
        (Some("t"), None)
    );
    let once = edge_rules(&[again], &Settings::default()).unwrap();
    assert_eq!(once.files, edge.files);
}

#[test]
fn rules_that_are_to_run_at_the_edge_and_have_no_room_there_are_refused_by_name() {
    let group = |name: &str, rules: usize, edge: &str| {
        let rules = (0..rules).map(|n| format!("{{alert: {name}{n}, expr: 'a > {n}'{edge}}}"));
        let rules: Vec<String> = rules.collect();
        format!("{{name: {name}, rules: [{}]}}", rules.join(", "))
    };
    let load = |groups: &[String]| {
        let text = format!("groups: [{}]", groups.join(", "));
        let file = RuleFile::parse("f", &text).unwrap();
        edge_rules(&[file], &Settings::default())
    };
    let (large, small) = (group("Large", 999, ""), group("Small", 2, ""));
    let edge = load(&[large.clone(), small]).unwrap();
    assert_eq!(
        edge.paths.len(),
        999,
        "those that may stay in the centre do"
    );
    let errors = load(&[large, group("Must", 2, ", edge: true")]).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors[1].contains("Must1") && errors[1].contains("room for 1000 rules"),
        "{errors:?}"
    );
    let twins =
        "{name: g, rules: [{alert: A, expr: 'a > 1', edge: true}, {alert: A, expr: 'sum(a) > 1'}]}";
    let errors = load(&[twins.to_owned()]).unwrap_err();
    assert!(
        errors[0].to_string().contains("another rule g/A"),
        "{}",
        errors[0]
    );
}
