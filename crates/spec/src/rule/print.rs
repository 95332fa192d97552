//! Rules as a Prometheus rule file, with the keys of our own that Prometheus does not know.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::{Action, PlannedRule};
use crate::duration;

/// The rules as the text of a rule file. Rules of one group and one interval stand together.
pub(crate) fn file(rules: &[PlannedRule]) -> String {
    let mut groups: Vec<(&str, Option<Duration>, Vec<&PlannedRule>)> = Vec::new();
    for rule in rules {
        let known = groups
            .iter_mut()
            .find(|(name, interval, _)| *name == rule.group && *interval == rule.interval);
        match known {
            Some((_, _, of)) => of.push(rule),
            None => groups.push((&rule.group, rule.interval, vec![rule])),
        }
    }
    let mut text = String::from("groups:\n");
    let mut names: Vec<&str> = Vec::new();
    for (name, interval, rules) in groups {
        // Two groups of one file have two names.
        let full = match interval {
            Some(interval) if names.contains(&name) => {
                format!("{name} every {}", duration::show(interval))
            }
            _ => name.to_owned(),
        };
        names.push(name);
        line(&mut text, 2, "- name", &quoted(&full));
        if let Some(interval) = interval {
            line(&mut text, 4, "interval", &duration::show(interval));
        }
        text.push_str("    rules:\n");
        for rule in rules {
            print(&mut text, rule);
        }
    }
    text
}

fn print(text: &mut String, rule: &PlannedRule) {
    let action = match rule.action {
        Action::Alert => "- alert",
        Action::Record => "- record",
    };
    line(text, 6, action, &quoted(&rule.name));
    line(text, 8, "expr", &quoted(&rule.expr));
    if !rule.hold.is_zero() {
        line(text, 8, "for", &duration::show(rule.hold));
    }
    if let Some(level) = rule.level {
        line(text, 8, "level", level.as_str());
    }
    if let Some(condition) = &rule.condition {
        line(text, 8, "condition", &quoted(condition));
    }
    if let Some(clear) = &rule.clear_when {
        line(text, 8, "clear_when", &quoted(clear));
    }
    if let Some(clear) = rule.clear_for {
        line(text, 8, "clear_for", &duration::show(clear));
    }
    if let Some(missing) = rule.missing {
        line(text, 8, "missing", missing.as_str());
    }
    if !rule.depends_on.is_empty() {
        let names: Vec<_> = rule.depends_on.iter().map(|name| quoted(name)).collect();
        line(text, 8, "depends_on", &format!("[{}]", names.join(", ")));
    }
    if let Some(runbook) = &rule.runbook {
        line(text, 8, "runbook", &quoted(runbook));
    }
    mapping(text, "labels", &rule.labels);
    mapping(text, "annotations", &rule.annotations);
}

fn mapping(text: &mut String, name: &str, entries: &BTreeMap<String, String>) {
    if entries.is_empty() {
        return;
    }
    line(text, 8, name, "");
    for (key, value) in entries {
        line(text, 10, key, &quoted(value));
    }
}

fn line(text: &mut String, indent: usize, key: &str, value: &str) {
    let space = if value.is_empty() { "" } else { " " };
    let written = writeln!(text, "{:indent$}{key}:{space}{value}", "");
    debug_assert!(written.is_ok(), "a string takes all");
}

/// A double-quoted scalar, which YAML and JSON read alike.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            letter if letter.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
