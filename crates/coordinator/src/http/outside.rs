//! Alerts of other programs: `POST /api/v2/alerts`, as Alertmanager takes them.

use std::collections::BTreeMap;

use alert::centre::OutsideAlert;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use series::Timestamp;

use super::Http;
use super::params::time;

/// Largest body.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// Most alerts of one request; Prometheus sends 64 at a time.
const ALERTS_MAX: usize = 10_000;
/// Most labels, and most annotations, of one alert.
const PAIRS_MAX: usize = 128;
/// Most faults that an answer names.
const FAULTS_MAX: usize = 10;
/// Longest name or value.
const TEXT_MAX: usize = 16 << 10;
/// How long an alert fires that does not say until when: Alertmanager's `resolve_timeout`.
const RESOLVE_MILLIS: i64 = 300_000;

/// An alert as it is posted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    starts_at: String,
    #[serde(default)]
    ends_at: String,
}

/// Takes alerts in. They are durable when it answers. As Alertmanager does, it takes those that are right and
/// answers 400 with the faults of the others: who posts does not send them again.
pub(super) async fn alerts(State(http): State<Http>, body: Bytes) -> Response {
    let now = http.clock.wall_millis();
    let refused = |why: &str| (StatusCode::BAD_REQUEST, axum::Json(why)).into_response();
    let (alerts, faults) = match read(&body, now) {
        Ok(read) => read,
        Err(why) => return refused(&why),
    };
    if let Err(error) = http.office.desk.outside(alerts).await {
        let why = daemon::chain(&error);
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(why)).into_response();
    }
    if faults.is_empty() {
        return StatusCode::OK.into_response();
    }
    http.office.count_invalid(faults.len());
    let more = faults.len().saturating_sub(FAULTS_MAX);
    let mut why = faults
        .into_iter()
        .take(FAULTS_MAX)
        .collect::<Vec<_>>()
        .join("; ");
    if more > 0 {
        why.push_str(&format!("; and {more} more"));
    }
    refused(&why)
}

/// Alerts that can be used, and what is wrong with the others, each with its place.
pub(super) fn read(
    body: &[u8],
    now_millis: i64,
) -> Result<(Vec<OutsideAlert>, Vec<String>), String> {
    let posted: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| format!("reading alerts: {error}"))?;
    if posted.len() > ALERTS_MAX {
        return Err(format!(
            "{} alerts are more than {ALERTS_MAX}",
            posted.len()
        ));
    }
    let (mut alerts, mut faults) = (Vec::with_capacity(posted.len()), Vec::new());
    for (at, posted) in posted.into_iter().enumerate() {
        let read = serde_json::from_value(posted).map_err(|error| error.to_string());
        match read.and_then(|posted| one(posted, now_millis)) {
            Ok(alert) => alerts.push(alert),
            Err(why) => faults.push(format!("alert {at}: {why}")),
        }
    }
    Ok((alerts, faults))
}

fn one(mut posted: Posted, now_millis: i64) -> Result<OutsideAlert, String> {
    // A label without a value is no label, as everywhere in the field.
    posted.labels.retain(|_, value| !value.is_empty());
    if posted.labels.is_empty() {
        return Err("it has no labels".to_owned());
    }
    for pairs in [&posted.labels, &posted.annotations] {
        if pairs.len() > PAIRS_MAX {
            return Err(format!("{} labels are more than {PAIRS_MAX}", pairs.len()));
        }
        for (name, value) in pairs {
            // Any text is one in Prometheus 3; what cannot be shown is none.
            if name.is_empty() || name.chars().any(char::is_control) {
                return Err(format!("{name:?} is no name of a label"));
            }
            if name.len() > TEXT_MAX || value.len() > TEXT_MAX {
                return Err(format!("{name:?} is longer than {TEXT_MAX} bytes"));
            }
        }
    }
    let at = |text: &str, else_: i64| match text {
        // Go's zero time, which is for none.
        "" | "0001-01-01T00:00:00Z" | "0001-01-01T00:00:00.000Z" => Ok(else_),
        text => time(text)
            .map(Timestamp::as_millis)
            .map_err(|_why| format!("{text:?} is no time")),
    };
    let starts_millis = at(&posted.starts_at, now_millis)?;
    let ends_millis = at(&posted.ends_at, now_millis + RESOLVE_MILLIS)?;
    if ends_millis < starts_millis {
        return Err("it ends before it begins".to_owned());
    }
    Ok(OutsideAlert {
        labels: posted.labels,
        annotations: posted.annotations,
        starts_millis,
        ends_millis,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_prometheus_posts_is_read() {
        let body = br#"[{"annotations":{"summary":"s"},"endsAt":"2023-11-14T22:20:00Z",
            "startsAt":"2023-11-14T22:10:00.5Z","generatorURL":"http://p/graph",
            "labels":{"alertname":"A","empty":"","severity":"page"}},{"labels":{"alertname":"B"}}]"#;
        let (read, faults) = read(body, 1_700_000_000_000).unwrap();
        assert!(faults.is_empty());
        assert_eq!(read[0].labels.len(), 2);
        assert_eq!(read[0].starts_millis, 1_699_999_800_500);
        assert_eq!(read[0].ends_millis, 1_700_000_400_000);
        assert_eq!(read[1].starts_millis, 1_700_000_000_000);
        assert_eq!(read[1].ends_millis, 1_700_000_300_000);
    }

    #[test]
    fn what_is_no_alert_is_left_out_with_its_place_and_the_others_are_taken() {
        for (one, why) in [
            (r#"{"labels":{}}"#, "alert 1: it has no labels"),
            (r#"{"annotations":{}}"#, "missing field `labels`"),
            (r#"{"labels":{"":"x"}}"#, "no name of a label"),
            (r#"{"labels":{"a\u0007":"x"}}"#, "no name of a label"),
            (r#"{"labels":{"a":7}}"#, "invalid type"),
            (r#"{"labels":{"a":"x"},"endsAt":"then"}"#, "no time"),
            (
                r#"{"labels":{"a":"x"},"startsAt":"2023-11-14T22:20:00Z","endsAt":"2023-11-14T22:10:00Z"}"#,
                "ends before",
            ),
        ] {
            let body = format!(r#"[{{"labels":{{"a":"1"}}}},{one},{{"labels":{{"a":"2"}}}}]"#);
            let (taken, faults) = read(body.as_bytes(), 0).unwrap();
            assert_eq!(taken.len(), 2, "{one}");
            assert!(faults.len() == 1 && faults[0].contains(why), "{faults:?}");
        }
        assert!(read(b"{", 0).unwrap_err().contains("reading alerts"));
        // Names of Prometheus 3.
        let body = r#"[{"labels":{"alertname":"A","service.name":"x","größe":"y"}}]"#;
        let (taken, faults) = read(body.as_bytes(), 0).unwrap();
        assert!(faults.is_empty() && taken[0].labels["service.name"] == "x");
    }
}
