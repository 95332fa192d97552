//! An answer of the HTTP API, and what two of them differ in.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use process_tests::prometheus::{When, ask};
use process_tests::{SOON, ask::millis, ask::number};
use serde_json::Value;

/// How far two values may be apart, as a part of the larger one.
const TOLERANCE: f64 = 1e-9;

/// Times in milliseconds and values.
type Points = Vec<(i64, f64)>;

/// What was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An error.
    Refused {
        /// Its `errorType`.
        kind: String,
        /// Its text, which is not compared.
        why: String,
    },
    /// A value.
    Given {
        /// Its `resultType`.
        kind: String,
        /// Its series in their order: labels and points. A scalar is one series without labels, a
        /// string one that has its text for labels.
        series: Vec<(String, Points)>,
    },
}

impl Answer {
    /// Asks.
    pub(crate) async fn ask(address: SocketAddr, expression: &str, when: When) -> Self {
        let answer = tokio::time::timeout(SOON, ask(address, expression, when)).await;
        let answer = answer.unwrap_or_else(|_elapsed| panic!("no answer to {expression}"));
        let (code, answer) = answer.unwrap_or_else(|| panic!("no answer to {expression}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if answer["status"] != "success" {
            assert!(code >= 400, "{expression}: {code} {answer}");
            return Self::Refused {
                kind: text(&answer["errorType"]),
                why: text(&answer["error"]),
            };
        }
        let (kind, result) = (
            text(&answer["data"]["resultType"]),
            &answer["data"]["result"],
        );
        let series = match kind.as_str() {
            "scalar" => vec![(String::new(), vec![point(result)])],
            "string" => vec![(
                text(&result[1]),
                vec![(millis(result[0].as_f64().unwrap()), 0.0)],
            )],
            _ => result.as_array().unwrap().iter().map(series).collect(),
        };
        Self::Given { kind, series }
    }

    /// Whether it has any value.
    pub(crate) fn says_something(&self) -> bool {
        matches!(self, Self::Given { series, .. } if !series.is_empty())
    }

    /// All times and values, whatever series they are of.
    pub(crate) fn points(&self) -> Points {
        let Self::Given { series, .. } = self else {
            return Points::new();
        };
        let points = series.iter().flat_map(|(_, points)| points);
        let mut points: Points = points.copied().collect();
        points.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points
    }
}

fn point(point: &Value) -> (i64, f64) {
    (millis(point[0].as_f64().unwrap()), number(&point[1]))
}

fn series(series: &Value) -> (String, Points) {
    let points = match series["values"].as_array() {
        Some(points) => points.iter().map(point).collect(),
        None => vec![point(&series["value"])],
    };
    // The labels come sorted out of the parser.
    (series["metric"].to_string(), points)
}

/// Whether two values are as good as equal.
pub(crate) fn is_close(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq()
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// Whether times are equal and values as good as equal.
pub(crate) fn are_close(a: &[(i64, f64)], b: &[(i64, f64)]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.0 == b.0 && is_close(a.1, b.1))
}

/// The first difference between what Prometheus and what the coordinator said. The order of series
/// is not one: which of equal values comes first is said nowhere.
pub(crate) fn difference(expected: &Answer, found: &Answer) -> Option<String> {
    match (expected, found) {
        (
            Answer::Refused { kind, why },
            Answer::Refused {
                kind: other,
                why: said,
            },
        ) => (kind != other).then(|| format!("{kind} ({why}) is {other} ({said}) here")),
        (Answer::Refused { why, .. }, Answer::Given { .. }) => {
            Some(format!("answered here and refused by Prometheus: {why}"))
        }
        (Answer::Given { .. }, Answer::Refused { why, .. }) => Some(format!("refused here: {why}")),
        (
            Answer::Given { kind, series },
            Answer::Given {
                kind: other,
                series: found,
            },
        ) if kind == other => in_series(series, found),
        (Answer::Given { kind, .. }, Answer::Given { kind: other, .. }) => {
            Some(format!("a {kind} is a {other} here"))
        }
    }
}

/// The series of an answer.
pub(crate) fn by_labels(answer: &Answer) -> BTreeMap<String, Points> {
    match answer {
        Answer::Given { series, .. } => series.iter().cloned().collect(),
        Answer::Refused { .. } => BTreeMap::new(),
    }
}

fn in_series(expected: &[(String, Points)], found: &[(String, Points)]) -> Option<String> {
    let all: BTreeMap<String, Points> = expected.iter().cloned().collect();
    let mut others: BTreeMap<String, Points> = found.iter().cloned().collect();
    if others.len() < found.len() {
        return Some("two series have the same labels here".to_owned());
    }
    for (labels, points) in &all {
        let Some(other) = others.remove(labels) else {
            return Some(format!("{labels} is missing here"));
        };
        if let Some(what) = in_points(points, &other) {
            return Some(format!("{labels} {what}"));
        }
    }
    let more = others.first_key_value();
    more.map(|(labels, points)| format!("{labels} is here alone: {:?}", points.first()))
}

fn in_points(expected: &[(i64, f64)], found: &[(i64, f64)]) -> Option<String> {
    for (point, other) in expected.iter().zip(found) {
        if point.0 != other.0 || !is_close(point.1, other.1) {
            return Some(format!(
                "at {}: {} is at {}: {} here",
                point.0, point.1, other.0, other.1
            ));
        }
    }
    let (count, other) = (expected.len(), found.len());
    (count != other).then(|| format!("has {count} points, {other} here"))
}
