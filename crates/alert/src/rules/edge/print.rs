//! Rules as text for agents: JSON, which rule files may be as well, so that nothing has to be quoted by
//! hand.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::path;
use crate::rules::file::RuleFile;
use crate::rules::group::Settings;
use crate::rules::rule::{Alerting, Kind, Missing, Rule};
use crate::template::Template;

/// The rules of a file that `goes` lets through, while there is room in `left`, rules and bytes; none
/// where there are none. Notes which there are.
pub(super) fn file(
    file: &RuleFile,
    settings: &Settings,
    left: &mut (usize, usize),
    paths: &mut BTreeSet<String>,
    goes: &dyn Fn(&str, &Rule) -> bool,
) -> Option<String> {
    let mut groups = Vec::new();
    for group in &file.groups {
        let mut rules = Vec::new();
        let mut bytes = 0;
        for rule in &group.rules {
            let Kind::Alerting(alerting) = &rule.kind else {
                continue;
            };
            if goes(&group.name, rule) {
                let printed = of(rule, alerting, settings);
                bytes += printed.to_string().len();
                rules.push((path(&group.name, rule), printed));
            }
        }
        bytes += file.name.len() + group.name.len() + 100;
        if rules.is_empty() || rules.len() > left.0 || bytes > left.1 {
            continue;
        }
        *left = (left.0 - rules.len(), left.1 - bytes);
        let (names, rules): (Vec<String>, Vec<Value>) = rules.into_iter().unzip();
        paths.extend(names);
        let mut printed = json!({"name": group.name, "rules": rules});
        if group.limit > 0 {
            printed["limit"] = group.limit.into();
        }
        groups.push(printed);
    }
    (!groups.is_empty()).then(|| json!({ "groups": groups }).to_string())
}

fn of(rule: &Rule, alerting: &Alerting, settings: &Settings) -> Value {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    set("alert", rule.name.clone().into());
    set("expr", rule.text.clone().into());
    for (name, millis) in [
        ("for", alerting.timing.hold_millis),
        ("clear_for", alerting.timing.clear_millis),
    ] {
        if millis > 0 {
            set(name, format!("{millis}ms").into());
        }
    }
    for (name, pairs) in [
        ("labels", &rule.labels),
        ("annotations", &alerting.annotations),
    ] {
        if !pairs.is_empty() {
            set(name, texts(pairs));
        }
    }
    let by_condition = || settings.conditions.get(alerting.condition.as_ref()?);
    if let Some(level) = alerting.level.as_ref().or_else(by_condition) {
        set("level", level.as_str().into());
    }
    if let Some(clear) = &alerting.clear_when {
        set("clear_when", clear.clone().into());
    }
    if let Some(missing) = alerting.missing {
        let word = match missing {
            Missing::Hold => "hold",
            Missing::Fire => "fire",
            Missing::Clear => "clear",
        };
        set("missing", word.into());
    }
    Value::Object(out)
}

fn texts(pairs: &[(String, Template)]) -> Value {
    let pairs = pairs.iter();
    pairs
        .map(|(name, template)| (name.clone(), Value::from(template.text())))
        .collect::<Map<_, _>>()
        .into()
}
