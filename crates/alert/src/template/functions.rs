//! The functions of templates: Go's and Prometheus'.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::value::{Sample, Value};
use super::{OUTPUT_BYTES_MAX, Scope};
use super::{compare, humanize, printf, quote};

/// Each with the least and the most of its arguments.
const KNOWN: [(&str, usize, usize); 49] = [
    ("and", 1, ANY),
    ("or", 1, ANY),
    ("not", 1, 1),
    ("eq", 1, ANY),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("len", 1, 1),
    ("index", 1, ANY),
    ("slice", 1, 4),
    ("print", 0, ANY),
    ("println", 0, ANY),
    ("printf", 1, ANY),
    ("html", 0, ANY),
    ("js", 0, ANY),
    ("urlquery", 0, ANY),
    ("call", 1, ANY),
    ("query", 1, 1),
    ("first", 1, 1),
    ("label", 2, 2),
    ("value", 1, 1),
    ("strvalue", 1, 1),
    ("args", 0, ANY),
    ("reReplaceAll", 3, 3),
    ("safeHtml", 1, 1),
    ("match", 2, 2),
    ("title", 1, 1),
    ("toUpper", 1, 1),
    ("toLower", 1, 1),
    ("graphLink", 1, 1),
    ("tableLink", 1, 1),
    ("sortByLabel", 2, 2),
    ("stripPort", 1, 1),
    ("stripDomain", 1, 1),
    ("humanize", 1, 1),
    ("humanize1024", 1, 1),
    ("humanizeDuration", 1, 1),
    ("humanizePercentage", 1, 1),
    ("humanizeTimestamp", 1, 1),
    ("toTime", 1, 1),
    ("toDuration", 1, 1),
    ("now", 0, 0),
    ("pathPrefix", 0, 0),
    ("externalURL", 0, 0),
    ("parseDuration", 1, 1),
    ("urlQueryEscape", 1, 1),
    ("tmpl", 2, 2),
];
const ANY: usize = usize::MAX;

/// Why a call failed.
pub(super) enum Failed {
    /// An argument is of a wrong type: which one, and the type it should have.
    Arg(usize, &'static str),
    /// The function itself says why.
    Called(String),
}

fn called(message: impl Into<String>) -> Failed {
    Failed::Called(message.into())
}

/// Whether there is such a function.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.iter().any(|(known, ..)| *known == name)
}

/// Checks the number of arguments.
pub(super) fn check_count(name: &str, count: usize) -> Result<(), String> {
    let Some((_, least, most)) = KNOWN.iter().find(|(known, ..)| *known == name) else {
        return Err(format!("{name:?} is not a defined function"));
    };
    if count < *least || count > *most {
        let at_least = if *most == ANY { "at least " } else { "" };
        return Err(format!(
            "wrong number of args for {name}: want {at_least}{least} got {count}"
        ));
    }
    Ok(())
}

/// What all arguments print.
fn print(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        // What is too long is refused as a whole by who called.
        if out.len() > OUTPUT_BYTES_MAX {
            break;
        }
        let is_text = |value: &Value| matches!(value, Value::Text(_));
        if index > 0 && !is_text(arg) && !is_text(&args[index - 1]) {
            out.push(' ');
        }
        out.push_str(&arg.shown());
    }
    out
}

fn println(args: &[Value]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        if out.len() > OUTPUT_BYTES_MAX {
            break;
        }
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&arg.shown());
    }
    out + "\n"
}

fn text(args: &[Value], index: usize) -> Result<&str, Failed> {
    match args.get(index) {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(Failed::Arg(index, "string")),
    }
}

fn samples(args: &[Value], index: usize) -> Result<Rc<Vec<Rc<Sample>>>, Failed> {
    match args.get(index) {
        Some(Value::Samples(samples)) => Ok(Rc::clone(samples)),
        _ => Err(Failed::Arg(index, "template.queryResult")),
    }
}

fn sample(args: &[Value], index: usize) -> Result<Rc<Sample>, Failed> {
    match args.get(index) {
        Some(Value::Sample(sample)) => Ok(Rc::clone(sample)),
        _ => Err(Failed::Arg(index, "*template.sample")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "templates show floats")]
fn float(args: &[Value], index: usize) -> Result<f64, Failed> {
    match args.get(index) {
        Some(Value::Float(value)) => Ok(*value),
        Some(Value::Int(value)) => Ok(*value as f64),
        Some(Value::Duration(nanos)) => Ok(*nanos as f64 / 1e9),
        Some(Value::Text(text)) => parse_float(text).ok_or_else(|| {
            called(format!(
                "strconv.ParseFloat: parsing {}: invalid syntax",
                quote::quoted(text)
            ))
        }),
        other => Err(called(format!(
            "can't convert {} to float",
            other.map_or("nil", Value::type_name)
        ))),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let plain = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    let is_word = ["inf", "infinity", "nan"].contains(&plain.as_str());
    let is_decimal = plain.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (is_word || is_decimal).then(|| text.parse().ok()).flatten()
}

/// A float of seconds as milliseconds; none where it is no time.
fn millis(seconds: f64) -> Result<Option<i64>, Failed> {
    if seconds.is_nan() || seconds.is_infinite() {
        return Ok(None);
    }
    let nanos = seconds * 1e9;
    if nanos.abs() > 9_223_372_036_854_775_807.0 {
        let shown = super::float::shortest(seconds);
        return Err(called(format!(
            "{shown} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )));
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
    Ok(Some((nanos as i64).div_euclid(1_000_000)))
}

/// Calls a function whose arguments are counted. `and`, `or` and `tmpl` are not among them: those look at
/// more than values.
pub(super) fn call(name: &str, args: &[Value], scope: &Scope<'_>) -> Result<Value, Failed> {
    let of_text = |function: fn(&str) -> String| Ok(Value::Text(function(text(args, 0)?)));
    let of_float = |function: fn(f64) -> String| Ok(Value::Text(function(float(args, 0)?)));
    match name {
        "not" => Ok(Value::Bool(!args.first().is_some_and(Value::is_true))),
        "eq" => compare::eq(args).map(Value::Bool).map_err(called),
        "ne" => compare::eq(args)
            .map(|equal| Value::Bool(!equal))
            .map_err(called),
        "lt" | "le" | "gt" | "ge" => compare::ordered(name, &args[0], &args[1])
            .map(Value::Bool)
            .map_err(called),
        "len" => length(&args[0]),
        "index" => index(args),
        "slice" => slice(args),
        "print" => Ok(Value::Text(print(args))),
        "println" => Ok(Value::Text(println(args))),
        "printf" => {
            let format = text(args, 0)?;
            Ok(Value::Text(printf::sprintf(format, &args[1..])))
        }
        "html" => Ok(Value::Text(quote::html(&print(args)))),
        "js" => Ok(Value::Text(quote::js(&print(args)))),
        "urlquery" => Ok(Value::Text(quote::url(&print(args)))),
        "title" => of_text(quote::title),
        "toUpper" => of_text(quote::upper),
        "toLower" => of_text(quote::lower),
        "safeHtml" => of_text(str::to_owned),
        "urlQueryEscape" => of_text(quote::url),
        "graphLink" => of_text(|text| format!("/graph?g0.expr={}&g0.tab=0", quote::url(text))),
        "tableLink" => of_text(|text| format!("/graph?g0.expr={}&g0.tab=1", quote::url(text))),
        "stripPort" => of_text(strip_port),
        "stripDomain" => of_text(strip_domain),
        "humanize" => of_float(humanize::decimal),
        "humanize1024" => of_float(humanize::binary),
        "humanizeDuration" => of_float(humanize::duration),
        "humanizePercentage" => of_float(humanize::percentage),
        "humanizeTimestamp" => {
            let seconds = float(args, 0)?;
            Ok(Value::Text(match millis(seconds)? {
                Some(millis) => super::time::shown(millis),
                None => super::float::general(seconds, Some(4)),
            }))
        }
        "toTime" => millis(float(args, 0)?)?
            .map(Value::Time)
            .ok_or_else(|| called("value is NaN or Inf")),
        "toDuration" => millis(float(args, 0)?)?
            .map(|millis| Value::Duration(millis.saturating_mul(1_000_000)))
            .ok_or_else(|| called("value is NaN or Inf")),
        _ => with_scope(name, args, scope),
    }
}

fn with_scope(name: &str, args: &[Value], scope: &Scope<'_>) -> Result<Value, Failed> {
    match name {
        "now" => Ok(Value::Float(scope.at.as_secs_f64())),
        "externalURL" => Ok(Value::Text(scope.external_url.to_owned())),
        "pathPrefix" => Ok(Value::Text(path(scope.external_url).to_owned())),
        "parseDuration" => {
            let text = text(args, 0)?;
            match (text, query::duration_millis(text)) {
                ("0", _) => Ok(Value::Float(0.0)),
                #[expect(clippy::cast_precision_loss, reason = "bounded by 292 years")]
                (_, Some(millis)) => Ok(Value::Float(millis as f64 / 1000.0)),
                ("", None) => Err(called("empty duration string")),
                (_, None) => Err(called(format!(
                    "not a valid duration string: {}",
                    quote::quoted(text)
                ))),
            }
        }
        "query" => {
            let found = (scope.query)(text(args, 0)?).map_err(called)?;
            Ok(Value::Samples(Rc::new(
                found.into_iter().map(Rc::new).collect(),
            )))
        }
        "first" => match samples(args, 0)?.first() {
            Some(sample) => Ok(Value::Sample(Rc::clone(sample))),
            None => Err(called("first() called on vector with no elements")),
        },
        "label" => {
            let (name, sample) = (text(args, 0)?, sample(args, 1)?);
            Ok(Value::Text(
                sample.labels.get(name).cloned().unwrap_or_default(),
            ))
        }
        "value" => Ok(Value::Float(sample(args, 0)?.value)),
        "strvalue" => {
            let sample = sample(args, 0)?;
            Ok(Value::Text(
                sample.labels.get("__value__").cloned().unwrap_or_default(),
            ))
        }
        "sortByLabel" => {
            let name = text(args, 0)?;
            let mut sorted = samples(args, 1)?.as_ref().clone();
            sorted.sort_by(|a, b| a.labels.get(name).cmp(&b.labels.get(name)));
            Ok(Value::Samples(Rc::new(sorted)))
        }
        "args" => {
            let named = args.iter().enumerate();
            let map: BTreeMap<String, Value> = named
                .map(|(index, value)| (format!("arg{index}"), value.clone()))
                .collect();
            Ok(Value::Map(Rc::new(map)))
        }
        "match" => {
            let regex = regex(text(args, 0)?)?;
            Ok(Value::Bool(regex.is_match(text(args, 1)?)))
        }
        "reReplaceAll" => {
            let regex = regex(text(args, 0)?)?;
            let (with, of) = (text(args, 1)?, text(args, 2)?);
            Ok(Value::Text(replaced(&regex, with, of)))
        }
        "call" => Err(called(format!(
            "non-function of type {}",
            args.first().map_or("nil", Value::type_name)
        ))),
        _ => Err(called(format!("{name} is not supported"))),
    }
}

/// Most memory of a compiled expression in a template.
const REGEX_BYTES_MAX: usize = 1 << 20;

fn regex(pattern: &str) -> Result<regex::Regex, Failed> {
    regex::RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| called(format!("error parsing regexp: {error}")))
}

/// A text with all matches replaced; it ends early when it is too long, which who called refuses.
fn replaced(regex: &regex::Regex, with: &str, of: &str) -> String {
    let mut out = String::new();
    let mut end = 0;
    for captures in regex.captures_iter(of) {
        let Some(whole) = captures.get(0) else {
            continue;
        };
        out.push_str(of.get(end..whole.start()).unwrap_or_default());
        captures.expand(with, &mut out);
        end = whole.end();
        if out.len() > OUTPUT_BYTES_MAX {
            break;
        }
    }
    out.push_str(of.get(end..).unwrap_or_default());
    out
}

/// The path of an address: what follows the host.
fn path(url: &str) -> &str {
    let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = behind_scheme.find('/').unwrap_or(behind_scheme.len());
    let path = behind_scheme.get(start..).unwrap_or_default();
    let end = path.find(['?', '#']).unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

fn strip_port(text: &str) -> String {
    quote::host_port(text)
        .map_or(text, |(host, _)| host)
        .to_owned()
}

fn strip_domain(text: &str) -> String {
    let (host, port) = quote::host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let first = host.split('.').next().unwrap_or_default();
    if port.is_empty() {
        first.to_owned()
    } else if first.contains(':') {
        format!("[{first}]:{port}")
    } else {
        format!("{first}:{port}")
    }
}

fn length(value: &Value) -> Result<Value, Failed> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Map(map) => map.len(),
        Value::Samples(samples) => samples.len(),
        other => return Err(called(format!("len of type {}", other.type_name()))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(args: &[Value]) -> Result<Value, Failed> {
    let Some((first, keys)) = args.split_first() else {
        return Err(called("index of untyped nil"));
    };
    let mut value = first.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Labels(labels), Value::Text(name)) => {
                Value::Text(labels.get(name).cloned().unwrap_or_default())
            }
            (Value::Map(map), Value::Text(name)) => map.get(name).cloned().unwrap_or(Value::Nil),
            (Value::Labels(_) | Value::Map(_), key) => {
                let message = format!("value has type {}; should be string", key.type_name());
                return Err(called(message));
            }
            (Value::Samples(samples), Value::Int(place)) => {
                let found = usize::try_from(*place).ok().and_then(|at| samples.get(at));
                match found {
                    Some(sample) => Value::Sample(Rc::clone(sample)),
                    None => {
                        return Err(called(format!(
                            "error calling index: index out of range: {place}"
                        )));
                    }
                }
            }
            (Value::Text(text), Value::Int(place)) => {
                let found = usize::try_from(*place).ok();
                match found.and_then(|at| text.as_bytes().get(at)) {
                    Some(byte) => Value::Int(i64::from(*byte)),
                    None => return Err(called(format!("index out of range: {place}"))),
                }
            }
            (Value::Samples(_) | Value::Text(_), key) => {
                let message = format!("cannot index slice/array with type {}", key.type_name());
                return Err(called(message));
            }
            (other, _) => {
                return Err(called(format!(
                    "can't index item of type {}",
                    other.type_name()
                )));
            }
        };
    }
    Ok(value)
}

fn slice(args: &[Value]) -> Result<Value, Failed> {
    let place = |index: usize, otherwise: usize| match args.get(index) {
        None => Ok(otherwise),
        Some(Value::Int(at)) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= otherwise)
            .ok_or_else(|| called(format!("index out of range: {at}"))),
        Some(other) => Err(called(format!(
            "cannot index slice/array with type {}",
            other.type_name()
        ))),
    };
    match &args[0] {
        Value::Text(text) => {
            let end = place(2, text.len())?;
            let start = if args.len() > 1 { place(1, end)? } else { 0 };
            let cut = text.as_bytes().get(start..end).unwrap_or_default();
            Ok(Value::Text(String::from_utf8_lossy(cut).into_owned()))
        }
        Value::Samples(samples) => {
            let end = place(2, samples.len())?;
            let start = if args.len() > 1 { place(1, end)? } else { 0 };
            let cut = samples.get(start..end).unwrap_or_default();
            Ok(Value::Samples(Rc::new(cut.to_vec())))
        }
        other => Err(called(format!(
            "can't slice item of type {}",
            other.type_name()
        ))),
    }
}
