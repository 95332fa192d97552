//! What is said of a wrong value or an unknown key, and what is kept secret.

use std::collections::BTreeSet;

use config::{ConfigError, Value, ValueKind};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::layers::DEFAULTS;
use super::{Error, UnknownKey, is_secret};

/// A value in a message is cut at so many characters.
const FOUND_CHARS_MAX: usize = 80;

/// Most letters that a suggested key may differ by.
const SUGGESTION_DISTANCE_MAX: usize = 2;

/// The keys and indices on the way to a value that nothing took.
pub(super) fn segments(path: &serde_ignored::Path<'_>) -> Vec<String> {
    match path {
        serde_ignored::Path::Root => Vec::new(),
        serde_ignored::Path::Seq { parent, index } => {
            let mut keys = segments(parent);
            keys.push(format!("[{index}]"));
            keys
        }
        serde_ignored::Path::Map { parent, key } => {
            let mut keys = segments(parent);
            keys.push(key.clone());
            keys
        }
        // These are in the type and not in the text.
        serde_ignored::Path::Some { parent }
        | serde_ignored::Path::NewtypeStruct { parent }
        | serde_ignored::Path::NewtypeVariant { parent } => segments(parent),
    }
}

/// Keys as one text: `scrape[0].url`.
fn joined(keys: &[String]) -> String {
    let mut text = String::new();
    for key in keys {
        if !text.is_empty() && !key.starts_with('[') {
            text.push('.');
        }
        text.push_str(key);
    }
    text
}

/// The value at a path, or the last one on the way to it.
fn nearest<'a>(root: &'a Value, keys: &[String]) -> &'a Value {
    let mut value = root;
    for key in keys {
        let next = match &value.kind {
            ValueKind::Table(table) => table.get(key),
            ValueKind::Array(values) => key
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<usize>()
                .ok()
                .and_then(|index| values.get(index)),
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => break,
        }
    }
    value
}

fn origin(value: &Value) -> String {
    match value.origin() {
        Some(origin) => origin.to_owned(),
        // A table that several layers filled has no one origin.
        None => "several layers".to_owned(),
    }
}

/// The keys that nothing took, sorted, each with the nearest that exists.
pub(super) fn unknown_keys(
    ignored: Vec<Vec<String>>,
    merged: &Value,
    defaults: &serde_json::Value,
) -> Vec<UnknownKey> {
    let mut known = BTreeSet::new();
    collect_known(defaults, &mut Vec::new(), &mut known);
    let mut unknown: Vec<UnknownKey> = ignored
        .into_iter()
        .map(|keys| {
            let path = joined(&keys);
            UnknownKey {
                suggestion: nearest_key(&path, &known),
                origin: origin_below(nearest(merged, &keys)),
                path,
            }
        })
        // A default that is written and never read is no mistake of the user.
        .filter(|key| key.origin != DEFAULTS)
        .collect();
    unknown.sort_by(|a, b| a.path.cmp(&b.path));
    unknown
}

/// The origin of a value, or of the first value in a table that several layers filled.
fn origin_below(value: &Value) -> String {
    match (&value.kind, value.origin()) {
        (ValueKind::Table(table), None) => table
            .iter()
            .min_by_key(|(key, _)| key.as_str())
            .map_or_else(|| origin(value), |(_, first)| origin_below(first)),
        _ => origin(value),
    }
}

fn collect_known(value: &serde_json::Value, keys: &mut Vec<String>, known: &mut BTreeSet<String>) {
    if let serde_json::Value::Object(table) = value {
        for (key, value) in table {
            keys.push(key.clone());
            known.insert(joined(keys));
            collect_known(value, keys, known);
            keys.pop();
        }
    }
}

fn nearest_key(path: &str, known: &BTreeSet<String>) -> Option<String> {
    known
        .iter()
        .filter(|candidate| candidate.len().abs_diff(path.len()) <= 4 * SUGGESTION_DISTANCE_MAX)
        .map(|candidate| (edit_distance(path, candidate), candidate))
        .filter(|(distance, _)| *distance <= SUGGESTION_DISTANCE_MAX)
        .min()
        .map(|(_, candidate)| candidate.clone())
}

/// Fewest insertions, deletions and replacements of letters between two texts. Source: R. Wagner
/// and M. Fischer, "The string-to-string correction problem", 1974, keeping one row.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// Refuses what the reader of values would bend to fit: 2.7 or `true` for a whole number, 1 for a
/// truth value. The default tells which kind is meant.
pub(super) fn check_kinds(
    default: &serde_json::Value,
    given: &Value,
    keys: &mut Vec<String>,
) -> Result<(), Error> {
    use serde_json::Value as Json;
    if let (Json::Object(defaults), ValueKind::Table(table)) = (default, &given.kind) {
        for (key, default) in defaults {
            if let Some(given) = table.get(key) {
                keys.push(key.clone());
                check_kinds(default, given, keys)?;
                keys.pop();
            }
        }
        return Ok(());
    }
    let is_whole = matches!(
        given.kind,
        ValueKind::I64(_) | ValueKind::U64(_) | ValueKind::I128(_) | ValueKind::U128(_)
    );
    let is_float = matches!(given.kind, ValueKind::Float(_));
    let is_bool = matches!(given.kind, ValueKind::Boolean(_));
    let problem = match default {
        Json::Bool(_) if is_whole || is_float => "expected true or false",
        Json::Number(number) if number.is_f64() && is_bool => "expected a number",
        Json::Number(number) if !number.is_f64() && (is_bool || is_float) => {
            "expected a whole number"
        }
        _ => return Ok(()),
    };
    Err(Error::Value {
        path: joined(keys),
        found: shown(given, hides(given, keys)),
        problem: problem.to_owned(),
        origin: origin(given),
    })
}

/// The error of one value: its path, what it is, what was expected and where it was given.
pub(super) fn value_error<T: DeserializeOwned>(
    error: serde_path_to_error::Error<ConfigError>,
    merged: &Value,
) -> Error {
    let path = error.path().to_string();
    let keys: Vec<String> = error
        .path()
        .iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("[{index}]")),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { variant } => Some(variant.clone()),
            Segment::Unknown => None,
        })
        .collect();
    let value = nearest(merged, &keys);
    let hidden = hides(value, &keys);
    Error::Value {
        path: if keys.is_empty() {
            ".".to_owned()
        } else {
            joined(&keys)
        },
        found: shown(value, hidden),
        problem: choices::<T>(merged, &path)
            .unwrap_or_else(|| problem(&error.into_inner(), hidden)),
        origin: origin_below(value),
    }
}

/// The choices of an enum, when that is what the value at `path` is to be. `config` does not tell
/// them but the reader of JSON does.
fn choices<T: DeserializeOwned>(merged: &Value, path: &str) -> Option<String> {
    let error = serde_path_to_error::deserialize::<_, T>(to_json(merged)).err()?;
    if error.path().to_string() != path {
        return None;
    }
    let message = error.into_inner().to_string();
    if !message.starts_with("unknown variant ") {
        return None;
    }
    let (_, choices) = message.rsplit_once(", expected ")?;
    Some(format!("expected {choices}"))
}

fn to_json(value: &Value) -> serde_json::Value {
    match &value.kind {
        ValueKind::Nil => serde_json::Value::Null,
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::U64(number) => (*number).into(),
        ValueKind::Float(number) => (*number).into(),
        // No layer makes these.
        ValueKind::I128(number) => number.to_string().into(),
        ValueKind::U128(number) => number.to_string().into(),
        ValueKind::String(text) => text.as_str().into(),
        ValueKind::Array(values) => values.iter().map(to_json).collect(),
        ValueKind::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), to_json(value)))
            .collect(),
    }
}

/// What was expected, without what was found, which has been said.
fn problem(error: &ConfigError, hidden: bool) -> String {
    match error {
        ConfigError::At { error, .. } => problem(error, hidden),
        ConfigError::Type { expected, .. } => expectation(expected),
        ConfigError::NotFound(key) => {
            // What comes before is the path of the table, which has been said.
            let key = key.rsplit(['.', ']']).next().unwrap_or(key);
            format!("key `{key}` is missing")
        }
        ConfigError::Message(message) => {
            // serde says what it found first and what it expected last.
            let of_serde = [
                "invalid type: ",
                "invalid value: ",
                "invalid length ",
                "unknown variant ",
            ]
            .iter()
            .any(|start| message.starts_with(start));
            match message.rsplit_once(", expected ") {
                Some((_, expected)) if of_serde => expectation(expected),
                _ if hidden => "it is not what this key takes".to_owned(),
                _ => message.clone(),
            }
        }
        _ if hidden => "it is not what this key takes".to_owned(),
        other => other.to_string(),
    }
}

/// What serde expects, in the words of the file.
fn expectation(expected: &str) -> String {
    match expected {
        "a sequence" => "expected a list".to_owned(),
        "a map" => "expected a table".to_owned(),
        of_type if of_type.starts_with("struct ") => "expected a table".to_owned(),
        other => format!("expected {other}"),
    }
}

/// Whether a value must not be shown: it is a secret, lies in one, or holds one.
fn hides(value: &Value, keys: &[String]) -> bool {
    fn holds_secret(value: &Value) -> bool {
        match &value.kind {
            ValueKind::Table(table) => table
                .iter()
                .any(|(key, value)| is_secret(key) || holds_secret(value)),
            ValueKind::Array(values) => values.iter().any(holds_secret),
            _ => false,
        }
    }
    keys.iter().any(|key| is_secret(key)) || holds_secret(value)
}

fn shown(value: &Value, hidden: bool) -> String {
    match &value.kind {
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Nil => "not set".to_owned(),
        _ if hidden => "a value that is not shown".to_owned(),
        ValueKind::String(text) => {
            let cut: String = text.chars().take(FOUND_CHARS_MAX).collect();
            format!("{cut:?}")
        }
        other => other.to_string(),
    }
}
