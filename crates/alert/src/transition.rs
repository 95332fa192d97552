//! What a rule found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spec::Level;

/// Where an alert of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its condition does not hold.
    Inactive,
    /// Its condition holds, not yet for long enough.
    Pending,
    /// Its condition holds, or has not been clear for long enough.
    Firing,
}

impl State {
    /// Its word in pages and in the label `alertstate`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

/// One alert of one rule went from one state to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When, in milliseconds since the Unix epoch: the time of the evaluation.
    pub at_millis: i64,
    /// The group and the rule, `group/rule`.
    pub rule: String,
    /// What names the alert, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it, templates filled in.
    pub annotations: BTreeMap<String, String>,
    /// How bad it is.
    pub level: Level,
    /// From where.
    pub from: State,
    /// To where.
    pub to: State,
    /// The value that the condition was last seen to hold with; NaN where it has none.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// Since when the condition holds, in milliseconds since the Unix epoch.
    pub active_millis: i64,
    /// When the newest sample behind it was taken, where that is known.
    pub sample_millis: Option<i64>,
}

impl Transition {
    /// Whether it is the beginning of a firing alert.
    #[must_use]
    pub fn begins_to_fire(&self) -> bool {
        self.to == State::Firing && self.from != State::Firing
    }

    /// It as one line: time, rule, labels, from, to and value. Two runs that found the same give the same
    /// lines.
    #[must_use]
    pub fn line(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        format!(
            "{} {} {{{}}} {} -> {} {}",
            self.at_millis,
            self.rule,
            labels.join(","),
            self.from.as_str(),
            self.to.as_str(),
            self.value
        )
    }
}
