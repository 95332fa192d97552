//! One target: fetch its page, read it, give it labels, mark what is stale.

use std::sync::Arc;
use std::time::Duration;

use daemon::clock::SharedClock;
use series::{STALE_NAN, Sample, Snapshot, Timestamp};

use super::cache::SeriesCache;
use super::fetch::{Error, Fetched, Fetcher};
use super::stats::StatsHandle;
use super::target::Target;
use super::text::{self, Limits, Refusals};
use super::{REPORT_NAMES, Scrape};

/// Reads one target again and again, and remembers what it said last.
pub struct Scraper {
    target: Arc<Target>,
    fetcher: Fetcher,
    clock: SharedClock,
    limits: Limits,
    stats: StatsHandle,
    cache: SeriesCache,
    /// Whether the report series were ever written, so that they can end.
    reported: bool,
}

/// An answer that was not read yet.
#[derive(Debug)]
pub struct Answer {
    /// When the scrape began.
    pub at: Timestamp,
    /// How long the answer took.
    pub duration: Duration,
    /// The page, or why there is none.
    pub fetched: Result<Fetched, Error>,
}

impl Scraper {
    /// A scraper of `target`. It reads nothing yet.
    #[must_use]
    pub fn new(
        target: Arc<Target>,
        fetcher: Fetcher,
        clock: SharedClock,
        limits: Limits,
        stats: StatsHandle,
    ) -> Self {
        Self {
            target,
            fetcher,
            clock,
            limits,
            stats,
            cache: SeriesCache::default(),
            reported: false,
        }
    }

    /// Remembers at most so many series of one metric from now on.
    pub fn know_at_most(&mut self, of_metric: usize) {
        self.cache.know_at_most(of_metric);
    }

    /// Reads the target once: [`Scraper::fetch`], then [`Scraper::read`].
    pub async fn scrape(&mut self) -> Scrape {
        let answer = self.fetch().await;
        self.read(answer)
    }

    /// Asks the target for its page. Changes nothing, so an answer may be dropped.
    pub async fn fetch(&self) -> Answer {
        let at = Timestamp::from_millis(self.clock.wall_millis());
        let began = self.clock.monotonic();
        let fetched = self.fetcher.fetch(&self.target).await;
        Answer {
            at,
            duration: self.clock.monotonic().saturating_sub(began),
            fetched,
        }
    }

    /// Makes a scrape of an answer. A failed one ends all series of the target, until it says them again.
    pub fn read(&mut self, answer: Answer) -> Scrape {
        let Answer {
            at,
            duration,
            fetched,
        } = answer;
        let mut taken = Taken::default();
        let failure = match fetched {
            Ok(fetched) => self.take(&fetched, &mut taken),
            Err(error) => Some(error),
        };
        if failure.is_some() {
            taken = Taken {
                snapshot: Snapshot {
                    samples: self.cache.silence(),
                    ..Snapshot::default()
                },
                refusals: taken.refusals,
                ..Taken::default()
            };
        }
        self.stats.scraped(failure.as_ref().map(Error::reason));
        let report = [
            if failure.is_none() { 1.0 } else { 0.0 },
            duration.as_secs_f64(),
            count(taken.scraped),
            count(taken.kept),
            count(taken.added),
        ];
        self.report(&mut taken.snapshot, report);
        self.reported = true;
        Scrape {
            target: Arc::clone(&self.target),
            at,
            duration,
            snapshot: taken.snapshot,
            unknown: taken.unknown,
            refusals: taken.refusals,
            divisor: None,
            failure,
        }
    }

    /// Reads a page into `taken`. What it returns makes the scrape a failed one.
    fn take(&mut self, fetched: &Fetched, taken: &mut Taken) -> Option<Error> {
        let Fetched { format, body } = fetched;
        let mut round = self.cache.begin(&self.target);
        let mut read = text::read_page(body, *format, &self.limits, &mut round);
        let mut end = round.end();
        self.stats.page(body.len(), read.refusals.count);
        let url = || self.target.shown_url();
        let failure = if !read.complete {
            Some(Error::CutShort { url: url() })
        } else if read.samples == 0 && read.refusals.count > 0 {
            Some(Error::NotMetrics { url: url() })
        } else {
            self.cache.settle(&mut end, &read.families);
            None
        };
        let snapshot = &mut taken.snapshot;
        snapshot.families = std::mem::take(&mut read.families);
        snapshot.samples = end.samples;
        read.count_label_refusals(snapshot);
        taken.unknown = end.unknown;
        taken.scraped = read.samples;
        taken.kept = end.kept;
        taken.added = end.series_added;
        taken.refusals = read.refusals;
        failure
    }

    /// What is left to say of a target that is no longer to be read: stale markers for all its
    /// series. `None` when there are none.
    pub fn end(&mut self) -> Option<Scrape> {
        let at = Timestamp::from_millis(self.clock.wall_millis());
        let mut snapshot = Snapshot {
            samples: self.cache.end_all(),
            ..Snapshot::default()
        };
        if self.reported {
            self.report(&mut snapshot, [STALE_NAN; REPORT_NAMES.len()]);
            self.reported = false;
        }
        (!snapshot.samples.is_empty()).then(|| Scrape {
            target: Arc::clone(&self.target),
            at,
            duration: Duration::ZERO,
            snapshot,
            unknown: Vec::new(),
            refusals: Refusals::default(),
            divisor: None,
            failure: None,
        })
    }

    fn report(&self, snapshot: &mut Snapshot, values: [f64; REPORT_NAMES.len()]) {
        for (name, value) in REPORT_NAMES.into_iter().zip(values) {
            match self.target.report_labels(name) {
                Ok(labels) => snapshot.samples.push(Sample {
                    labels,
                    value,
                    at: None,
                }),
                Err(error) => {
                    snapshot.refused += 1;
                    snapshot.first_refusal.get_or_insert(error);
                }
            }
        }
    }
}

/// What was read of a page.
#[derive(Default)]
struct Taken {
    snapshot: Snapshot,
    unknown: Vec<Sample>,
    refusals: Refusals,
    scraped: usize,
    kept: usize,
    added: usize,
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the samples of a page stay far below 2^53"
)]
fn count(samples: usize) -> f64 {
    samples as f64
}
