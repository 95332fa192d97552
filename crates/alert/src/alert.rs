//! One thing that is wrong, as rules or others say it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use spec::Level;

use crate::{AlertLine, Transition};

/// Times of beginning to fire that are kept of an alert.
const FIRES_MAX: usize = 10;
/// Most rules that are kept of an alert beside the one that has the word on it. More than two that find the
/// same by the same name are a mistake in them.
const ALSO_MAX: usize = 8;

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

/// What another rule says of an alert: one with the same name and labels, and perhaps another level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Also {
    /// The rule, `group/rule`; empty when another program said it.
    pub rule: String,
    /// What is said of it.
    pub annotations: BTreeMap<String, String>,
    /// How bad it is.
    pub level: Level,
    /// Since when it fires by this rule, in milliseconds since the Unix epoch.
    pub starts_millis: i64,
    /// The value that its condition was last seen to hold with.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// When the newest sample behind it was taken, where that is known.
    pub sample_millis: Option<i64>,
    /// When it is over unless it is said again; for those of other programs.
    pub expires_millis: Option<i64>,
}

/// An alert that fires, or has fired and whose incident is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The same for the same labels: 16 hexadecimal digits.
    pub fingerprint: String,
    /// The rule that found it, `group/rule`; empty when another program said it. Of several the one that
    /// finds it worst.
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
    /// Other rules by which it fires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Also>,
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
            also: Vec::new(),
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
            self.also.clear();
            self.starts_millis = said.starts_millis;
            self.fires.push(said.starts_millis);
            let spare = self.fires.len().saturating_sub(FIRES_MAX);
            self.fires.drain(..spare);
            self.firing = true;
            self.ends_millis = None;
        } else if self.rule != said.rule {
            self.also.retain(|also| also.rule != said.rule);
            if self.also.len() < ALSO_MAX {
                self.also.push(said.into_also());
            }
            self.give_the_word();
            return false;
        }
        self.rule = said.rule;
        self.annotations = said.annotations;
        self.level = said.level;
        self.value = said.value;
        self.sample_millis = said.sample_millis;
        self.expires_millis = said.expires_millis;
        self.give_the_word();
        begins
    }

    fn into_also(self) -> Also {
        Also {
            rule: self.rule,
            annotations: self.annotations,
            level: self.level,
            starts_millis: self.starts_millis,
            value: self.value,
            sample_millis: self.sample_millis,
            expires_millis: self.expires_millis,
        }
    }

    /// Puts what another rule says in the place of what is said, and gives that.
    fn put(&mut self, also: Also) -> Also {
        Also {
            rule: std::mem::replace(&mut self.rule, also.rule),
            annotations: std::mem::replace(&mut self.annotations, also.annotations),
            level: std::mem::replace(&mut self.level, also.level),
            starts_millis: std::mem::replace(&mut self.starts_millis, also.starts_millis),
            value: std::mem::replace(&mut self.value, also.value),
            sample_millis: std::mem::replace(&mut self.sample_millis, also.sample_millis),
            expires_millis: std::mem::replace(&mut self.expires_millis, also.expires_millis),
        }
    }

    /// The other rule that finds it worst.
    fn worst_also(&self) -> Option<usize> {
        let also = self.also.iter().enumerate();
        let worst = also.max_by_key(|(at, also)| (also.level, std::cmp::Reverse(*at)));
        worst.map(|(at, _)| at)
    }

    /// Lets the rule that finds it worst have the word.
    fn give_the_word(&mut self) {
        if let Some(worst) = self
            .worst_also()
            .filter(|at| self.also[*at].level > self.level)
        {
            let also = self.also.remove(worst);
            let before = self.put(also);
            self.also.push(before);
        }
    }

    /// Takes that it is over by one rule. `true` when it does not fire by any then.
    pub(crate) fn is_over_by(&mut self, rule: &str) -> bool {
        if self.rule != rule {
            self.also.retain(|also| also.rule != rule);
            return false;
        }
        let Some(worst) = self.worst_also() else {
            return true;
        };
        let also = self.also.remove(worst);
        self.put(also);
        false
    }

    /// The rules by which it fires, as `group/rule`; an empty one is another program.
    pub fn rules(&self) -> impl Iterator<Item = &str> {
        let also = self.also.iter().map(|also| also.rule.as_str());
        let rules = std::iter::once(self.rule.as_str()).chain(also);
        rules.filter(|_| self.firing)
    }

    /// When it is over by what another program said, unless that says it again.
    #[must_use]
    pub fn outside_until(&self) -> Option<i64> {
        let also = self.also.iter().find_map(|also| also.expires_millis);
        self.expires_millis.or(also)
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
