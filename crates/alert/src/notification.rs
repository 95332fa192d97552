//! One word to one receiver by one channel.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use spec::{Channel, Level};

/// Who is told, and by which way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The way.
    pub channel: Channel,
    /// The address in the terms of the channel.
    pub address: String,
}

/// What is told of an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It was opened.
    Trigger,
    /// More alerts joined it, it became worse, or it is not over though it was said long ago.
    Update,
    /// Nobody acknowledged it in time, and those told are told again.
    Remind,
    /// Nobody acknowledged it in time, and the next rung is told; which.
    Escalate {
        /// Its name.
        rung: String,
    },
    /// Someone acknowledged it; who.
    Acknowledge {
        /// Their name.
        by: String,
    },
    /// It is over.
    Resolve,
    /// Several words that could wait, in one; its alerts are a line for each.
    Digest {
        /// How many.
        words: usize,
    },
    /// Nothing happened; someone tries whether they can be reached.
    Test,
}

impl Kind {
    /// The word for it, in payloads and listings.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Update => "update",
            Self::Remind => "remind",
            Self::Escalate { .. } => "escalate",
            Self::Acknowledge { .. } => "acknowledge",
            Self::Resolve => "resolve",
            Self::Digest { .. } => "digest",
            Self::Test => "test",
        }
    }
}

/// One alert in a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertLine {
    /// What names it, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// Whether it fires still.
    pub firing: bool,
    /// Since when, in milliseconds since the Unix epoch.
    pub starts_millis: i64,
    /// Until when, where it is over.
    pub ends_millis: Option<i64>,
    /// The value that its condition was last seen to hold with.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// The same for the same alert, in 16 hexadecimal digits.
    pub fingerprint: String,
}

/// What is said, in no channel's own form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What kind of word it is.
    pub kind: Kind,
    /// The incident's id; words of one id belong together.
    pub incident: String,
    /// How bad it is.
    pub level: Level,
    /// What it is about, in one line.
    pub title: String,
    /// When the incident was opened, in milliseconds since the Unix epoch.
    pub opened_millis: i64,
    /// How often the incident was opened again.
    #[serde(default)]
    pub reopened: u32,
    /// Whose it is, where someone said so.
    #[serde(default)]
    pub assignee: Option<String>,
    /// When this was said, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// Its alerts, firing ones first, the worst first; at most [`Message::ALERTS_MAX`].
    pub alerts: Vec<AlertLine>,
    /// How many alerts there are, those left out included.
    pub alerts_total: usize,
    /// The labels that all its alerts share.
    pub common_labels: BTreeMap<String, String>,
    /// The annotations that all its alerts share.
    pub common_annotations: BTreeMap<String, String>,
    /// The labels its alerts were put together by.
    pub group_labels: BTreeMap<String, String>,
    /// Where to read what to do, where an alert names it.
    pub runbook: Option<String>,
    /// What was found to belong to it and is not told by itself: alerts held back by this one.
    pub suppressed_total: usize,
    /// When the newest sample behind it was taken, where that is known.
    pub sample_millis: Option<i64>,
}

impl Message {
    /// Most alerts that a message holds; the rest is a number.
    pub const ALERTS_MAX: usize = 50;

    /// One that says nothing but that it came.
    #[must_use]
    pub fn test(now_millis: i64) -> Self {
        Self {
            kind: Kind::Test,
            incident: "test".to_owned(),
            level: Level::Low,
            title: "someone tries whether you can be reached".to_owned(),
            opened_millis: now_millis,
            reopened: 0,
            assignee: None,
            at_millis: now_millis,
            alerts: Vec::new(),
            alerts_total: 0,
            common_labels: BTreeMap::new(),
            common_annotations: BTreeMap::new(),
            group_labels: BTreeMap::new(),
            runbook: None,
            suppressed_total: 0,
            sample_millis: None,
        }
    }
}

/// How far a notification came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// It waits for its next attempt.
    Queued,
    /// It was taken by the provider.
    Accepted {
        /// When, in milliseconds since the Unix epoch.
        at_millis: i64,
        /// What the provider calls it.
        provider_id: Option<String>,
    },
    /// It was given up.
    Failed {
        /// When, in milliseconds since the Unix epoch.
        at_millis: i64,
        /// Why.
        reason: String,
    },
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The provider took it.
    Accepted {
        /// What the provider calls it.
        provider_id: Option<String>,
    },
    /// It may work later.
    Retry {
        /// What was wrong.
        reason: String,
        /// When the provider wants to be asked again.
        after: Option<Duration>,
    },
    /// It will not work.
    Refused {
        /// What was wrong.
        reason: String,
    },
}

/// One word to one receiver, kept until it was taken or given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Names it, and is the key by which a provider may tell that it was sent before.
    pub id: String,
    /// To whom.
    pub target: Target,
    /// What.
    pub message: Message,
    /// How far it came.
    pub status: Status,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub queued_millis: i64,
    /// When it is to be tried next, in milliseconds since the Unix epoch.
    pub next_millis: i64,
    /// Incidents of which this is a word that someone has to know, for a digest; at most
    /// [`Notification::STANDS_FOR_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands_for: Vec<String>,
}

impl Notification {
    /// Most incidents that a digest stands for: that many at a time mean that something else is wrong, and
    /// the digest is told another way for the first of them all the same.
    pub const STANDS_FOR_MAX: usize = 1000;
}
