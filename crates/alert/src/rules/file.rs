//! Rule files as they are written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::check;
use super::error::{LoadError, Problem};
use super::rule::{Kind, Rule};

/// Largest rule file, in bytes; the largest in public rule packs has under 300 KiB.
pub const FILE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most groups in a file.
pub const GROUPS_MAX: usize = 10_000;
/// Most rules in a file.
pub const RULES_MAX: usize = 50_000;

/// A rule file that was read and checked.
#[derive(Debug)]
pub struct RuleFile {
    /// Its name, as it was given.
    pub name: String,
    /// Its groups, in order.
    pub groups: Vec<GroupSpec>,
}

/// A group as its file says it.
#[derive(Debug)]
pub struct GroupSpec {
    /// The file it is from.
    pub file: String,
    /// Its name, which a file has once.
    pub name: String,
    /// Milliseconds between two evaluations, where it says.
    pub interval_millis: Option<i64>,
    /// By how many milliseconds its queries look back, where it says.
    pub query_offset_millis: Option<i64>,
    /// Most alerts or series of one rule; 0 is without a limit of its own.
    pub limit: usize,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    groups: Option<Vec<Spanned<RawGroup>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    #[serde(default)]
    name: String,
    interval: Option<String>,
    query_offset: Option<String>,
    limit: Option<i64>,
    labels: Option<BTreeMap<String, Option<String>>>,
    rules: Option<Vec<Spanned<RawRule>>>,
}

/// A rule as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    #[serde(default)]
    pub(super) record: String,
    #[serde(default)]
    pub(super) alert: String,
    #[serde(default)]
    pub(super) expr: String,
    #[serde(rename = "for")]
    pub(super) hold: Option<String>,
    pub(super) keep_firing_for: Option<String>,
    pub(super) labels: Option<BTreeMap<String, Option<String>>>,
    pub(super) annotations: Option<BTreeMap<String, Option<String>>>,
    pub(super) level: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) clear_when: Option<String>,
    pub(super) clear_for: Option<String>,
    pub(super) count: Option<RawCount>,
    pub(super) missing: Option<String>,
    pub(super) min_complete: Option<f64>,
    pub(super) depends_on: Option<Vec<String>>,
    pub(super) runbook: Option<String>,
    pub(super) edge: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCount {
    pub(super) least: u32,
    pub(super) of: u32,
}

impl RuleFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, so that it can be mended at once.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<LoadError>> {
        let whole = |line: Option<u64>, problem: Problem| {
            vec![LoadError {
                file: name.to_owned(),
                line,
                group: None,
                rule: None,
                problem,
            }]
        };
        if text.len() > FILE_BYTES_MAX {
            let problem = too_much("bytes", text.len(), FILE_BYTES_MAX);
            return Err(whole(None, problem));
        }
        // To Prometheus a file without a document has no groups.
        let is_empty = text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        if is_empty {
            return Ok(Self {
                name: name.to_owned(),
                groups: Vec::new(),
            });
        }
        let raw: RawFile = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map(|location| location.line());
            let message = error.without_snippet().to_string();
            whole(line, Problem::Yaml { message })
        })?;
        let groups = raw.groups.unwrap_or_default();
        let rules: usize = groups
            .iter()
            .map(|group| group.value.rules.as_ref().map_or(0, Vec::len))
            .sum();
        for (what, got, max) in [
            ("groups", groups.len(), GROUPS_MAX),
            ("rules", rules, RULES_MAX),
        ] {
            if got > max {
                return Err(whole(None, too_much(what, got, max)));
            }
        }
        Self::check(name, groups)
    }

    fn check(name: &str, groups: Vec<Spanned<RawGroup>>) -> Result<Self, Vec<LoadError>> {
        let mut errors = Vec::new();
        let mut seen = BTreeSet::new();
        let mut specs = Vec::new();
        for group in groups {
            let line = group.referenced.line();
            let mut refuse = |message: String| {
                errors.push(LoadError {
                    file: name.to_owned(),
                    line: Some(line),
                    group: None,
                    rule: None,
                    problem: Problem::Field { message },
                });
            };
            if group.value.name.is_empty() {
                refuse("a group has no name".to_owned());
            } else if !seen.insert(group.value.name.clone()) {
                refuse(format!(
                    "groupname {:?} is repeated in the same file",
                    group.value.name
                ));
            }
            specs.push(checked(name, group, &mut errors));
        }
        if errors.is_empty() {
            Ok(Self {
                name: name.to_owned(),
                groups: specs,
            })
        } else {
            Err(errors)
        }
    }

    /// The rules that are there more than once: the same name and labels.
    #[must_use]
    pub fn duplicates(&self) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut twice = BTreeSet::new();
        for rule in self.groups.iter().flat_map(|group| &group.rules) {
            let labels: Vec<String> = rule
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={:?}", value.text()))
                .collect();
            let shown = format!("{}{{{}}}", rule.name, labels.join(","));
            if !seen.insert(shown.clone()) {
                twice.insert(shown);
            }
        }
        twice
    }

    /// How many rules it has.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

fn too_much(what: &'static str, got: usize, max: usize) -> Problem {
    Problem::TooMuch { what, got, max }
}

fn checked(file: &str, group: Spanned<RawGroup>, errors: &mut Vec<LoadError>) -> GroupSpec {
    let line = group.referenced.line();
    let RawGroup {
        name,
        interval,
        query_offset,
        limit,
        labels,
        rules,
    } = group.value;
    let mut problems = Vec::new();
    let interval_millis = check::duration("interval", interval.as_deref(), &mut problems);
    let query_offset_millis =
        check::duration("query_offset", query_offset.as_deref(), &mut problems);
    let limit = usize::try_from(limit.unwrap_or(0)).unwrap_or_else(|_negative| {
        problems.push(check::field("limit is below zero"));
        0
    });
    let labels = check::labels(labels, &mut problems);
    let error = |line: u64, rule: Option<String>, problem: Problem| LoadError {
        file: file.to_owned(),
        line: Some(line),
        group: Some(name.clone()),
        rule,
        problem,
    };
    errors.extend(
        problems
            .into_iter()
            .map(|problem| error(line, None, problem)),
    );
    let mut checked = Vec::new();
    for raw in rules.unwrap_or_default() {
        let line = raw.referenced.line();
        let shown = if raw.value.alert.is_empty() {
            &raw.value.record
        } else {
            &raw.value.alert
        };
        let shown = Some(shown.clone()).filter(|name| !name.is_empty());
        match check::rule(raw.value, line, &labels) {
            Ok(rule) => checked.push(rule),
            Err(problems) => errors.extend(
                problems
                    .into_iter()
                    .map(|problem| error(line, shown.clone(), problem)),
            ),
        }
    }
    GroupSpec {
        file: file.to_owned(),
        name,
        interval_millis,
        query_offset_millis,
        limit,
        rules: checked,
    }
}

/// Checks over all files together that `depends_on` names alerts that are there, and no circle.
///
/// # Errors
/// Every name that is not there or depends on itself.
pub fn check_dependencies(files: &[RuleFile]) -> Result<(), Vec<LoadError>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let all = || {
        let groups = files.iter().flat_map(|file| &file.groups);
        groups.flat_map(|group| group.rules.iter().map(move |rule| (group, rule)))
    };
    for (_, rule) in all() {
        if let Kind::Alerting(alerting) = &rule.kind {
            let needed = needs.entry(&rule.name).or_default();
            needed.extend(alerting.depends_on.iter().map(String::as_str));
        }
    }
    let mut errors = Vec::new();
    for (group, rule) in all() {
        let Kind::Alerting(alerting) = &rule.kind else {
            continue;
        };
        for name in &alerting.depends_on {
            let message = if !needs.contains_key(name.as_str()) {
                format!("depends_on names {name:?}, which is no alert of these files")
            } else if leads_to(&needs, name, &rule.name) {
                format!("depends_on {name:?} leads back to the alert itself")
            } else {
                continue;
            };
            errors.push(LoadError {
                file: group.file.clone(),
                line: Some(rule.line),
                group: Some(group.name.clone()),
                rule: Some(rule.name.clone()),
                problem: Problem::Field { message },
            });
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

fn leads_to(needs: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            open.extend(needs.get(name).into_iter().flatten());
        }
    }
    false
}
