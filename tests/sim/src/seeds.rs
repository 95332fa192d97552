//! Many seeds, a process for each, as many at a time as there are processors.

use std::num::NonZero;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::{Arguments, print};

/// Runs them; with a mutant, up to the first that finds it.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..processors {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_found = arguments.mutant.is_some() && failed.load(Ordering::Relaxed);
                    if seed >= end || is_found {
                        return;
                    }
                    if !run_one(arguments, seed) {
                        failed.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let count = arguments.seeds;
    if failed.into_inner() {
        ExitCode::FAILURE
    } else {
        print(&format!("{count} seeds from {} on passed", arguments.from));
        ExitCode::SUCCESS
    }
}

/// Whether the seed passed. What a failed one says is passed on.
fn run_one(arguments: &Arguments, seed: u64) -> bool {
    let ended = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args(["--seed", &seed.to_string()]);
        if let Some(name) = &arguments.named {
            command.args(["--mutant", name]);
        }
        command.output()
    });
    match ended {
        Ok(output) if output.status.success() => {
            if arguments.trace {
                print(String::from_utf8_lossy(&output.stdout).trim_end());
            }
            true
        }
        Ok(output) => {
            let (said, cried) = (
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr),
            );
            print(format!("{cried}{said}").trim_end());
            if output.status.code() != Some(1) {
                print(&format!(
                    "seed {seed} ended with {}\nreplay: make sim SEED={seed}",
                    output.status
                ));
            }
            false
        }
        Err(error) => {
            print(&format!("seed {seed} could not be run: {error}"));
            false
        }
    }
}
