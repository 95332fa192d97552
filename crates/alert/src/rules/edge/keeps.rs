//! Whether an expression keeps the nodes apart.

use query::Expr;
use query::ast::{Aggregate, AggregateOp, Binary, Kind, Matching, Selector, Type};
use query::functions::Function;

use super::{NODE, WINDOW_MAX, millis};

/// Shows every node of an expression; its depth is bounded by the parser.
pub(super) fn each_node<'e>(expr: &'e Expr, each: &mut dyn FnMut(&'e Kind)) {
    each(&expr.kind);
    match &expr.kind {
        Kind::Number(_) | Kind::Text(_) | Kind::Selector(_) | Kind::Range { .. } => {}
        Kind::Subquery(subquery) => each_node(&subquery.expr, each),
        Kind::Call { args, .. } => args.iter().for_each(|arg| each_node(arg, each)),
        Kind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                each_node(param, each);
            }
            each_node(&aggregate.expr, each);
        }
        Kind::Binary(binary) => {
            each_node(&binary.lhs, each);
            each_node(&binary.rhs, each);
        }
        Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => each_node(inner, each),
    }
}

/// Whether each element of a vector bears the `node` of the series that it is made of, and of no other;
/// else why not.
pub(super) fn keeps_node(expr: &Expr) -> Result<(), String> {
    match &expr.kind {
        Kind::Number(_) | Kind::Text(_) => Err("a number is of no node".to_owned()),
        Kind::Selector(selector) => here_and_now(selector),
        Kind::Range { selector, range } => {
            here_and_now(selector)?;
            match millis(range) {
                Some(window) if window <= WINDOW_MAX => Ok(()),
                Some(_) => Err("a window is longer than 15 minutes".to_owned()),
                None => Err("the length of a window is not a plain number".to_owned()),
            }
        }
        Kind::Subquery(_) => Err("a subquery costs too much as often as samples come".to_owned()),
        Kind::Call { function, args } => call(function, args),
        Kind::Aggregate(it) => aggregate(it),
        Kind::Binary(it) => binary(it),
        Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => keeps_node(inner),
    }
}

fn here_and_now(selector: &Selector) -> Result<(), String> {
    if selector.shift.at.is_some() || selector.shift.offset.is_some() {
        return Err("it looks at another time, by offset or @".to_owned());
    }
    Ok(())
}

/// Whether a scalar is the same whatever series there are.
fn is_constant(expr: &Expr) -> Result<(), String> {
    let mut reads = false;
    each_node(expr, &mut |node| {
        reads |= matches!(
            node,
            Kind::Selector(_) | Kind::Range { .. } | Kind::Subquery(_)
        );
    });
    if reads {
        return Err("a scalar is made of series, which may be of all nodes".to_owned());
    }
    Ok(())
}

fn of_type(expr: &Expr) -> Result<(), String> {
    match expr.value_type() {
        Type::Scalar | Type::String => is_constant(expr),
        Type::Vector | Type::Matrix => keeps_node(expr),
    }
}

fn call(function: &Function, args: &[Expr]) -> Result<(), String> {
    let name = function.name;
    if name.starts_with("absent") {
        return Err(format!("{name}() stands for nodes that say nothing"));
    }
    let is_of_series = |arg: &&Expr| matches!(arg.value_type(), Type::Vector | Type::Matrix);
    if function.returns != Type::Vector || !args.iter().any(|arg| is_of_series(&arg)) {
        return Err(format!("{name}() is of no node"));
    }
    args.iter().try_for_each(of_type)?;
    // label_replace, label_join, count_values and histogram_quantiles name the label that they write.
    let mut texts = args.iter().filter_map(|arg| match &arg.unwrapped().kind {
        Kind::Text(text) => Some(text.value.as_str()),
        _ => None,
    });
    if !name.starts_with("sort") && texts.next() == Some(NODE) {
        return Err(format!("{name}() writes the label node"));
    }
    Ok(())
}

fn aggregate(it: &Aggregate) -> Result<(), String> {
    let lists_node = it.grouping.iter().any(|label| label == NODE);
    if lists_node == it.without {
        let op = it.op.as_str();
        return Err(format!(
            "{op} puts nodes together; by(…) with node keeps them apart"
        ));
    }
    if let Some(param) = &it.param {
        of_type(param)?;
        let is_node = matches!(&param.unwrapped().kind, Kind::Text(text) if text.value == NODE);
        if it.op == AggregateOp::CountValues && is_node {
            return Err("count_values writes the label node".to_owned());
        }
    }
    keeps_node(&it.expr)
}

fn binary(it: &Binary) -> Result<(), String> {
    let is_scalar = |side: &Expr| side.value_type() == Type::Scalar;
    match (is_scalar(&it.lhs), is_scalar(&it.rhs)) {
        (true, true) => return Err("a number is of no node".to_owned()),
        (true, false) | (false, true) => {
            of_type(&it.lhs)?;
            return of_type(&it.rhs);
        }
        (false, false) => {}
    }
    keeps_node(&it.lhs)?;
    keeps_node(&it.rhs)?;
    let Matching {
        explicit,
        on,
        labels,
        ..
    } = &it.matching;
    let lists_node = labels.iter().any(|label| label == NODE);
    if *explicit && lists_node != *on {
        let op = it.op.as_str();
        return Err(format!("series of different nodes meet in {op}"));
    }
    Ok(())
}
