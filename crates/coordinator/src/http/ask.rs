//! `query`, `query_range` and `format_query`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use query::answer::Statistics;
use query::explain::PlanNode;
use query::{Answer, Value};
use rollup::Tier;
use series::Timestamp;

use super::Http;
use super::failed::Failed;
use super::json::Json;
use super::params::Params;
use super::reply::{Notes, reply, reply_at_once};
use crate::query::{Answered, Question, When};

/// Most steps of a range query, as in Prometheus.
const STEPS_MAX: i64 = 11_000;

/// The value of an expression at one time.
pub(super) async fn query(State(http): State<Http>, params: Params) -> Result<Response, Failed> {
    let limit = params.limit()?;
    let now = Timestamp::from_millis(http.clock.wall_millis());
    let when = When::At(params.time_or("time", now)?);
    answer(&http, &params, when, limit).await
}

/// The values of an expression over a range of time.
pub(super) async fn query_range(
    State(http): State<Http>,
    params: Params,
) -> Result<Response, Failed> {
    let limit = params.limit()?;
    let (start, end) = (params.time("start")?, params.time("end")?);
    if end < start {
        let why = "end timestamp must not be before start time";
        return Err(Failed::parameter("end", why));
    }
    let step_millis = params.millis("step")?;
    if step_millis <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive \
                   integer";
        return Err(Failed::parameter("step", why));
    }
    if end.millis_since(start) / step_millis > STEPS_MAX {
        return Err(Failed::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the \
             query resolution (?step=XX)",
        ));
    }
    let when = When::Range {
        start,
        end,
        step_millis,
    };
    answer(&http, &params, when, limit).await
}

/// An expression as it is to be read by people.
pub(super) async fn format_query(
    State(http): State<Http>,
    params: Params,
) -> Result<Response, Failed> {
    let text = params.get("query").to_owned();
    // Regular expressions may take a while to compile, so this counts as a query.
    let formatted = http
        .questions
        .listing(move |_| Ok(query::parse(&text).map(|expr| expr.pretty())))
        .await?;
    let formatted = formatted.map_err(|why| Failed::parameter("query", why))?;
    reply(Notes::default(), move |json| json.string(&formatted)).await
}

async fn answer(
    http: &Http,
    params: &Params,
    when: When,
    limit: usize,
) -> Result<Response, Failed> {
    let question = Question {
        expression: params.get("query").to_owned(),
        when,
        timeout: params.duration("timeout")?,
        lookback: params.duration("lookback_delta")?,
        explain: params.truth("explain")?,
    };
    let with_statistics = !params.get("stats").is_empty();
    // The permit is held until the answer has been written.
    let Answered {
        answer,
        took,
        permit: _permit,
        within: _,
    } = http.questions.answer(question).await?;
    let Answer {
        mut value,
        warnings,
        infos,
        partial,
        statistics,
        plan,
    } = answer;
    let mut notes = Notes {
        warnings,
        infos,
        partial,
    };
    notes.truncated(truncate(&mut value, limit));
    let is_short = value.samples() <= AT_ONCE_POINTS_MAX && plan.is_empty();
    let write = move |json: &mut Json| {
        json.object(|json| {
            write_value(json, &value);
            if with_statistics {
                write_statistics(json.key("stats"), &statistics, took);
            }
            if !plan.is_empty() {
                write_plan(json.key("plan"), &plan);
            }
        });
    };
    if is_short {
        return reply_at_once(&notes, write);
    }
    reply(notes, write).await
}

/// Most points of an answer that is written where it was asked for.
const AT_ONCE_POINTS_MAX: usize = 1000;

/// Cuts a value to so many series, unless that is 0; whether there were more.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let series = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => return false,
    };
    let cut = limit > 0 && limit < series;
    match value {
        Value::Vector(samples) if cut => samples.truncate(limit),
        Value::Matrix(series) if cut => series.truncate(limit),
        _ => {}
    }
    cut
}

fn write_value(json: &mut Json, value: &Value) {
    let mut typed = |kind: &str| json.key("resultType").string(kind);
    match value {
        Value::Scalar { at, value } => {
            typed("scalar");
            json.key("result").scalar(at.as_millis(), *value);
        }
        Value::String { at, value } => {
            typed("string");
            json.key("result").text(at.as_millis(), value);
        }
        Value::Vector(samples) => {
            typed("vector");
            json.key("result").array(|json| {
                for sample in samples {
                    if json.is_full() {
                        return;
                    }
                    json.object(|json| {
                        json.key("metric").labels(&sample.labels);
                        json.key("value")
                            .sample(sample.at.as_millis(), sample.value);
                    });
                }
            });
        }
        Value::Matrix(series) => {
            typed("matrix");
            json.key("result").array(|json| {
                for series in series {
                    json.object(|json| {
                        json.key("metric").labels(&series.labels);
                        json.key("values").array(|json| {
                            let values = Value::floats(&series.values);
                            for (time, value) in series.times.iter().zip(values) {
                                if json.is_full() {
                                    return;
                                }
                                json.sample(*time, *value);
                            }
                        });
                    });
                }
            });
        }
    }
}

/// Prometheus' names for what is known. Beside them the windows of roll-ups that were read in the place
/// of samples, by tier.
fn write_statistics(json: &mut Json, statistics: &Statistics, took: Duration) {
    let stage = |name: &str| {
        let mut stages = statistics.stages.iter();
        let stage = stages.find(|(stage, _)| *stage == name);
        stage.map_or(Duration::ZERO, |(_, took)| *took)
    };
    let (prepared, evaluated) = (stage("parse") + stage("plan"), stage("evaluate"));
    json.object(|json| {
        json.key("timings").object(|json| {
            json.key("evalTotalTime").seconds(prepared + evaluated);
            json.key("queryPreparationTime").seconds(prepared);
            json.key("innerEvalTime").seconds(evaluated);
            json.key("execQueueTime").seconds(stage("wait"));
            json.key("execTotalTime").seconds(took);
        });
        json.key("samples").object(|json| {
            json.key("totalQueryableSamples").count(statistics.samples);
            json.key("peakSamples").count(statistics.samples_peak);
        });
        json.key("windows").object(|json| {
            for (tier, count) in &statistics.windows {
                json.key(tier.name()).count(*count);
            }
        });
        json.key("series").object(|json| {
            json.key("totalQueryableSeries").count(statistics.series);
        });
    });
}

/// How an answer came about. Prometheus has no such thing.
fn write_plan(json: &mut Json, plan: &[PlanNode]) {
    json.array(|json| {
        for node in plan {
            json.object(|json| {
                json.key("depth").count(node.depth as u64);
                json.key("expression").string(&node.expression);
                json.key("series").count(node.series);
                json.key("seconds").seconds(node.took);
                json.key("reads").array(|json| {
                    for read in &node.reads {
                        json.object(|json| {
                            json.key("selector").string(&read.selector);
                            let tier = read.tier.map_or("samples", Tier::name);
                            json.key("tier").string(tier);
                            json.key("start").timestamp(read.start.as_millis());
                            json.key("end").timestamp(read.end.as_millis());
                            json.key("series").count(read.series);
                            json.key("points").count(read.points);
                            json.key("seconds").seconds(read.took);
                            json.key("again").truth(read.again);
                        });
                    }
                });
            });
        }
    });
}
