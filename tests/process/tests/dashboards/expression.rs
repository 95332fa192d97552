//! Expressions as dashboards have them: with Grafana's variables, and full of names.

use std::collections::BTreeSet;

use crate::board::Variable;

/// An expression as Grafana sends it: the range is a minute, and of the dashboard's own variables all
/// values are chosen. Fails when a variable is left.
pub(crate) fn fill(expression: &str, variables: &[Variable]) -> Result<String, String> {
    let mut filled = expression
        .replace("$__rate_interval", "1m")
        .replace("$__interval", "15s")
        .replace("$__range", "1m");
    for variable in variables {
        filled = filled.replace(&format!("\"${}\"", variable.name), "\".*\"");
    }
    match filled.split_once('$') {
        Some((_, rest)) => Err(format!("${rest} is no variable of the dashboard")),
        None => Ok(filled),
    }
}

/// The names in an expression.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// Of metrics.
    pub(crate) metrics: BTreeSet<String>,
    /// Of labels.
    pub(crate) labels: BTreeSet<String>,
}

const GROUPING: [&str; 6] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Reads the names in an expression that is known to be valid: no nested quotes, no comments.
pub(crate) fn names(expression: &str) -> Names {
    let mut names = Names::default();
    let mut rest = expression;
    // Whether what follows is in braces, or in the parentheses of a grouping.
    let (mut in_matchers, mut in_grouping) = (false, false);
    let mut label = "";
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = quoted.split_once('"').unwrap_or((quoted, ""));
            if in_matchers && label == "__name__" {
                names.metrics.extend(value.split('|').map(str::to_owned));
            }
            rest = after;
        } else if first == '[' {
            rest = rest.split_once(']').map_or("", |(_, after)| after);
        } else if is_of_name(first) {
            let (word, after) = rest
                .find(|c| !is_of_name(c))
                .map_or((rest, ""), |end| rest.split_at(end));
            rest = after;
            let next = after.trim_start();
            let is_called = next.starts_with('(')
                || GROUPING.iter().any(|word| {
                    next.strip_prefix(word)
                        .is_some_and(|after| !after.starts_with(is_of_name))
                });
            if word.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            } else if in_matchers || in_grouping {
                label = word;
                if word != "__name__" {
                    names.labels.insert(word.to_owned());
                }
            } else if GROUPING.contains(&word) {
                in_grouping = next.starts_with('(');
            } else if !is_called && !OPERATORS.contains(&word) {
                names.metrics.insert(word.to_owned());
            }
        } else {
            match first {
                '{' => in_matchers = true,
                '}' => in_matchers = false,
                ')' => in_grouping = false,
                _ => {}
            }
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    names
}

#[test]
fn variables_are_filled_and_strange_ones_named() {
    let node = Variable {
        name: "node".to_owned(),
        query: String::new(),
    };
    let filled = fill(
        "rate(a{node=~\"$node\"}[$__rate_interval])",
        std::slice::from_ref(&node),
    );
    assert_eq!(filled.unwrap(), "rate(a{node=~\".*\"}[1m])");
    assert!(fill("a{node=~\"$nod\"}", &[node]).is_err());
}

#[test]
fn names_of_metrics_and_labels_are_told_from_all_other_words() {
    let said = names(
        "topk(10, sum by (le, x) (rate(a:b_total{l=\"c\",m=~\"d|e\"}[5m:1m])) * on (n) group_left () \
         (f or vector(0)) > 1e6) + count({__name__=~\"g|h\",l!=\"\"} offset 5m)",
    );
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected = Names {
        metrics: set(&["a:b_total", "f", "g", "h"]),
        labels: set(&["l", "le", "m", "n", "x"]),
    };
    assert_eq!(said, expected);
}
