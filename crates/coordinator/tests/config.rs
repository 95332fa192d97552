//! `deploy/config/coordinator.toml` is the documentation of the configuration: it says everything, and
//! nothing else.

#![expect(clippy::unwrap_used, reason = "a helper fails its test by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coordinator::Config;
use daemon::config::{Loaded, PREFIX, Sources, load};
use serde_json::Value;

fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/coordinator.toml")
}

fn loaded(file: &Path) -> Loaded<Config> {
    load(Sources {
        file: Some(file),
        environment: std::iter::empty(),
        prefix: PREFIX,
        reserved: &[],
        overrides: Vec::new(),
    })
    .unwrap()
}

/// The dotted paths of all values that are set or, if `unset`, also of those that are not; of a
/// table without any, its own.
fn keys(value: &Value, path: &str, unset: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(table) if path.is_empty() || !table.is_empty() => {
            for (key, value) in table {
                let dot = if path.is_empty() { "" } else { "." };
                keys(value, &format!("{path}{dot}{key}"), unset, found);
            }
        }
        Value::Null if !unset => {}
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn keys_of(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(&toml::from_str(text).unwrap(), "", true, &mut found);
    found
}

fn keys_of_default(unset: bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let default = serde_json::to_value(Config::default()).unwrap();
    keys(&default, "", unset, &mut found);
    found
}

/// The text with the assignments that stand behind a `#` made real.
fn uncommented(text: &str) -> String {
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if rest.split_once(" = \"").is_some_and(|(key, _)| is_key(key)) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The part before `[notify]`. What follows is the crate `notify`'s, whose own test holds it to the program.
fn without_notify(text: &str) -> &str {
    text.split_once("\n# How words leave the house")
        .map_or(text, |(before, _)| before)
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn the_reference_is_the_default() {
    let config = loaded(&reference()).strict().unwrap();
    assert_eq!(config, Config::default());
    config.validate().unwrap();
}

#[test]
fn the_reference_names_every_key() {
    let text = std::fs::read_to_string(reference()).unwrap();
    // A table of which nothing is set by default is there without keys.
    let all = keys_of_default(true);
    let is_table = |path: &str| all.iter().any(|key| key.starts_with(&format!("{path}.")));
    let named: BTreeSet<String> = keys_of(&text)
        .into_iter()
        .filter(|path| !is_table(path))
        .collect();
    let ours = |mut keys: BTreeSet<String>| {
        keys.retain(|key| !key.starts_with("notify.") && key != "receivers");
        keys
    };
    assert_eq!(ours(named), ours(keys_of_default(false)));
    let uncommented = uncommented(without_notify(&text));
    let addresses = |mut keys: BTreeSet<String>| {
        // Names of channels, not settings of their own.
        keys.retain(|key| !key.starts_with("alerting.addresses"));
        keys
    };
    assert_eq!(
        addresses(keys_of(&uncommented)),
        addresses(ours(keys_of_default(true)))
    );
}

#[test]
fn what_stands_behind_a_hash_is_a_setting_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coordinator.toml");
    let text = std::fs::read_to_string(reference()).unwrap();
    std::fs::write(&file, uncommented(without_notify(&text))).unwrap();
    let config = loaded(&file).strict().unwrap();
    assert!(config.ingest.sync_interval.is_some());
    config.validate().unwrap();
}

#[test]
fn every_key_has_its_comment() {
    let text = std::fs::read_to_string(reference()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (before, line) in lines.iter().zip(&lines[1..]) {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(before.starts_with("# "), "{line} has no comment above it");
        }
    }
}

#[test]
fn a_misspelt_key_is_refused_with_its_path_and_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("coordinator.toml");
    let text = std::fs::read_to_string(reference()).unwrap();
    for (right, wrong, path, suggestion) in [
        (
            "retention =",
            "retentoin =",
            "store.retentoin",
            "store.retention",
        ),
        (
            "lookback =",
            "look_back =",
            "query.look_back",
            "query.lookback",
        ),
        ("[ingest]", "[ingst]", "ingst", "ingest"),
    ] {
        std::fs::write(&file, text.replacen(right, wrong, 1)).unwrap();
        let error = loaded(&file).strict().unwrap_err().to_string();
        assert!(error.contains(&format!("unknown key `{path}`")), "{error}");
        let hint = format!("did you mean `{suggestion}`?");
        assert!(error.contains(&hint), "{error}");
        assert!(error.contains("coordinator.toml:"), "{error}");
    }
}
