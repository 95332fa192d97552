//! Fifty seeds, and the bugs that the simulation must find.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command
        .args(arguments)
        .output()
        .expect("it was built for this test")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn fifty_seeds_pass() {
    let output = sim(&["--seeds", "50"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_seed_does_the_same_twice_to_the_line_of_its_trace() {
    for seed in ["3", "8"] {
        let run = || said(&sim(&["--seed", seed, "--trace"]));
        let (first, second) = (run(), run());
        let differ = first.lines().zip(second.lines()).find(|(a, b)| a != b);
        assert_eq!(differ, None);
        assert_eq!(first.len(), second.len());
        assert!(first.contains("hash"), "it ended early");
    }
}

#[test]
fn each_bug_put_in_is_found_within_200_seeds() {
    let mutants = [
        "acknowledge-before-sync",
        "spool-before-sync",
        "forget-mark",
        "delete-unreadable",
        "apply-twice",
    ];
    for mutant in mutants {
        let output = sim(&["--seeds", "200", "--mutant", mutant]);
        assert_eq!(output.status.code(), Some(1), "{mutant} was not found");
        let text = said(&output);
        assert!(text.contains("replay: make sim SEED="), "{mutant}: {text}");
    }
}
