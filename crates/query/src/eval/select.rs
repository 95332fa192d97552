//! Reading series: each selector once, over all the time that the expression looks at.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::FixedState;
use rollup::Tier;
use series::{Floats, Labels, Matcher, TimeRange, Timestamp, is_stale};

use super::grid::present;
use super::rolled::Found;
use super::steps::seconds;
use super::window::{Frame, PLACES_MAX};
use super::{Context, Grid, Placed, Steps, dates};
use crate::ast::{Kind, Selector, Subquery};
use crate::error::Error;
use crate::parse::Expr;
use crate::source::{Selected, SeriesSlice, SourceError};

/// One series as read.
pub(super) struct Raw {
    pub(super) labels: Arc<Labels>,
    pub(super) times: Arc<[i64]>,
    pub(super) values: Floats,
}

/// What has been and will be read.
#[derive(Default)]
pub(super) struct Selections {
    by_selector: HashMap<String, Vec<Span>>,
    /// By selector, tier and where they lie.
    pub(super) windows: HashMap<(String, Tier, (i64, i64)), Found>,
    pub(super) windows_read: BTreeMap<Tier, u64>,
    warnings: Vec<String>,
    partial: bool,
}

impl Selections {
    /// Keeps what the source says.
    pub(super) fn note(&mut self, warnings: Vec<String>, partial: bool) {
        self.partial |= partial;
        for warning in warnings {
            if self.warnings.len() < WARNINGS_MAX && !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// One stretch of time of one selector.
struct Span {
    start: i64,
    end: i64,
    /// How many nodes of the expression need it.
    uses: usize,
    series: Option<Rc<Vec<Raw>>>,
}

/// Most warnings of the source that are kept.
const WARNINGS_MAX: usize = 100;

/// What an instant selector gives for a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Value,
    Time,
}

impl Context<'_> {
    pub(crate) fn source_warnings(&self) -> Vec<String> {
        self.selections.borrow().warnings.clone()
    }

    pub(crate) fn partial(&self) -> bool {
        self.selections.borrow().partial
    }

    /// Windows read, by tier.
    pub(crate) fn windows_read(&self) -> BTreeMap<Tier, u64> {
        self.selections.borrow().windows_read.clone()
    }

    /// Finds out what each selector below `expr` will need. Stretches of the same selector that
    /// touch are read as one; those far apart are not, since what lies between is of no use.
    pub(crate) fn plan(&self, expr: &Expr, steps: &Steps) -> Result<(), Error> {
        if steps.count == 0 {
            return Ok(());
        }
        match &expr.kind {
            Kind::Number(_) | Kind::Text(_) => Ok(()),
            Kind::Selector(selector) => {
                self.plan_selector(selector, self.options.lookback_ms, steps)
            }
            Kind::Range { selector, range } => {
                let range = self.millis_above_zero(range)?;
                self.plan_selector(selector, range, steps)
            }
            Kind::Subquery(subquery) => {
                let inner = self.subquery_steps(subquery, steps)?;
                self.plan(&subquery.expr, &inner)
            }
            Kind::Call { function, args } => match self.rolled(function.id, args, steps)? {
                Some(rolled) => {
                    self.plan_rolled(&rolled);
                    Ok(())
                }
                None => args.iter().try_for_each(|arg| self.plan(arg, steps)),
            },
            Kind::Aggregate(aggregate) => {
                if let Some(param) = &aggregate.param {
                    self.plan(param, steps)?;
                }
                self.plan(&aggregate.expr, steps)
            }
            Kind::Binary(binary) => {
                self.plan(&binary.lhs, steps)?;
                self.plan(&binary.rhs, steps)
            }
            Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => self.plan(inner, steps),
        }
    }

    fn plan_selector(&self, selector: &Selector, back: i64, steps: &Steps) -> Result<(), Error> {
        let (start, end) = stretch(&self.placed(&selector.shift)?, back, steps);
        self.plan_span(&selector.matchers, start, end);
        Ok(())
    }

    pub(super) fn plan_span(&self, matchers: &[Matcher], start: i64, end: i64) {
        let mut selections = self.selections.borrow_mut();
        let spans = selections.by_selector.entry(key(matchers)).or_default();
        let mut merged = Span {
            start,
            end,
            uses: 1,
            series: None,
        };
        spans.retain(|span| {
            let touches = span.start <= merged.end.saturating_add(1)
                && merged.start <= span.end.saturating_add(1);
            if touches {
                merged.start = merged.start.min(span.start);
                merged.end = merged.end.max(span.end);
                merged.uses += span.uses;
            }
            !touches
        });
        spans.push(merged);
    }

    /// The steps of a subquery: multiples of its own step, whatever the time of evaluation, so
    /// that a query moved by a little sees the same points.
    pub(super) fn subquery_steps(
        &self,
        subquery: &Subquery,
        steps: &Steps,
    ) -> Result<Steps, Error> {
        let placed = self.placed(&subquery.shift)?;
        let range = self.millis_above_zero(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.millis_above_zero(step)?,
            None => self.options.subquery_step_ms,
        };
        let left = placed.time(steps.start).saturating_sub(range);
        let mut start = step * (left / step);
        if start <= left {
            start += step;
        }
        Steps::new(start, placed.time(steps.last()), step)
    }

    /// The series of a selector over at least the time from `start` to `end`.
    pub(super) fn read(
        &self,
        matchers: &[Matcher],
        start: i64,
        end: i64,
    ) -> Result<Rc<Vec<Raw>>, Error> {
        let key = key(matchers);
        let (start, end) = {
            let selections = self.selections.borrow();
            let span = selections.by_selector.get(&key).and_then(|spans| {
                spans
                    .iter()
                    .find(|span| span.start <= start && end <= span.end)
            });
            match span {
                Some(Span {
                    series: Some(series),
                    ..
                }) => {
                    let series = Rc::clone(series);
                    if let Some(trace) = &self.trace {
                        let reading = trace.reading(self.budget);
                        reading.end_again(matchers, millis_range(start, end), None);
                    }
                    return Ok(series);
                }
                Some(span) => (span.start, span.end),
                None => (start, end),
            }
        };
        let range = millis_range(start, end);
        let mut series: Vec<Raw> = Vec::new();
        let reading = self.trace.as_ref().map(|trace| trace.reading(self.budget));
        let selected = self
            .source
            .select_each(matchers, range, self.budget, &mut |slice| {
                series.push(Raw::from(slice));
                Ok(())
            })?;
        if let Some(reading) = reading {
            reading.end(matchers, range, None);
        }
        self.note_selection(start, selected);
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let series = Rc::new(series);
        let mut selections = self.selections.borrow_mut();
        let spans = selections.by_selector.entry(key).or_default();
        match spans.iter_mut().find(|s| s.start == start && s.end == end) {
            Some(span) => span.series = Some(Rc::clone(&series)),
            None => spans.push(Span {
                start,
                end,
                uses: 0,
                series: Some(Rc::clone(&series)),
            }),
        }
        Ok(series)
    }

    /// Hands each series that a selector needs to `visit`, in no order, when each step looks `back`
    /// milliseconds from its time. What only one node asks for is let go at once.
    pub(super) fn each_raw(
        &self,
        matchers: &[Matcher],
        placed: &Placed,
        back: i64,
        steps: &Steps,
        visit: &mut dyn FnMut(&Raw) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (start, end) = stretch(placed, back, steps);
        if !self.is_read_once(matchers, start, end) {
            return self.read(matchers, start, end)?.iter().try_for_each(visit);
        }
        let range = millis_range(start, end);
        let mut failed = None;
        let reading = self.trace.as_ref().map(|trace| trace.reading(self.budget));
        let read = self
            .source
            .select_each(matchers, range, self.budget, &mut |slice| {
                let raw = Raw::from(slice);
                let visited = match &reading {
                    Some(reading) => reading.visit(|| visit(&raw)),
                    None => visit(&raw),
                };
                visited.map_err(|error| {
                    failed = Some(error);
                    SourceError::Cancelled
                })
            });
        if let Some(error) = failed {
            return Err(error);
        }
        self.note_selection(start, read?);
        if let Some(reading) = reading {
            reading.end(matchers, range, None);
        }
        Ok(())
    }

    /// Whether the plan has one use for a stretch of a selector.
    fn is_read_once(&self, matchers: &[Matcher], start: i64, end: i64) -> bool {
        let selections = self.selections.borrow();
        let spans = selections.by_selector.get(&key(matchers));
        let planned = spans.into_iter().flatten();
        let mut planned = planned.filter(|span| span.start <= start && end <= span.end);
        planned.next().is_some_and(|span| span.uses == 1)
    }

    /// Keeps what was said of a selection from `start` on.
    fn note_selection(&self, start: i64, selected: Selected) {
        let mut selections = self.selections.borrow_mut();
        selections.note(selected.warnings, selected.partial);
        if start >= self.source.samples_from() {
            return;
        }
        let tiers: Vec<&str> = self.source.tiers().iter().map(|tier| tier.name()).collect();
        let warning = format!(
            "samples before {} were dropped and are missing here; roll-ups of {} are kept, which \
             sum, avg, count, min, max, present, stddev and stdvar_over_time read where range, step \
             and time are multiples of them",
            dates::day(self.source.samples_from()),
            tiers.join(" and "),
        );
        selections.note(vec![warning], true);
    }

    pub(super) fn instant_selector(
        &self,
        selector: &Selector,
        steps: &Steps,
    ) -> Result<Grid, Error> {
        self.latest(selector, steps, Take::Value)
    }

    /// For each step the latest sample that is not older than the lookback; a stale marker ends
    /// a series at once.
    pub(super) fn latest(
        &self,
        selector: &Selector,
        steps: &Steps,
        take: Take,
    ) -> Result<Grid, Error> {
        let mut grid = Grid::default();
        if steps.count == 0 {
            return Ok(grid);
        }
        let lookback = self.options.lookback_ms;
        let placed = self.placed(&selector.shift)?;
        let frame = Frame::new(lookback, placed, steps);
        self.each_raw(&selector.matchers, &placed, lookback, steps, &mut |raw| {
            let mut column = self.column(steps)?;
            let places = frame.places(self, &raw.times)?;
            let mut values = raw.values.walk();
            for (cell, (low, high)) in column.iter_mut().zip(&places.bounds) {
                if low == high {
                    continue;
                }
                let last = *high as usize - 1;
                let value = values.at(last);
                if present(value) {
                    *cell = match take {
                        Take::Value => value,
                        Take::Time => seconds(raw.times[last]),
                    };
                }
            }
            grid.push(Arc::clone(&raw.labels), false, column);
            Ok(())
        })?;
        grid.sort();
        Ok(grid)
    }
}

/// The first and last millisecond that all steps together look at. Windows are open at the left.
fn stretch(placed: &Placed, back: i64, steps: &Steps) -> (i64, i64) {
    let first = placed.time(steps.start).saturating_sub(back);
    (first.saturating_add(1), placed.time(steps.last()))
}

pub(super) fn millis_range(start: i64, end: i64) -> TimeRange {
    TimeRange::new(Timestamp::from_millis(start), Timestamp::from_millis(end))
}

pub(super) fn key(matchers: &[Matcher]) -> String {
    let parts: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    parts.join(",")
}

impl From<SeriesSlice> for Raw {
    fn from(slice: SeriesSlice) -> Self {
        Self {
            labels: slice.labels,
            times: slice.times,
            values: slice.values,
        }
    }
}

/// Leaves stale markers out, which windows pass over. Series of one target have theirs at the same
/// times, so what is left of their times is made once and shared.
#[derive(Default)]
pub(super) struct Fresh {
    by_times: HashMap<usize, FreshTimes, FixedState>,
}

struct FreshTimes {
    all: Arc<[i64]>,
    stale: Vec<usize>,
    fresh: Arc<[i64]>,
}

impl Fresh {
    /// Times and values of a series without stale markers.
    pub(super) fn of(&mut self, raw: &Raw) -> (Arc<[i64]>, Floats) {
        if !raw.values.may_have_stale() {
            return (Arc::clone(&raw.times), raw.values.clone());
        }
        let values = raw.values.whole();
        let stale = values.iter().enumerate();
        let stale = stale.filter(|(_, value)| is_stale(**value));
        let stale: Vec<usize> = stale.map(|(index, _)| index).collect();
        if stale.is_empty() {
            return (Arc::clone(&raw.times), raw.values.clone());
        }
        let values = Floats::from(without(&values, &stale));
        let address = raw.times.as_ptr().addr();
        // The times are held, so their address is their own.
        if let Some(known) = self.by_times.get(&address)
            && Arc::ptr_eq(&known.all, &raw.times)
            && known.stale == stale
        {
            return (Arc::clone(&known.fresh), values);
        }
        let fresh: Arc<[i64]> = without(&raw.times, &stale).into();
        let known = FreshTimes {
            all: Arc::clone(&raw.times),
            stale,
            fresh: Arc::clone(&fresh),
        };
        if self.by_times.len() >= PLACES_MAX {
            self.by_times.clear();
        }
        self.by_times.insert(address, known);
        (fresh, values)
    }
}

/// All but those at some indices, which ascend.
fn without<T: Copy>(all: &[T], left_out: &[usize]) -> Vec<T> {
    let mut kept = Vec::with_capacity(all.len());
    let mut from = 0;
    for &index in left_out.iter().chain([&all.len()]) {
        kept.extend_from_slice(all.get(from..index).unwrap_or_default());
        from = index + 1;
    }
    kept
}
