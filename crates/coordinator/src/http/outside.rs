//! Alerts of other programs: `POST /api/v2/alerts`, as Alertmanager takes them.

use std::collections::BTreeMap;

use alert::centre::OutsideAlert;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use series::Timestamp;
use series::labels::is_label_name;

use super::Http;
use super::params::time;

/// Largest body.
pub(super) const BODY_BYTES_MAX: usize = 4 << 20;
/// Most alerts of one request; Prometheus sends 64 at a time.
const ALERTS_MAX: usize = 10_000;
/// Most labels, and most annotations, of one alert.
const PAIRS_MAX: usize = 128;
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

/// Takes alerts in. They are durable when it answers.
pub(super) async fn alerts(State(http): State<Http>, body: Bytes) -> Response {
    let now = http.clock.wall_millis();
    let alerts = match read(&body, now) {
        Ok(alerts) => alerts,
        Err(why) => return (StatusCode::BAD_REQUEST, axum::Json(why)).into_response(),
    };
    match http.office.desk.outside(alerts).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            let why = daemon::chain(&error);
            (StatusCode::SERVICE_UNAVAILABLE, axum::Json(why)).into_response()
        }
    }
}

pub(super) fn read(body: &[u8], now_millis: i64) -> Result<Vec<OutsideAlert>, String> {
    let posted: Vec<Posted> =
        serde_json::from_slice(body).map_err(|error| format!("reading alerts: {error}"))?;
    if posted.len() > ALERTS_MAX {
        return Err(format!(
            "{} alerts are more than {ALERTS_MAX}",
            posted.len()
        ));
    }
    let read = posted.into_iter().enumerate();
    read.map(|(at, posted)| one(posted, now_millis).map_err(|why| format!("alert {at}: {why}")))
        .collect()
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
            if !is_label_name(name) {
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
        let read = read(body, 1_700_000_000_000).unwrap();
        assert_eq!(read[0].labels.len(), 2);
        assert_eq!(read[0].starts_millis, 1_699_999_800_500);
        assert_eq!(read[0].ends_millis, 1_700_000_400_000);
        assert_eq!(read[1].starts_millis, 1_700_000_000_000);
        assert_eq!(read[1].ends_millis, 1_700_000_300_000);
    }

    #[test]
    fn what_is_no_alert_is_refused_with_its_place() {
        for (body, why) in [
            ("{", "reading alerts"),
            (r#"[{"labels":{}}]"#, "alert 0: it has no labels"),
            (r#"[{"labels":{"a-b":"x"}}]"#, "no name of a label"),
            (r#"[{"labels":{"a":"x"},"endsAt":"then"}]"#, "no time"),
            (
                r#"[{"labels":{"a":"x"},"startsAt":"2023-11-14T22:20:00Z","endsAt":"2023-11-14T22:10:00Z"}]"#,
                "ends before",
            ),
        ] {
            let error = read(body.as_bytes(), 0).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
