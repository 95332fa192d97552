//! Types and other rules, checked where a node is made: its children have passed already.

use super::Fault;
use super::ast::{Aggregate, Binary, Cardinality, Expr, Kind, Type};
use super::functions::Function;

/// Checks one node against its children.
pub(super) fn check(expr: &Expr) -> Result<(), Fault> {
    match &expr.kind {
        Kind::Call { function, args } => call(function, args, expr.at),
        Kind::Aggregate(aggregate) => self::aggregate(aggregate),
        Kind::Binary(binary) => self::binary(binary, expr.at),
        Kind::Subquery(subquery) => {
            let found = subquery.expr.value_type();
            if found == Type::Vector {
                Ok(())
            } else {
                Err(Fault::new(
                    expr.at,
                    format!(
                        "subquery is only allowed on instant vector, got {} instead",
                        found.as_str()
                    ),
                ))
            }
        }
        Kind::Number(_)
        | Kind::Text(_)
        | Kind::Selector(_)
        | Kind::Range { .. }
        | Kind::Negate(_)
        | Kind::Plus(_)
        | Kind::Paren(_) => Ok(()),
    }
}

/// A sign stands before scalars and instant vectors only.
pub(super) fn sign(kind: &Kind, at: usize) -> Result<(), Fault> {
    let (Kind::Negate(inner) | Kind::Plus(inner)) = kind else {
        return Ok(());
    };
    match inner.value_type() {
        Type::Scalar | Type::Vector => Ok(()),
        other => Err(Fault::new(
            at,
            format!(
                "unary expression only allowed on expressions of type scalar or instant vector, \
                 got {:?}",
                other.as_str()
            ),
        )),
    }
}

fn expect(found: &Expr, wanted: Type, context: &str) -> Result<(), Fault> {
    let type_found = found.value_type();
    if type_found == wanted {
        return Ok(());
    }
    Err(Fault::new(
        found.at,
        format!(
            "expected type {} in {context}, got {}",
            wanted.as_str(),
            type_found.as_str()
        ),
    ))
}

fn call(function: &Function, args: &[Expr], at: usize) -> Result<(), Fault> {
    let name = function.name;
    let count = args.len();
    let min = function.args.len() - function.optional;
    let message = if function.optional == 0 && count != min {
        Some(format!(
            "expected {min} argument(s) in call to {name:?}, got {count}"
        ))
    } else if count < min {
        Some(format!(
            "expected at least {min} argument(s) in call to {name:?}, got {count}"
        ))
    } else if count > function.args_max {
        let max = function.args_max;
        Some(format!(
            "expected at most {max} argument(s) in call to {name:?}, got {count}"
        ))
    } else {
        None
    };
    if let Some(message) = message {
        return Err(Fault::new(at, message));
    }
    for (index, arg) in args.iter().enumerate() {
        let wanted = function.args[index.min(function.args.len() - 1)];
        expect(arg, wanted, &format!("call to function {name:?}"))?;
    }
    Ok(())
}

fn aggregate(aggregate: &Aggregate) -> Result<(), Fault> {
    expect(&aggregate.expr, Type::Vector, "aggregation expression")?;
    match (aggregate.op.param(), &aggregate.param) {
        (Some(wanted), Some(param)) => expect(param, wanted, "aggregation parameter"),
        _ => Ok(()),
    }
}

fn binary(binary: &Binary, at: usize) -> Result<(), Fault> {
    let (left, right) = (binary.lhs.value_type(), binary.rhs.value_type());
    let op = binary.op;
    let operand = |kind: Type| matches!(kind, Type::Scalar | Type::Vector);
    if !operand(left) {
        return Err(Fault::new(
            binary.lhs.at,
            "binary expression must contain only scalar and instant vector types",
        ));
    }
    if !operand(right) {
        return Err(Fault::new(
            binary.rhs.at,
            "binary expression must contain only scalar and instant vector types",
        ));
    }
    let scalars = left == Type::Scalar && right == Type::Scalar;
    let vectors = left == Type::Vector && right == Type::Vector;
    if op.is_comparison() && !binary.return_bool && scalars {
        return Err(Fault::new(
            at,
            "comparisons between scalars must use BOOL modifier",
        ));
    }
    if op.is_set() && !vectors {
        return Err(Fault::new(
            at,
            format!(
                "set operator {:?} not allowed in binary scalar expression",
                op.as_str()
            ),
        ));
    }
    let matching = &binary.matching;
    if !vectors && (matching.explicit && !matching.labels.is_empty()) {
        return Err(Fault::new(
            at,
            "vector matching only allowed between instant vectors",
        ));
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if fills && (!vectors || op.is_set()) {
        return Err(Fault::new(
            at,
            "fill modifiers are only allowed between instant vectors and not with set operators",
        ));
    }
    if op.is_set() && matching.cardinality != Cardinality::OneToOne {
        return Err(Fault::new(
            at,
            format!("no grouping allowed for {:?} operation", op.as_str()),
        ));
    }
    let mut include = matching.include.iter();
    match include.find(|label| matching.labels.contains(label)) {
        Some(label) if matching.on => Err(Fault::new(
            at,
            format!("label {label:?} must not occur in ON and GROUP clause at once"),
        )),
        _ => Ok(()),
    }
}
