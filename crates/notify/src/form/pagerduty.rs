//! PagerDuty's Events API v2.

use std::collections::BTreeMap;

use alert::{Kind, Message};
use serde_json::{Value, json};
use spec::Level;

use crate::bounds;
use crate::templates::Rendering;
use crate::when;
use crate::words::{self, Words};

/// Longest `dedup_key`, in bytes, because PagerDuty does not say what it counts.
pub(crate) const DEDUP_KEY_BYTES_MAX: usize = 255;
/// Longest `summary`.
pub(crate) const SUMMARY_CHARS_MAX: usize = 1024;
/// Largest event: PagerDuty takes 512 KB; the key and a margin are left.
pub(crate) const EVENT_BYTES_MAX: usize = 500_000;

/// The event, without its key. `urgency` moves the severity, because an event has no urgency of its own:
/// PagerDuty's service makes it of the severity.
pub(crate) fn event(
    message: &Message,
    words: &Words,
    urgency: Option<&str>,
    rendering: &mut Rendering<'_>,
) -> Value {
    let action = match message.kind {
        Kind::Trigger
        | Kind::Update
        | Kind::Remind
        | Kind::Escalate { .. }
        | Kind::Digest { .. }
        | Kind::Test => "trigger",
        Kind::Acknowledge { .. } => "acknowledge",
        Kind::Resolve => "resolve",
    };
    let mut summary = bounds::line(&rendering.section("summary"), SUMMARY_CHARS_MAX);
    if summary.is_empty() {
        summary = bounds::line(&words.headline, SUMMARY_CHARS_MAX);
    }
    let mut event = json!({
        "event_action": action,
        "dedup_key": dedup_key(&message.incident),
        "client": "Vedette",
        "payload": {
            "summary": summary,
            "source": label(words, &["instance", "node", "host", "agent", "cluster"])
                .unwrap_or("vedette"),
            "severity": severity(message, urgency),
            "timestamp": when::rfc3339(message.at_millis),
        },
        "links": links(words),
    });
    if let Some(url) = &words.link {
        event["client_url"] = json!(url);
    }
    for (field, names) in [
        (
            "component",
            &["component", "service", "job", "model_name"][..],
        ),
        ("group", &["cluster", "region", "site", "namespace"]),
        ("class", &["alertname"]),
    ] {
        if let Some(value) = label(words, names) {
            event["payload"][field] = json!(value);
        }
    }
    for shown in (0..=words.alerts.len()).rev() {
        event["payload"]["custom_details"] = details(words, shown);
        if event.to_string().len() <= EVENT_BYTES_MAX {
            break;
        }
    }
    event
}

/// The same for the same incident: PagerDuty puts what has one key into one alert.
pub(crate) fn dedup_key(incident: &str) -> String {
    if incident.len() <= DEDUP_KEY_BYTES_MAX {
        return incident.to_owned();
    }
    // Longer ones that begin alike stay apart.
    let hash = ring::digest::digest(&ring::digest::SHA256, incident.as_bytes());
    let hash: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    let mut room = DEDUP_KEY_BYTES_MAX - hash.len();
    let start: String = incident
        .chars()
        .take_while(|c| {
            let fits = c.len_utf8() <= room;
            room = room.saturating_sub(c.len_utf8());
            fits
        })
        .collect();
    start + &hash
}

/// `high` urgency is never less than an error, `low` never more than a warning.
fn severity(message: &Message, urgency: Option<&str>) -> &'static str {
    if message.kind == Kind::Test {
        return "info";
    }
    match (message.level, urgency) {
        (Level::Critical, Some("low")) | (Level::High, Some("low")) => "warning",
        (Level::Medium | Level::Low, Some("high")) => "error",
        (Level::Critical, _) => "critical",
        (Level::High, _) => "error",
        (Level::Medium, _) => "warning",
        (Level::Low, _) => "info",
    }
}

fn label<'a>(words: &'a Words, names: &[&str]) -> Option<&'a str> {
    let first = words.alerts.first().map(|alert| &alert.labels);
    names
        .iter()
        .find_map(|name| {
            words
                .labels
                .get(*name)
                .or_else(|| first.and_then(|labels| labels.get(*name)))
        })
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

fn links(words: &Words) -> Vec<Value> {
    let link = |href: &Option<String>, text: &str| {
        href.as_ref()
            .map(|href| json!({"href": href, "text": text}))
    };
    [
        link(&words.runbook, "What to do"),
        link(&words.link, "See the incident"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What stands below the alert, with so many of its alerts.
fn details(words: &Words, shown: usize) -> Value {
    let alerts: Vec<Value> = words.alerts.iter().take(shown).map(alert).collect();
    let mut details = json!({
        "incident": words.incident,
        "level": words.level,
        "what": words.lead,
        "opened": words.opened,
        "alerts_total": words.alerts_total,
        "alerts": alerts,
    });
    let left_out = words.alerts_total.saturating_sub(shown);
    if left_out > 0 {
        details["alerts_left_out"] = json!(left_out);
    }
    if words.suppressed_total > 0 {
        details["alerts_held_back"] = json!(words.suppressed_total);
    }
    for (field, map) in [
        ("labels", &words.labels),
        ("annotations", &words.annotations),
    ] {
        if !BTreeMap::is_empty(map) {
            details[field] = json!(map);
        }
    }
    details
}

fn alert(alert: &words::AlertWords) -> Value {
    json!({
        "alertname": alert.name,
        "status": alert.status,
        "since": alert.since,
        "lasted": alert.lasted,
        "value": alert.value,
        "labels": alert.own,
        "annotations": alert.annotations,
    })
}
