//! `absent` and `absent_over_time`: a value where there is none.

use std::sync::Arc;

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder, MatchOp, Matcher};

use super::{Column, Context, Grid, Steps, labels, present};
use crate::ast::Kind;
use crate::error::Error;
use crate::parse::Expr;

impl Context<'_> {
    pub(super) fn absent(&self, arg: &Expr, steps: &Steps) -> Result<Grid, Error> {
        let grid = self.grid(arg, steps)?;
        let mut seen = vec![false; steps.count];
        for row in &grid.rows {
            for (seen, value) in seen.iter_mut().zip(&row.values) {
                *seen |= present(*value);
            }
        }
        self.where_unseen(&seen, arg, steps)
    }

    pub(super) fn absent_over_time(&self, arg: &Expr, steps: &Steps) -> Result<Grid, Error> {
        let frame = self.frame(arg, steps)?;
        let mut seen = vec![false; steps.count];
        self.each_samples(arg, &frame, &mut |samples| {
            let places = frame.places(self, &samples.times)?;
            for (seen, (low, high)) in seen.iter_mut().zip(&places.bounds) {
                *seen |= low < high;
            }
            Ok(())
        })?;
        self.where_unseen(&seen, arg, steps)
    }

    fn where_unseen(&self, seen: &[bool], arg: &Expr, steps: &Steps) -> Result<Grid, Error> {
        let mut column: Column = self.column(steps)?;
        for (cell, seen) in column.iter_mut().zip(seen) {
            if !seen {
                *cell = 1.0;
            }
        }
        let mut grid = Grid::default();
        grid.push(wanted(arg)?, false, column);
        Ok(grid)
    }
}

/// What is known about the labels of the missing series: those its selector sets to one value. In the
/// order of the matchers, as in Prometheus: what comes after the first value of a label takes it away.
fn wanted(arg: &Expr) -> Result<Arc<Labels>, Error> {
    let matchers: &[Matcher] = match &arg.unwrapped().kind {
        Kind::Selector(selector) | Kind::Range { selector, .. } => &selector.matchers,
        _ => &[],
    };
    let mut builder = LabelsBuilder::default();
    let mut set: Vec<&str> = Vec::new();
    for matcher in matchers {
        let name = matcher.name();
        if matcher.op() == MatchOp::Equal && name != METRIC_NAME && !set.contains(&name) {
            builder.set(name, matcher.value());
            set.push(name);
        } else {
            builder.remove(name);
        }
    }
    labels::build(builder)
}
