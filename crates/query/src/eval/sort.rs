//! The sorting functions. They matter to instant queries only: a matrix is sorted by labels.

use std::cmp::Ordering;

use series::Labels;

use super::quantile::nan_first;
use super::{Context, Grid, Row, Steps, labels};
use crate::error::Error;
use crate::notes::Level;
use crate::parse::Expr;
use crate::parse::functions::Id;

impl Context<'_> {
    pub(super) fn sort(
        &self,
        id: Id,
        args: &[Expr],
        at: usize,
        steps: &Steps,
    ) -> Result<Grid, Error> {
        let mut names = Vec::with_capacity(args.len());
        for arg in &args[1..] {
            names.push(self.text(arg, steps)?);
        }
        let names = names
            .iter()
            .map(labels::label_name)
            .collect::<Result<Vec<&str>, Error>>()?;
        let mut grid = self.grid(&args[0], steps)?;
        if self.query_step > 0 {
            self.notes.add(
                Level::Warning,
                at,
                "sort is ineffective for range queries since results are always ordered by labels"
                    .to_owned(),
            );
            return Ok(grid);
        }
        // A stable sort; NaN comes last either way.
        let value = |row: &Row| row.values.first().copied().unwrap_or(f64::NAN);
        match id {
            Id::Sort => grid.rows.sort_by(|a, b| {
                let (a, b) = (value(a), value(b));
                a.is_nan().cmp(&b.is_nan()).then(nan_first(&a, &b))
            }),
            Id::SortDesc => grid.rows.sort_by(|a, b| nan_first(&value(b), &value(a))),
            Id::SortByLabel => grid
                .rows
                .sort_by(|a, b| by_labels(&a.labels, &b.labels, &names)),
            _ => grid
                .rows
                .sort_by(|a, b| by_labels(&b.labels, &a.labels, &names)),
        }
        Ok(grid)
    }
}

/// By the values of some labels, then by all.
fn by_labels(a: &Labels, b: &Labels, names: &[&str]) -> Ordering {
    names
        .iter()
        .map(|name| natural(a.get(name), b.get(name)))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| a.cmp(b))
}

/// Text order in which runs of digits count as numbers: `node2` before `node10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (left, left_rest) = digits(a);
            let (right, right_rest) = digits(b);
            let order = left.len().cmp(&right.len()).then(left.cmp(right));
            if order.is_ne() {
                return order;
            }
            (a, b) = (left_rest, right_rest);
        } else if x == y {
            (a, b) = (&a[1..], &b[1..]);
        } else {
            return x.cmp(y);
        }
    }
    a.len().cmp(&b.len())
}

/// The digits at the start, leading zeros left out, and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    let zeros = run
        .iter()
        .position(|byte| *byte != b'0')
        .unwrap_or(run.len());
    (&run[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_as_numbers() {
        let mut names = ["n10", "n2", "n1", "m3", "n02b", ""];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["", "m3", "n1", "n2", "n02b", "n10"]);
    }
}
