//! Functions of classic histograms: rows that differ in `le` only belong together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use series::{Labels, LabelsBuilder, same_bits};

use super::buckets::{self, Bucket};
use super::grid::ByLabels;
use super::{Column, Context, Grid, Row, Steps, aggregate, labels, present, quantile};
use crate::error::Error;
use crate::notes::Level;
use crate::parse::Expr;

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// One classic histogram: its buckets' rows, sorted by bound.
struct Histogram {
    labels: Arc<Labels>,
    rows: Vec<(f64, Row)>,
}

impl Histogram {
    /// The buckets there are at a step.
    fn buckets(&self, step: usize, out: &mut Vec<Bucket>) {
        out.clear();
        out.extend(
            self.rows
                .iter()
                .map(|(bound, row)| Bucket {
                    bound: *bound,
                    count: row.values[step],
                })
                .filter(|bucket| present(bucket.count)),
        );
    }
}

impl Context<'_> {
    /// `histogram_quantile(q, buckets)`.
    pub(super) fn histogram_quantile(&self, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let quantiles = self.scalar(&args[0], steps)?;
        self.note_quantiles(&quantiles, args[0].at);
        let mut out = Grid::default();
        for histogram in self.histograms(&args[1], steps)? {
            let column = self.quantile_column(&histogram, &quantiles, args[1].at, steps)?;
            out.push(histogram.labels, true, column);
        }
        Ok(out)
    }

    /// `histogram_quantiles(buckets, label, q…)`: one series for each quantile.
    pub(super) fn histogram_quantiles(&self, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let text = self.text(&args[1], steps)?;
        let label = labels::label_name(&text)?;
        let histograms = self.histograms(&args[0], steps)?;
        let mut out = Grid::default();
        for arg in &args[2..] {
            let quantiles = self.scalar(arg, steps)?;
            self.note_quantiles(&quantiles, arg.at);
            for histogram in &histograms {
                let column = self.quantile_column(histogram, &quantiles, args[0].at, steps)?;
                for (q, column) in self.by_quantile(column, &quantiles, steps)? {
                    let mut builder = LabelsBuilder::from_labels(&histogram.labels);
                    builder.set(label, &openmetrics_float(q));
                    out.push(labels::build(builder)?, true, column);
                }
            }
        }
        out.merged()
    }

    /// `histogram_fraction(lower, upper, buckets)`.
    pub(super) fn histogram_fraction(&self, args: &[Expr], steps: &Steps) -> Result<Grid, Error> {
        let lower = self.scalar(&args[0], steps)?;
        let upper = self.scalar(&args[1], steps)?;
        let mut out = Grid::default();
        let mut scratch = Vec::new();
        for histogram in self.histograms(&args[2], steps)? {
            let mut column = self.column(steps)?;
            for (step, cell) in column.iter_mut().enumerate() {
                histogram.buckets(step, &mut scratch);
                if !scratch.is_empty() {
                    *cell = buckets::fraction(lower[step], upper[step], &mut scratch);
                }
            }
            out.push(histogram.labels, true, column);
        }
        Ok(out)
    }

    /// A column in parts, each of the steps that ask for one quantile. There is but one part
    /// unless the quantile changes from step to step.
    fn by_quantile(
        &self,
        column: Column,
        quantiles: &[f64],
        steps: &Steps,
    ) -> Result<Vec<(f64, Column)>, Error> {
        let Some(first) = quantiles.first() else {
            return Ok(Vec::new());
        };
        if quantiles.iter().all(|q| same_bits(*q, *first)) {
            return Ok(vec![(*first, column)]);
        }
        let mut parts: BTreeMap<u64, (f64, Column)> = BTreeMap::new();
        for (step, (q, value)) in quantiles.iter().zip(column).enumerate() {
            let (_, part) = match parts.entry(q.to_bits()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert((*q, self.column(steps)?)),
            };
            part[step] = value;
        }
        Ok(parts.into_values().collect())
    }

    fn quantile_column(
        &self,
        histogram: &Histogram,
        quantiles: &[f64],
        at: usize,
        steps: &Steps,
    ) -> Result<Column, Error> {
        let mut column = self.column(steps)?;
        let mut scratch = Vec::new();
        let mut raised = false;
        for (step, cell) in column.iter_mut().enumerate() {
            histogram.buckets(step, &mut scratch);
            if !scratch.is_empty() {
                let estimate = buckets::quantile(quantiles[step], &mut scratch);
                *cell = estimate.value;
                raised |= estimate.raised;
            }
        }
        if raised {
            let text = format!(
                "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) \
                 for metric name {:?}",
                histogram.labels.metric_name()
            );
            self.notes.add(Level::Info, at, text);
        }
        Ok(column)
    }

    /// The histograms among the rows of an expression.
    fn histograms(&self, expr: &Expr, steps: &Steps) -> Result<Vec<Histogram>, Error> {
        let mut index: ByLabels<usize> = ByLabels::default();
        let mut histograms: Vec<Histogram> = Vec::new();
        for row in self.grid(expr, steps)?.rows {
            self.check()?;
            let text = row.labels.get(BOUND);
            let Ok(bound) = text.parse::<f64>() else {
                let note = format!(
                    "bucket label \"le\" is missing or has a malformed value of {text:?} for \
                     metric name {:?}",
                    row.labels.metric_name()
                );
                self.notes.add(Level::Warning, expr.at, note);
                continue;
            };
            let labels = labels::filtered(&row.labels, |name| name != BOUND)?;
            let at = *index.entry(Arc::clone(&labels)).or_insert_with(|| {
                histograms.push(Histogram {
                    labels,
                    rows: Vec::new(),
                });
                histograms.len() - 1
            });
            histograms[at].rows.push((bound, row));
        }
        for histogram in &mut histograms {
            histogram
                .rows
                .sort_by(|(a, _), (b, _)| quantile::nan_first(a, b));
        }
        Ok(histograms)
    }
}

/// A float as OpenMetrics writes it into labels: `1.0` rather than `1`.
fn openmetrics_float(value: f64) -> String {
    let mut text = aggregate::go_float(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}
