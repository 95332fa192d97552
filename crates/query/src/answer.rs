//! What a query answers.

use std::collections::BTreeMap;
use std::time::Duration;

use rollup::Tier;
use series::{Labels, Timestamp};

use crate::explain::PlanNode;
use crate::source::Values;

/// The value of an expression.
#[derive(Clone, Debug)]
pub enum Value {
    /// One float at one time.
    Scalar {
        /// When.
        at: Timestamp,
        /// The float.
        value: f64,
    },
    /// One text at one time.
    String {
        /// When.
        at: Timestamp,
        /// The text.
        value: String,
    },
    /// One sample for each of some series, in the order the expression gave them.
    Vector(Vec<Sample>),
    /// Several samples for each of some series, sorted by labels.
    Matrix(Vec<Series>),
}

impl Value {
    /// How many samples it holds.
    #[must_use]
    pub fn samples(&self) -> usize {
        match self {
            Self::Scalar { .. } | Self::String { .. } => 1,
            Self::Vector(samples) => samples.len(),
            Self::Matrix(series) => series.iter().map(|series| series.times.len()).sum(),
        }
    }
}

/// One sample of an instant vector.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What names it.
    pub labels: Labels,
    /// The time of evaluation, not of the sample that was read.
    pub at: Timestamp,
    /// The float.
    pub value: f64,
}

/// One series of a matrix.
#[derive(Clone, Debug)]
pub struct Series {
    /// What names it.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch, ascending.
    pub times: Vec<i64>,
    /// One value for each time.
    pub values: Values,
}

/// A value and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// What probably makes the value wrong, in Prometheus' words and with positions; the source's
    /// warnings come first.
    pub warnings: Vec<String>,
    /// What may make the value surprising.
    pub infos: Vec<String>,
    /// Whether something that should be in the value is known to be missing.
    pub partial: bool,
    /// What it took.
    pub statistics: Statistics,
    /// How it came about, if [`crate::Options::explain`] asks for it.
    pub plan: Vec<PlanNode>,
}

/// What a query took.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Series read from the source.
    pub series: u64,
    /// Samples read from the source.
    pub samples: u64,
    /// Windows of roll-ups read in the place of samples, by tier.
    pub windows: BTreeMap<Tier, u64>,
    /// Most samples held by the evaluator at a time, those read included.
    pub samples_peak: u64,
    /// How long the stages took, in their order, as far as the engine was given a clock: `parse`, `plan`,
    /// and `evaluate`; where the answer is explained, `read` is what of `evaluate` was reading.
    pub stages: Vec<(&'static str, Duration)>,
}
