//! A rule that a plan asks for.

mod print;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Level;

pub(crate) use print::file;

/// What comes of a rule's expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Each series of its answer is an alert.
    Alert,
    /// Its answer is kept as a series of the rule's name.
    Record,
}

/// What becomes of an alert whose data stay away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// It stays as it is for some hours: no data is no news.
    Hold,
    /// It fires.
    Fire,
    /// It is over.
    Clear,
}

impl Missing {
    /// What a word of rule files says.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Hold, Self::Fire, Self::Clear]
            .into_iter()
            .find(|missing| missing.as_str() == word)
    }

    /// Its word in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Fire => "fire",
            Self::Clear => "clear",
        }
    }
}

/// A rule that a plan asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedRule {
    /// The group that it is in; those of one group are evaluated together.
    pub group: String,
    /// The alert's name, or that of the series that is recorded.
    pub name: String,
    /// What comes of it.
    pub action: Action,
    /// The expression, in PromQL and base units.
    pub expr: String,
    /// For how long it has to hold.
    #[serde(rename = "for")]
    pub hold: Duration,
    /// How often its group is evaluated, where that is said.
    pub interval: Option<Duration>,
    /// How bad it is; none for what is recorded.
    pub level: Option<Level>,
    /// The condition of the levels that it counts as.
    pub condition: Option<String>,
    /// What names its alerts or series, besides the labels of the expression.
    pub labels: BTreeMap<String, String>,
    /// What is said of its alerts: summary, description and threshold.
    pub annotations: BTreeMap<String, String>,
    /// The page that says what to do.
    pub runbook: Option<String>,
    /// When it is over, where that is not simply when it no longer holds.
    pub clear_when: Option<String>,
    /// For how long it has to be over.
    pub clear_for: Option<Duration>,
    /// What becomes of its alerts when data stay away. None where the expression does not compare with a
    /// number: there no data and a false condition look the same, and alerts end.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// Alerts that explain it: while one of them fires on the same node, this one is not told.
    pub depends_on: Vec<String>,
    /// The setting that it came from: `system_monitoring.infrastructure_metrics.cpu_usage.threshold`, or
    /// the file of the stock rule.
    pub path: String,
}

impl PlannedRule {
    /// What tells it from all others.
    pub(crate) fn key(&self) -> (String, BTreeMap<String, String>) {
        let mut labels = self.labels.clone();
        labels.remove("severity");
        (self.name.clone(), labels)
    }

    /// Whether it is about something that may be the cause of harm, and not the harm.
    #[must_use]
    pub fn is_cause(&self) -> bool {
        self.labels.get("kind").is_some_and(|kind| kind == "cause")
    }

    /// Sets the level, and the label that says it to others.
    pub(crate) fn set_level(&mut self, level: Level) {
        self.level = Some(level);
        self.labels
            .insert("severity".to_owned(), level.as_str().to_owned());
    }
}
