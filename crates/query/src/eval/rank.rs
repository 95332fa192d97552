//! Aggregations that pick rows: `topk`, `bottomk`, `limitk`, `limit_ratio`.

use std::cmp::Ordering;
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use series::Labels;

use super::aggregate::{Group, go_float};
use super::quantile::nan_first;
use super::{ABSENT, Column, Context, Grid, Row, Steps, present};
use crate::ast::{Aggregate, AggregateOp};
use crate::error::Error;
use crate::notes::Level;

impl Context<'_> {
    pub(super) fn rank(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        let (params, param) = self.scalar_param(aggregate, steps)?;
        if aggregate.op == AggregateOp::LimitRatio {
            let ratios = self.ratios(params, param.at)?;
            return self.limit_ratio(aggregate, &ratios, steps);
        }
        let limits = limits(&params)?;
        let mut out = Grid::default();
        for group in self.groups(aggregate, steps)? {
            self.check()?;
            out.rows
                .append(&mut self.pick(group, aggregate.op, &limits)?);
        }
        Ok(out)
    }

    fn ratios(&self, mut params: Column, at: usize) -> Result<Column, Error> {
        for ratio in &mut params {
            if ratio.is_nan() {
                return Err(Error::execution("Ratio value is NaN"));
            }
            let capped = ratio.clamp(-1.0, 1.0);
            if ratio.abs() > 1.0 {
                let text = format!(
                    "ratio value should be between -1 and 1, got {}, capping to {}",
                    go_float(*ratio),
                    go_float(capped)
                );
                self.notes.add(Level::Warning, at, text);
            }
            *ratio = capped;
        }
        Ok(params)
    }

    /// Keeps the rows whose hash falls into the ratio. A negative ratio keeps exactly the rows
    /// that its complement leaves out.
    fn limit_ratio(
        &self,
        aggregate: &Aggregate,
        ratios: &[f64],
        steps: &Steps,
    ) -> Result<Grid, Error> {
        let mut grid = self.grid(&aggregate.expr, steps)?;
        grid.rows.retain_mut(|row| {
            let place = place(&row.labels);
            let mut any = false;
            for (cell, ratio) in row.values.iter_mut().zip(ratios) {
                let kept = if *ratio >= 0.0 {
                    place < *ratio
                } else {
                    place >= 1.0 + ratio
                };
                if !kept {
                    *cell = ABSENT;
                }
                any |= present(*cell);
            }
            any
        });
        Ok(grid)
    }

    /// The rows of a group with only the picked values left. With one step they come out in rank order.
    fn pick(&self, group: Group, op: AggregateOp, limits: &[usize]) -> Result<Vec<Row>, Error> {
        let mut picked: Vec<Vec<bool>> = vec![vec![false; limits.len()]; group.rows.len()];
        let mut ranked: Vec<(usize, f64)> = Vec::new();
        let order = |a: &(usize, f64), b: &(usize, f64)| {
            let by_value = match op {
                AggregateOp::Topk => nan_first(&b.1, &a.1),
                AggregateOp::Bottomk => nan_last(a.1, b.1),
                _ => Ordering::Equal,
            };
            // A group is sorted by labels, so ties go by labels.
            by_value.then(a.0.cmp(&b.0))
        };
        for (step, limit) in limits.iter().enumerate() {
            self.check()?;
            ranked.clear();
            let values = group.rows.iter().map(|row| row.values[step]);
            ranked.extend(values.enumerate().filter(|(_, value)| present(*value)));
            if *limit < ranked.len() {
                ranked.select_nth_unstable_by(*limit, order);
                ranked.truncate(*limit);
            }
            ranked.sort_unstable_by(order);
            for (row, _) in &ranked {
                picked[*row][step] = true;
            }
        }
        let mut rows: Vec<Option<Row>> = group.rows.into_iter().map(Some).collect();
        let order: Vec<usize> = if limits.len() == 1 {
            ranked.into_iter().map(|(row, _)| row).collect()
        } else {
            (0..rows.len()).collect()
        };
        let mut out = Vec::new();
        for index in order {
            let Some(mut row) = rows[index].take() else {
                continue;
            };
            for (cell, keep) in row.values.iter_mut().zip(&picked[index]) {
                if !keep {
                    *cell = ABSENT;
                }
            }
            if picked[index].contains(&true) {
                out.push(row);
            }
        }
        Ok(out)
    }
}

/// Where in 0 to 1 a label set falls; the same in every process.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio needs no more than 53 bits"
)]
fn place(labels: &Labels) -> f64 {
    FixedState::with_seed(0).hash_one(labels) as f64 / u64::MAX as f64
}

/// How many rows each step keeps.
fn limits(params: &[f64]) -> Result<Vec<usize>, Error> {
    params
        .iter()
        .map(|param| {
            if param.is_nan() {
                return Err(Error::execution("Parameter value is NaN"));
            }
            if !(-9.2e18..=9.2e18).contains(param) {
                return Err(Error::execution(format!(
                    "Scalar value {} overflows int64",
                    go_float(*param)
                )));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "negative counts as none, and the range is checked"
            )]
            Ok(param.max(0.0) as usize)
        })
        .collect()
}

fn nan_last(a: f64, b: f64) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then(nan_first(&a, &b))
}
