//! The answer to a PromQL question, gathered from its stream.

use tonic::{Status, Streaming};
use wire::proto::query_response::Message;
use wire::proto::{
    InstantRequest, PlanNode, QueryResponse, QueryStatistics, RangeRequest, ResultSeries,
    ResultType,
};

use crate::client::{AskError, Coordinator};

/// Most series of one answer that we hold; the coordinator's own bounds are below it.
const SERIES_MAX: usize = 1_000_000;
/// Most samples of one answer that we hold: 800 MB of times and values.
const SAMPLES_MAX: usize = 50_000_000;

/// What to ask.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// The value at one instant.
    Instant(InstantRequest),
    /// The values over a range.
    Range(RangeRequest),
}

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) kind: ResultType,
    pub(crate) series: Vec<ResultSeries>,
    pub(crate) string: String,
    pub(crate) partial: bool,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    pub(crate) statistics: Option<QueryStatistics>,
    pub(crate) plan: Vec<PlanNode>,
}

impl Answer {
    /// The single number that this answer is, if it is one.
    pub(crate) fn single(&self) -> Option<f64> {
        match self.series.as_slice() {
            [one] => one.values.first().copied(),
            _ => None,
        }
    }

    /// The first value of each series by the value of one of its labels.
    pub(crate) fn by_label<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.series.iter().filter_map(move |series| {
            let label = series.labels.iter().find(|label| label.name == name)?;
            Some((label.value.as_str(), *series.values.first()?))
        })
    }
}

/// Asks and waits for the whole answer. `progress` hears how many series have come.
pub(crate) async fn ask(
    coordinator: &Coordinator,
    question: Question,
    progress: impl Fn(usize),
) -> Result<Answer, AskError> {
    let answer = async {
        let mut client = coordinator.query();
        let stream = match question {
            Question::Instant(request) => client.instant(coordinator.request(request)).await?,
            Question::Range(request) => client.range(coordinator.request(request)).await?,
        };
        gather(stream.into_inner(), progress).await
    };
    coordinator.ask(answer).await
}

async fn gather(
    mut stream: Streaming<QueryResponse>,
    progress: impl Fn(usize),
) -> Result<Answer, Status> {
    let mut answer = Answer::default();
    let mut samples = 0;
    let mut whole = false;
    while let Some(response) = stream.message().await? {
        match response.message {
            Some(Message::Portion(portion)) => {
                for series in portion.series {
                    if series.times_millis.len() != series.values.len() {
                        return Err(Status::internal("a series has not as many times as values"));
                    }
                    samples += series.values.len();
                    match answer.series.last_mut() {
                        // A long series comes in parts.
                        Some(last) if last.labels == series.labels => {
                            last.times_millis.extend(series.times_millis);
                            last.values.extend(series.values);
                        }
                        _ => answer.series.push(series),
                    }
                }
                if samples > SAMPLES_MAX || answer.series.len() > SERIES_MAX {
                    return Err(Status::resource_exhausted(
                        "the answer is too large to hold: ask for fewer series, a shorter range \
                         or a longer step",
                    ));
                }
                progress(answer.series.len());
            }
            Some(Message::Summary(summary)) => {
                answer.kind = summary.result_type();
                answer.string = summary.string_value;
                answer.partial = summary.partial;
                answer.warnings = summary.warnings;
                answer.infos = summary.infos;
                answer.statistics = summary.statistics;
                answer.plan = summary.plan;
                whole = true;
            }
            // What a later version adds is not ours to judge.
            None => {}
        }
    }
    if whole {
        Ok(answer)
    } else {
        Err(Status::data_loss("the answer broke off before its end"))
    }
}
