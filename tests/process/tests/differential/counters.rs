//! Counters that begin inside a window.
//!
//! After 2.42 Prometheus changed how far it draws the line of such a counter back: the gap before the
//! first sample is halved before it is cut off where the counter was zero, and no longer after. So the
//! older answer is larger, by no more than a part of one interval, and nothing else is.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use process_tests::prometheus::When;
use query::Expr;
use query::ast::Kind;
use query::functions::Id;

use crate::compare::{Answer, by_labels, is_close};
use crate::sets::Clock;

/// Two samples are an interval of which the line is drawn on by 1.1 before the change and 0.5 after it.
const MORE_MAX: f64 = 1.6;

/// Whether two answers differ for this reason: calls of `rate` and `increase` inside the expression do,
/// at the same times, and in this way alone.
pub(crate) async fn explain(
    servers: (SocketAddr, SocketAddr),
    clock: Clock,
    (expression, when): (&str, When),
    (expected, found): (&Answer, &Answer),
) -> bool {
    let Ok(expr) = query::parse(expression) else {
        return false;
    };
    let mut calls = Vec::new();
    let is_shifted = collect(&expr, false, &mut calls);
    let mut times = BTreeSet::new();
    for call in &calls {
        // A subquery looks at other times than those asked for.
        let when = if is_shifted { clock.closely() } else { when };
        let older = Answer::ask(servers.0, call, when);
        let newer = Answer::ask(servers.1, call, when);
        let (older, newer) = tokio::join!(older, newer);
        let Some(differing) = larger(&older, &newer) else {
            return false;
        };
        times.extend(differing);
    }
    let differing = differing_times(expected, found);
    !times.is_empty() && (is_shifted || differing.is_subset(&times))
}

/// The calls of `rate` and `increase`; whether one of them is inside a subquery.
fn collect(expr: &Expr, is_shifted: bool, calls: &mut Vec<String>) -> bool {
    let all = |exprs: &mut dyn Iterator<Item = &Expr>, calls: &mut Vec<String>| {
        exprs.fold(false, |any, expr| collect(expr, is_shifted, calls) | any)
    };
    match &expr.kind {
        Kind::Call { function, args } => {
            if matches!(function.id, Id::Rate | Id::Increase) {
                calls.push(expr.to_string());
                return is_shifted;
            }
            all(&mut args.iter(), calls)
        }
        Kind::Subquery(subquery) => collect(&subquery.expr, true, calls),
        Kind::Aggregate(aggregate) => {
            let param = aggregate.param.iter();
            all(&mut param.chain([&aggregate.expr]), calls)
        }
        Kind::Binary(binary) => all(&mut [&binary.lhs, &binary.rhs].into_iter(), calls),
        Kind::Negate(inner) | Kind::Plus(inner) | Kind::Paren(inner) => {
            collect(inner, is_shifted, calls)
        }
        Kind::Number(_) | Kind::Text(_) | Kind::Selector(_) | Kind::Range { .. } => false,
    }
}

/// The times at which the older answer is larger, if it is no different in any other way.
fn larger(older: &Answer, newer: &Answer) -> Option<Vec<i64>> {
    let (older, newer) = (by_labels(older), by_labels(newer));
    let mut times = Vec::new();
    if !older.keys().eq(newer.keys()) {
        return None;
    }
    for (older, newer) in older.values().zip(newer.values()) {
        if older.len() != newer.len() {
            return None;
        }
        for ((time, old), (other, new)) in older.iter().zip(newer) {
            if time != other {
                return None;
            }
            if !is_close(*old, *new) {
                if !(new < old && *old <= MORE_MAX * new) {
                    return None;
                }
                times.push(*time);
            }
        }
    }
    Some(times)
}

/// All times at which two answers differ.
fn differing_times(expected: &Answer, found: &Answer) -> BTreeSet<i64> {
    let (expected, mut found) = (by_labels(expected), by_labels(found));
    let mut times = BTreeSet::new();
    for (labels, points) in expected {
        let other = found.remove(&labels).unwrap_or_default();
        let is_in = |(time, value): &(i64, f64), points: &[(i64, f64)]| {
            let at = points.binary_search_by_key(time, |(time, _)| *time);
            at.is_ok_and(|at| is_close(points[at].1, *value))
        };
        let here = points.iter().filter(|point| !is_in(point, &other));
        let there = other.iter().filter(|point| !is_in(point, &points));
        times.extend(here.chain(there).map(|(time, _)| *time));
    }
    let rest = found.into_values().flatten();
    times.extend(rest.map(|(time, _)| time));
    times
}
