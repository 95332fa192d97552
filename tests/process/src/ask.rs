//! Questions to a coordinator: by gRPC, and by the command line.

use serde_json::Value;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use wire::proto::fleet_service_client::FleetServiceClient;
use wire::proto::query_response::Message;
use wire::proto::query_service_client::QueryServiceClient;
use wire::proto::{
    GetCoverageRequest, GetCoverageResponse, InstantRequest, ListEventsRequest, ListNodesRequest,
    Node, RecordedEvent, ResultSeries,
};

use crate::coordinator::Coordinator;
use crate::process;

/// A connection that is made when it is first used, and again when it is gone.
///
/// # Panics
/// When the address is none.
#[must_use]
pub fn channel(coordinator: &Coordinator) -> Channel {
    let endpoint = Endpoint::from_shared(coordinator.url()).unwrap();
    endpoint.timeout(crate::SOON).connect_lazy()
}

/// A connection on which no answer can come: nothing of a stream is ever read.
///
/// # Panics
/// When the address is none.
#[must_use]
pub fn deaf_channel(coordinator: &Coordinator) -> Channel {
    let endpoint = Endpoint::from_shared(coordinator.url()).unwrap();
    endpoint.initial_stream_window_size(0).connect_lazy()
}

/// All series of an instant answer.
///
/// # Errors
/// What the coordinator says, or that its answer has no end.
pub async fn instant(
    channel: &Channel,
    expression: &str,
    time_millis: i64,
) -> Result<Vec<ResultSeries>, Status> {
    let request = InstantRequest {
        explain: false,
        expression: expression.to_owned(),
        time_millis,
    };
    let client = QueryServiceClient::new(channel.clone());
    let mut client = client.max_decoding_message_size(wire::MESSAGE_BYTES_MAX);
    let mut answer = client.instant(request).await?.into_inner();
    let mut series = Vec::new();
    let mut whole = false;
    while let Some(part) = answer.message().await? {
        match part.message {
            Some(Message::Portion(portion)) => series.extend(portion.series),
            Some(Message::Summary(summary)) => whole = !summary.partial,
            None => {}
        }
    }
    if whole {
        Ok(series)
    } else {
        Err(Status::data_loss("the answer is not whole"))
    }
}

/// What is known of a node's minutes.
///
/// # Panics
/// When there is no answer.
pub async fn coverage(
    channel: &Channel,
    agent: &str,
    start_millis: i64,
    end_millis: i64,
) -> GetCoverageResponse {
    let request = GetCoverageRequest {
        agent_id: agent.to_owned(),
        start_millis,
        end_millis,
    };
    let mut client = FleetServiceClient::new(channel.clone());
    client.get_coverage(request).await.unwrap().into_inner()
}

/// The single value of an instant answer; nothing when it has no series.
///
/// # Panics
/// When there is no answer, or one with more than one series.
pub async fn single(channel: &Channel, expression: &str, time_millis: i64) -> Option<f64> {
    let series = instant(channel, expression, time_millis).await;
    let series = series.unwrap_or_else(|status| panic!("{expression}: {status}"));
    assert!(series.len() < 2, "{expression}: {series:?}");
    series
        .first()
        .and_then(|series| series.values.first().copied())
}

/// The value of a label of a series.
#[must_use]
pub fn label<'a>(series: &'a ResultSeries, name: &str) -> &'a str {
    let label = series.labels.iter().find(|label| label.name == name);
    label.map_or("", |label| label.value.as_str())
}

/// What the coordinator knows of an agent; nothing when it has never seen it.
///
/// # Errors
/// What the coordinator says.
pub async fn node(channel: &Channel, agent: &str) -> Result<Option<Node>, Status> {
    let mut client = FleetServiceClient::new(channel.clone());
    let nodes = client
        .list_nodes(ListNodesRequest {})
        .await?
        .into_inner()
        .nodes;
    Ok(nodes.into_iter().find(|node| node.agent_id == agent))
}

/// The events of an agent, newest first.
///
/// # Panics
/// When there is no answer.
pub async fn events(channel: &Channel, agent: &str) -> Vec<RecordedEvent> {
    let request = ListEventsRequest {
        agent_id: agent.to_owned(),
        ..ListEventsRequest::default()
    };
    let mut client = FleetServiceClient::new(channel.clone());
    client
        .list_events(request)
        .await
        .unwrap()
        .into_inner()
        .events
}

/// What `vedette` prints; fails the test when it fails.
///
/// # Panics
/// When its exit code is not 0.
pub async fn vedette(coordinator: &Coordinator, arguments: &[&str]) -> String {
    let url = coordinator.url();
    let all: Vec<&str> = ["--coordinator", &url]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let output = process::run("vedette", &all).await;
    assert!(output.status.success(), "vedette {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The series of an answer of `vedette query --format json`.
///
/// # Panics
/// When the answer is none.
pub async fn vedette_query(coordinator: &Coordinator, arguments: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = ["query", "--format", "json"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let text = vedette(coordinator, &arguments).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["result"]
        .as_array()
        .unwrap_or_else(|| panic!("{text}"))
        .clone()
}

/// A number as Prometheus' JSON writes it: a text.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn number(value: &Value) -> f64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value}"))
}

/// Seconds since the Unix epoch, as answers have them, in milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a time of today fits with ease"
)]
#[must_use]
pub fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
