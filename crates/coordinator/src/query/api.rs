//! The query service.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use query::source::Budget;
use query::{Answer, Engine, Options, Value};
use series::{Labels, Matcher, TimeRange, Timestamp};
use store::{Listing, Store};
use tokio::sync::{Semaphore, watch};
use tokio_stream::{Iter, iter};
use tonic::{Request, Response, Status};
use wire::proto;
use wire::proto::query_service_server::QueryService;

use super::StoreSource;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::status::{ToStatus, chain};

/// Samples in one message of an answer: 16 bytes each, well under the message bound.
const PORTION_SAMPLES: usize = 50_000;
/// Series in one message of an answer or listing.
const PORTION_SERIES: usize = 1000;

/// Most points of a series: Prometheus allows 11,000 steps and so a point more, and Grafana asks for
/// as many.
const POINTS_MAX: u64 = 11_001;

/// Answers questions, whoever asks: bounded in number, time and memory, cancelled when the asker
/// goes away.
#[derive(Clone)]
pub struct Questions {
    store: Arc<Store>,
    config: watch::Receiver<Arc<Config>>,
    metrics: Arc<Metrics>,
    clock: SharedClock,
    running: Arc<Semaphore>,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

/// Cancels a query when its asker is gone.
struct CancelOnDrop(Arc<Budget>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let _kept = &self.0;
    }
}

/// The time of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// One point.
    At(Timestamp),
    /// From one point to another, both inside, in steps.
    Range {
        /// The first point.
        start: Timestamp,
        /// The last point at most.
        end: Timestamp,
        /// From one point to the next.
        step_millis: i64,
    },
}

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// In PromQL.
    pub(crate) expression: String,
    /// Of when.
    pub(crate) when: When,
    /// How long the asker waits, if that is shorter than `query.timeout`.
    pub(crate) timeout: Option<Duration>,
    /// How far back an instant selector looks, if not as far as `query.lookback`.
    pub(crate) lookback: Option<Duration>,
}

impl Question {
    /// A question that leaves all else to the configuration.
    fn new(expression: String, when: When) -> Self {
        Self {
            expression,
            when,
            timeout: None,
            lookback: None,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It cannot be evaluated.
    #[error(transparent)]
    Query(#[from] query::Error),
    /// A listing was asked of something else than series.
    #[error("{text:?} is not a selector")]
    NotASelector {
        /// What was given.
        text: String,
    },
    /// It took too long.
    #[error(
        "no answer within {within:?} (query.timeout or the asker's own); narrow the selector or \
         the range"
    )]
    Timeout {
        /// How long it may take.
        within: Duration,
    },
    /// The process goes down.
    #[error("shutting down")]
    ShuttingDown,
    /// A defect of ours.
    #[error("the {what} panicked")]
    Panicked {
        /// What was being worked on.
        what: &'static str,
    },
}

impl Failure {
    /// Whether the same question may be answered a little later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Query(error) => error.is_retryable(),
            Self::ShuttingDown | Self::Timeout { .. } => true,
            Self::NotASelector { .. } | Self::Panicked { .. } => false,
        }
    }
}

impl ToStatus for Failure {
    fn to_status(&self) -> Status {
        match self {
            Self::Query(error) => error.to_status(),
            Self::NotASelector { .. } => Status::invalid_argument(chain(self)),
            Self::Timeout { .. } => Status::deadline_exceeded(chain(self)),
            Self::ShuttingDown => Status::unavailable(chain(self)),
            Self::Panicked { .. } => Status::internal(chain(self)),
        }
    }
}

impl Questions {
    /// Questions to `store`.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        config: watch::Receiver<Arc<Config>>,
        metrics: Arc<Metrics>,
        clock: SharedClock,
    ) -> Self {
        let running = Arc::new(Semaphore::new(config.borrow().query.concurrency_max));
        Self {
            store,
            config,
            metrics,
            clock,
            running,
        }
    }

    fn engine(&self, lookback: Option<Duration>) -> Engine {
        let config = &self.config.borrow().query;
        let lookback = lookback.unwrap_or(config.lookback.as_duration());
        Engine::new(Options {
            lookback_ms: series::time::duration_millis(lookback),
            series_max: config.series_max,
            samples_max: config.samples_max,
            steps_max: POINTS_MAX,
            ..Options::default()
        })
    }

    /// The answer, and how long it took. Dropping the future cancels the query.
    pub(crate) async fn answer(&self, question: Question) -> Result<(Answer, Duration), Failure> {
        let started = self.clock.monotonic();
        let mut within = self.config.borrow().query.timeout.as_duration();
        within = question.timeout.map_or(within, |asked| within.min(asked));
        let evaluated = tokio::time::timeout(within, self.evaluate(question)).await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.query_seconds.record(took);
        let answer = evaluated.unwrap_or(Err(Failure::Timeout { within }));
        answer
            .map(|answer| (answer, took))
            .inspect_err(|_| self.metrics.query_failures.inc())
    }

    async fn evaluate(&self, question: Question) -> Result<Answer, Failure> {
        let permit = Arc::clone(&self.running).acquire_owned().await;
        let permit = permit.map_err(|_closed| Failure::ShuttingDown)?;
        let engine = self.engine(question.lookback);
        let budget = Arc::new(engine.budget());
        let _cancel = CancelOnDrop(Arc::clone(&budget));
        let source = StoreSource(Arc::clone(&self.store));
        let evaluated = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let expression = &question.expression;
            match question.when {
                When::At(at) => engine.instant(&source, expression, at, &budget),
                When::Range {
                    start,
                    end,
                    step_millis,
                } => engine.range(&source, expression, start, end, step_millis, &budget),
            }
        });
        let evaluated = evaluated
            .await
            .map_err(|_source| Failure::Panicked { what: "query" })?;
        Ok(evaluated?)
    }

    /// Parses selectors, each to its matchers.
    fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, Status> {
        let each = texts.iter().map(|text| selector(text));
        each.collect::<Result<_, _>>()
            .map_err(|failure| failure.to_status())
    }

    /// How many entries a listing may have when so many are asked for; 0 asks for all.
    pub(crate) fn limit(&self, asked: u32) -> usize {
        let max = self.config.borrow().query.listing_max;
        let limit = if asked == 0 { max } else { asked.min(max) };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Reads the store's index on a thread that may block.
    pub(crate) async fn listing<T: Send + 'static>(
        &self,
        list: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.store);
        tokio::task::spawn_blocking(move || list(&store))
            .await
            .map_err(|_source| Failure::Panicked { what: "listing" })
    }

    async fn listed<T: Send + 'static>(
        &self,
        list: impl FnOnce(&Store) -> Listing<T> + Send + 'static,
    ) -> Result<Listing<T>, Status> {
        let listing = self.listing(list).await;
        listing.map_err(|failure| failure.to_status())
    }

    async fn asked(&self, expression: String, when: When) -> Result<(Answer, Duration), Status> {
        let answer = self.answer(Question::new(expression, when)).await;
        answer.map_err(|failure| failure.to_status())
    }
}

/// The matchers of a plain selector such as `up{job="vllm"}`.
pub(crate) fn selector(text: &str) -> Result<Vec<Matcher>, Failure> {
    let parsed = query::parse(text).map_err(query::Error::from)?;
    match &parsed.unwrapped().kind {
        query::ast::Kind::Selector(selector) => Ok(selector.matchers.clone()),
        _ => Err(Failure::NotASelector {
            text: text.to_owned(),
        }),
    }
}

/// A range of which 0 leaves an end open.
fn open_range(start_millis: i64, end_millis: i64) -> TimeRange {
    let end = if end_millis == 0 {
        Timestamp::MAX
    } else {
        Timestamp::from_millis(end_millis)
    };
    TimeRange::new(Timestamp::from_millis(start_millis), end)
}

fn wire_labels(labels: &Labels) -> Vec<proto::Label> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| proto::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect()
}

type Messages = Vec<Result<proto::QueryResponse, Status>>;

/// An answer as messages: series in portions, then the summary.
fn messages(answer: Answer, took: Duration) -> Messages {
    use proto::query_response::Message;
    let one = |at: Timestamp, value: f64, labels: Vec<proto::Label>| proto::ResultSeries {
        labels,
        times_millis: vec![at.as_millis()],
        values: vec![value],
    };
    let mut string_value = String::new();
    let (result_type, series) = match answer.value {
        Value::Scalar { at, value } => {
            (proto::ResultType::Scalar, vec![one(at, value, Vec::new())])
        }
        Value::String { value, .. } => {
            string_value = value;
            (proto::ResultType::String, Vec::new())
        }
        Value::Vector(samples) => {
            let each = samples
                .iter()
                .map(|sample| one(sample.at, sample.value, wire_labels(&sample.labels)));
            (proto::ResultType::Vector, each.collect())
        }
        Value::Matrix(series) => {
            let each = series.into_iter().map(|series| proto::ResultSeries {
                labels: wire_labels(&series.labels),
                times_millis: series.times,
                values: Value::floats(&series.values).to_vec(),
            });
            (proto::ResultType::Matrix, each.collect())
        }
    };
    let mut messages = Vec::new();
    let mut portion = proto::SeriesPortion::default();
    let mut samples = 0;
    for series in series {
        samples += series.values.len();
        portion.series.push(series);
        if samples >= PORTION_SAMPLES || portion.series.len() >= PORTION_SERIES {
            messages.push(Message::Portion(std::mem::take(&mut portion)));
            samples = 0;
        }
    }
    if !portion.series.is_empty() {
        messages.push(Message::Portion(portion));
    }
    messages.push(Message::Summary(proto::QuerySummary {
        result_type: result_type.into(),
        string_value,
        partial: answer.partial,
        warnings: answer.warnings,
        infos: answer.infos,
        statistics: Some(proto::QueryStatistics {
            series_read: answer.statistics.series,
            samples_read: answer.statistics.samples,
            duration_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        }),
    }));
    messages
        .into_iter()
        .map(|message| {
            Ok(proto::QueryResponse {
                message: Some(message),
            })
        })
        .collect()
}

/// The gRPC face of [`Questions`].
#[derive(Clone, Debug)]
pub struct QueryApi(pub Questions);

type Stream<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

#[tonic::async_trait]
impl QueryService for QueryApi {
    type InstantStream = Stream<proto::QueryResponse>;

    async fn instant(
        &self,
        request: Request<proto::InstantRequest>,
    ) -> Result<Response<Self::InstantStream>, Status> {
        let request = request.into_inner();
        let millis = match request.time_millis {
            0 => self.0.clock.wall_millis(),
            millis => millis,
        };
        let when = When::At(Timestamp::from_millis(millis));
        let (answer, took) = self.0.asked(request.expression, when).await?;
        Ok(Response::new(iter(messages(answer, took))))
    }

    type RangeStream = Stream<proto::QueryResponse>;

    async fn range(
        &self,
        request: Request<proto::RangeRequest>,
    ) -> Result<Response<Self::RangeStream>, Status> {
        let request = request.into_inner();
        let when = When::Range {
            start: Timestamp::from_millis(request.start_millis),
            end: Timestamp::from_millis(request.end_millis),
            step_millis: request.step_millis,
        };
        let (answer, took) = self.0.asked(request.expression, when).await?;
        Ok(Response::new(iter(messages(answer, took))))
    }

    type SeriesStream = Stream<proto::SeriesResponse>;

    async fn series(
        &self,
        request: Request<proto::SeriesRequest>,
    ) -> Result<Response<Self::SeriesStream>, Status> {
        let request = request.into_inner();
        if request.selectors.is_empty() {
            return Err(Status::invalid_argument("no selector is given"));
        }
        let selectors = Questions::selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let found = self
            .0
            .listed(move |store| store.series(&selectors, range, limit))
            .await?;
        let mut messages: Vec<_> = found
            .items
            .chunks(PORTION_SERIES)
            .map(|portion| {
                let series = portion
                    .iter()
                    .map(|(labels, _)| proto::LabelSet {
                        labels: wire_labels(labels),
                    })
                    .collect();
                Ok(proto::SeriesResponse {
                    series,
                    truncated: false,
                })
            })
            .collect();
        messages.push(Ok(proto::SeriesResponse {
            series: Vec::new(),
            truncated: found.truncated,
        }));
        Ok(Response::new(iter(messages)))
    }

    async fn label_names(
        &self,
        request: Request<proto::LabelNamesRequest>,
    ) -> Result<Response<proto::LabelNamesResponse>, Status> {
        let request = request.into_inner();
        let selectors = Questions::selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let found = self
            .0
            .listed(move |store| store.label_names(&selectors, range, limit))
            .await?;
        let names = proto::LabelNamesResponse {
            names: found.items,
            truncated: found.truncated,
        };
        Ok(Response::new(names))
    }

    async fn label_values(
        &self,
        request: Request<proto::LabelValuesRequest>,
    ) -> Result<Response<proto::LabelValuesResponse>, Status> {
        let request = request.into_inner();
        let selectors = Questions::selectors(&request.selectors)?;
        let range = open_range(request.start_millis, request.end_millis);
        let limit = self.0.limit(request.limit);
        let name = request.name;
        let list = move |store: &Store| store.label_values(&name, &selectors, range, limit);
        let found = self.0.listed(list).await?;
        let values = proto::LabelValuesResponse {
            values: found.items,
            truncated: found.truncated,
        };
        Ok(Response::new(values))
    }
}
