//! One layer each: defaults, file, environment, flags. Every value knows where it came from.

use std::path::Path;

use config::{ConfigError, Map, Source, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Error;

/// Where a value of the first layer came from.
pub(super) const DEFAULTS: &str = "the defaults";

/// The one key that a layer shows to `config`. It reads top-level keys as paths, so that a file
/// with the key `"list[4000000000]"` would fill memory; below the top level a key is just a key.
const ROOT: &str = "root";

/// What is in the layers that were put together.
pub(super) fn unwrapped(mut merged: Map<String, Value>) -> Value {
    merged
        .remove(ROOT)
        .unwrap_or_else(|| Value::from(Map::<String, Value>::new()))
}

/// Most levels of a dotted path. No configuration has ten; past this it is one unknown key, so
/// that a name full of underscores does not go deep into the stack.
const PATH_LEVELS_MAX: usize = 32;

/// The values of one layer.
#[derive(Clone, Debug)]
pub(super) struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(Map::from_iter([(
            ROOT.to_owned(),
            Value::from(self.0.clone()),
        )]))
    }
}

impl Layer {
    /// From the defaults as JSON, where what is `None` is null and its key thereby known.
    pub(super) fn of_defaults(defaults: &serde_json::Value) -> Self {
        match of_json(defaults).kind {
            ValueKind::Table(table) => Self(table),
            _ => Self(Map::new()),
        }
    }

    /// From a TOML file.
    pub(super) fn of_file(path: &Path, text: &str) -> Result<Self, Error> {
        let lines = Lines::new(text);
        let syntax = |offset: usize, message: &str| {
            let (line, column) = lines.position(offset);
            Error::Syntax {
                path: path.to_owned(),
                line,
                column,
                message: message.to_owned(),
            }
        };
        // The error's own text shows the line, which may hold a secret; its message does not.
        let table = DeTable::parse(text)
            .map_err(|error| syntax(error.span().map_or(0, |span| span.start), error.message()))?;
        let origin = |offset: usize| format!("{}:{}", path.display(), lines.position(offset).0);
        let mut layer = Map::new();
        for (key, value) in table.get_ref() {
            let value =
                of_toml(value, &origin).map_err(|offset| syntax(offset, "number out of range"))?;
            layer.insert(key.get_ref().to_string(), value);
        }
        Ok(Self(layer))
    }

    /// From variables as [`of_prefix`] gives them.
    pub(super) fn of_environment(
        variables: impl Iterator<Item = Variable>,
        defaults: &serde_json::Value,
    ) -> Self {
        let mut layer = Map::new();
        for variable in variables {
            let origin = format!("environment {}", variable.name);
            let value = of_text(&variable.value, &origin, at(defaults, &variable.path));
            insert(&mut layer, &variable.path, value);
        }
        Self(layer)
    }

    /// From dotted paths and texts.
    pub(super) fn of_overrides(
        overrides: Vec<(String, String)>,
        defaults: &serde_json::Value,
    ) -> Self {
        let mut layer = Map::new();
        for (path, text) in overrides {
            let value = of_text(&text, "command line", at(defaults, &path));
            insert(&mut layer, &path, value);
        }
        Self(layer)
    }
}

/// Puts a value at a dotted path. Where one path goes on below another, the shorter one is kept:
/// it is a mistake that then shows as a value of the wrong type.
fn insert(table: &mut Map<String, Value>, path: &str, value: Value) {
    let (key, rest) = match path.split_once('.') {
        Some(parts) if path.split('.').count() <= PATH_LEVELS_MAX => parts,
        _ => {
            table.insert(path.to_owned(), value);
            return;
        }
    };
    let below = table
        .entry(key.to_owned())
        .or_insert_with(|| Value::from(Map::<String, Value>::new()));
    if let ValueKind::Table(below) = &mut below.kind {
        insert(below, rest, value);
    }
}

/// A variable of the environment that sets a key.
pub(super) struct Variable {
    /// Its full name.
    pub(super) name: String,
    /// The dotted path that it sets.
    pub(super) path: String,
    /// Its text.
    pub(super) value: String,
}

/// The variables that have our prefix and are meant for us.
pub(super) fn of_prefix<'a>(
    environment: impl Iterator<Item = (String, String)> + 'a,
    prefix: &'a str,
    reserved: &'a [&'a str],
) -> impl Iterator<Item = Variable> + 'a {
    environment.filter_map(move |(name, value)| {
        let key = name.strip_prefix(prefix)?.strip_prefix('_')?;
        if key.is_empty() || reserved.contains(&name.as_str()) || is_service_link(key, &value) {
            return None;
        }
        let path = key.to_ascii_lowercase().replace("__", ".");
        Some(Variable { name, path, value })
    })
}

/// Whether Kubernetes (or Docker before it) made this variable for a Service whose name begins
/// with our prefix. See "Discovering services" in the Kubernetes manual.
fn is_service_link(key: &str, value: &str) -> bool {
    let is_port_of = |protocol: &str| {
        key.split_once("_PORT_").is_some_and(|(_, rest)| {
            rest.split('_')
                .next()
                .is_some_and(|port| port.parse::<u16>().is_ok())
                && rest.split('_').nth(1) == Some(protocol)
        })
    };
    let is_url = ["tcp://", "udp://", "sctp://"]
        .iter()
        .any(|scheme| value.starts_with(scheme));
    key.ends_with("_SERVICE_HOST")
        || key.ends_with("_SERVICE_PORT")
        || key.contains("_SERVICE_PORT_")
        || (key.ends_with("_PORT") && is_url)
        || ["TCP", "UDP", "SCTP"].into_iter().any(is_port_of)
}

/// The default at a dotted path.
fn at<'a>(defaults: &'a serde_json::Value, path: &str) -> Option<&'a serde_json::Value> {
    path.split('.')
        .try_fold(defaults, |value, key| value.get(key))
}

/// A text from the environment or a flag. It stays a text (numbers and truth values are read from
/// it when they are asked for) unless a list or a table may be meant.
fn of_text(text: &str, origin: &str, default: Option<&serde_json::Value>) -> Value {
    let origin_owned = origin.to_owned();
    let is_list = default.is_some_and(serde_json::Value::is_array);
    let is_scalar = default
        .is_some_and(|default| !default.is_array() && !default.is_object() && !default.is_null());
    if !is_scalar
        && text.trim_start().starts_with(['[', '{'])
        && let Ok(parsed) = DeValue::parse(text.trim())
        && let Ok(value) = of_toml(&parsed, &|_offset| origin.to_owned())
    {
        return value;
    }
    if !is_list {
        return Value::new(Some(&origin_owned), text);
    }
    let parts: Vec<Value> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Value::new(Some(&origin_owned), part))
        .collect();
    Value::new(Some(&origin_owned), ValueKind::Array(parts))
}

fn of_json(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => ValueKind::Nil,
        serde_json::Value::Bool(value) => ValueKind::Boolean(*value),
        serde_json::Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                ValueKind::U64(value)
            } else if let Some(value) = number.as_i64() {
                ValueKind::I64(value)
            } else {
                number.as_f64().map_or(ValueKind::Nil, ValueKind::Float)
            }
        }
        serde_json::Value::String(text) => ValueKind::String(text.clone()),
        serde_json::Value::Array(values) => ValueKind::Array(values.iter().map(of_json).collect()),
        serde_json::Value::Object(table) => ValueKind::Table(
            table
                .iter()
                .map(|(key, value)| (key.clone(), of_json(value)))
                .collect(),
        ),
    };
    Value::new(Some(&DEFAULTS.to_owned()), kind)
}

/// A TOML value with its place; fails with the place of a number that is out of range.
fn of_toml(
    value: &Spanned<DeValue<'_>>,
    origin: &impl Fn(usize) -> String,
) -> Result<Value, usize> {
    let start = value.span().start;
    let kind = match value.get_ref() {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        DeValue::Integer(number) => {
            let wide = i128::from_str_radix(number.as_str(), number.radix())
                .map_err(|_out_of_range| start)?;
            match (i64::try_from(wide), u64::try_from(wide)) {
                (Ok(value), _) => ValueKind::I64(value),
                (Err(_), Ok(value)) => ValueKind::U64(value),
                (Err(_), Err(_)) => return Err(start),
            }
        }
        DeValue::Float(number) => {
            ValueKind::Float(number.as_str().parse().map_err(|_not_a_float| start)?)
        }
        DeValue::Boolean(value) => ValueKind::Boolean(*value),
        DeValue::Datetime(date) => ValueKind::String(date.to_string()),
        DeValue::Array(values) => ValueKind::Array(
            values
                .iter()
                .map(|value| of_toml(value, origin))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(table) => {
            let mut entries = Map::new();
            for (key, value) in table {
                entries.insert(key.get_ref().to_string(), of_toml(value, origin)?);
            }
            ValueKind::Table(entries)
        }
    };
    Ok(Value::new(Some(&origin(start)), kind))
}

/// Where the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(after_breaks).collect();
        Self { text, starts }
    }

    /// Line and character of a byte offset, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|before| self.starts.get(before))
            .copied()
            .unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}
