//! Each setting of alerting has an effect, and a test that is named after it.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper fails its test by panicking"
)]

mod health;
mod levels;
mod model;
mod practices;
mod wrong;

use spec::{Account, Effect, Plan, PlannedRule, Text};

/// The plan of some documents, which have to be right.
fn plan(texts: &[&str]) -> Plan {
    load(texts).unwrap_or_else(|problems| panic!("{}", problems.join("\n")))
}

/// The plan of some documents, or what is wrong with them, a line each.
fn load(texts: &[&str]) -> Result<Plan, Vec<String>> {
    let names: Vec<String> = (1..=texts.len()).map(|at| format!("{at}.yaml")).collect();
    let texts: Vec<Text<'_>> = names
        .iter()
        .zip(texts)
        .map(|(name, body)| Text { name, body })
        .collect();
    spec::load(&texts).map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// The one problem that a document has.
fn wrong(texts: &[&str]) -> String {
    match load(texts) {
        Ok(_) => panic!("nothing is wrong with it"),
        Err(problems) => {
            assert_eq!(problems.len(), 1, "{}", problems.join("\n"));
            problems.concat()
        }
    }
}

/// The rule of a name.
fn rule<'a>(plan: &'a Plan, name: &str) -> &'a PlannedRule {
    let mut rules = plan.rules.iter().filter(|rule| rule.name == name);
    let rule = rules.next().unwrap_or_else(|| panic!("no rule {name}"));
    assert!(rules.next().is_none(), "{name} is there twice");
    rule
}

fn has(plan: &Plan, name: &str) -> bool {
    plan.rules.iter().any(|rule| rule.name == name)
}

fn account<'a>(plan: &'a Plan, path: &str) -> &'a Account {
    let mut accounts = plan.accounts.iter().filter(|it| it.path == path);
    accounts
        .next()
        .unwrap_or_else(|| panic!("no setting {path}"))
}

/// What a setting does.
fn effect<'a>(plan: &'a Plan, path: &str) -> &'a str {
    match &account(plan, path).effect {
        Effect::InForce(what) => what,
        Effect::NotBuilt(missing) => panic!("{path} is not built: {missing}"),
    }
}

fn refused<'a>(plan: &'a Plan, path: &str) -> &'a str {
    match &account(plan, path).effect {
        Effect::InForce(what) => panic!("{path} is in force: {what}"),
        Effect::NotBuilt(missing) => missing,
    }
}
