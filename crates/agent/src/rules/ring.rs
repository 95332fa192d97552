//! The newest samples of the series that rules read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use query::source::{Budget, EachSeries, Selected, SeriesSlice, SeriesSource, SourceError};
use series::labels::METRIC_NAME;
use series::{Labels, MatchOp, Matcher, TimeRange};

use super::tap::passes;

/// Samples kept of a series of which only the newest is wanted: a stale marker may follow it.
const NEWEST: usize = 2;
/// What a series takes besides its samples, in samples.
const SERIES_COSTS: usize = 16;

/// Which rules read a series, and how far back.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers {
    /// Their places.
    pub(super) rules: Vec<usize>,
    /// The longest window, in milliseconds; none where the newest sample is enough.
    pub(super) window_millis: Option<i64>,
}

#[derive(Debug)]
struct Kept {
    samples: VecDeque<(i64, f64)>,
    readers: Arc<Readers>,
}

/// Says who reads a series from now on; nobody where it says none.
pub(super) type ReadersOf<'a> = dyn Fn(&Labels) -> Option<Arc<Readers>> + 'a;

/// The newest samples, by metric name and labels.
#[derive(Debug, Default)]
pub(super) struct Ring {
    by_name: HashMap<String, HashMap<Arc<Labels>, Kept>>,
    /// Samples kept, and what the series cost besides.
    used: usize,
    /// Most of them.
    pub(super) samples_max: usize,
    /// How far back instant selectors look, in milliseconds.
    pub(super) lookback_millis: i64,
    /// Whether some source may not have spoken yet: then what is not found may be there.
    pub(super) is_partial: bool,
}

impl Ring {
    /// Who reads a series, if it is kept.
    pub(super) fn readers(&self, labels: &Labels) -> Option<Arc<Readers>> {
        let series = self.by_name.get(labels.metric_name())?;
        series.get(labels).map(|kept| Arc::clone(&kept.readers))
    }

    /// Takes a sample of a series that `readers` read. `false` when there is no room.
    pub(super) fn push(
        &mut self,
        labels: &Arc<Labels>,
        readers: &Arc<Readers>,
        (at, value): (i64, f64),
    ) -> bool {
        let name = labels.metric_name();
        let is_known = self
            .by_name
            .get(name)
            .is_some_and(|series| series.contains_key(labels));
        let more = 1 + if is_known { 0 } else { SERIES_COSTS };
        if self.used + more > self.samples_max {
            return false;
        }
        self.used += more;
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), HashMap::new());
        }
        let Some(series) = self.by_name.get_mut(name) else {
            return false;
        };
        let kept = series.entry(Arc::clone(labels)).or_insert_with(|| Kept {
            samples: VecDeque::new(),
            readers: Arc::clone(readers),
        });
        // The clock was set back: what lies ahead of it would hide what comes.
        while kept.samples.back().is_some_and(|(last, _)| *last >= at) {
            kept.samples.pop_back();
            self.used -= 1;
        }
        kept.samples.push_back((at, value));
        let window = kept.readers.window_millis;
        while kept.samples.len() > NEWEST
            && kept
                .samples
                .front()
                .is_some_and(|(first, _)| window.is_none_or(|window| *first < at - window))
        {
            kept.samples.pop_front();
            self.used -= 1;
        }
        true
    }

    /// Lets go of series that nobody sees any more at this time, and of those that `readers_of` gives to
    /// nobody; the others have these readers from now on.
    pub(super) fn tidy(&mut self, at: i64, readers_of: Option<&ReadersOf<'_>>) {
        let lookback = self.lookback_millis;
        let mut used = 0;
        for series in self.by_name.values_mut() {
            series.retain(|labels, kept| {
                if let Some(readers_of) = readers_of {
                    let Some(readers) = readers_of(labels) else {
                        return false;
                    };
                    kept.readers = readers;
                }
                let seen = lookback.max(kept.readers.window_millis.unwrap_or(0));
                let is_seen = kept
                    .samples
                    .back()
                    .is_some_and(|(last, _)| *last >= at - seen);
                used += if is_seen {
                    kept.samples.len() + SERIES_COSTS
                } else {
                    0
                };
                is_seen
            });
        }
        self.by_name.retain(|_, series| !series.is_empty());
        self.used = used;
    }

    /// How many series there are.
    pub(super) fn series(&self) -> usize {
        self.by_name.values().map(HashMap::len).sum()
    }

    fn each(
        &self,
        series: &HashMap<Arc<Labels>, Kept>,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<(), SourceError> {
        let (first, last) = (
            range.start_inclusive.as_millis(),
            range.end_inclusive.as_millis(),
        );
        for (labels, kept) in series.iter().filter(|(it, _)| passes(matchers, it)) {
            let start = kept.samples.partition_point(|(time, _)| *time < first);
            let end = kept.samples.partition_point(|(time, _)| *time <= last);
            if start >= end {
                continue;
            }
            budget.charge_series(1)?;
            budget.charge_samples((end - start) as u64)?;
            let samples = || kept.samples.range(start..end);
            each(SeriesSlice {
                labels: Arc::clone(labels),
                times: samples().map(|(time, _)| *time).collect(),
                values: samples()
                    .map(|(_, value)| *value)
                    .collect::<Vec<f64>>()
                    .into(),
            })?;
        }
        Ok(())
    }
}

impl SeriesSource for Ring {
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError> {
        let mut names = matchers.iter().filter(|it| it.name() == METRIC_NAME);
        match names.find(|it| it.op() == MatchOp::Equal) {
            Some(name) => {
                if let Some(series) = self.by_name.get(name.value()) {
                    self.each(series, matchers, range, budget, each)?;
                }
            }
            None => {
                for series in self.by_name.values() {
                    self.each(series, matchers, range, budget, each)?;
                }
            }
        }
        Ok(Selected {
            warnings: Vec::new(),
            partial: self.is_partial,
        })
    }
}
