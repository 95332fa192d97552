//! Where the evaluator reads series from. It knows no store: the coordinator puts one behind this.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rollup::{Tier, Window};
use series::{Floats, Labels, Matcher, TimeRange};

/// Values of an answer. Native histograms will be a second variant.
#[derive(Clone, Debug)]
pub enum Values {
    /// One float for each time.
    Float(Arc<[f64]>),
}

/// One series as read: its labels, its times and its values.
#[derive(Clone, Debug)]
pub struct SeriesSlice {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Milliseconds since the Unix epoch, strictly ascending. Series of one target share it.
    pub times: Arc<[i64]>,
    /// As many values as times; stale markers are among them. Native histograms will be beside them.
    pub values: Floats,
}

/// What is said of a selection beside its series.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// What the asker should know: damaged chunks left out, a node that is behind.
    pub warnings: Vec<String>,
    /// Whether something that should be here is known to be missing.
    pub partial: bool,
}

/// The windows of one series.
#[derive(Clone, Debug)]
pub struct WindowSlice {
    /// What names it.
    pub labels: Arc<Labels>,
    /// Each under the millisecond that it ends at, ascending.
    pub windows: Vec<(i64, Window)>,
}

/// The windows that a selector found.
#[derive(Clone, Debug, Default)]
pub struct WindowSelection {
    /// The series, in no promised order, each label set once.
    pub series: Vec<WindowSlice>,
    /// What is said of them.
    pub said: Selected,
}

/// Why a source could not answer.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A limit of the query was reached while reading.
    #[error("the query reads more than {max} {what}; narrow the selector or the time range")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The asker is gone or its deadline has passed.
    #[error("the query was cancelled")]
    Cancelled,
    /// It was asked for what is in memory, and that is not all.
    #[error("what the query reads is not all in memory")]
    NotInMemory,
    /// The store failed.
    #[error("reading series")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What one query may still use; shared by the parts of one query, charged as it reads.
#[derive(Debug)]
pub struct Budget {
    series_max: u64,
    samples_max: u64,
    series: AtomicU64,
    samples: AtomicU64,
    cancelled: AtomicBool,
}

impl Budget {
    /// A budget of so many series and samples.
    #[must_use]
    pub fn new(series_max: u64, samples_max: u64) -> Self {
        Self {
            series_max,
            samples_max,
            series: AtomicU64::new(0),
            samples: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Takes series from the budget, before they are read.
    ///
    /// # Errors
    /// When there are not so many left, or the query was cancelled.
    pub fn charge_series(&self, count: u64) -> Result<(), SourceError> {
        self.check()?;
        let used = self
            .series
            .fetch_add(count, Ordering::Relaxed)
            .saturating_add(count);
        if used > self.series_max {
            return Err(SourceError::Limit {
                what: "series",
                max: self.series_max,
            });
        }
        Ok(())
    }

    /// Takes samples from the budget, before they are read where that can be known.
    ///
    /// # Errors
    /// As [`Budget::charge_series`].
    pub fn charge_samples(&self, count: u64) -> Result<(), SourceError> {
        self.check()?;
        let used = self
            .samples
            .fetch_add(count, Ordering::Relaxed)
            .saturating_add(count);
        if used > self.samples_max {
            return Err(SourceError::Limit {
                what: "samples",
                max: self.samples_max,
            });
        }
        Ok(())
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// When the query was cancelled.
    pub fn check(&self) -> Result<(), SourceError> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(SourceError::Cancelled)
        } else {
            Ok(())
        }
    }

    /// Stops the query at its next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Series charged so far.
    #[must_use]
    pub fn series(&self) -> u64 {
        self.series.load(Ordering::Relaxed)
    }

    /// Samples charged so far.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }
}

/// Takes series one after another; an error ends the reading.
pub type EachSeries<'a> = dyn FnMut(SeriesSlice) -> Result<(), SourceError> + 'a;

/// Something that holds series.
pub trait SeriesSource: Sync {
    /// Hands all series that pass every matcher to `each`, with their samples inside `range`, in no
    /// promised order and each label set once. What `each` does not keep is let go before the next are
    /// read.
    ///
    /// # Errors
    /// When a limit is reached, the query is cancelled or the store fails; and what `each` gives.
    fn select_each(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        budget: &Budget,
        each: &mut EachSeries<'_>,
    ) -> Result<Selected, SourceError>;

    /// The tiers of which windows are read for less than their samples, finest first.
    fn tiers(&self) -> &[Tier] {
        &[]
    }

    /// The first millisecond from which all samples are kept; before it there are windows alone.
    fn samples_from(&self) -> i64 {
        i64::MIN
    }

    /// The windows of one of [`SeriesSource::tiers`] that end inside `range`, of all series that pass
    /// every matcher; each holds all samples of its width, stale markers left out.
    ///
    /// # Errors
    /// As [`SeriesSource::select_each`].
    fn windows(
        &self,
        _matchers: &[Matcher],
        _tier: Tier,
        _range: TimeRange,
        _budget: &Budget,
    ) -> Result<WindowSelection, SourceError> {
        Ok(WindowSelection::default())
    }
}
