//! What a group remembers, as rows that can be kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use series::Labels;
use spec::Level;

use super::alerting::Instance;
use super::group::{Group, Live};
use super::life::Life;
use super::rule::{ALERTS_MAX, Kind};
use crate::State;

/// What a group remembers: with it a restart neither forgets how long an alert is pending nor tells of it
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// Its alerts.
    pub alerts: Vec<AlertRow>,
    /// The elements that had data, for rules where missing ones fire.
    #[serde(default)]
    pub last_seen: Vec<SeenRow>,
    /// The series that were recorded last: what of them is gone is marked stale.
    #[serde(default)]
    pub recorded: Vec<RecordedRow>,
    /// The slot that was evaluated last, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub evaluated_millis: Option<i64>,
}

/// A recorded series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRow {
    rule: String,
    labels: BTreeMap<String, String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    /// The rule's name, and which of those of the same name it is.
    rule: String,
    labels: BTreeMap<String, String>,
    of: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    life: Life,
    /// The bits of its value, since NaN is no number of JSON.
    value_bits: u64,
}

/// An element that had data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRow {
    rule: String,
    of: BTreeMap<String, String>,
    last_millis: i64,
}

/// An alert, to show.
#[derive(Clone, Debug)]
pub struct AlertView<'a> {
    /// The rule's place in its group.
    pub rule: usize,
    /// What names it.
    pub labels: &'a Labels,
    /// What is said of it.
    pub annotations: &'a BTreeMap<String, String>,
    /// Where it is.
    pub state: State,
    /// How bad it is.
    pub level: Level,
    /// The value its condition was last seen to hold with.
    pub value: f64,
    /// Since when it is active, in milliseconds since the Unix epoch.
    pub active_millis: i64,
    /// Since when it fires.
    pub fired_millis: Option<i64>,
    /// Since when it is over.
    pub resolved_millis: Option<i64>,
}

fn pairs(labels: &Labels) -> BTreeMap<String, String> {
    super::ask::named(labels)
}

fn labels(pairs: &BTreeMap<String, String>) -> Option<Labels> {
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Labels::new(&pairs).ok()
}

impl Group {
    /// What it remembers.
    #[must_use]
    pub fn export(&self) -> GroupState {
        let mut state = GroupState {
            evaluated_millis: self.evaluated_millis,
            ..GroupState::default()
        };
        for live in &self.rules {
            for (labels, instance) in &live.alerts.by_labels {
                state.alerts.push(AlertRow {
                    rule: live.id.clone(),
                    labels: pairs(labels),
                    of: pairs(&instance.of),
                    annotations: instance.annotations.clone(),
                    life: instance.life,
                    value_bits: instance.value.to_bits(),
                });
            }
            for (of, last) in &live.alerts.last_seen {
                state.last_seen.push(SeenRow {
                    rule: live.id.clone(),
                    of: pairs(of),
                    last_millis: *last,
                });
            }
            for labels in live.records.series() {
                state.recorded.push(RecordedRow {
                    rule: live.id.clone(),
                    labels: pairs(labels),
                });
            }
        }
        state
    }

    /// Takes in what a group of this name remembered. Rows of rules that are no longer there, or that
    /// cannot be used, are left out; gives how many.
    pub fn restore(&mut self, state: GroupState) -> usize {
        let GroupState {
            alerts,
            last_seen,
            recorded,
            evaluated_millis,
        } = state;
        self.evaluated_millis = evaluated_millis;
        let mut left_out = 0;
        let ids = self.rules.iter().map(|live| live.id.clone());
        let places: BTreeMap<String, usize> = ids.zip(0..).collect();
        for row in alerts {
            let named = labels(&row.labels).zip(labels(&row.of));
            match (self.live(&places, &row.rule, true), named) {
                (Some(live), Some((labels, of))) if live.alerts.by_labels.len() < ALERTS_MAX => {
                    let value = f64::from_bits(row.value_bits);
                    let mut instance = Instance::new(row.life, of, value);
                    instance.annotations = row.annotations;
                    live.alerts.by_labels.insert(Arc::new(labels), instance);
                }
                _ => left_out += 1,
            }
        }
        for row in last_seen {
            match (self.live(&places, &row.rule, true), labels(&row.of)) {
                (Some(live), Some(of)) if live.alerts.last_seen.len() < ALERTS_MAX => {
                    live.alerts.last_seen.insert(of, row.last_millis);
                }
                _ => left_out += 1,
            }
        }
        for row in recorded {
            match (self.live(&places, &row.rule, false), labels(&row.labels)) {
                (Some(live), Some(labels)) => live.records.restore(labels),
                _ => left_out += 1,
            }
        }
        left_out
    }

    fn live(
        &mut self,
        places: &BTreeMap<String, usize>,
        id: &str,
        is_alerting: bool,
    ) -> Option<&mut Live> {
        let live = self.rules.get_mut(*places.get(id)?)?;
        (live.rule.is_alerting() == is_alerting).then_some(live)
    }

    /// Its alerts, rule by rule; those that are over are among them for a while.
    pub fn alerts(&self) -> impl Iterator<Item = AlertView<'_>> {
        self.rules.iter().enumerate().flat_map(move |(rule, live)| {
            live.alerts
                .by_labels
                .iter()
                .filter_map(move |(labels, instance)| {
                    let Kind::Alerting(alerting) = &live.rule.kind else {
                        return None;
                    };
                    Some(AlertView {
                        rule,
                        labels,
                        annotations: &instance.annotations,
                        state: instance.life.state,
                        level: alerting.level_of(labels, &self.settings.conditions),
                        value: instance.value,
                        active_millis: instance.life.active_millis,
                        fired_millis: instance.life.fired_millis,
                        resolved_millis: instance.life.resolved_millis,
                    })
                })
        })
    }
}
