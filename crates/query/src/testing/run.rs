//! Runs commands and compares.

use std::collections::BTreeMap;

use regex::Regex;
use series::{Labels, LabelsBuilder, Timestamp, is_stale};

use super::MemorySource;
use super::script::{Command, Eval, Expect, Text, Times, commands};
use super::series::Point;
use crate::answer::{Answer, Value};
use crate::error::Error;
use crate::{Engine, ast, parse};

/// What running a script found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Evaluations that did as expected.
    pub passed: usize,
    /// Evaluations that did not, but meet native histograms.
    pub needs_histograms: Vec<Miss>,
    /// All other evaluations that did not.
    pub misses: Vec<Miss>,
}

impl Report {
    /// All evaluations of the script.
    #[must_use]
    pub fn total(&self) -> usize {
        self.passed + self.needs_histograms.len() + self.misses.len()
    }
}

/// One evaluation that did not do as expected.
#[derive(Clone, Debug)]
pub struct Miss {
    /// The line it begins on, counting from 1.
    pub line: usize,
    /// The expression, or what could not be read.
    pub what: String,
    /// What was expected and what came.
    pub reason: String,
}

/// Runs a script from the top.
#[must_use]
pub fn run(engine: &Engine, text: &str) -> Report {
    run_on(engine, MemorySource::default(), text)
}

/// Runs a script on a source.
#[must_use]
pub fn run_on(engine: &Engine, mut source: MemorySource, text: &str) -> Report {
    let mut report = Report::default();
    for command in commands(text) {
        match command {
            Ok(Command::Clear) => source.clear(),
            Ok(Command::Load {
                step,
                series,
                with_native,
            }) => load(&mut source, step, &series, with_native),
            Ok(Command::Eval(eval)) => {
                source.take_met_histogram();
                let mut outcome = check(engine, &source, &eval);
                let met = source.take_met_histogram() || expects_histogram(&eval);
                if outcome.is_ok() && !met {
                    outcome = check_as_range(engine, &source, &eval);
                }
                let misses = if met {
                    &mut report.needs_histograms
                } else {
                    &mut report.misses
                };
                match outcome {
                    Ok(()) => report.passed += 1,
                    Err(reason) => misses.push(Miss {
                        line: eval.line,
                        what: eval.expr,
                        reason,
                    }),
                }
            }
            Err(error) => report.misses.push(Miss {
                line: error.line,
                what: "the script".to_owned(),
                reason: error.message,
            }),
        }
    }
    report
}

fn expects_histogram(eval: &Eval) -> bool {
    eval.series
        .iter()
        .any(|(_, points)| points.contains(&Point::Histogram))
}

fn load(source: &mut MemorySource, step: i64, series: &[(Labels, Vec<Point>)], with_native: bool) {
    for (labels, points) in series {
        for (at, point) in (0_i64..).map(|index| index * step).zip(points) {
            match point {
                Point::Nothing => {}
                Point::Float(value) => source.push(labels, Timestamp::from_millis(at), *value),
                Point::Histogram => source.push_histogram(labels, at),
            }
        }
    }
    if with_native {
        let classic: Vec<(Labels, Vec<i64>)> = source
            .series()
            .filter_map(|(labels, samples)| {
                let name = labels.metric_name().strip_suffix("_bucket")?;
                let mut builder = LabelsBuilder::from_labels(labels);
                builder.remove("le");
                builder.set("__name__", name);
                Some((builder.build().ok()?, samples.keys().copied().collect()))
            })
            .collect();
        for (labels, times) in classic {
            times
                .iter()
                .for_each(|at| source.push_histogram(&labels, *at));
        }
    }
}

fn check(engine: &Engine, source: &MemorySource, eval: &Eval) -> Result<(), String> {
    let budget = engine.budget();
    let millis = Timestamp::from_millis;
    let result = match eval.times {
        Times::Instant(at) => engine.instant(source, &eval.expr, millis(at), &budget),
        Times::Range { start, end, step } => engine.range(
            source,
            &eval.expr,
            millis(start),
            millis(end),
            step,
            &budget,
        ),
    };
    let fails = eval.expect.iter().any(|e| matches!(e, Expect::Fail(_)));
    let answer = match result {
        Err(error) if fails => return check_error(&error, eval),
        Err(error) => return Err(format!("failed: {error}")),
        Ok(_) if fails => return Err("expected to fail, but it did not".to_owned()),
        Ok(answer) => answer,
    };
    check_notes("warning", &answer.warnings, eval, |expect| match expect {
        Expect::Warn(text) => Some(Some(text)),
        Expect::NoWarn => Some(None),
        _ => None,
    })?;
    check_notes("info", &answer.infos, eval, |expect| match expect {
        Expect::Info(text) => Some(Some(text)),
        Expect::NoInfo => Some(None),
        _ => None,
    })?;
    check_value(&answer, eval)
}

fn check_error(error: &Error, eval: &Eval) -> Result<(), String> {
    let message = error.to_string();
    for expect in &eval.expect {
        if let Expect::Fail(text) = expect
            && !says(text, &message)
        {
            return Err(format!("failed with {message:?}, expected {text:?}"));
        }
    }
    Ok(())
}

fn says(text: &Text, message: &str) -> bool {
    match text {
        Text::Any => true,
        Text::Exact(exact) => exact.trim_matches('"') == message || exact == message,
        Text::Regex(pattern) => Regex::new(pattern).is_ok_and(|regex| regex.is_match(message)),
    }
}

/// Checks warnings or infos. `of` gives the text of an expectation of this kind, or that there
/// must be none.
fn check_notes(
    kind: &str,
    notes: &[String],
    eval: &Eval,
    of: impl Fn(&Expect) -> Option<Option<&Text>>,
) -> Result<(), String> {
    let wanted: Vec<Option<&Text>> = eval.expect.iter().filter_map(of).collect();
    for text in wanted.iter().copied() {
        let met = match text {
            Some(text) => notes.iter().any(|note| says(text, note)),
            None => notes.is_empty(),
        };
        if !met {
            return Err(format!("expected {kind} {text:?}, got {notes:?}"));
        }
    }
    let texts: Vec<&Text> = wanted.into_iter().flatten().collect();
    match notes
        .iter()
        .find(|note| !texts.iter().any(|text| says(text, note)))
    {
        Some(note) if !texts.is_empty() => Err(format!("unexpected {kind} {note:?}")),
        _ => Ok(()),
    }
}

fn check_value(answer: &Answer, eval: &Eval) -> Result<(), String> {
    match (&answer.value, eval.times) {
        (Value::Scalar { value, .. }, _) => match eval.scalar {
            Some(wanted) if nearly(wanted, *value) => Ok(()),
            wanted => Err(format!("expected {wanted:?}, got scalar {value}")),
        },
        (Value::String { value, .. }, _) => {
            if eval.expect.contains(&Expect::String(value.clone())) {
                Ok(())
            } else {
                Err(format!("got string {value:?}"))
            }
        }
        (Value::Vector(_), _) => check_vector(answer, eval),
        (Value::Matrix(_), Times::Range { start, step, .. }) => {
            check_matrix(answer, eval, start, step)
        }
        (Value::Matrix(_), Times::Instant(at)) => {
            let grid = eval.expect.iter().find_map(|expect| match expect {
                Expect::RangeVector { start, step } => Some((*start, *step)),
                _ => None,
            });
            let (start, step) = grid.unwrap_or((at, 1));
            check_matrix(answer, eval, start, step)
        }
    }
}

fn check_vector(answer: &Answer, eval: &Eval) -> Result<(), String> {
    let Value::Vector(samples) = &answer.value else {
        return Err("not a vector".to_owned());
    };
    let shown = || {
        let all: Vec<String> = samples
            .iter()
            .map(|sample| format!("{:?} {}", sample.labels, sample.value))
            .collect();
        all.join("; ")
    };
    if eval.scalar.is_some() {
        return Err(format!("expected a scalar, got {}", shown()));
    }
    if samples.len() != eval.series.len() {
        return Err(format!(
            "expected {} series, got {}",
            eval.series.len(),
            shown()
        ));
    }
    let ordered = eval.expect.contains(&Expect::Ordered);
    for (index, (labels, points)) in eval.series.iter().enumerate() {
        let found = if ordered {
            samples.get(index).filter(|sample| sample.labels == *labels)
        } else {
            samples.iter().find(|sample| sample.labels == *labels)
        };
        let met = match (found, points.first()) {
            (Some(sample), Some(Point::Float(wanted))) => nearly(*wanted, sample.value),
            _ => false,
        };
        if !met {
            return Err(format!("expected {labels:?} {points:?}, got {}", shown()));
        }
    }
    Ok(())
}

fn check_matrix(answer: &Answer, eval: &Eval, start: i64, step: i64) -> Result<(), String> {
    let Value::Matrix(matrix) = &answer.value else {
        return Err("not a matrix".to_owned());
    };
    let mut got: BTreeMap<&Labels, Vec<(i64, f64)>> = BTreeMap::new();
    for series in matrix {
        let values = Value::floats(&series.values).iter().copied();
        got.insert(
            &series.labels,
            series.times.iter().copied().zip(values).collect(),
        );
    }
    for (labels, points) in &eval.series {
        let wanted: Vec<(i64, f64)> = (0_i64..)
            .map(|index| start + index * step)
            .zip(points)
            .filter_map(|(at, point)| match point {
                Point::Float(value) if !is_stale(*value) => Some((at, *value)),
                Point::Histogram => Some((at, f64::INFINITY)),
                Point::Float(_) | Point::Nothing => None,
            })
            .collect();
        let found = got.remove(labels).unwrap_or_default();
        let met = wanted.len() == found.len()
            && wanted
                .iter()
                .zip(&found)
                .all(|(wanted, found)| wanted.0 == found.0 && nearly(wanted.1, found.1));
        if !met {
            return Err(format!("expected {labels:?} {wanted:?}, got {found:?}"));
        }
    }
    match got.into_iter().next() {
        Some((labels, points)) => Err(format!("unexpected {labels:?} {points:?}")),
        None => Ok(()),
    }
}

/// Evaluates an instant query once more as the middle step of a range query, which must agree.
fn check_as_range(engine: &Engine, source: &MemorySource, eval: &Eval) -> Result<(), String> {
    const STEP: i64 = 60_000;
    let Times::Instant(at) = eval.times else {
        return Ok(());
    };
    let depends_on_times = ["step()", "range()", "start()", "end()"]
        .iter()
        .any(|call| eval.expr.contains(call));
    let fails = eval.expect.iter().any(|e| matches!(e, Expect::Fail(_)));
    let is_value = parse(&eval.expr)
        .is_ok_and(|expr| matches!(expr.value_type(), ast::Type::Scalar | ast::Type::Vector));
    if depends_on_times || fails || !is_value {
        return Ok(());
    }
    let millis = Timestamp::from_millis;
    let budget = engine.budget();
    let result = engine.range(
        source,
        &eval.expr,
        millis(at - STEP),
        millis(at + STEP),
        STEP,
        &budget,
    );
    // Another step may meet an error of its own.
    let Ok(mut answer) = result else {
        return Ok(());
    };
    if let Value::Matrix(matrix) = &mut answer.value {
        matrix.retain_mut(|series| {
            let Some(index) = series.times.iter().position(|time| *time == at) else {
                return false;
            };
            let value = Value::floats(&series.values)[index];
            series.times = vec![at];
            series.values = crate::source::Values::Float([value].into());
            true
        });
    }
    let mut eval_at = Eval {
        line: eval.line,
        expr: eval.expr.clone(),
        times: eval.times,
        expect: Vec::new(),
        series: eval.series.clone(),
        scalar: None,
    };
    if let Some(scalar) = eval.scalar {
        eval_at.series = vec![(Labels::default(), vec![Point::Float(scalar)])];
    }
    check_matrix(&answer, &eval_at, at, 1).map_err(|reason| format!("as a range query: {reason}"))
}

/// Equal up to a millionth, as Prometheus compares in its tests.
#[expect(clippy::float_cmp, reason = "exact equality is the first case")]
fn nearly(a: f64, b: f64) -> bool {
    const TOLERANCE: f64 = 1e-6;
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let sum = a.abs() + b.abs();
    let difference = (a - b).abs();
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}
