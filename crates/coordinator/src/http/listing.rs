//! `series`, `labels`, `label/…/values` and `metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use series::labels::{METRIC_NAME, is_label_name};
use series::{Labels, MatchOp, Matcher, MetricKind, TimeRange};
use store::Listing;

use super::Http;
use super::failed::Failed;
use super::params::Params;
use super::reply::{Notes, reply};

/// Label sets of the series that pass a selector.
pub(super) async fn series(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    if params.all("match[]").next().is_none() {
        return Err(Failed::bad_data("no match[] parameter provided"));
    }
    let (limit, range) = (limit(&http, &params)?, params.range()?);
    let selectors = params.selectors()?;
    let found = http
        .questions
        .listing(move |store| store.series(&selectors, range, limit))
        .await?;
    let mut notes = Notes::default();
    notes.truncated(found.truncated);
    reply(notes, move |json| {
        json.array(|json| {
            for (labels, _) in &found.items {
                if json.is_full() {
                    return;
                }
                json.labels(labels);
            }
        });
    })
    .await
}

/// Names of labels.
pub(super) async fn labels(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let (limit, range) = (limit(&http, &params)?, params.range()?);
    let selectors = params.selectors()?;
    let found = http
        .questions
        .listing(move |store| store.label_names(&selectors, range, limit))
        .await?;
    strings(found).await
}

/// Values of one label.
pub(super) async fn values(
    State(http): State<Http>,
    name: Result<Path<String>, PathRejection>,
    params: Params,
) -> Result<Response, Failed> {
    let Path(name) = name.map_err(|why| Failed::bad_data(why.body_text()))?;
    if !is_label_name(&name) {
        return Err(Failed::bad_data(format!("invalid label name: {name:?}")));
    }
    let (limit, range) = (limit(&http, &params)?, params.range()?);
    let selectors = params.selectors()?;
    let found = http
        .questions
        .listing(move |store| store.label_values(&name, &selectors, range, limit))
        .await?;
    strings(found).await
}

async fn strings(found: Listing<String>) -> Result<Response, Failed> {
    let mut notes = Notes::default();
    notes.truncated(found.truncated);
    reply(notes, move |json| json.strings(&found.items)).await
}

/// The least of what is asked for and what may be.
fn limit(http: &Http, params: &Params) -> Result<usize, Failed> {
    let asked = u32::try_from(params.limit()?).unwrap_or(u32::MAX);
    Ok(http.questions.limit(asked))
}

/// What kind each metric is, and what its help and unit are.
pub(super) async fn metadata(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let number = |name: &str| match params.get(name) {
        "" => Ok(usize::MAX),
        // As in Prometheus, a negative number is no limit.
        text => match text.parse::<i64>() {
            Ok(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            Err(_) => Err(Failed::bad_data(format!("{name} must be a number"))),
        },
    };
    let (limit, kinds_max) = (number("limit")?, number("limit_per_metric")?);
    let metric = params.get("metric").to_owned();
    let selectors = match metric.as_str() {
        "" => Vec::new(),
        metric => series_of(metric)?,
    };
    let most = usize::try_from(http.config.borrow().query.series_max).unwrap_or(usize::MAX);
    let (kinds, truncated) = http
        .questions
        .listing(move |store| {
            let found = store.series(&selectors, TimeRange::ALL, most)?;
            Ok((kinds(&found.items, &metric), found.truncated))
        })
        .await?;
    let mut notes = Notes::default();
    notes.truncated(truncated);
    let families = http.families.clone();
    reply(notes, move |json| {
        json.object(|json| {
            for (metric, kinds) in kinds.iter().take(limit) {
                let family = families.get(metric).unwrap_or_default();
                json.key(metric).array(|json| {
                    for kind in kinds.iter().take(kinds_max) {
                        let kind = match kind {
                            // Version 1 of remote write says it of the metric alone.
                            MetricKind::Unknown => family.kind,
                            known => *known,
                        };
                        json.object(|json| {
                            json.key("type").string(kind.as_str());
                            json.key("help").string(&family.help);
                            json.key("unit").string(&family.unit);
                        });
                    }
                });
            }
        });
    })
    .await
}

/// Selectors of the series that a metric is made of.
fn series_of(metric: &str) -> Result<Vec<Vec<Matcher>>, Failed> {
    let selector = |ending: &str| {
        Matcher::new(METRIC_NAME, MatchOp::Equal, &format!("{metric}{ending}"))
            .map(|matcher| vec![matcher])
            .map_err(|why| Failed::parameter("metric", why))
    };
    let endings = std::iter::once("").chain(series::PARTS);
    endings.map(selector).collect()
}

/// Kinds by metric, of one metric unless that is empty.
fn kinds(
    series: &[(Arc<Labels>, MetricKind)],
    only: &str,
) -> BTreeMap<String, BTreeSet<MetricKind>> {
    let mut all: BTreeMap<String, BTreeSet<MetricKind>> = BTreeMap::new();
    for (labels, kind) in series {
        let metric = kind.metric_of(labels.metric_name());
        if metric.is_empty() || !(only.is_empty() || only == metric) {
            continue;
        }
        match all.get_mut(metric) {
            Some(kinds) => {
                kinds.insert(*kind);
            }
            None => {
                all.insert(metric.to_owned(), BTreeSet::from([*kind]));
            }
        }
    }
    all
}
