//! A made-up incident, for trying templates and for tests.

use std::collections::BTreeMap;

use alert::{AlertLine, Kind, Message};
use spec::Level;

/// When it was opened: 2025-11-27 10:00:00 UTC.
const OPENED_MILLIS: i64 = 1_764_237_600_000;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A message of this kind, so many minutes after its incident was opened.
#[must_use]
pub fn message(kind: Kind, minutes: i64) -> Message {
    let at_millis = OPENED_MILLIS + minutes * 60_000;
    let resolved = kind == Kind::Resolve;
    let alerts = (0..3)
        .map(|node| AlertLine {
            labels: map(&[
                ("alertname", "SystemDown"),
                ("service", "vllm"),
                ("severity", "critical"),
                ("node", &format!("gpu-{node}")),
            ]),
            annotations: map(&[("summary", &format!("vllm does not answer on gpu-{node}"))]),
            firing: !resolved,
            starts_millis: OPENED_MILLIS,
            ends_millis: resolved.then_some(at_millis),
            value: 0.0,
            fingerprint: format!("00000000000000a{node}"),
        })
        .collect();
    Message {
        kind,
        incident: "20251127-001".to_owned(),
        level: Level::Critical,
        title: "vllm is down on 3 nodes".to_owned(),
        opened_millis: OPENED_MILLIS,
        reopened: 0,
        assignee: None,
        at_millis,
        alerts,
        alerts_total: 3,
        common_labels: map(&[
            ("alertname", "SystemDown"),
            ("service", "vllm"),
            ("severity", "critical"),
        ]),
        common_annotations: BTreeMap::new(),
        group_labels: map(&[("alertname", "SystemDown")]),
        runbook: Some("https://runbooks.example/system-down".to_owned()),
        suppressed_total: 2,
        sample_millis: Some(at_millis - 4000),
    }
}
