//! `vedette gaps`: which minutes of a node are known, which are lost, and of which nothing is known.

use serde_json::{Value, json};
use wire::proto::{
    DeclaredLoss, GetCoverageRequest, GetCoverageResponse, Knowledge, SequenceRange, Stretch,
};

use crate::args::{GapsArgs, ListFormat};
use crate::client::Coordinator;
use crate::output::{self, or_nothing};
use crate::times::{self, now_millis, show_length, show_time};

/// Prints the minutes of a node.
pub(crate) async fn run(coordinator: &Coordinator, args: &GapsArgs) -> anyhow::Result<()> {
    let now = now_millis();
    let mut client = coordinator.fleet();
    let request = coordinator.request(GetCoverageRequest {
        agent_id: args.node.clone(),
        start_millis: args.start.resolve(now),
        end_millis: args.end.resolve(now),
    });
    let answer = coordinator.ask(client.get_coverage(request)).await?;
    let coverage = answer.into_inner();
    output::print(&match args.format {
        ListFormat::Table => text(&coverage),
        ListFormat::Json => serde_json::to_string_pretty(&value(&coverage))? + "\n",
    })?;
    Ok(())
}

fn state(stretch: &Stretch) -> &'static str {
    match stretch.knowledge() {
        Knowledge::Known => "known",
        Knowledge::Unknown => "unknown",
        Knowledge::Lost => "lost",
        Knowledge::Thinned => "thinned",
        Knowledge::Unspecified => "?",
    }
}

/// What a person is told of a loss's reason.
fn why(reason: &str) -> &str {
    match reason {
        "full" => "the spool was full and dropped its oldest",
        "damaged" => "the spool's bytes could not be read; they were set aside",
        "missing" => "a file of the spool was not there",
        "unwritten" => "the node's disk took nothing for too long",
        "thinned" => "the spool was full; about a sample a minute is here",
        "undecodable" => "the spool held what is no batch",
        "refused" => "the coordinator refused it",
        "refused_part" => "the coordinator refused a part of it",
        "series_refused" => "the coordinator had no room for some of its series",
        "future" => "the coordinator left out samples of a time that had not come",
        "forgotten" => "the coordinator's store is older than what it had acknowledged",
        other => other,
    }
}

fn count(ranges: &[SequenceRange]) -> u64 {
    let counts = ranges.iter();
    counts
        .map(|range| range.last.saturating_sub(range.first).saturating_add(1))
        .fold(0, u64::saturating_add)
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "batch" } else { "batches" }
}

fn text(coverage: &GetCoverageResponse) -> String {
    let mut table = output::table(&["FROM (UTC)", "TO (UTC)", ">LENGTH", "STATE", "WHY"]);
    for stretch in &coverage.stretches {
        table.add_row([
            show_time(stretch.start_millis),
            show_time(stretch.end_millis),
            show_length(stretch.end_millis.saturating_sub(stretch.start_millis)),
            state(stretch).to_owned(),
            why(&stretch.reason).to_owned(),
        ]);
    }
    let mut text = output::table_text(&table);
    let missing = count(&coverage.missing);
    if missing > 0 {
        text += &format!(
            "\n{missing} {} of this node may still come: later ones are here\n",
            plural(missing)
        );
    }
    if !coverage.losses.is_empty() {
        text += "\nlost for good, of whatever time:\n";
        text += &losses_text(&coverage.losses);
    }
    text
}

fn losses_text(losses: &[DeclaredLoss]) -> String {
    let mut table = output::table(&[">BATCHES", "FROM (UTC)", "TO (UTC)", "SAID (UTC)", "WHY"]);
    for loss in losses {
        let time = |millis: i64| or_nothing((millis != 0).then(|| show_time(millis)));
        table.add_row([
            count(loss.sequences.as_slice()).to_string(),
            time(loss.first_millis),
            time(loss.last_millis),
            time(loss.declared_millis),
            why(&loss.reason).to_owned(),
        ]);
    }
    output::table_text(&table)
}

fn value(coverage: &GetCoverageResponse) -> Value {
    let stretches = coverage.stretches.iter().map(|stretch| {
        json!({
            "from": times::rfc3339(stretch.start_millis),
            "to": times::rfc3339(stretch.end_millis),
            "state": state(stretch),
            "reason": Some(&stretch.reason).filter(|reason| !reason.is_empty()),
        })
    });
    let time = |millis: i64| (millis != 0).then(|| times::rfc3339(millis));
    let losses = coverage.losses.iter().map(|loss| {
        json!({
            "epoch": loss.epoch,
            "first_sequence": loss.sequences.map(|range| range.first),
            "last_sequence": loss.sequences.map(|range| range.last),
            "from": time(loss.first_millis),
            "to": time(loss.last_millis),
            "declared": time(loss.declared_millis),
            "reason": loss.reason,
        })
    });
    let missing = coverage.missing.iter();
    let missing = missing.map(|range| json!({"first": range.first, "last": range.last}));
    json!({
        "minutes": stretches.collect::<Value>(),
        "missing": missing.collect::<Value>(),
        "losses": losses.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const START: i64 = 1_700_000_040_000;

    fn coverage() -> GetCoverageResponse {
        let stretch = |from: i64, to: i64, knowledge: Knowledge, reason: &str| Stretch {
            start_millis: START + from * 60_000,
            end_millis: START + to * 60_000,
            knowledge: knowledge.into(),
            reason: reason.to_owned(),
        };
        let range = |first, last| SequenceRange { first, last };
        GetCoverageResponse {
            stretches: vec![
                stretch(0, 40, Knowledge::Known, ""),
                stretch(40, 45, Knowledge::Lost, "full"),
                stretch(45, 60, Knowledge::Unknown, ""),
            ],
            missing: vec![range(50, 55), range(57, 57)],
            losses: vec![
                DeclaredLoss {
                    epoch: 7,
                    sequences: Some(range(41, 45)),
                    reason: "full".to_owned(),
                    first_millis: START + 40 * 60_000,
                    last_millis: START + 45 * 60_000 - 1,
                    declared_millis: START + 46 * 60_000,
                },
                DeclaredLoss {
                    sequences: Some(range(9, 9)),
                    reason: "damaged".to_owned(),
                    ..DeclaredLoss::default()
                },
            ],
        }
    }

    #[test]
    fn each_stretch_has_its_state_and_each_loss_its_reason() {
        expect![[r#"
            FROM (UTC)           TO (UTC)             LENGTH  STATE    WHY
            2023-11-14 22:14:00  2023-11-14 22:54:00  40m00s  known
            2023-11-14 22:54:00  2023-11-14 22:59:00   5m00s  lost     the spool was full and dropped its oldest
            2023-11-14 22:59:00  2023-11-14 23:14:00  15m00s  unknown

            7 batches of this node may still come: later ones are here

            lost for good, of whatever time:
            BATCHES  FROM (UTC)           TO (UTC)             SAID (UTC)           WHY
                  5  2023-11-14 22:54:00  2023-11-14 22:58:59  2023-11-14 23:00:00  the spool was full and dropped its oldest
                  1  -                    -                    -                    the spool's bytes could not be read; they were set aside
        "#]].assert_eq(&text(&coverage()));
    }

    #[test]
    fn for_programs_what_is_not_known_is_null() {
        let value = value(&coverage());
        assert_eq!(value["minutes"][1]["reason"], "full");
        assert_eq!(value["minutes"][0]["reason"], Value::Null);
        assert_eq!(value["losses"][1]["from"], Value::Null);
        assert_eq!(value["missing"][0]["last"], 55);
    }
}
