//! Shows what tests gave.

use std::fmt::Write as _;

use super::compare::{Alert, difference};
use super::run::{Failed, FailedTest, Mismatch, Report};

/// An alert on one line.
pub(super) fn alert((labels, annotations): &Alert) -> String {
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<String> = map
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        pairs.join(", ")
    };
    format!("{{{}}} {{{}}}", pairs(labels), pairs(annotations))
}

/// A time from the start of a test: `1h30m`.
fn time(millis: i64) -> String {
    let mut text = String::new();
    let mut left = millis;
    for (unit, of) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        let count = left / of;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            left %= of;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// What failed, for people; with `diff` as one list in which `-` is missing and `+` is too much.
#[must_use]
pub fn text(report: &Report, diff: bool) -> String {
    let mut out = String::new();
    for test in &report.tests {
        for failed in &test.failed {
            out.push_str(&one(&test.name, failed, diff));
        }
    }
    out
}

fn one(name: &str, failed: &FailedTest, diff: bool) -> String {
    let mut out = format!("    name: {name}");
    if let Some(at) = failed.at_millis {
        // Writing to a string does not fail.
        write!(out, ", time: {}", time(at)).ok();
    }
    match &failed.failed {
        Failed::Error { what, why } => out + &format!("\n    {what}: {why}\n\n"),
        Failed::Alerts {
            alertname,
            mismatch,
        } => out + &format!(", alertname: {alertname}\n{}\n", lines(mismatch, diff)),
        Failed::Expression { expr, mismatch } => {
            out + &format!("\n    expr: {expr:?}\n{}\n", lines(mismatch, diff))
        }
    }
}

fn lines(mismatch: &Mismatch, diff: bool) -> String {
    let Mismatch { expected, got } = mismatch;
    if diff {
        let lines = difference(expected, got);
        let lines = lines.iter();
        return lines
            .map(|(sign, line)| format!("        {sign} {line}\n"))
            .collect();
    }
    let mut out = String::new();
    for (head, lines) in [("exp:", expected), ("got:", got)] {
        if lines.is_empty() {
            out.push_str(&format!("        {head} nothing\n"));
        }
        for (index, line) in lines.iter().enumerate() {
            let head = if index == 0 { head } else { "    " };
            out.push_str(&format!("        {head} {line}\n"));
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The reports of some files in JUnit's XML; a file that could not be read is one failed test.
#[must_use]
pub fn junit(files: &[(String, Result<Report, String>)]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, report) in files {
        let cases: Vec<(&str, Vec<String>)> = match report {
            Ok(report) => report
                .tests
                .iter()
                .map(|test| {
                    let failed = test.failed.iter();
                    let texts = failed.map(|failed| one(&test.name, failed, false));
                    (test.name.as_str(), texts.collect())
                })
                .collect(),
            Err(why) => vec![("file", vec![why.clone()])],
        };
        let failures = cases
            .iter()
            .filter(|(_, failed)| !failed.is_empty())
            .count();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\">\n",
            escaped(file),
            cases.len()
        ));
        for (name, failed) in cases {
            let name = escaped(name);
            out.push_str(&format!("    <testcase name=\"{name}\">\n"));
            for text in failed {
                let text = escaped(text.trim());
                out.push_str(&format!("      <failure message=\"{text}\"/>\n"));
            }
            out.push_str("    </testcase>\n");
        }
        out.push_str("  </testsuite>\n");
    }
    out + "</testsuites>\n"
}
