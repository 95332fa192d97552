//! What was done, failed and skipped. Counted here, named and exported by the agent's metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a scrape failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The target took too long.
    Timeout,
    /// No connection.
    Connect,
    /// A status that is no success.
    Status,
    /// Too many redirects.
    Redirects,
    /// The page is too large.
    TooLarge,
    /// The exchange broke off.
    Body,
    /// What came is no metrics page.
    NotMetrics,
    /// An OpenMetrics page without its end.
    CutShort,
}

impl FailureReason {
    /// All reasons, in the order of [`ScrapeStats::failed`].
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Connect,
        Self::Status,
        Self::Redirects,
        Self::TooLarge,
        Self::Body,
        Self::NotMetrics,
        Self::CutShort,
    ];

    /// The value of a `reason` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Status => "status",
            Self::Redirects => "redirects",
            Self::TooLarge => "too_large",
            Self::Body => "body",
            Self::NotMetrics => "not_metrics",
            Self::CutShort => "cut_short",
        }
    }
}

/// Why a scrape was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The channel to the consumer was full.
    ChannelFull,
    /// Its turn had passed when the one before was done, or the machine slept.
    Late,
}

impl SkipReason {
    /// All reasons, in the order of [`ScrapeStats::skipped`].
    pub const ALL: [Self; 2] = [Self::ChannelFull, Self::Late];

    /// The value of a `reason` label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChannelFull => "channel_full",
            Self::Late => "late",
        }
    }
}

/// The counters at one moment. All but [`ScrapeStats::targets`] only go up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeStats {
    /// Targets now being read.
    pub targets: u64,
    /// Scrapes that brought a page.
    pub done: u64,
    /// Scrapes that did not, by [`FailureReason::ALL`].
    pub failed: [u64; FailureReason::ALL.len()],
    /// Scrapes that were not made or not delivered, by [`SkipReason::ALL`].
    pub skipped: [u64; SkipReason::ALL.len()],
    /// Bytes of pages, after decompression.
    pub page_bytes: u64,
    /// Samples delivered, stale markers and report series included.
    pub samples: u64,
    /// Lines that were refused.
    pub lines_refused: u64,
    /// Times that the targets file changed and was taken over.
    pub targets_file_loads: u64,
    /// Times that the targets file changed and could not be used.
    pub targets_file_errors: u64,
}

impl ScrapeStats {
    /// Scrapes that failed for this reason.
    #[must_use]
    pub fn failed_for(&self, reason: FailureReason) -> u64 {
        self.failed[reason as usize]
    }

    /// Scrapes that were skipped for this reason.
    #[must_use]
    pub fn skipped_for(&self, reason: SkipReason) -> u64 {
        self.skipped[reason as usize]
    }
}

#[derive(Debug, Default)]
struct Counters {
    targets: AtomicU64,
    done: AtomicU64,
    failed: [AtomicU64; FailureReason::ALL.len()],
    skipped: [AtomicU64; SkipReason::ALL.len()],
    page_bytes: AtomicU64,
    samples: AtomicU64,
    lines_refused: AtomicU64,
    targets_file_loads: AtomicU64,
    targets_file_errors: AtomicU64,
}

/// A cheap handle on the counters of one pool.
#[derive(Clone, Debug, Default)]
pub struct StatsHandle(Arc<Counters>);

// The counters stand alone; nothing else is ordered by them.
const ORDER: Ordering = Ordering::Relaxed;

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, ORDER);
}

impl StatsHandle {
    /// The counters now.
    #[must_use]
    pub fn read(&self) -> ScrapeStats {
        let counters = &*self.0;
        ScrapeStats {
            targets: counters.targets.load(ORDER),
            done: counters.done.load(ORDER),
            failed: std::array::from_fn(|at| counters.failed[at].load(ORDER)),
            skipped: std::array::from_fn(|at| counters.skipped[at].load(ORDER)),
            page_bytes: counters.page_bytes.load(ORDER),
            samples: counters.samples.load(ORDER),
            lines_refused: counters.lines_refused.load(ORDER),
            targets_file_loads: counters.targets_file_loads.load(ORDER),
            targets_file_errors: counters.targets_file_errors.load(ORDER),
        }
    }

    pub(super) fn set_targets(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.targets.store(count, ORDER);
    }

    pub(super) fn scraped(&self, failure: Option<FailureReason>) {
        match failure {
            None => add(&self.0.done, 1),
            Some(reason) => add(&self.0.failed[reason as usize], 1),
        }
    }

    pub(super) fn skipped(&self, reason: SkipReason, count: u64) {
        add(&self.0.skipped[reason as usize], count);
    }

    pub(super) fn page(&self, bytes: usize, lines_refused: u64) {
        add(&self.0.page_bytes, u64::try_from(bytes).unwrap_or(u64::MAX));
        add(&self.0.lines_refused, lines_refused);
    }

    pub(super) fn delivered(&self, samples: usize) {
        add(&self.0.samples, u64::try_from(samples).unwrap_or(u64::MAX));
    }

    pub(super) fn targets_file(&self, usable: bool) {
        add(
            if usable {
                &self.0.targets_file_loads
            } else {
                &self.0.targets_file_errors
            },
            1,
        );
    }
}
