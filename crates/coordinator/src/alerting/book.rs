//! Which rules are in force, and who is told: from rule files, the specification and the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alert::rules::{
    EdgeRules, FILE_BYTES_MAX, Kind, LoadError, RuleFile, Settings, check_dependencies, edge_rules,
};
use alert::{Inhibition, Routes, Target};
use serde::{Deserialize, Serialize};
use spec::{NeedKind, Plan, Text};

use crate::config::Config;

/// Most rule files.
const FILES_MAX: usize = 10_000;
/// Most rules without a runbook that are named.
const RUNBOOKS_NAMED_MAX: usize = 20;
/// What the rules of the specification and those that come with it are said to be from.
const SPECIFICATION: &str = "specification";

/// A text of the specification, as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it is called.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

/// Why there is no book.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// A rule file cannot be read.
    #[error("reading rules from {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There are too many rule files, or one is too large.
    #[error("{} is too much: {what}", path.display())]
    TooMuch {
        /// Where.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
    /// Rules cannot be used.
    #[error("{}", lines(.0))]
    Rules(Vec<LoadError>),
    /// Documents cannot be used.
    #[error("{}", lines(.0))]
    Documents(Vec<spec::Problem>),
    /// A way to reach someone is none.
    #[error("alerting.{key}: {why}")]
    Address {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

fn lines<T: std::fmt::Display>(problems: &[T]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("\n")
}

/// Which rules are in force, and who is told.
#[derive(Debug)]
pub struct Book {
    /// The rules, by what they are from.
    pub files: Vec<RuleFile>,
    /// What all groups share.
    pub settings: Arc<Settings>,
    /// Those of them that agents run.
    pub edge: EdgeRules,
    /// Whom to tell, when, and what explains what.
    pub routes: Routes,
    /// What the documents ask for.
    pub plan: Plan,
    /// Who is told that alerting works.
    pub heartbeat: Option<Target>,
    /// What the configuration does not have and the documents need.
    pub missing: Vec<String>,
}

impl Book {
    /// Reads all of it. It blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in one cannot be used.
    pub fn read(config: &Config, documents: &[Document]) -> Result<Self, BookError> {
        let mut plan = plan(documents)?;
        let mut files = Vec::new();
        for path in rule_files(&config.alerting.rules)? {
            let text = read(&path)?;
            let file = RuleFile::parse(&path.display().to_string(), &text);
            files.push(file.map_err(BookError::Rules)?);
        }
        if !config.alerting.stock_rules {
            leave_out_stock(&mut plan, &files);
        }
        link_runbooks(&mut plan, config);
        let own = RuleFile::parse(SPECIFICATION, &plan.rule_file());
        files.insert(0, own.map_err(BookError::Rules)?);
        check_dependencies(&files).map_err(BookError::Rules)?;
        for (channel, addresses) in &config.alerting.addresses {
            let known = plan.policy.addresses.entry(*channel).or_default();
            for address in addresses {
                if !known.contains(address) {
                    known.push(address.clone());
                }
            }
        }
        let mut missing = missing(&plan, config);
        missing.extend(plan.retention_fault(config.store.retention.as_duration()));
        if plan.requires_runbooks {
            missing.extend(without_runbook(&files));
        }
        let routes = routes(&plan, &files, config)?;
        let heartbeat = Some(&config.alerting.heartbeat).filter(|text| !text.is_empty());
        let heartbeat = heartbeat.map(|text| address("heartbeat", text));
        let settings = Arc::new(settings(config, &plan));
        let edge = edge_rules(&files, &settings).map_err(BookError::Rules)?;
        Ok(Self {
            heartbeat: heartbeat.transpose()?,
            settings,
            edge,
            files,
            routes,
            plan,
            missing,
        })
    }
}

impl Book {
    /// Puts rules in the place of all others. Gives what they depend on, each a rule and what explains it, that is in
    /// force and not among them.
    ///
    /// # Errors
    /// When they depend on what is nowhere or on themselves.
    pub(super) fn only(
        &mut self,
        file: RuleFile,
        config: &Config,
    ) -> Result<BTreeSet<(String, String)>, BookError> {
        let name = file.name.clone();
        let in_force = std::mem::replace(&mut self.files, vec![file]);
        let own = dependencies(&self.files);
        self.files.extend(in_force);
        if let Err(mut errors) = check_dependencies(&self.files) {
            errors.retain(|error| error.file == name);
            if !errors.is_empty() {
                return Err(BookError::Rules(errors));
            }
        }
        self.files.truncate(1);
        let groups = self.files.iter().flat_map(|file| &file.groups);
        let names: BTreeSet<&str> = groups
            .flat_map(|group| &group.rules)
            .map(|rule| rule.name.as_str())
            .collect();
        let absent = own.into_iter();
        let absent = absent.filter(|(_, parent)| !names.contains(parent.as_str()));
        let absent = absent.collect();
        self.routes = routes(&self.plan, &self.files, config)?;
        Ok(absent)
    }
}

/// What explains what: each rule with each that it depends on.
fn dependencies(files: &[RuleFile]) -> BTreeSet<(String, String)> {
    let groups = files.iter().flat_map(|file| &file.groups);
    let mut dependencies = BTreeSet::new();
    for rule in groups.flat_map(|group| &group.rules) {
        if let Kind::Alerting(alerting) = &rule.kind {
            for parent in &alerting.depends_on {
                dependencies.insert((rule.name.clone(), parent.clone()));
            }
        }
    }
    dependencies
}

fn plan(documents: &[Document]) -> Result<Plan, BookError> {
    let texts = documents.iter().map(|document| Text {
        name: &document.name,
        body: &document.text,
    });
    spec::load(&texts.collect::<Vec<_>>()).map_err(BookError::Documents)
}

/// Leaves out the rules that come with it; what depends on one depends on it no more, unless a file has a
/// rule of its name.
fn leave_out_stock(plan: &mut Plan, files: &[RuleFile]) {
    let stock = spec::stock::files();
    plan.rules
        .retain(|rule| !stock.iter().any(|file| rule.path.starts_with(file.name)));
    let groups = files.iter().flat_map(|file| &file.groups);
    let own = groups.flat_map(|group| &group.rules);
    let mut known: BTreeSet<String> = own.map(|rule| rule.name.clone()).collect();
    known.extend(plan.rules.iter().map(|rule| rule.name.clone()));
    for rule in &mut plan.rules {
        rule.depends_on.retain(|parent| known.contains(parent));
    }
}

/// Puts addresses in the place of our own pages, so that who is told of an alert can open its page.
fn link_runbooks(plan: &mut Plan, config: &Config) {
    for rule in &mut plan.rules {
        let file = rule.runbook.as_deref().and_then(spec::runbooks::file);
        if let Some(link) = file.and_then(|file| config.alerting.runbook(file)) {
            rule.runbook = Some(link);
        }
    }
}

fn settings(config: &Config, plan: &Plan) -> Settings {
    let millis = series::time::duration_millis;
    Settings {
        interval_millis: millis(config.alerting.interval.as_duration()),
        query_offset_millis: millis(config.alerting.query_offset.as_duration()),
        external_labels: config.alerting.external_labels.clone(),
        external_url: config.alerting.external_url.clone(),
        conditions: plan.policy.conditions.clone(),
    }
}

/// The files that some paths stand for: folders for the rule files in them, in order of their names.
fn rule_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, BookError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |source| BookError::Read {
            path: path.clone(),
            source,
        };
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            let is_rules = file
                .extension()
                .is_some_and(|it| it == "yml" || it == "yaml");
            if is_rules && file.is_file() {
                found.insert(file);
            }
        }
        files.extend(found);
        if files.len() > FILES_MAX {
            return Err(BookError::TooMuch {
                path: path.clone(),
                what: "more than 10,000 rule files",
            });
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, BookError> {
    let failed = |source| BookError::Read {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES_MAX as u64 {
        return Err(BookError::TooMuch {
            path: path.to_owned(),
            what: "a rule file has 8 MiB at most",
        });
    }
    std::fs::read_to_string(path).map_err(failed)
}

/// What documents need and the configuration does not have.
fn missing(plan: &Plan, config: &Config) -> Vec<String> {
    let mut missing = Vec::new();
    for need in &plan.needs {
        let (is_there, add) = match &need.kind {
            NeedKind::Receiver(name) => (
                config.receivers.get(name).is_some(),
                format!("add {name} to [receivers], with the addresses of who that is"),
            ),
            NeedKind::Addresses(channel) => (
                plan.policy
                    .addresses
                    .get(channel)
                    .is_some_and(|known| !known.is_empty()),
                format!("add {} to [alerting.addresses]", channel.as_str()),
            ),
            // The senders tell of these, since they know what is configured.
            NeedKind::Service(..) | NeedKind::Template(..) => continue,
        };
        if !is_there {
            missing.push(format!("{}: {add}", need.path));
        }
    }
    missing
}

/// Alerting rules without a page that says what to do.
fn without_runbook(files: &[RuleFile]) -> Vec<String> {
    let groups = files.iter().flat_map(|file| &file.groups);
    let rules = groups.flat_map(|group| group.rules.iter().map(move |rule| (group, rule)));
    let bare = rules.filter(|(_, rule)| match &rule.kind {
        Kind::Recording => false,
        Kind::Alerting(alerting) => !alerting
            .annotations
            .iter()
            .any(|(name, _)| name == "runbook_url" || name == "runbook"),
    });
    let bare = bare.take(RUNBOOKS_NAMED_MAX);
    bare.map(|(group, rule)| {
        let (file, name) = (&group.file, &rule.name);
        format!(
            "{file}: the rule {name} has no runbook, and a document asks for one: add runbook_url"
        )
    })
    .collect()
}

/// An address of the configuration.
fn address(key: &'static str, text: &str) -> Result<Target, BookError> {
    notify::parse(text).map_err(|error| BookError::Address {
        key,
        why: error.to_string(),
    })
}

fn routes(plan: &Plan, files: &[RuleFile], config: &Config) -> Result<Routes, BookError> {
    let receivers = config.receivers.iter();
    let receivers: BTreeMap<String, Vec<Target>> = receivers
        .map(|(name, targets)| (name.to_owned(), targets.to_vec()))
        .collect();
    let fallback = config.alerting.fallback.iter();
    let fallback = fallback.map(|text| address("fallback", text));
    let dependencies = dependencies(files);
    let mut timing = config.alerting.timing();
    let mut digests = BTreeMap::new();
    if let Some(fatigue) = &plan.fatigue {
        let millis = series::time::duration_millis;
        timing.rate_max = usize::try_from(fatigue.words_per_hour_max).unwrap_or(usize::MAX);
        timing.rate_window = 3_600_000;
        digests = fatigue
            .digest
            .iter()
            .map(|(level, hold)| {
                // What is to be acknowledged sooner is told sooner.
                let within = plan.policy.levels.get(level).map(|it| it.response_within);
                let within = within.filter(|within| !within.is_zero());
                (
                    *level,
                    millis(within.map_or(*hold, |within| within.min(*hold))),
                )
            })
            .collect();
    }
    Ok(Routes {
        policy: plan.policy.clone(),
        receivers,
        fallback: fallback.collect::<Result<_, _>>()?,
        inhibitions: dependencies
            .iter()
            .map(|(child, parent)| Inhibition::dependency(parent, child))
            .collect(),
        timing,
        spare_readers: plan.fatigue.is_some(),
        digests,
    })
}

#[cfg(test)]
mod tests;
