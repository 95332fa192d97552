//! Asks the queries of rules and of their templates.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use query::overlay::Newest;
use query::{Engine, Expr, SeriesSource, Value};
use series::{Labels, Timestamp};

use super::evaluated::RuleError;
use crate::template::Sample;

/// Most warnings kept of one evaluation.
const WARNINGS_MAX: usize = 100;

/// One element of an answer.
pub(super) struct Element {
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// An answer.
pub(super) struct Vector {
    pub(super) elements: Vec<Element>,
    pub(super) is_partial: bool,
    /// The time of the newest sample that was read for it, in milliseconds.
    pub(super) newest_millis: Option<i64>,
}

/// Asks over a source, within the bounds of an engine.
pub(super) struct Asker<'a> {
    pub(super) source: &'a dyn SeriesSource,
    pub(super) engine: &'a Engine,
    /// The time of evaluation.
    pub(super) at: Timestamp,
    /// The time that queries of rules look at.
    pub(super) looks_at: Timestamp,
    pub(super) warnings: &'a RefCell<BTreeSet<String>>,
}

impl Asker<'_> {
    /// The answer of an expression; a scalar is an element without labels.
    pub(super) fn vector(&self, expr: &Expr, text: &str) -> Result<Vector, RuleError> {
        let source = Newest::new(self.source);
        let budget = self.engine.budget();
        let answer = self
            .engine
            .instant_expr(&source, expr, text, self.looks_at, &budget)
            .map_err(RuleError::Query)?;
        if !answer.warnings.is_empty() {
            let mut warnings = self.warnings.borrow_mut();
            let room = WARNINGS_MAX.saturating_sub(warnings.len());
            warnings.extend(answer.warnings.into_iter().take(room));
        }
        Ok(Vector {
            elements: elements(answer.value).ok_or(RuleError::NotAVector)?,
            is_partial: answer.partial,
            newest_millis: source.newest_millis(),
        })
    }

    /// The answer of a template's query, at the time of evaluation.
    pub(super) fn samples(&self, text: &str) -> Result<Vec<Sample>, String> {
        let budget = self.engine.budget();
        let answer = self
            .engine
            .instant(self.source, text, self.at, &budget)
            .map_err(|error| error.to_string())?;
        let elements = elements(answer.value).ok_or("query result is not a vector or scalar")?;
        let samples = elements.into_iter().map(|element| Sample {
            labels: named(&element.labels),
            value: element.value,
        });
        Ok(samples.collect())
    }
}

/// Labels by name.
pub(super) fn named(labels: &Labels) -> BTreeMap<String, String> {
    let pairs = labels.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn elements(value: Value) -> Option<Vec<Element>> {
    match value {
        Value::Scalar { value, .. } => Some(vec![Element {
            labels: Labels::default(),
            value,
        }]),
        Value::Vector(samples) => Some(
            samples
                .into_iter()
                .map(|sample| Element {
                    labels: sample.labels,
                    value: sample.value,
                })
                .collect(),
        ),
        Value::String { .. } | Value::Matrix(_) => None,
    }
}
