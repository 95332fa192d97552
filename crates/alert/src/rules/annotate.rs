//! Fills in the labels and annotations of an alert.

use std::collections::BTreeMap;

use series::labels::METRIC_NAME;
use series::{Labels, LabelsBuilder, LabelsError};

use super::ask::{Asker, named};
use super::group::Settings;
use super::rule::Rule;
use crate::template::{Query, Scope, Template};

/// The label of an alert's name.
pub(super) const ALERT_NAME: &str = "alertname";

/// Expands the templates of one rule.
pub(super) struct Annotator<'a> {
    pub(super) rule: &'a Rule,
    pub(super) settings: &'a Settings,
    pub(super) asker: &'a Asker<'a>,
}

impl Annotator<'_> {
    /// The text, or in its place what went wrong, in Prometheus' form.
    fn expand(&self, template: &Template, labels: &Labels, value: f64) -> String {
        let query: &Query<'_> = &|text| self.asker.samples(text);
        let scope = Scope {
            alert: &self.rule.name,
            at: self.asker.at,
            external_url: &self.settings.external_url,
            external_labels: &self.settings.external_labels,
            query,
        };
        template
            .expand(named(labels), value, &scope)
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }

    /// The labels of the alert of an element.
    pub(super) fn labels(&self, of: &Labels, value: f64) -> Result<Labels, LabelsError> {
        let mut builder = LabelsBuilder::from_labels(of);
        builder.remove(METRIC_NAME);
        for (name, template) in &self.rule.labels {
            builder.set(name, &self.expand(template, of, value));
        }
        builder.set(ALERT_NAME, &self.rule.name);
        builder.build()
    }

    /// What is said of the alert of an element.
    pub(super) fn annotations(
        &self,
        templates: &[(String, Template)],
        of: &Labels,
        value: f64,
    ) -> BTreeMap<String, String> {
        templates
            .iter()
            .map(|(name, template)| (name.clone(), self.expand(template, of, value)))
            .collect()
    }
}

/// An element's labels without the metric name.
pub(super) fn without_name(labels: &Labels) -> Labels {
    if labels.metric_name().is_empty() {
        return labels.clone();
    }
    let rest = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    // What is left of a sorted set is sorted.
    Labels::from_sorted(rest).unwrap_or_default()
}
