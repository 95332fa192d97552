//! Function calls: which function does what.

use super::steps::seconds;
use super::{Column, Context, Grid, Operand, Steps, dates, elementwise, present, select};
use crate::ast::Kind;
use crate::error::Error;
use crate::parse::Expr;
use crate::parse::functions::Id;

impl Context<'_> {
    pub(super) fn call(
        &self,
        id: Id,
        args: &[Expr],
        at: usize,
        steps: &Steps,
    ) -> Result<Operand, Error> {
        if let Some(values) = self.scalar_call(id, args, steps)? {
            return Ok(Operand::Scalar(values));
        }
        let grid = match id {
            Id::Vector => self.vector(&args[0], steps)?,
            Id::Timestamp => self.timestamp(&args[0], steps)?,
            Id::Absent => self.absent(&args[0], steps)?,
            Id::AbsentOverTime => self.absent_over_time(&args[0], steps)?,
            Id::LabelReplace => self.label_replace(args, steps)?,
            Id::LabelJoin => self.label_join(args, steps)?,
            Id::Sort | Id::SortDesc | Id::SortByLabel | Id::SortByLabelDesc => {
                self.sort(id, args, at, steps)?
            }
            Id::HistogramQuantile => self.histogram_quantile(args, steps)?,
            Id::HistogramQuantiles => self.histogram_quantiles(args, steps)?,
            Id::HistogramFraction => self.histogram_fraction(args, steps)?,
            Id::HistogramAvg
            | Id::HistogramCount
            | Id::HistogramSum
            | Id::HistogramStddev
            | Id::HistogramStdvar => {
                // They look at native histograms only and pass over floats.
                self.grid(&args[0], steps)?;
                Grid::default()
            }
            Id::Clamp | Id::ClampMin | Id::ClampMax | Id::Round => self.bounded(id, args, steps)?,
            _ => {
                if let Some(part) = dates::part(id) {
                    self.date(part, args, steps)?
                } else if let Some(function) = elementwise::function(id) {
                    let mut grid = self.grid(&args[0], steps)?;
                    grid.map(|_step, value| Some(function(value)));
                    grid
                } else {
                    self.range_call(id, args, steps)?
                }
            }
        };
        Ok(Operand::Grid(grid))
    }

    /// The functions that answer a scalar.
    fn scalar_call(&self, id: Id, args: &[Expr], steps: &Steps) -> Result<Option<Column>, Error> {
        let constant = |value: f64| -> Result<Option<Column>, Error> {
            self.hold(steps.count)?;
            Ok(Some(vec![value; steps.count]))
        };
        match id {
            Id::Time => {
                self.hold(steps.count)?;
                Ok(Some(steps.iter().map(seconds).collect()))
            }
            Id::Pi => constant(std::f64::consts::PI),
            Id::Step => constant(seconds(self.query_step)),
            Id::Range => constant(seconds(self.query_end - self.query_start)),
            Id::Start => constant(seconds(self.query_start)),
            Id::End => constant(seconds(self.query_end)),
            Id::Scalar => {
                let grid = self.grid(&args[0], steps)?;
                self.hold(steps.count)?;
                Ok(Some(only_values(&grid, steps)))
            }
            Id::MinOf | Id::MaxOf => {
                let left = self.scalar(&args[0], steps)?;
                let right = self.scalar(&args[1], steps)?;
                let choose = if id == Id::MinOf { minimum } else { maximum };
                let pairs = left.into_iter().zip(right);
                Ok(Some(pairs.map(|(a, b)| choose(a, b)).collect()))
            }
            _ => Ok(None),
        }
    }

    fn vector(&self, arg: &Expr, steps: &Steps) -> Result<Grid, Error> {
        let values = self.scalar(arg, steps)?;
        let mut grid = Grid::default();
        grid.push(series::Labels::default().into(), false, values);
        Ok(grid)
    }

    /// `timestamp` of a selector is the time of the sample; of anything else the time of
    /// evaluation.
    fn timestamp(&self, arg: &Expr, steps: &Steps) -> Result<Grid, Error> {
        if let Kind::Selector(selector) = &arg.unwrapped().kind {
            let mut grid = self.latest(selector, steps, select::Take::Time)?;
            grid.map(|_step, value| Some(value));
            return Ok(grid);
        }
        let mut grid = self.grid(arg, steps)?;
        grid.map(|step, _value| Some(seconds(steps.at(step))));
        Ok(grid)
    }

    fn date(&self, part: dates::Part, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let Some(arg) = args.first() else {
            let mut column = self.column(steps)?;
            for (cell, at) in column.iter_mut().zip(steps.iter()) {
                *cell = part.of(seconds(at));
            }
            let mut grid = Grid::default();
            grid.push(series::Labels::default().into(), false, column);
            return Ok(grid);
        };
        let mut grid = self.grid(arg, steps)?;
        grid.map(|_step, value| Some(part.of(value)));
        Ok(grid)
    }

    /// `clamp`, `clamp_min`, `clamp_max` and `round`.
    fn bounded(&self, id: Id, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let mut grid = self.grid(&args[0], steps)?;
        let first = args.get(1).map(|arg| self.scalar(arg, steps)).transpose()?;
        let second = args.get(2).map(|arg| self.scalar(arg, steps)).transpose()?;
        let first = first.unwrap_or_else(|| vec![1.0; steps.count]);
        match (id, second) {
            (Id::Clamp, Some(max)) => grid.map(|step, value| {
                let (min, max) = (first[step], max[step]);
                (min <= max || min.is_nan() || max.is_nan())
                    .then(|| maximum(min, minimum(max, value)))
            }),
            (Id::ClampMin, _) => grid.map(|step, value| Some(maximum(first[step], value))),
            (Id::ClampMax, _) => grid.map(|step, value| Some(minimum(first[step], value))),
            _ => grid.map(|step, value| Some(round_to(value, first[step]))),
        }
        Ok(grid)
    }
}

/// The value of the only series at each step; NaN where there is not exactly one.
fn only_values(grid: &Grid, steps: &Steps) -> Column {
    (0..steps.count)
        .map(|step| {
            let mut values = grid
                .rows
                .iter()
                .map(|row| row.values[step])
                .filter(|value| present(*value));
            match (values.next(), values.next()) {
                (Some(value), None) => value,
                _ => f64::NAN,
            }
        })
        .collect()
}

/// The larger, as Go has it: NaN if either is.
fn maximum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller, as Go has it: NaN if either is.
fn minimum(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The nearest multiple of `unit`, halves upwards. The inverse is what keeps 0.1 exact.
fn round_to(value: f64, unit: f64) -> f64 {
    let inverse = 1.0 / unit;
    (value * inverse + 0.5).floor() / inverse
}
