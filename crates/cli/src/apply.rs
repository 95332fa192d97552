//! `vedette apply` and `vedette backtest`: what talks to the coordinator about rules and documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use wire::proto;

use crate::args::ListFormat;
use crate::args::alerting::{ApplyArgs, BacktestArgs, Sweep};
use crate::client::Coordinator;
use crate::output;
use crate::times::{now_millis, show_length};

/// Largest file that is sent.
const FILE_BYTES_MAX: u64 = 3 << 20;

fn read(path: &Path) -> anyhow::Result<String> {
    let about = || format!("reading {}", path.display());
    let length = std::fs::metadata(path).with_context(about)?.len();
    if length > FILE_BYTES_MAX {
        bail!("{} has more than 3 MiB", path.display());
    }
    std::fs::read_to_string(path).with_context(about)
}

fn documents(paths: &[PathBuf]) -> anyhow::Result<Vec<proto::SpecificationDocument>> {
    let documents = paths.iter().map(|path| {
        Ok(proto::SpecificationDocument {
            name: path.display().to_string(),
            text: read(path)?,
        })
    });
    documents.collect()
}

/// `apply`. The code is 1 when something of the documents is not in force.
pub(crate) async fn apply(at: &Coordinator, args: ApplyArgs) -> anyhow::Result<ExitCode> {
    if args.show {
        let request = at.request(proto::GetSpecificationRequest {});
        let mut client = at.alerts();
        let applied = at
            .ask(client.get_specification(request))
            .await?
            .into_inner();
        for document in applied.documents {
            output::print(&format!(
                "# {}\n{}\n",
                document.name,
                document.text.trim_end()
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut client = at.duty();
    let request = at.request(proto::ApplySpecificationRequest {
        documents: documents(&args.files)?,
        dry_run: args.dry_run,
        allow_missing: args.allow_missing,
    });
    let applied = at
        .ask(client.apply_specification(request))
        .await?
        .into_inner();
    output::print(&applied_text(&applied, args.dry_run))?;
    let whole = applied.not_built.is_empty() && applied.missing.is_empty();
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn applied_text(applied: &proto::ApplySpecificationResponse, dry_run: bool) -> String {
    let mut text = format!(
        "{} settings {} in force, {} rules\n",
        applied.in_force,
        if dry_run { "would be" } else { "are" },
        applied.rules
    );
    for (what, list) in [
        ("not built yet", &applied.not_built),
        (
            "missing in the coordinator's configuration",
            &applied.missing,
        ),
    ] {
        if list.is_empty() {
            continue;
        }
        text.push_str(&format!("{what}:\n"));
        for line in list {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// `backtest`
pub(crate) async fn backtest(at: &Coordinator, args: BacktestArgs) -> anyhow::Result<()> {
    let rules = match &args.rules {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let now = now_millis();
    let sweeps = args.sweep.iter().flat_map(|Sweep(sweeps)| sweeps);
    let mut client = at.alerts();
    let request = at.request(proto::BacktestRequest {
        rules,
        start_millis: args.from.resolve(now),
        end_millis: args.to.map_or(now, |to| to.resolve(now)),
        sweeps: sweeps
            .map(|(what, values)| proto::BacktestSweep {
                what: what.clone(),
                values: values.clone(),
            })
            .collect(),
        transitions: args.transitions,
    });
    let answer = at.ask(client.backtest(request)).await?.into_inner();
    output::print(&match args.format {
        ListFormat::Table => backtest_text(&answer, args.transitions),
        ListFormat::Json => serde_json::to_string_pretty(&backtest_json(&answer))? + "\n",
    })?;
    Ok(())
}

fn known(part: f64) -> Option<f64> {
    (part >= 0.0).then_some(part)
}

fn values(values: &BTreeMap<String, String>) -> String {
    if values.is_empty() {
        return "as they are".to_owned();
    }
    let values: Vec<String> = values
        .iter()
        .map(|(what, value)| format!("{what}={value}"))
        .collect();
    values.join(" ")
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a length of time in milliseconds"
)]
fn backtest_text(answer: &proto::BacktestResponse, transitions: bool) -> String {
    let mut text = String::new();
    if transitions {
        for run in &answer.runs {
            if answer.runs.len() > 1 {
                text.push_str(&format!("# {}\n", values(&run.values)));
            }
            for line in &run.transitions {
                text.push_str(line);
                text.push('\n');
            }
            if run.transitions_left_out > 0 {
                let more = run.transitions_left_out;
                text.push_str(&format!("# {more} more transitions are not listed\n"));
            }
        }
    } else {
        let mut table = output::table(&[
            "RULES",
            ">FIRINGS",
            ">FIRING FOR",
            ">INCIDENTS",
            ">TOLD",
            ">PRECISION",
            ">RECALL",
            ">FAILED",
            ">HELD",
        ]);
        let percent = |part: f64| known(part).map(|part| format!("{:.0}%", part * 100.0));
        for run in &answer.runs {
            table.add_row([
                values(&run.values),
                run.firings.to_string(),
                show_length((run.firing_seconds * 1000.0) as i64),
                run.incidents.to_string(),
                run.notifications.to_string(),
                output::or_nothing(percent(run.precision)),
                output::or_nothing(percent(run.recall)),
                run.failures.to_string(),
                run.held.to_string(),
            ]);
        }
        text.push_str(&output::table_text(&table));
    }
    let mut told: Vec<&String> = Vec::new();
    for trouble in answer.runs.iter().flat_map(|run| &run.troubles) {
        // Other values fail in the same way.
        if !told.contains(&trouble) {
            text.push_str(&format!("{trouble}\n"));
            told.push(trouble);
        }
    }
    for missing in &answer.missing {
        text.push_str(&format!("missing: {missing}\n"));
    }
    text
}

fn backtest_json(answer: &proto::BacktestResponse) -> Value {
    let runs = answer.runs.iter().map(|run| {
        json!({
            "values": run.values,
            "transitions": run.transitions,
            "firings": run.firings,
            "firing_seconds": run.firing_seconds,
            "incidents": run.incidents,
            "notifications": run.notifications,
            "precision": known(run.precision),
            "recall": known(run.recall),
            "failures": run.failures,
            "held": run.held,
            "troubles": run.troubles,
            "transitions_left_out": run.transitions_left_out,
        })
    });
    json!({"runs": runs.collect::<Value>(), "missing": answer.missing})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_is_a_table_and_what_is_missing_is_said() {
        let run = |value: &str, firings, precision| proto::BacktestRun {
            values: [("threshold".to_owned(), value.to_owned())].into(),
            firings,
            incidents: 1,
            notifications: 5,
            firing_seconds: 90.0,
            precision,
            recall: -1.0,
            held: 7,
            troubles: vec!["from a on: g/R held: 2 alerts have no data".to_owned()],
            ..proto::BacktestRun::default()
        };
        let answer = proto::BacktestResponse {
            runs: vec![run("0.8", 12, 0.5), run("0.9", 2, -1.0)],
            missing: vec!["node-1: from a to b was lost: spool_full".to_owned()],
        };
        expect_test::expect![[r"
            RULES          FIRINGS  FIRING FOR  INCIDENTS  TOLD  PRECISION  RECALL  FAILED  HELD
            threshold=0.8       12       1m30s          1     5        50%       -       0     7
            threshold=0.9        2       1m30s          1     5          -       -       0     7
            from a on: g/R held: 2 alerts have no data
            missing: node-1: from a to b was lost: spool_full
        "]]
        .assert_eq(&backtest_text(&answer, false));
    }

    #[test]
    fn what_is_not_in_force_is_said_with_the_reason() {
        let applied = proto::ApplySpecificationResponse {
            in_force: 3,
            not_built: vec!["dashboards.x: pages".to_owned()],
            rules: 2,
            missing: Vec::new(),
        };
        expect_test::expect![[r"
            3 settings would be in force, 2 rules
            not built yet:
              dashboards.x: pages
        "]]
        .assert_eq(&applied_text(&applied, true));
    }
}
