//! `test rules` and `check rules`: the verdicts of Prometheus' own files and of ours, and those of promtool
//! beside them where it is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of tests, whether it passes, and whether Debian's promtool (2.42) knows all that is in it.
type Case = (&'static str, bool, bool);

/// Files of Prometheus; those that end in no verdict of their own are no files of tests and are refused.
const PROMETHEUS: [Case; 14] = [
    ("at-modifier-test.yml", true, true),
    ("at-modifier.yml", false, true),
    ("failing.yml", false, true),
    ("long-period.yml", true, true),
    ("negative-offset-test.yml", true, true),
    ("negative-offset.yml", false, true),
    ("rules-bad.yml", false, true),
    ("rules.yml", false, true),
    ("rules_duplicates.yml", false, true),
    ("rules_run.yml", false, true),
    ("rules_run_fuzzy.yml", false, true),
    ("rules_run_no_fuzzy.yml", false, true),
    ("start-time-test.yml", true, false),
    // It passes in Prometheus; it has native histograms, which are not held and so fail.
    ("unittest.yml", false, false),
];

/// Files of ours.
const OURS: [Case; 11] = [
    ("limit_test.yml", false, true),
    ("no_name_test.yml", false, true),
    ("no_rules_test.yml", true, true),
    ("repeated_group_test.yml", false, true),
    ("same_labels_test.yml", false, true),
    ("states_test.yml", true, true),
    ("templates_test.yml", true, true),
    ("unknown_field_test.yml", false, true),
    ("vedette_test.yml", true, false),
    ("wrong_annotation_test.yml", false, true),
    ("wrong_value_test.yml", false, true),
];

fn ours() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vedette/rules")
}

/// The folder of Prometheus' files, if it is there.
fn prometheus() -> Option<PathBuf> {
    let shared = std::env::var_os("VEDETTE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("data/prom_compliance");
    if folder.is_dir() {
        return Some(folder);
    }
    println!(
        "skipped: {} is not there (set VEDETTE_SHARED)",
        folder.display()
    );
    None
}

/// Debian's promtool, if it is on the PATH and the one whose verdicts are written here.
fn promtool() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut programs = std::env::split_paths(&folders).map(|folder| folder.join("promtool"));
    let program = programs.find(|program| program.is_file())?;
    let (_, version) = run(&program, &["--version"], Path::new("."));
    version.contains("version 2.42").then_some(program)
}

fn vedette() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_vedette"))
}

/// The exit code of a program, and what it printed.
fn run(program: &Path, words: &[&str], folder: &Path) -> (i32, String) {
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(text).unwrap(),
    )
}

fn check(cases: &[Case], folder: &Path) {
    let promtool = promtool();
    if promtool.is_none() {
        println!("promtool 2.42 is not there: not checked beside it");
    }
    for (file, passes, is_known) in cases {
        let words = ["test", "rules", file];
        let (code, text) = run(&vedette(), &words, folder);
        assert_eq!(code, i32::from(!passes), "{file}\n{text}");
        if let Some(promtool) = promtool.as_ref().filter(|_| *is_known) {
            let (theirs, their_text) = run(promtool, &words, folder);
            assert_eq!(code, theirs, "{file}\n{text}\n{their_text}");
        }
    }
}

#[test]
fn verdicts_over_prometheus_files_are_prometheus() {
    if let Some(folder) = prometheus() {
        check(&PROMETHEUS, &folder.join("promtool"));
    }
}

#[test]
fn verdicts_over_our_files_are_promtools() {
    check(&OURS, &ours());
    let mut listed: Vec<&str> = OURS.iter().map(|(file, ..)| *file).collect();
    let entries = std::fs::read_dir(ours()).unwrap();
    let mut found: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("_test.yml"))
        .collect();
    found.sort();
    listed.sort_unstable();
    assert_eq!(found, listed);
}

#[test]
fn of_prometheus_tests_only_native_histograms_fail() {
    let Some(folder) = prometheus() else {
        return;
    };
    let (_, text) = run(
        &vedette(),
        &["test", "rules", "unittest.yml"],
        &folder.join("promtool"),
    );
    let failures: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("    ") && !line.starts_with("    name:"))
        .collect();
    assert_eq!(failures.len(), 6, "{text}");
    assert!(
        failures
            .iter()
            .all(|line| line.contains("native histograms are not held")),
        "{text}"
    );
}

#[test]
fn rule_files_are_checked_as_promtool_checks_them() {
    let Some(folder) = prometheus() else {
        return;
    };
    let promtool = promtool();
    for (file, passes) in [
        ("rules.yaml", true),
        ("promtool/rules.yml", true),
        ("promtool/rules-bad.yml", false),
        ("promtool/rules_duplicates.yml", true),
        ("promtool/failing.yml", false),
        ("promtool/at-modifier.yml", true),
        ("promtool/negative-offset.yml", true),
        ("promtool/none.yml", false),
    ] {
        let words = ["check", "rules", file];
        let (code, text) = run(&vedette(), &words, &folder);
        assert_eq!(code, i32::from(!passes), "{file}\n{text}");
        if let Some(promtool) = &promtool {
            assert_eq!(run(promtool, &words, &folder).0, code, "{file}");
        }
    }
    let (_, text) = run(
        &vedette(),
        &["check", "rules", "promtool/rules-bad.yml"],
        &folder,
    );
    expect_test::expect![[r#"
        Checking promtool/rules-bad.yml
          FAILED:
            promtool/rules-bad.yml:6: group "alerts", rule "InstanceDown": could not parse the template of annotation "summary": line 1: undefined variable "$label"
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_failure_says_what_differs() {
    let folder = ours();
    let out = tempfile::tempdir().unwrap();
    let junit = out.path().join("junit.xml");
    let junit_path = junit.to_str().unwrap();
    let files = ["wrong_annotation_test.yml", "wrong_value_test.yml"];
    let words = ["test", "rules", "--junit", junit_path];
    let (code, text) = run(&vedette(), &[&words[..], &files].concat(), &folder);
    assert_eq!(code, 1);
    expect_test::expect![[r#"
        Unit Testing:  wrong_annotation_test.yml
          FAILED:
            name: wrong annotation, time: 1m, alertname: Kept
                exp: {alertname="Kept"} {summary="load is 21"}
                got: {alertname="Kept"} {summary="load is 20"}

        Unit Testing:  wrong_value_test.yml
          FAILED:
            name: not a number, time: 0s
            expr: "a / 0 - a / 0"
                exp: {} NaN
                got: {} NaN

    "#]]
    .assert_eq(&text);
    let (_, text) = run(
        &vedette(),
        &["test", "rules", "--diff", files[0], "--run", "annotation"],
        &folder,
    );
    expect_test::expect![[r#"
        Unit Testing:  wrong_annotation_test.yml
          FAILED:
            name: wrong annotation, time: 1m, alertname: Kept
                - {alertname="Kept"} {summary="load is 21"}
                + {alertname="Kept"} {summary="load is 20"}

    "#]]
    .assert_eq(&text);
    let report = std::fs::read_to_string(junit).unwrap();
    assert!(
        report
            .contains("<testsuite name=\"wrong_annotation_test.yml\" tests=\"1\" failures=\"1\">")
    );
    let (code, _) = run(&vedette(), &["test", "rules"], &folder);
    assert_eq!(code, 2);
}
