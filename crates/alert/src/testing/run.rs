//! Runs unit tests.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use query::overlay::{Added, Overlay};
use query::testing::{MemorySource, Point, labels, points};
use query::{Engine, Options, Value};
use series::{Labels, Timestamp};

use super::compare::{Alert, Element, are_same};
use super::file::{AlertTest, ExprTest, Test, TestFile};
use super::start;
use super::until::Until;
use crate::State;
use crate::rules::{Failure, Group, Kind, LoadError, RuleFile, Settings};

/// Most times that the rules of one test are evaluated at.
pub const EVALUATIONS_MAX: i64 = 1_000_000;

/// What the tests of a file gave.
#[derive(Debug)]
pub struct Report {
    /// Its tests, in order.
    pub tests: Vec<TestReport>,
}

impl Report {
    /// Whether all passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.tests.iter().all(|test| test.failed.is_empty())
    }
}

/// What one test gave.
#[derive(Debug)]
pub struct TestReport {
    /// Its name, or its place.
    pub name: String,
    /// What failed of it.
    pub failed: Vec<FailedTest>,
}

/// A part of a test that failed.
#[derive(Debug)]
pub struct FailedTest {
    /// When, in milliseconds from the start of the test, where it is about a time.
    pub at_millis: Option<i64>,
    /// What.
    pub failed: Failed,
}

/// What failed.
#[derive(Debug)]
pub enum Failed {
    /// Other alerts fire than expected.
    Alerts {
        /// The name of the alerts.
        alertname: String,
        /// The difference.
        mismatch: Mismatch,
    },
    /// An expression gives something else than expected.
    Expression {
        /// The expression.
        expr: String,
        /// The difference.
        mismatch: Mismatch,
    },
    /// The test could not be done.
    Error {
        /// What was done.
        what: String,
        /// Why it failed.
        why: String,
    },
}

/// What was expected and what was there, a line each, sorted.
#[derive(Debug)]
pub struct Mismatch {
    /// What was expected.
    pub expected: Vec<String>,
    /// What was there.
    pub got: Vec<String>,
}

impl TestFile {
    /// Runs the tests against rule files, each by its name and text; only those whose name passes.
    ///
    /// # Errors
    /// When a rule file is refused.
    pub fn run(
        &self,
        rule_files: &[(String, String)],
        is_asked: &dyn Fn(&str) -> bool,
    ) -> Result<Report, Vec<LoadError>> {
        let mut tests = Vec::new();
        for (place, test) in self.tests.iter().enumerate() {
            let name = match test.name.as_str() {
                "" => format!("unnamed#{place}"),
                name => name.to_owned(),
            };
            if !is_asked(&name) {
                continue;
            }
            let groups = self.groups(rule_files, test)?;
            let mut run = Run::new(self, test, groups);
            if let Err(failed) = run.all() {
                run.failed.push(failed);
            }
            tests.push(TestReport {
                name,
                failed: run.failed,
            });
        }
        // Without tests the rules are read all the same.
        if self.tests.is_empty() {
            read(rule_files)?;
        }
        Ok(Report { tests })
    }

    /// The groups of a test, in the order that they are evaluated in.
    fn groups(
        &self,
        rule_files: &[(String, String)],
        test: &Test,
    ) -> Result<Vec<Group>, Vec<LoadError>> {
        let settings = Arc::new(Settings {
            interval_millis: self.evaluation_interval,
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.clone(),
            ..Settings::default()
        });
        let mut groups: Vec<Group> = read(rule_files)?
            .into_iter()
            .flat_map(|file| file.groups)
            .map(|spec| Group::new(spec, &settings))
            .collect();
        // Who is not named comes with the first, as in promtool.
        let order = &self.group_eval_order;
        groups.sort_by_key(|group| {
            let place = order.iter().position(|name| name == group.name());
            place.unwrap_or(0)
        });
        Ok(groups)
    }
}

fn read(rule_files: &[(String, String)]) -> Result<Vec<RuleFile>, Vec<LoadError>> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for (name, text) in rule_files {
        match RuleFile::parse(name, text) {
            Ok(file) => files.push(file),
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() {
        Ok(files)
    } else {
        Err(errors)
    }
}

struct Run<'t> {
    file: &'t TestFile,
    test: &'t Test,
    groups: Vec<Group>,
    engine: Engine,
    source: MemorySource,
    added: Added,
    /// Up to when samples are there.
    last: Cell<Timestamp>,
    start: Timestamp,
    failed: Vec<FailedTest>,
}

fn error(what: impl Into<String>, why: impl Into<String>) -> FailedTest {
    FailedTest {
        at_millis: None,
        failed: Failed::Error {
            what: what.into(),
            why: why.into(),
        },
    }
}

/// An error and what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
}

impl<'t> Run<'t> {
    fn new(file: &'t TestFile, test: &'t Test, groups: Vec<Group>) -> Self {
        let options = Options {
            subquery_step_ms: file.evaluation_interval,
            ..Options::default()
        };
        Self {
            file,
            test,
            groups,
            engine: Engine::new(options),
            source: MemorySource::default(),
            added: Added::default(),
            last: Cell::new(Timestamp::default()),
            start: Timestamp::default(),
            failed: Vec::new(),
        }
    }

    /// An error is one that ends the test.
    fn all(&mut self) -> Result<(), FailedTest> {
        if let Some(text) = &self.test.start_timestamp {
            let millis = start::millis(text).ok_or_else(|| {
                error(
                    format!("start_timestamp {text:?}"),
                    "it is neither Unix seconds nor a time of RFC 3339",
                )
            })?;
            self.start = Timestamp::from_millis(millis);
        }
        self.load()?;
        let test = self.test;
        if let Some(nameless) = test
            .alert_rule_test
            .iter()
            .find(|it| it.alertname.is_empty())
        {
            return Err(FailedTest {
                at_millis: Some(nameless.eval_time),
                ..error(
                    "alert_rule_test",
                    "an item misses required attribute alertname",
                )
            });
        }
        self.evaluate()?;
        for asked in &test.promql_expr_test {
            self.expression(asked);
        }
        Ok(())
    }

    fn load(&mut self) -> Result<(), FailedTest> {
        let test = self.test;
        let interval = match test.interval {
            0 => self.file.evaluation_interval,
            interval => interval,
        };
        // Of two lines of one series the later counts.
        let mut lines: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
        for input in &test.input_series {
            let failed = |why: String| error(format!("input_series {:?}", input.series), why);
            let (named, rest) = labels(input.series.trim()).map_err(failed)?;
            if !rest.trim().is_empty() {
                return Err(failed(format!("{rest:?} behind its labels")));
            }
            lines.insert(named, points(&input.values).map_err(failed)?);
        }
        for (named, values) in &lines {
            if values.contains(&Point::Histogram) {
                let why = "native histograms are not held";
                self.failed
                    .push(error(format!("input_series {named}"), why));
                continue;
            }
            for (place, point) in (0_i64..).zip(values) {
                let at = place
                    .saturating_mul(interval)
                    .saturating_add(self.start.as_millis());
                if let Point::Float(value) = point {
                    self.source.push(named, Timestamp::from_millis(at), *value);
                }
            }
        }
        Ok(())
    }

    /// Evaluates all groups at all times, and compares alerts on the way.
    fn evaluate(&mut self) -> Result<(), FailedTest> {
        let test = self.test;
        let interval = self.file.evaluation_interval;
        let alerts = test.alert_rule_test.iter().map(|it| it.eval_time);
        let expressions = test.promql_expr_test.iter().map(|it| it.eval_time);
        let until = alerts.chain(expressions).max().unwrap_or(0);
        if until / interval > EVALUATIONS_MAX {
            let why = format!("the rules would be evaluated more than {EVALUATIONS_MAX} times");
            return Err(error("evaluating", why));
        }
        let mut asked: Vec<&AlertTest> = test.alert_rule_test.iter().collect();
        asked.sort_by_key(|it| it.eval_time);
        let mut asked = asked.into_iter().peekable();
        for place in 0..=until / interval {
            let since = place * interval;
            self.step(since)?;
            while let Some(next) = asked.next_if(|it| it.eval_time < since + interval) {
                self.alerts(next);
            }
        }
        Ok(())
    }

    fn step(&mut self, since: i64) -> Result<(), FailedTest> {
        let at = self.start.saturating_add_millis(since);
        self.last.set(at);
        let mut first: Option<Failure> = None;
        for group in &mut self.groups {
            let base = Until {
                base: &self.source,
                last: at,
            };
            let overlay = Overlay::new(&base, &self.added);
            let evaluated = group.evaluate(&overlay, &self.engine, at, 1.0);
            for sample in &evaluated.recorded {
                self.added.push(&sample.labels, sample.at, sample.value);
            }
            first = first.or_else(|| evaluated.failures.into_iter().next());
        }
        match first {
            None => Ok(()),
            Some(failure) => Err(FailedTest {
                at_millis: Some(since),
                ..error(format!("rule {}", failure.rule), chain(&failure.error))
            }),
        }
    }

    /// Compares the alerts that fire now with those expected.
    fn alerts(&mut self, asked: &AlertTest) {
        let mut expected: Vec<Alert> = asked
            .exp_alerts
            .iter()
            .map(|alert| {
                let mut labels = alert.exp_labels.clone();
                labels.insert("alertname".to_owned(), asked.alertname.clone());
                (labels, alert.exp_annotations.clone())
            })
            .collect();
        let mut got: Vec<Alert> = Vec::new();
        for group in &self.groups {
            let asked_for: BTreeSet<usize> = group
                .rules()
                .enumerate()
                .filter(|(_, rule)| matches!(rule.kind, Kind::Alerting(_)))
                .filter(|(_, rule)| rule.name == asked.alertname)
                .map(|(place, _)| place)
                .collect();
            let firing = group
                .alerts()
                .filter(|alert| alert.state == State::Firing && asked_for.contains(&alert.rule));
            got.extend(firing.map(|alert| {
                let labels = alert.labels.iter();
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                (labels.collect(), alert.annotations.clone())
            }));
        }
        expected.sort();
        got.sort();
        if expected == got {
            return;
        }
        let shown = |alerts: &[Alert]| {
            let mut lines: Vec<String> = alerts.iter().map(super::show::alert).collect();
            lines.sort();
            lines
        };
        self.failed.push(FailedTest {
            at_millis: Some(asked.eval_time),
            failed: Failed::Alerts {
                alertname: asked.alertname.clone(),
                mismatch: Mismatch {
                    expected: shown(&expected),
                    got: shown(&got),
                },
            },
        });
    }

    fn expression(&mut self, asked: &ExprTest) {
        let failed = match self.answers(asked) {
            Ok((mut expected, mut got)) => {
                if are_same(&mut expected, &mut got, self.file.fuzzy_compare) {
                    return;
                }
                let shown = |elements: &[Element]| {
                    let mut lines: Vec<String> = elements
                        .iter()
                        .map(|(labels, value)| format!("{labels} {value}"))
                        .collect();
                    lines.sort();
                    lines
                };
                Failed::Expression {
                    expr: asked.expr.clone(),
                    mismatch: Mismatch {
                        expected: shown(&expected),
                        got: shown(&got),
                    },
                }
            }
            Err(why) => Failed::Error {
                what: format!("expr {:?}", asked.expr),
                why,
            },
        };
        self.failed.push(FailedTest {
            at_millis: Some(asked.eval_time),
            failed,
        });
    }

    /// What is expected of an expression, and what it gives.
    fn answers(&self, asked: &ExprTest) -> Result<(Vec<Element>, Vec<Element>), String> {
        let base = Until {
            base: &self.source,
            last: self.last.get(),
        };
        let overlay = Overlay::new(&base, &self.added);
        let at = self.start.saturating_add_millis(asked.eval_time);
        let budget = self.engine.budget();
        let answer = self.engine.instant(&overlay, &asked.expr, at, &budget);
        let got = match answer.map_err(|error| chain(&error))?.value {
            Value::Scalar { value, .. } => vec![(Labels::default(), value)],
            Value::Vector(samples) => samples
                .into_iter()
                .map(|sample| (sample.labels, sample.value))
                .collect(),
            Value::String { .. } | Value::Matrix(_) => {
                return Err("the result is not a vector or scalar".to_owned());
            }
        };
        let mut expected = Vec::new();
        for sample in &asked.exp_samples {
            if !sample.histogram.is_empty() {
                return Err("native histograms are not held".to_owned());
            }
            let text = sample.labels.trim();
            let (named, rest) = labels(text).map_err(|why| format!("labels {text:?}: {why}"))?;
            if !rest.trim().is_empty() {
                return Err(format!("labels {text:?}: {rest:?} is too much"));
            }
            expected.push((named, sample.value));
        }
        Ok((expected, got))
    }
}
