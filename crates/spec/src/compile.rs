//! Documents that are right become a plan.

mod channels;
mod finish;
mod health;
mod levels;
mod metric;
mod model;
mod practices;
mod response;
mod selection;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::Ledger;
use crate::binding::Bindings;
use crate::document::{Document, Leaf};
use crate::problem::{Fault, Problem, Problems};
use crate::rule::PlannedRule;
use crate::{Account, Kind, Need, Plan};

pub use finish::conditions;
use levels::Levels;
use practices::Practices;

/// A name and labels.
type RuleKey = (String, BTreeMap<String, String>);

/// A plan in the making.
pub(crate) struct Compiler<'a> {
    documents: &'a [Document],
    bindings: Bindings,
    used: BTreeMap<String, crate::Binding>,
    ledger: Ledger,
    problems: Problems,
    practices: Practices,
    levels: Levels,
    rules: Vec<(PlannedRule, String)>,
    /// The place of each rule in `rules`, by what tells it from the others.
    rule_numbers: BTreeMap<RuleKey, usize>,
    needs: Vec<Need>,
    retention: Option<(Duration, String)>,
}

/// Makes a plan of documents and the stock rules, or says what is wrong.
pub(crate) fn compile(
    documents: &[Document],
    stock: Vec<PlannedRule>,
) -> Result<Plan, Vec<Problem>> {
    let mut problems = Problems::default();
    let bindings = crate::binding::of(documents, &mut problems);
    let settings = documents.iter().map(|document| document.leaves.len()).sum();
    let mut compiler = Compiler {
        documents,
        bindings,
        used: BTreeMap::new(),
        ledger: Ledger::new(settings),
        problems,
        practices: Practices::default(),
        levels: Levels::default(),
        rules: Vec::new(),
        rule_numbers: BTreeMap::new(),
        needs: Vec::new(),
        retention: None,
    };
    compiler.practices();
    compiler.levels();
    for document in documents {
        match document.kind {
            Kind::ModelPerformanceMonitoring => compiler.model(document),
            Kind::SystemHealthMonitoring => compiler.health(document),
            Kind::AutomatedResponse => compiler.response(document),
            Kind::MonitoringBestPractices => compiler.selection(document),
            Kind::Bindings => compiler.given_bindings(document),
            _ => {}
        }
    }
    compiler.finish(stock)
}

impl Compiler<'_> {
    /// Takes note of what a setting does.
    fn in_force(&mut self, leaf: &Leaf, what: impl Into<String>) {
        self.ledger.in_force(leaf.id, what);
    }

    /// Two settings that cannot both be.
    fn conflict(&mut self, at: (&Document, &Leaf), other: String, why: &str) {
        let why = why.to_owned();
        let problem = at.0.problem(at.1, Fault::Conflict { other, why });
        self.problems.push(problem);
    }

    /// Takes in a rule. One of the same name and labels has to be the same rule; what it came from, with
    /// source and line, is `spot`.
    fn rule(&mut self, rule: PlannedRule, at: (&Document, &Leaf)) {
        let key = rule.key();
        let known = self
            .rule_numbers
            .get(&key)
            .and_then(|at| self.rules.get(*at));
        match known.map(|(known, spot)| {
            let is_same = known.expr == rule.expr && known.hold == rule.hold;
            (is_same, spot.clone())
        }) {
            None => {
                self.rule_numbers.insert(key, self.rules.len());
                self.rules.push((rule, at.0.spot(at.1)));
            }
            Some((true, _)) => {}
            Some((false, spot)) => {
                let why = format!("both make the rule {}, and differ", rule.name);
                self.conflict(at, spot, &why);
            }
        }
    }

    /// What the user says that names stand for.
    fn given_bindings(&mut self, document: &Document) {
        for leaf in &document.leaves {
            let name = leaf.path.split('.').nth(1).unwrap_or_default();
            let what = match leaf.name() {
                "query" => format!("{name} is this query wherever a document names it"),
                "unit" => format!("numbers for {name} in documents are in this unit"),
                "bad" => format!("{name} is bad when it is {}", leaf.given),
                _ => format!("the query of {name} is multiplied by it to be in the base unit"),
            };
            self.in_force(leaf, what);
        }
    }

    /// The accounts of all settings, in the order of the documents.
    fn accounts(&self) -> Vec<Account> {
        let mut accounts = Vec::new();
        for document in self.documents {
            for leaf in &document.leaves {
                let (effect, resolved) = self.ledger.effect(leaf.id, leaf.missing);
                accounts.push(Account {
                    source: document.source.clone(),
                    document: document.kind,
                    path: leaf.path.clone(),
                    place: leaf.place,
                    value: leaf.given.clone(),
                    effect,
                    resolved,
                });
            }
        }
        accounts
    }
}
