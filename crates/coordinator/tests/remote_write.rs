//! Remote write over a socket: what is written is answered to the bit and is there after a crash,
//! and what is not taken is said and counted.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper fails its test by panicking"
)]

#[path = "remote_write/again.rs"]
mod again;
#[path = "remote_write/answered.rs"]
mod answered;
#[path = "remote_write/kept.rs"]
mod kept;
#[path = "remote_write/message.rs"]
mod message;
#[path = "remote_write/refused.rs"]
mod refused;
#[path = "http_api/server.rs"]
#[expect(dead_code, reason = "some of it only questions need")]
mod server;

use std::collections::BTreeMap;
use std::fmt::Write;

use message::{Sent, Version, message, pack};
use serde_json::Value;
use server::{Answer, NOW_MILLIS, Server};

/// Where remote writes go.
const PATH: &str = "/api/v1/write";

/// The samples of a series by time, as the bits of their values; all NaN are one.
type Samples = BTreeMap<i64, u64>;

/// Writes series and gives the answer.
async fn write(server: &Server, version: Version, sent: &[Sent]) -> Answer {
    let body = pack(message(version, sent));
    server.send("POST", PATH, version.headers(), body).await
}

/// Writes series that are all taken in.
async fn written(server: &Server, version: Version, sent: &[Sent]) {
    let answer = write(server, version, sent).await;
    assert_eq!(answer.code, 204, "{}", answer.text());
}

/// An answer in one line: its code, the samples, histograms and exemplars written, and its text.
fn said(answer: &Answer) -> String {
    let count = |what| answer.header(&format!("x-prometheus-remote-write-{what}-written"));
    let counts = ["samples", "histograms", "exemplars"].map(count).join("/");
    let line = format!("{} {counts} {}", answer.code, answer.text());
    line.trim_end().to_owned()
}

/// Asks an expression at a time; the series of the answer.
async fn ask(server: &Server, expression: &str, time_millis: i64) -> Vec<Value> {
    let mut path = "/api/v1/query?query=".to_owned();
    for byte in expression.bytes() {
        write!(path, "%{byte:02X}").unwrap();
    }
    let (seconds, millis) = (time_millis / 1000, time_millis % 1000);
    write!(path, "&time={seconds}.{millis:03}").unwrap();
    let answer = server.get(&path).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["data"]["result"].as_array().unwrap().clone()
}

/// All samples of all series that a selector finds, by their labels as JSON writes them.
async fn read(server: &Server, selector: &str) -> BTreeMap<String, Samples> {
    let found = ask(server, &format!("{selector}[30d]"), NOW_MILLIS + 600_000).await;
    let series = found.iter().map(|series| {
        let points = series["values"].as_array().unwrap().iter();
        let samples = points.map(|point| (millis(&point[0]), bits(&point[1])));
        (series["metric"].to_string(), samples.collect())
    });
    series.collect()
}

/// The samples of the only series that a selector finds.
async fn only(server: &Server, selector: &str) -> Samples {
    let mut all = read(server, selector).await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.pop_first().unwrap().1
}

/// Samples as [`read`] gives them.
fn samples(sent: &[(i64, f64)]) -> Samples {
    let of_all_nan = |value: f64| if value.is_nan() { f64::NAN } else { value };
    let samples = sent.iter();
    samples
        .map(|(time, value)| (*time, of_all_nan(*value).to_bits()))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a time of the tests fits with ease"
)]
fn millis(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap() * 1000.0).round() as i64
}

fn bits(value: &Value) -> u64 {
    let value: f64 = value.as_str().unwrap().parse().unwrap();
    samples(&[(0, value)])[&0]
}

/// One of the coordinator's own metrics, by name and labels as the page writes them.
async fn metric(server: &Server, name: &str) -> u64 {
    let page = server.get("/metrics").await.text();
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {page}"))
}

/// The number of a test's series in the index, beside those of the agent.
async fn new_series(server: &Server) -> u64 {
    metric(server, "vedette_coordinator_series").await - 16
}
