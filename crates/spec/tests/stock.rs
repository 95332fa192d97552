//! The stock rules: whole, with a page each, over series that are really there.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper fails its test by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use spec::{Action, Plan, PlannedRule};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All that is on without being asked for.
fn stock() -> Vec<PlannedRule> {
    spec::stock::rules().unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A plan with rules of every sort on every metric.
fn full() -> Plan {
    let metrics: Vec<String> = spec::metrics().map(|metric| metric.name).collect();
    let thresholds: Vec<String> = metrics.iter().map(|name| format!("{name}: 0.5")).collect();
    let text = format!(
        "monitoring_config: {{metrics: [{}, own], thresholds: {{{}, own: 1}}}}
alerting_config: {{alerting: {{threshold_alerts: true, trend_alerts: true, anomaly_alerts: true}}}}
bindings: {{own: {{query: own}}}}",
        metrics.join(", "),
        thresholds.join(", ")
    );
    let text = spec::Text {
        name: "full",
        body: &text,
    };
    spec::load(&[text]).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn each_has_what_a_rule_needs() {
    let conditions: BTreeSet<&str> = spec::conditions().collect();
    for rule in stock() {
        let name = &rule.name;
        assert!(rule.level.is_some(), "{name}");
        let condition = rule.condition.as_deref().unwrap_or_default();
        assert!(conditions.contains(condition), "{name}: {condition}");
        for part in ["summary", "description"] {
            assert!(rule.annotations.contains_key(part), "{name} has no {part}");
        }
        let kind = rule.labels.get("kind").map(String::as_str);
        assert!(matches!(kind, Some("symptom" | "cause" | "self")), "{name}");
        assert_eq!(rule.action, Action::Alert);
    }
    for signal in ["latency", "traffic", "errors", "saturation"] {
        let has = |rule: &PlannedRule| rule.labels.get("signal").is_some_and(|it| it == signal);
        assert!(stock().iter().any(has), "{signal}");
    }
}

#[test]
fn names_are_given_once_and_what_explains_a_rule_is_one() {
    let stock = stock();
    let names: BTreeSet<&String> = stock.iter().map(|rule| &rule.name).collect();
    assert_eq!(names.len(), stock.len());
    for rule in &stock {
        assert!(
            rule.depends_on.iter().all(|name| names.contains(name)),
            "{}",
            rule.name
        );
    }
}

#[test]
fn each_rule_has_a_page_and_each_page_a_rule() {
    let plan = full();
    let named: BTreeSet<String> = stock()
        .iter()
        .chain(&plan.rules)
        .filter(|rule| rule.action == Action::Alert)
        .map(|rule| {
            rule.runbook
                .clone()
                .unwrap_or_else(|| panic!("{} has no runbook", rule.name))
        })
        .collect();
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("docs/runbooks"))
        .unwrap()
        .map(|entry| {
            format!(
                "docs/runbooks/{}",
                entry.unwrap().file_name().to_string_lossy()
            )
        })
        .collect();
    let missing: Vec<_> = named.difference(&pages).collect();
    assert!(missing.is_empty(), "no page {missing:?}");
    let built_in = spec::runbooks::pages().iter();
    let built_in: BTreeSet<String> = built_in
        .map(|page| format!("docs/runbooks/{}", page.file))
        .collect();
    assert_eq!(built_in, pages, "the pages that are part of the program");
    let unused: Vec<_> = pages.difference(&named).collect();
    assert!(unused.is_empty(), "no rule names {unused:?}");
    for page in pages {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        let lines = text.lines().count();
        assert!((10..=24).contains(&lines), "{page} has {lines} lines");
        for part in ["## What to look at first", "## How to stop it"] {
            assert!(text.contains(part), "{page} has no {part}");
        }
    }
}

/// Source files of a crate.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Series that the agent names as it goes, from what the kernel says: the beginning is in its code.
const OF_THE_KERNEL: [&str; 2] = ["node_memory_", "node_vmstat_"];

#[test]
fn the_series_of_hosts_gpus_and_vedette_are_named_in_the_code_that_makes_them() {
    let mut code = String::new();
    sources(&root().join("crates/agent/src"), &mut code);
    sources(&root().join("crates/coordinator/src"), &mut code);
    let plan = full();
    for rule in stock().iter().chain(&plan.rules) {
        let words = rule
            .expr
            .split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')));
        for word in words {
            let is_ours = ["node_", "vedette_", "DCGM_"]
                .iter()
                .any(|start| word.starts_with(start));
            if !is_ours || word.ends_with('_') {
                continue;
            }
            let made = OF_THE_KERNEL
                .into_iter()
                .find(|start| word.starts_with(start));
            let name = made.unwrap_or(word);
            assert!(code.contains(&format!("\"{name}")), "{}: {word}", rule.name);
        }
    }
}

#[test]
fn the_series_of_inference_servers_are_in_captured_pages() {
    let shared =
        std::env::var_os("VEDETTE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let folder = shared.join("data/prom_captures");
    if !folder.is_dir() {
        return;
    }
    let mut pages = String::new();
    captured(&folder, &mut pages);
    let known: BTreeSet<&str> = pages
        .split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')))
        .collect();
    let mut strange = BTreeSet::new();
    let plan = full();
    for rule in stock().iter().chain(&plan.rules) {
        let words = rule
            .expr
            .split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')));
        for word in words {
            let is_theirs = ["vllm:", "sglang:", "tgi_", "nv_inference"]
                .iter()
                .any(|start| word.starts_with(start));
            // A reference of a histogram names its family alone.
            let family = word.trim_end_matches("_bucket").trim_end_matches("_count");
            if is_theirs && !known.contains(word) && !known.contains(family) {
                strange.insert(word.to_owned());
            }
        }
    }
    assert!(strange.is_empty(), "no captured page has {strange:?}");
}

fn captured(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            captured(&path, text);
        } else if let Ok(page) = std::fs::read_to_string(&path) {
            text.push_str(&page);
        }
    }
}
