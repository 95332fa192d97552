//! `targets` and `status/…`: what this server is, holds and hears of.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use daemon::version::{REVISION, VERSION};
use series::labels::METRIC_NAME;
use series::{Labels, TimeRange};
use tonic::Request;
use wire::proto;
use wire::proto::fleet_service_server::FleetService;

use super::Http;
use super::failed::{Failed, Kind};
use super::json::Json;
use super::params::Params;
use super::reply::{Notes, reply};

/// The Prometheus whose HTTP API this one follows. Grafana and others decide by it what they may
/// ask; our own version stands beside it.
const PROMETHEUS_VERSION: &str = "2.53.0";
/// The one group of targets.
const POOL: &str = "agents";
/// Entries of each list of `status/tsdb` unless asked otherwise, and most of them.
const TOP_DEFAULT: usize = 10;
const TOP_MAX: usize = 10_000;

/// The agents as targets: up while connected, last heard of at their last message. They send by
/// themselves, so the address is where they came from.
pub(super) async fn targets(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let listed = http
        .fleet
        .list_nodes(Request::new(proto::ListNodesRequest {}));
    let listed = listed
        .await
        .map_err(|status| Failed::new(Kind::Internal, status.message()))?;
    let nodes = listed.into_inner().nodes;
    let active = !params.get("state").eq_ignore_ascii_case("dropped");
    let pool = matches!(params.get("scrapePool"), "" | POOL);
    reply(Notes::default(), move |json| {
        json.object(|json| {
            json.key("activeTargets").array(|json| {
                for node in nodes.iter().filter(|_| active && pool) {
                    write_target(json, node);
                }
            });
            // Nothing is left out of the fleet, so nothing is dropped.
            json.key("droppedTargets").array(|_| ());
        });
    })
    .await
}

fn write_target(json: &mut Json, node: &proto::Node) {
    let mut labels: Vec<(&str, &str)> = vec![("node", &node.agent_id)];
    let said = node.labels.iter().filter(|(name, _)| *name != "node");
    labels.extend(said.map(|(name, value)| (name.as_str(), value.as_str())));
    labels.sort_unstable();
    let url = format!("grpc://{}", node.address);
    let (health, error) = if node.connected {
        ("up", "")
    } else {
        ("down", "not connected")
    };
    json.object(|json| {
        json.key("discoveredLabels").object(|json| {
            json.key("__address__").string(&node.address);
            for (name, value) in &labels {
                json.key(name).string(value);
            }
        });
        json.key("labels").object(|json| {
            for (name, value) in &labels {
                json.key(name).string(value);
            }
        });
        json.key("scrapePool").string(POOL);
        json.key("scrapeUrl").string(&url);
        json.key("globalUrl").string(&url);
        json.key("lastError").string(error);
        json.key("lastScrape")
            .string(&date(node.last_message_millis));
        json.key("health").string(health);
    });
}

/// RFC 3339; what lies outside the years it knows is written as its zero, as Go does.
fn date(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(date) => date.to_string(),
        Err(_) => "0001-01-01T00:00:00Z".to_owned(),
    }
}

/// Which program this is.
pub(super) async fn build_info() -> Result<Response, Failed> {
    reply(Notes::default(), |json| {
        json.object(|json| {
            json.key("version").string(PROMETHEUS_VERSION);
            json.key("revision").string(REVISION);
            json.key("branch").string("");
            json.key("buildUser").string("");
            json.key("buildDate").string("");
            json.key("goVersion").string("");
            json.key("application").string("Vedette");
            json.key("applicationVersion").string(VERSION);
        });
    })
    .await
}

/// Since when it runs and what it keeps.
pub(super) async fn runtime_info(State(http): State<Http>) -> Result<Response, Failed> {
    let summary = http
        .fleet
        .get_summary(Request::new(proto::GetSummaryRequest {}));
    let summary = summary
        .await
        .map_err(|status| Failed::new(Kind::Internal, status.message()))?;
    let started = date(summary.into_inner().started_millis);
    let now = date(http.clock.wall_millis());
    let retention = http.config.borrow().store.retention.to_string();
    reply(Notes::default(), move |json| {
        json.object(|json| {
            json.key("startTime").string(&started);
            json.key("serverTime").string(&now);
            json.key("storageRetention").string(&retention);
        });
    })
    .await
}

/// The settings that have the meaning of one of Prometheus' flags.
pub(super) async fn flags(State(http): State<Http>) -> Result<Response, Failed> {
    let config = Arc::clone(&http.config.borrow());
    reply(Notes::default(), move |json| {
        let query = &config.query;
        let flags = [
            ("query.lookback-delta", query.lookback.to_string()),
            ("query.max-concurrency", query.concurrency_max.to_string()),
            ("query.max-samples", query.samples_max.to_string()),
            ("query.timeout", query.timeout.to_string()),
            (
                "storage.tsdb.retention.time",
                config.store.retention.to_string(),
            ),
            ("web.listen-address", config.http_listen.to_string()),
        ];
        json.object(|json| {
            for (name, value) in &flags {
                json.key(name).string(value);
            }
        });
    })
    .await
}

/// How many series there are, and of what most.
pub(super) async fn tsdb(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let top = match params.get("limit") {
        "" => TOP_DEFAULT,
        text => match text.parse::<usize>() {
            Ok(top) if top > 0 => top.min(TOP_MAX),
            Ok(_) | Err(_) => return Err(Failed::bad_data("limit must be a positive number")),
        },
    };
    let most = usize::try_from(http.config.borrow().query.series_max).unwrap_or(usize::MAX);
    let (cardinality, truncated) = http
        .questions
        .listing(move |store| {
            let found = store.series(&[], TimeRange::ALL, most)?;
            let labels = found.items.iter().map(|(labels, _)| &**labels);
            Ok((Cardinality::of(labels, top), found.truncated))
        })
        .await?;
    let mut notes = Notes::default();
    notes.truncated(truncated);
    reply(notes, move |json| cardinality.write(json)).await
}

/// Names and counts, the largest first.
type Top = Vec<(String, u64)>;

/// Of what there are most series.
#[derive(Debug)]
struct Cardinality {
    series: u64,
    pairs: u64,
    by_metric: Top,
    values_by_name: Top,
    bytes_by_name: Top,
    by_pair: Top,
}

impl Cardinality {
    fn of<'a>(all: impl Iterator<Item = &'a Labels>, top: usize) -> Self {
        let mut series = 0;
        let mut counts: HashMap<&str, HashMap<&str, u64>> = HashMap::new();
        for labels in all {
            series += 1;
            for (name, value) in labels.iter() {
                *counts.entry(name).or_default().entry(value).or_default() += 1;
            }
        }
        let names = || counts.iter();
        let bytes = |values: &HashMap<&str, u64>| {
            let each = values.iter();
            each.map(|(value, count)| value.len() as u64 * count).sum()
        };
        let by_metric = counts.get(METRIC_NAME).into_iter().flatten();
        let pairs = names().flat_map(|(name, values)| {
            let each = values.iter();
            each.map(move |(value, count)| ((*name, *value), *count))
        });
        let by_pair = largest(pairs, top);
        Self {
            series,
            pairs: names().map(|(_, values)| values.len() as u64).sum(),
            by_metric: texts(largest(by_metric.map(|(name, count)| (*name, *count)), top)),
            values_by_name: texts(largest(
                names().map(|(name, values)| (*name, values.len() as u64)),
                top,
            )),
            bytes_by_name: texts(largest(
                names().map(|(name, values)| (*name, bytes(values))),
                top,
            )),
            by_pair: by_pair
                .into_iter()
                .map(|((name, value), count)| (format!("{name}={value}"), count))
                .collect(),
        }
    }

    fn write(&self, json: &mut Json) {
        json.object(|json| {
            json.key("headStats").object(|json| {
                json.key("numSeries").count(self.series);
                json.key("numLabelPairs").count(self.pairs);
            });
            for (name, top) in [
                ("seriesCountByMetricName", &self.by_metric),
                ("labelValueCountByLabelName", &self.values_by_name),
                ("memoryInBytesByLabelName", &self.bytes_by_name),
                ("seriesCountByLabelValuePair", &self.by_pair),
            ] {
                json.key(name).array(|json| {
                    for (name, count) in top {
                        json.object(|json| {
                            json.key("name").string(name);
                            json.key("value").count(*count);
                        });
                    }
                });
            }
        });
    }
}

/// The entries with the largest counts, equals in order of name.
fn largest<K: Ord>(entries: impl Iterator<Item = (K, u64)>, top: usize) -> Vec<(K, u64)> {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    entries.truncate(top);
    entries
}

fn texts(entries: Vec<(&str, u64)>) -> Top {
    let each = entries.into_iter();
    each.map(|(name, count)| (name.to_owned(), count)).collect()
}
