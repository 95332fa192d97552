//! Alerts, incidents and rules for programs.

use serde_json::{Value, json};
use wire::proto;

use crate::times::rfc3339;

/// A time, or null where there is none.
fn time(millis: i64) -> Value {
    match millis {
        0 => Value::Null,
        millis => rfc3339(millis).into(),
    }
}

/// A text, or null where there is none.
fn text(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => text.into(),
    }
}

pub(super) fn alert(alert: &proto::Alert) -> Value {
    json!({
        "fingerprint": alert.fingerprint,
        "rule": text(&alert.rule),
        "labels": alert.labels,
        "annotations": alert.annotations,
        "level": alert.level,
        "firing": alert.firing,
        "starts": time(alert.starts_millis),
        "ends": time(alert.ends_millis),
        "value": alert.value,
        "incident": text(&alert.incident),
        "joined_by": text(&alert.joined_by),
        "held": text(&alert.held),
        "flapping": alert.flapping,
    })
}

pub(super) fn incident(it: &proto::Incident) -> Value {
    json!({
        "id": it.id,
        "standing": it.standing,
        "level": it.level,
        "title": it.title,
        "opened": time(it.opened_millis),
        "acknowledged": time(it.acknowledged_millis),
        "acknowledged_by": text(&it.acknowledged_by),
        "acknowledged_until": time(it.acknowledged_until_millis),
        "resolved": time(it.resolved_millis),
        "assignee": text(&it.assignee),
        "overdue": it.overdue,
        "alerts_firing": it.alerts_firing,
        "alerts_total": it.alerts_total,
        "rules": it.rules,
        "verdict": text(&it.verdict),
        "verdict_by": text(&it.verdict_by),
        "verdict_note": text(&it.verdict_note),
        "reopened": it.reopened,
        "rungs": it.rungs,
        "escalates": time(it.escalates_millis),
        "told": it.told,
        "merged_into": text(&it.merged_into),
    })
}

pub(super) fn whole_incident(answer: &proto::GetIncidentResponse) -> Value {
    let timeline = answer.timeline.iter();
    let notifications = answer.notifications.iter();
    json!({
        "incident": answer.incident.as_ref().map(incident),
        "alerts": answer.alerts.iter().map(alert).collect::<Value>(),
        "timeline": timeline
            .map(|entry| json!({"at": time(entry.at_millis), "what": entry.what}))
            .collect::<Value>(),
        "notifications": notifications.map(notification).collect::<Value>(),
    })
}

fn notification(it: &proto::Notification) -> Value {
    json!({
        "id": it.id,
        "channel": it.channel,
        "address": it.address,
        "kind": it.kind,
        "status": it.status,
        "reason": text(&it.reason),
        "provider_id": text(&it.provider_id),
        "attempts": it.attempts,
        "queued": time(it.queued_millis),
        "ended": time(it.ended_millis),
    })
}

pub(super) fn silence(it: &proto::Silence) -> Value {
    json!({
        "id": it.id,
        "conditions": it.conditions,
        "starts": time(it.starts_millis),
        "ends": time(it.ends_millis),
        "maintenance": it.maintenance,
        "by": it.by,
        "comment": it.comment,
    })
}

pub(super) fn group(group: &proto::RuleGroup) -> Value {
    let rules = group.rules.iter().map(|rule| {
        json!({
            "name": rule.name,
            "kind": rule.kind,
            "expression": rule.expression,
            "for_millis": rule.for_millis,
            "keep_firing_millis": rule.keep_firing_millis,
            "labels": rule.labels,
            "annotations": rule.annotations,
            "level": text(&rule.level),
            "health": rule.health,
            "error": text(&rule.error),
            "pending": rule.pending,
            "firing": rule.firing,
            "edge": rule.edge,
            "agents": rule.agents,
        })
    });
    json!({
        "name": group.name,
        "source": group.source,
        "interval_millis": group.interval_millis,
        "evaluated": time(group.evaluated_millis),
        "evaluation_seconds": group.evaluation_seconds,
        "rules": rules.collect::<Value>(),
    })
}

pub(super) fn record(it: &proto::RuleRecord) -> Value {
    let millis = |millis: i64| (millis != 0).then_some(millis);
    json!({
        "rule": it.rule,
        "incidents": it.incidents,
        "notifications": it.notifications,
        "verdicts": {
            "true": it.verdicts_true,
            "false": it.verdicts_false,
            "expected": it.verdicts_expected,
            "duplicate": it.verdicts_duplicate,
        },
        "precision": super::precision(it).map(|percent| percent / 100.0),
        "acknowledge_millis": millis(it.acknowledge_millis),
        "resolve_millis": millis(it.resolve_millis),
    })
}
