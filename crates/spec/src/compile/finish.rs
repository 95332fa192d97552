//! What can only be said when all documents have been read: levels of rules, stock rules, accounts.

use std::collections::BTreeSet;

use super::Compiler;
use super::levels::CONDITIONS;
use crate::problem::{Fault, Place, Problem};
use crate::rule::{Action, PlannedRule};
use crate::{Channel, Kind, Level, Need, NeedKind, Plan};

/// Most rules that a word about a condition or a signal names.
const NAMED_MAX: usize = 3;

impl Compiler<'_> {
    pub(super) fn finish(mut self, stock: Vec<PlannedRule>) -> Result<Plan, Vec<Problem>> {
        let mut rules: Vec<PlannedRule> = self.rules.iter().map(|(rule, _)| rule.clone()).collect();
        let stock = self.stock(stock, &rules);
        rules.extend(stock);
        for rule in &mut rules {
            self.settle(rule);
        }
        // What explains an alert has to be there itself.
        let names: BTreeSet<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        for rule in &mut rules {
            rule.depends_on.retain(|name| names.contains(name));
        }
        self.tell_conditions(&rules);
        self.tell_signals(&rules);
        if self.practices.runbooks {
            self.refuse_without_runbook(&rules);
        }
        let policy = self.levels.policy(self.practices.causes_quiet.is_some());
        self.need_addresses(&policy);
        if !self.problems.0.is_empty() {
            let mut problems = self.problems.0;
            problems.sort_by(|left, right| {
                (&left.source, left.place).cmp(&(&right.source, right.place))
            });
            return Err(problems);
        }
        let accounts = self.accounts();
        let (retention_min, retention_path) = self.retention.unzip();
        Ok(Plan {
            policy,
            rules,
            accounts,
            bindings: self.used,
            fatigue: self.practices.limits(),
            needs: self.needs,
            requires_runbooks: self.practices.runbooks,
            retention_min,
            retention_path,
        })
    }

    /// The stock rules that are on. One on a metric that a document has a threshold for gives way to it.
    fn stock(&self, stock: Vec<PlannedRule>, asked: &[PlannedRule]) -> Vec<PlannedRule> {
        // A threshold of one model leaves the stock rule to the others; a trend is no threshold.
        let is_threshold = |rule: &&PlannedRule| {
            let condition = rule.condition.as_deref();
            rule.action == Action::Alert
                && !rule.labels.contains_key("model")
                && !matches!(condition, Some("trend_changes" | "informational"))
        };
        let replaced = |rule: &PlannedRule| {
            let metric = rule.labels.get("metric");
            metric.is_some()
                && asked
                    .iter()
                    .filter(is_threshold)
                    .any(|asked| asked.labels.get("metric") == metric)
        };
        let signal_is_on = |rule: &PlannedRule| {
            let signals = self.practices.signals.as_ref();
            match (rule.labels.get("signal"), signals) {
                (Some(signal), Some(signals)) => signals.contains(signal),
                _ => true,
            }
        };
        let is_on = |rule: &PlannedRule| {
            let symptom = rule
                .labels
                .get("kind")
                .is_some_and(|kind| kind == "symptom");
            (self.practices.symptoms || !symptom) && signal_is_on(rule)
        };
        stock
            .into_iter()
            .filter(|rule| is_on(rule) && !replaced(rule))
            .collect()
    }

    /// Gives a rule its level: that of its condition where a document says levels, its own otherwise, and
    /// medium at most where causes are to be quiet.
    fn settle(&self, rule: &mut PlannedRule) {
        if rule.action == Action::Record {
            return;
        }
        let condition = rule.condition.clone().unwrap_or_default();
        let of_condition = self.levels.of(&condition);
        let said = self.levels.conditions.contains_key(&condition);
        let mut level = match rule.level {
            Some(own) if !said => own,
            _ => of_condition,
        };
        if self.practices.causes_quiet.is_some() && rule.is_cause() {
            level = level.min(Level::Medium);
        }
        rule.set_level(level);
        if !self.practices.thresholds {
            rule.clear_when = None;
        }
        if !self.practices.fatigue {
            rule.clear_for = None;
        }
    }

    fn tell_conditions(&mut self, rules: &[PlannedRule]) {
        let documents = self.documents;
        for document in documents
            .iter()
            .filter(|it| it.kind == Kind::MultiLevelAlerting)
        {
            for level in Level::ALL {
                let path = format!("alerting_config.alert_levels.{level}.conditions");
                for leaf in document.list(&path) {
                    let of = |rule: &&PlannedRule| {
                        rule.condition.as_deref() == Some(leaf.given.as_str())
                    };
                    let names = named(rules.iter().filter(of));
                    let what = if names.is_empty() {
                        format!(
                            "rules with this condition are {level}; none of ours has it, rules of yours may (condition: {})",
                            leaf.given
                        )
                    } else {
                        format!("rules with this condition are {level}: {names}")
                    };
                    self.in_force(leaf, what);
                }
            }
        }
    }

    fn tell_signals(&mut self, rules: &[PlannedRule]) {
        let documents = self.documents;
        for document in documents
            .iter()
            .filter(|it| it.kind == Kind::MonitoringBestPractices)
        {
            for leaf in document.list("metric_selection.golden_signals") {
                let of = |rule: &&PlannedRule| rule.labels.get("signal") == Some(&leaf.given);
                let names = named(rules.iter().filter(of));
                self.in_force(
                    leaf,
                    format!("it is watched by rules that are on without being asked for: {names}"),
                );
            }
        }
    }

    fn refuse_without_runbook(&mut self, rules: &[PlannedRule]) {
        for rule in rules {
            if rule.action == Action::Alert && rule.runbook.is_none() {
                let why = format!(
                    "the rule {} has no runbook, and maintain_runbooks asks for one",
                    rule.name
                );
                self.problems.push(Problem {
                    source: rule.path.clone(),
                    place: Place::default(),
                    path: rule.path.clone(),
                    fault: Box::new(Fault::BadValue {
                        found: rule.name.clone(),
                        why,
                    }),
                    suggestion: None,
                });
            }
        }
    }

    /// Channels that levels use and for which no document has an address.
    fn need_addresses(&mut self, policy: &crate::Policy) {
        for channel in Channel::ALL {
            let used = policy
                .levels
                .iter()
                .rev()
                .find(|(_, it)| it.channels.contains(&channel));
            if let Some((level, _)) = used
                && !policy.addresses.contains_key(&channel)
            {
                let path = format!("the level {level} is told by it");
                self.needs.push(Need {
                    kind: NeedKind::Addresses(channel),
                    path,
                });
            }
        }
    }
}

/// The first names of alerts, and how many more there are.
fn named<'a>(rules: impl Iterator<Item = &'a PlannedRule>) -> String {
    let mut names: Vec<&str> = rules
        .filter(|rule| rule.action == Action::Alert)
        .map(|rule| rule.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The conditions that rules of ours count as.
pub fn conditions() -> impl Iterator<Item = &'static str> {
    CONDITIONS.iter().map(|(word, _)| *word)
}
