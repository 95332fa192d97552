//! Aggregations: rows in groups, folded step by step.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::FixedState;
use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder};

use super::grid::ByLabels;
use super::kahan::{Mean, Sum, Variance};
use super::{ABSENT, Column, Context, Grid, Row, Steps, labels, present, quantile};
use crate::ast::{Aggregate, AggregateOp};
use crate::error::Error;
use crate::parse::Expr;
use crate::parse::print::go_decimal;

/// Rows that are aggregated together.
pub(super) struct Group {
    pub(super) labels: Arc<Labels>,
    pub(super) rows: Vec<Row>,
}

impl Group {
    /// Adds the group's result. At each step its name is doomed if that of any of its rows is.
    fn push_to(self, grid: &mut Grid, mut column: Column) {
        let doomed = self.rows.iter().filter(|row| row.drop_name);
        let doomed_rows = doomed.clone().count();
        if doomed_rows == 0 || doomed_rows == self.rows.len() {
            grid.push(self.labels, doomed_rows > 0, column);
            return;
        }
        let mut doomed_column = vec![ABSENT; column.len()];
        for (step, cell) in column.iter_mut().enumerate() {
            if doomed.clone().any(|row| present(row.values[step])) {
                doomed_column[step] = std::mem::replace(cell, ABSENT);
            }
        }
        grid.push(Arc::clone(&self.labels), false, column);
        grid.push(self.labels, true, doomed_column);
    }
}

/// One step's state of an aggregation that folds floats.
trait Fold: Sized + Copy {
    fn first(value: f64) -> Self;
    fn add(&mut self, value: f64);
    fn result(self) -> f64;
}

impl Fold for Mean {
    fn first(value: f64) -> Self {
        Self::of(value)
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn result(self) -> f64 {
        self.value()
    }
}

impl Fold for Variance {
    fn first(value: f64) -> Self {
        let mut variance = Self::default();
        variance.add(value);
        variance
    }
    fn add(&mut self, value: f64) {
        Self::add(self, value);
    }
    fn result(self) -> f64 {
        self.value()
    }
}

/// Standard deviation.
#[derive(Clone, Copy)]
struct Deviation(Variance);

impl Fold for Deviation {
    fn first(value: f64) -> Self {
        Self(Variance::first(value))
    }
    fn add(&mut self, value: f64) {
        self.0.add(value);
    }
    fn result(self) -> f64 {
        self.0.value().sqrt()
    }
}

/// The least or, if `GREATEST`, the greatest; NaN only if there is nothing else.
#[derive(Clone, Copy)]
struct Extreme<const GREATEST: bool>(f64);

impl<const GREATEST: bool> Fold for Extreme<GREATEST> {
    fn first(value: f64) -> Self {
        Self(value)
    }
    fn add(&mut self, value: f64) {
        let beats = if GREATEST {
            value > self.0
        } else {
            value < self.0
        };
        if beats || self.0.is_nan() {
            self.0 = value;
        }
    }
    fn result(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Count(f64);

impl Fold for Count {
    fn first(_value: f64) -> Self {
        Self(1.0)
    }
    fn add(&mut self, _value: f64) {
        self.0 += 1.0;
    }
    fn result(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct One;

impl Fold for One {
    fn first(_value: f64) -> Self {
        Self
    }
    fn add(&mut self, _value: f64) {}
    fn result(self) -> f64 {
        1.0
    }
}

impl Context<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        match aggregate.op {
            AggregateOp::Sum => self.sum(aggregate, steps),
            AggregateOp::Avg => self.fold::<Mean>(aggregate, steps),
            AggregateOp::Min => self.fold::<Extreme<false>>(aggregate, steps),
            AggregateOp::Max => self.fold::<Extreme<true>>(aggregate, steps),
            AggregateOp::Count => self.fold::<Count>(aggregate, steps),
            AggregateOp::Group => self.fold::<One>(aggregate, steps),
            AggregateOp::Stddev => self.fold::<Deviation>(aggregate, steps),
            AggregateOp::Stdvar => self.fold::<Variance>(aggregate, steps),
            AggregateOp::Quantile => self.quantiles(aggregate, steps),
            AggregateOp::CountValues => self.count_values(aggregate, steps),
            AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk
            | AggregateOp::LimitRatio => self.rank(aggregate, steps),
        }
    }

    /// The rows of the aggregated expression in groups, sorted by labels in each.
    pub(super) fn groups(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Vec<Group>, Error> {
        let grid = self.grid(&aggregate.expr, steps)?;
        // Label sets are made for groups, and not for each row.
        let mut index: HashMap<Vec<u8>, usize, FixedState> = HashMap::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut key = Vec::new();
        for row in grid.rows {
            self.check()?;
            key.clear();
            for (name, value) in row
                .labels
                .iter()
                .filter(|(name, _)| is_kept(name, aggregate))
            {
                for piece in [name, value] {
                    key.extend_from_slice(piece.as_bytes());
                    // No text holds this byte.
                    key.push(0xff);
                }
            }
            let at = match index.get(&key) {
                Some(at) => *at,
                None => {
                    let keep = |name: &str| is_kept(name, aggregate);
                    groups.push(Group {
                        labels: labels::filtered(&row.labels, keep)?,
                        rows: Vec::new(),
                    });
                    index.insert(key.clone(), groups.len() - 1);
                    groups.len() - 1
                }
            };
            groups[at].rows.push(row);
        }
        // The last digit of a sum depends on its order, so the order is fixed: rows come in
        // different orders to an instant query and to a step of a range query. What has been read
        // from the source is sorted already and costs one comparison a row.
        for group in &mut groups {
            group.rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        Ok(groups)
    }

    /// The state of each step is a [`Sum`], in columns and without branches: most questions
    /// about a fleet end in it.
    fn sum(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        let mut out = Grid::default();
        let (mut sums, mut lost, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for group in self.groups(aggregate, steps)? {
            // What is added to a negative zero stays as it is.
            sums.clear();
            sums.resize(steps.count, -0.0_f64);
            lost.clear();
            lost.resize(steps.count, 0.0_f64);
            seen.clear();
            seen.resize(steps.count, false);
            for row in &group.rows {
                self.check()?;
                let states = sums.iter_mut().zip(&mut lost).zip(&mut seen);
                for (((sum, lost), seen), value) in states.zip(&row.values) {
                    let is_present = present(*value);
                    let state = Sum {
                        sum: *sum,
                        lost: *lost,
                    };
                    let next = state.plus(*value);
                    *sum = if is_present { next.sum } else { *sum };
                    *lost = if is_present { next.lost } else { *lost };
                    *seen |= is_present;
                }
            }
            let mut column = self.column(steps)?;
            let states = sums.iter().zip(&lost).zip(&seen);
            for (cell, ((&sum, &lost), seen)) in column.iter_mut().zip(states) {
                if *seen {
                    *cell = Sum { sum, lost }.total();
                }
            }
            group.push_to(&mut out, column);
        }
        Ok(out)
    }

    fn fold<F: Fold>(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        let mut out = Grid::default();
        let mut states: Vec<Option<F>> = Vec::new();
        for group in self.groups(aggregate, steps)? {
            states.clear();
            states.resize(steps.count, None);
            for row in &group.rows {
                self.check()?;
                for (state, value) in states.iter_mut().zip(&row.values) {
                    match state {
                        _ if !present(*value) => {}
                        Some(state) => state.add(*value),
                        None => *state = Some(F::first(*value)),
                    }
                }
            }
            let mut column = self.column(steps)?;
            for (cell, state) in column.iter_mut().zip(&states) {
                *cell = state.map_or(ABSENT, F::result);
            }
            group.push_to(&mut out, column);
        }
        Ok(out)
    }

    /// The parameter of an aggregation, a scalar a step.
    pub(super) fn scalar_param<'e>(
        &self,
        aggregate: &'e Aggregate,
        steps: &Steps,
    ) -> Result<(Column, &'e Expr), Error> {
        let param = aggregate
            .param
            .as_ref()
            .ok_or_else(|| Error::execution("the aggregation takes a parameter"))?;
        Ok((self.scalar(param, steps)?, param))
    }

    fn quantiles(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        let (params, param) = self.scalar_param(aggregate, steps)?;
        self.note_quantiles(&params, param.at);
        let mut out = Grid::default();
        let mut values = Vec::new();
        for group in self.groups(aggregate, steps)? {
            let mut column = self.column(steps)?;
            for (step, cell) in column.iter_mut().enumerate() {
                self.check()?;
                values.clear();
                let here = group.rows.iter().map(|row| row.values[step]);
                values.extend(here.filter(|value| present(*value)));
                if !values.is_empty() {
                    *cell = quantile::quantile(params[step], &mut values);
                }
            }
            group.push_to(&mut out, column);
        }
        Ok(out)
    }

    fn count_values(&self, aggregate: &Aggregate, steps: &Steps) -> Result<Grid, Error> {
        let param = aggregate
            .param
            .as_ref()
            .ok_or_else(|| Error::execution("count_values takes a label"))?;
        let text = self.text(param, steps)?;
        let label = labels::label_name(&text)?;
        let mut out = Grid::default();
        let mut by_labels: ByLabels<usize> = ByLabels::default();
        for group in self.groups(aggregate, steps)? {
            // Values repeat far more often than they are new, and a label set is dear to build.
            let mut by_value: HashMap<u64, usize, FixedState> = HashMap::default();
            for row in &group.rows {
                self.check()?;
                for (step, value) in row.values.iter().enumerate() {
                    if !present(*value) {
                        continue;
                    }
                    let at = match by_value.entry(value.to_bits()) {
                        Entry::Occupied(entry) => *entry.get(),
                        Entry::Vacant(entry) => {
                            let mut builder = LabelsBuilder::from_labels(&group.labels);
                            builder.set(label, &go_decimal(*value));
                            let labels = labels::build(builder)?;
                            *entry.insert(self.row_of(&mut out, &mut by_labels, labels, steps)?)
                        }
                    };
                    out.rows[at].drop_name |= row.drop_name;
                    let cell = &mut out.rows[at].values[step];
                    *cell = if present(*cell) { *cell + 1.0 } else { 1.0 };
                }
            }
        }
        Ok(out)
    }

    /// The index of the row with these labels, which is made if there is none.
    fn row_of(
        &self,
        grid: &mut Grid,
        by_labels: &mut ByLabels<usize>,
        labels: Arc<Labels>,
        steps: &Steps,
    ) -> Result<usize, Error> {
        match by_labels.entry(labels) {
            Entry::Occupied(entry) => Ok(*entry.get()),
            Entry::Vacant(entry) => {
                let values = self.column(steps)?;
                grid.rows.push(Row {
                    labels: Arc::clone(entry.key()),
                    drop_name: false,
                    values,
                });
                Ok(*entry.insert(grid.rows.len() - 1))
            }
        }
    }
}

/// Whether a label is one of those that a row's group has.
fn is_kept(name: &str, aggregate: &Aggregate) -> bool {
    let listed = aggregate
        .grouping
        .binary_search_by(|listed| listed.as_str().cmp(name))
        .is_ok();
    if aggregate.without {
        name != METRIC_NAME && !listed
    } else {
        listed
    }
}

/// A float as Go's `%g` writes it.
pub(super) fn go_float(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude <= 0.0 || (1e-4..1e6).contains(&magnitude) {
        return go_decimal(value);
    }
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
