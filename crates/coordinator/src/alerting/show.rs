//! What is known of alerts, in the words of the contract.

use std::collections::BTreeMap;

use alert::centre::Record;
use alert::rules::{Kind as RuleKind, Rule};
use alert::{Alert, Centre, Held, Incident, Notification, Silence, State, Status, Verdict};
use wire::proto;

use super::rules::{Slot, lock};

pub(super) fn alert(alert: &Alert) -> proto::Alert {
    proto::Alert {
        fingerprint: alert.fingerprint.clone(),
        rule: alert.rule.clone(),
        labels: alert.labels.clone().into_iter().collect(),
        annotations: alert.annotations.clone().into_iter().collect(),
        level: alert.level.to_string(),
        firing: alert.firing,
        starts_millis: alert.starts_millis,
        ends_millis: alert.ends_millis.unwrap_or(0),
        value: alert.value,
        incident: alert.incident.clone().unwrap_or_default(),
        joined_by: alert
            .joined
            .as_ref()
            .map_or_else(String::new, |join| join.reason.clone()),
        held: match &alert.held {
            None => String::new(),
            Some(Held::Silence { id }) => format!("silence {id}"),
            Some(Held::Parent { fingerprint }) => format!("parent {fingerprint}"),
            Some(Held::Hand { .. }) => "hand".to_owned(),
            Some(Held::Policy) => "policy".to_owned(),
        },
        flapping: alert.flapping,
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(super) fn incident(centre: &Centre, incident: &Incident) -> proto::Incident {
    let alerts = centre.alerts_of(&incident.id);
    let (mut firing, mut total) = (0, incident.let_go);
    for alert in alerts {
        firing += usize::from(alert.firing);
        total += 1;
    }
    let verdict = incident.verdict.as_ref();
    let acknowledgement = incident.acknowledgement.as_ref();
    proto::Incident {
        id: incident.id.clone(),
        standing: incident.standing.as_str().to_owned(),
        level: incident.level.to_string(),
        title: incident.title.clone(),
        opened_millis: incident.opened_millis,
        acknowledged_millis: incident.acknowledged_millis.unwrap_or(0),
        resolved_millis: incident.resolved_millis.unwrap_or(0),
        acknowledged_by: acknowledgement.map_or_else(String::new, |it| it.said.by.clone()),
        acknowledged_until_millis: acknowledgement.map_or(0, |it| it.expires_millis),
        assignee: incident.assignee.clone().unwrap_or_default(),
        overdue: incident.overdue,
        alerts_firing: count(firing),
        alerts_total: count(total.max(incident.alerts_total)),
        rules: incident.rules.iter().cloned().collect(),
        verdict: verdict.map_or_else(String::new, |(it, _)| it.as_str().to_owned()),
        verdict_by: verdict.map_or_else(String::new, |(_, said)| said.by.clone()),
        verdict_note: verdict.map_or_else(String::new, |(_, said)| said.note.clone()),
        reopened: incident.reopened,
        rungs: count(incident.climb.rungs),
        escalates_millis: incident
            .dues
            .escalate
            .map_or(0, |due| due.max(incident.dues.silenced.unwrap_or(due))),
        told: incident
            .told
            .iter()
            .map(|target| format!("{} {}", target.channel.as_str(), target.address))
            .collect(),
        merged_into: incident.merged_into.clone().unwrap_or_default(),
    }
}

pub(super) fn timeline(incident: &Incident) -> Vec<proto::IncidentEntry> {
    let entries = incident.timeline.iter();
    entries
        .map(|entry| proto::IncidentEntry {
            at_millis: entry.at_millis,
            what: entry.what.clone(),
        })
        .collect()
}

/// The alerts of an incident: as they are, or as they were when it was over.
pub(super) fn alerts_of(centre: &Centre, incident: &Incident) -> Vec<proto::Alert> {
    let now: Vec<proto::Alert> = centre.alerts_of(&incident.id).map(alert).collect();
    if !now.is_empty() {
        return now;
    }
    let lines = incident.lines.iter();
    lines
        .map(|line| proto::Alert {
            fingerprint: line.fingerprint.clone(),
            labels: line.labels.clone().into_iter().collect(),
            annotations: line.annotations.clone().into_iter().collect(),
            level: incident.level.to_string(),
            firing: false,
            starts_millis: line.starts_millis,
            ends_millis: line.ends_millis.unwrap_or(0),
            value: line.value,
            incident: incident.id.clone(),
            ..proto::Alert::default()
        })
        .collect()
}

pub(super) fn notification(it: &Notification) -> proto::Notification {
    let (status, reason, provider_id, ended) = match &it.status {
        Status::Queued => ("queued", String::new(), String::new(), 0),
        Status::Accepted {
            at_millis,
            provider_id,
        } => {
            let id = provider_id.clone().unwrap_or_default();
            ("accepted", String::new(), id, *at_millis)
        }
        Status::Failed { at_millis, reason } => {
            ("failed", reason.clone(), String::new(), *at_millis)
        }
    };
    proto::Notification {
        id: it.id.clone(),
        channel: it.target.channel.as_str().to_owned(),
        address: it.target.address.clone(),
        kind: it.message.kind.as_str().to_owned(),
        status: status.to_owned(),
        reason,
        provider_id,
        attempts: it.attempts,
        queued_millis: it.queued_millis,
        ended_millis: ended,
    }
}

pub(super) fn silence(silence: &Silence) -> proto::Silence {
    proto::Silence {
        id: silence.id.clone(),
        conditions: silence.conditions.iter().map(ToString::to_string).collect(),
        starts_millis: silence.starts_millis,
        ends_millis: silence.ends_millis,
        maintenance: silence.maintenance,
        by: silence.by.clone(),
        comment: silence.comment.clone(),
    }
}

pub(super) fn record(rule: String, record: &Record) -> proto::RuleRecord {
    let verdicts = |verdict: Verdict| record.verdicts.get(&verdict).map_or(0, |n| *n as u64);
    proto::RuleRecord {
        rule,
        incidents: record.incidents as u64,
        notifications: record.words,
        verdicts_true: verdicts(Verdict::True),
        verdicts_false: verdicts(Verdict::False),
        verdicts_expected: verdicts(Verdict::Expected),
        verdicts_duplicate: verdicts(Verdict::Duplicate),
        acknowledge_millis: Record::median(&record.to_acknowledge).unwrap_or(0),
        resolve_millis: Record::median(&record.to_resolve).unwrap_or(0),
    }
}

/// A group of rules with what it finds.
pub(super) fn group(slot: &Slot) -> proto::RuleGroup {
    let group = lock(&slot.group);
    let last = lock(&slot.last).clone();
    let mut rules: Vec<proto::Rule> = group.rules().map(rule).collect();
    for alert in group.alerts() {
        let Some(rule) = rules.get_mut(alert.rule) else {
            continue;
        };
        rule.pending += u32::from(alert.state == State::Pending);
        rule.firing += u32::from(alert.state == State::Firing);
        if alert.state == State::Firing {
            rule.level = alert.level.to_string();
        }
    }
    for rule in &mut rules {
        let path = format!("{}/{}", group.name(), rule.name);
        let (health, error) = match (last.failed.get(&path), last.held.get(&path)) {
            _ if last.at_millis == 0 => ("unknown", ""),
            (Some(error), _) => ("err", error.as_str()),
            (None, Some(why)) => ("unknown", why.as_str()),
            (None, None) => ("ok", ""),
        };
        health.clone_into(&mut rule.health);
        error.clone_into(&mut rule.error);
    }
    proto::RuleGroup {
        name: group.name().to_owned(),
        source: group.file().to_owned(),
        interval_millis: group.interval_millis().unsigned_abs(),
        rules,
        evaluated_millis: last.at_millis,
        evaluation_seconds: last.took.as_secs_f64(),
    }
}

/// The group with how many agents run each of its rules.
pub(super) fn with_agents(
    mut group: proto::RuleGroup,
    agents: &BTreeMap<String, u32>,
) -> proto::RuleGroup {
    for rule in &mut group.rules {
        let run = agents.get(&format!("{}/{}", group.name, rule.name));
        (rule.edge, rule.agents) = (run.is_some(), run.copied().unwrap_or(0));
    }
    group
}

fn rule(rule: &Rule) -> proto::Rule {
    let texts = |pairs: &[(String, alert::template::Template)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(name, template)| (name.clone(), template.text().to_owned()))
            .collect()
    };
    let mut shown = proto::Rule {
        name: rule.name.clone(),
        kind: "recording".to_owned(),
        expression: rule.text.clone(),
        labels: texts(&rule.labels),
        ..proto::Rule::default()
    };
    if let RuleKind::Alerting(alerting) = &rule.kind {
        "alerting".clone_into(&mut shown.kind);
        shown.annotations = texts(&alerting.annotations);
        shown.for_millis = alerting.timing.hold_millis.unsigned_abs();
        shown.keep_firing_millis = alerting.timing.clear_millis.unsigned_abs();
        if let Some(level) = alerting.level {
            shown.level = level.to_string();
        }
    }
    shown
}
