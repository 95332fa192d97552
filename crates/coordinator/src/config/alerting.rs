//! What is watched, and how people are told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alert::Timing;
use daemon::units::HumanDuration;
use serde::{Deserialize, Serialize};
use spec::{Channel, Level};

use super::ConfigError;

/// Longest wait for more before a first word.
const GROUP_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is watched, and when people are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertingConfig {
    /// Rule files, and folders of them.
    pub rules: Vec<PathBuf>,
    /// Whether the rules that come with it are in force.
    pub stock_rules: bool,
    /// How often a group of rules is evaluated that does not say.
    pub interval: HumanDuration,
    /// By how much queries of rules look back, so that what agents send each minute is there.
    pub query_offset: HumanDuration,
    /// Groups that are evaluated at a time.
    pub concurrency_max: usize,
    /// Labels that templates of rules may use, and that alerts bear in an Alertmanager.
    pub external_labels: BTreeMap<String, String>,
    /// The address under which people reach the coordinator, for links.
    pub external_url: String,
    /// Where the runbooks of our rules are, for links; empty for the pages of this coordinator.
    pub runbook_url: String,
    /// Who is behind a channel for which no document says it.
    pub addresses: BTreeMap<Channel, Vec<String>>,
    /// Who is told when someone cannot be reached, in this order: `CHANNEL:ADDRESS`.
    pub fallback: Vec<String>,
    /// How long more alerts are waited for before the first word of an incident.
    pub group_wait: GroupWait,
    /// How long after its end an incident is opened again when it fires again.
    pub reopen_within: HumanDuration,
    /// How long after the last word it is said again that an incident is not over.
    pub repeat_interval: HumanDuration,
    /// How long an acknowledgement holds that says nothing else.
    pub acknowledged: HumanDuration,
    /// Least time between two words on one incident that only say more.
    pub update_interval: HumanDuration,
    /// How long nothing may fire before an incident is over.
    pub resolve_after: HumanDuration,
    /// How long a provider is tried before the next way is taken.
    pub give_up_after: HumanDuration,
    /// How often the last rung of a ladder is told again.
    pub repeats: u32,
    /// How often the coordinator's own metrics are kept as series, for rules about itself; 0 for never.
    pub own_metrics_interval: HumanDuration,
    /// Who is told that alerting works, again and again: `webhook:NAME`; empty for nobody.
    pub heartbeat: String,
    /// How often.
    pub heartbeat_interval: HumanDuration,
    /// How long incidents are kept after their end.
    pub retention: HumanDuration,
}

/// A wait for each level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupWait {
    /// The worst.
    pub critical: HumanDuration,
    /// Below it.
    pub high: HumanDuration,
    /// Where nobody is woken.
    pub medium: HumanDuration,
    /// The least.
    pub low: HumanDuration,
}

impl Default for GroupWait {
    fn default() -> Self {
        Self {
            critical: HumanDuration::from_secs(0),
            high: HumanDuration::from_secs(5),
            medium: HumanDuration::from_secs(30),
            low: HumanDuration::from_secs(30),
        }
    }
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            stock_rules: true,
            interval: HumanDuration::from_secs(60),
            query_offset: HumanDuration::from_secs(75),
            concurrency_max: 2,
            external_labels: BTreeMap::new(),
            external_url: String::new(),
            runbook_url: String::new(),
            addresses: BTreeMap::new(),
            fallback: Vec::new(),
            group_wait: GroupWait::default(),
            reopen_within: HumanDuration::from_secs(600),
            repeat_interval: HumanDuration::from_secs(4 * 3600),
            acknowledged: HumanDuration::from_secs(3600),
            update_interval: HumanDuration::from_secs(300),
            resolve_after: HumanDuration::from_secs(60),
            give_up_after: HumanDuration::from_secs(300),
            repeats: 3,
            own_metrics_interval: HumanDuration::from_secs(15),
            heartbeat: String::new(),
            heartbeat_interval: HumanDuration::from_secs(60),
            retention: HumanDuration::from_secs(90 * 86_400),
        }
    }
}

impl AlertingConfig {
    /// Checks what the types do not.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let second = std::time::Duration::from_secs(1);
        let wrong = |path, problem| Err(ConfigError { path, problem });
        if self.concurrency_max == 0 {
            return wrong("alerting.concurrency_max", "is 0");
        }
        let url = &self.runbook_url;
        if !(url.is_empty() || url.starts_with("https://") || url.starts_with("http://")) {
            return wrong("alerting.runbook_url", "is no http:// or https:// address");
        }
        for (path, length) in [
            ("alerting.interval", self.interval),
            ("alerting.acknowledged", self.acknowledged),
            ("alerting.repeat_interval", self.repeat_interval),
            ("alerting.update_interval", self.update_interval),
            ("alerting.give_up_after", self.give_up_after),
            ("alerting.heartbeat_interval", self.heartbeat_interval),
        ] {
            if length.as_duration() < second {
                return wrong(path, "is under \"1s\"");
            }
        }
        for (path, wait) in [
            ("alerting.group_wait.critical", self.group_wait.critical),
            ("alerting.group_wait.high", self.group_wait.high),
            ("alerting.group_wait.medium", self.group_wait.medium),
            ("alerting.group_wait.low", self.group_wait.low),
        ] {
            if wait.as_duration() > GROUP_WAIT_MAX {
                return wrong(path, "is over \"1h\": nobody would be told");
            }
        }
        Ok(())
    }

    /// The address of a runbook of ours; none where nobody says under which one it can be read.
    #[must_use]
    pub fn runbook(&self, file: &str) -> Option<String> {
        let trimmed = |url: &str| url.trim_end_matches('/').to_owned();
        let own = || match trimmed(&self.external_url).as_str() {
            "" => None,
            url => Some(format!("{url}/runbooks")),
        };
        let given = Some(trimmed(&self.runbook_url)).filter(|url| !url.is_empty());
        Some(format!("{}/{file}", given.or_else(own)?))
    }

    /// The times of incidents.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let millis = |length: HumanDuration| series::time::duration_millis(length.as_duration());
        let wait = &self.group_wait;
        let wait = [
            (Level::Critical, wait.critical),
            (Level::High, wait.high),
            (Level::Medium, wait.medium),
            (Level::Low, wait.low),
        ];
        Timing {
            wait: wait.map(|(level, it)| (level, millis(it))).into(),
            reopen: millis(self.reopen_within),
            repeat: millis(self.repeat_interval),
            acknowledged: millis(self.acknowledged),
            update: millis(self.update_interval),
            resolve: millis(self.resolve_after),
            give_up: millis(self.give_up_after),
            repeats: self.repeats,
            keep: millis(self.retention),
            ..Timing::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_incidents_and_a_level_that_is_not_named_waits_as_before() {
        let text = "reopen_within = '3m'\nrepeat_interval = '2h'\n[group_wait]\nmedium = '90s'";
        let config: AlertingConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        let timing = config.timing();
        assert_eq!((timing.reopen, timing.repeat), (180_000, 7_200_000));
        let mut expected = Timing::default().wait;
        expected.insert(Level::Medium, 90_000);
        assert_eq!(timing.wait, expected);
        assert_eq!(AlertingConfig::default().timing(), Timing::default());
        let text = "[group_wait]\ncritical = '10h'";
        let config: AlertingConfig = toml::from_str(text).unwrap();
        let refused = config.validate().unwrap_err();
        assert_eq!(refused.path, "alerting.group_wait.critical");
    }
}
