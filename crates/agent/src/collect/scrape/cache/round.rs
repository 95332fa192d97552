//! One page being taken in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use series::{Labels, Sample, Timestamp};

use super::{Hasher, Line, NO_LINE, SeriesCache, index};
use crate::collect::scrape::REPORT_NAMES;
use crate::collect::scrape::target::Target;
use crate::collect::scrape::text::line::{self, Piece};
use crate::collect::scrape::text::{Reason, Sink};

/// One page being taken in.
pub(in crate::collect::scrape) struct Round<'c> {
    cache: &'c mut SeriesCache,
    target: &'c Target,
    /// The line before this one.
    before: u32,
    /// The line that was foreseen and found.
    foreseen: u32,
    samples: Vec<Sample>,
    /// Samples of unknown series.
    unknown: Vec<Sample>,
    /// By a hash of labels and time.
    unknown_said: HashSet<u64, Hasher>,
    lines_seen: usize,
    series_seen: usize,
    series_added: usize,
}

/// The line that a text is, or the labels of an unknown series.
enum Found {
    Line(u32),
    Unknown(Labels),
}

/// What a page came to.
pub(in crate::collect::scrape) struct RoundEnd {
    /// Its samples of known series; once it is settled, stale markers too.
    pub(in crate::collect::scrape) samples: Vec<Sample>,
    /// Its samples of unknown series.
    pub(in crate::collect::scrape) unknown: Vec<Sample>,
    /// How many samples it has.
    pub(in crate::collect::scrape) kept: usize,
    /// Whether every known line and series is on it.
    pub(super) says_all: bool,
    /// How many series were not there the last time.
    pub(in crate::collect::scrape) series_added: usize,
}

impl SeriesCache {
    /// Begins a page of `target`. The samples are gathered by what is returned.
    pub(in crate::collect::scrape) fn begin<'c>(&'c mut self, target: &'c Target) -> Round<'c> {
        self.round += 1;
        let expected = self.said;
        Round {
            target,
            before: NO_LINE,
            foreseen: NO_LINE,
            samples: Vec::with_capacity(expected + REPORT_NAMES.len()),
            unknown: Vec::new(),
            unknown_said: HashSet::default(),
            lines_seen: 0,
            series_seen: 0,
            series_added: 0,
            cache: self,
        }
    }
}

impl Round<'_> {
    /// Ends the page. It counts for nothing until it is settled.
    pub(in crate::collect::scrape) fn end(self) -> RoundEnd {
        let cache = self.cache;
        cache.said = self.samples.len();
        RoundEnd {
            kept: self.samples.len() + self.unknown.len(),
            samples: self.samples,
            unknown: self.unknown,
            says_all: self.lines_seen == cache.lines.len()
                && self.series_seen == cache.series.len(),
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
            let known = cache.of_metric.get(&metric).copied().unwrap_or(0);
            let is_full = known >= cache.of_metric_max;
            if is_full || cache.unknown.contains(&cache.hasher.hash_one(&labels)) {
                return Ok(Found::Unknown(labels));
            }
            self.series_added += 1;
            cache.add(Arc::new(labels), metric)
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

    fn unknown(&mut self, labels: Labels, value: f64, at: Option<Timestamp>) -> Result<(), Reason> {
        let said = self.cache.hasher.hash_one((&labels, at));
        if !self.unknown_said.insert(said) {
            return Err(Reason::Duplicate);
        }
        self.unknown.push(Sample { labels, value, at });
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
        let is_report = REPORT_NAMES.contains(&&*metric);
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
                Found::Unknown(labels) => return self.unknown(labels, value, at),
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
        if std::mem::take(&mut known.silent) {
            self.series_added += 1;
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
