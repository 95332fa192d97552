//! Agents and a coordinator, the real ones, in one thread: on a network, clocks and disks that fail by seed.
//!
//! `sim --seed N` runs one seed; the same seed does the same again, to the line of its trace (`--trace`).
//! `sim --seeds N --from M` runs many, a process for each, on all processors.

mod agent_node;
mod chance;
mod clock;
mod coordinator_node;
mod disk;
mod engine;
mod faults;
mod ledger;
mod mutant;
mod plan;
mod run;
mod seeds;
mod trace;

use std::io::Write as _;
use std::process::ExitCode;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use mutant::Mutant;

/// Prints a line.
fn print(line: &str) {
    // Who does not want to hear it has closed the pipe.
    drop(writeln!(std::io::stdout().lock(), "{line}"));
}

/// What was asked for.
#[derive(Clone, Debug, Default)]
struct Arguments {
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    trace: bool,
    mutant: Option<Mutant>,
    /// The mutant's name.
    named: Option<String>,
}

impl Arguments {
    fn parse(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            from: 1,
            seeds: 50,
            ..Self::default()
        };
        let mut words = words;
        while let Some(word) = words.next() {
            if word == "--trace" {
                arguments.trace = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{word} needs a value"))?;
            let number = || {
                value
                    .parse()
                    .map_err(|error| format!("{word} {value}: {error}"))
            };
            match word.as_str() {
                "--seed" => arguments.seed = Some(number()?),
                "--from" => arguments.from = number()?,
                "--seeds" => arguments.seeds = number()?,
                "--mutant" => {
                    let mutant = Mutant::named(&value);
                    arguments.mutant = Some(mutant.ok_or_else(|| format!("no mutant {value}"))?);
                    arguments.named = Some(value);
                }
                _ => return Err(format!("{word} is not known")),
            }
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            print(&problem);
            return ExitCode::from(2);
        }
    };
    let Some(seed) = arguments.seed else {
        return seeds::run(&arguments);
    };
    // Before anything hashes or draws: std and tokio take their randomness from here.
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    trace::listen(arguments.trace);
    let ended = run::run(seed, arguments.mutant);
    match ended {
        Ok(done) => {
            print(&format!("seed {seed}: {done}, hash {:016x}", trace::hash()));
            ExitCode::SUCCESS
        }
        Err(what) => {
            let mutant = arguments.named.map(|name| format!(" MUTANT={name}"));
            let replay = format!("make sim SEED={seed}{}", mutant.unwrap_or_default());
            print(&format!("seed {seed} failed {what}\nreplay: {replay}"));
            ExitCode::FAILURE
        }
    }
}
