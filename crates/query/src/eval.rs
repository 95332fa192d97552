//! Evaluation: each node once, for all steps at a time.

mod absent;
mod aggregate;
mod binary;
mod buckets;
mod call;
mod dates;
mod elementwise;
mod grid;
mod histogram;
mod kahan;
mod labels;
mod matching;
mod over_time;
mod quantile;
mod rank;
mod rate;
mod regression;
mod rolled;
mod select;
mod sort;
mod steps;
mod window;

use std::cell::{Cell, RefCell};

use crate::answer::Series;
use crate::ast::{Duration, Kind, Shift, Text};
use crate::engine::Options;
use crate::error::Error;
use crate::explain::Trace;
use crate::notes::Notes;
use crate::parse::Expr;
use crate::source::{Budget, SeriesSource};

pub(crate) use grid::{ABSENT, Column, Grid, Row, present};
pub(crate) use steps::{Placed, Steps};

/// What a node evaluates to. Range vectors are not among them: the functions that take one ask for
/// its windows instead.
pub(crate) enum Operand {
    /// One float a step.
    Scalar(Column),
    /// A text.
    Text(Text),
    /// One column for each of some series.
    Grid(Grid),
}

impl Operand {
    fn series(&self) -> usize {
        match self {
            Self::Scalar(_) | Self::Text(_) => 1,
            Self::Grid(grid) => grid.rows.len(),
        }
    }

    fn cells(&self) -> u64 {
        let cells = match self {
            Self::Scalar(values) => values.len(),
            Self::Text(_) => 0,
            Self::Grid(grid) => grid.rows.iter().map(|row| row.values.len()).sum(),
        };
        u64::try_from(cells).unwrap_or(u64::MAX)
    }
}

/// What all nodes of one query share.
pub(crate) struct Context<'a> {
    source: &'a dyn SeriesSource,
    options: &'a Options,
    pub(crate) budget: &'a Budget,
    pub(crate) notes: Notes,
    /// Times of the query as asked, which `@ start()` and `range()` mean even in a subquery.
    query_start: i64,
    query_end: i64,
    /// The step of the query as asked; 0 for an instant query.
    query_step: i64,
    /// Follows the evaluation where it is to be explained.
    pub(crate) trace: Option<Trace>,
    selections: RefCell<select::Selections>,
    /// Samples in columns now, and the most there were together with those read.
    held: Cell<u64>,
    peak: Cell<u64>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        source: &'a dyn SeriesSource,
        options: &'a Options,
        budget: &'a Budget,
        steps: &Steps,
        query_step: i64,
        trace: Option<Trace>,
    ) -> Self {
        Self {
            source,
            options,
            budget,
            notes: Notes::default(),
            query_start: steps.start,
            query_end: steps.end,
            query_step,
            trace,
            selections: RefCell::default(),
            held: Cell::new(0),
            peak: Cell::new(0),
        }
    }

    pub(crate) fn samples_peak(&self) -> u64 {
        self.peak.get().max(self.budget.samples())
    }

    /// Makes sure the query may go on; called for each series.
    fn check(&self) -> Result<(), Error> {
        Ok(self.budget.check()?)
    }

    /// Takes memory for a column of `cells` samples. [`Context::operand`] gives it back.
    fn hold(&self, cells: usize) -> Result<(), Error> {
        let held = self
            .held
            .get()
            .saturating_add(u64::try_from(cells).unwrap_or(u64::MAX));
        self.held.set(held);
        let total = held.saturating_add(self.budget.samples());
        self.peak.set(self.peak.get().max(total));
        if held > self.options.samples_max {
            return Err(Error::Limit {
                what: "samples",
                max: self.options.samples_max,
            });
        }
        Ok(())
    }

    /// An empty column.
    fn column(&self, steps: &Steps) -> Result<Column, Error> {
        self.check()?;
        self.hold(steps.count)?;
        Ok(vec![ABSENT; steps.count])
    }

    /// A duration in milliseconds.
    fn millis(&self, duration: &Duration) -> Result<i64, Error> {
        duration
            .millis(self.query_step, self.query_end - self.query_start)
            .map_err(Error::execution)
    }

    /// The length of a window or of a step in it, which is above zero.
    fn millis_above_zero(&self, duration: &Duration) -> Result<i64, Error> {
        match self.millis(duration)? {
            millis if millis > 0 => Ok(millis),
            _ => Err(Error::execution("duration must be greater than 0")),
        }
    }

    /// The modifiers of a selector, resolved.
    fn placed(&self, shift: &Shift) -> Result<Placed, Error> {
        let offset = match &shift.offset {
            Some(offset) => self.millis(offset)?,
            None => 0,
        };
        Ok(Placed {
            fixed: shift.at.map(|at| match at {
                crate::ast::At::Millis(millis) => millis,
                crate::ast::At::Start => self.query_start,
                crate::ast::At::End => self.query_end,
            }),
            offset,
        })
    }

    /// Evaluates a node that is not a range vector.
    pub(crate) fn operand(&self, expr: &Expr, steps: &Steps) -> Result<Operand, Error> {
        self.check()?;
        let before = self.held.get();
        let operand = self.traced(expr, Operand::series, || self.node(expr, steps))?;
        // What the node's inputs took is free again; what it made is not.
        self.held.set(before.saturating_add(operand.cells()));
        Ok(operand)
    }

    /// The samples of a range vector, which only a whole expression can be.
    pub(crate) fn matrix_operand(&self, expr: &Expr, steps: &Steps) -> Result<Vec<Series>, Error> {
        self.traced(expr, Vec::len, || self.matrix(expr, steps))
    }

    fn traced<T>(
        &self,
        expr: &Expr,
        series: fn(&T) -> usize,
        evaluate: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let began = self.trace.as_ref().map(|trace| trace.enter(expr));
        let made = evaluate()?;
        if let (Some(trace), Some(began)) = (&self.trace, began) {
            trace.leave(began, series(&made) as u64);
        }
        Ok(made)
    }

    fn node(&self, expr: &Expr, steps: &Steps) -> Result<Operand, Error> {
        match &expr.kind {
            Kind::Number(number) => {
                self.hold(steps.count)?;
                Ok(Operand::Scalar(vec![*number; steps.count]))
            }
            Kind::Text(text) => Ok(Operand::Text(text.clone())),
            Kind::Selector(selector) => self.instant_selector(selector, steps).map(Operand::Grid),
            Kind::Range { .. } | Kind::Subquery(_) => {
                Err(Error::execution("a range vector is not a value here"))
            }
            Kind::Call { function, args } => self.call(function.id, args, expr.at, steps),
            Kind::Aggregate(aggregate) => self.aggregate(aggregate, steps).map(Operand::Grid),
            Kind::Binary(binary) => self.binary(binary, steps),
            Kind::Negate(inner) => self.negate(inner, steps),
            Kind::Plus(inner) | Kind::Paren(inner) => self.operand(inner, steps),
        }
    }

    fn negate(&self, inner: &Expr, steps: &Steps) -> Result<Operand, Error> {
        match self.operand(inner, steps)? {
            Operand::Scalar(mut values) => {
                values.iter_mut().for_each(|value| *value = -*value);
                Ok(Operand::Scalar(values))
            }
            Operand::Grid(mut grid) => {
                grid.map(|_step, value| Some(-value));
                Ok(Operand::Grid(grid))
            }
            Operand::Text(_) => Err(Error::execution("text cannot be negated")),
        }
    }

    /// Evaluates a node that the parser has checked to be an instant vector.
    fn grid(&self, expr: &Expr, steps: &Steps) -> Result<Grid, Error> {
        match self.operand(expr, steps)? {
            Operand::Grid(grid) => Ok(grid),
            Operand::Scalar(_) | Operand::Text(_) => {
                Err(Error::execution("expected an instant vector"))
            }
        }
    }

    /// Evaluates a node that the parser has checked to be a scalar.
    fn scalar(&self, expr: &Expr, steps: &Steps) -> Result<Column, Error> {
        match self.operand(expr, steps)? {
            Operand::Scalar(values) => Ok(values),
            Operand::Grid(_) | Operand::Text(_) => Err(Error::execution("expected a scalar")),
        }
    }

    /// Evaluates a node that the parser has checked to be a string.
    fn text(&self, expr: &Expr, steps: &Steps) -> Result<Text, Error> {
        match self.operand(expr, steps)? {
            Operand::Text(text) => Ok(text),
            Operand::Grid(_) | Operand::Scalar(_) => Err(Error::execution("expected a string")),
        }
    }

    /// Removes the metric names that functions on the way have doomed. Prometheus does so at the
    /// end, so that `label_replace` can still see and keep them.
    pub(crate) fn drop_names(&self, mut grid: Grid) -> Result<Grid, Error> {
        for row in grid.rows.iter_mut().filter(|row| row.drop_name) {
            self.check()?;
            row.labels = labels::without_metadata(&row.labels)?;
        }
        grid.merged()
    }
}
