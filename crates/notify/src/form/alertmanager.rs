//! Alerts for an Alertmanager, as Prometheus posts them to `/api/v2/alerts`.

use std::collections::BTreeMap;

use alert::{AlertLine, Kind, Message};
use serde_json::{Value, json};

use super::payload::{Bounds, fitted};
use crate::when;
use crate::words;

/// How long an alert fires there without another word of it. Alertmanager's own five minutes would end an
/// alert of which we have nothing new to say; its end is told when it comes.
const FIRING_MILLIS: i64 = 24 * 3600 * 1000;

/// How long a test fires.
const TEST_MILLIS: i64 = 60 * 1000;

/// The list of alerts. Those that lack one of `external_labels` bear it.
pub(crate) fn body(
    message: &Message,
    external_url: Option<&str>,
    external_labels: &BTreeMap<String, String>,
) -> Vec<u8> {
    fitted(message, |alerts, bounds| {
        let mut list: Vec<Value> = alerts
            .iter()
            .map(|alert| one(message, alert, bounds, external_url, external_labels))
            .collect();
        if list.is_empty() {
            let whole = whole(message);
            list.push(one(message, &whole, bounds, external_url, external_labels));
        }
        Value::Array(list).to_string().into_bytes()
    })
}

/// The incident as one alert, where a message has none.
fn whole(message: &Message) -> AlertLine {
    let mut labels = message.common_labels.clone();
    labels
        .entry("alertname".to_owned())
        .or_insert_with(|| match message.kind {
            Kind::Test => "VedetteTest".to_owned(),
            _ => "VedetteIncident".to_owned(),
        });
    labels.insert("incident".to_owned(), message.incident.clone());
    let firing = message.kind != Kind::Resolve;
    AlertLine {
        labels,
        annotations: [("summary".to_owned(), message.title.clone())].into(),
        firing,
        starts_millis: message.opened_millis,
        ends_millis: (!firing).then_some(message.at_millis),
        value: 0.0,
        fingerprint: String::new(),
    }
}

fn one(
    message: &Message,
    alert: &AlertLine,
    bounds: Bounds,
    external_url: Option<&str>,
    external_labels: &BTreeMap<String, String>,
) -> Value {
    let mut labels = bounds.labels(&alert.labels);
    labels
        .entry("alertname".to_owned())
        .or_insert_with(|| "VedetteIncident".to_owned());
    labels
        .entry("severity".to_owned())
        .or_insert_with(|| message.level.as_str().to_owned());
    for (name, value) in external_labels {
        labels.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let mut annotations = bounds.labels(&alert.annotations);
    annotations.insert("vedette_incident".to_owned(), message.incident.clone());
    let lasts = if message.kind == Kind::Test {
        TEST_MILLIS
    } else {
        FIRING_MILLIS
    };
    let ends = match alert.ends_millis {
        Some(ends) if !alert.firing => ends,
        // Someone said that it is over, whatever fires.
        _ if message.kind == Kind::Resolve => message.at_millis,
        _ => message.at_millis.saturating_add(lasts),
    };
    // Alertmanager refuses an alert that ends before it starts.
    let starts = alert.starts_millis.min(ends);
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": when::rfc3339(starts),
        "endsAt": when::rfc3339(ends),
        "generatorURL": words::incident_url(message, external_url).unwrap_or_default(),
    })
}
