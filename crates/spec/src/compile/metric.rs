//! Rules on one metric: its threshold, its trend, what is unusual about it, and that it is there at all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Compiler;
use crate::account::Resolved;
use crate::document::{Document, Leaf};
use crate::rule::{Action, Missing, PlannedRule};
use crate::unit::number;
use crate::{Bad, Binding, Origin, Role, Unit, duration};

const MINUTE: Duration = Duration::from_secs(60);
/// A threshold has to be passed for this long.
const HOLD: Duration = Duration::from_secs(5 * 60);
/// A trend has to last: that of an hour is one, that of a minute is noise.
const HOLD_TREND: Duration = Duration::from_secs(3600);
const HOLD_UNUSUAL: Duration = Duration::from_secs(10 * 60);
/// So many robust standard deviations from the median are unusual (Iglewicz and Hoaglin).
const UNUSUAL: &str = "3.5";

/// A metric as one document sees it.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) binding: Binding,
    pub(super) model: Option<String>,
    pub(super) query: String,
    pub(super) group: String,
    pub(super) interval: Option<Duration>,
}

impl Subject {
    /// The name of the series that it is recorded as. That of a model and that of all are two, since one
    /// may have the labels of the other.
    fn recorded(&self) -> String {
        let scope = if self.model.is_some() {
            "model"
        } else {
            "fleet"
        };
        format!("{scope}:{}", self.binding.name)
    }

    /// A selector of that series, of its own model alone.
    fn selector(&self) -> String {
        match &self.model {
            Some(model) => format!("{}{{model={}}}", self.recorded(), promql(model)),
            None => self.recorded(),
        }
    }

    /// What it is about, in words: `accuracy of image-classifier`.
    fn title(&self) -> String {
        let name = self.binding.name.replace('_', " ");
        match &self.model {
            Some(model) => format!("{name} of {model}"),
            None => name,
        }
    }

    /// The template by which an alert says its value.
    fn shown_value(&self) -> &'static str {
        match self.binding.unit.base() {
            Unit::Ratio => "{{ $value | humanizePercentage }}",
            Unit::Seconds => "{{ $value | humanizeDuration }}",
            Unit::Bytes | Unit::BytesPerSecond => "{{ $value | humanize1024 }}",
            _ => "{{ $value | humanize }}",
        }
    }

    /// Alerts that explain all others about the same node or server.
    fn depends_on(&self) -> Vec<String> {
        let told_apart_by = |label: &str| {
            self.model.is_none() && self.binding.by.iter().any(|known| known == label)
        };
        [("node", "AgentSilent"), ("instance", "TargetDown")]
            .into_iter()
            .filter(|(label, _)| told_apart_by(label))
            .map(|(_, alert)| alert.to_owned())
            .collect()
    }

    fn resolved(&self, metric: &str) -> Resolved {
        Resolved {
            metric: metric.to_owned(),
            query: self.query.clone(),
            unit: self.binding.unit,
            bad: self.binding.bad,
            origin: self.binding.origin,
        }
    }
}

/// A threshold in the base unit.
#[derive(Clone, Debug)]
pub(super) struct Threshold {
    pub(super) op: &'static str,
    pub(super) value: f64,
    /// With its unit, as people read it.
    pub(super) shown: String,
    pub(super) hold: Option<Duration>,
}

impl Compiler<'_> {
    /// What a name in a document stands for. A name that means nothing is a problem.
    pub(super) fn subject(
        &mut self,
        name: &str,
        model: Option<&str>,
        at: (&Document, &Leaf),
        group: (&str, Option<Duration>),
    ) -> Option<Subject> {
        let binding = match self.bindings.find(name, at) {
            Ok(binding) => binding.clone(),
            Err(problem) => {
                self.problems.push(problem);
                return None;
            }
        };
        let subject = Subject {
            query: binding.query(model),
            model: model.map(str::to_owned),
            group: group.0.to_owned(),
            interval: group.1,
            binding,
        };
        self.ledger.reads(at.1.id, subject.resolved(name));
        self.used
            .insert(subject.binding.name.clone(), subject.binding.clone());
        Some(subject)
    }

    /// A rule on a metric with what all of them share.
    fn rule_on(&self, subject: &Subject, name: String, path: &str) -> PlannedRule {
        let binding = &subject.binding;
        let mut labels = BTreeMap::from([
            ("metric".to_owned(), binding.name.clone()),
            (
                "kind".to_owned(),
                if binding.role == Role::Cause {
                    "cause"
                } else {
                    "symptom"
                }
                .to_owned(),
            ),
        ]);
        if let Some(signal) = &binding.signal {
            labels.insert("signal".to_owned(), signal.clone());
        }
        if let Some(model) = &subject.model {
            labels.insert("model".to_owned(), model.clone());
        }
        let mut annotations = BTreeMap::new();
        if self.practices.document {
            let text = format!("{}: {} [{}]", binding.name, binding.about, subject.query);
            // Braces would be taken for a template.
            annotations.insert("metric".to_owned(), text.replace("{{", "{ {"));
        }
        PlannedRule {
            group: subject.group.clone(),
            name,
            action: Action::Alert,
            expr: String::new(),
            hold: Duration::ZERO,
            interval: subject.interval,
            level: None,
            condition: Some(binding.condition.clone()),
            labels,
            annotations,
            runbook: Some(format!("docs/runbooks/{}.md", binding.runbook)),
            clear_when: None,
            clear_for: self.practices.clear_for(),
            missing: Some(Missing::Hold),
            depends_on: subject.depends_on(),
            path: path.to_owned(),
        }
    }

    /// Keeps the metric as a series of its own, which dashboards show and trends look back on.
    pub(super) fn record(&mut self, subject: &Subject, at: (&Document, &Leaf)) {
        let mut rule = self.rule_on(subject, subject.recorded(), &at.1.path);
        rule.action = Action::Record;
        rule.expr.clone_from(&subject.query);
        rule.labels.retain(|label, _| label == "model");
        rule.annotations.clear();
        rule.depends_on.clear();
        (rule.condition, rule.runbook, rule.clear_for) = (None, None, None);
        rule.missing = None;
        self.rule(rule, at);
        let name = subject.recorded();
        self.in_force(at.1, format!("{} is kept as {name}", subject.title()));
    }

    /// Alerts when the metric has passed the threshold.
    pub(super) fn threshold(
        &mut self,
        subject: &Subject,
        name: String,
        threshold: &Threshold,
        at: (&Document, &Leaf),
    ) {
        let Threshold {
            op,
            value,
            shown,
            hold,
        } = threshold;
        let mut rule = self.rule_on(subject, name, &at.1.path);
        let query = grouped(&subject.query);
        rule.expr = format!("{query} {op} {}", number(*value));
        rule.hold = hold.unwrap_or_else(|| self.practices.hold(HOLD));
        let mut over = String::new();
        if self.practices.thresholds
            && let Some(clear) = clear_at(op, *value, subject.binding.unit.base() == Unit::Ratio)
        {
            let back = if op.starts_with('>') { "<" } else { ">" };
            rule.clear_when = Some(format!("{query} {back} {}", number(clear)));
            over = format!(
                "; it is over when it is {back} {} (base unit)",
                number(clear)
            );
        }
        let way = if op.starts_with('>') {
            "above"
        } else {
            "below"
        };
        let summary = format!("{} is {way} {shown}", subject.title());
        let held = duration::show(rule.hold);
        rule.annotations
            .insert("summary".to_owned(), summary.clone());
        rule.annotations.insert(
            "description".to_owned(),
            format!(
                "{summary} for {held} or longer: it is {}.",
                subject.shown_value()
            ),
        );
        if self.practices.explain {
            let text = format!(
                "{shown} is the {} that {} sets{over}",
                bound(op),
                at.0.spot(at.1)
            );
            rule.annotations.insert("threshold".to_owned(), text);
        }
        self.in_force(
            at.1,
            format!("{} alerts when {summary} for {held}{over}", rule.name),
        );
        self.rule(rule, at);
    }

    /// Alerts when the metric has gone the bad way from its mean over seven days.
    pub(super) fn trend(&mut self, subject: &Subject, at: (&Document, &Leaf)) {
        let binding = &subject.binding;
        let (name, way) = match binding.bad {
            Bad::High => (format!("{}Rises", camel(&binding.name)), "above"),
            Bad::Low => (format!("{}Falls", camel(&binding.name)), "below"),
        };
        let mut rule = self.rule_on(subject, name, &at.1.path);
        rule.condition = Some("trend_changes".to_owned());
        rule.runbook = Some("docs/runbooks/MetricTrend.md".to_owned());
        let change = change(subject, binding.bad == Bad::Low);
        rule.expr = format!("{change} > {}", number(binding.trend));
        rule.hold = self.practices.hold(HOLD_TREND);
        if self.practices.thresholds {
            rule.clear_when = Some(format!("{change} < {}", number(binding.trend / 2.0)));
        }
        let far = far(subject, binding.trend);
        let summary = format!("{} is {far} {way} its mean of seven days", subject.title());
        let held = duration::show(rule.hold);
        self.in_force(
            at.1,
            format!("{} alerts when {summary} for {held}", rule.name),
        );
        self.explain_change(&mut rule, summary, at);
        self.rule(rule, at);
    }

    /// Alerts when the metric has gone `threshold` from its mean over seven days.
    pub(super) fn changed(
        &mut self,
        subject: &Subject,
        name: String,
        (falls, threshold): (bool, f64),
        hold: Duration,
        at: (&Document, &Leaf),
    ) {
        let mut rule = self.rule_on(subject, name, &at.1.path);
        let change = change(subject, falls);
        rule.expr = format!("{change} > {}", number(threshold));
        rule.hold = hold;
        rule.runbook = Some("docs/runbooks/MetricTrend.md".to_owned());
        if self.practices.thresholds {
            rule.clear_when = Some(format!("{change} < {}", number(threshold * 0.9)));
        }
        let (far, way) = (
            far(subject, threshold),
            if falls { "below" } else { "above" },
        );
        let summary = format!("{} is {far} {way} its mean of seven days", subject.title());
        let held = duration::show(hold);
        self.in_force(
            at.1,
            format!("{} alerts when {summary} for {held}", rule.name),
        );
        self.explain_change(&mut rule, summary, at);
        self.rule(rule, at);
    }

    /// Alerts when the metric is far from its median of a day, in the bad direction.
    pub(super) fn unusual(&mut self, subject: &Subject, at: (&Document, &Leaf)) {
        let binding = &subject.binding;
        let mut rule = self.rule_on(
            subject,
            format!("{}Unusual", camel(&binding.name)),
            &at.1.path,
        );
        rule.condition = Some("trend_changes".to_owned());
        rule.runbook = Some("docs/runbooks/MetricUnusual.md".to_owned());
        let score = score(&subject.selector(), binding.bad);
        rule.expr = format!("{score} > {UNUSUAL}");
        rule.hold = self.practices.hold(HOLD_UNUSUAL);
        if self.practices.thresholds {
            rule.clear_when = Some(format!("{score} < 2"));
        }
        let summary = format!(
            "{} is more than {UNUSUAL} robust deviations from its median of a day",
            subject.title()
        );
        let held = duration::show(rule.hold);
        self.in_force(
            at.1,
            format!("{} alerts when {summary} for {held}", rule.name),
        );
        self.explain_change(&mut rule, summary, at);
        self.rule(rule, at);
    }

    fn explain_change(&self, rule: &mut PlannedRule, summary: String, at: (&Document, &Leaf)) {
        let description = format!(
            "{summary}, for a while: now {{{{ $value | humanize }}}}. Before a day of data it says nothing."
        );
        rule.annotations.insert("summary".to_owned(), summary);
        rule.annotations
            .insert("description".to_owned(), description);
        if self.practices.explain {
            let text = format!("asked for by {}", at.0.spot(at.1));
            rule.annotations.insert("threshold".to_owned(), text);
        }
    }

    /// Says when a metric that is to be watched does not come at all.
    pub(super) fn must_come(&mut self, subject: &Subject, at: (&Document, &Leaf)) {
        let mut rule = self.rule_on(subject, "WatchedMetricMissing".to_owned(), &at.1.path);
        rule.condition = Some("informational".to_owned());
        rule.runbook = Some("docs/runbooks/WatchedMetricMissing.md".to_owned());
        rule.labels.remove("signal");
        rule.labels.insert("kind".to_owned(), "cause".to_owned());
        rule.depends_on.clear();
        rule.expr = format!("absent_over_time({}[15m])", subject.selector());
        rule.hold = Duration::from_secs(3600);
        (rule.clear_for, rule.missing) = (None, None);
        let summary = format!("there are no data for {}", subject.title());
        let who = match subject.binding.origin {
            Origin::Collected => "agents collect it where there is something to read it from",
            Origin::Pushed => "it has to be pushed, or exposed to be scraped",
            Origin::Given => "its query is one that was given",
        };
        rule.annotations.insert("summary".to_owned(), summary);
        rule.annotations.insert(
            "description".to_owned(),
            format!(
                "{} is to be watched ({}), and nothing has come for over an hour; {who}.",
                subject.title(),
                at.0.spot(at.1)
            ),
        );
        self.in_force(at.1, "that it stays away for an hour is told (low)");
        self.rule(rule, at);
    }
}

/// The share of its mean of seven days by which a metric has fallen or risen; for ratios the difference.
/// A series must have been there a day ago, since the mean of an hour is no baseline.
fn change(subject: &Subject, falls: bool) -> String {
    let series = subject.selector();
    let mean = format!("avg_over_time({series}[7d])");
    let (from, to) = if falls {
        (mean.as_str(), series.as_str())
    } else {
        (series.as_str(), mean.as_str())
    };
    let change = if subject.binding.unit.base() == Unit::Ratio {
        format!("({from} - {to})")
    } else {
        format!("(({from} - {to}) / abs({mean}))")
    };
    format!("({change} and {series} offset 1d)")
}

/// How far, in words.
fn far(subject: &Subject, change: f64) -> String {
    let percent = number(change * 100.0);
    if subject.binding.unit.base() == Unit::Ratio {
        format!("{percent} percentage points")
    } else {
        format!("{percent}%")
    }
}

/// How many robust deviations a series is from its median of a day. The deviation is that of the middle
/// half (the interquartile range over 1.349, as for a normal distribution), and at least a fiftieth of the
/// median, so that a series that hardly moves may move a little.
fn score(series: &str, bad: Bad) -> String {
    let quantile = |share: &str| format!("quantile_over_time({share}, {series}[1d])");
    let median = quantile("0.5");
    let spread = format!("(({} - {}) / 1.349)", quantile("0.75"), quantile("0.25"));
    let least = format!("(abs({median}) / 50)");
    let deviation = format!("(({spread} > {least}) or ({least} > 0))");
    let distance = match bad {
        Bad::High => format!("({series} - {median})"),
        Bad::Low => format!("({median} - {series})"),
    };
    format!("({distance} / {deviation} and {series} offset 1d)")
}

/// Where an alert is over: a tenth of the threshold behind it; for a floor of a ratio, no more than a tenth
/// of the way to 1. None for a threshold of 0, which has no tenth, and for `==`.
fn clear_at(op: &str, value: f64, is_ratio: bool) -> Option<f64> {
    if value.abs() < f64::EPSILON {
        return None;
    }
    match op {
        ">" | ">=" => Some(value - value.abs() / 10.0),
        "<" | "<=" if is_ratio && (0.0..1.0).contains(&value) => {
            Some(value + value.min(1.0 - value) / 10.0)
        }
        "<" | "<=" => Some(value + value.abs() / 10.0),
        _ => None,
    }
}

fn bound(op: &str) -> &'static str {
    match op.chars().next() {
        Some('>') => "ceiling",
        Some('<') => "floor",
        _ => "value",
    }
}

/// A query that an operator may follow.
fn grouped(query: &str) -> String {
    format!("({query})")
}

/// A string of PromQL.
fn promql(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}

/// `high_cpu_usage` as `HighCpuUsage`.
pub(super) fn camel(name: &str) -> String {
    let mut text = String::new();
    for word in name.split(['_', '-']) {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

/// How often a document's rules are looked at: the shortest that makes sense is 5 s, as agents read.
pub(super) fn interval(asked: Duration) -> Duration {
    asked.max(Duration::from_secs(5))
}

/// Where no document says how often.
pub(super) const INTERVAL: Duration = MINUTE;
