//! Questions, whoever asks them, and their bounds.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use query::source::{Budget, SourceError};
use query::{Answer, Engine, Options};
use series::{Matcher, Timestamp};
use store::Store;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::StoreSource;
use crate::config::Config;
use crate::metrics::Metrics;

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
    pub(super) clock: SharedClock,
    running: Arc<Semaphore>,
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Questions").finish_non_exhaustive()
    }
}

/// An answer, and what it holds on to until it has been read.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The answer.
    pub(crate) answer: Answer,
    /// From the question to the answer.
    pub(crate) took: Duration,
    /// One of `query.concurrency_max`: so many answers are in memory at a time.
    pub(crate) permit: OwnedSemaphorePermit,
    /// How long reading it may take.
    pub(crate) within: Duration,
}

/// Cancels a query when its asker is gone.
struct CancelOnDrop(Arc<Budget>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
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
    /// Whether the answer says how it came about.
    pub(crate) explain: bool,
}

impl Question {
    /// A question that leaves all else to the configuration.
    pub(super) fn new(expression: String, when: When, explain: bool) -> Self {
        Self {
            expression,
            when,
            timeout: None,
            lookback: None,
            explain,
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
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] store::Error),
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
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Query(error) => error.is_retryable(),
            Self::ShuttingDown | Self::Timeout { .. } => true,
            Self::Read(error) => error.is_retryable(),
            Self::NotASelector { .. } | Self::Panicked { .. } => false,
        }
    }
}

/// Longest expression that is answered where it was asked; one with a regular expression is not, which may
/// take long to compile.
const AT_ONCE_TEXT_MAX: usize = 1024;

/// What a question may read.
#[derive(Clone, Copy, Debug)]
struct Reads {
    series_max: u64,
    samples_max: u64,
}

impl Reads {
    /// As much as the configuration allows.
    const ALL: Self = Self {
        series_max: u64::MAX,
        samples_max: u64::MAX,
    };
    /// Some tens of microseconds of work mostly, out of memory; some milliseconds at worst, for the
    /// quantile of all samples at each of as many steps. It cannot be cancelled.
    const LITTLE: Self = Self {
        series_max: 16,
        samples_max: 2000,
    };
}

fn evaluate(
    engine: &Engine,
    source: &StoreSource,
    question: &Question,
    budget: &Budget,
) -> Result<Answer, query::Error> {
    let expression = &question.expression;
    match question.when {
        When::At(at) => engine.instant(source, expression, at, budget),
        When::Range {
            start,
            end,
            step_millis,
        } => engine.range(source, expression, start, end, step_millis, budget),
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

    /// An engine that reads no more than `reads` says, and no more than the configuration does.
    fn engine(&self, question: &Question, reads: Reads) -> Engine {
        let config = &self.config.borrow().query;
        let lookback = question.lookback.unwrap_or(config.lookback.as_duration());
        Engine::new(Options {
            lookback_ms: series::time::duration_millis(lookback),
            series_max: config.series_max.min(reads.series_max),
            samples_max: config.samples_max.min(reads.samples_max),
            steps_max: POINTS_MAX,
            explain: question.explain,
            ..Options::default()
        })
        .with_clock({
            let clock = Arc::clone(&self.clock);
            Arc::new(move || clock.monotonic())
        })
    }

    /// The answer. Dropping the future cancels the query.
    pub(crate) async fn answer(&self, question: Question) -> Result<Answered, Failure> {
        let started = self.clock.monotonic();
        let mut within = self.config.borrow().query.timeout.as_duration();
        within = question.timeout.map_or(within, |asked| within.min(asked));
        let evaluated = tokio::time::timeout(within, self.evaluate(question)).await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.query_seconds.record(took);
        let answer = evaluated.unwrap_or(Err(Failure::Timeout { within }));
        answer
            .map(|(answer, permit)| Answered {
                answer,
                took,
                permit,
                within,
            })
            .inspect_err(|_| self.metrics.query_failures.inc())
    }

    async fn evaluate(
        &self,
        question: Question,
    ) -> Result<(Answer, OwnedSemaphorePermit), Failure> {
        let asked = self.clock.monotonic();
        let permit = self.permit().await?;
        let waited = self.clock.monotonic().saturating_sub(asked);
        let mut answer = match self.at_once(&question) {
            Some(answer) => answer?,
            None => self.elsewhere(question).await?,
        };
        answer.statistics.stages.insert(0, ("wait", waited));
        Ok((answer, permit))
    }

    /// The answer, if all that it needs is little and in memory: it then takes less to give it here
    /// than to ask another thread for it.
    fn at_once(&self, question: &Question) -> Option<Result<Answer, query::Error>> {
        if question.expression.len() > AT_ONCE_TEXT_MAX || question.expression.contains('~') {
            return None;
        }
        let engine = self.engine(question, Reads::LITTLE);
        let source = self.source(true);
        match evaluate(&engine, &source, question, &engine.budget()) {
            Err(
                query::Error::Limit { .. }
                | query::Error::Source(SourceError::Limit { .. } | SourceError::NotInMemory),
            ) => None,
            answered => Some(answered),
        }
    }

    fn source(&self, memory_only: bool) -> StoreSource {
        StoreSource {
            store: Arc::clone(&self.store),
            memory_only,
        }
    }

    /// The answer, from a thread that may block for as long as the question may take.
    async fn elsewhere(&self, question: Question) -> Result<Answer, Failure> {
        let engine = self.engine(&question, Reads::ALL);
        let budget = Arc::new(engine.budget());
        let _cancel = CancelOnDrop(Arc::clone(&budget));
        let source = self.source(false);
        let work = move || evaluate(&engine, &source, &question, &budget);
        let evaluated = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_source| Failure::Panicked { what: "query" })?;
        Ok(evaluated?)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_closed| Failure::ShuttingDown)
    }

    /// How many entries a listing may have when so many are asked for; 0 asks for all.
    pub(crate) fn limit(&self, asked: u32) -> usize {
        let max = self.config.borrow().query.listing_max;
        let limit = if asked == 0 { max } else { asked.min(max) };
        usize::try_from(limit).unwrap_or(usize::MAX)
    }

    /// Reads the store's index on a thread that may block. It counts as a query and has a query's
    /// time.
    pub(crate) async fn listing<T: Send + 'static>(
        &self,
        list: impl FnOnce(&Store) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = Arc::clone(&self.store);
        let within = self.config.borrow().query.timeout.as_duration();
        let listed = async {
            let permit = self.permit().await?;
            let listed = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                list(&store)
            });
            let listed = listed.await;
            let listed = listed.map_err(|_source| Failure::Panicked { what: "listing" })?;
            Ok(listed?)
        };
        let listed = tokio::time::timeout(within, listed).await;
        listed.unwrap_or(Err(Failure::Timeout { within }))
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
