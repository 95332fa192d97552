//! What a process says about itself: counters, gauges and histograms, made once and shared.
//!
//! A handle is a cheap clone. Counters and gauges are one atomic each; a histogram is locked for
//! each recording, so count per batch and not per sample. [`Registry::gather`]
//! gives plain data: the agent makes samples of it, the coordinator renders it for `/metrics`.
//!
//! Missing is not zero: a gauge that was never set and a callback that knows nothing have no sample.

mod histogram;
mod process;
mod registry;
mod render;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use histogram::{BUCKETS, Histogram, LONGEST, SIGNIFICANT_FIGURES};
pub use process::{Usage, process_families, processors, usage};
pub use registry::Registry;
pub use render::{OPENMETRICS_CONTENT_TYPE, TEXT_CONTENT_TYPE, render_openmetrics, render_text};

/// Most series that one registry takes. Label values come from enums, so a process has a few
/// hundred; a thousand times that is a mistake which must not become a leak.
pub const SERIES_MAX: usize = 10_000;

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only goes up, from zero at the start of the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Always 1, said by its labels. The text format knows no such kind and calls it a gauge.
    Info,
}

impl MetricKind {
    /// The word in the `# TYPE` line of the text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::Info => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Labels of one series, sorted by name. The values come from enums, never from input.
pub type LabelPairs = Vec<(&'static str, String)>;

/// One number of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSample {
    /// What follows the name of the family: `_bucket`, `_sum`, `_count` or nothing.
    pub suffix: &'static str,
    /// The labels, sorted by name; a bucket has its bound as `le` among them.
    pub labels: LabelPairs,
    /// The value now.
    pub value: f64,
}

/// All series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The full name, with `_total` if it is a counter.
    pub name: &'static str,
    /// One sentence for the reader.
    pub help: &'static str,
    /// What kind the values are.
    pub kind: MetricKind,
    /// The values now.
    pub samples: Vec<MetricSample>,
}

impl MetricFamily {
    /// A family without samples.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, kind: MetricKind) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// The same with one more sample.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: f64) -> Self {
        self.push(labels, value);
        self
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.samples.push(MetricSample {
            suffix: "",
            labels: sorted(labels),
            value,
        });
    }
}

/// Why a metric was refused. Each is a mistake in the program and shows at its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name breaks the rules of its kind.
    #[error("metric name {name:?} is refused: {rule}")]
    BadName {
        /// The name.
        name: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A label name is not one, is kept for others, or comes twice.
    #[error("label {label:?} of metric {name:?} is not valid, is reserved or comes twice")]
    BadLabel {
        /// The metric.
        name: &'static str,
        /// The label name.
        label: &'static str,
    },
    /// The name is taken by a metric of another kind or meaning.
    #[error("metric {name:?} is registered with another kind or help text")]
    Conflict {
        /// The name.
        name: &'static str,
    },
    /// A callback for a series that is there.
    #[error("a series of metric {name:?} is registered twice")]
    Duplicate {
        /// The name.
        name: &'static str,
    },
    /// More than [`SERIES_MAX`] series.
    #[error("metric {name:?} would be one series too many, the bound is {SERIES_MAX}")]
    TooMany {
        /// The name.
        name: &'static str,
    },
}

impl Error {
    /// Whether the same registration may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::BadName { .. }
            | Self::BadLabel { .. }
            | Self::Conflict { .. }
            | Self::Duplicate { .. }
            | Self::TooMany { .. } => false,
        }
    }
}

/// A number that only goes up. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `count` more. It wraps after 2⁶⁴, which Prometheus reads as a reset.
    pub fn add(&self, count: u64) {
        // Relaxed: the counter guards no other memory, and an addition is never lost.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, missing until it is first set. Clones share it.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<AtomicU64>);

impl Default for Gauge {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(f64::NAN.to_bits())))
    }
}

impl Gauge {
    /// Sets it. NaN makes it missing again.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Sets it to a count.
    pub fn set_count(&self, count: usize) {
        self.set(float_of(u64::try_from(count).unwrap_or(u64::MAX)));
    }

    /// Adds, which may be less than nothing; what is missing counts as zero from here on.
    pub fn add(&self, delta: f64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let before = f64::from_bits(seen);
            let after = if before.is_nan() { 0.0 } else { before } + delta;
            match self.0.compare_exchange_weak(
                seen,
                after.to_bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }

    /// The value, if it has one.
    #[must_use]
    pub fn get(&self) -> Option<f64> {
        let value = f64::from_bits(self.0.load(Ordering::Relaxed));
        (!value.is_nan()).then_some(value)
    }
}

/// A count as a sample value: exact up to 2⁵³, then rounded, as in every Prometheus client.
#[expect(
    clippy::cast_precision_loss,
    reason = "rounding above 2^53 is what the format does to every count"
)]
fn float_of(count: u64) -> f64 {
    count as f64
}

fn sorted(labels: &[(&'static str, &str)]) -> LabelPairs {
    let mut pairs: LabelPairs = labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests;
