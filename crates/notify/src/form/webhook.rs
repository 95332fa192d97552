//! Alertmanager's webhook payload, version 4, and its signature.

use alert::{AlertLine, Kind, Message};
use ring::hmac;
use serde_json::{Value, json};

use super::payload::{Bounds, fitted};
use crate::when;
use crate::words;

/// What stands for the end of an alert that still fires: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The payload. What Alertmanager does not say stands under `vedette`.
pub(crate) fn body(message: &Message, receiver: &str, external_url: Option<&str>) -> Vec<u8> {
    fitted(message, |alerts, bounds| {
        payload(message, alerts, bounds, receiver, external_url)
            .to_string()
            .into_bytes()
    })
}

fn payload(
    message: &Message,
    alerts: &[AlertLine],
    bounds: Bounds,
    receiver: &str,
    external_url: Option<&str>,
) -> Value {
    let resolved = message.kind == Kind::Resolve;
    let url = words::incident_url(message, external_url).unwrap_or_default();
    let mut about = json!({
        "kind": message.kind.as_str(),
        "incident": message.incident,
        "level": message.level.as_str(),
        "title": crate::bounds::line(&message.title, words::TITLE_CHARS_MAX),
        "openedAt": when::rfc3339(message.opened_millis),
        "at": when::rfc3339(message.at_millis),
        "alertsTotal": message.alerts_total,
        "suppressedTotal": message.suppressed_total,
    });
    match &message.kind {
        Kind::Acknowledge { by } => about["by"] = json!(by),
        Kind::Escalate { rung } => about["rung"] = json!(rung),
        Kind::Trigger
        | Kind::Update
        | Kind::Remind
        | Kind::Resolve
        | Kind::Digest { .. }
        | Kind::Test => {}
    }
    json!({
        "version": "4",
        "groupKey": format!("{{}}:{{incident={:?}}}", message.incident),
        "truncatedAlerts": message.alerts_total.saturating_sub(alerts.len()),
        "status": if resolved { "resolved" } else { "firing" },
        "receiver": receiver,
        "groupLabels": bounds.labels(&message.group_labels),
        "commonLabels": bounds.labels(&message.common_labels),
        "commonAnnotations": bounds.labels(&message.common_annotations),
        "externalURL": url,
        "alerts": alerts.iter().map(|alert| one(alert, bounds, &url)).collect::<Vec<_>>(),
        "vedette": about,
    })
}

fn one(alert: &AlertLine, bounds: Bounds, url: &str) -> Value {
    json!({
        "status": if alert.firing { "firing" } else { "resolved" },
        "labels": bounds.labels(&alert.labels),
        "annotations": bounds.labels(&alert.annotations),
        "startsAt": when::rfc3339(alert.starts_millis),
        "endsAt": alert
            .ends_millis
            .filter(|_| !alert.firing)
            .map_or_else(|| NEVER.to_owned(), when::rfc3339),
        "generatorURL": url,
        "fingerprint": alert.fingerprint,
    })
}

/// `t=UNIX,v1=HEX`: HMAC-SHA256 of the time, a full stop and the body. The time is signed with it, so
/// that who listened cannot send it again later.
pub(crate) fn signature(secret: &str, now_millis: i64, body: &[u8]) -> String {
    let seconds = now_millis.div_euclid(1000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(seconds.as_bytes());
    context.update(b".");
    context.update(body);
    let tag = context.sign();
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("t={seconds},v1={hex}")
}
