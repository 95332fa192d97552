//! What a bare name of a metric stands for: a query over real series, its unit and its bad direction.

mod known;
mod template;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{Document, Leaf};
use crate::nearest::nearest;
use crate::problem::{Fault, Problem, Problems};
use crate::shape::Setting;
use crate::{Kind, Unit};

/// In which direction a metric is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bad {
    /// A threshold is a ceiling.
    High,
    /// A threshold is a floor.
    Low,
}

impl Bad {
    /// `ceiling` or `floor`.
    #[must_use]
    pub fn bound(self) -> &'static str {
        match self {
            Self::High => "ceiling",
            Self::Low => "floor",
        }
    }
}

/// Who brings the series that a query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Agents collect it: from the host, the GPUs, or an inference server that they scrape.
    Collected,
    /// The user pushes it under the name that is the convention, or exposes it to be scraped.
    Pushed,
    /// The user has said the query.
    Given,
}

/// What users feel, or what may be the cause of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Users feel it.
    Symptom,
    /// It may be the cause of what users feel; alone it hurts nobody.
    Cause,
}

/// What a bare name stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The name.
    pub name: String,
    /// What it is, in a few words.
    pub about: String,
    /// The query, in PromQL and base units. `$model` in a matcher stands for the model that a document
    /// is about, and `$by` for the labels that tell its parts apart; without a model it is all models.
    pub query: String,
    /// The unit of the numbers in documents.
    pub unit: Unit,
    /// In which direction it is bad.
    pub bad: Bad,
    /// Who brings the series.
    pub origin: Origin,
    /// Whether it is a symptom or a cause.
    pub role: Role,
    /// The golden signal that it is: latency, traffic, errors or saturation.
    pub signal: Option<String>,
    /// The condition of levels that it counts as.
    pub condition: String,
    /// The labels by which it is told apart where no model is named.
    pub by: Vec<String>,
    /// What a change must be to count as a trend: a difference for ratios, else a share of the baseline.
    pub trend: f64,
    /// The page that says what to do.
    pub runbook: String,
}

impl Binding {
    /// The query over one model, or over all.
    #[must_use]
    pub fn query(&self, model: Option<&str>) -> String {
        template::fill(&self.query, model, &self.by)
    }
}

/// The words that the specification uses for the same thing.
const ALIASES: &[(&str, &str)] = &[
    ("cpu", "cpu_usage"),
    ("memory", "memory_usage"),
    ("disk", "disk_usage"),
    ("gpu", "gpu_usage"),
    ("network", "network_io"),
    ("conversion", "conversion_rate"),
    ("traffic", "throughput"),
    ("errors", "error_rate"),
];

/// All names that mean something.
#[derive(Debug)]
pub(crate) struct Bindings {
    all: BTreeMap<String, Binding>,
}

impl Bindings {
    /// The default ones.
    pub(crate) fn known() -> Self {
        let all = known::all()
            .map(|binding| (binding.name.clone(), binding))
            .collect();
        Self { all }
    }

    /// The binding of a name, or of what it is another word for.
    pub(crate) fn get(&self, name: &str) -> Option<&Binding> {
        self.all.get(name).or_else(|| {
            let (_, name) = ALIASES.iter().find(|(alias, _)| *alias == name)?;
            self.all.get(*name)
        })
    }

    /// The binding of a name in a document, or a problem that says how to make one.
    pub(crate) fn find(&self, name: &str, at: (&Document, &Leaf)) -> Result<&Binding, Problem> {
        self.get(name).ok_or_else(|| {
            let (document, leaf) = at;
            let known = self.all.keys().map(String::as_str);
            let aliases = ALIASES.iter().map(|(alias, _)| *alias);
            let suggestion = match nearest(name, known.chain(aliases)) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!(
                    "say what it is: bindings: {{{name}: {{query: ..., unit: ..., bad: high}}}}"
                ),
            };
            let why = "no metric has this name".to_owned();
            let found = name.to_owned();
            let mut problem = document.problem(leaf, Fault::BadValue { found, why });
            problem.suggestion = Some(suggestion);
            problem
        })
    }

    /// Takes over what the user says: a name of ours keeps its meaning, and gets another query.
    pub(crate) fn take(&mut self, document: &Document, problems: &mut Problems) {
        for name in document.names("bindings") {
            let path = format!("bindings.{name}");
            let leaf = |key: &str| document.at(&format!("{path}.{key}"));
            let Some(query) = leaf("query") else {
                continue;
            };
            let mut binding = self
                .get(name)
                .cloned()
                .unwrap_or_else(|| known::unknown(name));
            name.clone_into(&mut binding.name);
            binding.origin = Origin::Given;
            binding.query = query.given.trim().to_owned();
            if let Some(unit) = leaf("unit") {
                match Unit::from_word(&unit.given) {
                    Some(unit) => binding.unit = unit,
                    None => problems.push(unknown_unit(document, unit)),
                }
            }
            match leaf("bad").map(|leaf| leaf.given.as_str()) {
                Some("high") => binding.bad = Bad::High,
                Some(_) => binding.bad = Bad::Low,
                None => {}
            }
            if let Some(Setting::Number(scale)) = leaf("scale").map(|leaf| &leaf.setting) {
                binding.query = format!("({}) * {}", binding.query, crate::unit::number(*scale));
            }
            self.all.insert(name.to_owned(), binding);
        }
    }
}

fn unknown_unit(document: &Document, leaf: &Leaf) -> Problem {
    let words: Vec<_> = Unit::words().collect();
    let mut problem = document.bad_value(leaf, format!("a unit is one of {}", words.join(", ")));
    problem.suggestion = nearest(&leaf.given, words).map(|meant| format!("did you mean {meant}?"));
    problem
}

/// The documents that hold bindings.
pub(crate) fn of(documents: &[Document], problems: &mut Problems) -> Bindings {
    let mut bindings = Bindings::known();
    for document in documents {
        if document.kind == Kind::Bindings {
            bindings.take(document, problems);
        }
    }
    bindings
}

/// The metrics that documents may name without a binding of their own.
pub fn metrics() -> impl Iterator<Item = Binding> {
    known::all()
}
