//! What rules find live is what a backtest of the same time says, byte for byte: over an hour with gaps, with
//! batches that come late, and with a process that is killed again and again.
//!
//! Everything runs on one thread on a clock of the test's own, so that a run is always the same.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

#[path = "live_rules/life.rs"]
mod life;
#[path = "live_rules/lines.rs"]
mod lines;
#[path = "live_rules/load.rs"]
mod load;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use life::{Life, SharedEngine};
use lines::Lines;
use load::{Chance, Load};

/// When it begins: 2026-01-01T06:00:00Z.
const START: i64 = 1_767_247_200_000;
/// How long it goes on.
const LENGTH: i64 = 3_600_000;
/// How often the process is killed.
const KILLS: i64 = 12;

/// A hundred rules of every kind there is, in ten groups.
fn rules() -> String {
    let mut text = "groups:\n".to_owned();
    for group in 0..10 {
        let every = ["30s", "1m", "1m"][group % 3];
        writeln!(text, "- name: group-{group}\n  interval: {every}\n  rules:").unwrap();
        let (node, next) = (format!("n{group}"), format!("n{}", group + 10));
        let level = 45 + 4 * group;
        let alert = |number: usize, expr: &str, more: &str| {
            format!(
                "  - {{alert: G{group}R{number}, expr: '{expr}'{more}, \
                 annotations: {{summary: 'is {{{{ $value }}}}'}}}}\n"
            )
        };
        writeln!(
            text,
            "  - {{record: 'region:cpu:g{group}', expr: 'avg by (region) (cpu)'}}"
        )
        .unwrap();
        for rule in [
            alert(1, &format!("region:cpu:g{group} > 50"), ""),
            alert(2, &format!("cpu > {level}"), ", for: 1m"),
            alert(3, "rate(requests_total[2m]) < 40", ", keep_firing_for: 1m"),
            alert(4, "sum by (region) (queue) > 400", ", for: 30s"),
            alert(5, &format!("cpu > {level}"), ", count: {least: 2, of: 3}"),
            alert(
                6,
                &format!("queue{{node=~\"{node}|{next}\"}} > 90"),
                ", missing: fire",
            ),
            alert(7, &format!("queue > {level}"), ", missing: hold"),
            alert(8, "cpu > 80", ", clear_when: 'cpu < 60'"),
            alert(9, &format!("absent(queue{{node=\"{node}\"}})"), ", for: 1m"),
        ] {
            text.push_str(&rule);
        }
    }
    text
}

/// Runs the hour in lives that end by a kill; gives what was found live and what a backtest finds.
fn run(seed: u64) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.yml");
    std::fs::write(&file, rules()).unwrap();
    daemon::blocking::simulate(|| Duration::from_millis(2));
    let lines = Lines::default();
    let _listening = tracing::subscriber::set_default(lines.clone());
    let mut chance = Chance(seed);
    let mut load = Load::new(START, LENGTH, &mut chance);
    let engine = SharedEngine::default();
    let mut ends: BTreeSet<i64> = (0..KILLS)
        .map(|_| START + chance.under(LENGTH - 120_000))
        .collect();
    let end = START + LENGTH;
    ends.insert(end + 1000);
    let mut now = START;
    let mut found = Vec::new();
    for until in ends {
        let life = Life {
            engine: engine.clone(),
            rules: file.clone(),
            from: now,
            until: until.max(now + 1),
        };
        let backtest = (until > end).then_some((START + 1, end));
        found = life.run(&mut load, backtest);
        // Down for a while; what is sent meanwhile comes later.
        now = until + chance.under(40_000);
    }
    (lines.take(), found)
}

/// Those of an hour, in one order: groups that are due together are not evaluated in any.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    let end = (START + LENGTH).to_string();
    lines.retain(|line| line.split(' ').next().unwrap() <= end.as_str());
    lines.sort();
    lines
}

#[test]
fn what_is_found_live_is_what_a_backtest_finds() {
    // Its kills leave lives that end before some groups are due.
    let (live, tested) = run(2);
    let (live, tested) = (sorted(live), sorted(tested));
    let rules: BTreeSet<&str> = tested
        .iter()
        .filter_map(|it| it.split(' ').nth(1))
        .collect();
    println!("{} transitions of {} rules", tested.len(), rules.len());
    let (of_live, of_tested): (BTreeSet<_>, BTreeSet<_>) =
        (live.iter().collect(), tested.iter().collect());
    let only_live: Vec<_> = of_live.difference(&of_tested).collect();
    let only_tested: Vec<_> = of_tested.difference(&of_live).collect();
    assert!(
        only_live.is_empty() && only_tested.is_empty(),
        "only live {only_live:#?}, only in the backtest {only_tested:#?}"
    );
    assert_eq!(live, tested);
    assert!(
        rules.len() > 60 && tested.len() > 500,
        "too little to prove anything"
    );
}
