//! Vector matching: the series of two vectors find each other by labels.

use std::collections::HashMap;
use std::sync::Arc;

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder};

use super::binary::apply_bool;
use super::grid::ByLabels;
use super::{ABSENT, Column, Context, Grid, Row, Steps, labels, present};
use crate::ast::{Binary, Cardinality, Matching};
use crate::error::Error;

/// The labels by which a series is matched.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Result<Arc<Labels>, Error> {
    let listed = |name: &str| matching.labels.iter().any(|label| label == name);
    if matching.on {
        labels::filtered(labels, listed)
    } else {
        labels::filtered(labels, |name| name != METRIC_NAME && !listed(name))
    }
}

/// The rows of both sides that have one signature.
#[derive(Default)]
struct Pairing {
    many: Vec<usize>,
    one: Vec<usize>,
}

/// A side's row, or what a `fill` modifier puts in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Side {
    Row(usize),
    Filled,
}

/// One operation between two vectors. The side of one is on the right unless `group_right` turns
/// it round.
struct Operation<'o> {
    binary: &'o Binary,
    many: &'o [Row],
    one: &'o [Row],
    swapped: bool,
    fill_many: Option<f64>,
    fill_one: Option<f64>,
    /// Steps at which both sides have something; elsewhere nothing is matched or complained of.
    active: Vec<bool>,
}

impl Context<'_> {
    pub(super) fn matched(
        &self,
        binary: &Binary,
        left: &Grid,
        right: &Grid,
        steps: &Steps,
    ) -> Result<Grid, Error> {
        let matching = &binary.matching;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped {
            (&right.rows, &left.rows)
        } else {
            (&left.rows, &right.rows)
        };
        // As in Prometheus, `group_right` does not turn the fill values round.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        let fills = fill_many.is_some() || fill_one.is_some();
        let active = (0..steps.count)
            .map(|step| fills || (any_at(many, step) && any_at(one, step)))
            .collect();
        let operation = Operation {
            binary,
            many,
            one,
            swapped,
            fill_many,
            fill_one,
            active,
        };
        let mut out = Grid::default();
        for (signature, pairing) in operation.pairings(self)? {
            self.check()?;
            operation.run(self, &signature, &pairing, steps, &mut out)?;
        }
        out.merged()
    }
}

fn any_at(rows: &[Row], step: usize) -> bool {
    rows.iter().any(|row| present(row.values[step]))
}

impl Operation<'_> {
    /// Both sides by signature, in order of first appearance.
    fn pairings(&self, context: &Context<'_>) -> Result<Vec<(Arc<Labels>, Pairing)>, Error> {
        let matching = &self.binary.matching;
        let mut index: ByLabels<usize> = ByLabels::default();
        let mut pairings: Vec<(Arc<Labels>, Pairing)> = Vec::new();
        let sides = [(self.many, true), (self.one, false)];
        for (rows, is_many) in sides {
            for (row_index, row) in rows.iter().enumerate() {
                context.check()?;
                let signature = signature(&row.labels, matching)?;
                let at = *index.entry(Arc::clone(&signature)).or_insert_with(|| {
                    pairings.push((signature, Pairing::default()));
                    pairings.len() - 1
                });
                let pairing = &mut pairings[at].1;
                if is_many {
                    pairing.many.push(row_index);
                } else {
                    pairing.one.push(row_index);
                }
            }
        }
        Ok(pairings)
    }

    /// Matches the rows of one signature.
    fn run(
        &self,
        context: &Context<'_>,
        signature: &Arc<Labels>,
        pairing: &Pairing,
        steps: &Steps,
        out: &mut Grid,
    ) -> Result<(), Error> {
        let ones = self.ones(signature, pairing, steps)?;
        let one_to_one = self.binary.matching.cardinality == Cardinality::OneToOne;
        let mut matched_once = vec![false; steps.count];
        let mut columns: Vec<((Side, Side), Column)> = Vec::new();
        for row in &pairing.many {
            context.check()?;
            let first_column = columns.len();
            for step in (0..steps.count).filter(|step| self.active[*step]) {
                let value = self.many[*row].values[step];
                let other = ones[step];
                if !present(value) || (other.is_none() && self.fill_one.is_none()) {
                    continue;
                }
                if one_to_one && std::mem::replace(&mut matched_once[step], true) {
                    return Err(Error::execution(
                        "multiple matches for labels: many-to-one matching must be explicit \
                         (group_left/group_right)",
                    ));
                }
                let one = other.map_or(Side::Filled, Side::Row);
                let pair = (Side::Row(*row), one);
                let column = column_of(context, &mut columns, first_column, pair, steps)?;
                if let Some(result) = self.value(value, self.one_value(one, step)) {
                    column[step] = result;
                }
            }
        }
        if let Some(fill) = self.fill_many {
            self.fill(context, pairing, &ones, fill, steps, &mut columns)?;
        }
        if !one_to_one {
            self.check_unique(signature, pairing, &columns, &ones, steps)?;
        }
        for ((many, one), column) in columns {
            let (labels, drop_name) = self.labels(many, one, signature)?;
            out.push(labels, drop_name, column);
        }
        Ok(())
    }

    /// Pairs the side of one with the fill value where the side of many has nothing.
    fn fill(
        &self,
        context: &Context<'_>,
        pairing: &Pairing,
        ones: &[Option<usize>],
        fill: f64,
        steps: &Steps,
        columns: &mut Vec<((Side, Side), Column)>,
    ) -> Result<(), Error> {
        let first_column = columns.len();
        for step in 0..steps.count {
            let Some(row) = ones[step] else {
                continue;
            };
            if self.lonely(pairing, step) {
                let pair = (Side::Filled, Side::Row(row));
                let column = column_of(context, columns, first_column, pair, steps)?;
                if let Some(result) = self.value(fill, self.one[row].values[step]) {
                    column[step] = result;
                }
            }
        }
        Ok(())
    }

    /// Whether the side of many has nothing at a step.
    fn lonely(&self, pairing: &Pairing, step: usize) -> bool {
        let mut rows = pairing.many.iter();
        !rows.any(|row| present(self.many[*row].values[step]))
    }

    /// Which row of the side of one there is at each step; two are an error.
    fn ones(
        &self,
        signature: &Labels,
        pairing: &Pairing,
        steps: &Steps,
    ) -> Result<Vec<Option<usize>>, Error> {
        let mut ones: Vec<Option<usize>> = vec![None; steps.count];
        for row in &pairing.one {
            for step in (0..steps.count).filter(|step| self.active[*step]) {
                if !present(self.one[*row].values[step]) {
                    continue;
                }
                if let Some(first) = ones[step] {
                    let mut pair = [
                        labels::braces(&self.one[first].labels),
                        labels::braces(&self.one[*row].labels),
                    ];
                    pair.sort();
                    return Err(Error::execution(format!(
                        "found duplicate series for the match group {} on the {} hand-side of the \
                         operation: [{}];many-to-many matching not allowed: matching labels must \
                         be unique on one side",
                        labels::braces(signature),
                        if self.swapped { "left" } else { "right" },
                        pair.join(", ")
                    )));
                }
                ones[step] = Some(*row);
            }
        }
        Ok(ones)
    }

    fn one_value(&self, one: Side, step: usize) -> f64 {
        match one {
            Side::Row(row) => self.one[row].values[step],
            Side::Filled => self.fill_one.unwrap_or(ABSENT),
        }
    }

    fn value(&self, many: f64, one: f64) -> Option<f64> {
        if self.swapped {
            apply_bool(self.binary, one, many)
        } else {
            apply_bool(self.binary, many, one)
        }
    }

    /// Grouped results must differ in their labels wherever they meet, even where a comparison
    /// then filters them out.
    fn check_unique(
        &self,
        signature: &Arc<Labels>,
        pairing: &Pairing,
        columns: &[((Side, Side), Column)],
        ones: &[Option<usize>],
        steps: &Steps,
    ) -> Result<(), Error> {
        let meets = |(many, one): (Side, Side), step: usize| {
            let many = match many {
                Side::Row(row) => present(self.many[row].values[step]),
                Side::Filled => self.lonely(pairing, step),
            };
            many && ones[step].map_or(Side::Filled, Side::Row) == one
        };
        let mut seen: HashMap<Arc<Labels>, Vec<(Side, Side)>> = HashMap::new();
        for (pair, _) in columns {
            let (labels, _) = self.labels(pair.0, pair.1, signature)?;
            let others = seen.entry(labels).or_default();
            let clash = others.iter().any(|other| {
                (0..steps.count)
                    .any(|step| self.active[step] && meets(*pair, step) && meets(*other, step))
            });
            if clash {
                return Err(Error::execution(
                    "multiple matches for labels: grouping labels must ensure unique matches",
                ));
            }
            others.push(*pair);
        }
        Ok(())
    }

    /// The labels of a result, and whether its name is doomed.
    fn labels(
        &self,
        many: Side,
        one: Side,
        signature: &Arc<Labels>,
    ) -> Result<(Arc<Labels>, bool), Error> {
        let matching = &self.binary.matching;
        let (many_labels, doomed) = match many {
            Side::Row(row) => (&self.many[row].labels, self.many[row].drop_name),
            Side::Filled => (signature, false),
        };
        let one_labels = match one {
            Side::Row(row) => &self.one[row].labels,
            Side::Filled => signature,
        };
        let mut builder = LabelsBuilder::from_labels(many_labels);
        if !self.binary.op.is_comparison() {
            builder.retain(|name| !labels::is_metadata(name));
        }
        if matching.cardinality == Cardinality::OneToOne {
            let listed = |name: &str| matching.labels.iter().any(|label| label == name);
            builder.retain(|name| listed(name) == matching.on);
        }
        for label in &matching.include {
            builder.set(label, one_labels.get(label));
        }
        Ok((labels::build(builder)?, doomed || self.binary.return_bool))
    }
}

/// The column of a pair, among those from `first` on.
fn column_of<'c>(
    context: &Context<'_>,
    columns: &'c mut Vec<((Side, Side), Column)>,
    first: usize,
    pair: (Side, Side),
    steps: &Steps,
) -> Result<&'c mut Column, Error> {
    let found = columns[first..]
        .iter()
        .position(|(known, _)| *known == pair);
    let at = match found {
        Some(at) => first + at,
        None => {
            columns.push((pair, context.column(steps)?));
            columns.len() - 1
        }
    };
    Ok(&mut columns[at].1)
}
