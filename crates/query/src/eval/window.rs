//! Windows that slide over samples: what range vectors are made of.

use std::sync::Arc;

use series::Labels;

use super::grid::present;
use super::{Context, Grid, Placed, Steps};
use crate::answer::Series;
use crate::ast::{Kind, Selector, Subquery};
use crate::error::Error;
use crate::parse::Expr;
use crate::source::Values;

/// Some series and the window that slides over them.
pub(crate) struct Windows {
    pub(super) series: Vec<Samples>,
    pub(super) range: i64,
    placed: Placed,
    steps: Steps,
}

/// The samples of one series, stale markers left out.
pub(super) struct Samples {
    pub(super) labels: Arc<Labels>,
    pub(super) drop_name: bool,
    pub(super) times: Arc<[i64]>,
    pub(super) values: Arc<[f64]>,
}

/// What one step sees of one series: the samples `low..high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'s> {
    all_times: &'s [i64],
    all_values: &'s [f64],
    /// Index of the first sample inside.
    pub(super) low: usize,
    /// Index after the last sample inside.
    pub(super) high: usize,
    /// Where the window begins; a sample there is outside.
    pub(super) start: i64,
    /// Where it ends; a sample there is inside.
    pub(super) end: i64,
    /// The time of evaluation.
    pub(super) at: i64,
    /// The index of the step.
    pub(super) step: usize,
}

impl<'s> Window<'s> {
    pub(super) fn times(&self) -> &'s [i64] {
        &self.all_times[self.low..self.high]
    }

    pub(super) fn values(&self) -> &'s [f64] {
        &self.all_values[self.low..self.high]
    }
}

/// Computes one step's value from its window. It may keep state: windows only move forward.
pub(super) type Slide<'s> = Box<dyn FnMut(&Window<'_>) -> Result<Option<f64>, Error> + 's>;

impl Windows {
    /// Applies a function to each window of each series.
    pub(super) fn slide<'s>(
        &'s self,
        context: &Context<'_>,
        drop_name: bool,
        make: impl Fn(&'s Samples) -> Slide<'s>,
    ) -> Result<Grid, Error> {
        let mut grid = Grid::default();
        for samples in &self.series {
            let mut column = context.column(&self.steps)?;
            let mut function = make(samples);
            self.each(context, samples, |window| {
                if window.low < window.high
                    && let Some(value) = function(window)?
                {
                    column[window.step] = value;
                }
                Ok(())
            })?;
            grid.push(
                Arc::clone(&samples.labels),
                drop_name || samples.drop_name,
                column,
            );
        }
        Ok(grid)
    }

    /// Visits the window of each step, in order.
    pub(super) fn each(
        &self,
        context: &Context<'_>,
        samples: &Samples,
        mut visit: impl FnMut(&Window<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (mut low, mut high) = (0, 0);
        for (step, at) in self.steps.iter().enumerate() {
            // One series with long windows can take long, so each window asks.
            context.check()?;
            let end = self.placed.time(at);
            let start = end.saturating_sub(self.range);
            while samples.times.get(high).is_some_and(|time| *time <= end) {
                high += 1;
            }
            while low < high && samples.times[low] <= start {
                low += 1;
            }
            visit(&Window {
                all_times: &samples.times,
                all_values: &samples.values,
                low,
                high,
                start,
                end,
                at,
                step,
            })?;
        }
        Ok(())
    }

    /// The samples of the first window themselves, as an instant query of a range vector answers.
    pub(crate) fn into_matrix(self, context: &Context<'_>) -> Result<Vec<Series>, Error> {
        let mut matrix = Vec::new();
        for samples in &self.series {
            context.check()?;
            let labels = if samples.drop_name {
                super::labels::without_metadata(&samples.labels)?
            } else {
                Arc::clone(&samples.labels)
            };
            self.each(context, samples, |window| {
                if window.low < window.high {
                    matrix.push(Series {
                        labels: Labels::clone(&labels),
                        times: window.times().to_vec(),
                        values: Values::Float(window.values().into()),
                    });
                }
                Ok(())
            })?;
        }
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        if matrix
            .windows(2)
            .any(|pair| pair[0].labels == pair[1].labels)
        {
            return Err(Error::execution(
                "vector cannot contain metrics with the same labelset",
            ));
        }
        Ok(matrix)
    }
}

impl Context<'_> {
    /// The windows of an expression that the parser has checked to be a range vector.
    pub(crate) fn windows(&self, expr: &Expr, steps: &Steps) -> Result<Windows, Error> {
        match &expr.unwrapped().kind {
            Kind::Range { selector, range } => {
                let range = self.millis_above_zero(range)?;
                self.selector_windows(selector, range, steps)
            }
            Kind::Subquery(subquery) => self.subquery_windows(subquery, steps),
            _ => Err(Error::execution("expected a range vector")),
        }
    }

    fn selector_windows(
        &self,
        selector: &Selector,
        range: i64,
        steps: &Steps,
    ) -> Result<Windows, Error> {
        let placed = self.placed(&selector.shift)?;
        let mut series = Vec::new();
        if steps.count > 0 {
            for raw in self.read_placed(selector, &placed, range, steps)?.iter() {
                self.check()?;
                let (times, values) = raw.fresh();
                series.push(Samples {
                    labels: Arc::clone(&raw.labels),
                    drop_name: false,
                    times,
                    values,
                });
            }
        }
        Ok(Windows {
            series,
            range,
            placed,
            steps: *steps,
        })
    }

    fn subquery_windows(&self, subquery: &Subquery, steps: &Steps) -> Result<Windows, Error> {
        let placed = self.placed(&subquery.shift)?;
        let range = self.millis_above_zero(&subquery.range)?;
        let mut series = Vec::new();
        if steps.count > 0 {
            let inner = self.subquery_steps(subquery, steps)?;
            for row in self.grid(&subquery.expr, &inner)?.collapsed()?.rows {
                self.check()?;
                self.hold(row.values.len())?;
                let (times, values): (Vec<i64>, Vec<f64>) = inner
                    .iter()
                    .zip(&row.values)
                    .filter(|(_, value)| present(**value))
                    .unzip();
                series.push(Samples {
                    labels: row.labels,
                    drop_name: row.drop_name,
                    times: times.into(),
                    values: values.into(),
                });
            }
        }
        Ok(Windows {
            series,
            range,
            placed,
            steps: *steps,
        })
    }
}
