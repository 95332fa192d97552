//! Rules that are on without being asked for: `deploy/rules` of this repository, as the program was built.

use std::collections::BTreeMap;

use crate::problem::{Fault, Problem};
use crate::rule::{Action, Missing, PlannedRule};
use crate::tree::{Node, Value};
use crate::{Level, duration, tree};

/// A rule file that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct RuleFile {
    /// Its path in the repository.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The stock rule files.
#[must_use]
pub fn files() -> &'static [RuleFile] {
    &[
        RuleFile {
            name: "deploy/rules/hosts.yml",
            text: include_str!("../../../deploy/rules/hosts.yml"),
        },
        RuleFile {
            name: "deploy/rules/gpus.yml",
            text: include_str!("../../../deploy/rules/gpus.yml"),
        },
        RuleFile {
            name: "deploy/rules/inference.yml",
            text: include_str!("../../../deploy/rules/inference.yml"),
        },
        RuleFile {
            name: "deploy/rules/vedette.yml",
            text: include_str!("../../../deploy/rules/vedette.yml"),
        },
    ]
}

/// The stock rules.
///
/// # Errors
/// When a file is not as it should be, which a test of this crate rules out for those that are built in.
pub fn rules() -> Result<Vec<PlannedRule>, Vec<Problem>> {
    let mut rules = Vec::new();
    for file in files() {
        read(file, &mut rules).map_err(|problem| vec![problem])?;
    }
    Ok(rules)
}

fn read(file: &RuleFile, rules: &mut Vec<PlannedRule>) -> Result<(), Problem> {
    for document in tree::read(file.name, file.text)? {
        for group in list(file, &document, "groups")? {
            let name = text(file, group, "name")?;
            let interval = length(file, group, "interval")?;
            for rule in list(file, group, "rules")? {
                let mut rule = one(file, rule)?;
                name.clone_into(&mut rule.group);
                rule.interval = interval;
                rules.push(rule);
            }
        }
    }
    Ok(())
}

fn one(file: &RuleFile, node: &Node) -> Result<PlannedRule, Problem> {
    let name = text(file, node, "alert")?;
    let labels = mapping(node.get("labels"));
    let level = match labels.get("severity").map(|word| word.parse::<Level>()) {
        Some(Ok(level)) => level,
        _ => return Err(lacks(file, node, "labels.severity")),
    };
    let optional = |key: &str| match node.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let missing = optional("missing")
        .map(|word| Missing::from_word(&word).ok_or_else(|| lacks(file, node, "missing")))
        .transpose()?;
    let depends_on = match node.get("depends_on").map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(as_text).collect(),
        _ => Vec::new(),
    };
    Ok(PlannedRule {
        group: String::new(),
        path: format!("{}: {name}", file.name),
        name: name.to_owned(),
        action: Action::Alert,
        expr: text(file, node, "expr")?.trim().to_owned(),
        hold: length(file, node, "for")?.unwrap_or_default(),
        interval: None,
        level: Some(level),
        condition: optional("condition"),
        labels,
        annotations: mapping(node.get("annotations")),
        runbook: optional("runbook"),
        clear_when: optional("clear_when"),
        clear_for: length(file, node, "clear_for")?,
        missing,
        depends_on,
    })
}

fn as_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn mapping(node: Option<&Node>) -> BTreeMap<String, String> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), as_text(&entry.node)?)))
        .collect()
}

fn list<'a>(file: &RuleFile, node: &'a Node, key: &'static str) -> Result<&'a [Node], Problem> {
    match node.get(key).map(|node| &node.value) {
        Some(Value::List(items)) => Ok(items),
        _ => Err(lacks(file, node, key)),
    }
}

fn text<'a>(file: &RuleFile, node: &'a Node, key: &'static str) -> Result<&'a str, Problem> {
    match node.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(lacks(file, node, key)),
    }
}

fn length(
    file: &RuleFile,
    node: &Node,
    key: &'static str,
) -> Result<Option<std::time::Duration>, Problem> {
    if node.get(key).is_none() {
        return Ok(None);
    }
    let length = duration::parse(text(file, node, key)?);
    length.map(Some).map_err(|_why| lacks(file, node, key))
}

fn lacks(file: &RuleFile, node: &Node, key: &'static str) -> Problem {
    Problem {
        source: file.name.to_owned(),
        place: node.place,
        path: key.to_owned(),
        fault: Box::new(Fault::Missing(key)),
        suggestion: None,
    }
}
