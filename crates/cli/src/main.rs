//! `vedette`: the command line of a fleet's monitor.

mod alerts;
mod answer;
mod apply;
mod args;
mod audit;
mod ca;
mod client;
mod demo;
mod doctor;
mod duty;
mod explain;
mod fleet;
mod gaps;
mod number;
mod output;
mod programs;
mod query;
mod rules;
mod screen;
mod sparkline;
mod times;
mod token;
mod top;
mod watch;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser as _};

use args::{Args, Command};
use client::Coordinator;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        // Help and the version come this way too, with code 0.
        Err(error) => {
            let shown = error.print();
            drop(shown);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting");
    match runtime.and_then(|runtime| runtime.block_on(run(args))) {
        Ok(code) => code,
        Err(error) => {
            output::note(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Does what was asked; the code is not that of success when the answer is a bad one.
async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let coordinator = || Coordinator::new(&args.connection);
    match args.command {
        Command::Query(query) => query::run(&coordinator()?, query).await?,
        Command::Nodes { format } => fleet::nodes(&coordinator()?, format).await?,
        Command::Events(events) => fleet::events(&coordinator()?, &events).await?,
        Command::Gaps(gaps) => gaps::run(&coordinator()?, &gaps).await?,
        Command::Audit(audit) => audit::run(&coordinator()?, &audit).await?,
        Command::Alerts(args) => alerts::alerts(&coordinator()?, args).await?,
        Command::Incidents(args) => alerts::incidents(&coordinator()?, args).await?,
        Command::Apply(args) => return apply::apply(&coordinator()?, args).await,
        Command::Backtest(args) => apply::backtest(&coordinator()?, args).await?,
        Command::Rules(args) => alerts::rules(&coordinator()?, args).await?,
        Command::Ack(args) => duty::acknowledge(&coordinator()?, args).await?,
        Command::Resolve(args) => duty::resolve(&coordinator()?, args).await?,
        Command::Verdict(args) => duty::judge(&coordinator()?, args).await?,
        Command::Incident(command) => duty::incident(&coordinator()?, command).await?,
        Command::Silence(command) => duty::silence(&coordinator()?, command).await?,
        Command::Notify(command) => duty::notify(&coordinator()?, command).await?,
        Command::Ca(command) => ca::run(&command)?,
        Command::Check(command) => return rules::check(&command),
        Command::Test(command) => return rules::test(&command),
        Command::Token(command) => token::run(&coordinator()?, &command).await?,
        Command::Summary { format } => fleet::summary(&coordinator()?, format).await?,
        Command::Top(top) => top::run(coordinator()?, &top).await?,
        Command::Explain(explain) => return explain::run(&explain),
        Command::Doctor(doctor) => return doctor::run(&coordinator()?, &doctor).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "vedette", &mut script);
            output::print(&String::from_utf8(script).context("the script is not text")?)?;
        }
        Command::Demo(demo) => return demo::run(&demo).await,
    }
    Ok(ExitCode::SUCCESS)
}
