//! Runs scripts in Prometheus' test language and prints, for each file, how many evaluations
//! passed, how many need native histograms, and every miss.
//!
//! `cargo run --release -p query --example promqltest -- [--histograms] FILE…`
//!
//! With `--histograms` the evaluations that need native histograms are listed too.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::process::ExitCode;

use query::Engine;
use query::testing::run;

fn main() -> ExitCode {
    let engine = Engine::default();
    let (mut passed, mut histograms, mut total) = (0, 0, 0);
    let mut list_histograms = false;
    for path in std::env::args().skip(1) {
        if path == "--histograms" {
            list_histograms = true;
            continue;
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                println!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let report = run(&engine, &text);
        println!(
            "{path}: {}/{} passed, {} need native histograms",
            report.passed,
            report.total(),
            report.needs_histograms.len()
        );
        for miss in &report.misses {
            println!("  {}: {}\n      {}", miss.line, miss.what, miss.reason);
        }
        for miss in report.needs_histograms.iter().filter(|_| list_histograms) {
            println!(
                "  histogram {}: {}\n      {}",
                miss.line, miss.what, miss.reason
            );
        }
        passed += report.passed;
        histograms += report.needs_histograms.len();
        total += report.total();
    }
    println!("all: {passed}/{total} passed, {histograms} need native histograms");
    if passed + histograms == total {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
