//! A source with samples of memory laid over it: what rules have recorded and the store does not hold yet.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rollup::{Tier, Window};
use series::labels::METRIC_NAME;
use series::{Labels, Matcher, TimeRange, Timestamp, is_stale};

use crate::source::{
    Budget, EachSeries, Selected, SeriesSlice, SeriesSource, SourceError, WindowSelection,
    WindowSlice,
};

/// Times in milliseconds, ascending, and values.
type Points = Vec<(i64, f64)>;
/// A series and those of its samples that are asked for.
type Part<'a> = (&'a Arc<Labels>, &'a [(i64, f64)]);

/// Samples in memory, by metric name and labels.
#[derive(Debug, Default)]
pub struct Added {
    by_name: BTreeMap<String, BTreeMap<Arc<Labels>, Points>>,
    samples: usize,
}

impl Added {
    /// Adds a sample. Of two at the same time of one series the first counts.
    pub fn push(&mut self, labels: &Arc<Labels>, at: Timestamp, value: f64) {
        let name = labels.metric_name();
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(series) = self.by_name.get_mut(name) else {
            return;
        };
        let samples = series.entry(Arc::clone(labels)).or_default();
        if let Err(place) = samples.binary_search_by_key(&at.as_millis(), |(time, _)| *time) {
            samples.insert(place, (at.as_millis(), value));
            self.samples += 1;
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// The series that pass and have samples inside the range, with these.
    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
    ) -> impl Iterator<Item = Part<'a>> {
        let passes = |labels: &Labels| {
            let mut all = matchers.iter();
            all.all(|matcher| matcher.matches(labels.get(matcher.name())))
        };
        let names = self.by_name.iter().filter(|(name, _)| {
            let mut of_name = matchers.iter().filter(|it| it.name() == METRIC_NAME);
            of_name.all(|matcher| matcher.matches(name))
        });
        names
            .flat_map(|(_, series)| series)
            .filter(move |(labels, _)| passes(labels))
            .map(move |(labels, samples)| (labels, inside(samples, range)))
            .filter(|(_, samples)| !samples.is_empty())
    }
}

fn inside(samples: &[(i64, f64)], range: TimeRange) -> &[(i64, f64)] {
    let (first, last) = (
        range.start_inclusive.as_millis(),
        range.end_inclusive.as_millis(),
    );
    let start = samples.partition_point(|(time, _)| *time < first);
    let end = samples.partition_point(|(time, _)| *time <= last);
    samples.get(start..end).unwrap_or_default()
}

/// Says which series of the source below are not looked at.
pub type Hides<'a> = dyn Fn(&Labels) -> bool + Sync + 'a;

/// A source with others' samples laid over it. Where both have a sample of a series at the same time, that
/// of the source counts.
pub struct Overlay<'a> {
    base: &'a dyn SeriesSource,
    added: &'a Added,
    hidden: Option<(i64, &'a Hides<'a>)>,
}

impl fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("added", &self.added.len())
            .finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// Lays samples over a source.
    #[must_use]
    pub fn new(base: &'a dyn SeriesSource, added: &'a Added) -> Self {
        Self {
            base,
            added,
            hidden: None,
        }
    }

    /// Does not look at the source's samples from a time on where `hides` says so of their labels: a
    /// backtest records anew what was recorded then.
    #[must_use]
    pub fn hiding(self, from: Timestamp, hides: &'a Hides<'a>) -> Self {
        Self {
            hidden: Some((from.as_millis(), hides)),
            ..self
        }
    }

    /// A series of the source without what is hidden, and with what is added.
    fn merged(&self, slice: SeriesSlice, added: &[(i64, f64)]) -> Option<SeriesSlice> {
        let until = self
            .hidden
            .filter(|(_, hides)| hides(&slice.labels))
            .map(|(from, _)| from);
        let hides_some = until.is_some_and(|from| slice.times.last().is_some_and(|t| *t >= from));
        if !hides_some && added.is_empty() {
            return Some(slice);
        }
        let values = slice.values.whole();
        let mut samples: Vec<(i64, f64)> = slice
            .times
            .iter()
            .copied()
            .zip(values.iter().copied())
            .filter(|(time, _)| until.is_none_or(|from| *time < from))
            .chain(added.iter().copied())
            .collect();
        // Stable: of two at the same time the source's comes first, and stays.
        samples.sort_by_key(|(time, _)| *time);
        samples.dedup_by_key(|(time, _)| *time);
        if samples.is_empty() {
            return None;
        }
        let (times, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
        Some(SeriesSlice {
            labels: slice.labels,
            times: times.into(),
            values: values.into(),
        })
    }
}

/// A series and samples of it.
type Samples<'a> = (&'a Arc<Labels>, Points);

impl<'a> Overlay<'a> {
    /// The samples inside a range that the source's windows do not hold, stale markers left out.
    fn new_in(
        &'a self,
        matchers: &'a [Matcher],
        range: TimeRange,
        budget: &Budget,
    ) -> Result<Vec<Samples<'a>>, SourceError> {
        let added: Vec<Part<'_>> = self.added.matching(matchers, range).collect();
        let times = || added.iter().flat_map(|(_, samples)| *samples);
        let first = times().map(|(time, _)| *time).min();
        let last = times().map(|(time, _)| *time).max();
        let (Some(first), Some(last)) = (first, last) else {
            return Ok(Vec::new());
        };
        let mut held: HashMap<Arc<Labels>, Vec<i64>> = HashMap::new();
        let around = TimeRange::new(Timestamp::from_millis(first), Timestamp::from_millis(last));
        self.base
            .select_each(matchers, around, budget, &mut |slice| {
                let hidden = self.hidden.filter(|(_, hides)| hides(&slice.labels));
                let is_seen = |time: &&i64| hidden.is_none_or(|(from, _)| **time < from);
                let times = slice.times.iter().filter(is_seen).copied().collect();
                held.insert(slice.labels, times);
                Ok(())
            })?;
        let new = added.into_iter().map(|(labels, samples)| {
            let held = held.get(labels).map(Vec::as_slice).unwrap_or_default();
            let is_new = |(time, value): &&(i64, f64)| {
                !is_stale(*value) && held.binary_search(time).is_err()
            };
            (labels, samples.iter().filter(is_new).copied().collect())
        });
        Ok(new.collect())
    }
}

impl SeriesSource for Overlay<'_> {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let mut added: BTreeMap<&Labels, Part<'_>> = self
            .added
            .matching(matchers, range)
            .map(|(labels, samples)| (&**labels, (labels, samples)))
            .collect();
        let charge = |samples: &[(i64, f64)]| {
            budget.charge_samples(u64::try_from(samples.len()).unwrap_or(u64::MAX))
        };
        if added.is_empty() && self.hidden.is_none() {
            return self.base.select_each(matchers, range, budget, each);
        }
        let selected = self
            .base
            .select_each(matchers, range, budget, &mut |slice| {
                let more = match added.remove(&*slice.labels) {
                    Some((_, samples)) => samples,
                    None => &[],
                };
                charge(more)?;
                match self.merged(slice, more) {
                    Some(slice) => each(slice),
                    None => Ok(()),
                }
            })?;
        for (labels, samples) in added.into_values() {
            budget.charge_series(1)?;
            charge(samples)?;
            let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
            each(SeriesSlice {
                labels: Arc::clone(labels),
                times: times.into(),
                values: values.into(),
            })?;
        }
        Ok(selected)
    }

    fn tiers(&self) -> &[Tier] {
        self.base.tiers()
    }

    fn samples_from(&self) -> i64 {
        self.base.samples_from()
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        let mut selection = self.base.windows(matchers, tier, range, budget)?;
        if let Some((from, hides)) = self.hidden {
            for slice in &mut selection.series {
                if hides(&slice.labels) {
                    slice.windows.retain(|(end, _)| *end < from);
                }
            }
        }
        let first = range.start_inclusive.as_millis() - tier.millis() + 1;
        let samples_of = TimeRange::new(Timestamp::from_millis(first), range.end_inclusive);
        for (labels, samples) in self.new_in(matchers, samples_of, budget)? {
            let place = selection.series.iter().position(|it| it.labels == *labels);
            let place = place.unwrap_or_else(|| {
                selection.series.push(WindowSlice {
                    labels: Arc::clone(labels),
                    windows: Vec::new(),
                });
                selection.series.len() - 1
            });
            let windows = &mut selection.series[place].windows;
            for (time, value) in samples {
                let behind = (time - 1).div_euclid(tier.millis());
                let end = (behind + 1).saturating_mul(tier.millis());
                if range.contains(Timestamp::from_millis(end)) {
                    fold(windows, end, value);
                }
            }
        }
        selection.series.retain(|slice| !slice.windows.is_empty());
        Ok(selection)
    }
}

/// Takes a sample into the window that ends at `end`.
fn fold(windows: &mut Vec<(i64, Window)>, end: i64, value: f64) {
    match windows.binary_search_by_key(&end, |(end, _)| *end) {
        Ok(place) => windows[place].1.add(value),
        Err(place) => windows.insert(place, (end, Window::of(value))),
    }
}

/// A source that keeps the time of the newest sample it gave out.
pub struct Newest<'a> {
    base: &'a dyn SeriesSource,
    newest: AtomicI64,
}

impl fmt::Debug for Newest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newest")
            .field("newest_millis", &self.newest_millis())
            .finish_non_exhaustive()
    }
}

impl<'a> Newest<'a> {
    /// Watches a source.
    #[must_use]
    pub fn new(base: &'a dyn SeriesSource) -> Self {
        Self {
            base,
            newest: AtomicI64::new(i64::MIN),
        }
    }

    /// The newest time so far, in milliseconds since the Unix epoch; of windows their end.
    #[must_use]
    pub fn newest_millis(&self) -> Option<i64> {
        let newest = self.newest.load(Ordering::Relaxed);
        (newest > i64::MIN).then_some(newest)
    }
}

impl SeriesSource for Newest<'_> {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        self.base
            .select_each(matchers, range, budget, &mut |slice| {
                if let Some(last) = slice.times.last() {
                    self.newest.fetch_max(*last, Ordering::Relaxed);
                }
                each(slice)
            })
    }

    fn tiers(&self) -> &[Tier] {
        self.base.tiers()
    }

    fn samples_from(&self) -> i64 {
        self.base.samples_from()
    }

    fn windows(
        &self,
        matchers: &[Matcher],
        tier: Tier,
        range: TimeRange,
        budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        let found = self.base.windows(matchers, tier, range, budget)?;
        let ends = found.series.iter().filter_map(|it| it.windows.last());
        if let Some(last) = ends.map(|(end, _)| *end).max() {
            self.newest.fetch_max(last, Ordering::Relaxed);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemorySource;
    use crate::{Engine, Value};

    fn labels(text: &str) -> Arc<Labels> {
        Arc::new(crate::testing::labels(text).unwrap().0)
    }

    fn ask(source: &dyn SeriesSource, text: &str, at: i64) -> String {
        let engine = Engine::default();
        let at = Timestamp::from_millis(at);
        let answer = engine
            .instant(source, text, at, &engine.budget())
            .unwrap()
            .value;
        let Value::Vector(samples) = answer else {
            return format!("{answer:?}");
        };
        let shown: Vec<String> = samples
            .iter()
            .map(|sample| format!("{} {}", sample.labels, sample.value))
            .collect();
        shown.join("; ")
    }

    #[test]
    fn what_is_added_is_seen_and_the_source_counts_first() {
        let mut base = MemorySource::with_windows(&[Tier::Minute]);
        for minute in 0..10 {
            base.push(&labels("a"), Timestamp::from_millis(minute * 60_000), 1.0);
        }
        let mut added = Added::default();
        for (series, at, value) in [
            ("a", 540_000, 9.0),
            ("a", 600_000, 2.0),
            ("b{c=\"d\"}", 600_000, 3.0),
        ] {
            added.push(&labels(series), Timestamp::from_millis(at), value);
        }
        let over = Overlay::new(&base, &added);
        assert_eq!(ask(&over, "a", 540_000), "a 1");
        assert_eq!(ask(&over, "a", 600_000), "a 2");
        assert_eq!(ask(&over, "b", 600_000), "b{c=\"d\"} 3");
        assert_eq!(ask(&over, "sum_over_time(a[10m])", 600_000), "{} 11");
        assert_eq!(
            ask(&over, "count_over_time(b[1h])", 3_600_000),
            "{c=\"d\"} 1"
        );
        let hides = |labels: &Labels| labels.metric_name() == "a";
        let over = Overlay::new(&base, &added).hiding(Timestamp::from_millis(300_000), &hides);
        assert_eq!(ask(&over, "count_over_time(a[1h])", 600_000), "{} 7");
        assert_eq!(ask(&over, "a", 540_000), "a 9");
    }
}
