//! What is to be done, all of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compile::compile;
use crate::document::{Document, check};
use crate::problem::{Problem, Problems};
use crate::{
    Account, Binding, Channel, Effect, Level, PlannedRule, Policy, duration, rule, stock, tree,
};

/// A text that may hold documents.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// What it is called in problems and accounts: the file's name.
    pub name: &'a str,
    /// Its content: YAML or JSON, one document or several.
    pub body: &'a str,
}

/// How loud it may become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fatigue {
    /// Levels whose alerts are gathered into one word, and how often that is said.
    pub digest: BTreeMap<Level, Duration>,
    /// Most words to one receiver in an hour; the critical are told in any case.
    pub words_per_hour_max: u32,
}

impl Default for Fatigue {
    fn default() -> Self {
        Self {
            digest: BTreeMap::from([(Level::Low, Duration::from_secs(3600))]),
            words_per_hour_max: 20,
        }
    }
}

/// Something that documents name and that the coordinator's own configuration has to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// What it is.
    pub kind: NeedKind,
    /// The setting that names it.
    pub path: String,
}

/// What the coordinator's configuration has to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    /// A receiver of this name: someone with addresses.
    Receiver(String),
    /// Addresses for a channel, since no document has any.
    Addresses(Channel),
    /// Something that goes by a name with a secret behind it: a service of PagerDuty, a hook.
    Service(Channel, String),
    /// A template of this name for a channel.
    Template(Channel, String),
}

/// What is to be done, all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What is done about alerts, by level.
    pub policy: Policy,
    /// All rules: those that documents ask for, then the stock rules that are on.
    pub rules: Vec<PlannedRule>,
    /// What becomes of each setting.
    pub accounts: Vec<Account>,
    /// What the names of metrics stand for, as far as documents name them.
    pub bindings: BTreeMap<String, Binding>,
    /// How loud it may become; none where that is not bounded.
    pub fatigue: Option<Fatigue>,
    /// What the coordinator's configuration has to have.
    pub needs: Vec<Need>,
    /// Whether a rule without a runbook is to be refused, in rule files of the user's too.
    pub requires_runbooks: bool,
    /// How long samples have to be kept at least, where a document says so.
    pub retention_min: Option<Duration>,
    /// The setting that says so.
    pub retention_path: Option<String>,
}

impl Plan {
    /// The rules as the text of a Prometheus rule file, with keys of our own besides.
    #[must_use]
    pub fn rule_file(&self) -> String {
        rule::file(&self.rules)
    }

    /// The settings that are refused by name as not built.
    pub fn not_built(&self) -> impl Iterator<Item = &Account> {
        self.accounts
            .iter()
            .filter(|account| matches!(account.effect, Effect::NotBuilt(_)))
    }

    /// Why a coordinator that keeps samples for `kept` cannot do it, if it cannot.
    #[must_use]
    pub fn retention_fault(&self, kept: Duration) -> Option<String> {
        let asked = self.retention_min.filter(|asked| *asked > kept)?;
        let path = self.retention_path.as_deref().unwrap_or_default();
        let (asked, kept) = (duration::show(asked), duration::show(kept));
        Some(format!(
            "{path} asks for {asked}, and store.retention is {kept}: raise it"
        ))
    }
}

/// Most texts that are read together.
const TEXTS_MAX: usize = 256;

/// Makes a plan of documents, which may be none: then it is that of the stock rules.
///
/// # Errors
/// All that is wrong with the documents, in the order of the texts.
pub fn load(texts: &[Text<'_>]) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let mut documents: Vec<Document> = Vec::new();
    let mut next_id = 0;
    for text in texts.iter().take(TEXTS_MAX) {
        match tree::read(text.name, text.body) {
            Ok(nodes) => {
                for node in nodes {
                    documents.extend(check(text.name, &node, &mut next_id, &mut problems));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(text) = texts.get(TEXTS_MAX) {
        problems.push(Problem {
            source: text.name.to_owned(),
            place: crate::Place::default(),
            path: String::new(),
            fault: Box::new(crate::Fault::Unreadable(format!(
                "there are more than {TEXTS_MAX} texts"
            ))),
            suggestion: None,
        });
    }
    let stock = match stock::rules() {
        Ok(rules) => rules,
        Err(found) => {
            found.into_iter().for_each(|problem| problems.push(problem));
            Vec::new()
        }
    };
    if problems.0.is_empty() {
        compile(&documents, stock)
    } else {
        Err(problems.0)
    }
}
