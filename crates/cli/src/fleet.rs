//! `vedette nodes`, `vedette events` and `vedette summary`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wire::proto::{
    GetSummaryRequest, GetSummaryResponse, ListEventsRequest, ListNodesRequest, Node, RecordedEvent,
};

use crate::args::{EventsArgs, ListFormat};
use crate::client::Coordinator;
use crate::number;
use crate::output::{self, NOTHING, or_nothing};
use crate::times::{self, now_millis, show_length, show_time};

/// Prints the nodes.
pub(crate) async fn nodes(coordinator: &Coordinator, format: ListFormat) -> anyhow::Result<()> {
    let mut client = coordinator.fleet();
    let request = coordinator.request(ListNodesRequest {});
    let answer = coordinator.ask(client.list_nodes(request)).await?;
    let nodes = answer.into_inner().nodes;
    let now = now_millis();
    output::print(&match format {
        ListFormat::Table => nodes_table(&nodes, now),
        ListFormat::Json => pretty(&nodes.iter().map(|node| node_json(node, now)).collect())?,
    })?;
    Ok(())
}

/// Prints the events.
pub(crate) async fn events(coordinator: &Coordinator, args: &EventsArgs) -> anyhow::Result<()> {
    let mut client = coordinator.fleet();
    let request = coordinator.request(ListEventsRequest {
        agent_id: args.agent.clone(),
        since_millis: args.since.map_or(0, |since| since.resolve(now_millis())),
        limit: args.limit,
    });
    let answer = coordinator.ask(client.list_events(request)).await?;
    let events = answer.into_inner().events;
    output::print(&match args.format {
        ListFormat::Table => events_table(&events),
        ListFormat::Json => pretty(&events.iter().map(event_json).collect())?,
    })?;
    Ok(())
}

/// Prints the summary.
pub(crate) async fn summary(coordinator: &Coordinator, format: ListFormat) -> anyhow::Result<()> {
    let mut client = coordinator.fleet();
    let request = coordinator.request(GetSummaryRequest {});
    let answer = coordinator.ask(client.get_summary(request)).await?;
    let summary = answer.into_inner();
    output::print(&match format {
        ListFormat::Table => summary_table(&summary, now_millis()),
        ListFormat::Json => pretty(&summary_json(&summary))?,
    })?;
    Ok(())
}

fn pretty(value: &Value) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Connected nodes whose newest sample is older than this are stale: agents sync once a minute, so
/// they have missed two turns.
pub(crate) const STALE_MILLIS: i64 = 150_000;

/// How a node is, in a word.
pub(crate) fn state(node: &Node, now: i64) -> &'static str {
    match since(node.newest_sample_millis, now) {
        _ if !node.connected => "gone",
        Some(age) if age <= STALE_MILLIS => "connected",
        _ => "stale",
    }
}

/// `part` for each of `whole`, unless there is nothing to divide by.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Milliseconds since a time that is 0 when there is none.
pub(crate) fn since(millis: i64, now: i64) -> Option<i64> {
    (millis != 0).then(|| now - millis)
}

fn labels_text<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    // The wire has no order; people want one.
    let sorted: BTreeMap<&String, &String> = labels.into_iter().collect();
    let pairs: Vec<String> = sorted
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if pairs.is_empty() {
        NOTHING.to_owned()
    } else {
        pairs.join(",")
    }
}

fn nodes_table(nodes: &[Node], now: i64) -> String {
    if nodes.is_empty() {
        return "no node has ever been seen: start an agent with `vedette-agent`\n".to_owned();
    }
    let mut table = output::table(&[
        "NODE",
        "STATE",
        ">SINCE",
        ">FRESH",
        ">SERIES",
        ">SAMPLES",
        ">B/SAMPLE",
        ">SKEW",
        "VERSION",
        "LABELS",
    ]);
    for node in nodes {
        let from = if node.connected {
            node.connected_since_millis
        } else {
            node.last_message_millis
        };
        let per_sample = ratio(node.bytes_total, node.samples_total);
        table.add_row([
            node.agent_id.clone(),
            state(node, now).to_owned(),
            or_nothing(since(from, now).map(show_length)),
            or_nothing(since(node.newest_sample_millis, now).map(show_length)),
            node.series.to_string(),
            number::count(node.samples_total as f64),
            or_nothing(per_sample.map(|bytes| format!("{bytes:.2}"))),
            show_length(node.clock_offset_millis),
            node.version.clone(),
            labels_text(&node.labels),
        ]);
    }
    output::table_text(&table)
}

/// A time for programs; null when there is none.
fn time_json(millis: i64) -> Value {
    match millis {
        0 => Value::Null,
        millis => Value::from(times::rfc3339(millis)),
    }
}

fn node_json(node: &Node, now: i64) -> Value {
    json!({
        "id": node.agent_id,
        "state": state(node, now),
        "connected": node.connected,
        "version": node.version,
        "address": node.address,
        "labels": node.labels.iter().collect::<BTreeMap<_, _>>(),
        "first_seen": time_json(node.first_seen_millis),
        "connected_since": time_json(node.connected_since_millis),
        "last_message": time_json(node.last_message_millis),
        "newest_sample": time_json(node.newest_sample_millis),
        "freshness_millis": since(node.newest_sample_millis, now),
        "last_durable_sequence": node.last_durable_sequence,
        "missing_batches": node.missing_batches,
        "series": node.series,
        "samples_total": node.samples_total,
        "batches_total": node.batches_total,
        "bytes_total": node.bytes_total,
        "bytes_per_sample": ratio(node.bytes_total, node.samples_total),
        "clock_offset_millis": node.clock_offset_millis,
        "future_samples_total": node.future_samples_total,
    })
}

fn events_table(events: &[RecordedEvent]) -> String {
    if events.is_empty() {
        return "no events\n".to_owned();
    }
    let mut table = output::table(&[
        "TIME (UTC)",
        "NODE",
        "SEVERITY",
        "KIND",
        "SUMMARY",
        "LABELS",
    ]);
    for recorded in events {
        let event = recorded.event.clone().unwrap_or_default();
        table.add_row([
            show_time(event.at_millis),
            recorded.agent_id.clone(),
            event.severity,
            event.kind,
            event.summary.replace(['\n', '\r', '\t'], " "),
            labels_text(&event.labels),
        ]);
    }
    output::table_text(&table)
}

fn event_json(recorded: &RecordedEvent) -> Value {
    let event = recorded.event.clone().unwrap_or_default();
    json!({
        "agent_id": recorded.agent_id,
        "id": event.id,
        "at": time_json(event.at_millis),
        "recorded": time_json(recorded.recorded_millis),
        "kind": event.kind,
        "severity": event.severity,
        "summary": event.summary,
        "labels": event.labels.iter().collect::<BTreeMap<_, _>>(),
    })
}

fn summary_table(summary: &GetSummaryResponse, now: i64) -> String {
    let mut table = output::table(&["", ""]);
    let wire = ratio(summary.bytes_total, summary.samples_total);
    let disk = ratio(summary.chunk_bytes_total, summary.chunk_samples_total);
    let per_sample = |bytes: Option<f64>| or_nothing(bytes.map(|b| format!("{b:.2} B/sample")));
    let running = or_nothing(since(summary.started_millis, now).map(show_length));
    for (what, value) in [
        (
            "coordinator",
            format!("{}, running for {running}", summary.version),
        ),
        (
            "nodes",
            format!("{} of {} connected", summary.nodes_connected, summary.nodes),
        ),
        ("series", summary.series.to_string()),
        (
            "samples taken in",
            number::count(summary.samples_total as f64),
        ),
        (
            "samples in the head",
            number::count(summary.head_samples as f64),
        ),
        ("on the wire", per_sample(wire)),
        ("in chunks", per_sample(disk)),
        ("on disk", number::bytes(summary.disk_bytes as f64)),
    ] {
        table.add_row([what, &value]);
    }
    let text = output::table_text(&table);
    // The table has no heading; its empty line goes.
    text.trim_start().to_owned()
}

fn summary_json(summary: &GetSummaryResponse) -> Value {
    json!({
        "version": summary.version,
        "started": time_json(summary.started_millis),
        "nodes": summary.nodes,
        "nodes_connected": summary.nodes_connected,
        "series": summary.series,
        "samples_total": summary.samples_total,
        "bytes_total": summary.bytes_total,
        "wire_bytes_per_sample": ratio(summary.bytes_total, summary.samples_total),
        "head_samples": summary.head_samples,
        "chunk_samples_total": summary.chunk_samples_total,
        "chunk_bytes_total": summary.chunk_bytes_total,
        "chunk_bytes_per_sample": ratio(summary.chunk_bytes_total, summary.chunk_samples_total),
        "disk_bytes": summary.disk_bytes,
    })
}

#[cfg(test)]
mod tests;
