//! Answers as streams of messages, each within the wire's bound, made as they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use query::explain::{PlanNode, PlanRead};
use query::{Answer, Value};
use rollup::Tier;
use series::{Labels, Timestamp};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use wire::Message as _;
use wire::proto;
use wire::proto::query_response::Message;

use super::questions::Answered;

/// Bytes of one message, a last series of at most as many again left out.
const MESSAGE_BYTES_TARGET: usize = 1 << 20;
/// Points of one part of a series: 8 bytes a value, and at most 10 a time.
const PART_POINTS: usize = 50_000;
/// How long reading a listing may take.
const LISTING_WITHIN: Duration = Duration::from_secs(120);
/// Messages made before they are read.
const MESSAGES_AHEAD: usize = 2;

/// What a call answers with.
pub(super) type Messages<T> = ReceiverStream<Result<T, Status>>;

/// The series of an answer, long ones in parts.
fn parts(value: Value) -> Box<dyn Iterator<Item = proto::ResultSeries> + Send> {
    let one = |at: Timestamp, value: f64, labels: Vec<proto::Label>| proto::ResultSeries {
        labels,
        times_millis: vec![at.as_millis()],
        values: vec![value],
    };
    match value {
        Value::Scalar { at, value } => Box::new(std::iter::once(one(at, value, Vec::new()))),
        Value::String { .. } => Box::new(std::iter::empty()),
        Value::Vector(samples) => Box::new(
            samples
                .into_iter()
                .map(move |sample| one(sample.at, sample.value, wire_labels(&sample.labels))),
        ),
        Value::Matrix(series) => Box::new(series.into_iter().flat_map(|series| {
            let labels = wire_labels(&series.labels);
            let values = Value::floats(&series.values);
            let points = series
                .times
                .chunks(PART_POINTS)
                .zip(values.chunks(PART_POINTS));
            let parts: Vec<_> = points
                .map(|(times, values)| proto::ResultSeries {
                    labels: labels.clone(),
                    times_millis: times.to_vec(),
                    values: values.to_vec(),
                })
                .collect();
            parts
        })),
    }
}

/// Labels as the wire has them.
pub(super) fn wire_labels(labels: &Labels) -> Vec<proto::Label> {
    labels
        .iter()
        .map(|(name, value)| proto::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect()
}

/// Groups items into messages of about [`MESSAGE_BYTES_TARGET`].
fn grouped<T>(
    items: impl Iterator<Item = T>,
    bytes: impl Fn(&T) -> usize,
) -> impl Iterator<Item = Vec<T>> {
    let mut items = items.peekable();
    std::iter::from_fn(move || {
        items.peek()?;
        let mut group = Vec::new();
        let mut size = 0;
        while size < MESSAGE_BYTES_TARGET {
            let Some(item) = items.next() else { break };
            size += bytes(&item);
            group.push(item);
        }
        Some(group)
    })
}

fn windows_read(windows: &BTreeMap<Tier, u64>) -> Vec<proto::WindowsRead> {
    let of_tier = |(tier, count): (&Tier, &u64)| proto::WindowsRead {
        tier: tier.name().to_owned(),
        count: *count,
    };
    windows.iter().map(of_tier).collect()
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn stages(stages: &[(&'static str, Duration)]) -> Vec<proto::StageTime> {
    let one = |(stage, took): &(&'static str, Duration)| proto::StageTime {
        stage: (*stage).to_owned(),
        duration_micros: micros(*took),
    };
    stages.iter().map(one).collect()
}

fn plan_node(node: PlanNode) -> proto::PlanNode {
    let read = |read: PlanRead| proto::PlanRead {
        selector: read.selector,
        tier: read
            .tier
            .map_or(String::new(), |tier| tier.name().to_owned()),
        start_millis: read.start.as_millis(),
        end_millis: read.end.as_millis(),
        series: read.series,
        points: read.points,
        duration_micros: micros(read.took),
        again: read.again,
    };
    proto::PlanNode {
        depth: u32::try_from(node.depth).unwrap_or(u32::MAX),
        expression: node.expression,
        series: node.series,
        duration_micros: micros(node.took),
        reads: node.reads.into_iter().map(read).collect(),
    }
}

/// Everything that is said in answer to a question, the summary last.
fn messages(answer: Answer, took: Duration) -> impl Iterator<Item = proto::QueryResponse> + Send {
    let (result_type, string_value) = match &answer.value {
        Value::Scalar { .. } => (proto::ResultType::Scalar, String::new()),
        Value::String { value, .. } => (proto::ResultType::String, value.clone()),
        Value::Vector(_) => (proto::ResultType::Vector, String::new()),
        Value::Matrix(_) => (proto::ResultType::Matrix, String::new()),
    };
    let summary = proto::QuerySummary {
        result_type: result_type.into(),
        string_value,
        partial: answer.partial,
        warnings: answer.warnings,
        infos: answer.infos,
        statistics: Some(proto::QueryStatistics {
            series_read: answer.statistics.series,
            samples_read: answer.statistics.samples,
            windows_read: windows_read(&answer.statistics.windows),
            duration_micros: micros(took),
            stages: stages(&answer.statistics.stages),
        }),
        plan: answer.plan.into_iter().map(plan_node).collect(),
    };
    grouped(parts(answer.value), proto::ResultSeries::encoded_len)
        .map(|series| Message::Portion(proto::SeriesPortion { series }))
        .chain(std::iter::once(Message::Summary(summary)))
        .map(|message| proto::QueryResponse {
            message: Some(message),
        })
}

/// Sends an answer as it is read. The answer and its permit are let go when it has been read, when
/// the asker goes away, or when reading has taken as long as a query may.
pub(super) fn send_answer(answered: Answered) -> Messages<proto::QueryResponse> {
    let Answered {
        answer,
        took,
        permit,
        within,
    } = answered;
    send(messages(answer, took), permit, within)
}

/// Sends the label sets of a listing, in the same way. They are the store's own, so they cost
/// nothing while they wait.
pub(super) fn send_series(
    found: Vec<Arc<Labels>>,
    truncated: bool,
) -> Messages<proto::SeriesResponse> {
    let sets = found.into_iter().map(|labels| proto::LabelSet {
        labels: wire_labels(&labels),
    });
    let last = proto::SeriesResponse {
        series: Vec::new(),
        truncated,
    };
    let all = grouped(sets, proto::LabelSet::encoded_len)
        .map(|series| proto::SeriesResponse {
            series,
            truncated: false,
        })
        .chain(std::iter::once(last));
    send(all, (), LISTING_WITHIN)
}

fn send<T: Send + 'static>(
    messages: impl Iterator<Item = T> + Send + 'static,
    held: impl Send + 'static,
    within: Duration,
) -> Messages<T> {
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    tokio::spawn(async move {
        let _held = held;
        let until = Instant::now() + within;
        for message in messages {
            // An asker who does not read gets a stream that ends without its last message.
            match timeout_at(until, sender.send(Ok(message))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// A list of texts, cut so that it fits one message; `true` when something was cut.
pub(super) fn fit(mut texts: Vec<String>) -> (Vec<String>, bool) {
    let mut bytes = 0;
    let fits = texts
        .iter()
        .take_while(|text| {
            bytes += text.len() + 8;
            bytes <= wire::MESSAGE_BYTES_MAX - MESSAGE_BYTES_TARGET
        })
        .count();
    let cut = fits < texts.len();
    texts.truncate(fits);
    (texts, cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use query::answer::{Series, Statistics};
    use query::source::Values;

    #[test]
    fn no_message_is_larger_than_the_wire_takes_and_nothing_is_lost() {
        let value = "x".repeat(4000);
        let labels = |index: usize| {
            let names = [("a", value.as_str()), ("b", &format!("{index}"))];
            Labels::with_name("m", &names).unwrap()
        };
        let points = 600_000_usize;
        let long = Series {
            labels: labels(0),
            times: (0..points)
                .map(|at| i64::try_from(at).unwrap() * 5000)
                .collect(),
            values: Values::Float(vec![1.5; points].into()),
        };
        let many = (1..2000).map(|index| Series {
            labels: labels(index),
            times: vec![1],
            values: Values::Float([1.0].into()),
        });
        let answer = Answer {
            plan: Vec::new(),
            value: Value::Matrix(std::iter::once(long).chain(many).collect()),
            warnings: Vec::new(),
            infos: Vec::new(),
            partial: false,
            statistics: Statistics::default(),
        };
        let messages: Vec<_> = messages(answer, Duration::ZERO).collect();
        assert!(messages.len() > 10);
        let mut samples = 0;
        for message in &messages {
            assert!(message.encoded_len() < wire::MESSAGE_BYTES_MAX);
            if let Some(Message::Portion(portion)) = &message.message {
                samples += portion
                    .series
                    .iter()
                    .map(|series| series.values.len())
                    .sum::<usize>();
            }
        }
        assert_eq!(samples, points + 1999);
        assert!(matches!(
            messages.last().unwrap().message,
            Some(Message::Summary(_))
        ));
    }

    #[test]
    fn a_list_of_long_texts_is_cut_to_fit() {
        let (texts, cut) = fit(vec!["x".repeat(4096); 2000]);
        assert!(cut);
        assert!(texts.len() > 500 && texts.len() * 4104 <= wire::MESSAGE_BYTES_MAX);
        assert!(!fit(vec!["x".to_owned()]).1);
    }
}
