//! One thing that is wrong, as rules or others say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spec::Level;

use crate::{AlertLine, Transition};

/// Times of beginning to fire that are kept of an alert.
const FIRES_MAX: usize = 10;

/// Why nobody is told of an alert that fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Held {
    /// A silence or a maintenance window; which.
    Silence {
        /// Its id.
        id: String,
    },
    /// An alert that explains it: what it depends on is lost.
    Parent {
        /// The other's fingerprint.
        fingerprint: String,
    },
    /// A person: its incident was resolved while it fired.
    Hand {
        /// Which incident; nothing in rows of before it was kept.
        #[serde(default)]
        incident: String,
    },
    /// The policy: its level is told to nobody, or incidents are not opened by themselves.
    Policy,
}

/// Why an alert belongs to its incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// What was found to be the same, for people: `rule NodeDown in region eu-1`, `node a-17`.
    pub reason: String,
    /// When it last did, in milliseconds since the Unix epoch.
    pub at_millis: i64,
}

/// An alert that fires, or has fired and whose incident is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for the same labels: 16 hexadecimal digits.
    pub fingerprint: String,
    /// The rule that found it, `group/rule`; empty when another program said it.
    pub rule: String,
    /// What names it, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// How bad it is.
    pub level: Level,
    /// Whether it fires.
    pub firing: bool,
    /// Since when it fires, in milliseconds since the Unix epoch.
    pub starts_millis: i64,
    /// Until when it fired, if it is over.
    pub ends_millis: Option<i64>,
    /// The value that its condition was last seen to hold with.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// When the newest sample behind it was taken, where that is known.
    pub sample_millis: Option<i64>,
    /// When it is over unless it is said again; for those of other programs.
    pub expires_millis: Option<i64>,
    /// The incident it belongs to.
    pub incident: Option<String>,
    /// Why it belongs to that.
    pub joined: Option<Join>,
    /// Why nobody is told of it.
    pub held: Option<Held>,
    /// When it last began to fire, oldest first.
    pub fires: Vec<i64>,
    /// Whether it comes and goes too often to be told of each time.
    pub flapping: bool,
}

/// The fingerprint of labels: FNV-1a of 64 bits (Fowler, Noll, Vo) over names and values.
#[must_use]
pub fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, value) in labels {
        eat(name.as_bytes());
        eat(value.as_bytes());
    }
    format!("{hash:016x}")
}

impl Alert {
    /// The alert that a transition to firing tells of.
    #[must_use]
    pub fn of(transition: Transition) -> Self {
        Self {
            fingerprint: fingerprint(&transition.labels),
            rule: transition.rule,
            labels: transition.labels,
            annotations: transition.annotations,
            level: transition.level,
            firing: true,
            starts_millis: transition.at_millis,
            ends_millis: None,
            value: transition.value,
            sample_millis: transition.sample_millis,
            expires_millis: None,
            incident: None,
            joined: None,
            held: None,
            fires: vec![transition.at_millis],
            flapping: false,
        }
    }

    /// Its name: the label `alertname`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map_or("", String::as_str)
    }

    /// What it is about in one line: its summary, or its name and labels.
    #[must_use]
    pub fn title(&self) -> String {
        if let Some(summary) = self.annotations.get("summary").filter(|s| !s.is_empty()) {
            return summary.clone();
        }
        let mut title = self.name().to_owned();
        for (name, value) in &self.labels {
            if !matches!(name.as_str(), "alertname" | "severity" | "level") {
                title.push_str(&format!(" {name}={value}"));
            }
        }
        title
    }

    /// Takes what is newly said of the same alert. `true` when it begins to fire by it.
    pub(crate) fn renew(&mut self, said: Self) -> bool {
        let begins = !self.firing;
        if begins {
            self.starts_millis = said.starts_millis;
            self.fires.push(said.starts_millis);
            let spare = self.fires.len().saturating_sub(FIRES_MAX);
            self.fires.drain(..spare);
        }
        self.rule = said.rule;
        self.annotations = said.annotations;
        self.level = said.level;
        self.firing = true;
        self.ends_millis = None;
        self.value = said.value;
        self.sample_millis = said.sample_millis;
        self.expires_millis = said.expires_millis;
        begins
    }

    /// Its line in a message.
    #[must_use]
    pub fn line(&self) -> AlertLine {
        AlertLine {
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            firing: self.firing,
            starts_millis: self.starts_millis,
            ends_millis: self.ends_millis,
            value: self.value,
            fingerprint: self.fingerprint.clone(),
        }
    }
}
