//! A group of rules, evaluated in order.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use query::overlay::{Added, Overlay};
use query::{Engine, SeriesSource};
use series::Timestamp;
use spec::Level;

use super::alerting::{ALERTS, ALERTS_FOR_STATE, Alerts, Outputs};
use super::annotate::Annotator;
use super::ask::Asker;
use super::evaluated::{Evaluated, Failure, Held, RuleError, Why};
use super::file::GroupSpec;
use super::reads::reads_any;
use super::recording::Records;
use super::rule::{Alerting, Kind, Rule};
use super::slots;

/// What all groups share.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Milliseconds between two evaluations of a group that does not say.
    pub interval_millis: i64,
    /// By how many milliseconds the queries of a group look back that does not say.
    pub query_offset_millis: i64,
    /// Labels of this coordinator, for templates.
    pub external_labels: BTreeMap<String, String>,
    /// The address under which people reach us, for templates.
    pub external_url: String,
    /// The level of each named condition, by policy.
    pub conditions: BTreeMap<String, Level>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval_millis: 60_000,
            query_offset_millis: 0,
            external_labels: BTreeMap::new(),
            external_url: String::new(),
            conditions: BTreeMap::new(),
        }
    }
}

/// A rule with what it remembers.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) rule: Rule,
    /// `group/rule`.
    pub(super) path: String,
    /// Its name, and which of those of the same name it is.
    pub(super) id: String,
    /// Whether it may read what this group recorded just before.
    reads_group: bool,
    pub(super) alerts: Alerts,
    pub(super) records: Records,
}

/// A group of rules that are evaluated together, and what they remember.
#[derive(Debug)]
pub struct Group {
    file: String,
    name: String,
    interval_millis: i64,
    pub(super) query_offset_millis: i64,
    limit: usize,
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Vec<Live>,
    /// The slot that was evaluated last.
    pub(super) evaluated_millis: Option<i64>,
}

impl Group {
    /// A group that remembers nothing yet.
    #[must_use]
    pub fn new(spec: GroupSpec, settings: &Arc<Settings>) -> Self {
        let mut recorded: Vec<String> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut rules = Vec::with_capacity(spec.rules.len());
        for rule in spec.rules {
            let same = names.entry(rule.name.clone()).or_default();
            *same += 1;
            let id = match *same {
                1 => rule.name.clone(),
                count => format!("{}#{count}", rule.name),
            };
            let known: Vec<&str> = recorded.iter().map(String::as_str).collect();
            let reads_group = !known.is_empty() && may_read(&rule, &known);
            match rule.kind {
                Kind::Recording => recorded.push(rule.name.clone()),
                Kind::Alerting(_) => {
                    recorded.extend([ALERTS, ALERTS_FOR_STATE].map(str::to_owned));
                }
            }
            recorded.dedup();
            rules.push(Live {
                path: format!("{}/{}", spec.name, rule.name),
                id,
                reads_group,
                rule,
                alerts: Alerts::default(),
                records: Records::default(),
            });
        }
        Self {
            file: spec.file,
            name: spec.name,
            // A group that said 0 has Prometheus' meaning: it did not say.
            interval_millis: spec
                .interval_millis
                .filter(|millis| *millis > 0)
                .unwrap_or(settings.interval_millis)
                .max(1),
            query_offset_millis: spec
                .query_offset_millis
                .unwrap_or(settings.query_offset_millis),
            limit: spec.limit,
            settings: Arc::clone(settings),
            rules,
            evaluated_millis: None,
        }
    }

    /// The file it is from.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Milliseconds between two evaluations.
    #[must_use]
    pub fn interval_millis(&self) -> i64 {
        self.interval_millis
    }

    /// By how many milliseconds its queries look back.
    #[must_use]
    pub fn query_offset_millis(&self) -> i64 {
        self.query_offset_millis
    }

    /// Whether one of its rules is not evaluated where data are not complete enough.
    #[must_use]
    pub fn asks_completeness(&self) -> bool {
        self.rules().any(Rule::asks_completeness)
    }

    /// The slot that is known to have been evaluated last, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn evaluated_millis(&self) -> Option<i64> {
        self.evaluated_millis
    }

    /// Its rules, in order.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter().map(|live| &live.rule)
    }

    /// The first slot after a time. Slots lie an interval apart, shifted by the group's name.
    #[must_use]
    pub fn slot_after(&self, at: Timestamp) -> Timestamp {
        self.slot_at_or_before(at)
            .saturating_add_millis(self.interval_millis)
    }

    /// The last slot at or before a time.
    #[must_use]
    pub fn slot_at_or_before(&self, at: Timestamp) -> Timestamp {
        let offset = slots::offset(&self.name, self.interval_millis);
        Timestamp::from_millis(slots::at_or_before(
            at.as_millis(),
            self.interval_millis,
            offset,
        ))
    }

    /// Evaluates all rules in order, as of `at`; later rules see what earlier ones recorded.
    /// `completeness` says which part of the data that should be there is there, from 0 to 1.
    pub fn evaluate(
        &mut self,
        source: &dyn SeriesSource,
        engine: &Engine,
        at: Timestamp,
        completeness: f64,
    ) -> Evaluated {
        let mut evaluated = Evaluated::default();
        let mut added = Added::default();
        let mut copied = 0;
        let warnings = RefCell::new(BTreeSet::new());
        let keeps = self.rules.iter().any(|live| live.reads_group);
        for live in &mut self.rules {
            let overlay = Overlay::new(source, &added);
            let asker = Asker {
                source: if live.reads_group { &overlay } else { source },
                engine,
                at,
                looks_at: at.saturating_add_millis(-self.query_offset_millis),
                warnings: &warnings,
            };
            let one = One {
                settings: &self.settings,
                limit: self.limit,
                completeness,
                asker: &asker,
            };
            if let Err(error) = one.evaluate(live, &mut evaluated) {
                evaluated.failures.push(Failure {
                    rule: live.path.clone(),
                    error,
                });
            }
            if keeps {
                for sample in evaluated.recorded.iter().skip(copied) {
                    added.push(&sample.labels, sample.at, sample.value);
                }
                copied = evaluated.recorded.len();
            }
        }
        self.evaluated_millis = Some(at.as_millis());
        evaluated.warnings = warnings.into_inner().into_iter().collect();
        evaluated
    }
}

fn may_read(rule: &Rule, names: &[&str]) -> bool {
    if reads_any(&rule.expr, names) {
        return true;
    }
    let Kind::Alerting(alerting) = &rule.kind else {
        return false;
    };
    let mut templates = alerting.annotations.iter().chain(&rule.labels);
    alerting
        .clear
        .as_ref()
        .is_some_and(|clear| reads_any(clear, names))
        || templates.any(|(_, template)| template.uses_queries())
}

/// The evaluation of one rule.
struct One<'a> {
    settings: &'a Settings,
    limit: usize,
    completeness: f64,
    asker: &'a Asker<'a>,
}

impl One<'_> {
    fn evaluate(&self, live: &mut Live, into: &mut Evaluated) -> Result<(), RuleError> {
        let held = |why: Why| Held {
            rule: live.path.clone(),
            why,
        };
        let alerting = match &live.rule.kind {
            Kind::Recording => {
                let recorded = &mut into.recorded;
                let records = &mut live.records;
                let done = records.evaluate(&live.rule, self.asker, self.limit, recorded)?;
                if done.is_partial {
                    into.held.push(held(Why::Partial));
                }
                into.is_changed |= done.is_changed;
                return Ok(());
            }
            Kind::Alerting(alerting) => alerting,
        };
        if let Some(least) = alerting.min_complete
            && self.completeness < least
        {
            into.held.push(held(Why::Incomplete {
                is: self.completeness,
                least,
            }));
            live.alerts
                .record(self.asker.looks_at, &mut into.recorded)?;
            return Ok(());
        }
        let outcome = self.alerts(alerting, &live.rule, &live.path, &mut live.alerts, into)?;
        if outcome.is_partial {
            into.held.push(held(Why::Partial));
        } else if outcome.unknown > 0 {
            into.held.push(held(Why::Missing {
                alerts: outcome.unknown,
            }));
        }
        into.is_changed |= outcome.is_changed;
        Ok(())
    }

    /// Evaluates the alerts of a rule; where that fails they are recorded as they are.
    fn alerts(
        &self,
        alerting: &Alerting,
        rule: &Rule,
        path: &str,
        alerts: &mut Alerts,
        into: &mut Evaluated,
    ) -> Result<super::alerting::Outcome, RuleError> {
        let with = Annotator {
            rule,
            settings: self.settings,
            asker: self.asker,
        };
        let mut out = Outputs {
            rule: path,
            limit: self.limit,
            transitions: &mut into.transitions,
            recorded: &mut into.recorded,
        };
        match alerts.evaluate(alerting, &with, &mut out) {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                alerts.record(self.asker.looks_at, &mut into.recorded)?;
                Err(error)
            }
        }
    }
}
