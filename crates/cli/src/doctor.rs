//! `vedette doctor`: what is wrong, and how to mend it.

mod fleet;
mod host;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::args::{DoctorArgs, ListFormat};
use crate::client::Coordinator;
use crate::output;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// As it should be.
    Ok,
    /// It works, but not for long or not fully.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What was looked at.
    check: &'static str,
    /// What was found.
    what: String,
    /// What to do about it; empty when nothing is to do.
    mend: String,
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            check,
            what: what.into(),
            mend: String::new(),
        }
    }

    fn warn(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            check,
            what: what.into(),
            mend: mend.into(),
        }
    }

    fn fail(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(check, what, mend)
        }
    }
}

/// Looks at everything it can and prints what it found. The exit code is that of failure when
/// anything does not work.
pub(crate) async fn run(coordinator: &Coordinator, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = fleet::check(coordinator).await;
    for config in &args.config {
        findings.push(host::config(config).await);
    }
    if let Some(dir) = &args.state_dir {
        findings.extend(host::directory("state directory", dir));
    }
    if let Some(dir) = &args.data_dir {
        findings.extend(host::directory("data directory", dir));
    }
    findings.push(host::files());
    findings.push(host::gpus());
    let worst = findings.iter().map(|finding| finding.level).max();
    output::print(&match args.format {
        ListFormat::Table => text(&findings),
        ListFormat::Json => {
            let all: Value = findings.iter().map(finding_json).collect();
            serde_json::to_string_pretty(&all)? + "\n"
        }
    })?;
    Ok(if worst == Some(Level::Fail) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "level": finding.level.as_str(),
        "check": finding.check,
        "what": finding.what,
        "mend": finding.mend,
    })
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for Finding {
        level,
        check,
        what,
        mend,
    } in findings
    {
        text.push_str(&format!("{:<4}  {check:<width$}  {what}\n", level.as_str()));
        if !mend.is_empty() {
            text.push_str(&format!("{:<4}  {:<width$}  → {mend}\n", "", ""));
        }
    }
    let count = |level| {
        findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    text.push_str(&format!(
        "{} ok, {} to look at, {} broken\n",
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Fail)
    ));
    text
}

#[cfg(test)]
mod tests;
