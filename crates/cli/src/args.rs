//! The command line.

pub(crate) mod alerting;
pub(crate) mod authority;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::times::{self, Moment};
use crate::watch::Sort;
use alerting::{
    AckArgs, AlertsArgs, ApplyArgs, BacktestArgs, IncidentCommand, IncidentsArgs, NoteArgs,
    NotifyCommand, RulesArgs, SilenceCommand, VerdictArgs,
};
pub(crate) use authority::{CaCommand, CertificateRole};

const EXAMPLES: &str = "\
Examples:
  vedette demo                                   a whole fleet on this machine, to look around
  vedette top                                    the fleet, live
  vedette nodes                                  who is there, and how fresh their data is
  vedette query 'sum(vllm:num_requests_running)'
  vedette query --start -1h 'rate(node_cpu_seconds_total{mode=\"idle\"}[5m])'
  vedette query --format json --time 2026-01-31T12:00:00Z up
  vedette ca init && vedette ca issue node-1     certificates for agents and their coordinator
  vedette incidents                              what is wrong, and who sees to it
  vedette ack abcd-7 --for 30m                   I see to it
  vedette token join node-1                      what lets a new agent in, once
  vedette gaps --start -1d node-1                which minutes of a node are there, and why not
  vedette test rules rules_test.yml              unit tests of rules, in promtool's form
  vedette doctor                                 what is wrong, and how to mend it
  vedette explain monitoring.yaml                what each setting of a document does
  source <(vedette completions bash)

Exit codes: 0 done, 1 failed, 2 the command line is wrong.";

const EXPLAIN_CODES: &str = "\
Exit codes: 0 every setting is in force, 1 some are refused as not built, 2 something is wrong with
the documents.";

/// Looks into a fleet that Vedette watches.
#[derive(Debug, Parser)]
#[command(name = "vedette", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the coordinator is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Connection {
    /// The coordinator's gRPC address.
    #[arg(
        long,
        global = true,
        env = "VEDETTE_COORDINATOR",
        default_value = "http://127.0.0.1:7700",
        value_name = "URL"
    )]
    pub(crate) coordinator: String,
    /// Authority that has signed the coordinator's certificate, in PEM; https needs it.
    #[arg(long, global = true, env = "VEDETTE_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Certificate to show, in PEM.
    #[arg(long, global = true, env = "VEDETTE_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Key of the certificate.
    #[arg(long, global = true, env = "VEDETTE_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// File that holds the bearer token to show; VEDETTE_TOKEN may hold the token itself.
    #[arg(long, global = true, env = "VEDETTE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long to wait for an answer.
    #[arg(
        long,
        global = true,
        default_value = "30s",
        value_name = "DURATION",
        value_parser = times::positive_duration
    )]
    pub(crate) timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask in PromQL: at one instant, or over a range with --start
    Query(QueryArgs),
    /// List the nodes, and how fresh their data is
    Nodes {
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
    /// List what happened on the nodes, newest first
    Events(EventsArgs),
    /// Say which minutes of a node are known, which are lost and why
    Gaps(GapsArgs),
    /// List what was done and what was refused, by whom, newest first
    Audit(AuditArgs),
    /// List the alerts that fire
    Alerts(AlertsArgs),
    /// List the incidents that are not over, or show one
    Incidents(IncidentsArgs),
    /// Put documents of the specification to work
    Apply(ApplyArgs),
    /// Say what rules would have found in the past, and whom it would have been told
    Backtest(BacktestArgs),
    /// List the rules in force, and how good they were
    Rules(RulesArgs),
    /// Say that you see to an incident: nobody else is told meanwhile
    Ack(AckArgs),
    /// End an incident, whatever fires
    Resolve(NoteArgs),
    /// Say what an incident was in the end
    Verdict(VerdictArgs),
    /// Assign, reopen, escalate, merge or split an incident
    #[command(subcommand)]
    Incident(IncidentCommand),
    /// Tell nobody of some alerts for a time
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Try whether someone can be reached
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Make an authority of your own, and certificates for the coordinator and its callers
    #[command(subcommand)]
    Ca(CaCommand),
    /// Make one-time tokens that let agents in
    #[command(subcommand)]
    Token(TokenCommand),
    /// Say what the coordinator holds and how fast it grows
    Summary {
        /// How to print it.
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
    /// Watch the fleet live
    Top(TopArgs),
    /// Say what is wrong, and how to mend it
    Doctor(DoctorArgs),
    /// Say of each setting of monitoring documents what it does; nothing is asked of a coordinator
    #[command(after_help = EXPLAIN_CODES)]
    Explain(ExplainArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Check files before they are used
    #[command(subcommand)]
    Check(CheckCommand),
    /// Run the unit tests of rules
    #[command(subcommand)]
    Test(TestCommand),
    /// Run a coordinator, nine agents and eight simulated servers here, and watch them
    Demo(DemoArgs),
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// For people
    #[default]
    Table,
    /// The `data` of Prometheus' HTTP API
    Json,
    /// One line for each sample, with a header
    Csv,
}

/// How to print a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// What is checked.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Rule files, in Prometheus' form and with what Vedette adds to it
    Rules {
        /// The files; what depends on each other is given together.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// What is tested.
#[derive(Debug, Subcommand)]
pub(crate) enum TestCommand {
    /// Rules, by files of promtool's form
    Rules(TestRulesArgs),
}

/// Arguments of `test rules`.
#[derive(Debug, clap::Args)]
pub(crate) struct TestRulesArgs {
    /// The files of tests.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print what differs as one list: - is missing, + is too much.
    #[arg(long)]
    pub(crate) diff: bool,
    /// Also write what came of it to this file, in JUnit's XML.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Only tests with this text in their name.
    #[arg(long, value_name = "TEXT")]
    pub(crate) run: Option<String>,
}

/// Which token is wanted.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that brings an agent its first certificate, once. Needs the role admin
    Join {
        /// The node, by the id of its agent.
        #[arg(required_unless_present = "any", conflicts_with = "any")]
        node: Option<String>,
        /// Good for any node that is not known yet.
        #[arg(long)]
        any: bool,
        /// How long it is good, 30 days at most.
        #[arg(long, default_value = "1h", value_name = "DURATION", value_parser = times::positive_duration)]
        ttl: Duration,
    },
}

/// Arguments of `audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    /// Only entries since: -1h, RFC 3339 or Unix seconds.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// Only entries before.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
    /// Only of this caller.
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Only of actions that begin so, such as silence or certificate.
    #[arg(long, value_name = "BEGINNING")]
    pub(crate) action: Option<String>,
    /// Only what was done, or what was refused.
    #[arg(long, value_parser = ["done", "refused"])]
    pub(crate) outcome: Option<String>,
    /// At most so many, the newest.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
pub(crate) struct QueryArgs {
    /// The expression, in PromQL.
    pub(crate) expression: String,
    /// The instant: now, -1h, RFC 3339 or Unix seconds.
    #[arg(
        long,
        value_parser = times::moment,
        allow_hyphen_values = true,
        conflicts_with_all = ["start", "end", "step"]
    )]
    pub(crate) time: Option<Moment>,
    /// Ask over a range that begins here.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true)]
    pub(crate) start: Option<Moment>,
    /// The end of the range, inside it [default: now].
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, requires = "start")]
    pub(crate) end: Option<Moment>,
    /// Time between two values of the range [default: about 120 of them].
    #[arg(long, value_parser = times::step, requires = "start", value_name = "DURATION")]
    pub(crate) step: Option<Duration>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: AnswerFormat,
    /// Print how the answer came about, and not the answer: its parts, what was read, how long it took.
    #[arg(long, conflicts_with = "format")]
    pub(crate) explain: bool,
}

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArgs {
    /// Only events of this agent.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(crate) agent: String,
    /// Only events from here on: -1h, RFC 3339 or Unix seconds.
    #[arg(long, value_parser = times::moment, allow_hyphen_values = true, value_name = "TIME")]
    pub(crate) since: Option<Moment>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// How to print them.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Arguments of `gaps`.
#[derive(Debug, clap::Args)]
pub(crate) struct GapsArgs {
    /// The node, by the id of its agent.
    pub(crate) node: String,
    /// From this minute on: -1h, RFC 3339 or Unix seconds.
    #[arg(
        long,
        value_parser = times::moment,
        allow_hyphen_values = true,
        default_value = "-1h",
        value_name = "TIME"
    )]
    pub(crate) start: Moment,
    /// To this minute, inside.
    #[arg(
        long,
        value_parser = times::moment,
        allow_hyphen_values = true,
        default_value = "now",
        value_name = "TIME"
    )]
    pub(crate) end: Moment,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// Arguments of `top`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Time between two looks.
    #[arg(long, default_value = "1s", value_parser = times::positive_duration)]
    pub(crate) interval: Duration,
    /// End after so many looks; without a terminal, each is printed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) iterations: Option<u64>,
    /// What to sort by.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: Sort,
}

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// An agent's state directory to look at.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// A coordinator's data directory to look at.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// A configuration file of the agent or the coordinator to check; may be given again.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
    /// How to print the findings.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

/// How to explain documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For people
    #[default]
    Table,
    /// The whole plan, for programs
    Json,
    /// The rules, as a Prometheus rule file with keys of our own besides
    Rules,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// Files with documents, YAML or JSON, one document or several each. They are read together.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// A file with `bindings:`, which say what names of metrics stand for.
    #[arg(long, value_name = "FILE")]
    pub(crate) bindings: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExplainFormat,
}

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// End after so many seconds; without it, Ctrl-C ends the demo.
    #[arg(
        long,
        env = "DEMO_SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(crate) seconds: Option<u64>,
    /// How many simulated servers, each with an agent.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) nodes: u16,
    /// Keep everything in this directory, which must be empty or not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// End as soon as every node has sent samples and the questions have answers.
    #[arg(long)]
    pub(crate) once: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once(&"vedette").chain(words))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_with_a_hyphen_are_values() {
        let args = parse(&[
            "query", "--start", "-1h", "--end", "now", "--step", "15", "up",
        ]);
        let Command::Query(query) = args.unwrap().command else {
            panic!("not a query");
        };
        assert_eq!(query.start, Some(Moment::FromNow(-3_600_000)));
        assert_eq!(query.step, Some(Duration::from_secs(15)));
        assert_eq!(query.format, AnswerFormat::Table);
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for words in [
            ["--timeout", "5s", "nodes", "--format", "json"],
            ["nodes", "--format", "json", "--timeout", "5s"],
        ] {
            let args = parse(&words).unwrap();
            assert_eq!(args.connection.timeout, Duration::from_secs(5));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_usage() {
        for words in [
            &["query"][..],
            &["query", "--time", "now", "--start", "-1h", "up"],
            &["query", "--end", "now", "up"],
            &["query", "--step", "0", "--start", "-1h", "up"],
            &["query", "--time", "yesterday", "up"],
            &["top", "--iterations", "0"],
            &["top", "--interval", "0s"],
            &["demo", "--nodes", "0"],
            &["explain"],
            &["token", "join"],
            &["token", "join", "node-1", "--any"],
            &["--timeout", "30", "nodes"],
            &["nonsense"],
            &[],
        ] {
            let error = parse(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
