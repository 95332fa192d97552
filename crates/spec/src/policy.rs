//! What is done about each level.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Level;

/// A way to reach someone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// PagerDuty's Events API v2; an address is a service's name.
    Pagerduty,
    /// A voice call; an address is a number in E.164.
    Phone,
    /// A text message; an address is a number in E.164.
    Sms,
    /// Slack; an address is a channel's name with its `#`.
    Slack,
    /// Mail over SMTP; an address is a mail address.
    Email,
    /// Alertmanager's webhook; an address is the name of a configured hook.
    Webhook,
    /// An Alertmanager that takes our alerts; an address is the name of a configured one.
    Alertmanager,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pagerduty,
        Self::Phone,
        Self::Sms,
        Self::Slack,
        Self::Email,
        Self::Webhook,
        Self::Alertmanager,
    ];

    /// Its word in documents, configuration and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pagerduty => "pagerduty",
            Self::Phone => "phone",
            Self::Sms => "sms",
            Self::Slack => "slack",
            Self::Email => "email",
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
        }
    }

    /// The channel of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == word)
    }
}

/// Who moves an incident on when nobody has acknowledged it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Escalation {
    /// The clock: the rungs of the ladder are told one after another.
    Automatic,
    /// A person: those told are reminded once, and someone may escalate by hand.
    Manual,
    /// Nobody; that it is overdue can be seen.
    None,
}

/// What is done about one level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelPolicy {
    /// Within what time someone must acknowledge; zero is at once. The first word always goes out at once.
    pub response_within: Duration,
    /// How those concerned are told.
    pub channels: Vec<Channel>,
    /// Who moves it on after that time.
    pub escalation: Escalation,
}

/// One rung of the ladder of escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Its name: `level_1`.
    pub name: String,
    /// How long it has to acknowledge before the next is told.
    pub timeout: Duration,
    /// Names of the receivers that are told.
    pub notify: Vec<String>,
}

/// What is done with incidents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentPolicy {
    /// Whether alerts open incidents by themselves.
    pub auto_creation: bool,
    /// Whether incidents are escalated at all.
    pub escalation_rules: bool,
    /// Whether times to acknowledge and to resolve are kept and shown.
    pub resolution_tracking: bool,
}

impl Default for IncidentPolicy {
    fn default() -> Self {
        Self {
            auto_creation: true,
            escalation_rules: true,
            resolution_tracking: true,
        }
    }
}

/// What is done about alerts, by level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// For each level that someone is told of.
    pub levels: BTreeMap<Level, LevelPolicy>,
    /// The level of each named condition, such as `high_error_rate`.
    pub conditions: BTreeMap<String, Level>,
    /// The rungs, lowest first; none where levels alone say who is told.
    pub ladder: Vec<Rung>,
    /// What is done with incidents.
    pub incidents: IncidentPolicy,
    /// Whom a channel reaches.
    pub addresses: BTreeMap<Channel, Vec<String>>,
    /// The template a channel's words are made by, where the document names one.
    pub templates: BTreeMap<Channel, String>,
    /// The urgency asked of PagerDuty: `high` is never less than an error, `low` never more than a warning.
    pub pagerduty_urgency: Option<String>,
}
