//! `vedette check rules` and `vedette test rules`: rule files, without a coordinator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alert::rules::{LoadError, RuleFile, check_dependencies};
use alert::testing::{self, Report, TestFile};
use anyhow::Context as _;

use crate::args::{CheckCommand, TestCommand, TestRulesArgs};
use crate::output;

mod glob;

/// Largest file that is read at all; what a file may hold has its own, smaller bound.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Checks files. The code is 1 when one of them is refused.
pub(crate) fn check(command: &CheckCommand) -> anyhow::Result<ExitCode> {
    let CheckCommand::Rules { files } = command;
    let mut parsed = Vec::new();
    let mut failed = false;
    for file in files {
        let name = file.display().to_string();
        output::print(&format!("Checking {name}\n"))?;
        match read(file).map(|text| RuleFile::parse(&name, &text)) {
            Ok(Ok(rules)) => {
                output::print(&checked(&rules))?;
                parsed.push(rules);
            }
            Ok(Err(errors)) => {
                output::print(&format!("  FAILED:\n{}", shown(&errors)))?;
                failed = true;
            }
            Err(error) => {
                output::print(&format!("  FAILED:\n    {error:#}\n"))?;
                failed = true;
            }
        }
    }
    // What is refused is not there to depend on: then only half would be told.
    if !failed && let Err(errors) = check_dependencies(&parsed) {
        output::print(&format!("FAILED:\n{}", shown(&errors)))?;
        failed = true;
    }
    Ok(code(failed))
}

fn checked(rules: &RuleFile) -> String {
    let mut text = format!("  SUCCESS: {} rules found\n", rules.rules());
    for twice in rules.duplicates() {
        text.push_str(&format!(
            "  WARNING: {twice} is there twice; what is recorded twice may differ\n"
        ));
    }
    text
}

fn shown(errors: &[LoadError]) -> String {
    let lines = errors.iter().map(|error| {
        let mut line = format!("    {error}");
        let mut cause = std::error::Error::source(error);
        while let Some(source) = cause {
            line.push_str(&format!(": {source}"));
            cause = source.source();
        }
        line + "\n"
    });
    lines.collect()
}

fn code(failed: bool) -> ExitCode {
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let what = || format!("reading {}", file.display());
    let size = std::fs::metadata(file).with_context(what)?.len();
    anyhow::ensure!(
        size <= FILE_BYTES_MAX,
        "{} has {size} bytes, more than {FILE_BYTES_MAX}",
        file.display()
    );
    std::fs::read_to_string(file).with_context(what)
}

/// Runs the tests of files. The code is 1 when one of them fails.
pub(crate) fn test(command: &TestCommand) -> anyhow::Result<ExitCode> {
    let TestCommand::Rules(args) = command;
    let mut reports = Vec::new();
    let mut failed = false;
    for file in &args.files {
        let name = file.display().to_string();
        output::print(&format!("Unit Testing:  {name}\n"))?;
        let report = one(file, args);
        match &report {
            Ok(report) if report.is_passed() => output::print("  SUCCESS\n\n")?,
            Ok(report) => {
                let text = testing::text(report, args.diff);
                output::print(&format!("  FAILED:\n{text}"))?;
                failed = true;
            }
            Err(text) => {
                output::print(&format!("  FAILED:\n{text}\n"))?;
                failed = true;
            }
        }
        reports.push((name, report));
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, testing::junit(&reports))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(code(failed))
}

/// What the tests of one file gave, or why they could not be run.
fn one(file: &Path, args: &TestRulesArgs) -> Result<Report, String> {
    let failed = |error: anyhow::Error| format!("    {error:#}\n");
    let text = read(file).map_err(failed)?;
    let tests = TestFile::parse(&text).map_err(|error| failed(error.into()))?;
    let folder = file.parent().unwrap_or_else(|| Path::new(""));
    let mut paths: Vec<PathBuf> = Vec::new();
    for pattern in &tests.rule_files {
        let found = glob::paths(folder, pattern).map_err(failed)?;
        if found.is_empty() {
            output::note(&format!("  WARNING: no file match pattern {pattern}"));
        }
        // A file that two patterns find is one file.
        paths.extend(found);
    }
    let mut rules: Vec<(String, String)> = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        if !rules.iter().any(|(known, _)| *known == name) {
            let text = read(&path).map_err(failed)?;
            rules.push((name, text));
        }
    }
    let is_asked = |name: &str| args.run.as_ref().is_none_or(|part| name.contains(part));
    tests
        .run(&rules, &is_asked)
        .map_err(|errors| shown(&errors))
}
