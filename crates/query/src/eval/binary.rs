//! Binary operations: of scalars, of a vector and a scalar, and of sets. Operations between the
//! series of two vectors are in [`super::matching`].

use std::collections::hash_map::Entry;

use super::grid::ByLabels;
use super::{ABSENT, Column, Context, Grid, Operand, Row, Steps, matching, present};
use crate::ast::{Binary, BinaryOp};
use crate::error::Error;

/// The value of an arithmetic operation; of a comparison the left value, if it holds.
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
pub(super) fn apply(op: BinaryOp, left: f64, right: f64) -> Option<f64> {
    let holds = match op {
        BinaryOp::Add => return Some(left + right),
        BinaryOp::Sub => return Some(left - right),
        BinaryOp::Mul => return Some(left * right),
        BinaryOp::Div => return Some(left / right),
        BinaryOp::Mod => return Some(left % right),
        BinaryOp::Pow => return Some(left.powf(right)),
        BinaryOp::Atan2 => return Some(left.atan2(right)),
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::Less => left < right,
        BinaryOp::GreaterEqual => left >= right,
        BinaryOp::LessEqual => left <= right,
        // Sets are handled by rows, never by values.
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => false,
    };
    holds.then_some(left)
}

/// As [`apply`], with `bool` turning a comparison into 0 or 1.
pub(super) fn apply_bool(binary: &Binary, left: f64, right: f64) -> Option<f64> {
    let value = apply(binary.op, left, right);
    if binary.return_bool {
        Some(f64::from(u8::from(value.is_some())))
    } else {
        value
    }
}

impl Context<'_> {
    pub(super) fn binary(&self, binary: &Binary, steps: &Steps) -> Result<Operand, Error> {
        let lhs = self.operand(&binary.lhs, steps)?;
        let rhs = self.operand(&binary.rhs, steps)?;
        match (lhs, rhs) {
            (Operand::Scalar(left), Operand::Scalar(right)) => {
                let pairs = left.into_iter().zip(right);
                let values = pairs.map(|(l, r)| apply_bool(binary, l, r).unwrap_or(0.0));
                Ok(Operand::Scalar(values.collect()))
            }
            (Operand::Grid(grid), Operand::Scalar(scalar)) => {
                Ok(Operand::Grid(with_scalar(binary, grid, &scalar, false)))
            }
            (Operand::Scalar(scalar), Operand::Grid(grid)) => {
                Ok(Operand::Grid(with_scalar(binary, grid, &scalar, true)))
            }
            (Operand::Grid(left), Operand::Grid(right)) => {
                let grid = if binary.op.is_set() {
                    self.set(binary, left, right)?
                } else {
                    self.matched(binary, &left, &right, steps)?
                };
                Ok(Operand::Grid(grid))
            }
            (Operand::Text(_), _) | (_, Operand::Text(_)) => {
                Err(Error::execution("text has no operators"))
            }
        }
    }

    /// `and`, `or` and `unless`: rows of one side, by whether the other has a match at the step.
    fn set(&self, binary: &Binary, left: Grid, right: Grid) -> Result<Grid, Error> {
        let (kept, mut taken, judge) = match binary.op {
            BinaryOp::Or => (right.rows, left.rows, None),
            _ => (left.rows, Vec::new(), Some(right.rows)),
        };
        let wanted = binary.op == BinaryOp::And;
        let mut seen: ByLabels<Column> = ByLabels::default();
        for row in judge.as_ref().unwrap_or(&taken) {
            self.check()?;
            let signature = matching::signature(&row.labels, &binary.matching)?;
            match seen.entry(signature) {
                Entry::Vacant(entry) => {
                    self.hold(row.values.len())?;
                    entry.insert(row.values.clone());
                }
                Entry::Occupied(mut entry) => {
                    for (cell, value) in entry.get_mut().iter_mut().zip(&row.values) {
                        if present(*value) {
                            *cell = *value;
                        }
                    }
                }
            }
        }
        for mut row in kept {
            self.check()?;
            let signature = matching::signature(&row.labels, &binary.matching)?;
            if keep_where(&mut row, seen.get(&signature), wanted) {
                taken.push(row);
            }
        }
        let grid = Grid { rows: taken };
        // Only a union can hold the same labels twice, once from each side.
        if binary.op == BinaryOp::Or {
            grid.merged()
        } else {
            Ok(grid)
        }
    }
}

/// Keeps the values at steps where `seen` has one, or has none if that is not wanted. Answers
/// whether any is left.
fn keep_where(row: &mut Row, seen: Option<&Column>, wanted: bool) -> bool {
    let mut any = false;
    for (step, value) in row.values.iter_mut().enumerate() {
        let found = seen.is_some_and(|seen| present(seen[step]));
        if found != wanted {
            *value = ABSENT;
        }
        any |= present(*value);
    }
    any
}

/// A vector and a scalar. A comparison keeps the vector's value whichever side it is on.
fn with_scalar(binary: &Binary, mut grid: Grid, scalar: &[f64], scalar_left: bool) -> Grid {
    let keeps_name = binary.op.is_comparison() && !binary.return_bool;
    for row in &mut grid.rows {
        for (value, scalar) in row.values.iter_mut().zip(scalar) {
            if !present(*value) {
                continue;
            }
            let (left, right) = if scalar_left {
                (*scalar, *value)
            } else {
                (*value, *scalar)
            };
            *value = match apply_bool(binary, left, right) {
                Some(_) if keeps_name => *value,
                Some(result) => result,
                None => ABSENT,
            };
        }
        row.drop_name |= !keeps_name;
    }
    grid.rows
        .retain(|row| row.values.iter().any(|value| present(*value)));
    grid
}
