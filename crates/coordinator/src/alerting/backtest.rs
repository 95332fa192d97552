//! What rules would have found in the past, and whom it would have been told.

mod choice;
mod history;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alert::rules::{Backtest, Group, RuleFile, backtest};
use alert::{Incident, Rehearsal, Transition, Verdict, rehearse};
use query::source::{Budget, EachSeries, Selected, SourceError, WindowSelection};
use query::{Engine, SeriesSource};
use rollup::Tier;
use series::{Matcher, TimeRange, Timestamp};
use tonic::Status;
use wire::proto;

use choice::{Choice, choices, choose};
use history::{History, shown};

use super::book::{Book, BookError};
use super::office::Office;
use super::rules::{engine, why};
use crate::query::StoreSource;
use crate::status::ToStatus as _;

/// Most evaluations of rules of one request, over all choices.
const EVALUATIONS_MAX: u64 = 5_000_000;
/// Most transitions that are listed of one choice.
const TRANSITIONS_MAX: usize = 20_000;
/// Most failed and held rules that are named of one choice.
const TROUBLES_MAX: usize = 20;

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
        let (book, mut missing) = self.book()?;
        let groups = book.files.iter().flat_map(|file| &file.groups);
        let mut rules = groups.flat_map(|group| &group.rules);
        let history = self.history(rules.any(|rule| rule.asks_completeness()))?;
        let runs = choices
            .into_iter()
            .map(|choice| self.one(choice, &engine, &history, each));
        let runs = runs.collect::<Result<_, _>>()?;
        let kept = self.office.store().samples_from_millis();
        if kept > self.request.start_millis {
            let kept = shown(kept);
            missing.push(format!("samples from before {kept} are no longer kept"));
        }
        missing.extend(history.missing());
        Ok(proto::BacktestResponse { runs, missing })
    }

    /// What is known of the nodes at that time.
    fn history(&self, all: bool) -> Result<History, Status> {
        let config = self.office.config();
        let offset = config.alerting.query_offset.as_duration();
        // What is not looked at yet is not missing.
        let now = self.office.ground.clock.wall_millis();
        let told = now.saturating_sub(series::time::duration_millis(offset));
        let span = (self.request.start_millis, self.request.end_millis.min(told));
        let goes_on = || {
            let stopped = self.source.check();
            stopped.map_err(|_cancelled| Status::cancelled("whoever asked is gone"))
        };
        let agents = self.office.fleet().agents();
        History::read(&self.office.store(), agents, span, all, &goes_on)
    }

    /// The rules to be tried, and the way they are told; and what they depend on that is not among them.
    fn book(&self) -> Result<(Book, Vec<String>), Status> {
        let config = self.office.config();
        let invalid = |error: BookError| Status::invalid_argument(daemon::chain(&error));
        let mut book = Book::read(&config, &self.documents).map_err(invalid)?;
        if self.request.rules.is_empty() {
            return Ok((book, Vec::new()));
        }
        let file = RuleFile::parse("backtest", &self.request.rules);
        let file = file.map_err(|errors| invalid(BookError::Rules(errors)))?;
        let absent = book.only(file, &config).map_err(invalid)?;
        let told = absent.into_iter().map(|(child, parent)| {
            format!("{parent} is in force and not among these rules; {child}, which it explains, counts as told")
        });
        Ok((book, told.collect()))
    }

    fn one(
        &self,
        choice: Choice,
        engine: &Engine,
        history: &History,
        evaluations_max: u64,
    ) -> Result<proto::BacktestRun, Status> {
        let (mut book, _) = self.book()?;
        choose(&mut book.files, &choice)?;
        let groups = book.files.into_iter().flat_map(|file| file.groups);
        let mut groups: Vec<Group> = groups
            .map(|group| Group::new(group, &book.settings))
            .collect();
        let span = (
            Timestamp::from_millis(self.request.start_millis),
            Timestamp::from_millis(self.request.end_millis),
        );
        let completeness = |group: &Group, at: Timestamp| {
            if !group.asks_completeness() {
                return 1.0;
            }
            let at = at.as_millis();
            let looks_at = at - group.query_offset_millis();
            history.completeness(looks_at, group.interval_millis(), at)
        };
        let found = backtest(
            &mut groups,
            &self.source,
            engine,
            span,
            &completeness,
            evaluations_max,
        )
        .map_err(|error| Status::resource_exhausted(error.to_string()))?;
        let rehearsal = rehearse(&found.transitions, book.routes, self.request.end_millis)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(self.answer(choice, &found, &rehearsal))
    }

    /// What came of a choice, for who asked.
    fn answer(
        &self,
        choice: Choice,
        found: &Backtest,
        rehearsal: &Rehearsal,
    ) -> proto::BacktestRun {
        let (precision, recall) = against(rehearsal, &self.judged);
        let wanted = if self.request.transitions {
            found.transitions.len()
        } else {
            0
        };
        let listed = wanted.min(TRANSITIONS_MAX);
        let begin = found.transitions.iter().filter(|it| it.begins_to_fire());
        proto::BacktestRun {
            values: choice.into_iter().collect(),
            transitions: found
                .transitions
                .iter()
                .take(listed)
                .map(Transition::line)
                .collect(),
            transitions_left_out: (wanted - listed) as u64,
            firings: begin.count() as u64,
            incidents: rehearsal.incidents.len() as u64,
            notifications: rehearsal.notifications,
            firing_seconds: firing_seconds(&found.transitions, self.request.end_millis),
            precision: precision.unwrap_or(-1.0),
            recall: recall.unwrap_or(-1.0),
            failures: found.failures_total,
            held: found.held_total,
            troubles: troubles(found),
        }
    }
}

/// What failed or was held, and why: each rule once for each reason, with the time of the first.
fn troubles(found: &Backtest) -> Vec<String> {
    let failures = found.failures.iter().map(|(at, failure)| {
        let why = daemon::chain(&failure.error);
        (*at, format!("{} failed: {why}", failure.rule))
    });
    let held = found.held.iter();
    let held = held.map(|(at, held)| (*at, format!("{} held: {}", held.rule, why(held.why))));
    let mut first: BTreeMap<String, Timestamp> = BTreeMap::new();
    for (at, what) in failures.chain(held) {
        first.entry(what).or_insert(at);
    }
    let all = first.len();
    let mut told: Vec<(Timestamp, String)> =
        first.into_iter().map(|(what, at)| (at, what)).collect();
    told.sort();
    let lines = told.into_iter().take(TROUBLES_MAX);
    let mut lines: Vec<String> = lines
        .map(|(at, what)| format!("from {} on: {what}", shown(at.as_millis())))
        .collect();
    if all > TROUBLES_MAX {
        lines.push(format!("{} more that are not named", all - TROUBLES_MAX));
    }
    lines
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

#[cfg(test)]
mod tests;
