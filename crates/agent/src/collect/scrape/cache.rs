//! What a target said last time: its series, so that their labels need not be built again, and so
//! that a series which is no longer said can be ended.
//!
//! Two things are known. A *line* is the text of a series as it stands on the page; most pages say
//! the same lines in the same order each time, so each line remembers which one came after it and
//! a page that did not change is recognised by comparing bytes, without looking for quotes or
//! hashing anything. A *series* is a label set after merging; several lines may mean the same one.
//!
//! Of one metric so many series are known as the guard gives places, and those that were there first, as
//! there. The others are *unknown*: their labels are built anew on each page, for the guard to sum, and let go.
//! The guard is told which they are and gives them no place, so whatever has a place is known here, and its
//! end is told. A counter that was unknown on one page stays so while it lives, as in the guard's sum; a place
//! that becomes free is for one that is new.
//!
//! What a target says is only settled by a page that is whole: after a failed one its series are still known,
//! but silent, since their markers are told.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use series::{Family, Labels, STALE_NAN, Sample, Timestamp, is_stale};

use crate::batch::family_of;
use crate::guard::Sum;

mod round;

pub(super) use round::RoundEnd;

type Hasher = foldhash::fast::RandomState;

/// Lines of the first scrape, or whose successor was swept away, have none.
const NO_LINE: u32 = u32::MAX;

#[derive(Debug)]
struct Line {
    key: Arc<[u8]>,
    series: u32,
    /// The line that came after it last time.
    next: u32,
    seen: u64,
}

#[derive(Debug)]
struct Series {
    labels: Arc<Labels>,
    /// The hash of its metric's name.
    metric: u64,
    /// The round in which it was last said.
    seen: u64,
    /// The time that the source gave it then; such a series gets no stale marker.
    at: Option<Timestamp>,
    /// Whether its end was told since.
    silent: bool,
}

/// The series of one target. Its size is bounded by the samples of a page.
#[derive(Debug)]
pub struct SeriesCache {
    lines: Vec<Line>,
    by_key: HashMap<Arc<[u8]>, u32, Hasher>,
    series: Vec<Series>,
    by_labels: HashMap<Arc<Labels>, u32, Hasher>,
    /// How many series of each metric are known, by the hash of its name.
    of_metric: HashMap<u64, usize, Hasher>,
    hasher: Hasher,
    /// How many of one metric may be.
    of_metric_max: usize,
    /// The unknown series of the last page, by the hash of their labels.
    unknown: HashSet<u64, Hasher>,
    /// The line that began the last page, and the samples of it.
    first: u32,
    said: usize,
    round: u64,
}

impl Default for SeriesCache {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            by_key: HashMap::default(),
            series: Vec::new(),
            by_labels: HashMap::default(),
            of_metric: HashMap::default(),
            hasher: Hasher::default(),
            of_metric_max: usize::MAX,
            unknown: HashSet::default(),
            first: 0,
            said: 0,
            round: 0,
        }
    }
}

impl SeriesCache {
    /// How many series are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Knows at most so many series of one metric from now on; those that are too many are forgotten at the end of
    /// the next whole page.
    pub fn know_at_most(&mut self, of_metric: usize) {
        if of_metric != self.of_metric_max {
            self.of_metric_max = of_metric;
            // The guard gives all places anew, also to counters that were in a sum.
            self.unknown.clear();
        }
    }

    /// Settles what the target says by a whole page of it: whose silence tells what ended, and where room is, for
    /// whom.
    pub(super) fn settle(&mut self, page: &mut RoundEnd, families: &[Family]) {
        if !page.says_all {
            self.sweep(&mut page.samples);
        }
        self.forget_surplus(page);
        self.take_up(page, families);
        let hash = |sample: &Sample| self.hasher.hash_one(&sample.labels);
        self.unknown = page.unknown.iter().map(hash).collect();
    }

    /// Forgets the series that are too many. They were said on this page and are unknown from here on: the guard
    /// ends those that had a place.
    fn forget_surplus(&mut self, page: &mut RoundEnd) {
        let of_metric = self.of_metric_max;
        if self.of_metric.values().all(|known| *known <= of_metric) {
            return;
        }
        let mut so_far: HashMap<u64, usize, Hasher> = HashMap::default();
        self.retain(
            |series| {
                let known = so_far.entry(series.metric).or_default();
                *known += 1;
                *known <= of_metric
            },
            |_| true,
            |_| {},
        );
        // Stale markers are of series that were swept.
        let is_over =
            |it: &mut Sample| !is_stale(it.value) && !self.by_labels.contains_key(&it.labels);
        page.unknown.extend(page.samples.extract_if(.., is_over));
    }

    /// Gives what room there is to unknown series of the page, but for counters that were unknown before.
    fn take_up(&mut self, page: &mut RoundEnd, families: &[Family]) {
        let mut stays_summed: HashMap<u64, bool, Hasher> = HashMap::default();
        let mut taken = Vec::new();
        let take = |sample: &mut Sample| {
            if let Some(&series) = self.by_labels.get(&sample.labels) {
                // It was taken up by its sample of another time.
                self.series[series as usize].at = sample.at;
                return true;
            }
            let name = sample.labels.metric_name();
            let metric = self.hasher.hash_one(name);
            if self
                .of_metric
                .get(&metric)
                .is_some_and(|known| *known >= self.of_metric_max)
            {
                return false;
            }
            let mut stays = || {
                let family = family_of(name, families);
                Sum::of(name, family) == Sum::Counter
            };
            if self.unknown.contains(&self.hasher.hash_one(&sample.labels))
                && *stays_summed.entry(metric).or_insert_with(&mut stays)
            {
                return false;
            }
            let series = self.add(Arc::new(sample.labels.clone()), metric);
            let known = &mut self.series[series as usize];
            (known.seen, known.at) = (self.round, sample.at);
            page.series_added += 1;
            true
        };
        taken.extend(page.unknown.extract_if(.., take));
        page.samples.append(&mut taken);
    }

    /// Knows another series.
    fn add(&mut self, labels: Arc<Labels>, metric: u64) -> u32 {
        *self.of_metric.entry(metric).or_default() += 1;
        let series = index(self.series.len());
        self.series.push(Series {
            labels: Arc::clone(&labels),
            metric,
            seen: 0,
            at: None,
            silent: false,
        });
        self.by_labels.insert(labels, series);
        series
    }

    /// Stale markers for all series that should have one, after a failed page. They stay known.
    pub(super) fn silence(&mut self) -> Vec<Sample> {
        let markers = self.series.iter().filter_map(marker).collect();
        for series in &mut self.series {
            series.silent = true;
        }
        markers
    }

    /// Forgets everything and returns a stale marker for each series that should have one.
    pub fn end_all(&mut self) -> Vec<Sample> {
        let markers = self.series.iter().filter_map(marker).collect();
        *self = Self {
            round: self.round,
            of_metric_max: self.of_metric_max,
            ..Self::default()
        };
        markers
    }

    /// Removes the lines and series that were not said in this round; pushes a stale marker for
    /// each such series that should have one.
    fn sweep(&mut self, samples: &mut Vec<Sample>) {
        let round = self.round;
        self.retain(
            |series| series.seen == round,
            |line| line.seen == round,
            |gone| samples.extend(marker(gone)),
        );
    }

    /// Removes the series that are not to be kept, told as they go, and the lines that are not or have no series
    /// any more.
    fn retain(
        &mut self,
        mut keep: impl FnMut(&Series) -> bool,
        keep_line: impl Fn(&Line) -> bool,
        mut gone: impl FnMut(&Series),
    ) {
        let mut new_series = Vec::with_capacity(self.series.len());
        let mut moved_series = vec![NO_LINE; self.series.len()];
        for (old, series) in std::mem::take(&mut self.series).into_iter().enumerate() {
            if keep(&series) {
                moved_series[old] = index(new_series.len());
                new_series.push(series);
            } else {
                gone(&series);
                self.by_labels.remove(&series.labels);
                if let Some(known) = self.of_metric.get_mut(&series.metric) {
                    *known -= 1;
                }
            }
        }
        self.of_metric.retain(|_, known| *known > 0);
        self.series = new_series;
        for at in self.by_labels.values_mut() {
            *at = moved_series[*at as usize];
        }
        let mut new_lines = Vec::with_capacity(self.lines.len());
        let mut moved_lines = vec![NO_LINE; self.lines.len()];
        for (old, mut line) in std::mem::take(&mut self.lines).into_iter().enumerate() {
            let series = moved_series[line.series as usize];
            if series != NO_LINE && keep_line(&line) {
                moved_lines[old] = index(new_lines.len());
                line.series = series;
                new_lines.push(line);
            } else {
                self.by_key.remove(&line.key);
            }
        }
        let moved = |at: u32| moved_lines.get(at as usize).copied().unwrap_or(NO_LINE);
        for line in &mut new_lines {
            line.next = moved(line.next);
        }
        for at in self.by_key.values_mut() {
            *at = moved(*at);
        }
        self.first = moved(self.first);
        self.lines = new_lines;
        self.give_back();
    }

    /// Gives room back when most of it is empty.
    fn give_back(&mut self) {
        if self.lines.len() < self.lines.capacity() / 2 {
            self.lines.shrink_to_fit();
            self.by_key.shrink_to_fit();
        }
        if self.series.len() < self.series.capacity() / 2 {
            self.series.shrink_to_fit();
            self.by_labels.shrink_to_fit();
        }
    }
}

/// An index into lines or series: a page has far fewer of them than 2^32.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NO_LINE)
}

fn marker(series: &Series) -> Option<Sample> {
    (series.at.is_none() && !series.silent).then(|| Sample {
        labels: Labels::clone(&series.labels),
        value: STALE_NAN,
        at: None,
    })
}

#[cfg(test)]
mod tests;
