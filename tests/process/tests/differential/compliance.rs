//! The queries by which Prometheus' compliance tests compare servers.

use std::collections::BTreeMap;
use std::path::Path;

/// How many templates the file has.
const TEMPLATES: usize = 118;

/// What each variable of a template stands for, as the compliance tester has it.
const VARIANTS: [(&str, &[&str]); 13] = [
    ("range", &["1s", "15s", "1m", "5m", "15m", "1h"]),
    ("offset", &["1m", "5m", "10m"]),
    (
        "simpleAggrOp",
        &["sum", "avg", "max", "min", "count", "stddev", "stdvar"],
    ),
    (
        "simpleTimeAggrOp",
        &[
            "sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last",
        ],
    ),
    ("topBottomOp", &["topk", "bottomk"]),
    (
        "quantile",
        &[
            "-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5",
        ],
    ),
    ("arithBinOp", &["+", "-", "*", "/", "%", "^"]),
    ("compBinOp", &["==", "!=", "<", ">", "<=", ">="]),
    (
        "binOp",
        &[
            "+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">=",
        ],
    ),
    (
        "simpleMathFunc",
        &[
            "abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round",
        ],
    ),
    ("extrapolatedRateFunc", &["delta", "rate", "increase"]),
    ("clampFunc", &["clamp_min", "clamp_max"]),
    ("instantRateFunc", &["idelta", "irate"]),
];

/// The same for the functions of dates.
const DATES: (&str, &[&str]) = (
    "dateFunc",
    &[
        "day_of_month",
        "day_of_week",
        "days_in_month",
        "hour",
        "minute",
        "month",
        "year",
    ],
);

/// All queries of the file, each template with all that its variables stand for.
///
/// # Panics
/// When the file is not as it was.
pub(crate) fn queries(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let variants: BTreeMap<&str, &[&str]> = VARIANTS.into_iter().chain([DATES]).collect();
    let templates = text.lines().filter_map(template);
    let templates: Vec<String> = templates.collect();
    assert_eq!(templates.len(), TEMPLATES, "{}", path.display());
    templates
        .into_iter()
        .flat_map(|template| expand(template, &variants))
        .collect()
}

/// The template in a line of the file: `query:` and a scalar of YAML, in quotes or without.
fn template(line: &str) -> Option<String> {
    let line = line.trim_start();
    let (_, text) = line
        .strip_prefix("- ")
        .unwrap_or(line)
        .split_once("query: ")?;
    if line.starts_with('#') {
        return None;
    }
    let quoted = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    Some(
        quoted('\'')
            .or_else(|| quoted('"'))
            .unwrap_or(text)
            .to_owned(),
    )
}

/// Puts all that it stands for in the place of the first variable, and so on.
fn expand(template: String, variants: &BTreeMap<&str, &[&str]>) -> Vec<String> {
    let Some((before, rest)) = template.split_once("{{.") else {
        return vec![template];
    };
    let (name, after) = rest.split_once("}}").unwrap();
    let values = variants.get(name).unwrap_or_else(|| panic!("no {name}"));
    let variable = format!("{{{{.{name}}}}}");
    let texts = values.iter().map(|value| {
        let after = after.replace(&variable, value);
        format!("{before}{value}{after}")
    });
    texts.flat_map(|text| expand(text, variants)).collect()
}
