//! Series in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rollup::Tier;
use series::{Labels, Matcher, TimeRange, Timestamp};

use crate::source::{
    Budget, EachSeries, Selected, SeriesSlice, SeriesSource, SourceError, WindowSelection,
    WindowSlice,
};

/// A source that holds its samples in memory, sorted by time. Where the same time is given twice
/// the later value counts.
#[derive(Debug, Default)]
pub struct MemorySource {
    series: BTreeMap<Labels, BTreeMap<i64, f64>>,
    /// Where native histograms would be, if they were held.
    histograms: BTreeMap<Labels, Vec<i64>>,
    met_histogram: AtomicBool,
    tiers: Vec<Tier>,
}

impl MemorySource {
    /// An empty source that answers with windows of some tiers, finest first, made from its samples.
    #[must_use]
    pub fn with_windows(tiers: &[Tier]) -> Self {
        Self {
            tiers: tiers.to_vec(),
            ..Self::default()
        }
    }

    /// Adds a sample.
    pub fn push(&mut self, labels: &Labels, at: Timestamp, value: f64) {
        match self.series.get_mut(labels) {
            Some(samples) => {
                samples.insert(at.as_millis(), value);
            }
            None => {
                let samples = BTreeMap::from([(at.as_millis(), value)]);
                self.series.insert(labels.clone(), samples);
            }
        }
    }

    /// Notes that a native histogram belongs here.
    pub(super) fn push_histogram(&mut self, labels: &Labels, at: i64) {
        self.histograms.entry(labels.clone()).or_default().push(at);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.series.clear();
        self.histograms.clear();
    }

    /// Whether a selection since the last call would have found native histograms.
    pub(super) fn take_met_histogram(&self) -> bool {
        self.met_histogram.swap(false, Ordering::Relaxed)
    }

    pub(super) fn series(&self) -> impl Iterator<Item = (&Labels, &BTreeMap<i64, f64>)> {
        self.series.iter()
    }
}

fn passes(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers
        .iter()
        .all(|matcher| matcher.matches(labels.get(matcher.name())))
}

impl SeriesSource for MemorySource {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let (start, end) = (
            range.start_inclusive.as_millis(),
            range.end_inclusive.as_millis(),
        );
        if range.is_empty() {
            return Ok(Selected::default());
        }
        for (labels, times) in &self.histograms {
            if passes(labels, matchers) && times.iter().any(|time| (start..=end).contains(time)) {
                self.met_histogram.store(true, Ordering::Relaxed);
            }
        }
        for (labels, samples) in &self.series {
            if !passes(labels, matchers) {
                continue;
            }
            let (times, values): (Vec<i64>, Vec<f64>) =
                samples.range(start..=end).map(|(t, v)| (*t, *v)).unzip();
            if times.is_empty() {
                continue;
            }
            budget.charge_series(1)?;
            budget.charge_samples(u64::try_from(times.len()).unwrap_or(u64::MAX))?;
            each(SeriesSlice {
                labels: Arc::new(labels.clone()),
                times: times.into(),
                values: values.into(),
            })?;
        }
        Ok(Selected::default())
    }

    fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        let first = range.start_inclusive.as_millis() - tier.millis() + 1;
        let samples = TimeRange::new(Timestamp::from_millis(first), range.end_inclusive);
        let mut series = Vec::new();
        let said = self.select_each(matchers, samples, budget, &mut |slice| {
            let mut windows = rollup::roll(&slice.times, &slice.values.whole(), tier);
            windows.retain(|(end, _)| range.contains(Timestamp::from_millis(*end)));
            series.push(WindowSlice {
                labels: slice.labels,
                windows,
            });
            Ok(())
        })?;
        Ok(WindowSelection { series, said })
    }
}
