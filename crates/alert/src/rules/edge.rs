//! Which rules an agent can run over the series of its own node, and their text for it.
//!
//! A rule is per node when each of its alerts bears the label `node` and follows from series with that
//! `node` alone: then to evaluate it over one node's series gives what it gives over all.

mod keeps;
mod print;

use std::collections::{BTreeMap, BTreeSet};

use query::Expr;
use query::ast::{Duration, Kind as Node};
use series::Matcher;
use series::labels::METRIC_NAME;

use super::alerting::{ALERTS, ALERTS_FOR_STATE};
use super::check;
use super::error::LoadError;
use super::file::{GroupSpec, RuleFile};
use super::group::Settings;
use super::reads::{each_selector, reads_any};
use super::rule::{Alerting, Kind, Missing, Rule};
use keeps::keeps_node;

/// The label that says of which node a series is.
pub const NODE: &str = "node";
/// Longest window of a rule at the edge, in milliseconds: an agent keeps so many samples in memory.
pub const WINDOW_MAX: i64 = 900_000;
/// Most rules at the edge; an agent evaluates them at the speed of collection.
pub const EDGE_RULES_MAX: usize = 1000;
/// Most bytes of their text: it has to fit one message.
pub const EDGE_BYTES_MAX: usize = 1024 * 1024;

/// A rule file for agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeFile {
    /// The name of the file that its rules are from.
    pub name: String,
    /// The rules, in the form of a rule file.
    pub text: String,
}

/// The rules for agents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EdgeRules {
    /// Their text, file by file.
    pub files: Vec<EdgeFile>,
    /// The rules, each as `group/rule`.
    pub paths: BTreeSet<String>,
}

/// What an expression reads.
#[derive(Clone, Debug)]
pub struct Read {
    /// What its series pass.
    pub matchers: Vec<Matcher>,
    /// How far back it looks, in milliseconds; none where it wants the newest sample alone.
    pub window_millis: Option<i64>,
}

impl Read {
    /// The metric that its series are of, where it names one.
    #[must_use]
    pub fn metric(&self) -> Option<&str> {
        let mut names = self.matchers.iter().filter(|it| it.name() == METRIC_NAME);
        let equal = names.find(|it| it.op() == series::MatchOp::Equal);
        equal.map(Matcher::value)
    }
}

impl Rule {
    /// What it reads, the expression that ends its alerts included. Windows that are not plain numbers
    /// count as the longest.
    #[must_use]
    pub fn reads(&self) -> Vec<Read> {
        let mut reads = Vec::new();
        let clear = match &self.kind {
            Kind::Alerting(alerting) => alerting.clear.as_ref(),
            Kind::Recording => None,
        };
        for expr in std::iter::once(&self.expr).chain(clear) {
            collect(expr, &mut reads);
        }
        reads
    }

    /// Whether agents are to run it, where it says so itself.
    fn edge(&self) -> Option<bool> {
        match &self.kind {
            Kind::Alerting(alerting) => alerting.edge,
            Kind::Recording => None,
        }
    }

    /// Whether an agent can run it; else why not. `recorded` are the metrics that rules record.
    ///
    /// # Errors
    /// Why it stays in the centre.
    pub fn is_per_node(&self, recorded: &[&str]) -> Result<(), String> {
        let Kind::Alerting(alerting) = &self.kind else {
            return Err("it records a series".to_owned());
        };
        per_node(&self.expr, &self.labels, alerting)?;
        for expr in std::iter::once(&self.expr).chain(&alerting.clear) {
            if reads_any(expr, recorded) {
                return Err("it may read what rules record, which no agent has".to_owned());
            }
        }
        Ok(())
    }
}

fn collect(expr: &Expr, into: &mut Vec<Read>) {
    let mut windows: Vec<(*const query::ast::Selector, i64)> = Vec::new();
    keeps::each_node(expr, &mut |node| {
        if let Node::Range { selector, range } = node {
            windows.push((selector, millis(range).unwrap_or(WINDOW_MAX)));
        }
    });
    each_selector(expr, &mut |selector| {
        let here: *const query::ast::Selector = selector;
        let window = windows.iter().find(|(of, _)| std::ptr::eq(*of, here));
        into.push(Read {
            matchers: selector.matchers.clone(),
            window_millis: window.map(|(_, millis)| *millis),
        });
    });
}

/// A length that does not depend on the query.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is too long is refused by its size, and casts of floats stop at the bounds"
)]
fn millis(duration: &Duration) -> Option<i64> {
    match duration {
        Duration::Seconds(seconds) => Some((seconds * 1000.0).ceil() as i64),
        Duration::Step | Duration::Range | Duration::Negate(_) | Duration::Op(..) => None,
    }
}

/// Whether a rule is per node by what it says itself; else why not.
pub(super) fn per_node(
    expr: &Expr,
    labels: &[(String, crate::template::Template)],
    alerting: &Alerting,
) -> Result<(), String> {
    keeps_node(expr).map_err(|why| format!("expr: {why}"))?;
    if let Some(clear) = &alerting.clear {
        keeps_node(clear).map_err(|why| format!("clear_when: {why}"))?;
    }
    let no = |why: &str| Err(why.to_owned());
    if labels.iter().any(|(name, _)| name == NODE) {
        return no("it sets the label node itself");
    }
    if labels
        .iter()
        .chain(&alerting.annotations)
        .any(|(_, template)| template.uses_queries())
    {
        return no("a template asks queries, which look at all nodes");
    }
    if alerting.missing == Some(Missing::Fire) {
        return no("missing: fire stands for nodes that say nothing");
    }
    if alerting.min_complete.is_some() {
        return no("min_complete looks at all nodes");
    }
    if alerting.timing.count.is_some() {
        return no("count means evaluations, and there they come as fast as samples");
    }
    Ok(())
}

/// The rules of all files that agents run. Those that say `edge: true` and cannot are an error.
///
/// # Errors
/// Each rule that is to run at the edge and is not per node, or for which agents have no room.
pub fn edge_rules(files: &[RuleFile], settings: &Settings) -> Result<EdgeRules, Vec<LoadError>> {
    let rules = || {
        let groups = files.iter().flat_map(|file| &file.groups);
        groups.flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    };
    let mut recorded: Vec<&str> = vec![ALERTS, ALERTS_FOR_STATE];
    recorded.extend(rules().filter_map(|(_, rule)| match rule.kind {
        Kind::Recording => Some(rule.name.as_str()),
        Kind::Alerting(_) => None,
    }));
    let refused = |group: &GroupSpec, rule: &Rule, why: &str| LoadError {
        file: group.file.clone(),
        line: Some(rule.line),
        group: Some(group.name.clone()),
        rule: Some(rule.name.clone()),
        problem: check::field(format!("edge: true, but {why}")),
    };
    let mut errors = Vec::new();
    // By path: a path that two rules share goes to the edge with both or not at all.
    let mut may: BTreeMap<String, bool> = BTreeMap::new();
    for (group, rule) in rules() {
        let why = rule.is_per_node(&recorded).err();
        if let (Some(true), Some(why)) = (rule.edge(), &why) {
            errors.push(refused(group, rule, why));
        }
        let goes = why.is_none() && rule.edge() != Some(false);
        *may.entry(path(&group.name, rule)).or_insert(true) &= goes;
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut edge = EdgeRules::default();
    let mut left = (EDGE_RULES_MAX, EDGE_BYTES_MAX);
    for file in files {
        let text = print::file(
            file,
            settings,
            &mut left,
            &mut edge.paths,
            &|group, rule| may.get(&path(group, rule)).copied().unwrap_or(false),
        );
        if let Some(text) = text {
            let name = file.name.clone();
            edge.files.push(EdgeFile { name, text });
        }
    }
    for (group, rule) in rules().filter(|(_, rule)| rule.edge() == Some(true)) {
        let path = path(&group.name, rule);
        if edge.paths.contains(&path) {
            continue;
        }
        let why = if may.get(&path) == Some(&true) {
            format!(
                "agents have room for {EDGE_RULES_MAX} rules and {EDGE_BYTES_MAX} bytes, and with its group \
                 there are more"
            )
        } else {
            format!("another rule {path} stays in the centre, and they go together")
        };
        errors.push(refused(group, rule, &why));
    }
    if errors.is_empty() {
        Ok(edge)
    } else {
        Err(errors)
    }
}

pub(super) fn path(group: &str, rule: &Rule) -> String {
    format!("{group}/{}", rule.name)
}

#[cfg(test)]
mod tests;
