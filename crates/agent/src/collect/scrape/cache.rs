//! What a target said last time: its series, so that their labels need not be built again, and so
//! that a series which is no longer said can be ended.
//!
//! Two things are known. A *line* is the text of a series as it stands on the page; most pages say
//! the same lines in the same order each time, so each line remembers which one came after it and
//! a page that did not change is recognised by comparing bytes, without looking for quotes or
//! hashing anything. A *series* is a label set after merging; several lines may mean the same one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use series::{Labels, STALE_NAN, Sample, Timestamp};

use super::target::Target;
use super::text::line::{self, Piece};
use super::text::{Reason, Sink};

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
    /// The round in which it was last said.
    seen: u64,
    /// The time that the source gave it then; such a series gets no stale marker.
    at: Option<Timestamp>,
}

/// The series of one target. Its size is bounded by the samples of a page.
#[derive(Debug, Default)]
pub struct SeriesCache {
    lines: Vec<Line>,
    by_key: HashMap<Arc<[u8]>, u32, foldhash::fast::RandomState>,
    series: Vec<Series>,
    by_labels: HashMap<Arc<Labels>, u32, foldhash::fast::RandomState>,
    /// The line that began the last page.
    first: u32,
    round: u64,
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
        let expected = self.series.len();
        Round {
            target,
            before: NO_LINE,
            foreseen: NO_LINE,
            samples: Vec::with_capacity(expected + super::REPORT_NAMES.len()),
            lines_seen: 0,
            series_seen: 0,
            series_added: 0,
            cache: self,
        }
    }

    /// Forgets everything and returns a stale marker for each series that should have one.
    pub fn end_all(&mut self) -> Vec<Sample> {
        let markers = self.series.iter().filter_map(marker).collect();
        *self = Self {
            round: self.round,
            ..Self::default()
        };
        markers
    }

    /// Removes the lines and series that were not said in this round; pushes a stale marker for
    /// each such series that should have one.
    fn sweep(&mut self, samples: &mut Vec<Sample>) {
        let round = self.round;
        let mut new_series = Vec::with_capacity(self.series.len());
        let mut moved_series = vec![NO_LINE; self.series.len()];
        for (old, series) in std::mem::take(&mut self.series).into_iter().enumerate() {
            if series.seen == round {
                moved_series[old] = index(new_series.len());
                new_series.push(series);
            } else {
                samples.extend(marker(&series));
                self.by_labels.remove(&series.labels);
            }
        }
        self.series = new_series;
        for at in self.by_labels.values_mut() {
            *at = moved_series[*at as usize];
        }
        let mut new_lines = Vec::with_capacity(self.lines.len());
        let mut moved_lines = vec![NO_LINE; self.lines.len()];
        for (old, mut line) in std::mem::take(&mut self.lines).into_iter().enumerate() {
            if line.seen == round {
                moved_lines[old] = index(new_lines.len());
                line.series = moved_series[line.series as usize];
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
    lines_seen: usize,
    series_seen: usize,
    series_added: usize,
}

/// What a page came to.
pub(super) struct RoundEnd {
    /// Its samples, then the stale markers.
    pub(super) samples: Vec<Sample>,
    /// How many of them are not stale markers.
    pub(super) kept: usize,
    /// How many series were not there the last time.
    pub(super) series_added: usize,
}

impl Round<'_> {
    /// Ends the page.
    pub(super) fn end(mut self) -> RoundEnd {
        let kept = self.samples.len();
        let cache = &mut *self.cache;
        if self.lines_seen < cache.lines.len() || self.series_seen < cache.series.len() {
            cache.sweep(&mut self.samples);
        }
        RoundEnd {
            samples: self.samples,
            kept,
            series_added: self.series_added,
        }
    }

    /// The line of this text, which is new or came out of its turn.
    fn find(&mut self, key: &[u8]) -> Result<u32, Reason> {
        if let Some(&line) = self.cache.by_key.get(key) {
            return Ok(line);
        }
        let labels = self.labels_of(key)?;
        let cache = &mut *self.cache;
        let series = if let Some(&series) = cache.by_labels.get(&labels) {
            series
        } else {
            let labels = Arc::new(labels);
            let series = index(cache.series.len());
            cache.series.push(Series {
                labels: Arc::clone(&labels),
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
        Ok(line)
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
            self.find(series)?
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
