//! Scripts into commands.

use series::Labels;

use super::series::{Point, line};
use crate::parse::literal;

/// A script that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// Where, counting from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// One command of a script.
#[derive(Debug)]
pub(super) enum Command {
    Clear,
    Load {
        step: i64,
        series: Vec<(Labels, Vec<Point>)>,
        /// Whether classic histograms are converted to native ones too.
        with_native: bool,
    },
    Eval(Eval),
}

/// One evaluation and what is expected of it.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) expr: String,
    pub(super) times: Times,
    pub(super) expect: Vec<Expect>,
    pub(super) series: Vec<(Labels, Vec<Point>)>,
    pub(super) scalar: Option<f64>,
}

/// When it is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Times {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expect {
    Fail(Text),
    Warn(Text),
    Info(Text),
    NoWarn,
    NoInfo,
    Ordered,
    String(String),
    RangeVector { start: i64, step: i64 },
}

/// How a message is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Any,
    Exact(String),
    Regex(String),
}

/// All commands of a script, with the line each begins on.
pub(super) fn commands(text: &str) -> Vec<Result<Command, ScriptError>> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].is_empty() {
            at += 1;
            continue;
        }
        let body_end = (at + 1..lines.len())
            .find(|next| lines[*next].is_empty())
            .unwrap_or(lines.len());
        let head = lines[at];
        let end = if head == "clear" { at + 1 } else { body_end };
        let body = &lines[at + 1..end];
        commands.push(command(head, body, at + 1).map_err(|message| ScriptError {
            line: at + 1,
            message,
        }));
        at = end;
    }
    commands
}

fn command(head: &str, body: &[&str], line: usize) -> Result<Command, String> {
    let (word, rest) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
    match word {
        "clear" => Ok(Command::Clear),
        "load" | "load_with_nhcb" => Ok(Command::Load {
            step: duration(rest.trim())?,
            series: body
                .iter()
                .map(|text| self::line(text))
                .collect::<Result<_, _>>()?,
            with_native: word == "load_with_nhcb",
        }),
        "eval" | "eval_fail" | "eval_warn" | "eval_info" | "eval_ordered" => {
            let mut eval = eval(rest.trim(), body, line)?;
            eval.expect.extend(match word {
                "eval_fail" => Some(Expect::Fail(Text::Any)),
                "eval_warn" => Some(Expect::Warn(Text::Any)),
                "eval_info" => Some(Expect::Info(Text::Any)),
                "eval_ordered" => Some(Expect::Ordered),
                _ => None,
            });
            Ok(Command::Eval(eval))
        }
        _ => Err(format!("unknown command {word:?}")),
    }
}

/// Splits off the next word.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// Splits off a keyword and the word after it.
fn keyword<'t>(text: &'t str, keyword: &str) -> Result<(&'t str, &'t str), String> {
    match word(text) {
        (found, rest) if found == keyword => Ok(word(rest)),
        _ => Err(format!("expected {keyword:?} at {text:?}")),
    }
}

fn eval(text: &str, body: &[&str], line: usize) -> Result<Eval, String> {
    let (kind, rest) = word(text);
    let (times, expr) = match kind {
        "instant" => {
            let (at, expr) = keyword(rest, "at")?;
            (Times::Instant(duration(at)?), expr)
        }
        "range" => {
            let (start, rest) = keyword(rest, "from")?;
            let (end, rest) = keyword(rest, "to")?;
            let (step, expr) = keyword(rest, "step")?;
            let (start, end, step) = (duration(start)?, duration(end)?, duration(step)?);
            (Times::Range { start, end, step }, expr)
        }
        _ => return Err(format!("unknown kind of evaluation {kind:?}")),
    };
    let mut eval = Eval {
        line,
        expr: expr.to_owned(),
        times,
        expect: Vec::new(),
        series: Vec::new(),
        scalar: None,
    };
    for text in body {
        if let Some(message) = text.strip_prefix("expected_fail_message") {
            eval.expect
                .push(Expect::Fail(Text::Exact(message.trim().to_owned())));
        } else if let Some(pattern) = text.strip_prefix("expected_fail_regexp") {
            eval.expect
                .push(Expect::Fail(Text::Regex(pattern.trim().to_owned())));
        } else if let Some(expected) = text.strip_prefix("expect ") {
            eval.expect.push(expect(expected.trim())?);
        } else if let Ok(number) = text.parse::<f64>() {
            eval.scalar = Some(number);
        } else {
            eval.series.push(self::line(text)?);
        }
    }
    Ok(eval)
}

fn expect(text: &str) -> Result<Expect, String> {
    let (kind, rest) = word(text);
    let message = || -> Result<Text, String> {
        if rest.is_empty() {
            return Ok(Text::Any);
        }
        match rest.split_once(':') {
            Some(("msg", message)) => Ok(Text::Exact(message.trim().to_owned())),
            Some(("regex", pattern)) => Ok(Text::Regex(pattern.trim().to_owned())),
            _ => Err(format!("bad expectation {text:?}")),
        }
    };
    Ok(match kind {
        "fail" => Expect::Fail(message()?),
        "warn" => Expect::Warn(message()?),
        "info" => Expect::Info(message()?),
        "no_warn" => Expect::NoWarn,
        "no_info" => Expect::NoInfo,
        "ordered" => Expect::Ordered,
        "string" => Expect::String(literal::text(rest)?.0.value),
        "range" => {
            let (start, rest) =
                keyword(rest.strip_prefix("vector").unwrap_or(rest).trim(), "from")?;
            let (_end, rest) = keyword(rest, "to")?;
            let (step, _) = keyword(rest, "step")?;
            Expect::RangeVector {
                start: duration(start)?,
                step: duration(step)?,
            }
        }
        _ => return Err(format!("unknown expectation {text:?}")),
    })
}

/// A duration literal or a number of seconds, in milliseconds.
fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("bad duration {text:?}");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    if let Some(Some(millis)) = literal::duration(digits) {
        return Ok(sign * millis);
    }
    let seconds: f64 = digits.parse().map_err(|_not_a_number| bad())?;
    let millis = series::Timestamp::from_secs_f64(seconds).as_millis();
    millis.checked_mul(sign).ok_or_else(bad)
}
