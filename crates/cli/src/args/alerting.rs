//! The part of the command line that is about alerts.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use super::ListFormat;
use crate::times::{self, Moment};

/// Arguments of `alerts`.
#[derive(Debug, clap::Args)]
pub(crate) struct AlertsArgs {
    /// Only alerts of this incident.
    #[arg(long, default_value = "", value_name = "ID")]
    pub(crate) incident: String,
    /// At most so many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Arguments of `incidents`.
#[derive(Debug, clap::Args)]
pub(crate) struct IncidentsArgs {
    /// Show this one, with its alerts, its history and who was told.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Also those that are over.
    #[arg(long)]
    pub(crate) all: bool,
    /// Only those opened since: -1d, RFC 3339 or Unix seconds.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on and print each as often as something happens to it.
    #[arg(long, conflicts_with_all = ["id", "all", "since"])]
    pub(crate) watch: bool,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Arguments of `rules`.
#[derive(Debug, clap::Args)]
pub(crate) struct RulesArgs {
    /// Also what came of each rule's incidents: how often it was right, how soon people answered.
    #[arg(long)]
    pub(crate) record: bool,
    /// Of incidents opened since: -30d, RFC 3339 or Unix seconds.
    #[arg(
        long,
        value_parser = times::moment,
        allow_hyphen_values = true,
        value_name = "TIME",
        requires = "record"
    )]
    pub(crate) since: Option<Moment>,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// An incident, and a word about it.
#[derive(Debug, clap::Args)]
pub(crate) struct NoteArgs {
    /// Which.
    pub(crate) incident: String,
    /// What else there is to say.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
}

/// Arguments of `ack`.
#[derive(Debug, clap::Args)]
pub(crate) struct AckArgs {
    #[command(flatten)]
    pub(crate) about: NoteArgs,
    /// For how long; then others are told again [default: alerting.timing.acknowledged].
    #[arg(long = "for", value_parser = times::positive_duration, value_name = "DURATION")]
    pub(crate) hold: Option<Duration>,
}

/// Arguments of `verdict`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerdictArgs {
    #[command(flatten)]
    pub(crate) about: NoteArgs,
    /// What it was.
    #[arg(long = "was", value_enum)]
    pub(crate) verdict: Verdict,
}

/// What an incident was in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verdict {
    /// Something was wrong
    True,
    /// Nothing was wrong
    False,
    /// It was known beforehand
    Expected,
    /// Another incident told the same
    Duplicate,
}

impl Verdict {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Expected => "expected",
            Self::Duplicate => "duplicate",
        }
    }
}

/// What is done with an incident by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// Say whose it is
    Assign {
        /// Which.
        incident: String,
        /// Whose.
        #[arg(long)]
        to: String,
    },
    /// Say that it is not over
    Reopen {
        /// Which.
        incident: String,
    },
    /// Tell the next rung of the ladder now
    Escalate {
        /// Which.
        incident: String,
    },
    /// Make two incidents one
    Merge {
        /// The one that goes.
        from: String,
        /// The one that stays.
        into: String,
    },
    /// Make an incident of some alerts of another
    Split {
        /// The one that has them.
        incident: String,
        /// Fingerprints of the alerts, as `vedette alerts` shows them.
        #[arg(required = true)]
        alerts: Vec<String>,
    },
}

/// Silences.
#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// Tell nobody of some alerts for a time
    Add {
        /// What they are like: node=eu-7, model_name=~"llama.*"; all must hold.
        #[arg(required = true, value_name = "LABEL=VALUE")]
        conditions: Vec<String>,
        /// For how long.
        #[arg(long = "for", value_parser = times::positive_duration, value_name = "DURATION")]
        hold: Duration,
        /// From when [default: now].
        #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
        start: Option<Moment>,
        /// It is planned: a maintenance window.
        #[arg(long)]
        maintenance: bool,
        /// Why.
        #[arg(long)]
        comment: String,
    },
    /// End one
    End {
        /// Which.
        id: String,
    },
    /// List those that are not over
    List {
        /// How to print them.
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
}

/// Notifications.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Try whether someone can be reached
    Test {
        /// By which way: email, slack, pagerduty, phone, sms, webhook, alertmanager.
        channel: String,
        /// Where: an address, a channel's name, a number.
        address: String,
        /// Show what would be sent, and send nothing.
        #[arg(long)]
        preview: bool,
    },
}

/// Arguments of `apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// Documents of the specification, YAML or JSON; they take the place of those applied before.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Say what would come of it, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply them even if the coordinator's configuration lacks a channel or receiver that they name.
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Print the documents that are applied.
    #[arg(long, conflicts_with_all = ["files", "dry_run", "allow_missing"])]
    pub(crate) show: bool,
}

/// Arguments of `backtest`.
#[derive(Debug, clap::Args)]
pub(crate) struct BacktestArgs {
    /// Rules in Prometheus' form [default: those in force].
    #[arg(value_name = "RULES")]
    pub(crate) rules: Option<PathBuf>,
    /// From when: -7d, RFC 3339 or Unix seconds.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) from: Moment,
    /// To when [default: now].
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) to: Option<Moment>,
    /// Try other values, each with all others: threshold=0.8|0.9,for=1m|5m. A threshold is one rule's; where more
    /// than one has a threshold, and for the time of one: RULE:threshold=0.8|0.9,RULE:for=5m
    #[arg(long, value_parser = sweep, value_name = "WHAT=VALUES")]
    pub(crate) sweep: Option<Sweep>,
    /// List every transition.
    #[arg(long)]
    pub(crate) transitions: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Values to try, by what they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sweep(pub(crate) Vec<(String, Vec<String>)>);

/// Reads `threshold=0.8|0.9,for=1m|5m`.
fn sweep(text: &str) -> Result<Sweep, String> {
    let parts = text.split(',').map(|part| {
        let (what, values) = part
            .split_once('=')
            .ok_or_else(|| format!("{part:?} is no WHAT=VALUE|VALUE"))?;
        let thing = what.rsplit_once(':').map_or(what, |(_, thing)| thing);
        if !matches!(thing, "threshold" | "for") {
            return Err(format!("{what:?} cannot be tried: threshold and for can"));
        }
        Ok((
            what.to_owned(),
            values.split('|').map(str::to_owned).collect(),
        ))
    });
    Ok(Sweep(parts.collect::<Result<_, String>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_are_read() {
        let Sweep(read) = sweep("threshold=0.8|0.9,for=1m").unwrap();
        assert_eq!(read[0].1, ["0.8", "0.9"]);
        assert_eq!(read[1], ("for".to_owned(), vec!["1m".to_owned()]));
        let Sweep(read) = sweep("Cpu:High:threshold=1|2").unwrap();
        assert_eq!(read[0].0, "Cpu:High:threshold");
        assert!(
            sweep("threshold:Hot=1")
                .unwrap_err()
                .contains("cannot be tried")
        );
        assert!(sweep("size=1").unwrap_err().contains("cannot be tried"));
        assert!(sweep("for").unwrap_err().contains("WHAT=VALUE"));
    }
}
