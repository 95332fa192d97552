//! What an expression reads.

use query::Expr;
use query::ast::{Kind, Selector};
use series::labels::METRIC_NAME;

/// Shows every selector of an expression; its depth is bounded by the parser.
pub(super) fn each_selector<'e>(expr: &'e Expr, each: &mut dyn FnMut(&'e Selector)) {
    match &expr.kind {
        Kind::Number(_) | Kind::Text(_) => {}
        Kind::Selector(selector) | Kind::Range { selector, .. } => each(selector),
        Kind::Subquery(subquery) => each_selector(&subquery.expr, each),
        Kind::Call { args, .. } => args.iter().for_each(|arg| each_selector(arg, each)),
        Kind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                each_selector(param, each);
            }
            each_selector(&aggregate.expr, each);
        }
        Kind::Binary(binary) => {
            each_selector(&binary.lhs, each);
            each_selector(&binary.rhs, each);
        }
        Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => {
            each_selector(inner, each);
        }
    }
}

/// Whether it may read one of these metrics.
pub(super) fn reads_any(expr: &Expr, names: &[&str]) -> bool {
    let mut found = false;
    each_selector(expr, &mut |selector| {
        let of_name = || {
            selector
                .matchers
                .iter()
                .filter(|it| it.name() == METRIC_NAME)
        };
        found |= names
            .iter()
            .any(|name| of_name().all(|matcher| matcher.matches(name)));
    });
    found
}
