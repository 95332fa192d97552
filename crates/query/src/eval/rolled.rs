//! Functions of a range that roll-ups answer exactly: windows in the place of their samples.
//!
//! A window on the grid of its tier holds the samples that a range of PromQL means, so a range that
//! begins and ends on the grid is a union of windows. At a single time a range may also begin and end
//! beside the grid: then the samples of its two edges are read, and windows between.

use std::rc::Rc;
use std::sync::Arc;

use rollup::{Tier, Window};
use series::is_stale;

use super::grid::ByLabels;
use super::select::{key, millis_range};
use super::{ABSENT, Context, Grid, Placed, Steps};
use crate::ast::{Kind, Selector};
use crate::error::Error;
use crate::parse::Expr;
use crate::parse::functions::Id;
use crate::source::WindowSlice;

/// How a range is read from windows.
pub(super) struct Rolled<'e> {
    selector: &'e Selector,
    tier: Tier,
    /// Where the windows lie that all steps need: after the first, up to the second.
    span: (i64, i64),
    /// Samples before and after them, first and last millisecond.
    edges: Vec<(i64, i64)>,
    range: i64,
    placed: Placed,
}

/// Windows that a selector found.
pub(super) type Found = Rc<Vec<WindowSlice>>;

impl Context<'_> {
    /// How a function of a range is answered from windows; `None` when it needs the samples.
    pub(super) fn rolled<'e>(
        &self,
        id: Id,
        args: &'e [Expr],
        steps: &Steps,
    ) -> Result<Option<Rolled<'e>>, Error> {
        let tiers = self.source.tiers();
        let [arg] = args else { return Ok(None) };
        let Kind::Range { selector, range } = &arg.unwrapped().kind else {
            return Ok(None);
        };
        if tiers.is_empty() || steps.count == 0 {
            return Ok(None);
        }
        let range = self.millis_above_zero(range)?;
        let placed = self.placed(&selector.shift)?;
        let (first, last) = (placed.time(steps.start), placed.time(steps.last()));
        let start = first.saturating_sub(range);
        let is_exact = match id {
            Id::SumOverTime
            | Id::AvgOverTime
            | Id::CountOverTime
            | Id::MinOverTime
            | Id::MaxOverTime
            | Id::PresentOverTime => true,
            // The difference of large numbers: where there is nothing better.
            Id::StddevOverTime | Id::StdvarOverTime => start < self.source.samples_from(),
            _ => false,
        };
        if !is_exact {
            return Ok(None);
        }
        let rolled = |tier, span, edges| Rolled {
            selector,
            tier,
            span,
            edges,
            range,
            placed,
        };
        let once = first == last;
        let is_worth = |tier: Tier, span: i64| {
            let least = i64::from(self.options.windows_min) * tier.millis();
            span >= least || start < self.source.samples_from()
        };
        for &tier in tiers.iter().rev() {
            let width = tier.millis();
            let on_grid = |time: i64| time.rem_euclid(width) == 0;
            let fits = on_grid(range) && on_grid(first) && (once || on_grid(steps.step));
            if fits && is_worth(tier, last.saturating_sub(start)) {
                return Ok(Some(rolled(tier, (start, last), Vec::new())));
            }
        }
        // The finest tier leaves the smallest edges.
        let Some(&tier) = tiers.first().filter(|_| once) else {
            return Ok(None);
        };
        let inner = (tier.end_of(start), last - last.rem_euclid(tier.millis()));
        if inner.1 - inner.0 < tier.millis() || !is_worth(tier, inner.1 - inner.0) {
            return Ok(None);
        }
        let edges = [(start + 1, inner.0), (inner.1 + 1, last)];
        let edges = edges.into_iter().filter(|(from, to)| from <= to);
        Ok(Some(rolled(tier, inner, edges.collect())))
    }

    /// Plans the samples that a function needs beside the windows.
    pub(super) fn plan_rolled(&self, rolled: &Rolled<'_>) {
        for (start, end) in &rolled.edges {
            self.plan_span(&rolled.selector.matchers, *start, *end);
        }
    }

    /// The function's value at each step; `None` when only the samples can tell.
    pub(super) fn rolled_call(
        &self,
        id: Id,
        rolled: &Rolled<'_>,
        steps: &Steps,
    ) -> Result<Option<Grid>, Error> {
        let found = self.read_windows(rolled)?;
        let mut windows = found.iter().flat_map(|series| &series.windows);
        if id == Id::AvgOverTime && windows.any(|(_, window)| overflows(window)) {
            return Ok(None);
        }
        if !rolled.edges.is_empty() {
            return self.with_edges(id, rolled, &found, steps);
        }
        let mut grid = Grid::default();
        for series in found.iter() {
            let mut column = self.column(steps)?;
            let (mut low, mut high) = (0, 0);
            let windows = &series.windows;
            for (cell, at) in column.iter_mut().zip(steps.iter()) {
                self.check()?;
                let end = rolled.placed.time(at);
                let start = end.saturating_sub(rolled.range);
                while windows.get(high).is_some_and(|(time, _)| *time <= end) {
                    high += 1;
                }
                while low < high && windows[low].0 <= start {
                    low += 1;
                }
                *cell = value(id, windows[low..high].iter().map(|(_, window)| *window));
            }
            grid.push(Arc::clone(&series.labels), true, column);
        }
        Ok(Some(grid))
    }

    fn with_edges(
        &self,
        id: Id,
        rolled: &Rolled<'_>,
        found: &Found,
        steps: &Steps,
    ) -> Result<Option<Grid>, Error> {
        let mut parts: ByLabels<Vec<Window>> = ByLabels::default();
        for series in found.iter() {
            let windows = series.windows.iter().map(|(_, window)| *window);
            parts.insert(Arc::clone(&series.labels), windows.collect());
        }
        for (start, end) in &rolled.edges {
            for raw in self.read(&rolled.selector.matchers, *start, *end)?.iter() {
                self.check()?;
                let inside = |time: &i64| (*start..=*end).contains(time);
                let samples = raw.times.iter().zip(raw.values.iter());
                let fresh = samples.filter(|(time, value)| inside(time) && !is_stale(*value));
                let edge = fresh.fold(None, |edge: Option<Window>, (_, value)| match edge {
                    Some(mut window) => {
                        window.add(value);
                        Some(window)
                    }
                    None => Some(Window::of(value)),
                });
                let windows = parts.entry(Arc::clone(&raw.labels)).or_default();
                windows.extend(edge);
            }
        }
        let mut parts: Vec<_> = parts.into_iter().collect();
        parts.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if id == Id::AvgOverTime && parts.iter().flat_map(|(_, it)| it).any(overflows) {
            return Ok(None);
        }
        let mut grid = Grid::default();
        for (labels, windows) in parts {
            let mut column = self.column(steps)?;
            column.fill(value(id, windows.iter().copied()));
            grid.push(labels, true, column);
        }
        Ok(Some(grid))
    }

    fn read_windows(&self, rolled: &Rolled<'_>) -> Result<Found, Error> {
        let matchers = &rolled.selector.matchers;
        let place = (key(matchers), rolled.tier, rolled.span);
        let (after, last) = rolled.span;
        let range = millis_range(after.saturating_add(1), last);
        let reading = self.trace.as_ref().map(|trace| trace.reading(self.budget));
        if let Some(found) = self.selections.borrow().windows.get(&place) {
            if let Some(reading) = reading {
                reading.end_again(matchers, range, Some(rolled.tier));
            }
            return Ok(Rc::clone(found));
        }
        let read = self
            .source
            .windows(matchers, rolled.tier, range, self.budget)?;
        let mut series = read.series;
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let found = Rc::new(series);
        let mut selections = self.selections.borrow_mut();
        selections.note(read.said.warnings, read.said.partial);
        let count: usize = found.iter().map(|series| series.windows.len()).sum();
        if let Some(reading) = reading {
            reading.end(matchers, range, Some((rolled.tier, count as u64)));
        }
        *selections.windows_read.entry(rolled.tier).or_default() += count as u64;
        selections.windows.insert(place, Rc::clone(&found));
        Ok(found)
    }
}

/// Whether the sum of finite samples left the finite numbers; their mean need not.
fn overflows(window: &Window) -> bool {
    !window.sum().is_finite() && window.min.is_finite() && window.max.is_finite()
}

/// What a function makes of windows that have no sample in common; [`ABSENT`] of none.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn value(id: Id, windows: impl Iterator<Item = Window> + Clone) -> f64 {
    let whole = windows.clone().reduce(|mut whole, window| {
        whole.merge(window);
        whole
    });
    let Some(whole) = whole else { return ABSENT };
    match id {
        Id::SumOverTime => whole.sum(),
        Id::CountOverTime => whole.count as f64,
        Id::MinOverTime => whole.min,
        Id::MaxOverTime => whole.max,
        Id::PresentOverTime => 1.0,
        Id::StdvarOverTime => whole.standard_deviation().powi(2),
        Id::StddevOverTime => whole.standard_deviation(),
        _ if overflows(&whole) => windows
            .map(|window| window.sum() / whole.count as f64)
            .sum(),
        _ => whole.mean(),
    }
}
