//! Columns: for each series one value a step.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use series::{Labels, STALE_NAN, is_stale};

use super::Steps;
use crate::answer::Series;
use crate::error::Error;
use crate::source::Values;

/// One value a step; [`ABSENT`] where there is none.
pub(crate) type Column = Vec<f64>;

/// Marks a step without a value. It is the stale marker: a sample that is one counts as no sample,
/// and arithmetic yields quiet NaNs, so no value is lost to it.
pub(crate) const ABSENT: f64 = STALE_NAN;

/// Whether there is a value.
pub(crate) fn present(value: f64) -> bool {
    !is_stale(value)
}

/// One series of a grid.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) labels: Arc<Labels>,
    /// Whether the metric name goes at the end.
    pub(crate) drop_name: bool,
    pub(crate) values: Column,
}

impl Row {
    pub(crate) fn into_labels(self) -> Labels {
        Arc::unwrap_or_clone(self.labels)
    }

    /// Its present values with their times.
    pub(crate) fn into_series(self, steps: &Steps) -> Series {
        let (times, floats): (Vec<i64>, Vec<f64>) = steps
            .iter()
            .zip(&self.values)
            .filter(|(_, value)| present(**value))
            .unzip();
        Series {
            labels: self.into_labels(),
            times,
            values: Values::Float(floats.into()),
        }
    }
}

/// Some series with a column each. Each has a value at some step, and no two of the same labels
/// have one at the same step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) rows: Vec<Row>,
}

/// Finds rows by labels. The hash is fixed so that a run repeats exactly; label values come from
/// agents that have been let in, and their count is bounded.
pub(crate) type ByLabels<V> = HashMap<Arc<Labels>, V, FixedState>;

impl Grid {
    /// Adds a series, unless it has no value at all.
    pub(crate) fn push(&mut self, labels: Arc<Labels>, drop_name: bool, values: Column) {
        if values.iter().any(|value| present(*value)) {
            self.rows.push(Row {
                labels,
                drop_name,
                values,
            });
        }
    }

    /// Puts the rows in the order of their labels. Those of one target come in that order mostly, so this
    /// is a merge of many runs.
    pub(crate) fn sort(&mut self) {
        self.rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    }

    /// Replaces each value by what `change` makes of it at its step, and dooms the metric names.
    pub(crate) fn map(&mut self, mut change: impl FnMut(usize, f64) -> Option<f64>) {
        self.rows.retain_mut(|row| {
            row.drop_name = true;
            let mut any = false;
            for (step, value) in row.values.iter_mut().enumerate() {
                if present(*value) {
                    *value = change(step, *value).unwrap_or(ABSENT);
                    any |= present(*value);
                }
            }
            any
        });
    }

    /// Joins rows of equal labels into one, but for those of which one keeps its name and the other
    /// does not: which of the two there is may change from step to step.
    pub(crate) fn merged(self) -> Result<Self, Error> {
        let mut index: ByLabels<[Option<usize>; 2]> = ByLabels::default();
        let mut rows: Vec<Row> = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let known = index.entry(Arc::clone(&row.labels)).or_default();
            let mine = usize::from(row.drop_name);
            if let Some(other) = known[1 - mine] {
                check_apart(&rows[other].values, &row.values)?;
            }
            if let Some(same) = known[mine] {
                merge(&mut rows[same].values, &row.values)?;
            } else {
                known[mine] = Some(rows.len());
                rows.push(row);
            }
        }
        Ok(Self { rows })
    }

    /// As [`Grid::merged`], with a name that is doomed at one step doomed at all.
    pub(crate) fn collapsed(mut self) -> Result<Self, Error> {
        let mut doomed: ByLabels<bool> = ByLabels::default();
        for row in &self.rows {
            *doomed.entry(Arc::clone(&row.labels)).or_default() |= row.drop_name;
        }
        for row in &mut self.rows {
            row.drop_name = doomed.get(&row.labels).copied().unwrap_or_default();
        }
        self.merged()
    }
}

/// Two rows of equal labels must not both have a value at a step.
fn check_apart(a: &Column, b: &Column) -> Result<(), Error> {
    let meet = a.iter().zip(b).any(|(a, b)| present(*a) && present(*b));
    if meet {
        return Err(Error::execution(
            "vector cannot contain metrics with the same labelset",
        ));
    }
    Ok(())
}

/// Takes over what `from` has; both having a value at a step is an error.
fn merge(into: &mut Column, from: &Column) -> Result<(), Error> {
    check_apart(into, from)?;
    for (mine, theirs) in into.iter_mut().zip(from) {
        if present(*theirs) {
            *mine = *theirs;
        }
    }
    Ok(())
}
