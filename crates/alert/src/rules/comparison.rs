//! Expressions of the form `EXPR CMP NUMBER`, whose sides can be looked at one by one.

use query::Expr;
use query::ast::{BinaryOp, Kind, Type};

/// The sides of a comparison of a vector with a number.
pub(super) struct Comparison<'e> {
    /// What is compared.
    pub(super) of: &'e Expr,
    op: BinaryOp,
    /// The number.
    pub(super) number: f64,
    /// Whether the number was written on the left.
    is_flipped: bool,
}

/// Takes a comparison apart; none where the expression is something else.
pub(super) fn split(expr: &Expr) -> Option<Comparison<'_>> {
    let Kind::Binary(binary) = &expr.unwrapped().kind else {
        return None;
    };
    if !binary.op.is_comparison() || binary.return_bool {
        return None;
    }
    let is_vector = |expr: &Expr| expr.value_type() == Type::Vector;
    let (of, number, is_flipped) = match (constant(&binary.lhs), constant(&binary.rhs)) {
        (None, Some(number)) if is_vector(&binary.lhs) => (&binary.lhs, number, false),
        (Some(number), None) if is_vector(&binary.rhs) => (&binary.rhs, number, true),
        _ => return None,
    };
    Some(Comparison {
        of,
        op: binary.op,
        number,
        is_flipped,
    })
}

/// The value of an expression of numbers alone.
fn constant(expr: &Expr) -> Option<f64> {
    match &expr.kind {
        Kind::Number(number) => Some(*number),
        Kind::Negate(inner) => constant(inner).map(|number| -number),
        Kind::Plus(inner) | Kind::Paren(inner) => constant(inner),
        Kind::Binary(binary) => {
            let (left, right) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            Some(match binary.op {
                BinaryOp::Add => left + right,
                BinaryOp::Sub => left - right,
                BinaryOp::Mul => left * right,
                BinaryOp::Div => left / right,
                BinaryOp::Pow => left.powf(right),
                _ => return None,
            })
        }
        _ => None,
    }
}

impl Comparison<'_> {
    /// The same comparison with another number, as text.
    pub(super) fn with(&self, number: f64) -> String {
        let op = self.op.as_str();
        if self.is_flipped {
            format!("{number} {op} ({})", self.of)
        } else {
            format!("({}) {op} {number}", self.of)
        }
    }

    /// Whether it holds for a value, as PromQL filters.
    #[expect(clippy::float_cmp, reason = "PromQL compares floats exactly")]
    pub(super) fn holds(&self, value: f64) -> bool {
        let (left, right) = if self.is_flipped {
            (self.number, value)
        } else {
            (value, self.number)
        };
        match self.op {
            BinaryOp::Equal => left == right,
            BinaryOp::NotEqual => left != right,
            BinaryOp::Greater => left > right,
            BinaryOp::Less => left < right,
            BinaryOp::GreaterEqual => left >= right,
            BinaryOp::LessEqual => left <= right,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_with_a_number_are_taken_apart() {
        let holds = |text: &str, value: f64| {
            let expr = query::parse(text).unwrap();
            split(&expr).map(|comparison| comparison.holds(value))
        };
        assert_eq!(holds("up == 0", 0.0), Some(true));
        assert_eq!(
            holds("(sum by (a) (rate(x[5m])) > 2 * 3)", 6.0),
            Some(false)
        );
        assert_eq!(holds("5 < x", 6.0), Some(true));
        assert_eq!(holds("x != -1", f64::NAN), Some(true));
        for other in [
            "x",
            "x > y",
            "x > bool 1",
            "1 > bool 0",
            "x > 1 and y > 2",
            "x > scalar(y)",
        ] {
            assert_eq!(holds(other, 1.0), None, "{other}");
        }
    }
}
