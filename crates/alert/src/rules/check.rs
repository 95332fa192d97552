//! The checks of a rule: Prometheus' own, and those of what we add.

use std::collections::BTreeMap;

use query::ast::Type;
use query::{Expr, parse};
use series::labels::{METRIC_NAME, is_label_name, is_metric_name};
use spec::Level;

use super::comparison;
use super::edge;
use super::error::Problem;
use super::file::{RawCount, RawRule};
use super::life::{Count, Timing};
use super::rule::{Alerting, Kind, Missing, Rule};
use crate::template::Template;

/// Most labels of a rule: as many as a series may have.
const LABELS_MAX: usize = series::limits::LABELS_PER_SERIES_MAX;
/// Most annotations of a rule; people write a handful.
const ANNOTATIONS_MAX: usize = 256;
/// Most names in `depends_on`.
const DEPENDENCIES_MAX: usize = 32;
/// Where the runbook of a rule goes, by the field's custom.
const RUNBOOK: &str = "runbook_url";

type Problems = Vec<Problem>;
type RawPairs = Option<BTreeMap<String, Option<String>>>;

pub(super) fn field(message: impl Into<String>) -> Problem {
    Problem::Field {
        message: message.into(),
    }
}

/// A duration in milliseconds, where there is one.
pub(super) fn duration(name: &str, text: Option<&str>, problems: &mut Problems) -> Option<i64> {
    match text? {
        "0" => Some(0),
        text => match query::duration_millis(text) {
            Some(millis) => Some(millis),
            None => {
                let message = format!("{name}: {text:?} is no duration such as 90s, 5m or 1h30m");
                problems.push(field(message));
                None
            }
        },
    }
}

/// Labels of a group or a rule; Prometheus takes what is null for empty.
pub(super) fn labels(raw: RawPairs, problems: &mut Problems) -> BTreeMap<String, String> {
    let pairs = raw.unwrap_or_default();
    if pairs.len() > LABELS_MAX {
        problems.push(Problem::TooMuch {
            what: "labels",
            got: pairs.len(),
            max: LABELS_MAX,
        });
    }
    for name in pairs.keys() {
        if !is_label_name(name) || name == METRIC_NAME {
            problems.push(field(format!("invalid label name: {name}")));
        }
    }
    pairs
        .into_iter()
        .map(|(name, value)| (name, value.unwrap_or_default()))
        .collect()
}

/// Checks a rule; the labels of its group stand below its own.
pub(super) fn rule(
    mut raw: RawRule,
    line: u64,
    group_labels: &BTreeMap<String, String>,
) -> Result<Rule, Problems> {
    let mut problems = Vec::new();
    let is_recording = !raw.record.is_empty();
    match (is_recording, !raw.alert.is_empty()) {
        (true, true) => problems.push(field("only one of 'record' and 'alert' must be set")),
        (false, false) => problems.push(field("one of 'record' or 'alert' must be set")),
        _ => {}
    }
    if is_recording {
        recording_fields(&raw, &mut problems);
    }
    let expr = expression("expr", &raw.expr, &mut problems);
    let own = labels(raw.labels.take(), &mut problems);
    let mut merged = group_labels.clone();
    merged.extend(own);
    let name = if is_recording {
        raw.record.clone()
    } else {
        raw.alert.clone()
    };
    let text = raw.expr.clone();
    let labels = templates("label", merged, !is_recording, &mut problems);
    let kind = if is_recording {
        Kind::Recording
    } else {
        let alerting = alerting(raw, expr.as_ref(), &mut problems);
        if let (Some(true), Some(expr)) = (alerting.edge, &expr)
            && let Err(why) = edge::per_node(expr, &labels, &alerting)
        {
            problems.push(field(format!("edge: true, but {why}")));
        }
        Kind::Alerting(Box::new(alerting))
    };
    match expr {
        Some(expr) if problems.is_empty() => Ok(Rule {
            name,
            line,
            text,
            labels,
            kind,
            expr,
        }),
        _ => Err(problems),
    }
}

fn recording_fields(raw: &RawRule, problems: &mut Problems) {
    let has_time = |text: &Option<String>| text.as_ref().is_some_and(|text| text != "0");
    for (name, is_set) in [
        (
            "annotations",
            raw.annotations.as_ref().is_some_and(|it| !it.is_empty()),
        ),
        ("for", has_time(&raw.hold)),
        ("keep_firing_for", has_time(&raw.keep_firing_for)),
        ("level", raw.level.is_some()),
        ("condition", raw.condition.is_some()),
        ("clear_when", raw.clear_when.is_some()),
        ("clear_for", raw.clear_for.is_some()),
        ("count", raw.count.is_some()),
        ("missing", raw.missing.is_some()),
        ("min_complete", raw.min_complete.is_some()),
        ("depends_on", raw.depends_on.is_some()),
        ("runbook", raw.runbook.is_some()),
        ("edge", raw.edge.is_some()),
    ] {
        if is_set {
            problems.push(field(format!("invalid field '{name}' in recording rule")));
        }
    }
    if !is_metric_name(&raw.record) {
        problems.push(field(format!(
            "invalid recording rule name: {}",
            raw.record
        )));
    }
}

/// An expression of an instant vector or a scalar.
fn expression(name: &'static str, text: &str, problems: &mut Problems) -> Option<Expr> {
    if text.is_empty() {
        problems.push(field(format!("field '{name}' must be set in rule")));
        return None;
    }
    match parse(text) {
        Ok(expr) => Some(expr),
        Err(source) => {
            problems.push(Problem::Expression {
                field: name,
                source,
            });
            None
        }
    }
}

/// Pairs whose values are templates where the rule is an alert.
fn templates(
    what: &'static str,
    pairs: BTreeMap<String, String>,
    are_templates: bool,
    problems: &mut Problems,
) -> Vec<(String, Template)> {
    let mut parsed = Vec::with_capacity(pairs.len());
    for (name, text) in pairs {
        let template = if are_templates {
            Template::parse(&text)
        } else {
            Ok(Template::plain(&text))
        };
        match template {
            Ok(template) => parsed.push((name, template)),
            Err(source) => problems.push(Problem::Template { what, name, source }),
        }
    }
    parsed
}

fn annotations(raw: &mut RawRule, problems: &mut Problems) -> Vec<(String, Template)> {
    let mut pairs: BTreeMap<String, String> = raw
        .annotations
        .take()
        .unwrap_or_default()
        .into_iter()
        .map(|(name, text)| (name, text.unwrap_or_default()))
        .collect();
    if let Some(runbook) = raw.runbook.take() {
        pairs.entry(RUNBOOK.to_owned()).or_insert(runbook);
    }
    if pairs.len() > ANNOTATIONS_MAX {
        problems.push(Problem::TooMuch {
            what: "annotations",
            got: pairs.len(),
            max: ANNOTATIONS_MAX,
        });
    }
    for name in pairs.keys().filter(|name| !is_label_name(name)) {
        problems.push(field(format!("invalid annotation name: {name}")));
    }
    templates("annotation", pairs, true, problems)
}

fn alerting(mut raw: RawRule, expr: Option<&Expr>, problems: &mut Problems) -> Alerting {
    let annotations = annotations(&mut raw, problems);
    let hold = duration("for", raw.hold.as_deref(), problems).unwrap_or(0);
    let keep = duration("keep_firing_for", raw.keep_firing_for.as_deref(), problems);
    let clear = duration("clear_for", raw.clear_for.as_deref(), problems);
    if keep.is_some_and(|millis| millis > 0) && clear.is_some() {
        problems.push(field(
            "keep_firing_for and clear_for say the same; say one of them",
        ));
    }
    let level = raw.level.as_deref().and_then(|word| {
        let level = word.parse::<Level>();
        level
            .map_err(|unknown| problems.push(field(format!("level: {unknown}"))))
            .ok()
    });
    let dependencies = raw.depends_on.unwrap_or_default();
    if dependencies.len() > DEPENDENCIES_MAX {
        problems.push(Problem::TooMuch {
            what: "names in depends_on",
            got: dependencies.len(),
            max: DEPENDENCIES_MAX,
        });
    }
    if let Some(least) = raw.min_complete
        && !(0.0..=1.0).contains(&least)
    {
        let message = format!("min_complete: {least} is not between 0 and 1");
        problems.push(field(message));
    }
    let timing = Timing {
        hold_millis: hold,
        clear_millis: clear.or(keep).unwrap_or(0),
        count: raw.count.and_then(|raw| count(&raw, problems)),
    };
    let missing = missing(raw.missing.as_deref(), expr, problems);
    let ends = raw.clear_when.as_deref();
    let ends = ends.and_then(|text| clear_when(text, problems));
    // Without data nothing is in its answer, and the alert would stay for good.
    let is_held = ends.is_some() && expr.is_some_and(|expr| comparison::split(expr).is_some());
    Alerting {
        annotations,
        timing,
        level,
        condition: raw.condition,
        missing: missing.or_else(|| is_held.then_some(Missing::Hold)),
        min_complete: raw.min_complete,
        depends_on: dependencies,
        clear: ends,
        clear_when: raw.clear_when,
        edge: raw.edge,
    }
}

fn clear_when(text: &str, problems: &mut Problems) -> Option<Expr> {
    let expr = expression("clear_when", text, problems)?;
    if expr.value_type() == Type::Vector {
        return Some(expr);
    }
    let message = "clear_when must be an instant vector, whose elements end the alerts with their \
                   labels";
    problems.push(field(message));
    None
}

fn count(raw: &RawCount, problems: &mut Problems) -> Option<Count> {
    let count = Count::new(raw.least, raw.of);
    if count.is_none() {
        problems.push(field(format!(
            "count: at least {} of {} cannot be counted; least is from 1 to of, and of at most {}",
            raw.least,
            raw.of,
            Count::OF_MAX
        )));
    }
    count
}

fn missing(word: Option<&str>, expr: Option<&Expr>, problems: &mut Problems) -> Option<Missing> {
    let word = word?;
    let missing = match word {
        "hold" => Missing::Hold,
        "fire" => Missing::Fire,
        "clear" => Missing::Clear,
        _ => {
            let message = format!("missing: {word:?} is none of hold, fire and clear");
            problems.push(field(message));
            return None;
        }
    };
    if expr.is_some_and(|expr| comparison::split(expr).is_none()) {
        problems.push(field(
            "missing needs an expr of the form EXPR CMP NUMBER, such as 'rate(x[5m]) > 5', so that no \
             data and a false condition can be told apart",
        ));
    }
    Some(missing)
}
