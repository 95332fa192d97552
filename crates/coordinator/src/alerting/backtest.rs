//! What rules would have found in the past, and whom it would have been told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alert::rules::{Group, RuleFile, backtest};
use alert::{Incident, Rehearsal, Transition, Verdict, rehearse};
use query::source::{Budget, EachSeries, Selected, SourceError, WindowSelection};
use query::{Engine, SeriesSource};
use rollup::Tier;
use series::{Matcher, TimeRange, Timestamp};
use tonic::Status;
use wire::proto;

use super::book::Book;
use super::office::Office;
use super::rules::engine;
use crate::fleet::Fleet;
use crate::losses;
use crate::query::StoreSource;
use crate::status::ToStatus as _;

/// Most choices of values that are tried at a time.
const RUNS_MAX: usize = 100;
/// Most evaluations of rules of one request, over all choices.
const EVALUATIONS_MAX: u64 = 5_000_000;
/// Most transitions that are listed of one choice.
const TRANSITIONS_MAX: usize = 20_000;
/// Most holes in the history that are named.
const MISSING_MAX: usize = 50;

/// A source that ends when whoever asked is gone.
struct Stoppable {
    source: StoreSource,
    stop: Arc<AtomicBool>,
}

impl Stoppable {
    fn check(&self) -> Result<(), SourceError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(SourceError::Cancelled);
        }
        Ok(())
    }
}

impl SeriesSource for Stoppable {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        self.check()?;
        self.source.select_each(matchers, range, budget, each)
    }

    fn tiers(&self) -> &[Tier] {
        self.source.tiers()
    }

    fn samples_from(&self) -> i64 {
        self.source.samples_from()
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        self.check()?;
        self.source.windows(matchers, tier, range, budget)
    }
}

/// Stops a source when whoever asked is gone.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Values chosen, by what they are of.
type Choice = BTreeMap<String, String>;

/// All choices of one value of each sweep.
fn choices(sweeps: &[proto::BacktestSweep]) -> Result<Vec<Choice>, Status> {
    let mut choices = vec![Choice::new()];
    for sweep in sweeps {
        if sweep.values.is_empty() {
            let problem = format!("there is no value of {:?} to try", sweep.what);
            return Err(Status::invalid_argument(problem));
        }
        let more = choices.iter().flat_map(|choice| {
            sweep.values.iter().map(|value| {
                let mut choice = choice.clone();
                choice.insert(sweep.what.clone(), value.clone());
                choice
            })
        });
        choices = more.take(RUNS_MAX + 1).collect();
    }
    if choices.len() > RUNS_MAX {
        let problem = format!("there are more than {RUNS_MAX} choices of values; try fewer");
        return Err(Status::invalid_argument(problem));
    }
    Ok(choices)
}

/// Puts the values of a choice into rules.
fn choose(files: &mut [RuleFile], choice: &Choice) -> Result<(), Status> {
    let wrong = |problem: String| Err(Status::invalid_argument(problem));
    for (what, value) in choice {
        let groups = files.iter_mut().flat_map(|file| &mut file.groups);
        let rules = groups.flat_map(|group| &mut group.rules);
        let set = match what.as_str() {
            "threshold" => match value.parse() {
                Ok(number) => rules
                    .map(|rule| rule.set_threshold(number))
                    .filter(|set| *set)
                    .count(),
                Err(_) => return wrong(format!("threshold: {value:?} is no number")),
            },
            "for" => match value.parse::<daemon::units::HumanDuration>() {
                Ok(length) => {
                    let millis = series::time::duration_millis(length.as_duration());
                    rules
                        .map(|rule| rule.set_for(millis))
                        .filter(|set| *set)
                        .count()
                }
                Err(error) => return wrong(format!("for: {error}")),
            },
            what => {
                return wrong(format!("{what:?} cannot be tried: threshold and for can"));
            }
        };
        if set == 0 {
            return wrong(format!("no rule has a {what} to be {value}"));
        }
    }
    Ok(())
}

/// What is worked with, on a thread that may block.
struct Work {
    office: Office,
    request: proto::BacktestRequest,
    documents: Vec<super::Document>,
    source: Stoppable,
    judged: Vec<Incident>,
}

/// Does it. Dropping the future stops it.
pub(super) async fn run(
    office: &Office,
    request: proto::BacktestRequest,
) -> Result<proto::BacktestResponse, Status> {
    if request.end_millis < request.start_millis {
        return Err(Status::invalid_argument("the end lies before the start"));
    }
    let documents = office.applied().await.documents;
    let (from, to) = (request.start_millis, request.end_millis);
    let judged = office.desk.look(move |centre| {
        let judged = centre.incidents().filter(|it| {
            it.verdict.is_some()
                && it.opened_millis <= to
                && it.resolved_millis.unwrap_or(to) >= from
        });
        judged.cloned().collect()
    });
    let stop = Arc::new(AtomicBool::new(false));
    let _stop = StopOnDrop(Arc::clone(&stop));
    let work = Work {
        judged: judged.await.map_err(|error| error.to_status())?,
        source: Stoppable {
            source: StoreSource {
                store: office.store(),
                memory_only: false,
            },
            stop,
        },
        office: office.clone(),
        request,
        documents,
    };
    tokio::task::spawn_blocking(move || work.run())
        .await
        .map_err(|_source| Status::internal("the backtest panicked"))?
}

impl Work {
    fn run(self) -> Result<proto::BacktestResponse, Status> {
        let choices = choices(&self.request.sweeps)?;
        let each = EVALUATIONS_MAX / choices.len().max(1) as u64;
        let engine = engine(&self.office.config());
        let runs = choices
            .into_iter()
            .map(|choice| self.one(choice, &engine, each));
        Ok(proto::BacktestResponse {
            runs: runs.collect::<Result<_, _>>()?,
            missing: self.missing()?,
        })
    }

    /// The rules to be tried, and the way they are told.
    fn book(&self) -> Result<Book, Status> {
        let config = self.office.config();
        let book = Book::read(&config, &self.documents);
        let mut book = book.map_err(|error| Status::invalid_argument(daemon::chain(&error)))?;
        if !self.request.rules.is_empty() {
            let file = RuleFile::parse("backtest", &self.request.rules);
            book.files = vec![file.map_err(|errors| {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                Status::invalid_argument(errors.join("\n"))
            })?];
        }
        Ok(book)
    }

    fn one(
        &self,
        choice: Choice,
        engine: &Engine,
        evaluations_max: u64,
    ) -> Result<proto::BacktestRun, Status> {
        let mut book = self.book()?;
        choose(&mut book.files, &choice)?;
        let groups = book.files.into_iter().flat_map(|file| file.groups);
        let mut groups: Vec<Group> = groups
            .map(|group| Group::new(group, &book.settings))
            .collect();
        let span = (
            Timestamp::from_millis(self.request.start_millis),
            Timestamp::from_millis(self.request.end_millis),
        );
        let found = backtest(
            &mut groups,
            &self.source,
            engine,
            span,
            &|_| 1.0,
            evaluations_max,
        )
        .map_err(|error| Status::resource_exhausted(error.to_string()))?;
        if let Some((at, failure)) = found.failures.first() {
            let why = daemon::chain(&failure.error);
            tracing::debug!(rule = failure.rule, at = at.as_millis(), why, "backtest");
        }
        let rehearsal = rehearse(&found.transitions, book.routes, self.request.end_millis)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (precision, recall) = against(&rehearsal, &self.judged);
        let listed = found
            .transitions
            .iter()
            .filter(|_| self.request.transitions);
        Ok(proto::BacktestRun {
            values: choice.into_iter().collect(),
            transitions: listed.take(TRANSITIONS_MAX).map(Transition::line).collect(),
            firings: found
                .transitions
                .iter()
                .filter(|it| it.begins_to_fire())
                .count() as u64,
            incidents: rehearsal.incidents.len() as u64,
            notifications: rehearsal.notifications,
            firing_seconds: firing_seconds(&found.transitions, self.request.end_millis),
            precision: precision.unwrap_or(-1.0),
            recall: recall.unwrap_or(-1.0),
            failures: found.failures_total,
        })
    }

    /// What is missing of the history that was asked for.
    fn missing(&self) -> Result<Vec<String>, Status> {
        let store = self.office.store();
        let (from, to) = (self.request.start_millis, self.request.end_millis);
        let mut missing = Vec::new();
        if store.samples_from_millis() > from {
            missing.push(format!(
                "samples from before {} are no longer kept",
                shown(store.samples_from_millis())
            ));
        }
        let fleet: &Fleet = self.office.fleet();
        for agent in fleet.agents() {
            let lost = losses::list(&store, &agent).map_err(|error| error.to_status())?;
            for lost in lost {
                let Some((first, last)) = lost.span else {
                    continue;
                };
                if first <= to && last >= from && missing.len() < MISSING_MAX {
                    let (first, last) = (shown(first), shown(last));
                    missing.push(format!(
                        "{agent}: {first} to {last} was lost: {}",
                        lost.reason
                    ));
                }
            }
        }
        Ok(missing)
    }
}

fn shown(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| millis.to_string(), |at| at.to_string())
}

/// How long alerts fired, all together.
fn firing_seconds(transitions: &[Transition], end_millis: i64) -> f64 {
    let mut firing: BTreeMap<&BTreeMap<String, String>, i64> = BTreeMap::new();
    let mut millis = 0;
    for transition in transitions {
        if transition.begins_to_fire() {
            firing.insert(&transition.labels, transition.at_millis);
        } else if let Some(since) = firing.remove(&transition.labels) {
            millis += transition.at_millis - since;
        }
    }
    millis += firing.values().map(|since| end_millis - since).sum::<i64>();
    std::time::Duration::from_millis(millis.max(0).unsigned_abs()).as_secs_f64()
}

/// Precision and recall against incidents that people have judged. One that would have been is the same as
/// one that was if they share a rule and a time; one that nobody judged says nothing.
fn against(rehearsal: &Rehearsal, judged: &[Incident]) -> (Option<f64>, Option<f64>) {
    let same = |would_be: &Incident, was: &Incident| {
        let end = |it: &Incident| it.resolved_millis.unwrap_or(i64::MAX);
        let shares = would_be.rules.intersection(&was.rules).next().is_some();
        shares && would_be.opened_millis <= end(was) && was.opened_millis <= end(would_be)
    };
    let is = |verdict: Verdict| {
        let judged = judged.iter();
        judged.filter(move |it| matches!(&it.verdict, Some((said, _)) if *said == verdict))
    };
    let (mut right, mut wrong) = (0_u32, 0_u32);
    for would_be in &rehearsal.incidents {
        if is(Verdict::True).any(|was| same(would_be, was)) {
            right += 1;
        } else if is(Verdict::False).any(|was| same(would_be, was)) {
            wrong += 1;
        }
    }
    let (mut found, mut all) = (0_u32, 0_u32);
    for was in is(Verdict::True) {
        all += 1;
        found += u32::from(rehearsal.incidents.iter().any(|it| same(it, was)));
    }
    let part = |of: u32, all: u32| (all > 0).then(|| f64::from(of) / f64::from(all));
    (part(right, right + wrong), part(found, all))
}
