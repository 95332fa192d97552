//! Whom to tell, when, and what explains what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spec::{Level, Policy};

use crate::Target;
use crate::silence::Condition;

/// Labels that say where an alert is, the widest first. What depends on something lost shares those of
/// these labels that the lost one has.
pub const PLACES: [&str; 6] = ["region", "cluster", "node", "gpu", "model_name", "instance"];

/// Alerts that explain others: while the source fires, nobody is newly told of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inhibition {
    /// What the one that explains must be like.
    pub source: Vec<Condition>,
    /// What the one that is explained must be like.
    pub target: Vec<Condition>,
    /// Labels that must be the same in both; none are those of [`PLACES`] that the source has.
    pub equal: Vec<String>,
}

impl Inhibition {
    /// That the rule `child` depends on what the rule `parent` watches.
    #[must_use]
    pub fn dependency(parent: &str, child: &str) -> Self {
        let named = |name: &str| Condition {
            name: "alertname".to_owned(),
            op: "=".to_owned(),
            value: name.to_owned(),
        };
        Self {
            source: vec![named(parent)],
            target: vec![named(child)],
            equal: Vec::new(),
        }
    }
}

/// Times, all in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// How long more alerts are waited for before the first word of an incident, by level; a level that
    /// is not there does not wait.
    pub wait: BTreeMap<Level, i64>,
    /// How long after a word the next that only says more.
    pub update: i64,
    /// How long nothing may fire before an incident is over.
    pub resolve: i64,
    /// The same while one of its alerts comes and goes.
    pub resolve_flapping: i64,
    /// How long after its end an incident is opened again by an alert of its own, and how long after its
    /// end an alert belongs to its open incident when it fires again.
    pub reopen: i64,
    /// How long after the last alert of a rule, a node, a model or a region another belongs to the same incident.
    pub join: i64,
    /// How long an acknowledgement holds that says nothing else.
    pub acknowledged: i64,
    /// How long after what explained an alert is over it is still not told of.
    pub release: i64,
    /// How often the last rung is told again.
    pub repeats: u32,
    /// How long after the last word it is said again that an incident is not over.
    pub repeat: i64,
    /// Least time between two words that only say it again.
    pub remind: i64,
    /// How long a provider is tried before the next way is taken.
    pub give_up: i64,
    /// How long a notification is tried when there is no other way.
    pub lifetime: i64,
    /// Most notifications to one target within [`Timing::rate_window`]; the rest become one digest.
    /// Escalations and critical incidents are not held up, nor is what goes to programs: web hooks, an
    /// Alertmanager, and to PagerDuty that something is seen to or over.
    pub rate_max: usize,
    /// The time that [`Timing::rate_max`] is for.
    pub rate_window: i64,
    /// How often an alert may begin to fire within [`Timing::flap_window`] before it counts as flapping.
    pub flaps: usize,
    /// The time that [`Timing::flaps`] is for.
    pub flap_window: i64,
    /// How long incidents are kept after their end.
    pub keep: i64,
}

impl Default for Timing {
    fn default() -> Self {
        const SECOND: i64 = 1000;
        const MINUTE: i64 = 60 * SECOND;
        Self {
            wait: BTreeMap::from([
                (Level::Critical, 0),
                (Level::High, 5 * SECOND),
                (Level::Medium, 30 * SECOND),
                (Level::Low, 30 * SECOND),
            ]),
            update: 5 * MINUTE,
            resolve: MINUTE,
            resolve_flapping: 10 * MINUTE,
            reopen: 10 * MINUTE,
            join: 10 * MINUTE,
            acknowledged: 60 * MINUTE,
            release: MINUTE,
            repeats: 3,
            repeat: 4 * 60 * MINUTE,
            remind: 5 * MINUTE,
            give_up: 5 * MINUTE,
            lifetime: 24 * 60 * MINUTE,
            rate_max: 20,
            rate_window: 10 * MINUTE,
            flaps: 4,
            flap_window: 30 * MINUTE,
            keep: 90 * 24 * 60 * MINUTE,
        }
    }
}

/// Whom to tell, when, and what explains what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// What is done about each level.
    pub policy: Policy,
    /// Who the receivers of the ladder are.
    pub receivers: BTreeMap<String, Vec<Target>>,
    /// Who is told when someone cannot be reached, in this order.
    pub fallback: Vec<Target>,
    /// What explains what.
    pub inhibitions: Vec<Inhibition>,
    /// Times.
    pub timing: Timing,
    /// Whether readers get no more than [`Timing::rate_max`], and the rest as a digest.
    pub spare_readers: bool,
    /// Levels of which words are held together, and how long, in milliseconds.
    pub digests: BTreeMap<Level, i64>,
}

impl Routes {
    /// Who is told of a level.
    #[must_use]
    pub fn of_level(&self, level: Level) -> Vec<Target> {
        let mut targets = Vec::new();
        let Some(policy) = self.policy.levels.get(&level) else {
            return targets;
        };
        for channel in &policy.channels {
            for address in self.policy.addresses.get(channel).into_iter().flatten() {
                targets.push(Target {
                    channel: *channel,
                    address: address.clone(),
                });
            }
        }
        targets
    }

    /// Who is told on a rung; receivers that are not known are nobody.
    #[must_use]
    pub fn of_rung(&self, rung: usize) -> Vec<Target> {
        let rung = self.policy.ladder.get(rung);
        let names = rung.map_or(&[][..], |rung| &rung.notify);
        let receivers = names.iter().filter_map(|name| self.receivers.get(name));
        receivers.flatten().cloned().collect()
    }
}
