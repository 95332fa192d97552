//! What a collector found at one instant: families and their samples.

use crate::{Labels, LabelsError, Timestamp};

/// What kind of metric a family is, in Prometheus' and OpenMetrics' words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricKind {
    /// Not declared.
    #[default]
    Unknown,
    /// Only goes up, until it is reset.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets, sum and count.
    Histogram,
    /// Buckets of the present, which may go down (OpenMetrics).
    GaugeHistogram,
    /// Quantiles, sum and count.
    Summary,
    /// Always 1, said by its labels (OpenMetrics).
    Info,
    /// One series per state, 0 or 1 (OpenMetrics).
    StateSet,
}

impl MetricKind {
    /// All kinds, in the order of [`MetricKind::code`].
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The word used in `# TYPE` lines and by the HTTP API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// A stable number for disk and wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Counter => 1,
            Self::Gauge => 2,
            Self::Histogram => 3,
            Self::GaugeHistogram => 4,
            Self::Summary => 5,
            Self::Info => 6,
            Self::StateSet => 7,
        }
    }

    /// The kind of a [`MetricKind::code`]; what a later version added reads as unknown.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or_default()
    }

    /// The kind of a `# TYPE` word (`untyped` is unknown).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        if word == "untyped" {
            return Some(Self::Unknown);
        }
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Endings of the series that a histogram or summary is made of.
pub const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

impl MetricKind {
    /// The name of the metric that a series of this kind is a part of.
    #[must_use]
    pub fn metric_of(self, series: &str) -> &str {
        let parts: &[&str] = match self {
            Self::Histogram | Self::GaugeHistogram => &PARTS,
            Self::Summary => &PARTS[1..],
            Self::Unknown | Self::Counter | Self::Gauge | Self::Info | Self::StateSet => &[],
        };
        let mut bare = parts.iter().filter_map(|part| series.strip_suffix(part));
        bare.next().unwrap_or(series)
    }
}

/// What a metric is: the head over its samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// The metric name as declared by `# TYPE`; histogram samples add `_bucket` and so on.
    pub name: String,
    /// What kind of metric it is.
    pub kind: MetricKind,
    /// What it means, in words; may be empty.
    pub help: String,
    /// The unit declared by `# UNIT` (OpenMetrics); may be empty.
    pub unit: String,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Which series.
    pub labels: Labels,
    /// Its value; every bit pattern is meant as it is.
    pub value: f64,
    /// When, if the source said so; otherwise the instant of the snapshot.
    pub at: Option<Timestamp>,
}

/// All that a collector found in one go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The families, each name once.
    pub families: Vec<Family>,
    /// The samples, in the order in which they were found.
    pub samples: Vec<Sample>,
    /// Samples left out because their labels were refused, with the first reason.
    pub refused: u64,
    /// Why the first of [`Snapshot::refused`] was refused.
    pub first_refusal: Option<LabelsError>,
}

impl Snapshot {
    /// Declares a family; samples follow by [`Snapshot::push`].
    pub fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        self.families.push(Family {
            name: name.to_owned(),
            kind,
            help: help.to_owned(),
            unit: String::new(),
        });
    }

    /// Adds a sample of `metric` with further labels. A label set that is refused is counted, not
    /// added: one bad device name must not cost the rest of the snapshot.
    pub fn push(&mut self, metric: &str, labels: &[(&str, &str)], value: f64) {
        match Labels::with_name(metric, labels) {
            Ok(labels) => self.samples.push(Sample {
                labels,
                value,
                at: None,
            }),
            Err(error) => {
                self.refused += 1;
                self.first_refusal.get_or_insert(error);
            }
        }
    }

    /// Declares a family and adds its only sample.
    pub fn single(&mut self, name: &str, kind: MetricKind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.push(name, &[], value);
    }

    /// Takes in all of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.families.append(&mut other.families);
        self.samples.append(&mut other.samples);
        self.refused += other.refused;
        if self.first_refusal.is_none() {
            self.first_refusal = other.first_refusal;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_survive_their_codes_and_words() {
        for kind in MetricKind::ALL {
            assert_eq!(MetricKind::from_code(kind.code()), kind);
            assert_eq!(MetricKind::from_word(kind.as_str()), Some(kind));
        }
        assert_eq!(MetricKind::from_code(200), MetricKind::Unknown);
    }

    #[test]
    fn a_refused_sample_costs_only_itself() {
        let mut snapshot = Snapshot::default();
        snapshot.push("up", &[("bad-name", "1")], 1.0);
        snapshot.push("up", &[], 1.0);
        assert_eq!((snapshot.samples.len(), snapshot.refused), (1, 1));
        assert!(snapshot.first_refusal.is_some());
    }
}
