//! Levels, channels, addresses and the ladder: the policy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Compiler;
use crate::document::{Document, Leaf};
use crate::nearest::nearest;
use crate::problem::Fault;
use crate::shape::Setting;
use crate::{
    Channel, Escalation, IncidentPolicy, Kind, Level, LevelPolicy, Policy, Rung, duration,
};

/// The conditions that rules of ours count as, and their levels where no document says otherwise.
pub(crate) const CONDITIONS: &[(&str, Level)] = &[
    ("system_down", Level::Critical),
    ("data_loss", Level::Critical),
    ("security_breach", Level::Critical),
    ("performance_degradation", Level::High),
    ("high_error_rate", Level::High),
    ("trend_changes", Level::Medium),
    ("resource_usage_high", Level::Medium),
    ("informational", Level::Low),
    ("maintenance_required", Level::Low),
];

/// The condition whose alerts are all on causes.
const CAUSES: &str = "resource_usage_high";
/// Channels that take someone out of bed.
pub(super) const WAKING: [Channel; 3] = [Channel::Pagerduty, Channel::Phone, Channel::Sms];

/// What is said about levels, gathered from all documents.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    /// Levels that a document says.
    pub(super) levels: BTreeMap<Level, LevelPolicy>,
    /// Conditions that a document says.
    pub(crate) conditions: BTreeMap<String, Level>,
    /// Lists of channels of documents that say no levels.
    pub(super) lists: Vec<(Vec<Channel>, String)>,
    pub(super) ladder: Vec<Rung>,
    pub(super) ladder_spot: Option<String>,
    incidents: IncidentPolicy,
    pub(super) addresses: BTreeMap<Channel, Vec<String>>,
    pub(super) templates: BTreeMap<Channel, String>,
    pub(super) urgency: Option<String>,
}

impl Levels {
    /// Whether a document says what each level is.
    pub(crate) fn are_given(&self) -> bool {
        !self.levels.is_empty()
    }

    /// The level of a condition.
    pub(crate) fn of(&self, condition: &str) -> Level {
        let known = || CONDITIONS.iter().find(|(word, _)| *word == condition);
        let said = self.conditions.get(condition);
        said.or_else(|| known().map(|(_, level)| level))
            .copied()
            .unwrap_or(Level::Medium)
    }

    /// What is done about alerts. Where no document says it, all channels of the documents' lists hear of
    /// what is at least medium, and those that wake nobody of the rest.
    pub(crate) fn policy(&self, causes_quiet: bool) -> Policy {
        let mut levels = self.levels.clone();
        if levels.is_empty() {
            let all = self
                .lists
                .first()
                .map(|(list, _)| list.clone())
                .unwrap_or_default();
            let quiet: Vec<Channel> = all
                .iter()
                .copied()
                .filter(|it| !WAKING.contains(it))
                .collect();
            let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
            let medium = if causes_quiet { &quiet } else { &all };
            let second = if self.ladder.is_empty() {
                Escalation::Manual
            } else {
                Escalation::Automatic
            };
            for (level, within, channels, escalation) in [
                (Level::Critical, minutes(0), &all, Escalation::Automatic),
                (Level::High, minutes(5), &all, second),
                (Level::Medium, minutes(15), medium, Escalation::None),
                (Level::Low, minutes(60), &quiet, Escalation::None),
            ] {
                levels.insert(
                    level,
                    LevelPolicy {
                        response_within: within,
                        channels: channels.clone(),
                        escalation,
                    },
                );
            }
        }
        let mut conditions: BTreeMap<String, Level> = CONDITIONS
            .iter()
            .map(|(word, level)| ((*word).to_owned(), *level))
            .collect();
        conditions.extend(self.conditions.clone());
        Policy {
            levels,
            conditions,
            ladder: self.ladder.clone(),
            incidents: self.incidents.clone(),
            addresses: self.addresses.clone(),
            templates: self.templates.clone(),
            pagerduty_urgency: self.urgency.clone(),
        }
    }
}

impl Compiler<'_> {
    /// Reads what all documents say about levels.
    pub(super) fn levels(&mut self) {
        let documents = self.documents;
        let of = |kind: Kind| documents.iter().filter(move |it| it.kind == kind);
        for document in of(Kind::MultiLevelAlerting) {
            for level in Level::ALL {
                self.level(document, level);
            }
            self.channels(document);
            for leaf in document.below("incident_management") {
                self.incidents(document, leaf);
            }
        }
        for document in of(Kind::SystemHealthMonitoring) {
            self.channel_list(document, "alerting.alerting.channels");
            self.ladder(document);
        }
        for document in of(Kind::ModelPerformanceMonitoring) {
            self.channel_list(document, "monitoring_config.alert_channels");
        }
        self.quiet_causes();
    }

    fn level(&mut self, document: &Document, level: Level) {
        let path = format!("alerting_config.alert_levels.{level}");
        let Some(within) = document.at(&format!("{path}.response_time")) else {
            return;
        };
        self.same_elsewhere(document, within);
        let response_within = within.length().unwrap_or_default();
        let what = if response_within.is_zero() {
            format!("a {level} incident is to be acknowledged at once; past that it is overdue")
        } else {
            let length = duration::show(response_within);
            format!("a {level} incident is overdue when nobody has acknowledged it within {length}")
        };
        self.in_force(within, what);
        let mut channels = Vec::new();
        for leaf in document.list(&format!("{path}.channels")) {
            if let Setting::Channel(channel) = leaf.setting {
                self.twice(document, leaf, channels.contains(&channel));
                channels.push(channel);
                self.in_force(
                    leaf,
                    format!("{level} alerts are told by {}", channel.as_str()),
                );
            }
        }
        let escalation = self.escalation(document, &path, level);
        let policy = LevelPolicy {
            response_within,
            channels,
            escalation,
        };
        let known = self.levels.levels.insert(level, policy.clone());
        if known.is_some_and(|known| known != policy) {
            let why = "two documents say different things of this level".to_owned();
            let other = path.clone();
            let problem = document.problem(within, Fault::Conflict { other, why });
            self.problems.push(problem);
        }
        for leaf in document.list(&format!("{path}.conditions")) {
            self.condition(document, leaf, level);
        }
    }

    fn escalation(&mut self, document: &Document, path: &str, level: Level) -> Escalation {
        let Some(leaf) = document.at(&format!("{path}.escalation")) else {
            return Escalation::None;
        };
        let (escalation, what) = match leaf.given.as_str() {
            "automatic" => (
                Escalation::Automatic,
                "the rungs of the ladder are told by the clock, one after another, until someone acknowledges",
            ),
            "manual" => (
                Escalation::Manual,
                "those told are reminded once, and someone may move it on by hand",
            ),
            _ => (
                Escalation::None,
                "nobody moves it on; that it is overdue is shown",
            ),
        };
        self.in_force(leaf, format!("{level}: {what}"));
        escalation
    }

    fn condition(&mut self, document: &Document, leaf: &Leaf, level: Level) {
        let word = leaf.given.as_str();
        let known = CONDITIONS.iter().map(|(word, _)| *word);
        if !known.clone().any(|known| known == word)
            && let Some(meant) = nearest(word, known)
        {
            let mut problem = document.bad_value(leaf, "no rule has this condition");
            problem.suggestion = Some(format!("did you mean {meant}?"));
            self.problems.push(problem);
            return;
        }
        let before = self.levels.conditions.insert(word.to_owned(), level);
        if let Some(before) = before {
            let other = format!("alerting_config.alert_levels.{before}.conditions");
            self.conflict((document, leaf), other, "a condition has one level, once");
        }
    }

    pub(super) fn twice(&mut self, document: &Document, leaf: &Leaf, is_twice: bool) {
        if is_twice {
            let problem = document.bad_value(leaf, "it stands there twice");
            self.problems.push(problem);
        }
    }

    fn incidents(&mut self, document: &Document, leaf: &Leaf) {
        self.same_elsewhere(document, leaf);
        let on = leaf.flag();
        let incidents = &mut self.levels.incidents;
        let what = match leaf.name() {
            "auto_creation" => {
                incidents.auto_creation = on;
                if on {
                    "alerts open incidents by themselves"
                } else {
                    "only people open incidents"
                }
            }
            "escalation_rules" => {
                incidents.escalation_rules = on;
                if on {
                    "incidents are escalated as their levels say"
                } else {
                    "no incident is escalated, whatever its level says"
                }
            }
            _ => {
                incidents.resolution_tracking = on;
                if on {
                    "times to acknowledge and to resolve are kept and shown"
                } else {
                    "times to acknowledge and to resolve are not kept"
                }
            }
        };
        self.in_force(leaf, what);
    }

    /// Causes cannot be quiet and loud at once.
    fn quiet_causes(&mut self) {
        let Some(asked) = self.practices.causes_quiet.clone() else {
            return;
        };
        let Some(level) = self.levels.conditions.get(CAUSES).copied() else {
            return;
        };
        let documents = self.documents;
        let leaf = documents.iter().find_map(|document| {
            let mut leaves = document.list_of_conditions(level);
            Some((document, leaves.find(|leaf| leaf.given == CAUSES)?))
        });
        let Some((document, leaf)) = leaf else {
            return;
        };
        if level > Level::Medium {
            let why = "alerts on causes are to be medium at most";
            self.conflict((document, leaf), asked, why);
            return;
        }
        let path = format!("alerting_config.alert_levels.{level}.channels");
        let waking = document.list(&path).find(
            |leaf| matches!(leaf.setting, Setting::Channel(channel) if WAKING.contains(&channel)),
        );
        if let Some(waking) = waking {
            let why = "alerts on causes are of this level, and are to wake nobody";
            self.conflict((document, waking), asked, why);
        }
    }
}

impl Document {
    fn list_of_conditions(&self, level: Level) -> impl Iterator<Item = &Leaf> {
        let path = format!("alerting_config.alert_levels.{level}.conditions[");
        self.leaves
            .iter()
            .filter(move |leaf| leaf.path.starts_with(&path))
    }
}
