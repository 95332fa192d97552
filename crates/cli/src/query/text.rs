//! An answer as a table, as JSON and as CSV.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use wire::proto::{Label, ResultSeries, ResultType};

use crate::answer::Answer;
use crate::args::AnswerFormat;
use crate::number;
use crate::output::{self, or_nothing};
use crate::sparkline;
use crate::times;

/// The range that was asked for, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    /// Inside the range.
    pub(super) end: i64,
    pub(super) step: i64,
}

impl Range {
    /// Characters of a sparkline: no more than there are steps, or there would be gaps where
    /// nothing is missing.
    fn width(self) -> usize {
        let steps = (self.end - self.start) / self.step.max(1) + 1;
        usize::try_from(steps).map_or(SPARKLINE_WIDTH_MAX, |steps| steps.min(SPARKLINE_WIDTH_MAX))
    }
}

/// Most characters of a sparkline.
const SPARKLINE_WIDTH_MAX: usize = 40;
/// Longest name of a series in a table with other columns.
const SERIES_WIDTH_MAX: usize = 100;

/// The answer in full, each line ended.
pub(super) fn render(
    answer: &Answer,
    format: AnswerFormat,
    range: Option<Range>,
) -> anyhow::Result<String> {
    Ok(match format {
        AnswerFormat::Table => table(answer, range),
        AnswerFormat::Json => serde_json::to_string(&data(answer))? + "\n",
        AnswerFormat::Csv => csv(answer),
    })
}

/// A series as PromQL writes it: `up{job="vllm"}`.
fn name(series: &ResultSeries) -> String {
    let mut text = String::new();
    let mut labels = Vec::new();
    for Label { name, value } in &series.labels {
        if name == "__name__" {
            text.push_str(value);
        } else {
            // The escapes of PromQL's strings are a subset of JSON's.
            labels.push(format!("{name}={}", Value::from(value.as_str())));
        }
    }
    if !labels.is_empty() || text.is_empty() {
        text.push('{');
        text.push_str(&labels.join(", "));
        text.push('}');
    }
    text
}

fn table(answer: &Answer, range: Option<Range>) -> String {
    match answer.kind {
        ResultType::String => format!("{}\n", answer.string),
        ResultType::Scalar if range.is_none() => {
            let values = answer.series.iter().flat_map(|series| &series.values);
            values.fold(String::new(), |text, value| {
                text + &number::prometheus(*value) + "\n"
            })
        }
        _ if answer.series.is_empty() => {
            "nothing found: no series has a value at this time\n".to_owned()
        }
        _ => match range {
            Some(range) => range_table(answer, range),
            None => instant_table(answer),
        },
    }
}

fn instant_table(answer: &Answer) -> String {
    let mut table = output::table(&["SERIES", ">VALUE"]);
    for series in &answer.series {
        let values: Vec<String> = series
            .values
            .iter()
            .map(|v| number::prometheus(*v))
            .collect();
        table.add_row([name(series), values.join(" ")]);
    }
    output::table_text(&table)
}

fn range_table(answer: &Answer, range: Range) -> String {
    let mut table = output::table(&["SERIES", "", ">MIN", ">MAX", ">LAST"]);
    for series in &answer.series {
        let finite = || {
            series
                .values
                .iter()
                .copied()
                .filter(|value| !value.is_nan())
        };
        let extreme =
            |pick: fn(f64, f64) -> f64| or_nothing(finite().reduce(pick).map(number::rounded));
        let last = series.values.last().copied();
        let mut name = name(series);
        if name.chars().count() > SERIES_WIDTH_MAX {
            name = name
                .chars()
                .take(SERIES_WIDTH_MAX - 1)
                .chain(['…'])
                .collect();
        }
        table.add_row([
            name,
            sparkline::draw(
                &series.times_millis,
                &series.values,
                (range.start, range.end),
                range.width(),
            ),
            extreme(f64::min),
            extreme(f64::max),
            or_nothing(last.map(number::rounded)),
        ]);
    }
    let Range { start, end, .. } = range;
    format!(
        "{}{} to {} UTC\n",
        output::table_text(&table),
        times::show_time(start),
        times::show_time(end)
    )
}

/// The `data` of the Prometheus HTTP API.
fn data(answer: &Answer) -> Value {
    let points = |series: &ResultSeries| -> Vec<Value> {
        let pairs = series.times_millis.iter().zip(&series.values);
        pairs.map(|(time, value)| point(*time, *value)).collect()
    };
    let first = |series: &ResultSeries| points(series).into_iter().next().unwrap_or(Value::Null);
    let (kind, result) = match answer.kind {
        ResultType::Scalar => ("scalar", answer.series.first().map_or(Value::Null, first)),
        ResultType::String => {
            let now = seconds(times::now_millis());
            ("string", json!([now, answer.string]))
        }
        ResultType::Matrix => {
            let with = |series| json!({"metric": metric(series), "values": points(series)});
            ("matrix", answer.series.iter().map(with).collect())
        }
        ResultType::Vector | ResultType::Unspecified => {
            let with = |series| json!({"metric": metric(series), "value": first(series)});
            ("vector", answer.series.iter().map(with).collect())
        }
    };
    json!({"resultType": kind, "result": result})
}

fn metric(series: &ResultSeries) -> Value {
    let pairs = series.labels.iter();
    pairs
        .map(|label| (label.name.clone(), Value::from(label.value.as_str())))
        .collect()
}

fn point(time_millis: i64, value: f64) -> Value {
    json!([seconds(time_millis), number::prometheus(value)])
}

/// Unix seconds: whole when they are.
fn seconds(millis: i64) -> Value {
    if millis % 1000 == 0 {
        Value::from(millis / 1000)
    } else {
        // Milliseconds since the epoch stay below 2^53, so this is exact to the millisecond.
        Value::from(millis as f64 / 1000.0)
    }
}

/// One line for each sample: its time, its value and its labels, a column for each name.
fn csv(answer: &Answer) -> String {
    let names: BTreeSet<&str> = answer
        .series
        .iter()
        .flat_map(|series| series.labels.iter().map(|label| label.name.as_str()))
        .collect();
    let mut text = "time,value".to_owned();
    for name in &names {
        text.push(',');
        text.push_str(&field(name));
    }
    text.push('\n');
    if answer.kind == ResultType::String {
        let now = times::rfc3339(times::now_millis());
        text.push_str(&format!("{now},{}\n", field(&answer.string)));
    }
    for series in &answer.series {
        let mut labels = String::new();
        for name in &names {
            let found = series.labels.iter().find(|label| label.name == *name);
            labels.push(',');
            labels.push_str(&field(found.map_or("", |label| &label.value)));
        }
        for (time, value) in series.times_millis.iter().zip(&series.values) {
            let (time, value) = (times::rfc3339(*time), number::prometheus(*value));
            // Writing to a string does not fail.
            writeln!(text, "{time},{value}{labels}").unwrap_or(());
        }
    }
    text
}

/// A field of CSV (RFC 4180): quoted when it must be.
fn field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}
