//! The front door: bounds, times and the shape of the answer.

use std::fmt;
use std::time::Duration;

use series::Timestamp;
use series::labels::Labels;

use crate::answer::{Answer, Sample, Series, Statistics, Value};
use crate::error::Error;
use crate::eval::{Context, Grid, Operand, Steps, present};
use crate::explain::{Clock, Trace};
use crate::notes::Level;
use crate::parse::ast::{Kind, Type};
use crate::parse::{Expr, ParseError, parse};
use crate::source::{Budget, SeriesSource, Values};

/// The bounds and defaults of an [`Engine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How far back an instant selector looks, in milliseconds. Prometheus' default is 5 minutes.
    pub lookback_ms: i64,
    /// The step of a subquery that names none, in milliseconds.
    pub subquery_step_ms: i64,
    /// Fewest windows of roll-ups that a range must span to be answered by them rather than by samples:
    /// windows of one series are read with those of its whole group.
    pub windows_min: u32,
    /// Most steps of a range query: Prometheus' 11,000, enough for a minute's step over a week.
    pub steps_max: u64,
    /// Most series read by one query.
    pub series_max: u64,
    /// Most samples read, and most samples held while evaluating. At 16 bytes each the default
    /// holds a query to about 800 MB at worst.
    pub samples_max: u64,
    /// Most samples in an answer, so that one answer cannot fill the asker's memory.
    pub answer_samples_max: u64,
    /// Whether an answer says how it came about; it needs [`Engine::with_clock`]. It costs a look at the
    /// clock for each series.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            windows_min: 8,
            steps_max: 11_000,
            series_max: 1_000_000,
            samples_max: 50_000_000,
            answer_samples_max: 10_000_000,
            explain: false,
        }
    }
}

/// Evaluates expressions within bounds.
#[derive(Clone, Default)]
pub struct Engine {
    options: Options,
    clock: Option<Clock>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, clock } = self;
        f.debug_struct("Engine")
            .field("options", options)
            .field("has_clock", &clock.is_some())
            .finish()
    }
}

impl Engine {
    /// An engine with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            clock: None,
        }
    }

    /// With a clock, which tells how long each stage took.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self {
            clock: Some(clock),
            ..self
        }
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// A fresh budget for one query. Whoever keeps a handle on it can cancel the query.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget::new(self.options.series_max, self.options.samples_max)
    }

    /// The value of `text` at one time.
    ///
    /// # Errors
    /// When the text does not parse, a bound is reached, the query is cancelled through `budget`,
    /// the source fails, or the expression cannot be evaluated over the data.
    pub fn instant(
        &self,
        source: &dyn SeriesSource,
        text: &str,
        at: Timestamp,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let mut stages = Stages::new(self.clock.as_ref());
        let expr = parse(text)?;
        stages.end("parse");
        self.instant_parsed(source, &expr, text, at, budget, stages)
    }

    /// The same of a text that was parsed before; rules ask the same again and again.
    ///
    /// # Errors
    /// As [`Engine::instant`], but for the parsing.
    pub fn instant_expr(
        &self,
        source: &dyn SeriesSource,
        expr: &Expr,
        text: &str,
        at: Timestamp,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let stages = Stages::new(self.clock.as_ref());
        self.instant_parsed(source, expr, text, at, budget, stages)
    }

    fn instant_parsed(
        &self,
        source: &dyn SeriesSource,
        expr: &Expr,
        text: &str,
        at: Timestamp,
        budget: &Budget,
        mut stages: Stages<'_>,
    ) -> Result<Answer, Error> {
        let steps = Steps::new(at.as_millis(), at.as_millis(), 1)?;
        let context = self.context(source, budget, &steps, 0);
        context.plan(expr, &steps)?;
        stages.end("plan");
        let value = match &expr.unwrapped().kind {
            Kind::Range { .. } | Kind::Subquery(_) => {
                Value::Matrix(context.matrix_operand(expr.unwrapped(), &steps)?)
            }
            _ => {
                let operand = context.operand(expr, &steps)?;
                self.instant_value(&context, operand, at)?
            }
        };
        self.finish(context, text, value, stages)
    }

    fn context<'a>(
        &'a self,
        source: &'a dyn SeriesSource,
        budget: &'a Budget,
        steps: &Steps,
        query_step: i64,
    ) -> Context<'a> {
        let clock = self.clock.clone().filter(|_| self.options.explain);
        let trace = clock.map(Trace::new);
        Context::new(source, &self.options, budget, steps, query_step, trace)
    }

    /// The values of `text` from `start` to `end`, both inside, every `step_ms` milliseconds.
    ///
    /// # Errors
    /// As [`Engine::instant`]; also when the step is not positive, the end lies before the start,
    /// there would be more than [`Options::steps_max`] steps, or the expression is neither a
    /// scalar nor an instant vector.
    pub fn range(
        &self,
        source: &dyn SeriesSource,
        text: &str,
        start: Timestamp,
        end: Timestamp,
        step_ms: i64,
        budget: &Budget,
    ) -> Result<Answer, Error> {
        let steps = self.range_steps(start, end, step_ms)?;
        let mut stages = Stages::new(self.clock.as_ref());
        let expr = parse(text)?;
        range_type(&expr)?;
        stages.end("parse");
        let context = self.context(source, budget, &steps, step_ms);
        context.plan(&expr, &steps)?;
        stages.end("plan");
        let grid = match context.operand(&expr, &steps)? {
            Operand::Scalar(values) => {
                let mut grid = Grid::default();
                grid.push(Labels::default().into(), false, values);
                grid
            }
            Operand::Grid(grid) => grid,
            Operand::Text(_) => return Err(Error::execution("a range query cannot answer text")),
        };
        let grid = context.drop_names(grid)?;
        let mut matrix: Vec<Series> = grid
            .rows
            .into_iter()
            .map(|row| row.into_series(&steps))
            .collect();
        matrix.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.finish(context, text, Value::Matrix(matrix), stages)
    }

    fn range_steps(&self, start: Timestamp, end: Timestamp, step_ms: i64) -> Result<Steps, Error> {
        let refuse = |message: String| Err(Error::Request { message });
        if step_ms <= 0 {
            return refuse(
                "zero or negative query resolution step widths are not accepted. Try a positive \
                 integer"
                    .to_owned(),
            );
        }
        if end < start {
            return refuse("end timestamp must not be before start time".to_owned());
        }
        let steps = end.millis_since(start) / step_ms;
        if u64::try_from(steps).is_ok_and(|steps| steps >= self.options.steps_max) {
            return refuse(format!(
                "exceeded maximum resolution of {} points per timeseries. Try decreasing the query \
                 resolution (?step=XX)",
                self.options.steps_max
            ));
        }
        Steps::new(start.as_millis(), end.as_millis(), step_ms)
    }

    fn instant_value(
        &self,
        context: &Context<'_>,
        operand: Operand,
        at: Timestamp,
    ) -> Result<Value, Error> {
        Ok(match operand {
            Operand::Scalar(values) => Value::Scalar {
                at,
                value: values.first().copied().unwrap_or(f64::NAN),
            },
            Operand::Text(text) => Value::String {
                at,
                value: text.value,
            },
            Operand::Grid(grid) => {
                let samples = context
                    .drop_names(grid)?
                    .rows
                    .into_iter()
                    .filter(|row| present(row.values[0]))
                    .map(|row| Sample {
                        value: row.values[0],
                        labels: row.into_labels(),
                        at,
                    })
                    .collect();
                Value::Vector(samples)
            }
        })
    }

    fn finish(
        &self,
        context: Context<'_>,
        text: &str,
        value: Value,
        mut stages: Stages<'_>,
    ) -> Result<Answer, Error> {
        let samples = u64::try_from(value.samples()).unwrap_or(u64::MAX);
        if samples > self.options.answer_samples_max {
            return Err(Error::Limit {
                what: "samples of the answer",
                max: self.options.answer_samples_max,
            });
        }
        stages.end("evaluate");
        if let Some(trace) = &context.trace {
            stages.ended.push(("read", trace.read_for()));
        }
        let mut warnings = context.source_warnings();
        warnings.extend(context.notes.texts(Level::Warning, text));
        Ok(Answer {
            value,
            warnings,
            infos: context.notes.texts(Level::Info, text),
            partial: context.partial(),
            statistics: Statistics {
                series: context.budget.series(),
                samples: context.budget.samples(),
                windows: context.windows_read(),
                samples_peak: context.samples_peak(),
                stages: stages.ended,
            },
            plan: context.trace.map(Trace::into_nodes).unwrap_or_default(),
        })
    }
}

/// How long stages take that follow one another.
struct Stages<'c> {
    clock: Option<&'c Clock>,
    began: Duration,
    ended: Vec<(&'static str, Duration)>,
}

impl<'c> Stages<'c> {
    fn new(clock: Option<&'c Clock>) -> Self {
        Self {
            clock,
            began: clock.map_or(Duration::ZERO, |clock| clock()),
            ended: Vec::new(),
        }
    }

    fn end(&mut self, stage: &'static str) {
        if let Some(clock) = self.clock {
            let now = clock();
            self.ended.push((stage, now.saturating_sub(self.began)));
            self.began = now;
        }
    }
}

/// A range query answers scalars and instant vectors.
fn range_type(expr: &Expr) -> Result<(), Error> {
    match expr.value_type() {
        Type::Scalar | Type::Vector => Ok(()),
        other => Err(Error::Parse(ParseError {
            position: crate::parse::Position { line: 1, column: 1 },
            message: format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                other.as_str()
            ),
        })),
    }
}

impl Value {
    /// The floats of a series; what is not a float has none.
    #[must_use]
    pub fn floats(values: &Values) -> &[f64] {
        let Values::Float(floats) = values;
        floats
    }
}
