//! What is watched, and how people are told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alert::Timing;
use daemon::units::HumanDuration;
use serde::{Deserialize, Serialize};
use spec::Channel;

use super::ConfigError;

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
    /// Labels that every alert from here bears when it is forwarded, and that templates may use.
    pub external_labels: BTreeMap<String, String>,
    /// The address under which people reach the coordinator, for links.
    pub external_url: String,
    /// Who is behind a channel for which no document says it.
    pub addresses: BTreeMap<Channel, Vec<String>>,
    /// Who is told when someone cannot be reached, in this order: `CHANNEL:ADDRESS`.
    pub fallback: Vec<String>,
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
            addresses: BTreeMap::new(),
            fallback: Vec::new(),
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
        for (path, length) in [
            ("alerting.interval", self.interval),
            ("alerting.acknowledged", self.acknowledged),
            ("alerting.update_interval", self.update_interval),
            ("alerting.give_up_after", self.give_up_after),
            ("alerting.heartbeat_interval", self.heartbeat_interval),
        ] {
            if length.as_duration() < second {
                return wrong(path, "is under \"1s\"");
            }
        }
        Ok(())
    }

    /// The times of incidents.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let millis = |length: HumanDuration| series::time::duration_millis(length.as_duration());
        Timing {
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
