//! `vedette explain`: what each setting of monitoring documents does. It asks no coordinator.

mod page;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use spec::{Plan, Text};

use crate::args::{ExplainArgs, ExplainFormat};
use crate::output;

/// Something is wrong with the documents.
const WRONG: u8 = 2;

/// Explains; the code says whether everything is in force.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let mut texts = Vec::new();
    for path in args.files.iter().chain(&args.bindings) {
        match read(path) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(error) => {
                output::note(&format!("error: {error:#}"));
                return Ok(ExitCode::from(WRONG));
            }
        }
    }
    let plan = match load(&texts) {
        Ok(plan) => plan,
        Err(problems) => {
            for problem in &problems {
                output::note(problem);
            }
            output::note(&count(problems.len(), "problem", "problems"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let text = match args.format {
        ExplainFormat::Table => page::page(&plan),
        ExplainFormat::Json => {
            let mut text = serde_json::to_string_pretty(&plan).context("writing the plan")?;
            text.push('\n');
            text
        }
        ExplainFormat::Rules => plan.rule_file(),
    };
    output::print(&text)?;
    let all = plan.not_built().next().is_none();
    Ok(if all {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A file, or what is wrong with it. No more is read than a document may have.
fn read(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut text = String::new();
    file.take(spec::BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("reading {}", path.display()))?;
    Ok(text)
}

/// The plan of the texts, or a line for each thing that is wrong. A query that does not parse is wrong too.
fn load(texts: &[(String, String)]) -> Result<Plan, Vec<String>> {
    let texts: Vec<Text<'_>> = texts
        .iter()
        .map(|(name, body)| Text { name, body })
        .collect();
    let plan = spec::load(&texts)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut wrong = Vec::new();
    for rule in &plan.rules {
        for text in std::iter::once(&rule.expr).chain(&rule.clear_when) {
            if let Err(error) = query::parse(text) {
                wrong.push(format!(
                    "{}: the query of {} is no PromQL: {error}: {text}",
                    rule.path, rule.name
                ));
            }
        }
    }
    if wrong.is_empty() {
        Ok(plan)
    } else {
        Err(wrong)
    }
}

/// A number of things: `1 problem`, `2 problems`.
fn count(number: usize, one: &str, several: &str) -> String {
    let word = if number == 1 { one } else { several };
    format!("{number} {word}")
}

#[cfg(test)]
mod tests;
