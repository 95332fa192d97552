//! What people deal with: alerts that belong together, from the first word to the verdict.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use spec::Level;

use crate::{AlertLine, Target};

/// Most entries kept of an incident's history; the oldest after the first go.
const TIMELINE_MAX: usize = 500;

/// Where an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nobody has said that they see to it.
    Open,
    /// Someone sees to it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Standing {
    /// Its word in pages and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// What a person says of an incident in the end; it makes the precision of its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Something was wrong.
    True,
    /// Nothing was wrong.
    False,
    /// It was known beforehand.
    Expected,
    /// Another incident told the same.
    Duplicate,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::True, Self::False, Self::Expected, Self::Duplicate];

    /// Its word on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Expected => "expected",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Who said so, when, and what else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Who.
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// What else they said.
    pub note: String,
}

/// Who sees to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Who said so, and when.
    pub said: Said,
    /// When it is forgotten unless the incident is over, in milliseconds since the Unix epoch.
    pub expires_millis: i64,
}

/// Something that happened to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since the Unix epoch.
    pub at_millis: i64,
    /// What.
    pub what: String,
}

/// How far an incident has been escalated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Climb {
    /// How many rungs have been told.
    pub rungs: usize,
    /// How often the last one has been told again.
    pub repeats: u32,
    /// Whether there was nobody left to tell.
    pub exhausted: bool,
}

/// What is to happen next if nothing happens before, each in milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dues {
    /// The first word of its level goes out.
    pub word: Option<i64>,
    /// What has joined since is told.
    pub update: Option<i64>,
    /// The next rung is told, or those told are reminded.
    pub escalate: Option<i64>,
    /// It is said again that it is not over.
    #[serde(default)]
    pub repeat: Option<i64>,
    /// The acknowledgement is forgotten.
    pub acknowledged: Option<i64>,
    /// It is over, if nothing fires until then.
    pub resolve: Option<i64>,
    /// All of it is silenced: until then, or until that is looked at again before, nothing is said of it
    /// whatever is due.
    #[serde(default)]
    pub silenced: Option<i64>,
}

impl Dues {
    /// The first of them.
    #[must_use]
    pub fn first(&self) -> Option<i64> {
        let said = [
            self.word,
            self.update,
            self.escalate,
            self.repeat,
            self.acknowledged,
        ];
        let said = said.into_iter().flatten().min();
        let said = said.map(|due| due.max(self.silenced.unwrap_or(due)));
        said.into_iter().chain(self.resolve).min()
    }
}

/// Alerts that belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Names it.
    pub id: String,
    /// Where it is.
    pub standing: Standing,
    /// The worst level that any of its alerts had.
    pub level: Level,
    /// The level that was last told of.
    pub told_level: Option<Level>,
    /// What it is about, in one line.
    pub title: String,
    /// When it was opened, in milliseconds since the Unix epoch.
    pub opened_millis: i64,
    /// When it was first acknowledged.
    pub acknowledged_millis: Option<i64>,
    /// When it was resolved.
    pub resolved_millis: Option<i64>,
    /// For how long it was over before it was opened again, in milliseconds.
    #[serde(default)]
    pub paused_millis: i64,
    /// How much of that was before it was first acknowledged.
    #[serde(default)]
    pub paused_before_millis: i64,
    /// Who sees to it.
    pub acknowledgement: Option<Acknowledgement>,
    /// Whose it is.
    pub assignee: Option<String>,
    /// Who resolved it, where a person did.
    pub resolved_by: Option<Said>,
    /// What a person said of it in the end, and who.
    pub verdict: Option<(Verdict, Said)>,
    /// The incident that it was put into by hand.
    pub merged_into: Option<String>,
    /// Names of the rules whose alerts it holds or held.
    pub rules: BTreeSet<String>,
    /// How often it was opened again.
    pub reopened: u32,
    /// Who was told of it.
    pub told: Vec<Target>,
    /// How many notifications were made for it; numbers the next.
    pub words: u32,
    /// How far it has been escalated.
    pub climb: Climb,
    /// Whether nobody acknowledged it within the time of its level.
    pub overdue: bool,
    /// What is to happen next.
    pub dues: Dues,
    /// What happened to it.
    pub timeline: Vec<Entry>,
    /// Its alerts when it was resolved, at most [`crate::Message::ALERTS_MAX`]; before that they are alerts still.
    pub lines: Vec<AlertLine>,
    /// How many alerts it held when it was resolved.
    pub alerts_total: usize,
    /// How many of its alerts were over for so long that they are only counted. One that fired again since
    /// counts twice.
    #[serde(default)]
    pub let_go: usize,
}

impl Incident {
    /// A new one.
    pub(crate) fn new(id: String, title: String, level: Level, now_millis: i64) -> Self {
        Self {
            id,
            standing: Standing::Open,
            level,
            told_level: None,
            title,
            opened_millis: now_millis,
            acknowledged_millis: None,
            resolved_millis: None,
            paused_millis: 0,
            paused_before_millis: 0,
            acknowledgement: None,
            assignee: None,
            resolved_by: None,
            verdict: None,
            merged_into: None,
            rules: BTreeSet::new(),
            reopened: 0,
            told: Vec::new(),
            words: 0,
            climb: Climb::default(),
            overdue: false,
            dues: Dues::default(),
            timeline: Vec::new(),
            lines: Vec::new(),
            alerts_total: 0,
            let_go: 0,
        }
    }

    /// Whether it is not over.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.standing != Standing::Resolved
    }

    /// Notes what happened.
    pub(crate) fn note(&mut self, at_millis: i64, what: String) {
        if self.timeline.len() >= TIMELINE_MAX {
            // The first says how it began.
            self.timeline.remove(1);
        }
        self.timeline.push(Entry { at_millis, what });
    }

    /// How long it was open until someone acknowledged it, in milliseconds.
    #[must_use]
    pub fn to_acknowledge_millis(&self) -> Option<i64> {
        Some(self.acknowledged_millis? - self.opened_millis - self.paused_before_millis)
    }

    /// How long it was open until it was over, in milliseconds.
    #[must_use]
    pub fn to_resolve_millis(&self) -> Option<i64> {
        Some(self.resolved_millis? - self.opened_millis - self.paused_millis)
    }
}
