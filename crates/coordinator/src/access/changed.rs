//! What is said when tokens or revocations have changed.

use std::collections::HashSet;

use super::{InForce, Tokens};

/// Most names of one kind that are told.
const NAMES_MAX: usize = 20;

/// What is other than before, by names.
pub(super) fn told(before: &InForce, after: &InForce) -> String {
    let (old, new) = (&before.tokens, &after.tokens);
    let kinds = [
        ("tokens added", lacking(new, old)),
        ("tokens removed", lacking(old, new)),
        ("tokens changed", other(new, old)),
        ("revoked", beyond(&after.revoked, &before.revoked)),
        ("no longer revoked", beyond(&before.revoked, &after.revoked)),
    ];
    let kinds = kinds.into_iter().filter(|(_, names)| !names.is_empty());
    let told: Vec<String> = kinds.map(|(kind, names)| list(kind, names)).collect();
    if told.is_empty() {
        return "the files were written again as they were".to_owned();
    }
    told.join("; ")
}

/// Names of `tokens` of which there is none in `others`.
fn lacking<'a>(tokens: &'a Tokens, others: &Tokens) -> Vec<&'a str> {
    let known = names(others);
    let mut all: Vec<&str> = names(tokens).into_iter().collect();
    all.retain(|name| !known.contains(name));
    all
}

/// Names of `tokens` of which there is another in `others`.
fn other<'a>(tokens: &'a Tokens, others: &Tokens) -> Vec<&'a str> {
    let known = names(others);
    let all = tokens
        .all()
        .filter(|(digest, token)| others.get(digest) != Some(token));
    let all = all.map(|(_, token)| &*token.name);
    all.filter(|name| known.contains(name)).collect()
}

fn names(tokens: &Tokens) -> HashSet<&str> {
    tokens.all().map(|(_, token)| &*token.name).collect()
}

fn beyond<'a>(all: &'a HashSet<String>, others: &'a HashSet<String>) -> Vec<&'a str> {
    all.difference(others).map(String::as_str).collect()
}

fn list(kind: &str, mut names: Vec<&str>) -> String {
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let names = names.join(", ");
    match more {
        0 => format!("{kind}: {names}"),
        more => format!("{kind}: {names} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_force(tokens: &[(&str, &str, u8)], revoked: &[&str]) -> InForce {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let lines = tokens.iter().map(|(name, role, digit)| {
            let digest = format!("{digit:02x}").repeat(32);
            format!("[[token]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\n")
        });
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        InForce {
            tokens: Tokens::read(&path).unwrap(),
            revoked: revoked.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn each_change_is_told_by_its_name() {
        let before = in_force(
            &[
                ("anna", "viewer", 1),
                ("ben", "viewer", 2),
                ("gone", "admin", 3),
                ("same", "viewer", 4),
            ],
            &["node-1", "node-2"],
        );
        let after = in_force(
            &[
                ("anna", "operator", 1),
                ("ben", "viewer", 5),
                ("new", "viewer", 6),
                ("same", "viewer", 4),
            ],
            &["node-2", "node-3"],
        );
        assert_eq!(
            told(&before, &after),
            "tokens added: new; tokens removed: gone; tokens changed: anna, ben; revoked: node-3; \
             no longer revoked: node-1"
        );
        assert_eq!(
            told(&after, &after),
            "the files were written again as they were"
        );
    }

    #[test]
    fn very_many_names_are_counted() {
        let names: Vec<String> = (0..25).map(|number| format!("node-{number:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = told(&in_force(&[], &[]), &in_force(&[], &names));
        assert!(told.starts_with("revoked: node-00, node-01, "), "{told}");
        assert!(told.ends_with("node-19 and 5 more"), "{told}");
    }
}
