//! Recording rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder, STALE_NAN, Timestamp};

use super::ask::{Asker, Element};
use super::evaluated::{Recorded, RuleError};
use super::rule::{ALERTS_MAX, Rule};

/// What a recording rule recorded last, to mark what ends.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Each series with the number of the evaluation that gave it last.
    series: HashMap<Arc<Labels>, u64>,
    evaluations: u64,
}

/// What an evaluation of a recording rule was like.
pub(super) struct Recording {
    pub(super) is_partial: bool,
    /// Whether it recorded other series than before.
    pub(super) is_changed: bool,
}

impl Records {
    /// The series that it recorded last.
    pub(super) fn series(&self) -> Vec<&Labels> {
        let mut series: Vec<&Labels> = self.series.keys().map(AsRef::as_ref).collect();
        series.sort();
        series
    }

    /// Takes in a series that it recorded last.
    pub(super) fn restore(&mut self, labels: Labels) {
        self.series.insert(Arc::new(labels), self.evaluations);
    }

    /// Evaluates the rule.
    pub(super) fn evaluate(
        &mut self,
        rule: &Rule,
        asker: &Asker<'_>,
        limit: usize,
        out: &mut Vec<Recorded>,
    ) -> Result<Recording, RuleError> {
        let answer = asker.vector(&rule.expr, &rule.text)?;
        let max = if limit == 0 { ALERTS_MAX } else { limit };
        if answer.elements.len() > max {
            return Err(RuleError::Limit {
                what: "series",
                got: answer.elements.len(),
                max,
            });
        }
        let mut found = Vec::with_capacity(answer.elements.len());
        for element in &answer.elements {
            found.push((named(rule, element)?, element.value));
        }
        let distinct: HashSet<&Labels> = found.iter().map(|(labels, _)| labels).collect();
        if distinct.len() < found.len() {
            return Err(RuleError::SameLabels { of: "rule" });
        }
        Ok(Recording {
            is_partial: answer.is_partial,
            is_changed: self.keep(found, asker.looks_at, answer.is_partial, out),
        })
    }

    /// Records what was found and ends what was not; says whether there are other series than before.
    fn keep(
        &mut self,
        found: Vec<(Labels, f64)>,
        at: Timestamp,
        is_partial: bool,
        out: &mut Vec<Recorded>,
    ) -> bool {
        let before = self.series.len();
        self.evaluations += 1;
        let now = self.evaluations;
        for (labels, value) in found {
            let labels = match self.series.get_key_value(&labels) {
                Some((known, _)) => Arc::clone(known),
                None => Arc::new(labels),
            };
            self.series.insert(Arc::clone(&labels), now);
            out.push(Recorded { labels, at, value });
        }
        let is_grown = self.series.len() > before;
        if is_partial {
            return is_grown;
        }
        let start = out.len();
        self.series.retain(|labels, given| {
            if *given != now {
                out.push(Recorded {
                    labels: Arc::clone(labels),
                    at,
                    value: STALE_NAN,
                });
            }
            *given == now
        });
        if let Some(ended) = out.get_mut(start..) {
            ended.sort_by(|a, b| a.labels.cmp(&b.labels));
        }
        is_grown || out.len() > start
    }
}

/// The labels that an element is recorded by.
fn named(rule: &Rule, element: &Element) -> Result<Labels, RuleError> {
    let mut builder = LabelsBuilder::from_labels(&element.labels);
    builder.set(METRIC_NAME, &rule.name);
    for (name, value) in &rule.labels {
        builder.set(name, value.text());
    }
    Ok(builder.build()?)
}
