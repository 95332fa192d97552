//! Scripts in Prometheus' test language: ours, and Prometheus' own where they are at hand.

use std::path::{Path, PathBuf};

use query::testing::{MemorySource, Report, run, run_on};
use query::{Engine, Options};
use rollup::Tier;

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of scripts is there")
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "test"))
        .collect();
    paths.sort();
    paths
}

/// Runs a script on samples; and on windows where they answer it, which must not be told apart.
fn report(path: &Path) -> Report {
    let text = std::fs::read_to_string(path).expect("the script is text");
    let rolled = run_on(
        &Engine::new(Options {
            windows_min: 1,
            ..Options::default()
        }),
        MemorySource::with_windows(&Tier::ALL),
        &text,
    );
    let mut report = run(&Engine::default(), &text);
    assert_eq!(
        rolled.passed + rolled.misses.len(),
        report.passed + report.misses.len()
    );
    report.misses.extend(rolled.misses);
    let misses: Vec<String> = report
        .misses
        .iter()
        .map(|miss| {
            format!(
                "{}:{}: {}\n  {}",
                path.display(),
                miss.line,
                miss.what,
                miss.reason
            )
        })
        .collect();
    assert!(misses.is_empty(), "{}", misses.join("\n"));
    report
}

#[test]
fn our_scripts_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let paths = scripts(&folder);
    assert!(paths.len() >= 7);
    for path in paths {
        let report = report(&path);
        assert!(
            report.passed > 0 && report.needs_histograms.is_empty(),
            "{}",
            path.display()
        );
    }
}

/// Prometheus' core scripts, and those of its newer syntax that is supported, pass but for what
/// needs native histograms.
#[test]
fn the_scripts_of_prometheus_hold() {
    const FILES: [&str; 16] = [
        "aggregators",
        "at_modifier",
        "collision",
        "duration_expression",
        "fill-modifier",
        "functions",
        "histograms",
        "literals",
        "name_label_dropping",
        "operators",
        "range_queries",
        "selectors",
        "staleness",
        "subquery",
        "trig_functions",
        "type_and_unit",
    ];
    let shared = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data/promqltest");
    if !folder.is_dir() {
        println!("skipped: no scripts of Prometheus in {}", folder.display());
        return;
    }
    let (mut passed, mut needs_histograms) = (0, 0);
    for file in FILES {
        let report = report(&folder.join(file).with_extension("test"));
        passed += report.passed;
        needs_histograms += report.needs_histograms.len();
    }
    println!("{passed} passed, {needs_histograms} need native histograms");
    assert!(passed >= 1158, "only {passed} passed");
}

#[test]
fn a_wrong_expectation_is_a_miss() {
    let text = "load 1m\n  a 1 2\n\neval instant at 1m a\n  a 3\n\neval instant at 1m a\n  expect fail\n\n\
                eval range from 0 to 1m step 1m a\n  a 1\n\neval instant at 1m a\n  expect warn\n  a 2\n\n\
                eval instant at 1m a\n  a 2\n\nnonsense\n";
    let report = run(&Engine::default(), text);
    assert_eq!(report.passed, 1);
    let lines: Vec<usize> = report.misses.iter().map(|miss| miss.line).collect();
    assert_eq!(lines, [4, 7, 10, 13, 20]);
}
