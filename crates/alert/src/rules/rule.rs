//! A rule that was checked.

use std::collections::BTreeMap;

use query::Expr;
use series::Labels;
use spec::Level;

use super::life::Timing;
use crate::template::Template;

/// Most alerts of one rule where its group sets no limit, so that a rule over everything cannot fill the
/// memory.
pub const ALERTS_MAX: usize = 100_000;

/// For how many milliseconds an element that is gone counts as firing with `missing: fire`: a day, after
/// which somebody has seen it or it is not coming back.
pub const MISSING_FIRES_MAX: i64 = 86_400_000;

/// A rule: an expression, and what becomes of its answer.
#[derive(Debug)]
pub struct Rule {
    /// The name of the alert or of the series recorded.
    pub name: String,
    /// The line of its file, counting from 1.
    pub line: u64,
    /// The expression as it was written.
    pub text: String,
    /// The labels that it adds, those of its group included.
    pub labels: Vec<(String, Template)>,
    /// What becomes of the answer.
    pub kind: Kind,
    pub(super) expr: Expr,
}

/// What becomes of the answer of a rule.
#[derive(Debug)]
pub enum Kind {
    /// It is recorded.
    Recording,
    /// Each element is an alert.
    Alerting(Box<Alerting>),
}

/// What an alerting rule says beside its expression.
#[derive(Debug)]
pub struct Alerting {
    /// What is said of an alert.
    pub annotations: Vec<(String, Template)>,
    /// When it fires and when it is over.
    pub timing: Timing,
    /// How bad it is, where it says so itself.
    pub level: Option<Level>,
    /// A word that gives the level by policy.
    pub condition: Option<String>,
    /// What an element without data means, where it says so.
    pub missing: Option<Missing>,
    /// The least completeness of data with which it is evaluated.
    pub min_complete: Option<f64>,
    /// Names of alerts that explain it.
    pub depends_on: Vec<String>,
    /// The expression that ends an alert, as it was written.
    pub clear_when: Option<String>,
    pub(super) clear: Option<Expr>,
}

/// What an element without data means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing: the alert stays where it is.
    Hold,
    /// The condition holds.
    Fire,
    /// The condition does not hold.
    Clear,
}

impl Alerting {
    /// How bad an alert with these labels is.
    #[must_use]
    pub fn level_of(&self, labels: &Labels, conditions: &BTreeMap<String, Level>) -> Level {
        let by_condition = || conditions.get(self.condition.as_ref()?).copied();
        self.level
            .or_else(by_condition)
            .or_else(|| Level::of_severity(labels.get("severity")))
            .unwrap_or(Level::Medium)
    }

    /// Whether the labels of an alert can be told by its element alone.
    pub(super) fn has_plain_labels(labels: &[(String, Template)]) -> bool {
        !labels
            .iter()
            .any(|(_, template)| template.uses_value() || template.uses_queries())
    }
}

impl Rule {
    /// Whether it makes alerts.
    #[must_use]
    pub fn is_alerting(&self) -> bool {
        matches!(self.kind, Kind::Alerting(_))
    }
}
