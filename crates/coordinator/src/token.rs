//! `vedette-coordinator token`: the file of tokens, without a running coordinator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use coordinator::access::{NewToken, Role, Tokens};
use daemon::clock::{Clock as _, SystemClock};
use daemon::units::HumanDuration;
use wire::ingest::AgentId;

/// What to do with the file.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token, prints it once and keeps its digest.
    Add {
        /// Who it is for; for an agent its id.
        name: String,
        /// What it allows.
        #[arg(long, value_enum)]
        role: Role,
        /// How long it counts, such as "90d"; for ever when it is not said.
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<HumanDuration>,
    },
    /// Takes a token back.
    Remove {
        /// Who it is for.
        name: String,
    },
    /// Lists names, roles and ends.
    List,
}

/// Works on `file`.
#[expect(clippy::print_stdout, reason = "the answer of the subcommand")]
pub(crate) fn run(command: &TokenCommand, file: Option<&Path>) -> anyhow::Result<()> {
    let file: PathBuf = file
        .context("access.tokens is not set: give --tokens FILE, or set it in the configuration")?
        .to_owned();
    match command {
        TokenCommand::Add {
            name,
            role,
            expires_in,
        } => {
            let lasts = expires_in.map(|lasts| lasts.as_duration());
            let end = lasts.map(|lasts: Duration| {
                let now = SystemClock::new().wall_millis() / 1000;
                now.saturating_add(i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX))
            });
            let new = NewToken {
                name: AgentId::try_from(name.clone())?,
                role: *role,
                expires_seconds: end,
            };
            println!("{}", Tokens::add(&file, &new)?.expose());
        }
        TokenCommand::Remove { name } => Tokens::remove(&file, name)?,
        TokenCommand::List => {
            for (name, role, expires) in Tokens::read(&file)?.list() {
                let end = expires.map(jiff::Timestamp::from_second);
                let end = match end {
                    Some(Ok(end)) => end.to_string(),
                    _ => "-".to_owned(),
                };
                println!("{name}\t{}\t{end}", role.as_str());
            }
        }
    }
    Ok(())
}
