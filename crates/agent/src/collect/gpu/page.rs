//! A snapshot in the making: metrics declare themselves when their first sample is put.

use std::collections::HashSet;

use series::{MetricKind, Snapshot};

/// One metric: its name, its kind and what it means.
#[derive(Debug)]
pub(super) struct Metric {
    /// The name; DCGM exporter's where it has one.
    pub(super) name: &'static str,
    kind: MetricKind,
    help: &'static str,
}

impl Metric {
    /// A value that goes up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: MetricKind::Gauge,
            help,
        }
    }

    /// A value that only goes up.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind: MetricKind::Counter,
            help,
        }
    }
}

/// Collects samples.
#[derive(Debug, Default)]
pub(super) struct Page {
    snapshot: Snapshot,
    declared: HashSet<&'static str>,
}

impl Page {
    /// Adds a sample, and its family when it is the first.
    pub(super) fn put(&mut self, metric: &Metric, labels: &[(&str, &str)], value: f64) {
        if self.declared.insert(metric.name) {
            self.snapshot.family(metric.name, metric.kind, metric.help);
        }
        self.snapshot.push(metric.name, labels, value);
    }

    /// All that was put.
    pub(super) fn into_snapshot(self) -> Snapshot {
        self.snapshot
    }
}
