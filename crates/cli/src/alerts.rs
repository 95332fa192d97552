//! `vedette alerts`, `vedette incidents`, `vedette rules` and the list of silences.

mod json;

use wire::proto;

use crate::args::ListFormat;
use crate::args::alerting::{AlertsArgs, IncidentsArgs, RulesArgs};
use crate::client::Coordinator;
use crate::output::{self, NOTHING};
use crate::times::{now_millis, show_length, show_time};

fn pretty(value: &serde_json::Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// One line, or a dash where there is nothing to say.
fn line(text: &str) -> String {
    match text {
        "" => NOTHING.to_owned(),
        text => text.replace(['\n', '\r', '\t'], " "),
    }
}

fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let mut pairs: Vec<String> = labels
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "alertname" | "severity" | "level"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.sort();
    line(&pairs.join(","))
}

/// How long ago, or how long.
fn length(millis: i64) -> String {
    show_length(millis.max(0))
}

/// Prints the alerts.
pub(crate) async fn alerts(at: &Coordinator, args: AlertsArgs) -> anyhow::Result<()> {
    let mut client = at.alerts();
    let request = at.request(proto::ListAlertsRequest {
        incident: args.incident,
        limit: args.limit,
    });
    let answer = at.ask(client.list_alerts(request)).await?.into_inner();
    output::print(&match args.format {
        ListFormat::Table => {
            let mut text = alerts_table(&answer.alerts, now_millis());
            let shown = answer.alerts.len() as u64;
            if shown < answer.total {
                text.push_str(&format!("{} more; raise --limit\n", answer.total - shown));
            }
            text
        }
        ListFormat::Json => pretty(&answer.alerts.iter().map(json::alert).collect())?,
    })?;
    Ok(())
}

fn alerts_table(alerts: &[proto::Alert], now: i64) -> String {
    if alerts.is_empty() {
        return "nothing fires\n".to_owned();
    }
    let mut table = output::table(&[
        "ALERT",
        "LEVEL",
        "STATE",
        ">FOR",
        "INCIDENT",
        "HELD",
        "LABELS",
        "FINGERPRINT",
    ]);
    for alert in alerts {
        let state = match (alert.firing, alert.flapping) {
            (true, false) => "firing",
            (true, true) => "flapping",
            (false, _) => "over",
        };
        let end = if alert.firing { now } else { alert.ends_millis };
        table.add_row([
            line(alert.labels.get("alertname").map_or("", String::as_str)),
            alert.level.clone(),
            state.to_owned(),
            length(end - alert.starts_millis),
            line(&alert.incident),
            line(&alert.held),
            labels(&alert.labels),
            alert.fingerprint.clone(),
        ]);
    }
    output::table_text(&table)
}

/// Prints incidents, or one of them.
pub(crate) async fn incidents(at: &Coordinator, args: IncidentsArgs) -> anyhow::Result<()> {
    if let Some(id) = args.id {
        return incident(at, id, args.format).await;
    }
    if args.watch {
        return watch(at, args.format).await;
    }
    let mut client = at.alerts();
    let request = at.request(proto::ListIncidentsRequest {
        all: args.all,
        since_millis: args.since.map_or(0, |since| since.resolve(now_millis())),
        limit: args.limit,
    });
    let answer = at.ask(client.list_incidents(request)).await?;
    let incidents = answer.into_inner().incidents;
    output::print(&match args.format {
        ListFormat::Table if incidents.is_empty() => "no incident is open\n".to_owned(),
        ListFormat::Table => incidents_table(&incidents, now_millis()),
        ListFormat::Json => pretty(&incidents.iter().map(json::incident).collect())?,
    })?;
    Ok(())
}

/// Where an incident is, in a few words.
fn standing(incident: &proto::Incident, now: i64) -> String {
    match incident.standing.as_str() {
        "acknowledged" => format!("acknowledged by {}", incident.acknowledged_by),
        "resolved" if !incident.verdict.is_empty() => format!("resolved, {}", incident.verdict),
        "open" if incident.escalates_millis > now && incident.rungs > 0 => {
            format!(
                "open, escalates in {}",
                length(incident.escalates_millis - now)
            )
        }
        "open" if incident.overdue => "open, overdue".to_owned(),
        standing => standing.to_owned(),
    }
}

fn incidents_table(incidents: &[proto::Incident], now: i64) -> String {
    let mut table = output::table(&[
        "INCIDENT", "LEVEL", "STANDING", ">AGE", ">FIRING", ">ALERTS", "TITLE",
    ]);
    for incident in incidents {
        let end = match incident.resolved_millis {
            0 => now,
            end => end,
        };
        table.add_row([
            incident.id.clone(),
            incident.level.clone(),
            standing(incident, now),
            length(end - incident.opened_millis),
            incident.alerts_firing.to_string(),
            incident.alerts_total.to_string(),
            line(&incident.title),
        ]);
    }
    output::table_text(&table)
}

async fn incident(at: &Coordinator, id: String, format: ListFormat) -> anyhow::Result<()> {
    let mut client = at.alerts();
    let request = at.request(proto::GetIncidentRequest { id });
    let answer = at.ask(client.get_incident(request)).await?.into_inner();
    output::print(&match format {
        ListFormat::Table => incident_page(&answer, now_millis()),
        ListFormat::Json => pretty(&json::whole_incident(&answer))?,
    })?;
    Ok(())
}

fn incident_page(answer: &proto::GetIncidentResponse, now: i64) -> String {
    let mut text = String::new();
    if let Some(incident) = &answer.incident {
        text.push_str(&incidents_table(std::slice::from_ref(incident), now));
        for (what, who) in [
            ("assigned to", &incident.assignee),
            ("part of", &incident.merged_into),
        ] {
            if !who.is_empty() {
                text.push_str(&format!("{what} {who}\n"));
            }
        }
    }
    text.push_str("\nAlerts\n");
    text.push_str(&alerts_table(&answer.alerts, now));
    let why = answer
        .alerts
        .iter()
        .filter(|alert| !alert.joined_by.is_empty());
    for alert in why.take(20) {
        let name = alert.labels.get("alertname").map_or("", String::as_str);
        text.push_str(&format!(
            "{name} {} joined by {}\n",
            alert.fingerprint, alert.joined_by
        ));
    }
    text.push_str("\nTold\n");
    text.push_str(&notifications_table(&answer.notifications));
    text.push_str("\nHistory\n");
    for entry in &answer.timeline {
        text.push_str(&format!(
            "{}  {}\n",
            show_time(entry.at_millis),
            line(&entry.what)
        ));
    }
    text
}

fn notifications_table(notifications: &[proto::Notification]) -> String {
    if notifications.is_empty() {
        return "nobody\n".to_owned();
    }
    let mut table = output::table(&[
        "TIME (UTC)",
        "KIND",
        "CHANNEL",
        "ADDRESS",
        "STATUS",
        ">TRIES",
        "DETAIL",
    ]);
    for it in notifications {
        let detail = if it.reason.is_empty() {
            &it.provider_id
        } else {
            &it.reason
        };
        table.add_row([
            show_time(it.queued_millis),
            it.kind.clone(),
            it.channel.clone(),
            it.address.clone(),
            it.status.clone(),
            it.attempts.to_string(),
            line(detail),
        ]);
    }
    output::table_text(&table)
}

/// Prints incidents as things happen to them, until it is interrupted.
async fn watch(at: &Coordinator, format: ListFormat) -> anyhow::Result<()> {
    let mut client = at.alerts();
    let watching = client.watch_incidents(proto::WatchIncidentsRequest {});
    let mut watching = at.ask(watching).await?.into_inner();
    while let Some(said) = at.hear(watching.message()).await? {
        let Some(incident) = said.incident else {
            continue;
        };
        output::print(&match format {
            ListFormat::Table => {
                let now = now_millis();
                format!(
                    "{}  {}  {}  {}  {} firing  {}\n",
                    show_time(now),
                    incident.id,
                    incident.level,
                    standing(&incident, now),
                    incident.alerts_firing,
                    line(&incident.title)
                )
            }
            ListFormat::Json => json::incident(&incident).to_string() + "\n",
        })?;
    }
    Ok(())
}

/// Prints the silences.
pub(crate) async fn silences(at: &Coordinator, format: ListFormat) -> anyhow::Result<()> {
    let mut client = at.alerts();
    let request = at.request(proto::ListSilencesRequest {});
    let silences = at.ask(client.list_silences(request)).await?;
    let silences = silences.into_inner().silences;
    output::print(&match format {
        ListFormat::Table => silences_table(&silences),
        ListFormat::Json => pretty(&silences.iter().map(json::silence).collect())?,
    })?;
    Ok(())
}

fn silences_table(silences: &[proto::Silence]) -> String {
    if silences.is_empty() {
        return "nothing is silenced\n".to_owned();
    }
    let mut table = output::table(&[
        "SILENCE",
        "FROM (UTC)",
        "TO (UTC)",
        "KIND",
        "BY",
        "ALERTS",
        "WHY",
    ]);
    for it in silences {
        let kind = if it.maintenance {
            "maintenance"
        } else {
            "silence"
        };
        table.add_row([
            it.id.clone(),
            show_time(it.starts_millis),
            show_time(it.ends_millis),
            kind.to_owned(),
            line(&it.by),
            line(&it.conditions.join(" ")),
            line(&it.comment),
        ]);
    }
    output::table_text(&table)
}

/// Prints the rules.
pub(crate) async fn rules(at: &Coordinator, args: RulesArgs) -> anyhow::Result<()> {
    let mut client = at.alerts();
    if args.record {
        let request = at.request(proto::ListRecordsRequest {
            since_millis: args.since.map_or(0, |since| since.resolve(now_millis())),
        });
        let records = at.ask(client.list_records(request)).await?;
        let records = records.into_inner().records;
        output::print(&match args.format {
            ListFormat::Table => records_table(&records),
            ListFormat::Json => pretty(&records.iter().map(json::record).collect())?,
        })?;
        return Ok(());
    }
    let request = at.request(proto::ListRulesRequest {});
    let groups = at
        .ask(client.list_rules(request))
        .await?
        .into_inner()
        .groups;
    output::print(&match args.format {
        ListFormat::Table => rules_table(&groups),
        ListFormat::Json => pretty(&groups.iter().map(json::group).collect())?,
    })?;
    Ok(())
}

fn rules_table(groups: &[proto::RuleGroup]) -> String {
    if groups.is_empty() {
        return "no rule is in force\n".to_owned();
    }
    let mut table = output::table(&[
        "GROUP",
        "RULE",
        "LEVEL",
        "HEALTH",
        ">PENDING",
        ">FIRING",
        ">AGENTS",
        "EXPRESSION",
    ]);
    for group in groups {
        for rule in &group.rules {
            let health = match rule.error.as_str() {
                "" => rule.health.clone(),
                error => format!("{}: {error}", rule.health),
            };
            // For the series of other nodes the coordinator evaluates it.
            let agents = if rule.edge {
                rule.agents.to_string()
            } else {
                NOTHING.to_owned()
            };
            table.add_row([
                line(&group.name),
                line(&rule.name),
                line(&rule.level),
                line(&health),
                rule.pending.to_string(),
                rule.firing.to_string(),
                agents,
                line(&rule.expression),
            ]);
        }
    }
    output::table_text(&table)
}

/// The part of the judged incidents in which something was wrong, in percent.
fn precision(record: &proto::RuleRecord) -> Option<f64> {
    let judged = record.verdicts_true + record.verdicts_false;
    (judged > 0).then(|| 100.0 * record.verdicts_true as f64 / judged as f64)
}

fn records_table(records: &[proto::RuleRecord]) -> String {
    if records.is_empty() {
        return "no incident is known\n".to_owned();
    }
    let mut table = output::table(&[
        "RULE",
        ">INCIDENTS",
        ">TOLD",
        ">TRUE",
        ">FALSE",
        ">EXPECTED",
        ">DUPLICATE",
        ">PRECISION",
        ">TO ACK",
        ">TO RESOLVE",
    ]);
    let or_nothing = |millis: i64| match millis {
        0 => NOTHING.to_owned(),
        millis => length(millis),
    };
    for it in records {
        table.add_row([
            line(&it.rule),
            it.incidents.to_string(),
            it.notifications.to_string(),
            it.verdicts_true.to_string(),
            it.verdicts_false.to_string(),
            it.verdicts_expected.to_string(),
            it.verdicts_duplicate.to_string(),
            output::or_nothing(precision(it).map(|it| format!("{it:.0}%"))),
            or_nothing(it.acknowledge_millis),
            or_nothing(it.resolve_millis),
        ]);
    }
    output::table_text(&table)
}

#[cfg(test)]
mod tests;
