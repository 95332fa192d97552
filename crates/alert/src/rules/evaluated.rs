//! What an evaluation gives.

use std::sync::Arc;

use series::{Labels, LabelsError, Timestamp};

use crate::Transition;

/// What one evaluation of a group gave.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// What changed, rule by rule, and by labels in a rule.
    pub transitions: Vec<Transition>,
    /// What is to be stored: what was recorded, `ALERTS` and `ALERTS_FOR_STATE`, and stale markers of what
    /// ended.
    pub recorded: Vec<Recorded>,
    /// The rules that failed.
    pub failures: Vec<Failure>,
    /// The rules whose alerts were held, or some of them, because of what is not known.
    pub held: Vec<Held>,
    /// What the queries warn of, each once.
    pub warnings: Vec<String>,
    /// Whether the state of an alert changed, or which series are recorded: with it what
    /// [`super::Group::export`] gives, but for values and what is said of alerts.
    pub is_changed: bool,
}

/// A sample to store.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// What names its series.
    pub labels: Arc<Labels>,
    /// Its time: that of the evaluation, less the group's query offset.
    pub at: Timestamp,
    /// Its value, or a stale marker.
    pub value: f64,
}

/// A rule that failed. Its alerts are what they were.
#[derive(Debug)]
pub struct Failure {
    /// The group and the rule, `group/rule`.
    pub rule: String,
    /// Why.
    pub error: RuleError,
}

/// A rule of which something is not known.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The group and the rule, `group/rule`.
    pub rule: String,
    /// Why.
    pub why: Why,
}

/// Why alerts are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// The data are not complete enough, and the rule was not evaluated.
    Incomplete {
        /// The completeness there is.
        is: f64,
        /// The least that the rule asks for.
        least: f64,
    },
    /// The answer was partial: what was found counts, what was not found may be there.
    Partial,
    /// So many alerts have no data.
    Missing {
        /// How many.
        alerts: usize,
    },
}

/// Why a rule failed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Its query failed.
    #[error("evaluating the query")]
    Query(#[source] query::Error),
    /// Its answer is neither a vector nor a scalar.
    #[error("rule result is not a vector or scalar")]
    NotAVector,
    /// Two of its elements have the same labels.
    #[error("vector contains metrics with the same labelset after applying {of} labels")]
    SameLabels {
        /// Of an alert or a rule.
        of: &'static str,
    },
    /// It has more alerts or series than its group allows.
    #[error("exceeded limit of {max} with {got} {what}")]
    Limit {
        /// Alerts or series.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// Labels of an element cannot be a series'.
    #[error("the labels of an element cannot be used")]
    Labels(#[from] LabelsError),
}

impl RuleError {
    /// Whether the next evaluation may succeed over the same data.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Query(error) => error.is_retryable(),
            Self::NotAVector | Self::SameLabels { .. } | Self::Limit { .. } | Self::Labels(_) => {
                false
            }
        }
    }
}
