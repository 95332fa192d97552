//! What a target said last time: its series, so that their labels need not be built again, and so
//! that a series which is no longer said can be ended.
//!
//! Two things are known. A *line* is the text of a series as it stands on the page; most pages say
//! the same lines in the same order each time, so each line remembers which one came after it and
//! a page that did not change is recognised by comparing bytes, without looking for quotes or
//! hashing anything. A *series* is a label set after merging; several lines may mean the same one.
//!
//! Of one metric so many series are known as the guard gives places, and those that were there first, as
//! there. The others *pass*: their labels are built anew on each page, for the guard to fold, and let go.
//! The guard is told which they are and gives them no place, so whatever has a place is known here and
//! gets its stale marker when it ends.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

use series::{Labels, STALE_NAN, Sample, Timestamp, is_stale};

use super::target::Target;
use super::text::line::{self, Piece};
use super::text::{Reason, Sink};

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

    /// Begins a page of `target`. The samples are gathered by what is returned.
    pub(super) fn begin<'c>(&'c mut self, target: &'c Target) -> Round<'c> {
        self.round += 1;
        let expected = self.said;
        Round {
            target,
            before: NO_LINE,
            foreseen: NO_LINE,
            samples: Vec::with_capacity(expected + super::REPORT_NAMES.len()),
            passing: Vec::new(),
            lines_seen: 0,
            series_seen: 0,
            series_added: 0,
            passed: HashSet::default(),
            cache: self,
        }
    }

    /// Knows at most so many series of one metric from now on; those that are too many are forgotten after the next
    /// page that is given on.
    pub fn know_at_most(&mut self, of_metric: usize) {
        self.of_metric_max = of_metric;
    }

    /// Forgets the series that are too many after a page that is given on. They were said on it, and pass from here
    /// on: the guard ends those that it had let through.
    pub(super) fn forget_surplus(&mut self, page: &mut RoundEnd) {
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
        page.passing.extend(page.samples.extract_if(.., is_over));
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
    series.at.is_none().then(|| Sample {
        labels: Labels::clone(&series.labels),
        value: STALE_NAN,
        at: None,
    })
}

/// One page being taken in.
pub(super) struct Round<'c> {
    cache: &'c mut SeriesCache,
    target: &'c Target,
    /// The line before this one.
    before: u32,
    /// The line that was foreseen and found.
    foreseen: u32,
    samples: Vec<Sample>,
    passing: Vec<Sample>,
    lines_seen: usize,
    series_seen: usize,
    series_added: usize,
    /// What has passed, by a hash of labels and time.
    passed: HashSet<u64, Hasher>,
}

/// The line that a text is, or the labels of one that passes.
enum Found {
    Line(u32),
    Passes(Labels),
}

/// What a page came to.
pub(super) struct RoundEnd {
    /// Its samples of known series, then the stale markers.
    pub(super) samples: Vec<Sample>,
    /// Its samples of series that pass.
    pub(super) passing: Vec<Sample>,
    /// How many samples there are, stale markers left out.
    pub(super) kept: usize,
    /// How many series were not there the last time.
    pub(super) series_added: usize,
}

impl Round<'_> {
    /// Ends the page.
    pub(super) fn end(mut self) -> RoundEnd {
        let known = self.samples.len();
        let cache = &mut *self.cache;
        cache.said = known;
        if self.lines_seen < cache.lines.len() || self.series_seen < cache.series.len() {
            cache.sweep(&mut self.samples);
        }
        RoundEnd {
            kept: known + self.passing.len(),
            samples: self.samples,
            passing: self.passing,
            series_added: self.series_added,
        }
    }

    /// The line of this text, which is new or came out of its turn.
    fn find(&mut self, key: &[u8]) -> Result<Found, Reason> {
        if let Some(&line) = self.cache.by_key.get(key) {
            return Ok(Found::Line(line));
        }
        let labels = self.labels_of(key)?;
        let cache = &mut *self.cache;
        let series = if let Some(&series) = cache.by_labels.get(&labels) {
            series
        } else {
            let metric = cache.hasher.hash_one(labels.metric_name());
            let known = cache.of_metric.entry(metric).or_default();
            if *known >= cache.of_metric_max {
                return Ok(Found::Passes(labels));
            }
            *known += 1;
            let labels = Arc::new(labels);
            let series = index(cache.series.len());
            cache.series.push(Series {
                labels: Arc::clone(&labels),
                metric,
                seen: 0,
                at: None,
            });
            cache.by_labels.insert(labels, series);
            self.series_added += 1;
            series
        };
        let key: Arc<[u8]> = key.into();
        let line = index(cache.lines.len());
        cache.lines.push(Line {
            key: Arc::clone(&key),
            series,
            next: NO_LINE,
            seen: 0,
        });
        cache.by_key.insert(key, line);
        Ok(Found::Line(line))
    }

    fn pass(&mut self, labels: Labels, value: f64, at: Option<Timestamp>) -> Result<(), Reason> {
        if !self
            .passed
            .insert(self.cache.hasher.hash_one((&labels, at)))
        {
            return Err(Reason::Duplicate);
        }
        self.passing.push(Sample { labels, value, at });
        Ok(())
    }

    fn labels_of(&self, key: &[u8]) -> Result<Labels, Reason> {
        let mut metric: Cow<'_, str> = Cow::Borrowed("");
        let mut scraped = Vec::new();
        line::pieces(key, &mut |piece| match piece {
            Piece::Metric(name) => metric = name,
            Piece::Label(name, value) => scraped.push((name, value)),
        })?;
        let labels = self
            .target
            .merge(&metric, &scraped)
            .map_err(Reason::Labels)?;
        let is_report = super::REPORT_NAMES.contains(&&*metric);
        if is_report
            && self
                .target
                .report_labels(&metric)
                .is_ok_and(|ours| ours == labels)
        {
            return Err(Reason::Reserved);
        }
        Ok(labels)
    }
}

impl Sink for Round<'_> {
    fn foresee(&mut self, text: &[u8]) -> Option<usize> {
        let cache = &*self.cache;
        let next = match cache.lines.get(self.before as usize) {
            Some(before) => before.next,
            None => cache.first,
        };
        let key = &cache.lines.get(next as usize)?.key;
        line::starts_with_series(text, key).then(|| {
            self.foreseen = next;
            key.len()
        })
    }

    fn sample(
        &mut self,
        series: &[u8],
        foreseen: bool,
        value: f64,
        at: Option<Timestamp>,
    ) -> Result<(), Reason> {
        let found = if foreseen {
            self.foreseen
        } else {
            match self.find(series)? {
                Found::Line(line) => line,
                Found::Passes(labels) => return self.pass(labels, value, at),
            }
        };
        let cache = &mut *self.cache;
        if !foreseen {
            match cache.lines.get_mut(self.before as usize) {
                Some(before) => before.next = found,
                None => cache.first = found,
            }
        }
        self.before = found;
        let line = &mut cache.lines[found as usize];
        if line.seen != cache.round {
            line.seen = cache.round;
            self.lines_seen += 1;
        }
        let known = &mut cache.series[line.series as usize];
        if known.seen != cache.round {
            known.seen = cache.round;
            self.series_seen += 1;
        } else if known.at == at {
            return Err(Reason::Duplicate);
        }
        known.at = at;
        self.samples.push(Sample {
            labels: Labels::clone(&known.labels),
            value,
            at,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
