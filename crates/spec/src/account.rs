//! What becomes of each setting. Every one has exactly one account; nothing is silently ignored.

use serde::{Deserialize, Serialize};

use crate::problem::Place;
use crate::{Bad, Kind, Unit};

/// What becomes of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It does something; what.
    InForce(String),
    /// It is refused by name, since its part of the system is not built; what is missing.
    NotBuilt(String),
}

/// What a bare name of a metric stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The name in the document.
    pub metric: String,
    /// The query, in PromQL and base units.
    pub query: String,
    /// The unit of the document's number.
    pub unit: Unit,
    /// In which direction it is bad.
    pub bad: Bad,
    /// Who brings the series that it reads.
    pub origin: crate::Origin,
}

/// The account of one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The name of the text.
    pub source: String,
    /// The kind of document.
    pub document: Kind,
    /// Which setting: `monitoring_config.thresholds.accuracy`.
    pub path: String,
    /// Where it stands.
    pub place: Place,
    /// What is said there.
    pub value: String,
    /// What becomes of it.
    pub effect: Effect,
    /// What it reads, where it is about a metric.
    pub resolved: Option<Resolved>,
}

/// Accounts in the making, by the number of the setting.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: Vec<(Vec<String>, Option<Resolved>)>,
}

impl Ledger {
    pub(crate) fn new(settings: usize) -> Self {
        Self {
            rows: vec![(Vec::new(), None); settings],
        }
    }

    /// Says what a setting does. One that does several things says all of them, each once.
    pub(crate) fn in_force(&mut self, setting: usize, what: impl Into<String>) {
        if let Some((effects, _)) = self.rows.get_mut(setting) {
            let what = what.into();
            if !effects.contains(&what) {
                effects.push(what);
            }
        }
    }

    /// Says what a setting reads.
    pub(crate) fn reads(&mut self, setting: usize, resolved: Resolved) {
        if let Some(row) = self.rows.get_mut(setting) {
            row.1 = Some(resolved);
        }
    }

    /// The effect of a setting; one that does nothing is refused for what its shape says is missing.
    pub(crate) fn effect(
        &self,
        setting: usize,
        missing: Option<&str>,
    ) -> (Effect, Option<Resolved>) {
        match self.rows.get(setting) {
            Some((effects, resolved)) if !effects.is_empty() => {
                (Effect::InForce(effects.join("; ")), resolved.clone())
            }
            row => {
                let missing = missing.unwrap_or("nothing makes use of it yet");
                let resolved = row.and_then(|row| row.1.clone());
                (Effect::NotBuilt(missing.to_owned()), resolved)
            }
        }
    }
}
