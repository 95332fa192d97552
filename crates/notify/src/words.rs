//! A message in words: what templates may say, bounded and clean, the same for every channel.

use std::collections::BTreeMap;

use alert::{AlertLine, Kind, Message};
use serde::Serialize;

use crate::bounds;
use crate::when;

/// Longest title; a subject, a header and a text message cut it further.
pub(crate) const TITLE_CHARS_MAX: usize = 500;
/// Longest name of a person, rung or incident.
pub(crate) const NAME_CHARS_MAX: usize = 200;
/// Longest label or annotation in a message for people; a machine's payload holds more.
pub(crate) const VALUE_CHARS_MAX: usize = 500;
/// Most characters of labels and annotations of all alerts together. The alerts beyond it are a number:
/// nobody reads more, and mail programs cut longer mail.
pub(crate) const ALERTS_CHARS_MAX: usize = 40_000;
/// Most labels, and most annotations, of one alert or group that are shown.
pub(crate) const LABELS_MAX: usize = 40;
/// Longest address of a page: the longest that Slack takes in a link.
pub(crate) const LINK_CHARS_MAX: usize = 3000;

/// What a template may name. Every text is bounded, and free of control characters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Words {
    /// `trigger`, `update`, `remind`, `escalate`, `acknowledge`, `resolve` or `test`.
    pub kind: &'static str,
    /// `[CRITICAL]`, `[ACKNOWLEDGED]`, `[RESOLVED]` or `[TEST]`.
    pub badge: String,
    /// The badge, what kind of word it is, and the title.
    pub headline: String,
    /// One sentence on what this word is about: `resolved after 12 min`.
    pub lead: String,
    /// `critical`, `high`, `medium` or `low`.
    pub level: &'static str,
    /// What it is about.
    pub title: String,
    /// The incident's id.
    pub incident: String,
    /// When the incident was opened: `2026-11-27 10:04:05 UTC`.
    pub opened: String,
    /// When this was said.
    pub at: String,
    /// How long the incident has been open: `12 min`.
    pub age: String,
    /// Who acknowledged it, where somebody did.
    pub by: Option<String>,
    /// Whose it is, where somebody said so.
    pub assignee: Option<String>,
    /// The rung that is told, where it was escalated.
    pub rung: Option<String>,
    /// Whether it is over.
    pub resolved: bool,
    /// The alerts, the worst first.
    pub alerts: Vec<AlertWords>,
    /// How many alerts there are, those left out included.
    pub alerts_total: usize,
    /// How many of them are not among `alerts`.
    pub left_out: usize,
    /// The labels that all alerts share.
    pub labels: BTreeMap<String, String>,
    /// The annotations that all alerts share.
    pub annotations: BTreeMap<String, String>,
    /// The labels that the alerts were put together by.
    pub group: BTreeMap<String, String>,
    /// Where to read what to do.
    pub runbook: Option<String>,
    /// Where to see the incident, where the configuration says so.
    pub link: Option<String>,
    /// How many alerts are held back by this one.
    pub suppressed_total: usize,
    /// How old the newest sample behind it was: `4 s`.
    pub sample_age: Option<String>,
}

/// One alert in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertWords {
    /// Its `alertname`.
    pub name: String,
    /// Its `summary`, else its `description`, else nothing.
    pub summary: String,
    /// `firing` or `resolved`.
    pub status: &'static str,
    /// The labels that tell it from the others: those that not all share.
    pub own: BTreeMap<String, String>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// All its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub since: String,
    /// For how long: until it was over, or until now.
    pub lasted: String,
    /// Its value, at most six digits.
    pub value: String,
    /// The same for the same alert.
    pub fingerprint: String,
}

impl Words {
    /// `message` in words. `external_url` is the page of incidents; `{incident}` in it stands for the id.
    #[must_use]
    pub fn new(message: &Message, external_url: Option<&str>) -> Self {
        let title = match bounds::line(&message.title, TITLE_CHARS_MAX) {
            // A subject or a header with nothing in it would be refused.
            title if title.is_empty() => "(no title)".to_owned(),
            title => title,
        };
        let (by, rung) = match &message.kind {
            Kind::Acknowledge { by } => (Some(name(by)), None),
            Kind::Escalate { rung } => (None, Some(name(rung))),
            Kind::Trigger
            | Kind::Update
            | Kind::Remind
            | Kind::Resolve
            | Kind::Digest { .. }
            | Kind::Test => (None, None),
        };
        let badge = badge(message);
        let total = message.alerts_total.max(message.alerts.len());
        let mut room = ALERTS_CHARS_MAX;
        let alerts: Vec<AlertWords> = message
            .alerts
            .iter()
            .take(Message::ALERTS_MAX)
            .map(|alert| AlertWords::new(alert, message))
            .take_while(|alert| {
                let fits = room > 0;
                room = room.saturating_sub(alert.chars());
                fits
            })
            .collect();
        Self {
            kind: message.kind.as_str(),
            headline: format!("{badge} {}{title}", prefix(&message.kind)),
            badge,
            lead: lead(message),
            level: message.level.as_str(),
            title,
            incident: name(&message.incident),
            opened: when::shown(message.opened_millis),
            at: when::shown(message.at_millis),
            age: when::span(message.opened_millis, message.at_millis),
            by,
            assignee: message.assignee.as_deref().map(name),
            rung,
            resolved: message.kind == Kind::Resolve,
            left_out: total.saturating_sub(alerts.len()),
            alerts_total: total,
            alerts,
            labels: shown(&message.common_labels),
            annotations: shown(&message.common_annotations),
            group: shown(&message.group_labels),
            runbook: message.runbook.as_deref().and_then(link),
            link: incident_url(message, external_url),
            suppressed_total: message.suppressed_total,
            sample_age: message
                .sample_millis
                .map(|sample| when::span(sample, message.at_millis)),
        }
    }
}

impl AlertWords {
    fn new(alert: &AlertLine, message: &Message) -> Self {
        let labels = shown(&alert.labels);
        let annotations = shown(&alert.annotations);
        let own = labels
            .iter()
            .filter(|(name, _)| *name != "alertname" && !message.common_labels.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let summary = ["summary", "description", "message"]
            .iter()
            .find_map(|name| annotations.get(*name))
            .cloned()
            .unwrap_or_default();
        Self {
            name: labels.get("alertname").cloned().unwrap_or_default(),
            summary,
            status: if alert.firing { "firing" } else { "resolved" },
            own,
            labels,
            annotations,
            since: when::shown(alert.starts_millis),
            lasted: when::span(
                alert.starts_millis,
                alert.ends_millis.unwrap_or(message.at_millis),
            ),
            value: number(alert.value),
            fingerprint: name(&alert.fingerprint),
        }
    }

    fn chars(&self) -> usize {
        self.labels
            .iter()
            .chain(&self.annotations)
            .map(|(name, value)| name.chars().count() + value.chars().count())
            .sum()
    }
}

/// The page of an incident.
#[must_use]
pub(crate) fn incident_url(message: &Message, external_url: Option<&str>) -> Option<String> {
    let id: String = message
        .incident
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    link(&external_url?.replace("{incident}", &id))
}

/// A link that a page may hold: of the web, and not too long. Half a link leads nowhere.
fn link(text: &str) -> Option<String> {
    let is_web = text.starts_with("https://") || text.starts_with("http://");
    let is_clean = !text
        .chars()
        .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | '|'));
    (is_web && is_clean && text.chars().count() <= LINK_CHARS_MAX).then(|| text.to_owned())
}

fn name(text: &str) -> String {
    bounds::line(text, NAME_CHARS_MAX)
}

fn shown(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .take(LABELS_MAX)
        .map(|(key, value)| (name(key), bounds::lines(value, VALUE_CHARS_MAX)))
        .collect()
}

/// Six significant digits: what a person reads of a measurement.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !value.is_finite() || (1e-4..1e15).contains(&size) && value.fract() == 0.0 {
        return value.to_string();
    }
    if !(1e-4..1e15).contains(&size) {
        return format!("{value:.5e}");
    }
    // As many decimals as leave six digits in all, then without the noughts at the end.
    let decimals = (0..10)
        .find(|decimals| size * 10_f64.powi(*decimals) >= 1e5)
        .unwrap_or(10);
    let text = format!("{value:.*}", usize::try_from(decimals).unwrap_or(0));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn badge(message: &Message) -> String {
    match message.kind {
        Kind::Trigger | Kind::Update | Kind::Remind | Kind::Escalate { .. } => {
            format!("[{}]", message.level.as_str().to_uppercase())
        }
        Kind::Acknowledge { .. } => "[ACKNOWLEDGED]".to_owned(),
        Kind::Resolve => "[RESOLVED]".to_owned(),
        Kind::Digest { .. } => "[DIGEST]".to_owned(),
        Kind::Test => "[TEST]".to_owned(),
    }
}

fn prefix(kind: &Kind) -> &'static str {
    match kind {
        Kind::Trigger
        | Kind::Acknowledge { .. }
        | Kind::Resolve
        | Kind::Digest { .. }
        | Kind::Test => "",
        Kind::Update => "update: ",
        Kind::Remind => "reminder: ",
        Kind::Escalate { .. } => "escalated: ",
    }
}

fn lead(message: &Message) -> String {
    let lead = what_happened(message);
    match &message.assignee {
        Some(whose) => format!("{lead}; assigned to {}", name(whose)),
        None => lead,
    }
}

fn what_happened(message: &Message) -> String {
    let age = when::span(message.opened_millis, message.at_millis);
    match &message.kind {
        Kind::Trigger => format!("opened at {}", when::shown(message.opened_millis)),
        Kind::Update => format!("still open after {age}"),
        Kind::Remind => format!("not acknowledged for {age}: please acknowledge"),
        Kind::Escalate { rung } => {
            format!("not acknowledged for {age}: {} is told", name(rung))
        }
        Kind::Acknowledge { by } => format!("acknowledged by {} after {age}", name(by)),
        Kind::Resolve => format!("resolved after {age}"),
        Kind::Digest { words } => format!("{words} words that could wait, in one"),
        Kind::Test => "this is a test: nothing happened".to_owned(),
    }
}

#[cfg(test)]
mod tests;
