//! From an alert to people: real programs, documents of the specification, and providers that check what
//! they get.

mod backtest;
mod crash;
mod duty;
mod failing;
mod levels;
mod lost_site;
mod receivers;

#[path = "../../../../crates/notify/tests/channels/checks.rs"]
#[expect(dead_code, reason = "nobody here plays an Alertmanager")]
mod checks;

use std::path::{Path, PathBuf};

use process_tests::coordinator::{Coordinator, ask_over};
use process_tests::{SOON, ask, now_millis, process, within};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use wire::proto;
use wire::proto::alert_service_client::AlertServiceClient;

/// The levels of the specification, its channels and its ladder, with seconds in the place of minutes.
const LADDER: &str = "\
alerting_config:
  alert_levels:
    critical:
      conditions: [system_down]
      response_time: immediate
      channels: [pagerduty, phone, email]
      escalation: automatic
    high:
      conditions: [high_error_rate]
      response_time: 2s
      channels: [slack, email]
      escalation: manual
  notification_channels:
    email: {recipients: [oncall@company.com, ml-team@company.com], template: alert_email_template}
    slack: {channels: ['#ml-alerts', '#oncall'], template: alert_slack_template}
    pagerduty: {service_id: ml-monitoring-service, urgency: high}
alerting:
  alerting:
    channels: [email, slack, pagerduty]
    escalation:
      level_1: {timeout: 2s, notify: [oncall]}
      level_2: {timeout: 2s, notify: [manager]}
      level_3: {timeout: 2s, notify: [emergency]}
";

/// Writes a document and applies it. The code is 1 where a setting of it is not built.
async fn apply(coordinator: &Coordinator, files: &[PathBuf]) -> String {
    let url = coordinator.url();
    let files: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
    let mut arguments = vec!["--coordinator", &url, "apply"];
    arguments.extend(files.iter().map(String::as_str));
    let done = process::run("vedette", &arguments).await;
    let said = String::from_utf8(done.stdout).unwrap();
    let failed = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("in force"), "{said}{failed}");
    said
}

/// The ladder, as a file in a folder.
fn ladder(folder: &Path) -> PathBuf {
    let path = folder.join("ladder.yaml");
    std::fs::write(&path, LADDER).unwrap();
    path
}

/// An alert as other programs post it, which fires for an hour unless it is said to be over.
fn outside(name: &str, severity: &str, labels: &[(&str, &str)]) -> Value {
    let mut all = json!({"alertname": name, "severity": severity});
    for (name, value) in labels {
        all[*name] = json!(value);
    }
    json!({
        "labels": all,
        "annotations": {"summary": format!("{name} in the test")},
        "endsAt": rfc3339(now_millis() + 3_600_000),
    })
}

/// The same alert when it is over.
fn over(alert: &Value) -> Value {
    let mut over = alert.clone();
    over["startsAt"] = json!(rfc3339(now_millis() - 2000));
    over["endsAt"] = json!(rfc3339(now_millis() - 1000));
    over
}

fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .unwrap()
        .to_string()
}

/// Posts alerts; nothing where nobody answers.
async fn try_post(coordinator: &Coordinator, alerts: &[Value]) -> Option<(u16, String)> {
    let body = json!(alerts).to_string();
    let head = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let stream = TcpStream::connect(coordinator.http).await.ok()?;
    ask_over(
        stream,
        coordinator.http,
        "POST /api/v2/alerts",
        &head,
        &body,
    )
    .await
}

/// Posts alerts that must be taken.
async fn post(coordinator: &Coordinator, alerts: &[Value]) {
    let answer = try_post(coordinator, alerts).await;
    assert!(matches!(answer, Some((200, _))), "{answer:?}");
}

fn alerts_client(coordinator: &Coordinator) -> AlertServiceClient<tonic::transport::Channel> {
    let client = AlertServiceClient::new(ask::channel(coordinator));
    client.max_decoding_message_size(wire::MESSAGE_BYTES_MAX)
}

/// All incidents, the oldest first.
async fn incidents(coordinator: &Coordinator) -> Vec<proto::Incident> {
    let request = proto::ListIncidentsRequest {
        all: true,
        ..proto::ListIncidentsRequest::default()
    };
    let answer = alerts_client(coordinator).list_incidents(request).await;
    let mut incidents = answer.unwrap().into_inner().incidents;
    incidents.sort_by_key(|it| (it.id.len(), it.id.clone()));
    incidents
}

/// All that is known of an incident.
async fn incident(coordinator: &Coordinator, id: &str) -> proto::GetIncidentResponse {
    let request = proto::GetIncidentRequest { id: id.to_owned() };
    let answer = alerts_client(coordinator).get_incident(request).await;
    answer.unwrap().into_inner()
}

/// Waits until an incident is as wanted.
async fn incident_when(
    coordinator: &Coordinator,
    id: &str,
    what: &str,
    is: impl Fn(&proto::GetIncidentResponse) -> bool,
) -> proto::GetIncidentResponse {
    within(2 * SOON, what, || async {
        Some(incident(coordinator, id).await).filter(|it| is(it))
    })
    .await
}

fn has_entry(incident: &proto::GetIncidentResponse, what: &str) -> bool {
    incident.timeline.iter().any(|it| it.what.contains(what))
}

/// Whether nothing waits to be told.
fn is_told(incident: &proto::GetIncidentResponse) -> bool {
    let mut told = incident.notifications.iter();
    told.all(|it| it.status != "queued")
}
